"""A reload in two steps: prepared everywhere before it is taken anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ptftpd.errors import Error


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Change:
    """Other settings, ready to be taken. Either commit() or discard() is called, once; neither can fail.

    Whatever can be at fault is found before, by what returns the Change: it raises Error and changes nothing.
    """

    commit: Callable[[], None] = nothing
    discard: Callable[[], None] = nothing


def together(*prepare: Callable[[], Change]) -> Change:
    """Return the change of several parts: all of them commit or none does. Error of the first that cannot."""
    ready: list[Change] = []
    try:
        for each in prepare:
            ready.append(each())  # noqa: PERF401 - those before one that fails are needed
    except Error:
        for change in ready:
            change.discard()
        raise

    def commit() -> None:
        for change in ready:
            change.commit()

    def discard() -> None:
        for change in ready:
            change.discard()

    return Change(commit, discard)
