"""Writes the manual pages or the sample configuration into a directory: for the package, not for users.

python3 -m ptftpd.programs.manual man|etc DIRECTORY
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ptftpd import manual
from ptftpd.programs import bootpd, dhcpd, pxed, tftpd

PROGRAMS = (tftpd.PROGRAM, dhcpd.PROGRAM, bootpd.PROGRAM, pxed.PROGRAM)
FILES = {
    "pxed.conf": ("pxe", "daemon", "host", "class"),
    "ptftpd.conf": ("tftp", "directory", "remap"),
    "pdhcpd.conf": ("dhcp",),
    "pbootpd.conf": ("bootp",),
}


def rendered(what: str) -> dict[str, str]:
    """Return {file name: content} of the manual pages ('man') or the sample files ('etc')."""
    if what == "etc":
        return {name: manual.sample(sections) for name, sections in FILES.items()}
    pages = {f"{program.name}.8": manual.program_page(program) for program in PROGRAMS}
    return pages | {"ptftpd.conf.5": manual.configuration_page(FILES)}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files; return the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if len(arguments) != 2 or arguments[0] not in ("man", "etc"):
        print("usage: python3 -m ptftpd.programs.manual man|etc DIRECTORY", file=sys.stderr)
        return 2
    directory = Path(arguments[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in rendered(arguments[0]).items():
        (directory / name).write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
