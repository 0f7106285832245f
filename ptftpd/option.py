"""One setting: a field of a dataclass that knows its name, default, syntax and one-sentence help."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

YES, NO = {"yes", "true", "on", "1"}, {"no", "false", "off", "0"}  # how a flag is written, in any case


def option(
    default: Any,
    parse: Callable[[str], Any],
    help: str,
    *,
    metavar: str = "VALUE",
    short: str = "",
    aliases: tuple[str, ...] = (),
    many: bool = False,
    lines: bool = False,
    restart: bool = False,
) -> Any:
    """Return a dataclass field that is one setting.

    parse turns the text into the value or raises ValueError with a reason that starts 'must be'.
    many: the key holds several values, separated by commas or line ends; the option may be repeated.
    lines: by line ends only, as commas are part of the values.
    restart: a reload does not take a change over, as sockets and processes hang on it.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "parse": parse,
            "help": help,
            "metavar": metavar,
            "short": short,
            "aliases": aliases,
            "many": many,
            "lines": lines,
            "restart": restart,
        },
    )


def options(section: type) -> dict[str, dataclasses.Field[Any]]:
    """Return the option() fields of a section's dataclass by key."""
    return {item.name: item for item in dataclasses.fields(section) if "parse" in item.metadata}
