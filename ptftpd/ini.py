"""Reads the INI files: which there are, and what each key says on which line."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator, Sequence
from glob import glob
from typing import Any

from ptftpd.program import Program
from ptftpd.settings import NAMED, SECTIONS
from ptftpd.values import Values, section_options, split


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
        options = section_options(section)
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
                parts = split(options[key], text)
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


def _suggestion(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(known))}"
