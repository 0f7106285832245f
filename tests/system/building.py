"""Builds the packages as a person would, with 'make deb', in a fresh Debian of a suite."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab import CHECKOUT
from tests.system import roots

UNPACK = """
umask {umask}
mkdir -p {place} && cd {place}
tar --create --exclude=./build --exclude=./.git --exclude=__pycache__ --directory=/checkout . | tar --extract
"""
BUILD = f"{UNPACK}\nmake deb NEED=true && cp build/deb/* /out"
LINTIAN = """
(cd .. && dpkg-source --build {place} && cp *.dsc *.tar.* /out)
lintian --pedantic --display-info --tag-display-limit 0 --color never --allow-root \
    /out/*.changes /out/*.dsc >/out/lintian || :
"""
PIP = """
python3 -m venv --system-site-packages /tmp/venv
/tmp/venv/bin/pip install --quiet --no-index --no-deps --no-build-isolation .
for program in ptftpd pdhcpd pbootpd pxed ptftp tftp; do
    /tmp/venv/bin/$program --help >/dev/null
    /tmp/venv/bin/$program --version
done >/out/pip
"""


@dataclass(frozen=True)
class Build:
    """What differs from one build to the next, and must not matter."""

    place: str = "/build/ptftpd"
    umask: str = "022"
    environment: tuple[str, ...] = ("LC_ALL=C.UTF-8", "TZ=UTC")

    def script(self, template: str) -> str:
        """Return a script that is run this way."""
        return template.format(place=self.place, umask=self.umask)


PLAIN = Build()
OTHERWISE = Build("/home/somebody/somewhere/else", "027", ("LC_ALL=C", "TZ=Pacific/Auckland"))


def twice(suite: str, directory: Path) -> tuple[Path, Path]:
    """Return where two builds are that were made differently.

    Beside the first one's are what lintian says, and what the programs do that pip has installed.
    """
    out = directory / "one", directory / "two"
    scripts = PLAIN.script(BUILD + LINTIAN + PIP), OTHERWISE.script(BUILD)
    running = [
        _start(suite, path, build, script)
        for path, build, script in zip(out, (PLAIN, OTHERWISE), scripts, strict=True)
    ]
    for process, path in zip(running, out, strict=True):
        _finish(process, path)
    return out


def once(suite: str, out: Path) -> None:
    """Leave the packages, binary and source, in a directory, and what lintian says."""
    _finish(_start(suite, out, PLAIN, PLAIN.script(BUILD + LINTIAN)), out)


def _start(suite: str, out: Path, build: Build, script: str) -> subprocess.Popen[bytes]:
    """Return a running shell in the workshop, without network; its /out is out, where its log is, too."""
    out.mkdir(parents=True)
    with (out / "log").open("wb") as log:
        return subprocess.Popen(
            [
                "systemd-nspawn", "--quiet", f"--directory={roots.workshop(suite).path}",
                "--volatile=overlay",
                f"--machine=ptftpd-build-{out.parent.name}-{out.name}", "--as-pid2", "--private-network",
                "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off",
                f"--bind-ro={CHECKOUT}:/checkout", f"--bind={out}:/out",
                "--setenv=DEB_BUILD_OPTIONS=nocheck",  # testbed.run() runs them
                "--setenv=PY_COLORS=0",
                *(f"--setenv={word}" for word in build.environment),
                "sh", "-ec", script,
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def _finish(process: subprocess.Popen[bytes], out: Path) -> None:
    """Return once the shell is done; AssertionError with the end of its log when it failed."""
    status = process.wait()
    assert status == 0, "\n".join((out / "log").read_text(errors="replace").splitlines()[-30:])
