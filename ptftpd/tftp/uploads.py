"""Uploads: written aside without a name, given their name only when they are whole and on disk."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from ptftpd.errors import FileError
from ptftpd.tftp.files import failure

CHUNK = 1 << 16  # octets gathered before a write
PART, VERSION = ".tftp.{n}.part", "{name}.~{n}~"  # of a file on its way in, of one that was replaced
# FAT has no links, of FUSE some, and only its owner may link a file that others may not write
# (fs.protected_hardlinks).
UNLINKABLE = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP}
FLOOR_EVERY = 1 << 24  # octets between two looks at the free space


@dataclass(frozen=True)
class Policy:
    """What may be uploaded: uploads none, create, overwrite or version; sizes in octets."""

    uploads: str
    limit: int
    reserve: int
    umask: int


class Upload:
    """A file on its way in. Nothing of it is seen before finish(), and nothing left without it."""

    def __init__(self, directory: int, path: str, name: str, policy: Policy, announced: int | None) -> None:
        """directory: a descriptor of the directory at path, which this object closes.

        announced: the client's tsize in octets. FileError when the policy, the name or the disk is
        against it.
        """
        self.path = posixpath.join(path, name)
        self.size = 0
        self._directory, self._name, self._policy = directory, name, policy
        self._here = {"src_dir_fd": directory, "dst_dir_fd": directory}
        self._pending = bytearray()
        self._looked = 0
        self._part = ""  # the name it has meanwhile where the file system cannot do without
        self._fd = -1
        try:
            self._admit(announced)
            self._create()
        except OSError as error:
            self.close()
            raise failure(error) from None
        except FileError:
            self.close()
            raise

    def write(self, payload: memoryview) -> None:
        """Keep the next octets; FileError when there are too many or the disk is full."""
        self.size += len(payload)
        if self.size > self._policy.limit:
            raise FileError(FileError.FULL, f"uploads are limited to {self._policy.limit} octets")
        self._pending += payload
        if len(self._pending) >= CHUNK:
            self._flush()

    def finish(self) -> None:
        """Make the file whole, durable and visible, in this order; FileError when that fails."""
        self._flush()
        try:
            os.fsync(self._fd)
            self._publish()
            os.fsync(self._directory)
        except OSError as error:
            raise failure(error) from None

    def close(self) -> None:
        """Release the descriptors; what was not finished is gone with them."""
        if self._part:
            try:
                os.unlink(self._part, dir_fd=self._directory)
            except OSError:
                pass  # published, or taken away by somebody else
            self._part = ""
        for fd in (self._fd, self._directory):
            if fd >= 0:
                os.close(fd)
        self._fd = self._directory = -1

    def _admit(self, announced: int | None) -> None:
        if self._policy.uploads == "none":
            raise FileError(FileError.DENIED, "uploads are off here")
        if self._exists() and self._policy.uploads == "create":
            raise failure(OSError(errno.EEXIST, ""))
        if announced is not None and announced > self._policy.limit:
            raise FileError(FileError.FULL, f"uploads are limited to {self._policy.limit} octets")
        self._check_space(announced or 0)

    def _exists(self) -> bool:
        """Return whether there is a file of that name; FileError when it is not a regular one."""
        try:
            mode = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(mode):
            raise FileError(FileError.DENIED, "something other than a regular file has that name")
        return True

    def _create(self) -> None:
        mode = 0o666 & ~self._policy.umask
        flags = os.O_WRONLY | os.O_CLOEXEC
        try:
            self._fd = os.open(f"/proc/self/fd/{self._directory}", flags | os.O_TMPFILE, mode)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:
                raise

            def aside(name: str) -> None:  # NFS, FUSE and others without O_TMPFILE
                self._fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, mode, dir_fd=self._directory)

            self._part = self._numbered(PART, aside)
        os.fchmod(self._fd, mode)  # the process's own umask took part

    def _flush(self) -> None:
        try:
            if self.size - self._looked >= FLOOR_EVERY:
                self._looked = self.size
                self._check_space(len(self._pending))
            view = memoryview(self._pending)
            while view:
                written = os.write(self._fd, view)
                view = view[written:]
        except OSError as error:
            raise failure(error) from None
        self._pending = bytearray()

    def _check_space(self, wanted: int) -> None:
        facts = os.fstatvfs(self._directory)
        if not facts.f_blocks:
            return  # some file systems, of FUSE for example, do not tell
        if facts.f_bavail * facts.f_frsize - wanted < self._policy.reserve:
            raise FileError(FileError.FULL, "the disk is full")

    def _publish(self) -> None:
        """Give the file its name."""
        if self._policy.uploads == "create":
            self._link(self._name)  # fails when another upload of that name was finished first
            return
        if self._policy.uploads == "version" and self._exists():
            self._numbered(VERSION, self._keep)
        if not self._part:
            self._part = self._numbered(PART, self._link)  # close() takes it away should the next step fail
        os.rename(self._part, self._name, **self._here)
        self._part = ""

    def _keep(self, name: str) -> None:
        """Give the file that is about to be replaced another name, which is not taken."""
        self._add_name(self._name, name)

    def _link(self, name: str) -> None:
        """Give the file a name, which is not taken."""
        if not self._part:
            os.link(f"/proc/self/fd/{self._fd}", name, dst_dir_fd=self._directory, follow_symlinks=True)
        elif not self._add_name(self._part, name):
            self._part = ""  # another upload may have that name by the time of close()

    def _add_name(self, old: str, new: str) -> bool:
        """Give a file a name that is not taken; return whether it has its old one still."""
        try:
            os.link(old, new, **self._here, follow_symlinks=False)
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            self._rename(old, new)
            return False
        return True

    def _rename(self, old: str, new: str) -> None:
        """Rename to what is not taken; for a moment the new name is that of a file that nobody may read."""
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0, dir_fd=self._directory))
        try:
            os.rename(old, new, **self._here)
        except OSError:
            os.unlink(new, dir_fd=self._directory)
            raise

    def _numbered(self, form: str, make: Callable[[str], None]) -> str:
        """Return the first name of a form that make(name) takes; others may take one at the same time."""
        for number in count(1):
            name = form.format(name=self._name, n=number)
            try:
                make(name)
            except FileExistsError:
                continue
            return name
        raise AssertionError("count() does not end")
