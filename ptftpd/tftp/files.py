"""The files that are served: names looked up below the roots, opened safely, read block by block."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ptftpd import account
from ptftpd.errors import ConfigError, FileError
from ptftpd.tftp.content import CacheKey

HIDDEN = ("/home", "/root", "/run/user")  # by ProtectHome=: systemd.exec(5)
EXAMPLES = "/usr/share/doc/ptftpd/examples"
UTF8 = sys.getfilesystemencoding() == "utf-8"
IOV_MAX = 1024  # Linux: views in one preadv(2)

_ERRNO = {
    errno.ENOENT: (FileError.NOT_FOUND, "no such file"),
    errno.ENOTDIR: (FileError.NOT_FOUND, "no such file"),
    errno.ENAMETOOLONG: (FileError.NOT_FOUND, "the name is too long"),
    errno.EACCES: (FileError.DENIED, "the server lacks permission: check the path's owners and modes"),
    errno.EPERM: (FileError.DENIED, "the server lacks permission"),
    errno.EROFS: (
        FileError.DENIED,
        "its file system is read-only for the server: see systemd's ReadWritePaths=",
    ),
    errno.ELOOP: (FileError.DENIED, "its symbolic links form a loop"),
    errno.ENOSPC: (FileError.FULL, "the disk is full"),
    errno.EDQUOT: (FileError.FULL, "the disk quota is used up"),
    errno.EFBIG: (FileError.FULL, "the file is too large"),
    errno.EEXIST: (FileError.EXISTS, "the file exists already"),
    errno.EMFILE: (FileError.BUSY, "the server is busy: it has no file descriptor left"),
    errno.ENFILE: (FileError.BUSY, "the server is busy: it has no file descriptor left"),
}


def failure(error: OSError) -> FileError:
    """Return what a failed system call is to whoever asked for the file."""
    code, reason = _ERRNO.get(error.errno or 0, (FileError.UNDEFINED, error.strerror or str(error)))
    return FileError(code, reason)


def local(name: str) -> str:
    """Return a name, which stands for octets in UTF-8, as Python's calls have it in this locale."""
    return name if UTF8 else os.fsdecode(name.encode("utf-8", "surrogateescape"))


@dataclass
class Source:
    """An open regular file of size octets, as large as it was when it was opened."""

    fd: int
    size: int
    path: str
    modified: int = 0  # see Content

    def read(self, views: Sequence[memoryview], offset: int) -> int:
        """Fill the views from offset; return the octets read, fewer only at the end of the file."""
        wanted = min(sum(map(len, views)), self.size - offset)
        total = 0
        try:
            while total < wanted:
                got = os.preadv(self.fd, views[:IOV_MAX], offset + total)
                total += got
                if total >= wanted or got == 0:
                    break
                views = _rest(views, got)  # there are more, or a network file system returned less
        except OSError as error:
            raise failure(error) from None
        return total

    def cache_key(self) -> CacheKey | None:
        """Return what differs when the octets do: the file and its state; None when it cannot be asked."""
        try:
            status = os.fstat(self.fd)
        except OSError:
            return None  # reading it will tell what is wrong
        changed, modified = status.st_ctime_ns, status.st_mtime_ns
        self.modified = max(changed, modified)
        return status.st_dev, status.st_ino, status.st_size, changed, modified

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self.fd)


def _rest(views: Sequence[memoryview], done: int) -> Sequence[memoryview]:
    """Return the part of the views behind the first done octets."""
    first = 0
    while done >= len(views[first]):
        done -= len(views[first])
        first += 1
    return [views[first][done:], *views[first + 1 :]]


class Root:
    """One directory that files are served from, open."""

    def __init__(self, path: str) -> None:
        """OSError when it is not a directory that may be used."""
        self.path = path
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._top = ""
        try:
            os.stat(".", dir_fd=self.fd)
            self._top = os.readlink(f"/proc/self/fd/{self.fd}")
        except OSError:
            os.close(self.fd)
            raise

    @property
    def removed(self) -> bool:
        """Whether its directory is gone, so that another one, or none, has its path."""
        status = os.fstat(self.fd)
        if status.st_nlink:
            return False  # it may have been renamed, and is served on
        try:
            return not os.path.samestat(status, os.stat(self.path))  # some of FUSE never count links
        except OSError:
            return True

    def confined(self, fd: int) -> str:
        """Return the path of an open file or directory; FileError when it is not below the root.

        OSError when the kernel does not tell it: it is longer than 4096 octets.
        """
        path = os.readlink(f"/proc/self/fd/{fd}")
        if not _within(path, self._top):
            self._top = os.readlink(f"/proc/self/fd/{self.fd}")  # the root itself may have been renamed
            if not _within(path, self._top):
                raise FileError(FileError.DENIED, "a symbolic link leads out of the root directory")
        return path


def _within(path: str, top: str) -> bool:
    return path.startswith(top.rstrip("/") + "/") or path == top


class Tree:
    """The roots, searched in order: the first that has a name wins."""

    def __init__(self, roots: Sequence[str], source: str = "") -> None:
        """Open the roots; ConfigError names one that is not a directory or may not be read.

        source: where they are set.
        """
        self.roots = tuple(roots)
        self._roots: list[Root] = []
        for root in roots:
            try:
                self._roots.append(Root(root))
            except OSError as error:
                self.close()
                reason = f"root directory {root}: {error.strerror}: {_remedy(root, error)}"
                raise ConfigError(reason, source=source) from None

    def close(self) -> None:
        """Release the descriptors."""
        while self._roots:
            os.close(self._roots.pop().fd)

    def open(self, relative: str, *, ignore_case: bool = False) -> Source:
        """Return the file of a relative name; FileError says why there is none to be had."""
        refusal: FileError | None = None
        name = local(relative)
        for root in self._roots:
            try:
                return _open_below(root, _matching_case(root.fd, name) if ignore_case else name)
            except OSError as error:
                failed = failure(error)
            except FileError as error:
                failed = error
            if refusal is None or refusal.kind == FileError.NOT_FOUND:
                refusal = failed  # 'not readable' in one root tells more than 'no such file' in another
        refusal = refusal or FileError(FileError.NOT_FOUND, "no such file")
        if refusal.kind == FileError.NOT_FOUND and self._renew():
            return self.open(relative, ignore_case=ignore_case)
        raise refusal

    def directory(self, relative: str) -> tuple[int, str]:
        """Return (descriptor, path) of a directory below the first root; FileError when there is none."""
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self._renew()
            root = self._roots[0]
            if root.removed:
                raise OSError(errno.ENOENT, "")
            fd = os.open(local(relative) or ".", flags, dir_fd=root.fd)
            try:
                return fd, root.confined(fd)
            except (OSError, FileError):
                os.close(fd)
                raise
        except OSError as error:
            raise failure(error) from None

    def _renew(self) -> bool:
        """Open the roots anew that were removed and made anew; return whether there are such."""
        renewed = False
        for number, root in enumerate(self._roots):
            if root.removed:
                with contextlib.suppress(OSError):  # it was not made anew yet
                    self._roots[number] = Root(root.path)
                    os.close(root.fd)
                    renewed = True
        return renewed


def unwritable(directory: int) -> str:
    """Return why no file can be made in an open directory, '' when it can."""
    if os.fstatvfs(directory).f_flag & os.ST_RDONLY:
        return f"is read-only; a service writes where ReadWritePaths= lets it: uploads.conf in {EXAMPLES}"
    if not os.access(f"/proc/self/fd/{directory}", os.W_OK | os.X_OK):
        return f"user {account.name()} may not write there: chown it"
    return ""


def _remedy(root: str, error: OSError) -> str:
    """Return what is to be done about a root that cannot be opened."""
    real = os.path.realpath(root) + "/"
    hidden = next((top for top in HIDDEN if real.startswith(f"{top}/")), "")
    if hidden and os.path.isdir(hidden) and stat.S_IMODE(os.stat(hidden).st_mode) == 0:
        return f"systemd hides {hidden} from services; name another, or see home.conf in {EXAMPLES}"
    if error.errno == errno.EACCES:
        return f"let user {account.name()} enter it and those above"
    if error.errno != errno.ENOENT:
        return "name a directory"
    own = "INVOCATION_ID" in os.environ and real.startswith(("/tmp/", "/var/tmp/"))  # a service of systemd
    return "a service has a /tmp of its own: name another" if own else "create it or name another"


def _open_below(root: Root, relative: str) -> Source:
    """Return the regular file below a root; OSError or FileError when it is not one.

    It is looked at before it is opened, so that no device is touched, and checked once it is open, so that
    what was checked is what is read, whoever moves links about meanwhile.
    """
    _check_regular(os.stat(relative, dir_fd=root.fd))
    fd = os.open(relative, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=root.fd)
    try:
        status = os.fstat(fd)
        _check_regular(status)
        return Source(fd, status.st_size, root.confined(fd), max(status.st_ctime_ns, status.st_mtime_ns))
    except (OSError, FileError):
        os.close(fd)
        raise


def _check_regular(status: os.stat_result) -> None:
    """Raise FileError when something is not a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise FileError(FileError.DENIED, f"it is {kind}")


def _matching_case(root: int, relative: str) -> str:
    """Return the name, each part of it replaced by what the directory has, should only the case differ.

    The first in the order of the names counts where several do. OSError when a directory cannot be read.
    """
    found = ""
    for part in relative.split("/"):
        try:
            fd = os.open(found or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        except OSError:
            return relative
        try:
            entries = os.listdir(fd)
        finally:
            os.close(fd)
        folded = part.casefold()
        same = part if part in entries else min((e for e in entries if e.casefold() == folded), default="")
        if not same:
            return relative
        found = posixpath.join(found, same)
    return found
