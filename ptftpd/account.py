"""Users and groups by name, and root acting as a user for a while: for what a process may not do."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

FALLBACK_USER = "nobody"  # when the default user was never created: the package does that, a checkout not


def name(uid: int | None = None) -> str:
    """Return the name of a user, by default of this process; its number where it has none."""
    uid = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group(gid: int) -> str:
    """Return the name of a group, its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


@contextmanager
def acting_as(user: str, *, default: bool) -> Iterator[str]:
    """Let root be refused what a user is refused, within the block; anybody else acts as themselves.

    Yield a sentence when root stays root, else ''. default: nobody asked for this user, and FALLBACK_USER
    will do where it does not exist. Not for a server that serves: it changes the whole process.
    """
    if os.geteuid() != 0:
        yield ""
        return
    before = os.getegid(), os.getgroups()
    lacking = _act(user, default=default)
    try:
        yield lacking
    finally:
        if not lacking:
            os.seteuid(0)
            os.setegid(before[0])
            os.setgroups(before[1])


def _act(user: str, *, default: bool) -> str:
    """Take a user's groups and ids; return '', or why not, with everything as it was."""
    group, groups = os.getegid(), os.getgroups()
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        if not default:
            return f"checked as root, not as {user}: there is no such user here"
        entry = pwd.getpwnam(FALLBACK_USER)
    try:
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
    except OSError as error:
        if os.getgroups() != groups:
            os.setegid(group)
            os.setgroups(groups)
        return f"checked as root, not as {entry.pw_name}: {error.strerror or error}"
    return ""
