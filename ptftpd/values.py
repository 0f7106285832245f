"""Settings as texts and as values: what every key stands for, and how a value is written."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from typing import Any

from ptftpd.dhcp.registry import Option
from ptftpd.errors import ConfigError
from ptftpd.option import options
from ptftpd.program import Program
from ptftpd.settings import NAMED, SECTIONS, Settings


class Values:
    """Texts by (section, key) with the place each was written, and the problems met."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], tuple[list[str], str]] = {}
        self.problems: list[ConfigError] = []
        self.files: dict[str, os.stat_result] = {}  # those that were read

    def problem(self, reason: str, source: str = "", setting: str = "") -> None:
        """Note what is wrong; all of it is told at once."""
        self.problems.append(ConfigError(reason, source=source, setting=setting))

    def check(self) -> None:
        """Raise a ConfigError with every problem, a line each."""
        if self.problems:
            raise ConfigError("\n".join(str(problem) for problem in self.problems))


def section_options(section: str) -> dict[str, dataclasses.Field[Any]] | None:
    """Return the settings of a section by key; None when there is no such section."""
    words = section.split()
    if section in SECTIONS:
        return options(SECTIONS[section])
    if len(words) >= 2 and words[0] in NAMED:
        return options(NAMED[words[0]][0])
    return None


def split(item: dataclasses.Field[Any], text: str) -> list[str]:
    """Return the values of a key: of one that takes several those between commas or line ends."""
    if not item.metadata["many"]:
        return [text.strip()]
    parts = text.split("\n") if item.metadata["lines"] else text.replace("\n", ",").split(",")
    return [part.strip() for part in parts if part.strip()]


def build(values: Values) -> Settings:
    """Return the Settings that the texts stand for; problems are noted in values."""
    parsed: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    sources: dict[tuple[str, str], str] = {}
    for (section, key), (texts, where) in values.texts.items():
        known = section_options(section)
        assert known is not None
        parsed.setdefault(section, {})
        if not key:
            continue
        try:
            parsed[section][key] = parse(known[key], texts)
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


def parse(item: dataclasses.Field[Any], texts: Sequence[str]) -> Any:
    """Return what the texts of a setting stand for; ValueError says what they must be.

    Nothing behind the = stands for what is not set by default either.
    """
    if not any(texts) and not written(item, item.default):
        return item.default
    if any("\n" in text for text in texts):
        raise ValueError("must be one line; a line that starts with a space continues the one before it")
    if any(len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" for text in texts):
        raise ValueError("must be written without quotes")
    results = [item.metadata["parse"](text) for text in texts]
    if not results:
        raise ValueError("must not be empty")
    if together := getattr(item.metadata["parse"], "together", None):
        together(texts)
    return tuple(results) if item.metadata["many"] else results[0]


def dump(program: Program, settings: Settings) -> str:
    """Return every effective setting as an INI text, each with the place it came from."""
    lines: list[str] = []
    sections: list[tuple[str, Any]] = [(name, getattr(settings, name)) for name in program.sections]
    for kind, (_, field) in NAMED.items():
        sections += [(f"{kind} {name}", value) for name, value in getattr(settings, field).items()]
    for section, value in sections:
        lines.append(f"[{section}]")
        for key, item in options(type(value)).items():
            setting = f"{key} = {written(item, getattr(value, key))}".rstrip()
            lines.append(f"{setting:<50} # {settings.sources.get((section, key), 'default')}")
        lines.append("")
    return "\n".join(lines)


def written(item: dataclasses.Field[Any], value: Any) -> str:
    """Return a setting's value as it is written in a file; '' for one that is not set."""
    write: Callable[[Any], str] = getattr(item.metadata["parse"], "write", render)
    return "" if value is None else write(value)


def render(value: object) -> str:
    """Return a value of no unit as it is written in a file; '' for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return value.hex(":")
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
