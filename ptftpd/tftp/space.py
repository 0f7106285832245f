"""Room for uploads: what is promised to them and not written yet, counted together.

The rule: all uploads at once leave the reserve free, not each by itself. Every worker of the daemon adds its
promises to a table that all of them see, in a row of its own, before it looks at the free space: of two that
take the last room at the same moment one is refused, or both, and never none.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading

from ptftpd.errors import FileError

FILE_SYSTEMS = 16  # with uploads at the same time, for each worker; one more is told that the server is busy
WORDS = 3  # of an entry: device, octets, inodes
INODES = 100  # one in so many stays free: other programs make files on that disk too


class Space:
    """The table of promises. The processes that are forked from the one that makes it share it."""

    def __init__(self, workers: int = 1) -> None:
        """workers: the number of processes that will write."""
        self._workers = workers
        self._lock = threading.Lock()
        self._owner = self._row = -1  # process and row
        size = workers * FILE_SYSTEMS * WORDS * 8
        self._fd = -1
        if workers > 1:
            self._fd = os.memfd_create("uploads", os.MFD_CLOEXEC)
            os.ftruncate(self._fd, size)
            self._table = memoryview(mmap.mmap(self._fd, size)).cast("q")
        else:
            self._table = memoryview(bytearray(size)).cast("q")

    def promise(self, directory: int, reserve: int) -> Promise:
        """Return a promise of nothing yet, in the file system of an open directory.

        reserve: octets that have to stay free; 0: the last inode may be used up, too.
        """
        return Promise(self, directory, reserve)

    def add(self, device: int, octets: int, inodes: int) -> None:
        """Add to what this process has promised; FileError when its row is full."""
        with self._lock:
            at = self._entry(device)
            self._table[at] = device
            self._table[at + 1] += octets
            self._table[at + 2] += inodes

    def promised(self, device: int) -> tuple[int, int]:
        """Return (octets, inodes) that all workers have promised in a file system."""
        table, octets, inodes = self._table, 0, 0
        for at in range(0, len(table), WORDS):
            if table[at] == device:
                octets += table[at + 1]
                inodes += table[at + 2]
        return octets, inodes

    def _entry(self, device: int) -> int:
        """Return the place of a file system in this process's row."""
        if self._owner != os.getpid():
            self._claim()
        first = self._row * FILE_SYSTEMS * WORDS
        places = range(first, first + FILE_SYSTEMS * WORDS, WORDS)
        free = -1
        for at in places:
            if self._table[at] == device:
                return at
            if free < 0 and not (self._table[at + 1] or self._table[at + 2]):
                free = at
        if free < 0:
            raise FileError(FileError.BUSY, f"the server is busy: it writes to {FILE_SYSTEMS} file systems")
        return free

    def _claim(self) -> None:
        """Take a row that no living process has: its lock ended with the process, and so do its promises."""
        self._owner, self._row = os.getpid(), 0
        for row in range(self._workers if self._fd >= 0 else 0):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, row)
            except OSError:
                continue
            self._row = row
            break
        first = self._row * FILE_SYSTEMS * WORDS
        for at in range(first, first + FILE_SYSTEMS * WORDS):
            self._table[at] = 0


class Promise:
    """What one upload is promised."""

    def __init__(self, space: Space, directory: int, reserve: int) -> None:
        self._space, self._directory, self._reserve = space, directory, reserve
        self._device = os.fstat(directory).st_dev
        self.octets = self.inodes = 0

    def grow(self, octets: int, inodes: int = 0) -> None:
        """Promise so much more; FileError when the reserve would be touched."""
        self._add(octets, inodes)
        facts = os.fstatvfs(self._directory)
        promised, promised_inodes = self._space.promised(self._device)
        reason = ""
        # Some file systems, of FUSE for example, do not tell: they have no blocks, or no inodes.
        if facts.f_blocks and facts.f_bavail * facts.f_frsize - promised < self._reserve:
            reason = "the disk is full"
        elif facts.f_files and inodes:
            spared = facts.f_files // INODES if self._reserve else 0
            if facts.f_favail - promised_inodes < spared:
                reason = "the disk is full: it has no inode left for another file"
        if reason:
            self._add(-octets, -inodes)
            raise FileError(FileError.FULL, reason)

    def used(self, octets: int, inodes: int = 0) -> None:
        """Take back what was written meanwhile: the file system counts it now."""
        self._add(-min(octets, self.octets), -min(inodes, self.inodes))

    def shrink(self, octets: int) -> None:
        """Promise no more than that."""
        if octets < self.octets:
            self._add(octets - self.octets, 0)

    def release(self) -> None:
        """Promise nothing any more."""
        if self.octets or self.inodes:
            self._add(-self.octets, -self.inodes)

    def _add(self, octets: int, inodes: int) -> None:
        self._space.add(self._device, octets, inodes)
        self.octets += octets
        self.inodes += inodes
