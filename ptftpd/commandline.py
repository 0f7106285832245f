"""The command line of a program: its long options are the settings, and there are some more."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterator
from typing import Any, NoReturn

import ptftpd
from ptftpd import syntax
from ptftpd.option import options
from ptftpd.program import DIRECTORY, Program
from ptftpd.settings import SECTIONS
from ptftpd.values import Values, parse, split, written

IGNORED_RFC1350 = "accepted by every program of the suite; no effect here, as no TFTP is served"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def make_parser(program: Program) -> argparse.ArgumentParser:
    """Return the parser of a program's command line."""
    words = (each.metavar if each.required else f"[{each.metavar}]" for each in program.positionals)
    parser = _Parser(
        prog=program.name, description=program.summary, allow_abbrev=False, add_help=False,
        usage=" ".join(["%(prog)s [OPTION]...", *words]),
        epilog=f"Configuration: {', '.join(f'{DIRECTORY}/{name}' for name in program.files)}.",
    )  # fmt: skip
    for positional in program.positionals:
        nargs = None if positional.required else "?"
        parser.add_argument(positional.metavar, help=positional.help, nargs=nargs)
    _add_common(parser)
    if "tftp" not in program.sections:
        parser.add_argument("-r", "--rfc1350", action="store_true", help=IGNORED_RFC1350)
    questions = parser.add_argument_group("questions")
    for query in program.queries:
        given: dict[str, Any] = {"action": "store_const", "const": ""}
        if query.metavar:
            given = {"metavar": query.metavar}
        questions.add_argument(f"--{query.name}", dest=f"?{query.name}", help=query.help, **given)
    for name, metavar, help in dict.fromkeys(each for query in program.queries for each in query.parameters):
        given = {"metavar": metavar} if metavar else {"action": "store_const", "const": "yes"}
        questions.add_argument(f"--{name}", dest=f"?{name}", help=help, **given)
    taken = {"-c", "-v", "-D", "-h"}
    for section in program.sections:
        group = parser.add_argument_group(f"settings of [{section}]")
        for key, item in options(SECTIONS[section]).items():
            if key not in program.exclude:
                _add_option(group, section, key, item, taken)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-c", "--config", metavar="FILE", help=f"read this file instead of those in {DIRECTORY}")
    add("--check", action="store_true", help="check the configuration and that it can be served, and exit")
    add("--dump-config", action="store_true", help="print every effective setting and where it is set")
    add("-v", "--verbose", action="store_true", help="show the structured fields of records on stderr too")
    add("-D", "--debug", action="store_true", help="record everything, even each ignored datagram")
    add("--daemon", action="store_true", help="detach from the terminal (outside systemd)")
    add("--pidfile", metavar="FILE", help="with --daemon: write the process id to this file and lock it")
    add("--version", action="version", version=f"{parser.prog} {ptftpd.__version__}")
    add("-h", "--help", action="help", help="show this help")


def _add_option(
    group: argparse._ArgumentGroup, section: str, key: str, item: dataclasses.Field[Any], taken: set[str]
) -> None:
    facts = item.metadata
    names = [f"--{key.replace('_', '-')}", *facts["aliases"]]
    if facts["short"] and f"-{facts['short']}" not in taken:
        taken.add(f"-{facts['short']}")
        names.insert(0, f"-{facts['short']}")
    help = facts["help"].replace("%", "%%")
    if facts["parse"] is syntax.flag:
        _add_flag(group, f"{section}:{key}", names, help, bool(item.default))
        return
    if shown := written(item, item.default):
        help += f" (default: {shown})"
    group.add_argument(
        *names, dest=f"{section}:{key}", metavar=facts["metavar"], help=help,
        action="append" if facts["many"] else "store",
    )  # fmt: skip


def _add_flag(group: argparse._ArgumentGroup, dest: str, names: list[str], help: str, default: bool) -> None:
    """Add a flag and its opposite, for what a file says; --help has the one that changes the default."""
    for given, which in (("yes", names), ("no", [_opposite(dest)])):
        told = f"do not {help}" if given == "no" else help
        hidden = (given == "yes") == default
        group.add_argument(
            *which, dest=dest, action="store_const", const=given, help=argparse.SUPPRESS if hidden else told
        )


def _opposite(dest: str) -> str:
    return f"--no-{dest.partition(':')[2].replace('_', '-')}"


def read_arguments(values: Values, program: Program, arguments: argparse.Namespace) -> None:
    """Take the settings given on the command line; a bad one ends the program with exit code 2."""
    parser = make_parser(program)
    for option, section, key, given in _given(program, arguments):
        item = options(SECTIONS[section])[key]
        texts = [part for text in given for part in split(item, text)]
        if item.metadata["parse"] is syntax.absolute_path:
            texts = [os.path.abspath(text) for text in texts]
        try:
            parse(item, texts)
        except ValueError as error:
            parser.error(f"{option} {', '.join(given)}: {error}")
        if values.texts.get((section, key), ([], ""))[1].startswith("--"):
            parser.error(f"{option} and --{key.replace('_', '-')} say the same thing: give one of them")
        values.texts[section, key] = (texts, option)


def _given(program: Program, arguments: argparse.Namespace) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield (what it is called, section, key, texts) of each setting on the command line."""
    for name, given in vars(arguments).items():
        section, _, key = name.partition(":")
        if key and given is not None:
            flag = options(SECTIONS[section])[key].metadata["parse"] is syntax.flag
            option = _opposite(name) if flag and given == "no" else f"--{key.replace('_', '-')}"
            yield option, section, key, given if isinstance(given, list) else [given]
    for positional in program.positionals:
        given = getattr(arguments, positional.metavar)
        if positional.key and given is not None:
            yield positional.metavar, positional.section, positional.key, [given]
