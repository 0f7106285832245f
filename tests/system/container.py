"""Starts systemd as process 1 of a container on a Debian tree, which it does not write to.

Run as a program in a mount namespace of its own, with the tree, a network namespace and a name as arguments.
What the container writes is in memory, and gone with that namespace.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HIERARCHIES = (
    "unified",
    "systemd",
    "",
)  # below /sys/fs/cgroup: a mixed system has the first two, others the last

REBOOT = 133  # systemd-nspawn's exit status when it wants to be started again


def cgroups(name: str) -> list[Path]:
    """Return the control groups of a container, whether they are there or not."""
    found = [Path("/sys/fs/cgroup") / hierarchy for hierarchy in HIERARCHIES]
    return [path / name for path in found if (path / "cgroup.procs").exists()]


def remove_cgroups(name: str) -> None:
    """Remove what an ended container leaves: empty control groups; name may be a pattern."""
    for path in cgroups(name):
        for top in path.parent.glob(path.name):
            subprocess.run(
                ["find", top, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"], capture_output=True
            )


def _overlay(tree: str) -> str:
    """Return a directory that shows the tree and keeps what is written to it in memory."""
    memory = "/run/lock"  # any directory that is there; only this mount namespace sees the change
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", memory], check=True)
    for name in ("upper", "work", "root"):
        os.mkdir(f"{memory}/{name}")
    layers = f"lowerdir={tree},upperdir={memory}/upper,workdir={memory}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", f"{memory}/root"], check=True)
    return f"{memory}/root"


def _boot(root: str, network: str, name: str) -> None:
    """Become the container's supervisor."""
    for group in cgroups(name):
        group.mkdir(exist_ok=True)
        (group / "cgroup.procs").write_text(str(os.getpid()))
    os.environ["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
    os.environ["SYSTEMD_NSPAWN_API_VFS_WRITABLE"] = "network"  # /proc/sys/net, as with a network of nspawn's
    os.execvp(
        "systemd-nspawn",
        [
            "systemd-nspawn", "--quiet", "--boot", f"--directory={root}", f"--machine={name}",
            "--hostname=box",
            f"--network-namespace-path={network}", "--register=no", "--keep-unit", "--console=read-only",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off",
            "--capability=CAP_NET_ADMIN",  # as with a network that nspawn makes itself: for udev
            "--system-call-filter=bpf",  # for SocketBindDeny= and IPAddressDeny=
        ],
    )  # fmt: skip


def main(tree: str, network: str, name: str) -> int:
    """Run the container until it shuts down; return its exit status."""
    root = _overlay(tree)
    while True:
        supervisor = os.fork()
        if supervisor == 0:
            _boot(root, network, name)
        _, status = os.waitpid(supervisor, 0)
        if os.waitstatus_to_exitcode(status) != REBOOT:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
