"""A Debian system with systemd as process 1, in a container with a network of the Lab's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.lab import Argument, Lab, wait_until
from tests.system import container

ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=C.UTF-8",
    "HOME=/root",
    "DEBIAN_FRONTEND=noninteractive",
)


class Box:
    """The running system. It ends, and leaves nothing, with its Lab."""

    def __init__(self, lab: Lab, tree: Path) -> None:
        """Boot it; eth0 and so on are up to the caller, by cables to .net."""
        self.net = lab.namespace("box", ipv6=True)
        self.name = self.net.path.name
        container.remove_cgroups("ptftpd-*")  # of earlier runs; those in use are not empty
        self._supervisor = self.net.start(
            "unshare", "--mount", "--propagation", "private",
            "/usr/bin/python3", container.__file__, tree, self.net.path, self.name, name="console",
        )  # fmt: skip
        self._pid = ""
        self.wait_booted()

    def wait_booted(self) -> None:
        """Return once systemd has started what there is to start."""
        wait_until(self._find, 20, f"process 1 of the box ({self._supervisor.log})")
        self.run("timeout", "60", "systemctl", "is-system-running", "--wait", timeout=70)

    def _find(self) -> bool:
        """Find process 1 by what it sees itself as, in the network of this box; return success."""
        here = os.stat(self.net.path).st_ino
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                status = (entry / "status").read_text()
                numbers = status.partition("NSpid:")[2].partition("\n")[0].split()
                if len(numbers) > 1 and numbers[-1] == "1" and os.stat(entry / "ns/net").st_ino == here:
                    self._pid = entry.name
                    return (entry / "root/run/systemd/private").is_socket()
            except OSError:
                pass  # it has just ended
        return False

    def path(self, path: str) -> Path:
        """Return where a file of the box is for us; symbolic links in it lead elsewhere, though."""
        return Path(f"/proc/{self._pid}/root/{path}")

    def write(self, path: str, text: str) -> None:
        """Write a file, and the directories above it."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(
        self, *argv: Argument, check: bool = True, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Return the finished command, run as root with all capabilities; LabError unless it succeeds."""
        return self.net.run(*self.command_inside(*argv), check=check, timeout=timeout)

    def command_inside(self, *argv: Argument) -> tuple[Argument, ...]:
        """Return the command that runs argv in the box."""
        return ("nsenter", "--target", self._pid, "--all", "env", "--ignore-environment", *ENVIRONMENT, *argv)

    def systemctl(self, *argv: Argument, check: bool = True) -> str:
        """Return what systemctl says, both its outputs."""
        done = self.run("systemctl", *argv, check=check)
        return done.stdout + done.stderr

    def state(self, *units: str) -> str:
        """Return the units' states, such as 'active inactive'."""
        return " ".join(self.systemctl("is-active", *units, check=False).split())

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.systemctl("show", unit, f"--property={name}", "--value").strip()

    def journal(self, *match: str) -> list[dict[str, Any]]:
        """Return the records since the boot that match FIELD=VALUE."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--boot", "--output=json", "--all", *match).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def reboot(self) -> None:
        """Shut down and boot again."""
        before = self._pid
        self.run("systemctl", "--no-block", "reboot")
        wait_until(lambda: not Path(f"/proc/{before}").exists(), 60, "the end of the box")
        self.wait_booted()
