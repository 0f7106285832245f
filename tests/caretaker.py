"""Removes the network namespaces of a test run once that run is over, however it ended; see tests/lab.py.

Run as a program with a name's beginning as argument, it waits for the end of its standard input: the
other end of that pipe is held by the run alone, so the kernel closes it even after kill -9.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

NETNS = Path("/run/netns")
GRACE = 10.0  # seconds for killed processes to be gone: a guest's memory takes a while to be given back


def remove(prefix: str) -> bool:
    """Delete the namespaces whose names start with prefix and kill the processes in them; return success."""
    return not [path for path in NETNS.glob(f"{prefix}*") if not _remove(path)]


def remove_abandoned() -> None:
    """Remove the namespaces of runs, ptftpd-PID-..., whose process is gone."""
    for path in NETNS.glob("ptftpd-*-*-*"):
        owner = path.name.split("-")[1]
        if not Path(f"/proc/{owner}").exists():
            _remove(path)


def _remove(namespace: Path) -> bool:
    """Remove one namespace; return whether it is gone. Another run may be at the same work."""
    end = time.monotonic() + GRACE
    while _kill_inside(namespace) and time.monotonic() < end:
        time.sleep(0.02)
    subprocess.run(["ip", "netns", "delete", namespace.name], capture_output=True)
    return not namespace.exists()


def _kill_inside(namespace: Path) -> int:
    """Send SIGKILL to each process in a namespace; return how many there were."""
    killed = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it, or the namespace, is gone by now
            if os.path.samefile(entry / "ns/net", namespace):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


if __name__ == "__main__":
    sys.stdin.read()
    sys.exit(0 if remove(sys.argv[1]) else 1)
