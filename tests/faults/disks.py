"""Small disks that can be full, for tests that run as root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(path: Path, octets: int) -> Iterator[Path]:
    """Mount a file system of so many octets at path, which everybody may write to, for the with block."""
    path.mkdir(parents=True)
    options = f"size={octets},mode=0777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(path: Path) -> Path:
    """Return a file below path that takes all the room there is left."""
    ballast = path / "ballast"
    facts = os.statvfs(path)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for _ in range(facts.f_bavail + 1):
            file.write(bytes(facts.f_frsize))
    assert os.statvfs(path).f_bavail == 0
    return ballast
