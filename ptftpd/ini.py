"""Reads the INI files: which there are, and what each key says on which line."""

from __future__ import annotations

import configparser
import errno
import io
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import NamedTuple

from ptftpd import account
from ptftpd.dhcp import pxe
from ptftpd.option import options
from ptftpd.program import OF_DHCP, OF_TFTP, Program
from ptftpd.settings import NAMED, SECTIONS
from ptftpd.values import Values, section_options, split

MAX_FILE = 16 << 20  # octets: a hundred thousand [host] sections
TWICE = "the section appears twice in this file"
# What other servers' files call it.
ELSEWHERE = {
    "dns": "name_server",
    "filename": "boot_file",
    "fixed_address": "address",
    "hardware": "mac",
    "next_server": "tftp_server",
    "router": "gateway",
    "routers": "gateway",
}


class File(NamedTuple):
    """One file to read. owner: the server whose own it is; '' for one that is there for all."""

    path: str
    must_exist: bool
    owner: str


def files(
    values: Values, program: Program, chosen: str | None, interface: str, directory: str
) -> Iterator[File]:
    """Yield every file to read, in order; a directory that cannot be looked into is noted as a problem."""
    if chosen:
        yield File(chosen, True, "")
        return
    for name in program.files:
        owner = name.removesuffix(".conf")
        path = os.path.join(directory, name)
        yield File(path, False, owner)
        yield from (File(path, True, owner) for path in _drop_ins(values, f"{path}.d"))
    if interface:
        for name in program.files:
            owner = name.removesuffix(".conf")
            yield File(os.path.join(directory, f"{owner}@{interface}.conf"), False, owner)


def _drop_ins(values: Values, directory: str) -> list[str]:
    """Return the files of a directory that are read, in order."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        values.problem(_unreadable(error), directory)
        return []
    return [os.path.join(directory, name) for name in names if fnmatch(name, "[!.]*.conf")]


def _unreadable(error: OSError) -> str:
    """Return why a file is of no use; a service is not root, who would see nothing wrong with its mode."""
    who = f" by user {account.name()}" if error.errno == errno.EACCES else ""
    return f"cannot be read{who}: {error.strerror}"


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


def read_file(values: Values, file: File) -> None:
    """Note what a file says, and all that is wrong with it."""
    path, lines = file.path, _lines(values, file)
    parser = _Reader()
    try:
        parser.read_lines(lines, path)
    except configparser.Error as error:
        _syntax_problem(values, path, lines, error)
        return
    numbers = iter(parser.key_lines)
    seen: set[str] = set()
    for header in parser.sections():
        section = " ".join(header.split())
        places = {key: f"{path}:{next(numbers)}" for key in parser[header]}
        if section_options(section) is None or section in seen:
            line = next(n for n, line in enumerate(lines, 1) if line.lstrip().startswith(f"[{header}]"))
            reason = TWICE if section in seen else _unknown_section(section)
            values.problem(reason, f"{path}:{line}", f"[{section}]")
        else:
            seen.add(section)
            _read_section(values, file, section, dict(parser.items(header)), places)


def _octets(path: str) -> tuple[bytes, os.stat_result]:
    """Return what a regular file holds; ValueError for another one, or one of unreasonable size.

    A pipe or a device might be waited for without end, by a server that runs and is to reload. But /dev/null
    is how one says that there is no configuration.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(os.devnull)):
            raise ValueError("is not a regular file")
        with open(fd, "rb", closefd=False) as opened:
            octets = opened.read(MAX_FILE + 1)
    finally:
        os.close(fd)
    if len(octets) > MAX_FILE:
        raise ValueError(f"is larger than {MAX_FILE >> 20} MB, which no configuration is")
    return octets, status


def _lines(values: Values, file: File) -> list[str]:
    """Return the lines of a file; none, and a problem noted, when it cannot be read or is no text."""
    octets = b""
    try:
        octets, values.files[file.path] = _octets(file.path)
    except FileNotFoundError:
        if file.must_exist:
            values.problem("no such file", file.path)
    except OSError as error:
        values.problem(_unreadable(error), file.path)
    except ValueError as error:
        values.problem(str(error), file.path)
    broken = octets.find(b"\0")  # which UTF-16 is full of
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        broken = error.start
    if broken < 0:
        return io.StringIO(text, newline=None).readlines()
    line = octets.count(b"\n", 0, broken) + 1
    values.problem("is not UTF-8 text", f"{file.path}:{line}")
    return []


def _read_section(
    values: Values, file: File, section: str, texts: dict[str, str], places: dict[str, str]
) -> None:
    """Note the settings of a section that there is."""
    known = section_options(section) or {}
    for key, text in texts.items():
        if key not in known:
            values.problem(f"unknown setting{_known_keys(key, known)}", places[key], f"[{section}] {key}")
        elif reader := _reader(file.owner, section.partition(" ")[0], key):
            reason = f"no server reads it here: put it into {reader} or pxed.conf"
            values.problem(reason, places[key], f"[{section}] {key}")
        else:
            values.texts[section, key] = (split(known[key], text), places[key])
    values.texts.setdefault((section, ""), ([], file.path))


def _reader(owner: str, kind: str, key: str) -> str:
    """Return whose file a setting belongs into, '' when it may stand in one of that owner's."""
    of_tftp = kind in {"tftp", "directory", "remap"} or (kind == "pxe" and key in OF_TFTP)
    of_dhcp = kind in {"dhcp", "bootp", "subnet", "menu"} or (kind == "pxe" and key in OF_DHCP)
    if of_dhcp and owner == "ptftpd" and key != "state_dir":  # it looks clients up in the leases
        return "pdhcpd.conf"
    return "ptftpd.conf" if of_tftp and owner in {"pdhcpd", "pbootpd"} else ""


def _syntax_problem(values: Values, path: str, lines: Sequence[str], error: configparser.Error) -> None:
    """Note what configparser could not read, with its line."""
    if isinstance(error, configparser.DuplicateOptionError):
        item = (section_options(error.section) or {}).get(error.option)
        several = ": give all values in one place, each on a line of its own that begins with a space"
        more = several if item and item.metadata["many"] else ""
        where = f"{path}:{error.lineno}"
        values.problem(f"is set twice in this file{more}", where, f"[{error.section}] {error.option}")
    elif isinstance(error, configparser.DuplicateSectionError):
        values.problem(TWICE, f"{path}:{error.lineno}", f"[{error.section}]")
    elif isinstance(error, configparser.MissingSectionHeaderError):
        values.problem(
            "a setting comes before the first [section]", f"{path}:{error.lineno}", error.line.strip()
        )
    elif isinstance(error, configparser.ParsingError):
        for number, _ in error.errors:
            values.problem("must be 'key = value'", f"{path}:{number}", lines[number - 1].strip())
    else:
        values.problem(str(error), path)


def _unknown_section(section: str) -> str:
    """Return what is wrong with a section's name, and what it may have to be."""
    kind, _, name = section.partition(" ")
    if section in NAMED:
        return f"must have a name, as in [{section} NAME]"
    if kind in SECTIONS:
        return f"must have no name: [{kind}]"
    import difflib  # here and not at the top: no program needs it to start

    close = difflib.get_close_matches(kind.lower(), NAMED if name else SECTIONS, 1)
    if close:
        return f"unknown section; did you mean [{' '.join([*close, *name.split()])}]?"
    known = [f"[{one}]" for one in SECTIONS] + [f"[{one} NAME]" for one in NAMED]
    return f"unknown section; there are {', '.join(known)}"


def _known_keys(key: str, known: Mapping[str, object]) -> str:
    """Return what a key that is not known may have to be, or where it belongs."""
    import difflib

    kinds = {f"[{name}]": kind for name, kind in SECTIONS.items()}
    kinds |= {f"[{name} NAME]": kind for name, (kind, _) in NAMED.items()}
    ours = ELSEWHERE.get(key, key)
    if ours in known:
        return f"; here it is {ours}"
    if "boot" in known and key in {*pxe.ARCHITECTURES.values(), pxe.IPXE}:
        return "; to continue boot, the line must begin with a space"
    if elsewhere := [name for name, kind in kinds.items() if ours in options(kind)]:
        called = f"{ours}, " if ours != key else ""
        return f"; it is {called}one of {' and '.join(elsewhere)}"
    if close := difflib.get_close_matches(key, known, 1):
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(sorted(known))}"
