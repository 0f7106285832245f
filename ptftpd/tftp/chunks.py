"""Chunks of files, kept while many machines that were switched on together ask for the same ones.

A chunk is what a Sender reads ahead: datagrams side by side, with their headers. All transfers of a file by
the same terms send the same ones; a hundred of them read it twice, and hold it in memory once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ptftpd.tftp.content import Content
from ptftpd.tftp.sender import Key

OCTETS = 8 << 20  # kept at most: what a hundred clients, not far from each other, are sending
ASKED = 256  # chunks remembered to have been asked for once, and not kept: a lone client asks for each once
# Two changes of a file in so many nanoseconds may bear the same time; what was read in between would pass
# for the latter. Linux before 6.13 takes the time of a tick of up to 10 ms, some file systems whole seconds.
SETTLED = 2_000_000_000


class Shelf:
    """The chunks of all files."""

    def __init__(self, wall: Callable[[], int] = time.time_ns) -> None:
        """wall returns the time of day in nanoseconds since 1970, the files' own clock."""
        self._wall = wall
        self._chunks: dict[Key, memoryview] = {}
        self._octets = 0
        self._asked: dict[Key, None] = {}

    def get(self, key: Key) -> memoryview | None:
        """Return a chunk if it is here."""
        return self._chunks.get(key)

    def keep(self, key: Key, chunk: memoryview, changed: int) -> bool:
        """Take a chunk that was asked for before, and will be again; return whether it was taken.

        changed: when the file did, nanoseconds since 1970.
        """
        if key not in self._asked:
            self._asked[key] = None
            if len(self._asked) > ASKED:
                del self._asked[next(iter(self._asked))]
            return False
        if self._wall() - changed < SETTLED:
            return False
        self._octets += len(chunk) - len(self._chunks.get(key, b""))
        self._chunks[key] = chunk
        while self._octets > OCTETS:  # the oldest first
            self._octets -= len(self._chunks.pop(next(iter(self._chunks))))
        return True

    def clear(self) -> None:
        """Forget everything: nobody is being served."""
        self._chunks.clear()
        self._asked.clear()
        self._octets = 0


class Shared:
    """The chunks of one open file, as sender.Shared: never one of an earlier state of the file."""

    def __init__(self, shelf: Shelf, content: Content) -> None:
        """content: the file, which this object does not close."""
        self._shelf, self._content = shelf, content
        self._state: Key | None = None

    def get(self, key: Key) -> memoryview | None:
        """Return a chunk that is as the file is now; None when there is none."""
        content_key = self._content.cache_key()
        if content_key is None:
            self._state = None
            return None
        self._state = (*content_key, *key)
        return self._shelf.get(self._state)

    def keep(self, key: Key, chunk: memoryview) -> bool:
        """Take the chunk that was read after get() did not find it; return whether it was taken."""
        if self._state is None:
            return False
        return self._shelf.keep(self._state, chunk, self._content.modified)
