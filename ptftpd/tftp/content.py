"""What a name leads to: octets to be sent, whatever they are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

CacheKey = tuple[int, ...]  # equal keys of one server process: equal octets


class Content(Protocol):
    """Octets of a known size, open for reading."""

    path: str  # for the record
    root: str  # which it comes from
    may_hang: bool  # reading and closing it may
    size: int  # octets, as of when it was opened
    modified: int  # nanoseconds since 1970: when it last changed, as of when it was opened or last asked for

    def read(self, views: Sequence[memoryview], offset: int) -> int:
        """Fill the views from offset; return the octets read, fewer only at the end. Raises FileError."""

    def cache_key(self) -> CacheKey | None:
        """Return what differs when the octets do, as they are now; None when that is not to be told."""

    def close(self) -> None:
        """Release it."""
