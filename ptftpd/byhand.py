"""What systemd does for a service, for a program that is started by hand: its user, limits, pid file."""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Iterable
from typing import Any

from ptftpd import account
from ptftpd.account import FALLBACK_USER
from ptftpd.errors import Error
from ptftpd.log import Log
from ptftpd.settings import Settings

# At most, which is what Linux lets a process have by default. Containers allow 2**30, and python-daemon makes
# a set of all of them when it is loaded.
DESCRIPTORS = 1 << 20


def become(user: str, directories: Iterable[str], log: Log, *, default: bool) -> None:
    """Become a user for good, after giving it the directories; Error says why not.

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
        try:
            os.makedirs(path, mode=0o750, exist_ok=True)
            os.chown(path, entry.pw_uid, entry.pw_gid)
        except OSError as error:
            raise Error(f"state directory {path}: {error.strerror}") from None
    try:
        # Not python-daemon's change_process_owner: to load it takes 70 MB and 80 ms for 2**20 descriptors.
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        raise Error(f"cannot become user {entry.pw_name}: {error.strerror or error}") from None


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
    running = file.read_pid()
    if running and _runs(running):
        raise Error(f"{path}: already running as process {running}")
    directory = os.path.dirname(path)
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
        raise Error(f"pid file {path}: its directory is missing or not writable")
    file.break_lock()
    return file


def _runs(pid: int) -> bool:
    """Return whether a process runs; one that ended, but was not waited for, has no command line any more."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False
