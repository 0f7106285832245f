"""Uploads: written aside without a name, given their name only when they are whole and on disk."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from ptftpd.errors import FileError
from ptftpd.tftp.files import NO_PERMISSION, failure
from ptftpd.tftp.names import UNFINISHED
from ptftpd.tftp.permissions import unwritable
from ptftpd.tftp.space import Promise, Space

CHUNK = 1 << 14  # octets gathered before a write, by each upload
VERSION = "{name}.~{n}~"  # of a file that was replaced
# FAT has no links, of FUSE some, and only its owner may link a file that others may not write
# (fs.protected_hardlinks).
UNLINKABLE = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP}
STEP = 1 << 20  # octets promised at a time to an upload that did not tell its size
LOOK = 1 << 24  # octets between two looks at the free space, which other programs use too


@dataclass(frozen=True)
class Policy:
    """What may be uploaded: uploads none, create, overwrite or version; sizes in octets.

    versions: earlier files of a name that are kept; 0: all. withheld: permission bits that are not taken over
    from the file that is replaced.
    """

    uploads: str
    limit: int
    reserve: int
    umask: int
    versions: int = 0
    withheld: int = 0


class Upload:
    """A file on its way in. Nothing of it is seen before finish(), and nothing left without it."""

    def __init__(
        self,
        directory: int,
        path: str,
        name: str,
        policy: Policy,
        announced: int | None,
        space: Space | None = None,
    ) -> None:
        """directory: a descriptor of the directory at path, which this object closes.

        announced: the client's tsize in octets. space: what is promised to all uploads. FileError when the
        policy, the name or the disk is against it.
        """
        self.path = posixpath.join(path, name)
        self.root, self.may_hang = "", False  # as of Content; to finish it always may
        self.size = 0
        self._directory, self._name, self._policy = directory, name, policy
        self._here = {"src_dir_fd": directory, "dst_dir_fd": directory}
        self._pending = bytearray()
        self._announced, self._looked = announced or 0, 0
        self._promise: Promise = (space or Space()).promise(directory, policy.reserve)
        self._part = ""  # the name it has meanwhile where the file system cannot do without
        self._fd = -1
        self._decision = threading.Lock()  # who takes it, once, decides: finish() or give_up()
        try:
            self._admit()
            self._create()
            self._promise.used(0, inodes=1)
        except OSError as error:
            raise self._explained(failure(error)) from None
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
        """Make the file whole, durable and visible, in this order; FileError when that fails.

        It is not made visible once it was given up: an upload is acknowledged if and only if it is published.
        """
        self._flush()
        try:
            os.fsync(self._fd)
            if not self._decision.acquire(blocking=False):
                raise FileError(FileError.BUSY, "the upload was given up")
            self._publish()
            os.fsync(self._directory)
        except OSError as error:
            raise failure(error) from None

    def give_up(self) -> bool:
        """See to it that the file is not published, while a thread finishes it; False when it is by now."""
        return self._decision.acquire(blocking=False)

    def close(self) -> None:
        """Release the descriptors; what was not finished is gone with them."""
        if self._part:
            try:
                os.unlink(self._part, dir_fd=self._directory)
            except OSError:
                pass  # published, or taken away by somebody else
            self._part = ""
        self._promise.release()
        for fd in (self._fd, self._directory):
            if fd >= 0:
                os.close(fd)
        self._fd = self._directory = -1

    def _explained(self, error: FileError) -> FileError:
        """Release everything; return the error with what an administrator has to do about it."""
        detail = error.detail
        if error.reason == NO_PERMISSION and (reason := unwritable(self._directory)):
            detail = (
                f"{posixpath.dirname(self.path)}: {reason} (a file is written beside the one it replaces)"
            )
        self.close()
        return FileError(error.kind, error.reason, detail)

    def _admit(self) -> None:
        if self._policy.uploads == "none":
            raise FileError(FileError.DENIED, "uploads are off here")
        if self._exists() and self._policy.uploads == "create":
            raise failure(OSError(errno.EEXIST, ""))
        if self._announced > self._policy.limit:
            raise FileError(FileError.FULL, f"uploads are limited to {self._policy.limit} octets")
        self._promise.grow(self._announced, inodes=1)
        # Until the first octets come the request may be forged: it does not keep others out with its size.
        self._promise.shrink(STEP)

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

            self._part = self._numbered(UNFINISHED, aside)
        os.fchmod(self._fd, mode)  # the process's own umask took part

    def _flush(self) -> None:
        try:
            self._make_room(len(self._pending))
            view = memoryview(self._pending)
            while view:
                written = os.write(self._fd, view)
                view = view[written:]
                self._promise.used(written)
        except OSError as error:
            raise failure(error) from None
        self._pending = bytearray()

    def _make_room(self, octets: int) -> None:
        """See to it that so many octets, which are written next, are promised; FileError if they are not."""
        promise = self._promise
        missing = octets - promise.octets
        before = self.size - octets  # octets that are written already
        if self._announced and not before:
            missing = max(missing, self._announced - promise.octets)
        if missing > 0:
            try:
                promise.grow(max(missing, STEP))
            except FileError:  # for so much, but perhaps not for what has come
                promise.grow(missing)
        elif self.size - self._looked >= LOOK:
            self._looked = self.size
            promise.grow(0)

    def _publish(self) -> None:
        """Give the file its name, and mode and group of the one that it replaces."""
        self._take_after()
        if self._policy.uploads == "create":
            self._link(self._name)  # fails when another upload of that name was finished first
            return
        if self._policy.uploads == "version" and self._exists():
            self._keep_version()
        if not self._part:
            self._part = self._numbered(
                UNFINISHED, self._link
            )  # close() takes it away should the next step fail
        os.rename(self._part, self._name, **self._here)
        self._part = ""

    def _take_after(self) -> None:
        """Take mode and group from the file that is about to be replaced: others share it by these.

        Its group only where the server may give it: where it is a member, and fchown(2) is let through.
        """
        if self._policy.uploads == "create":
            return
        try:
            status = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(status.st_mode):
            return
        mode = stat.S_IMODE(status.st_mode) & 0o777 & ~self._policy.withheld
        try:
            os.fchown(self._fd, -1, status.st_gid)
        except OSError:
            if os.fstat(self._fd).st_gid != status.st_gid:
                mode &= 0o707 | (mode & 0o007) << 3  # another group gets no more than everybody does
        os.fchmod(self._fd, mode)

    def _keep_version(self) -> None:
        """Keep the file that is about to be replaced under the next number; the oldest may give way."""
        keep = self._policy.versions
        if not keep:
            self._numbered(VERSION, self._keep, self._free_version())
            return
        numbers = self._versions()
        self._numbered(VERSION, self._keep, max(numbers, default=0) + 1)
        for number in numbers[: max(0, len(numbers) + 1 - keep)]:
            with contextlib.suppress(OSError):  # somebody else has done it, or it is somebody else's
                os.unlink(VERSION.format(name=self._name, n=number), dir_fd=self._directory)

    def _versions(self) -> list[int]:
        """Return the numbers of the versions there are, in order."""
        form = re.compile(re.escape(self._name) + r"\.~([1-9][0-9]{0,17})~")
        found = (form.fullmatch(name) for name in os.listdir(self._directory))
        return sorted(int(match[1]) for match in found if match)

    def _free_version(self) -> int:
        """Return a number that is free and has none taken before it, looked for by doubling and halving."""

        def taken(number: int) -> bool:
            try:
                os.stat(
                    VERSION.format(name=self._name, n=number), dir_fd=self._directory, follow_symlinks=False
                )
            except FileNotFoundError:
                return False
            return True

        free = 1
        while taken(free):
            free *= 2
        last = free // 2  # the largest that is known to be taken
        while free - last > 1:
            middle = (free + last) // 2
            last, free = (middle, free) if taken(middle) else (last, middle)
        return free

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

    def _numbered(self, form: str, make: Callable[[str], None], first: int = 1) -> str:
        """Return the first name of a form that make(name) takes; others may take one at the same time."""
        for number in count(first):
            name = form.format(name=self._name, n=number)
            try:
                make(name)
            except FileExistsError:
                continue
            return name
        raise AssertionError("count() does not end")
