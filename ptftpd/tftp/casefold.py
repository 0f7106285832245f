"""Names that differ only in case: listings by folded name, kept while a directory is unchanged."""

from __future__ import annotations

import os
import posixpath
import threading
import time
from collections.abc import Callable, Iterator

# A stranger's misspelt name costs a listing, 0.4 us an entry, unless it is at hand. So many entries of all
# directories are kept, some 150 octets each, and a directory that has more is not looked into.
MAX_ENTRIES = 131_072
MAX_DIRECTORIES = 64  # looked into for one name: where Boot and boot and BOOT are, their paths multiply
SETTLED = 2_000_000_000  # nanoseconds: of two changes soon after each other both may bear the same time

Table = dict[str, tuple[str, ...]]  # folded name -> names in the directory, sorted


class Listings:
    """The listings of the directories below one root."""

    def __init__(self, wall: Callable[[], int] = time.time_ns) -> None:
        """wall returns the time of day in nanoseconds since 1970, the directories' own clock."""
        self._wall = wall
        self._tables: dict[tuple[int, int], tuple[int, Table]] = {}  # (device, inode) -> (changed, table)
        self._entries = 0
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
            alike = self._table(fd).get(name.casefold(), ())
        finally:
            os.close(fd)
        return sorted(alike, key=lambda entry: (entry != name, entry))

    def _table(self, fd: int) -> Table:
        """Return the entries of an open directory; none of one that is too large to be looked into."""
        status = os.fstat(fd)
        key, changed = (status.st_dev, status.st_ino), max(status.st_mtime_ns, status.st_ctime_ns)
        with self._lock:
            kept = self._tables.get(key)
        if kept and kept[0] == changed:
            return kept[1]
        table = _read(fd)
        if self._wall() - changed >= SETTLED:
            self._keep(key, changed, table)
        return table

    def _keep(self, key: tuple[int, int], changed: int, table: Table) -> None:
        with self._lock:
            self._entries += len(table) - len(self._tables.pop(key, (0, {}))[1])
            self._tables[key] = changed, table
            while self._entries > MAX_ENTRIES or len(self._tables) > MAX_ENTRIES // 64:  # the oldest first
                self._entries -= len(self._tables.pop(next(iter(self._tables)))[1])


def _read(fd: int) -> Table:
    table: dict[str, list[str]] = {}
    with os.scandir(fd) as entries:
        for count, entry in enumerate(entries):
            if count >= MAX_ENTRIES:
                return {}
            table.setdefault(entry.name.casefold(), []).append(entry.name)
    return {folded: tuple(names) for folded, names in table.items()}
