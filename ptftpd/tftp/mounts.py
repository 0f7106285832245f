"""Whether a file system may hang: which are mounted, and of what kind."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Kinds whose calls end on this machine: with a disk, or with memory. All others may wait for a server or a
# daemon that does not answer: NFS, SMB, FUSE, automounts and what is not known here.
LOCAL = frozenset((
    "bcachefs", "bpf", "btrfs", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
    "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hugetlbfs", "iso9660", "jfs", "mqueue", "nsfs",
    "overlay", "proc", "pstore", "ramfs", "rootfs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs",
    "tracefs", "ubifs", "udf", "vfat", "xfs", "zfs", "ntfs3",
))  # fmt: skip
# Where automounts and daemons of the system are, and no file that is served.
SYSTEM = ("/proc/", "/sys/", "/dev/", "/run/user/")


class ElsewhereError(Exception):
    """A root may hang, and this thread is not one that may wait for it."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.root = root


class _Permits(threading.local):
    roots: frozenset[str] | None = None  # None: all, as in programs that serve nobody


_permits = _Permits()


@contextmanager
def permitted(roots: frozenset[str]) -> Iterator[None]:
    """Let this thread wait for these roots only; follow() of others that may hang raises ElsewhereError."""
    before, _permits.roots = _permits.roots, roots
    try:
        yield
    finally:
        _permits.roots = before


def may_wait_for(root: str) -> bool:
    """Return whether this thread may wait for a root."""
    return _permits.roots is None or root in _permits.roots


class Mounts:
    """The mounts that this process sees, read again when the kernel says that they changed."""

    def __init__(self, path: str = "/proc/self/mountinfo") -> None:
        """path: of the kernel's table, proc(5)."""
        self._kinds: dict[int, str] = {}  # by the mount's number
        self._hanging = True  # what is not known may hang
        self._lock = threading.Lock()
        self._poll = select.poll()
        try:
            self._table = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._table = -1
            return
        self._poll.register(self._table, select.POLLPRI)
        self._read()

    def __del__(self) -> None:
        """Release the descriptor."""
        self.close()

    def close(self) -> None:
        """Release the descriptor; what was mounted last counts from now on."""
        with self._lock:
            table, self._table = self._table, -1
            if table >= 0:
                self._poll.unregister(table)
                os.close(table)

    def may_hang(self) -> bool:
        """Return whether there is a file system that may hang: links could lead to it from anywhere."""
        with self._lock:  # a poll object is for one thread at a time
            if self._table >= 0 and self._poll.poll(0):
                self._read()
        return self._hanging

    def file_may_hang(self, fd: int) -> bool:
        """Return whether the file system of an open file may hang."""
        if not self.may_hang():
            return False
        try:
            with open(f"/proc/self/fdinfo/{fd}") as facts:
                number = next(int(line.split()[1]) for line in facts if line.startswith("mnt_id:"))
        except (OSError, ValueError, StopIteration):
            return True
        return self._kinds.get(number, "") not in LOCAL

    def _read(self) -> None:
        os.lseek(self._table, 0, os.SEEK_SET)
        text = b""
        while part := os.read(self._table, 1 << 16):
            text += part
        kinds, hanging = {}, False
        for line in text.decode("utf-8", "surrogateescape").splitlines():
            head, _, tail = line.partition(" - ")
            number, place, kind = int(head.split()[0]), head.split()[4], tail.split()[0]
            kinds[number] = kind
            hanging = hanging or (kind not in LOCAL and not f"{place}/".startswith(SYSTEM))
        self._kinds, self._hanging = kinds, hanging
