"""Names that differ only in case: listings by folded name, kept while a directory is unchanged.

The rule: a directory is listed once a second at most, whatever is asked, and so many entries of all
directories together are. What changed within that second is found by its exact name alone.
"""

from __future__ import annotations

import os
import posixpath
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice

MAX_ENTRIES = (
    131_072  # of all directories, kept, some 150 octets each; those least recently asked for go first
)
MAX_DIRECTORY = 20_000  # entries: one that has more is not looked into, for others wait while it is listed
MAX_LISTED = (
    60_000  # entries listed within a second, 1 us each: what is left of it is for those who are served
)
MAX_DIRECTORIES = 64  # looked into for one name: where Boot and boot and BOOT are, their paths multiply
SETTLED = 2_000_000_000  # nanoseconds: of two changes soon after each other both may bear the same time
SECOND = 1_000_000_000  # nanoseconds that a listing is good for, though the directory changes

Table = dict[str, tuple[str, ...] | str]  # folded name -> name in the directory, or several, sorted


class Listings:
    """The listings of the directories below one root."""

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """wall returns the time of day in nanoseconds since 1970, the directories' own clock.

        clock returns nanoseconds that pass evenly.
        """
        self._wall, self._clock = wall, clock
        # (device, inode) -> (changed, or -1 if it was not settled; when it was listed; table), by last use
        self._tables: dict[tuple[int, int], tuple[int, int, Table]] = {}
        self._entries = 0
        self._second, self._listed = 0, 0  # entries listed since then
        self._lock = threading.Lock()

    def matches(self, root: int, relative: str) -> Iterator[str]:
        """Yield the names below an open root that differ from a name only in case, the likest first.

        In each part the exact name comes first, then the others in their order; where nothing is found below
        one of them, the next is tried. OSError when a directory cannot be read.
        """
        looked = 0

        def below(found: str, parts: list[str]) -> Iterator[str]:
            nonlocal looked
            if not parts:
                yield found
                return
            looked += 1
            if looked > MAX_DIRECTORIES:
                return
            for name in self._alike(root, found or ".", parts[0]):
                yield from below(posixpath.join(found, name), parts[1:])

        return below("", relative.split("/"))

    def _alike(self, root: int, directory: str, name: str) -> list[str]:
        """Return the entries of a directory that are like a name, the exact one first."""
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        except OSError:
            return []
        try:
            found = self._table(fd).get(name.casefold(), ())
        finally:
            os.close(fd)
        alike = {found} if isinstance(found, str) else set(found)
        return sorted({*alike, name}, key=lambda entry: (entry != name, entry))

    def _table(self, fd: int) -> Table:
        """Return the entries of an open directory; none of one that is too large to be looked into."""
        status = os.fstat(fd)
        key, changed = (status.st_dev, status.st_ino), max(status.st_mtime_ns, status.st_ctime_ns)
        now = self._clock()
        with self._lock:
            kept = self._tables.pop(key, None)
            if kept:
                self._tables[key] = kept  # it is the last to go
                if kept[0] == changed or now - kept[1] < SECOND:
                    return kept[2]
            if now - self._second >= SECOND:
                self._second, self._listed = now, 0
            if self._listed >= MAX_LISTED:
                return kept[2] if kept else {}
            self._listed += MAX_DIRECTORY  # until it is known, for other threads
        table, count = _read(fd)
        with self._lock:
            self._listed += count - MAX_DIRECTORY
            settled = self._wall() - changed >= SETTLED
            self._keep(key, (changed if settled else -1, now, table))
        return table

    def _keep(self, key: tuple[int, int], listing: tuple[int, int, Table]) -> None:
        self._entries += len(listing[2]) - len(self._tables.pop(key, (0, 0, {}))[2])
        self._tables[key] = listing
        while self._entries > MAX_ENTRIES or len(self._tables) > MAX_ENTRIES // 64:
            self._entries -= len(self._tables.pop(next(iter(self._tables)))[2])


def _read(fd: int) -> tuple[Table, int]:
    """Return the entries of a directory, none if it is too large, and how many were read."""
    with os.scandir(fd) as entries:
        names = [entry.name for entry in islice(entries, MAX_DIRECTORY + 1)]
    if len(names) > MAX_DIRECTORY:
        return {}, len(names)
    table: Table = {name.casefold(): name for name in names}
    if len(table) < len(names):
        several: dict[str, list[str]] = {}
        for name in names:
            several.setdefault(name.casefold(), []).append(name)
        table |= {folded: tuple(alike) for folded, alike in several.items() if len(alike) > 1}
    return table, len(names)
