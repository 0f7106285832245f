"""Who else may write what decides on the machines that are booted: that is told, and not refused."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Iterator

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
        mode = os.stat(path).st_mode
    except OSError:
        return  # others say so
    if mode & stat.S_IWOTH and (sticky or not mode & stat.S_ISVTX):
        yield f"{path}: everybody on this machine can put files there: use chmod o-w"


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
