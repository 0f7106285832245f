"""A root directory: what its path leads to now, and nothing outside of it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from functools import partial

from ptftpd.errors import FileError
from ptftpd.patience import SECONDS, within
from ptftpd.tftp.casefold import Listings
from ptftpd.tftp.mounts import ElsewhereError, Mounts, may_wait_for

MAX_LINKS = 40  # Linux: symbolic links followed in one name
LEADS_OUT = "a symbolic link leads out of the root directory"

DELETED = " (deleted)"  # proc(5): behind the path of what was unlinked since it was opened

Tell = Callable[[str], None]  # takes a sentence for the administrator


class OpenRoot:
    """A root directory, open. It is closed when nobody uses it any more: threads may do so for a while."""

    def __init__(self, path: str) -> None:
        """OSError when it is not a directory that may be used."""
        self.fd = -1
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.stat(".", dir_fd=self.fd)
        self.top = os.readlink(f"/proc/self/fd/{self.fd}")
        self.identity = _identity(os.fstat(self.fd))

    def __del__(self) -> None:
        """Release the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)

    def below(self, fd: int) -> str:
        """Return the path below the root of an open file or directory, links resolved ('' for the root).

        FileError when it is not below the root. OSError when the kernel does not tell its path: it is longer
        than 4096 octets.
        """
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.endswith(DELETED) and not _leads_to(path, fd):
            path = path.removesuffix(DELETED)  # rules are for the name that it had
        if not _within(path, self.top):
            self.top = os.readlink(f"/proc/self/fd/{self.fd}")  # the root itself may have been renamed
            if not _within(path, self.top):
                raise FileError(FileError.DENIED, LEADS_OUT)
        return path[len(self.top.rstrip("/")) + 1 :]

    def chrooted(self, relative: str) -> str | None:
        """Return where a name leads if the root were '/', as a server in a chroot sees it.

        None if no link is in it, or too many. What is returned has no link in it; whoever opens it has to
        check that, as links may be moved about meanwhile.
        """
        todo, done, links = relative.split("/")[::-1], "", 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = posixpath.dirname(done)
                continue
            path = posixpath.join(done, part)
            try:
                target = os.readlink(path, dir_fd=self.fd)
            except OSError:  # no link, or nothing at all: opening it will tell
                done = path
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            done = "" if target.startswith("/") else done
            todo += target.split("/")[::-1]
        return done or "." if links else None

    def link_out(self, relative: str) -> str:
        """Return 'PATH -> TARGET' of the link in a name that leads out of the root, '' if it is not found."""
        return self._link(relative, lambda path: not _within(os.path.realpath(path), self.top))

    def link_nowhere(self, relative: str) -> str:
        """Return 'PATH -> TARGET' of the link in a name that leads nowhere, '' if there is none."""
        return self._link(relative, lambda path: not os.path.exists(path))

    def _link(self, relative: str, amiss: Callable[[str], bool]) -> str:
        parts = relative.split("/")
        for count in range(1, len(parts) + 1):
            path = posixpath.join(self.top, *parts[:count])
            try:
                target = os.readlink(path)
                if amiss(path):
                    return f"{path} -> {target}"
            except OSError:  # it is no link, or was moved away while it was looked at
                continue
        return ""


class Root:
    """One directory that files are served from.

    The rule: a request is answered from what the root's path leads to when it comes. A disk that is mounted
    late, a link that is switched to the next release, a tree that is moved away and made anew: all count at
    once, for files that are found as for those that are not.
    """

    def __init__(self, path: str, mounts: Mounts, tell: Tell = lambda sentence: None) -> None:
        """OSError when it is not a directory that may be used. tell: what to record of it later.

        A file system that does not answer is no error: other roots are served, and this one once it does.
        """
        self.path, self.mounts, self._tell = path, mounts, tell
        self.listings = Listings()
        self._gone = False
        self._open: OpenRoot | None = None
        try:
            look = partial(OpenRoot, path)
            self._open = within(SECONDS, path, look) if mounts.may_hang() else look()
        except TimeoutError:
            tell(f"root directory {path}: its file system does not answer: clients are told to try again")

    def close(self) -> None:
        """Release the descriptor."""
        self._open = None

    def follow(self) -> OpenRoot:
        """Return what the path leads to now; OSError when that is not a directory that may be used.

        ElsewhereError when that may hang, and this thread is not one to wait for it.
        """
        if self.mounts.may_hang() and not may_wait_for(self.path):
            raise ElsewhereError(self.path)
        try:
            now = self._open
            if now is None or _identity(os.stat(self.path)) != now.identity:
                now = self._open = OpenRoot(self.path)
        except OSError as error:
            if not self._gone:
                self._gone = True
                self._tell(f"root directory {self.path}: {error.strerror}: nothing below it is served")
            raise
        if self._gone:
            self._gone = False
            self._tell(f"root directory {self.path} is there again")
        return now


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _leads_to(path: str, fd: int) -> bool:
    """Return whether a path is that of an open file: one may be called 'NAME (deleted)'."""
    try:
        return _identity(os.lstat(path)) == _identity(os.fstat(fd))
    except OSError:
        return False


def _within(path: str, top: str) -> bool:
    return path.startswith(top.rstrip("/") + "/") or path == top
