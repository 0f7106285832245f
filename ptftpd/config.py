"""Loads the settings of a program from INI files and the command line.

Read in this order, later wins: pxed.conf and then the program's own NAME.conf, each followed by its
NAME.conf.d/*.conf; the files of the interface, pxed@IFACE.conf and then NAME@IFACE.conf; the command line.
--config FILE is read instead of all those files. Every file has the same grammar, and any section may stand
in any of them.
"""

from __future__ import annotations

import argparse
import configparser
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob
from ipaddress import IPv4Address
from typing import Any, NoReturn
from uuid import UUID

import ptftpd
from ptftpd import settings as schema
from ptftpd import syntax
from ptftpd.dhcp.registry import Option
from ptftpd.errors import ConfigError
from ptftpd.option import options
from ptftpd.settings import Settings

DIRECTORY = "/etc/ptftpd"
SECTIONS: dict[str, type] = {
    "daemon": schema.Daemon,
    "pxe": schema.Pxe,
    "tftp": schema.Tftp,
    "dhcp": schema.Dhcp,
    "bootp": schema.Bootp,
}
GUID_OCTETS = 16
IGNORED_RFC1350 = "taken by every program of the suite; without effect here, where no TFTP is served"
NAMED: dict[str, tuple[type, str]] = {  # [KIND NAME]: (dataclass, field of Settings)
    "class": (schema.Class, "classes"),
    "host": (schema.Host, "hosts"),
    "subnet": (schema.Subnet, "subnets"),
    "directory": (schema.Directory, "directories"),
    "remap": (schema.Remap, "remaps"),
}


@dataclass(frozen=True)
class Positional:
    """A command-line argument without a dash; key '' is IFACE, the interface, which no file can name."""

    metavar: str
    section: str
    key: str
    help: str
    required: bool = False


@dataclass(frozen=True)
class Query:
    """An option that asks the program a question, instead of having it serve.

    parameters: (name, metavar, help) of further options that go with it. answer(loaded, value, parameters)
    returns the text to print; Error ends the program with exit code 1.
    """

    name: str
    metavar: str
    help: str
    answer: Callable[[Loaded, str, dict[str, str]], str]
    parameters: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Program:
    """What one program takes: sections are those that have long options, in order of their short ones."""

    name: str
    summary: str
    sections: tuple[str, ...]
    positionals: tuple[Positional, ...]
    exclude: frozenset[str] = frozenset()  # keys that make no sense here
    queries: tuple[Query, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the configuration files, in the order they are read."""
        own = {"tftp": "ptftpd.conf", "dhcp": "pdhcpd.conf", "bootp": "pbootpd.conf"}
        return ("pxed.conf", *(own[section] for section in own if section in self.sections))


@dataclass(frozen=True)
class Loaded:
    """The outcome of load(): settings with the interface named, and what the program was asked to do."""

    settings: Settings
    interface: str
    action: str  # 'serve', 'check', 'dump' or 'answer'
    verbose: bool
    debug: bool
    pidfile: str
    detach: bool
    answer: Callable[[], str] | None = None  # of a query


class Values:
    """Texts by (section, key) with the place each was written, and the problems met."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], tuple[list[str], str]] = {}
        self.problems: list[ConfigError] = []

    def problem(self, reason: str, source: str = "", setting: str = "") -> None:
        """Note what is wrong; all of it is told at once."""
        self.problems.append(ConfigError(reason, source=source, setting=setting))

    def check(self) -> None:
        """Raise a ConfigError with every problem, a line each."""
        if self.problems:
            raise ConfigError("\n".join(str(problem) for problem in self.problems))


def load(program: Program, argv: Sequence[str] | None, directory: str = DIRECTORY) -> Loaded:
    """Return the effective settings. ConfigError lists all that is wrong; bad arguments exit with 2."""
    parser = make_parser(program)
    arguments = parser.parse_intermixed_args(argv)  # 'pxed eth0 -v ROOT BOOTFILE' is one way to say it
    interface = getattr(arguments, "IFACE", None) or getattr(arguments, "tftp:interface", None) or ""
    values = Values()
    for path, must_exist in _paths(program, arguments.config, interface, directory):
        _read_file(values, path, must_exist)
    _build(values)
    values.check()
    _read_arguments(values, program, arguments)
    settings = _build(values)
    loaded = Loaded(
        settings=settings,
        interface=interface or settings.tftp.interface,
        action="dump" if arguments.dump_config else "check" if arguments.check else "serve",
        verbose=arguments.verbose,
        debug=arguments.debug,
        pidfile=arguments.pidfile or "",
        detach=arguments.daemon,
    )
    for query in program.queries:
        value = getattr(arguments, f"?{query.name}")
        if value is not None:
            given = {name: getattr(arguments, f"?{name}") or "" for name, _, _ in query.parameters}
            return dataclasses.replace(
                loaded, action="answer", answer=partial(query.answer, loaded, value, given)
            )
    return loaded


# Files -----------------------------------------------------------------------------------------


def _paths(program: Program, chosen: str | None, interface: str, directory: str) -> list[tuple[str, bool]]:
    """Return (path, must exist) of every file to read, in order."""
    if chosen:
        return [(chosen, True)]
    paths: list[tuple[str, bool]] = []
    for name in program.files:
        path = os.path.join(directory, name)
        paths += [(path, False), *((drop_in, True) for drop_in in sorted(glob(f"{path}.d/*.conf")))]
    if interface:
        names = (name.replace(".conf", f"@{interface}.conf") for name in program.files)
        paths += [(os.path.join(directory, name), False) for name in names]
    return paths


class _Reader(configparser.RawConfigParser):
    """Notes on which line each key stands, in the order of the file: no section or key comes twice."""

    def __init__(self) -> None:
        super().__init__(
            delimiters=("=",), comment_prefixes=("#", ";"), inline_comment_prefixes=("#",), default_section=""
        )
        self.key_lines: list[int] = []
        self._line = 0

    def read_lines(self, lines: Sequence[str], path: str) -> None:
        """Read the lines of a file; configparser.Error when they break the grammar."""

        def counted() -> Iterator[str]:
            for self._line, line in enumerate(lines, 1):
                yield line

        self.read_file(counted(), path)

    def optionxform(self, optionstr: str) -> str:
        """Return the key in lower case; called once for each that is read."""
        self.key_lines.append(self._line)
        return optionstr.lower()


def _read_file(values: Values, path: str, must_exist: bool) -> None:
    parser = _Reader()
    lines: list[str] = []
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.readlines()
        parser.read_lines(lines, path)
    except FileNotFoundError:
        if must_exist:
            values.problem("no such file", path)
        return
    except UnicodeDecodeError:
        values.problem("is not UTF-8 text", path)
        return
    except OSError as error:
        values.problem(f"cannot be read: {error.strerror}", path)
        return
    except configparser.Error as error:
        _syntax_problem(values, path, lines, error)
        return
    numbers = iter(parser.key_lines)
    for section in parser.sections():
        kind = section.split()[0] if section.split() else section
        options = _options_of(section)
        items = [(key, text, f"{path}:{next(numbers)}") for key, text in parser.items(section)]
        if options is None:
            header = f"[{section}]"
            line = next(n for n, line in enumerate(lines, 1) if line.lstrip().startswith(header))
            where = f"{path}:{line}"
            known = ", ".join([f"[{name}]" for name in SECTIONS] + [f"[{name} NAME]" for name in NAMED])
            values.problem(f"unknown section; there are {known}", where, f"[{section}]")
            continue
        for key, text, where in items:
            if key not in options:
                values.problem(f"unknown setting{_suggestion(key, options)}", where, f"[{section}] {key}")
            else:
                parts = _split(options[key], text)
                values.texts[" ".join(section.split()) if kind in NAMED else section, key] = (parts, where)
        values.texts.setdefault((" ".join(section.split()), ""), ([], path))


def _syntax_problem(values: Values, path: str, lines: Sequence[str], error: configparser.Error) -> None:
    """Note what configparser could not read, with its line."""
    if isinstance(error, configparser.DuplicateOptionError):
        values.problem(
            "is set twice in this file", f"{path}:{error.lineno}", f"[{error.section}] {error.option}"
        )
    elif isinstance(error, configparser.DuplicateSectionError):
        where = f"{path}:{error.lineno}"
        values.problem("the section stands twice in this file", where, f"[{error.section}]")
    elif isinstance(error, configparser.MissingSectionHeaderError):
        values.problem(
            "a setting stands before the first [section]", f"{path}:{error.lineno}", error.line.strip()
        )
    elif isinstance(error, configparser.ParsingError):
        for number, _ in error.errors:
            values.problem("must be 'key = value'", f"{path}:{number}", lines[number - 1].strip())
    else:
        values.problem(str(error), path)


def _split(item: dataclasses.Field[Any], text: str) -> list[str]:
    """Return the values of a key: of one that takes several those between commas or line ends."""
    if not item.metadata["many"]:
        return [text.strip()]
    parts = text.split("\n") if item.metadata["lines"] else text.replace("\n", ",").split(",")
    return [part.strip() for part in parts if part.strip()]


def _suggestion(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(known))}"


def _options_of(section: str) -> dict[str, dataclasses.Field[Any]] | None:
    """Return the settings of a section by key; None when there is no such section."""
    words = section.split()
    if section in SECTIONS:
        return options(SECTIONS[section])
    if len(words) >= 2 and words[0] in NAMED:
        return options(NAMED[words[0]][0])
    return None


# Values ----------------------------------------------------------------------------------------


def _build(values: Values) -> Settings:
    """Return the Settings that the texts stand for; problems are noted in values."""
    parsed: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    sources: dict[tuple[str, str], str] = {}
    for (section, key), (texts, where) in values.texts.items():
        known = _options_of(section)
        assert known is not None
        parsed.setdefault(section, {})
        if not key:
            continue
        try:
            parsed[section][key] = _value(known[key], texts)
        except ValueError as error:
            shown = " ".join(", ".join(texts).split())
            values.problem(str(error), where, f"[{section}] {key} = {shown}".rstrip())
        sources[section, key] = where
    named: dict[str, dict[str, Any]] = {kind: {} for kind in NAMED}
    for section, keys in parsed.items():
        kind, _, name = section.partition(" ")
        if name:
            named[kind][name] = NAMED[kind][0](**keys)
    sections: dict[str, Any] = {name: kind(**parsed[name]) for name, kind in SECTIONS.items()}
    sections |= {field: named[kind] for kind, (_, field) in NAMED.items()}
    return Settings(**sections, sources=sources)


def _value(item: dataclasses.Field[Any], texts: Sequence[str]) -> Any:
    """Return what the texts of a setting stand for; ValueError says what they must be.

    Nothing behind the = stands for what is not set by default either.
    """
    if not any(texts) and not render(item.default):
        return item.default
    if any("\n" in text for text in texts):
        raise ValueError("must be one line; a line that starts with a space goes on with the one before it")
    results = [item.metadata["parse"](text) for text in texts]
    if not results:
        raise ValueError("must not be empty")
    return tuple(results) if item.metadata["many"] else results[0]


def dump(program: Program, settings: Settings) -> str:
    """Return every effective setting as an INI text, each with the place it came from."""
    lines: list[str] = []
    sections: list[tuple[str, Any]] = [(name, getattr(settings, name)) for name in program.sections]
    for kind, (_, field) in NAMED.items():
        sections += [(f"{kind} {name}", value) for name, value in getattr(settings, field).items()]
    for section, value in sections:
        lines.append(f"[{section}]")
        for key in options(type(value)):
            setting = f"{key} = {render(getattr(value, key))}".rstrip()
            lines.append(f"{setting:<50} # {settings.sources.get((section, key), 'default')}")
        lines.append("")
    return "\n".join(lines)


def render(value: object) -> str:
    """Return a setting's value as it is written in a file; '' for one that is not set."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if len(value) == GUID_OCTETS else value.hex(":")
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        if any(isinstance(part, int) for part in value):
            return _render_item(value)  # two ports
        between = "\n    " if any(isinstance(part, Option) for part in value) else ", "
        return between.join(map(_render_item, value))
    return "" if value is None else str(value)


def _render_item(item: object) -> str:
    """Return one of several values: a pair of addresses or ports is a range, any other pair KEY=VALUE."""
    if isinstance(item, tuple):
        between = "-" if all(isinstance(part, IPv4Address | int) for part in item) else "="
        return between.join(map(render, item))
    return render(item)


# Command line ----------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def make_parser(program: Program) -> argparse.ArgumentParser:
    """Return the parser of a program's command line."""
    parser = _Parser(
        prog=program.name, description=program.summary, allow_abbrev=False, add_help=False,
        epilog=f"Configuration: {', '.join(f'{DIRECTORY}/{name}' for name in program.files)}.",
    )  # fmt: skip
    for positional in program.positionals:
        nargs = None if positional.required else "?"
        parser.add_argument(positional.metavar, help=positional.help, nargs=nargs)
    _add_common(parser)
    if "tftp" not in program.sections:
        parser.add_argument("-r", "--rfc1350", action="store_true", help=IGNORED_RFC1350)
    for query in program.queries:
        group = parser.add_argument_group("questions")
        group.add_argument(f"--{query.name}", dest=f"?{query.name}", metavar=query.metavar, help=query.help)
        for name, metavar, help in query.parameters:
            group.add_argument(f"--{name}", dest=f"?{name}", metavar=metavar, help=help)
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
    add("--check", action="store_true", help="read the configuration, say what is wrong with it, and exit")
    add("--dump-config", action="store_true", help="print every effective setting and where it was written")
    add("-v", "--verbose", action="store_true", help="show the structured fields of records on stderr too")
    add("-D", "--debug", action="store_true", help="record everything, each ignored datagram included")
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
    shown = render(item.default)
    help = facts["help"].replace("%", "%%") + (f" (default: {shown})" if shown else "")
    if facts["parse"] is syntax.flag:
        group.add_argument(*names, dest=f"{section}:{key}", action="store_const", const="yes", help=help)
        return
    group.add_argument(
        *names, dest=f"{section}:{key}", metavar=facts["metavar"], help=help,
        action="append" if facts["many"] else "store",
    )  # fmt: skip


def _read_arguments(values: Values, program: Program, arguments: argparse.Namespace) -> None:
    """Take the settings given on the command line; a bad one ends the program with exit code 2."""
    parser = make_parser(program)
    for option, section, key, given in _given(program, arguments):
        item = options(SECTIONS[section])[key]
        texts = [part for text in given for part in _split(item, text)]
        if item.metadata["parse"] is syntax.absolute_path:
            texts = [os.path.abspath(text) for text in texts]
        try:
            _value(item, texts)
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
            yield f"--{key.replace('_', '-')}", section, key, given if isinstance(given, list) else [given]
    for positional in program.positionals:
        given = getattr(arguments, positional.metavar)
        if positional.key and given is not None:
            yield positional.metavar, positional.section, positional.key, [given]
