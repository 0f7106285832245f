"""What a program started by hand does for itself, on machines where it may have very many descriptors."""

from __future__ import annotations

import getpass
import pwd
import subprocess

from tests.lab import CHECKOUT

# As in a container: 2**30 descriptors allowed, and much less memory than a list of them takes.
CONTAINER = """
import os, resource
limits = {resource.RLIMIT_NOFILE: (1024, 1 << 30)}
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
resource.getrlimit = limits.__getitem__
resource.setrlimit = limits.__setitem__
for call in ("initgroups", "setgid", "setuid"):
    setattr(os, call, lambda *what, call=call: print(call, *what))
from ptftpd import byhand
from ptftpd.log import Log
"""
BECOME = "byhand.become({user!r}, [], Log('test'), default=False)"
DETACH = "byhand.allow_descriptors(); import daemon.daemon; print(*limits.values())"


def said(script: str) -> str:
    """Return what a script says in such a container."""
    words = ["/usr/bin/python3", "-c", CONTAINER + script]
    return subprocess.run(words, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_another_user() -> None:
    """The groups first, the user last, who may not change them any more."""
    user, _, uid, gid, *_ = pwd.getpwnam(getpass.getuser())
    calls = [f"initgroups {user} {gid}", f"setgid {gid}", f"setuid {uid}"]
    assert said(BECOME.format(user=user)).splitlines() == calls


def test_detaching() -> None:
    """python-daemon makes a list of all descriptors that there may be: they are as many as a host has."""
    assert said(DETACH) == f"({1 << 20}, {1 << 20})\n"
