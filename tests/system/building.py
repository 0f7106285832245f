"""Builds the Debian packages as a person would, with 'make deb', in a fresh Debian of a suite."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab import CHECKOUT
from tests.system import roots

BUILD = """
umask {umask}
mkdir -p {place} && cd {place}
tar --create --exclude=./build --exclude=./.git --exclude=__pycache__ --directory=/checkout . | tar --extract
make deb NEED=true && cp build/deb/* /out
"""
LINTIAN = "lintian --pedantic --display-info --tag-display-limit 0 --color never --allow-root /out/*.changes"


@dataclass(frozen=True)
class Build:
    """What differs from one build to the next, and must not matter."""

    place: str = "/build/ptftpd"
    umask: str = "022"
    environment: tuple[str, ...] = ("LC_ALL=C.UTF-8", "TZ=UTC")


OTHERWISE = Build("/home/somebody/somewhere/else", "027", ("LC_ALL=C", "TZ=Pacific/Auckland"))


def start(suite: str, out: Path, build: Build = Build()) -> subprocess.Popen[bytes]:
    """Return the running build, which has no network; packages and what lintian says appear in out."""
    out.mkdir()
    script = BUILD.format(place=build.place, umask=build.umask)
    with (out / "log").open("wb") as log:
        return subprocess.Popen(
            [
                "systemd-nspawn", "--quiet", f"--directory={roots.workshop(suite).path}",
                "--volatile=overlay",
                f"--machine=ptftpd-build-{out.parent.name}-{out.name}", "--as-pid2", "--private-network",
                "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off",
                f"--bind-ro={CHECKOUT}:/checkout", f"--bind={out}:/out",
                "--setenv=DEB_BUILD_OPTIONS=nocheck",  # what these tests are has just been run
                *(f"--setenv={word}" for word in build.environment),
                "sh", "-ec", f"{script}\n{LINTIAN} >/out/lintian || :",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def finish(process: subprocess.Popen[bytes], out: Path) -> Path:
    """Return out once the build is done; AssertionError with the end of its log when it failed."""
    status = process.wait()
    assert status == 0, "\n".join((out / "log").read_text(errors="replace").splitlines()[-30:])
    return out
