"""Debian packages unpacked, not installed: they exclude each other, or only a file of them is wanted."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path


def cache() -> Path:
    """Return the directory for what is kept from run to run; no file of root's gets into somebody's home."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path("/var/cache" if os.geteuid() == 0 else home) / "ptftpd-tests"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def unpacked(package: str) -> Path:
    """Return the directory that a package's files are below; downloaded by apt-get the first time.

    CalledProcessError when apt-get cannot; what it said is on stderr.
    """
    target = cache() / "unpacked" / package
    with (cache() / "unpacked.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            part = cache() / "unpacked.part"  # of a run that was killed, perhaps
            shutil.rmtree(part, ignore_errors=True)
            (part / "deb").mkdir(parents=True)
            # apt's own unprivileged user could not write here.
            command = ["apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", package]
            subprocess.run(command, cwd=part / "deb", check=True, stdout=subprocess.DEVNULL)
            (deb,) = (part / "deb").glob("*.deb")
            subprocess.run(["dpkg-deb", "--extract", deb, part / "files"], check=True)
            target.parent.mkdir(exist_ok=True)
            (part / "files").rename(target)
            shutil.rmtree(part)
    return target
