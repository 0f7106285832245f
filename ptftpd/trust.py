"""Who else may change a file or directory on which something hangs.

Of what decides on the machines that are booted, that is told. And root neither makes nor gives away anything
in a directory that somebody else can change: a link, or another directory of root's, could be put into its
place at any moment.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial

from ptftpd.patience import SECONDS, within

MAX_LINKS = 40  # followed on one path, as Linux does
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
UNKNOWN = 65534  # owner of files whose own one has no number in this user namespace, as in a container


def doubts_of_file(path: str, status: os.stat_result, users: Iterable[str]) -> Iterator[str]:
    """Yield a sentence when others can change a configuration file; users: names of those who may own it."""
    if not stat.S_ISREG(status.st_mode):
        return  # /dev/null, which everybody may write to
    if status.st_mode & stat.S_IWOTH:
        yield f"{path}: everybody on this machine can change it: use chmod o-w"
    ours = {0, os.geteuid(), UNKNOWN, *map(_number, users)}
    if status.st_uid not in ours:
        yield f"{path}: belongs to {_name(status.st_uid)}, who can change it: use chown root"
    yield from doubts_of_directory(os.path.dirname(os.path.abspath(path)), sticky=False)


def doubts_of_directory(path: str, *, sticky: bool = True) -> Iterator[str]:
    """Yield a sentence when everybody can add or replace files in a directory.

    sticky: also when it is one where that goes only for files of their own, such as /tmp.
    """
    try:
        mode = within(SECONDS, path, partial(os.stat, path)).st_mode
    except OSError:  # it is not there, or does not answer
        return  # others say so
    if mode & stat.S_IWOTH and (sticky or not mode & stat.S_ISVTX):
        yield f"{path}: everybody on this machine can put files there: use chmod o-w"


def open_of_root(path: str, *, make: bool = False) -> int | None:
    """Return a descriptor of a directory that nobody but root can replace; None when somebody else can.

    make: make those that are missing, up to the first that somebody else could replace. OSError when it is
    not there, or no directory. It is opened part by part, and links are followed by hand, root's alone.
    """
    here, links = os.open("/", OPEN), 0
    parts = deque(path.split("/"))
    try:
        while parts:
            name = parts.popleft()
            if not name:
                continue
            if not _is_of_root(here):
                os.close(here)
                return None
            status = _status(name, here, (0o755 if parts else 0o750) if make else None)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if status.st_uid:
                    os.close(here)
                    return None
                target = os.readlink(name, dir_fd=here)
                parts.extendleft(reversed(target.split("/")))
                name = "/" if target.startswith("/") else "."
            there = os.open(name, OPEN, dir_fd=here)
            os.close(here)
            here = there
    except OSError:
        os.close(here)
        raise
    return here


def _status(name: str, directory: int, mode: int | None) -> os.stat_result:
    """Return what is known of a name in a directory; one that is missing is made with a mode, if any."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        if mode is None:
            raise
        os.mkdir(name, mode, dir_fd=directory)
        return os.stat(name, dir_fd=directory, follow_symlinks=False)


def _is_of_root(directory: int) -> bool:
    """Return whether nobody but root can replace what root has in a directory, given its descriptor.

    In one like /tmp, each can replace what is his own.
    """
    status = os.fstat(directory)
    others = status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid)
    return not status.st_uid and bool(not others or status.st_mode & stat.S_ISVTX)


def _number(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return 0


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
