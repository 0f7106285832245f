"""Runs debian/tests, as Debian does with autopkgtest, on a booted Debian with the packages that were built.

Run as a program, as root, it runs all of them on each suite: 'make autopkgtest'.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests import debs
from tests.boot import files
from tests.lab import Lab
from tests.system import building, container, roots
from tests.system.box import Box

MINUTES = 60.0
# The box is a container that may do what these tests do. autopkgtest would only believe it of a machine.
UNLOCKED = "--ignore-restrictions=isolation-container,isolation-machine"
ALWAYS = ("unit", "smoke", "netns")  # 'boot' needs packages that take long to install, and is slow
BRIEFLY = "--env=PYTEST_ADDOPTS=--ignore-glob=*/netns/test_[!ns]*"  # tests/netns runs in whole elsewhere
LOADERS = ("ipxe", "grub-efi-amd64-signed", "shim-signed")


def run(tree: Path, built: Path, logs: Path, *options: str, copied: Iterable[Path] = ()) -> str:
    """Return what autopkgtest prints on a system of a tree, with what was built in a directory.

    Files and directories to be copied have the same names in there. Nothing is raised when a test fails.
    """
    logs.mkdir()
    with Lab(logs) as lab:
        box = Box(lab, tree)
        for pattern in ("*.deb", "*.dsc", "*.tar.*"):
            for file in built.glob(pattern):
                _copy(file, box.path(f"/var/tmp/packages/{file.name}"))
        for path in copied:
            _copy(path, box.path(str(path)))
        # There is no network: everything that is needed is installed.
        box.run("sh", "-c", "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        done = box.run(
            "sh", "-c", 'cd /var/tmp/packages && exec nice autopkgtest "$@" *.deb *.dsc -- null', "sh",
            UNLOCKED, *options, check=False, timeout=30 * MINUTES,
        )  # fmt: skip
    container.remove_cgroups(box.name)
    return done.stdout + done.stderr


def passed(said: str, names: Iterable[str]) -> bool:
    """Return whether each of these tests, and no other, has run and passed, by what autopkgtest printed."""
    summary = said.rpartition("@ summary\n")[2]
    found = re.findall(r"^(\w+) +([A-Z]+)\b", summary, re.MULTILINE)
    return sorted(found) == sorted((name, "PASS") for name in names)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy(source, target)


def main() -> int:
    """Build the packages and run every test of debian/tests; return how many suites have a failed one."""
    copied = [*map(debs.unpacked, LOADERS), files.kernel()]  # the box cannot download them
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for suite in roots.SUITES:
            out = Path(directory) / suite
            roots.workshop(suite).make()
            roots.testbed(suite).make()
            building.once(suite, out / "built")
            said = run(roots.testbed(suite).path, out / "built", out / "logs", copied=copied)
            print(f"{suite}:\n{said}", flush=True)
            failed += not passed(said, (*ALWAYS, "boot"))
    return failed


if __name__ == "__main__":
    sys.exit(main())
