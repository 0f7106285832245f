"""Debian systems to test in, as directories: made once by mmdebstrap, kept, never written to afterwards.

A system is what a fresh installation has, and beside it, not installed, what apt needs to install our
packages without a network. A workshop is a system with what building our packages takes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.debs import cache
from tests.lab import CHECKOUT, LabError

SUITES = ("bookworm", "trixie")

INSTALLED = "systemd systemd-sysv dbus udev iproute2 kmod python3 curl bash-completion zsh fish"
UNUSED = 7 * 24 * 3600  # seconds until a tree that no run has used is removed

FETCHED = "python3-systemd python3-daemon python3-netifaces python3-tqdm procps tftp-hpa"
BUILDING = "make lintian python3-venv"
# A system that boots, with autopkgtest and what the tests need that it runs.
TESTING = "systemd systemd-sysv dbus udev iproute2 kmod curl procps autopkgtest"

# What would reach for a network, which the system has not got, or take long for nothing.
MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer systemd-networkd.service"
)


@dataclass(frozen=True)
class Root:
    """One directory tree: its suite, the packages in it, and those whose .deb files are only kept in it."""

    suite: str
    kind: str
    installed: tuple[str, ...]
    fetched: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is: elsewhere when anything about it changes."""
        recipe = hashlib.sha256(repr(self._command(Path("tree"))).encode())
        return cache() / "roots" / f"{self.suite}-{self.kind}-{recipe.hexdigest()[:12]}"

    def make(self) -> None:
        """Make it unless it is there; others wait meanwhile. What older recipes made goes away in time."""
        self.path.parent.mkdir(exist_ok=True)
        with Path(f"{self.path.parent}/{self.suite}-{self.kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            part = self.path.with_suffix(".part")
            if not self.path.exists():
                shutil.rmtree(part, ignore_errors=True)
                subprocess.run(self._command(part), check=True)
                part.rename(self.path)
            os.utime(self.path)
            for old in self.path.parent.glob(f"{self.suite}-{self.kind}-*"):
                if time.time() - old.stat().st_mtime > UNUSED:
                    shutil.rmtree(old)

    def _command(self, target: Path) -> list[str]:
        apt = 'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get'
        hooks = [f"{apt} clean"]
        if self.fetched:
            wanted = " ".join(self.fetched)
            hooks.append(f"{apt} -qq --yes --download-only --install-recommends install {wanted} >/dev/null")
        if "systemd" in self.installed:
            hooks.append(f'chroot "$1" systemctl --quiet mask {MASKED}')
        hooks.append('rm -f "$1/etc/resolv.conf" "$1/etc/hostname"; : >"$1/etc/machine-id"')
        return [
            "mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase",
            f"--include={','.join(self.installed)}",
            "--skip=cleanup/apt/lists,cleanup/apt/cache",
            "--aptopt=Acquire::Languages none",
            *(f"--customize-hook={hook}" for hook in hooks),
            self.suite, str(target), f"deb {_mirror()} {self.suite} main",
        ]  # fmt: skip


def system(suite: str) -> Root:
    """Return the fresh installation of a suite."""
    return Root(suite, "system", tuple(INSTALLED.split()), tuple(FETCHED.split()))


def workshop(suite: str) -> Root:
    """Return where packages for a suite are built and tested: what 'make deb' and tests/netns need."""
    needed = (*_listed("debian/packages"), *BUILDING.split(), *TESTING.split())
    return Root(suite, "workshop", (*needed, *_listed("tests/netns/packages")))


def testbed(suite: str) -> Root:
    """Return a workshop with what tests/boot needs beside."""
    return Root(suite, "testbed", (*workshop(suite).installed, *_listed("tests/boot/packages")))


def _listed(path: str) -> list[str]:
    """Return the packages that a list for tests/need names."""
    lines = (CHECKOUT / path).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def make_all() -> None:
    """Make every tree that is missing, two at a time."""
    trees = [make(suite) for suite in SUITES for make in (workshop, system)]
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(tree.make) for tree in trees]:
            done.result()


def _mirror() -> str:
    """Return the archive that this machine gets its packages from."""
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Identifier: Packages",
        "Component: main",
    ]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    found = next((uri for uri in listed if "security" not in uri), None)
    if found is None:
        raise LabError("apt knows no archive of Debian's packages: add one to /etc/apt/sources.list.d")
    return found
