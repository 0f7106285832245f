"""Coverage-guided fuzzing with atheris, which `make fuzz` installs into a venv of its own.

    python -m tests.fuzz.guided TARGET [OPTION OF LIBFUZZER]...

A target's corpus begins with the named vectors and grows in build/fuzz/TARGET. What makes a target raise is
written to build/fuzz/TARGET.crash-...: it belongs into tests/vectors, with a name, before it is mended.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ptftpd"]):
    from tests.fuzz.targets import TARGETS, corpus


def main() -> None:
    """Fuzz until told to stop, or something is found; the exit status is libFuzzer's."""
    target = sys.argv[1]
    directory = Path("build/fuzz") / target
    directory.mkdir(parents=True, exist_ok=True)
    for name, octets in corpus(target):
        (directory / name.replace("/", "-").replace(" ", "-")).write_bytes(octets)
    crash = f"-artifact_prefix={directory}."
    atheris.Setup([sys.argv[0], crash, *sys.argv[2:], str(directory)], TARGETS[target]())
    atheris.Fuzz()


if __name__ == "__main__":
    main()
