"""Reads the INI files: which there are, and what each key says on which line."""

from __future__ import annotations

import configparser
import io
import os
from collections.abc import Iterator, Sequence
from glob import glob
from typing import Any

from ptftpd.program import Program
from ptftpd.settings import NAMED, SECTIONS
from ptftpd.values import Values, section_options, split

TWICE = "the section stands twice in this file"


def files(program: Program, chosen: str | None, interface: str, directory: str) -> list[tuple[str, bool]]:
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


def read_file(values: Values, path: str, must_exist: bool) -> None:
    """Note what each key of a file says and where, and all that is wrong with the file."""
    lines = _lines(values, path, must_exist)
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
        items = [(key, text, f"{path}:{next(numbers)}") for key, text in parser.items(header)]
        options = section_options(section)
        if options is None or section in seen:
            line = next(n for n, line in enumerate(lines, 1) if line.lstrip().startswith(f"[{header}]"))
            known = ", ".join([f"[{name}]" for name in SECTIONS] + [f"[{name} NAME]" for name in NAMED])
            reason = TWICE if section in seen else f"unknown section; there are {known}"
            values.problem(reason, f"{path}:{line}", f"[{section}]")
            continue
        seen.add(section)
        values.texts.setdefault((section, ""), ([], path))  # it is there, even without a key
        for key, text, where in items:
            if key in options:
                values.texts[section, key] = (split(options[key], text), where)
            else:
                values.problem(f"unknown setting{_suggestion(key, options)}", where, f"[{section}] {key}")


def _lines(values: Values, path: str, must_exist: bool) -> list[str]:
    """Return the lines of a file; none, and a problem noted, when it cannot be read or is no text."""
    octets = b""
    try:
        with open(path, "rb") as file:
            octets = file.read()
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        if must_exist or not absent:
            values.problem("no such file" if absent else f"cannot be read: {error.strerror}", path)
    broken = octets.find(b"\0")  # which UTF-16 is full of
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        broken = error.start
    if broken < 0:
        return io.StringIO(text, newline=None).readlines()
    line = octets.count(b"\n", 0, broken) + 1
    values.problem("is not UTF-8 text", f"{path}:{line}")
    return []


def _syntax_problem(values: Values, path: str, lines: Sequence[str], error: configparser.Error) -> None:
    """Note what configparser could not read, with its line."""
    if isinstance(error, configparser.DuplicateOptionError):
        values.problem(
            "is set twice in this file", f"{path}:{error.lineno}", f"[{error.section}] {error.option}"
        )
    elif isinstance(error, configparser.DuplicateSectionError):
        values.problem(TWICE, f"{path}:{error.lineno}", f"[{error.section}]")
    elif isinstance(error, configparser.MissingSectionHeaderError):
        values.problem(
            "a setting stands before the first [section]", f"{path}:{error.lineno}", error.line.strip()
        )
    elif isinstance(error, configparser.ParsingError):
        for number, _ in error.errors:
            values.problem("must be 'key = value'", f"{path}:{number}", lines[number - 1].strip())
    else:
        values.problem(str(error), path)


def _suggestion(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(known))}"
