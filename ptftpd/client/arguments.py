"""The tftp client's command line: our own, tftp-hpa's and atftp's, told apart by what they contain."""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

import ptftpd
from ptftpd import syntax
from ptftpd.client.locations import remote
from ptftpd.client.session import SETTINGS, parse
from ptftpd.client.settings import Settings
from ptftpd.errors import Error

VERBS = ("get", "put", "probe")

USAGE = """\
tftp [OPTION]... [HOST [PORT]]                 prompt for commands
       tftp [OPTION]... HOST [PORT] -c COMMAND...     run one command of the prompt
       tftp [OPTION]... get URL... [-o FILE]          get tftp://HOST/NAME, to stdout with -o -
       tftp [OPTION]... put FILE... URL               put files, stdin for -, at tftp://HOST/NAME
       tftp [OPTION]... probe HOST [NAME]             see what a server can do
       tftp -g|-p [-r REMOTE] [-l LOCAL] HOST [PORT]  as atftp"""

IGNORED = "accepted for atftp's sake; always on"


@dataclass(frozen=True)
class Invocation:
    """What a command line asks for: verb '' is the prompt, 'command' the words of -c."""

    settings: Settings
    options: tuple[tuple[str, str], ...]  # TFTP options as atftp has them
    verb: str
    words: tuple[str, ...]  # of the verb; for 'command' the command's
    host: str = ""
    port: str = ""
    family: int = socket.AF_UNSPEC
    literal: bool = False
    verbose: bool = False
    trace: bool = False
    force: bool = False
    records: bool = False
    output: str = ""
    sha256: str = ""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line, and exits with 2."""

    def format_help(self) -> str:
        """Return the help, as wide as the terminal, which is not looked up for each option as it is added."""
        self.formatter_class = argparse.HelpFormatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def read(argv: Sequence[str], program: str) -> Invocation:
    """Return what a command line asks for. --help and --version exit with 0, mistakes with 2."""
    before, command = _split(argv)
    options = before[: before.index("--")] if "--" in before else before
    like_atftp = any(re.fullmatch(r"-[gp].*|--get|--put", word) for word in options)
    parser = make_parser(program, like_atftp=like_atftp)
    given = parser.parse_intermixed_args(before)
    words = tuple(given.words)
    try:
        invocation = Invocation(
            settings=_settings(given),
            options=tuple(_option(text) for text in given.option),
            verb="", words=words, family=given.family, literal=not like_atftp and given.literal,
            verbose=given.verbose, trace=given.trace, force=given.force, records=given.json,
            output=given.output, sha256=given.sha256 or "",
        )  # fmt: skip
        if like_atftp:
            return _checked(_like_atftp(invocation, given))
        if command is None and words and words[0] in VERBS:
            return _checked(_verb(invocation))
        return _checked(_like_tftp_hpa(invocation, command))
    except Error as error:
        parser.error(str(error))


def make_parser(program: str = "tftp", *, like_atftp: bool = False) -> Parser:
    """Return the parser of the options; in atftp's form -l and -r name files."""
    parser = Parser(
        prog=program, usage=USAGE, allow_abbrev=False, add_help=False,
        formatter_class=partial(argparse.HelpFormatter, width=80),
        description="Transfer files by TFTP: RFC 1350, 2347, 2348, 2349 and 7440.",
        epilog="At the prompt, help lists the commands. Exit status: 0 done, 1 a transfer failed, 2 usage.",
    )  # fmt: skip
    add: Any = parser.add_argument
    add("words", nargs="*", help=argparse.SUPPRESS)
    group: Any = parser.add_argument_group("files")
    add = group.add_argument
    if like_atftp:
        add("-g", "--get", action="store_const", const="get", dest="verb", help="get a file")
        add("-p", "--put", action="store_const", const="put", dest="verb", help="put a file")
        add("-l", "--local-file", default="", metavar="FILE", help="its name here")
        add("-r", "--remote-file", default="", metavar="FILE", help="its name on the server")
    else:
        add("-l", "--literal", action="store_true", help="a : in a file name does not end a host name")
    add("-o", "--output", default="", metavar="FILE", help="where to put the file; - is stdout")
    add(
        "-f",
        "--force",
        action="store_true",
        help="replace an existing file, or show a binary one on a terminal",
    )
    add(
        "--sha256",
        type=_sha256,
        metavar="HEX",
        help="keep the file only if this is its SHA-256; what goes to stdout is out by then",
    )
    group = parser.add_argument_group("transfer")
    for key, item in SETTINGS.items():
        _add_setting(group, key, item.metadata, taken="lr" if like_atftp else "")
    add = group.add_argument
    add("-4", dest="family", action="store_const", const=socket.AF_INET, default=0, help="use IPv4 only")
    add("-6", dest="family", action="store_const", const=socket.AF_INET6, help="use IPv6 only")
    add("--option", action="append", default=[], metavar="'NAME VALUE'", help="as atftp: 'blksize 1428'")
    add("--tftp-timeout", dest="timeout", metavar="SECONDS", help="as atftp: the same as --timeout")
    add("--prevent-sas", action="store_true", help=IGNORED)
    group = parser.add_argument_group("what is shown")
    add = group.add_argument
    add("-v", "--verbose", action="store_true", help="show what is negotiated with the server, and a summary")
    add("--trace", action="store_true", help="show each packet")
    add(
        "--json",
        action="store_true",
        help="print each transfer as a line of JSON, on stderr when stdout is the file",
    )
    add("-V", "--version", action="version", version=f"{program} (ptftpd) {ptftpd.__version__}")
    add("-h", "-?", "--help", action="help", help="show this help")
    return parser


def _add_setting(group: Any, key: str, facts: Any, *, taken: str) -> None:
    names = [f"--{key.replace('_', '-')}"]
    if facts["short"] and facts["short"] not in taken:
        names.insert(0, f"-{facts['short']}")
    help = facts["help"].replace("%", "%%")
    if facts["parse"] is syntax.flag:
        group.add_argument(*names, dest=key, action="store_const", const="yes", help=help)
    else:
        group.add_argument(*names, dest=key, metavar=facts["metavar"], help=help)


def _split(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Return the words before tftp-hpa's -c and those behind it, which are one command; None without -c."""
    for index, word in enumerate(argv):
        if word == "--":
            break
        if re.fullmatch(r"-[46lv]*c", word):
            flags = [word[:-1]] if len(word) > 2 else []
            return [*argv[:index], *flags], list(argv[index + 1 :])
    return list(argv), None


def _settings(given: argparse.Namespace) -> Settings:
    texts = {key: getattr(given, key) for key in SETTINGS if getattr(given, key) is not None}
    values = {}
    for key, text in texts.items():
        try:
            values[key] = parse(key, text)
        except Error as error:
            raise Error(f"--{error}") from None
    return Settings(**values)  # type: ignore[arg-type]


def _like_tftp_hpa(invocation: Invocation, command: Sequence[str] | None) -> Invocation:
    """Return the prompt, or the command behind -c, on HOST PORT."""
    words = invocation.words
    if command is None and words and words[0].lower().startswith("tftp://") and remote(words[0]).name:
        return _verb(replace(invocation, words=("get", *words)))  # the habit of curl's users
    if command is not None and not command:
        raise Error("-c needs a command after it, such as: -c get NAME")
    if len(words) > 2:
        raise Error(f"only HOST and PORT may come here, not {words[2]}: is a -c missing?")
    host, port, *_ = (*words, "", "")
    verb = "" if command is None else "command"
    return replace(invocation, host=host, port=port, verb=verb, words=tuple(command or ()))


def _like_atftp(invocation: Invocation, given: argparse.Namespace) -> Invocation:
    """Return atftp's -g or -p as a verb: (remote, local) on HOST PORT."""
    if not 1 <= len(invocation.words) <= 2:
        raise Error("name the server: -g or -p with -r REMOTE, -l LOCAL and HOST [PORT]")
    here, there = given.local_file or given.output, given.remote_file
    if not (here or there):
        raise Error("name the file: -r REMOTE, -l LOCAL or both")
    host, port, *_ = (*invocation.words, "")
    words = (there or here, here) if given.verb == "get" else (here or there, there or here)
    return replace(invocation, verb=f"atftp-{given.verb}", words=words, host=host, port=port)


def _verb(invocation: Invocation) -> Invocation:
    """Return get, put or probe with its arguments; Error when they are too few or too many."""
    verb, *words = invocation.words
    if verb == "get" and not words:
        raise Error("get needs the URL of a file: get tftp://HOST/NAME")
    if verb == "put" and len(words) < 2:
        raise Error("put needs a file and a URL: put FILE tftp://HOST/NAME")
    if verb == "probe" and not 1 <= len(words) <= 2:
        raise Error("probe needs a server and, to see its options, a file on it: probe HOST NAME")
    for word in {"get": words, "put": words[-1:], "probe": []}[verb]:
        if not remote(word).host:
            hint = "; its name here goes after -o" if verb == "get" else ""
            raise Error(f"{word} names no server: write tftp://HOST/NAME or HOST:NAME{hint}")
    return replace(invocation, verb=verb, words=tuple(words))


def _checked(invocation: Invocation) -> Invocation:
    """Return it; Error when an option for files that are got is given for something else."""
    verb, words = invocation.verb, invocation.words
    if invocation.sha256 and verb != "atftp-get" and (verb != "get" or len(words) != 1):
        raise Error("--sha256 is for getting one file: write get tftp://HOST/NAME")
    for name, given, instead in (
        ("-o", invocation.output, "get NAME LOCAL"),
        ("-f", invocation.force, "get -f NAME"),
    ):
        if given and verb not in ("get", "atftp-get"):
            raise Error(f"{name} is for getting files: after -c and at the prompt write {instead}")
    return invocation


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition(" ")
    return name.lower(), value.strip()


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise argparse.ArgumentTypeError("must be 64 hexadecimal digits")
    return text
