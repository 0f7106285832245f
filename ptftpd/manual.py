"""Renders what people read from the settings: the manual pages and the sample configuration files.

What no setting can know, such as the examples, is text in the directory man/ of the source, which has lines
of the form @NAME@ where the rest comes in.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import ptftpd
from ptftpd import syntax
from ptftpd.option import options
from ptftpd.program import DIRECTORY, Program
from ptftpd.settings import NAMED, SECTIONS, Dhcp
from ptftpd.values import written

WIDTH = 100  # columns of the sample files


def sample(sections: Iterable[str]) -> str:
    """Return a sample configuration file with these sections, every line a commented default."""
    lines = [
        "# Every setting with its default. Write yours into a file of your own, which no upgrade asks about:",
        f"# {DIRECTORY}/NAME.conf.d/local.conf is read after NAME.conf and wins over it; see ptftpd.conf(5).",
    ]
    for name in sections:
        kind = _dataclass(name)
        header = f"[{name}]" if name in SECTIONS else f"#[{name} NAME]"
        lines += ["", *_comment(_sentence(_about(kind))), header]
        for key, item in options(kind).items():
            lines += [
                "",
                *_comment(item.metadata["help"]),
                f"#{key} = {written(item, item.default)}".rstrip(),
            ]
    return "\n".join(lines) + "\n"


def page(name: str, section: int, text: str, parts: Mapping[str, str]) -> str:
    """Return a manual page in troff: text with each line @NAME@ replaced by that part.

    A part may have such lines as well. ValueError when there is no part of a name.
    """
    while match := re.search(r"^@([A-Z]+)@\n", text, re.MULTILINE):
        if match[1] not in parts:
            raise ValueError(f"{name}({section}): there is nothing to put in the place of {match[0].strip()}")
        text = text[: match.start()] + parts[match[1]] + text[match.end() :]
    return f'.TH {name.upper()} {section} "" "ptftpd {ptftpd.__version__}"\n{text}'


def link(name: str, section: int) -> str:
    """Return a page that stands for another one."""
    return f".so man{section}/{name}.{section}\n"


def options_part(parser: argparse.ArgumentParser) -> str:
    """Return everything that a command line may hold, in its groups."""
    lines = [".SH OPTIONS"]
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if actions and group.title not in (None, "options", "positional arguments"):
            lines.append(f".SS {_troff(_sentence(group.title or '', end=''))}")
        for action in actions:
            lines += _item(_invocation(action), _sentence((action.help or "").replace("%%", "%")))
    return "\n".join(lines) + "\n"


def files_part(program: Program) -> str:
    """Return the configuration files of a program, and its database."""
    described = {f"{DIRECTORY}/{name}": "Configuration, see ptftpd.conf(5)." for name in program.files}
    if "dhcp" in program.sections:
        described[Dhcp().database("IFACE")] = "The leases, which --leases prints."
    return "\n".join(line for name, text in described.items() for line in _item(name, text)) + "\n"


def settings_part() -> str:
    """Return every section of the configuration files with its keys."""
    lines = []
    for name in [*SECTIONS, *NAMED]:
        kind = _dataclass(name)
        header = f"[{name}]" if name in SECTIONS else f"[{name} NAME]"
        lines += [f".SH SECTION {_troff(header)}", _troff(_sentence(_about(kind)))]
        for key, item in options(kind).items():
            facts, default = item.metadata, written(item, item.default)
            more = " Takes several values." if facts["many"] else ""
            more += " A change takes a restart." if facts["restart"] else ""
            preset = f" Default: {default}." if default else ""
            lines += _item(f"{key} = {_values(item)}", _sentence(facts["help"]) + more + preset)
    return "\n".join(lines) + "\n"


def list_part(items: Iterable[tuple[str, str]]) -> str:
    """Return terms, each with the text that explains it."""
    return "\n".join(line for term, text in items for line in _item(term, _sentence(text))) + "\n"


def words_part(words: Iterable[str]) -> str:
    """Return words in a row."""
    return _troff(", ".join(words)) + ".\n"


def _values(item: dataclasses.Field[Any]) -> str:
    """Return what may stand behind the = of a setting."""
    facts = item.metadata
    words = ("yes", "no") if facts["parse"] is syntax.flag else getattr(facts["parse"], "words", ())
    return "|".join(words) or str(facts["metavar"])


def _dataclass(section: str) -> type:
    return SECTIONS[section] if section in SECTIONS else NAMED[section][0]


def _about(kind: type) -> str:
    """Return what a section is for: its docstring without the name in front."""
    return inspect.cleandoc(kind.__doc__ or "").partition(": ")[2].replace("\n", " ")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _sentence(text: str, end: str = ".") -> str:
    """Return text with a capital letter and a full stop, except where a first word is written as it is."""
    first = text.split(maxsplit=1)[0] if text else ""
    plain = first.rstrip(",").isalpha() and first.islower()
    return (text[:1].upper() + text[1:] if plain else text) + ("" if text.endswith(".") else end)


def _item(term: str, text: str) -> list[str]:
    return [".TP", f".B {_troff(term)}", _troff(text)]


def _invocation(action: argparse.Action) -> str:
    """Return how an argument is written, such as '-u, --user USER'."""
    metavar = action.metavar or ("" if action.option_strings else action.dest)
    metavar = metavar if isinstance(metavar, str) else " ".join(metavar)
    return " ".join(part for part in (", ".join(action.option_strings), metavar) if part)


def _troff(text: str) -> str:
    """Return text as troff prints it: backslashes and dashes as they are, no line taken for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in {".", "'"} else escaped
