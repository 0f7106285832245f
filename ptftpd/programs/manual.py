"""Writes manual pages, sample configuration or completions into a directory: for the package, not for users.

python3 -m ptftpd.programs.manual man|etc|bash|zsh|fish DIRECTORY
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ptftpd import completions, manual
from ptftpd.client import arguments
from ptftpd.client.commands import COMMANDS, Command
from ptftpd.commandline import make_parser
from ptftpd.dhcp import registry
from ptftpd.dhcp.pxe import ARCHITECTURES
from ptftpd.program import Program
from ptftpd.programs import bootpd, dhcpd, pxed, tftpd

PROGRAMS = (tftpd.PROGRAM, dhcpd.PROGRAM, bootpd.PROGRAM, pxed.PROGRAM)
CLIENT = "ptftp"
FILES = {
    "pxed.conf": ("pxe", "menu", "daemon", "host", "class"),
    "ptftpd.conf": ("tftp", "directory", "remap"),
    "pdhcpd.conf": ("dhcp", "subnet"),
    "pbootpd.conf": ("bootp",),
}
TEXTS = Path(__file__).parents[2] / "man"  # of the source: an installed package has the pages
SHELLS = {  # shell: (renderer, name of a program's file)
    "bash": (completions.bash, "{}"),
    "zsh": (completions.zsh, "_{}"),
    "fish": (completions.fish, "{}.fish"),
}
KINDS = ("man", "etc", *SHELLS)


def rendered(kind: str) -> dict[str, str]:
    """Return {file name: content} of one of KINDS."""
    if kind == "etc":
        return {name: manual.sample(sections) for name, sections in FILES.items()}
    return _pages() if kind == "man" else _completions(kind)


def _pages() -> dict[str, str]:
    pages = {f"{program.name}.8": _server_page(program) for program in PROGRAMS}
    commands = [(f"{command.name} {command.usage}".rstrip(), _about(command)) for command in COMMANDS]
    parts = {
        "OPTIONS": manual.options_part(arguments.make_parser(CLIENT)),
        "COMMANDS": manual.list_part(commands),
        "ARCHITECTURES": manual.words_part(f"{number} {name}" for number, name in ARCHITECTURES.items()),
        "DHCPOPTIONS": manual.list_part((how, ", ".join(names)) for how, names in registry.forms()),
        "DHCPTYPES": manual.list_part((name, how) for name, (_, how) in registry.TYPES.items()),
        "SETTINGS": manual.settings_part(),
    }
    pages["ptftp.1"] = manual.page("ptftp", 1, _text("ptftp.1"), parts)
    pages["ptftpd.conf.5"] = manual.page("ptftpd.conf", 5, _text("ptftpd.conf.5"), parts)
    links = {f"{name}.5": manual.link("ptftpd.conf", 5) for name in FILES if name != "ptftpd.conf"}
    return pages | links


def _server_page(program: Program) -> str:
    parts = {
        "OPTIONS": manual.options_part(make_parser(program)),
        "SERVER": _text("server.inc"),
        "FILES": manual.files_part(program),
    }
    return manual.page(program.name, 8, _text(f"{program.name}.8"), parts)


def _about(command: Command) -> str:
    return f"{command.help}. {command.more}" if command.more else command.help


def _text(name: str) -> str:
    return (TEXTS / name).read_text(encoding="utf-8")


def _completions(shell: str) -> dict[str, str]:
    render, pattern = SHELLS[shell]
    known = {(program.name,): completions.arguments(make_parser(program)) for program in PROGRAMS}
    client = completions.arguments(arguments.make_parser(CLIENT), arguments.VERBS)
    return {
        pattern.format(names[0]): render(names, found)
        for names, found in (known | {(CLIENT, "tftp"): client}).items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files; return the exit code."""
    given = sys.argv[1:] if argv is None else list(argv)
    if len(given) != 2 or given[0] not in KINDS:
        print(f"usage: python3 -m ptftpd.programs.manual {'|'.join(KINDS)} DIRECTORY", file=sys.stderr)
        return 2
    directory = Path(given[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in rendered(given[0]).items():
        (directory / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
