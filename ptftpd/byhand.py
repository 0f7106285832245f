"""What systemd does for a service, for a program that is started by hand: its user, limits, pid file."""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Iterable
from typing import Any

from ptftpd import account, trust
from ptftpd.account import FALLBACK_USER
from ptftpd.errors import Error
from ptftpd.log import Log
from ptftpd.settings import Settings

# At most, which is what Linux lets a process have by default. Containers allow 2**30, and python-daemon makes
# a set of all of them when it is loaded.
DESCRIPTORS = 1 << 20


def become(user: str, directories: Iterable[str], log: Log, *, default: bool) -> None:
    """Become a user for good, with the directories; Error says why not.

    Those that only root can replace are made and given to the user before; others are the user's to make: who
    can change a directory could lead root elsewhere from it.

    default: nobody asked for this user, and another will do where it does not exist.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        if not default:
            raise Error(f"there is no user {user} here: create it, or name another with --user") from None
        log.info("", f"there is no user {user} here, continuing as {FALLBACK_USER}")
        entry = pwd.getpwnam(FALLBACK_USER)
    for path in directories:
        _give(path, entry)
    try:
        # Not python-daemon's change_process_owner: to load it takes 70 MB and 80 ms for 2**20 descriptors.
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        reason = f"{error.strerror or error}; --user root stays root, as in a container"
        raise Error(f"cannot become user {entry.pw_name}: {reason}") from None
    for path in directories:
        _use(path)


def _give(path: str, user: pwd.struct_passwd) -> None:
    """Give a directory of root's to a user, when nobody else can have put it there; make it if need be."""
    try:
        fd = trust.open_of_root(path, make=True)
        if fd is None:
            return
        try:
            if os.fstat(fd).st_uid == 0:
                os.fchown(fd, user.pw_uid, user.pw_gid)
        finally:
            os.close(fd)
    except OSError as error:
        raise Error(f"state directory {path}: {error.strerror}") from None


def _use(path: str) -> None:
    """Make a directory unless it is there; Error when this user cannot write to it."""
    try:
        os.makedirs(path, mode=0o750, exist_ok=True)
    except OSError as error:
        raise Error(f"state directory {path}: {error.strerror} for user {account.name()}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise Error(f"state directory {path}: user {account.name()} cannot write to it: use chown")


def stay(settings: Settings, log: Log) -> None:
    """Record that this process, which is not root's, has another user than the one that is set."""
    user = settings.daemon.user
    if ("daemon", "user") in settings.sources and user != account.name():
        reason = "only root can become another user; for a service, set User= in its unit"
        log.warning("", str(settings.misfit("daemon", "user", user, reason)))


def allow_descriptors() -> None:
    """Use the descriptors that this process may have: a shell's 1024 are 500 transfers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def lock(path: str) -> Any:
    """Return the lock of a pid file, without a stale one; Error when it is taken or cannot be written."""
    from daemon.pidfile import PIDLockFile

    file = PIDLockFile(path)
    directory = os.path.dirname(path)
    if os.geteuid() == 0:
        _check_of_root(path, directory)
    running = file.read_pid()
    if running and _runs(running):
        raise Error(f"{path}: already running as process {running}")
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
        raise Error(f"pid file {path}: its directory is missing or not writable")
    file.break_lock()
    return file


def _check_of_root(path: str, directory: str) -> None:
    """Raise Error when the directory of a pid file is not surely the one that was meant.

    It may be the user's: the file is made anew there, so that no link in it is followed.
    """
    try:
        fd = trust.open_of_root(directory)
    except OSError:
        return  # it is told below that it is missing
    if fd is None:
        raise Error(f"pid file {path}: others than root can lead its directory elsewhere: use one below /run")
    os.close(fd)


def _runs(pid: int) -> bool:
    """Return whether a process runs; one that ended, but was not waited for, has no command line any more."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False
