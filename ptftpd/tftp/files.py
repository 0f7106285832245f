"""The files that are served: names looked up below the roots, opened safely, read block by block."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ptftpd.errors import ConfigError, Faults, FileError
from ptftpd.tftp.content import CacheKey
from ptftpd.tftp.mounts import Mounts
from ptftpd.tftp.permissions import in_the_way, remedy
from ptftpd.tftp.roots import LEADS_OUT, OpenRoot, Root, Tell

UTF8 = sys.getfilesystemencoding() == "utf-8"
IOV_MAX = 1024  # Linux: views in one preadv(2)

Opener = Callable[[str, int], int]  # opens a name below a directory's descriptor; OSError, FileError

NO_PERMISSION = "the server lacks permission: check the path's owners and modes"

_ERRNO = {
    errno.ENOENT: (FileError.NOT_FOUND, "no such file"),
    errno.ENOTDIR: (FileError.NOT_FOUND, "no such file"),
    errno.ENAMETOOLONG: (FileError.NOT_FOUND, "the name is too long"),
    errno.EACCES: (FileError.DENIED, NO_PERMISSION),
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
    errno.ESTALE: (FileError.BUSY, "its file server does not know it any more: try again"),
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


def remote(path: str) -> str:
    """Return a path of Python's calls as names are: in UTF-8."""
    return path if UTF8 else os.fsencode(path).decode("utf-8", "surrogateescape")


@dataclass
class Source:
    """An open regular file of size octets, as large as it was when it was opened."""

    fd: int
    size: int
    path: str
    modified: int = 0  # see Content
    below: str = ""  # its path below its root, links resolved
    root: str = ""
    may_hang: bool = False  # reading it may

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

    def give_up(self) -> bool:
        """Return that nothing comes of it, whatever a thread does with it."""
        return True

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


class Directory(NamedTuple):
    """A directory below a root, open: its descriptor, its path, and its path below the root ('' for it)."""

    fd: int
    path: str
    below: str
    may_hang: bool = False


class Tree:
    """The roots, searched in order: the first that has a name wins."""

    def __init__(self, roots: Sequence[str], source: str = "", tell: Tell = lambda sentence: None) -> None:
        """Open the roots; ConfigError names all that are not directories or may not be read.

        source: where they are set. tell: what takes a sentence when one is gone later, or there again.
        """
        self.roots = tuple(roots)
        self._roots: list[Root] = []
        self._mounts = Mounts()
        faults = Faults()
        for root in roots:
            try:
                self._roots.append(Root(root, self._mounts, tell))
            except OSError as error:
                reason = f"root directory {root}: {error.strerror}: {remedy(root, error)}"
                faults.note(ConfigError(reason, source=source))
        if faults:
            self.close()
        faults.check()

    def close(self) -> None:
        """Release the descriptors now. Where threads may use it, letting go of it does that, in time."""
        for root in self._roots:
            root.close()
        self._mounts.close()

    def open(self, relative: str, *, ignore_case: bool = False) -> Source:
        """Return the file of a relative name; FileError says why there is none to be had."""
        refusal: FileError | None = None
        name = local(relative)
        for root in self._roots:
            try:
                source = _open_in(root, name, ignore_case=ignore_case)
                source.root, source.may_hang = root.path, root.mounts.file_may_hang(source.fd)
                return source
            except FileError as error:
                if refusal is None or (refusal.kind == FileError.NOT_FOUND and not refusal.detail):
                    refusal = error  # 'not readable' in one root tells more than 'no such file' in another
        assert refusal is not None
        raise refusal

    def directory(self, relative: str) -> Directory:
        """Return a directory below the first root; FileError when there is none."""
        root = self._roots[0]
        here = _follow(root)
        fd, below = _open_confined(here, local(relative) or ".", _open_directory)
        return Directory(fd, posixpath.join(here.top, below), below, root.mounts.file_may_hang(fd))

    def entries(self, relative: str) -> set[str]:
        """Return the names in a directory, of all roots that have it."""
        found: set[str] = set()
        for root in self._roots:
            with contextlib.suppress(OSError, FileError):
                fd, _ = _open_confined(_follow(root), local(relative) or ".", _open_directory)
                try:
                    found.update(map(remote, os.listdir(fd)))
                finally:
                    os.close(fd)
        return found

    def target(self, directory: Directory, name: str) -> tuple[Directory, str]:
        """Return directory and name of the file that a link in the first root leads to; itself if it is none.

        The directory is closed if it is not the one that is returned. FileError when the link leads out.
        """
        try:
            os.readlink(name, dir_fd=directory.fd)
        except OSError:
            return directory, name
        try:
            here = _follow(self._roots[0])
            fd, below = _open_confined(here, posixpath.join(directory.below, name), _open_path)
        except FileError as error:
            if error.kind == FileError.NOT_FOUND:
                return directory, name  # it leads nowhere: nothing is written there
            raise
        os.close(fd)
        parent, base = posixpath.split(below)
        real = self.directory(remote(parent))
        os.close(directory.fd)
        return real, base


def _follow(root: Root) -> OpenRoot:
    """Return what a root is now; FileError when it is gone."""
    try:
        return root.follow()
    except OSError as error:
        failed = failure(error)
        raise FileError(failed.kind, failed.reason, f"root directory {root.path} is gone") from None


def _open_in(root: Root, name: str, *, ignore_case: bool) -> Source:
    """Return the file of a name below one root; FileError when there is none."""
    here = _follow(root)
    if not ignore_case:
        return _file(here, name)
    try:
        for match in root.listings.matches(here.fd, name):
            try:
                return _file(here, match)
            except FileError as error:
                if error.kind != FileError.NOT_FOUND:
                    raise
    except OSError as error:
        raise failure(error) from None
    raise failure(OSError(errno.ENOENT, ""))


def _file(root: OpenRoot, relative: str) -> Source:
    """Return the regular file of that very name; FileError when there is none."""
    fd, below = _open_confined(root, relative, _open_regular)
    status = os.fstat(fd)
    changed = max(status.st_ctime_ns, status.st_mtime_ns)
    return Source(fd, status.st_size, posixpath.join(root.top, below), changed, remote(below))


def _open_confined(root: OpenRoot, relative: str, opener: Opener) -> tuple[int, str]:
    """Return (descriptor, path below the root) of what a name leads to; FileError when it may not be opened.

    A link that leads out, or nowhere, is followed once more as if the root were '/', as links are made for
    servers in a chroot. Nothing leaves the root by that: what was opened is what is checked.
    """
    try:
        return _attempt(root, relative, opener)
    except FileError as error:
        if error.kind != FileError.NOT_FOUND and error.reason != LEADS_OUT:
            raise _explained(root, relative, error) from None
        inner = root.chrooted(relative)
        if inner is not None:
            with contextlib.suppress(FileError):
                return _attempt(root, inner, opener)
        raise _explained(root, relative, error) from None


def _attempt(root: OpenRoot, relative: str, opener: Opener) -> tuple[int, str]:
    try:
        fd = opener(relative, root.fd)
    except OSError as error:
        raise failure(error) from None
    try:
        return fd, root.below(fd)
    except OSError as error:
        os.close(fd)
        raise failure(error) from None
    except FileError:
        os.close(fd)
        raise


def _open_regular(relative: str, root: int) -> int:
    """Open a regular file: looked at before, so that no device is touched, and again once it is open."""
    _check_regular(os.stat(relative, dir_fd=root))
    fd = os.open(relative, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=root)
    try:
        _check_regular(os.fstat(fd))
    except (OSError, FileError):
        os.close(fd)
        raise
    return fd


def _open_directory(relative: str, root: int) -> int:
    return os.open(relative, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)


def _open_path(relative: str, root: int) -> int:
    return os.open(relative, os.O_PATH | os.O_CLOEXEC, dir_fd=root)


def _check_regular(status: os.stat_result) -> None:
    """Raise FileError when something is not a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise FileError(FileError.DENIED, f"it is {kind}")


def _explained(root: OpenRoot, relative: str, error: FileError) -> FileError:
    """Return the error with what an administrator has to look at."""
    detail = error.detail
    if error.reason == LEADS_OUT:
        detail = root.link_out(relative)
    elif error.kind == FileError.NOT_FOUND:
        link = root.link_nowhere(relative)
        detail = f"{link}: the link leads nowhere" if link else detail
    elif error.reason == NO_PERMISSION:
        detail = in_the_way(posixpath.join(root.top, relative))
    return FileError(error.kind, error.reason, detail)
