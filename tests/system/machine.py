"""A box on the network: two interfaces with a client beyond each, and what clients ask of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import Lab, Namespace, wait_until
from tests.system.box import Box

ADDRESS, OTHER_ADDRESS = "10.9.0.1", "10.8.0.1"  # of the box, on eth0 and eth1
CLIENT, OTHER_CLIENT = "10.9.0.2", "10.8.0.2"
PXE = "PXEClient:Arch:00000:UNDI:002001"
UNITS = ("pxed@*", "ptftpd*", "pdhcpd*", "pbootpd@*")
APT = ("apt-get", "--quiet", "--yes", "-o", "Dpkg::Options::=--force-confold")
BOOT_FILE = b"\x7fboot loader\n" * 1000


@dataclass(frozen=True)
class Boot:
    """What a PXE client was told."""

    address: str
    server: str
    file: str


class Machine(Box):
    """The box as a server of network boots."""

    def __init__(self, lab: Lab, tree: Path) -> None:
        """Boot it and connect it."""
        super().__init__(lab, tree)
        self.client: Namespace = lab.namespace("client", ipv6=True)
        self.other: Namespace = lab.namespace("other", ipv6=True)
        lab.cable(self.net, self.client)
        lab.cable(self.net, self.other, "eth1")
        self.net.address(f"{ADDRESS}/24")
        self.net.address(f"{OTHER_ADDRESS}/24", "eth1")
        self.client.address(f"{CLIENT}/24")
        self.other.address(f"{OTHER_CLIENT}/24")
        self._script = lab.logs / "udhcpc-script"
        self._script.write_text('#!/bin/sh\n[ "$1" != bound ] || echo "bound $ip $siaddr $boot_file"\n')
        self._script.chmod(0o755)

    def install(self, *packages: Path) -> None:
        """Install packages from files, as with 'apt install ./*.deb'."""
        self.run(*self.installation(*packages), timeout=180)

    def installation(self, *packages: Path) -> tuple[str, ...]:
        """Return the command that installs packages, and put their files where it finds them."""
        directory = self.path("/var/tmp/packages")
        directory.mkdir(exist_ok=True)
        for package in packages:
            (directory / package.name).write_bytes(package.read_bytes())
        return (*APT, "install", *(f"/var/tmp/packages/{package.name}" for package in packages))

    def apt(self, *argv: str) -> None:
        """Run apt-get."""
        self.run(*APT, *argv, timeout=180)

    def configure(self, text: str, name: str = "ptftpd.conf.d/test.conf") -> None:
        """Write a configuration file."""
        self.write(f"/etc/ptftpd/{name}", text)

    def drop_in(self, unit: str, text: str) -> None:
        """Add to a unit file."""
        self.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
        self.systemctl("daemon-reload")

    def serve(self, name: str = "pxelinux.0", content: bytes = BOOT_FILE) -> None:
        """Put a file where clients find it, and what a loader of that name needs, or that would be told."""
        root = self.path("/srv/tftp")
        (root / "pxelinux.cfg").mkdir(parents=True, exist_ok=True)
        for companion in ("ldlinux.c32", "pxelinux.cfg/default"):
            (root / companion).touch()
        (root / name).write_bytes(content)

    def get(
        self,
        name: str = "pxelinux.0",
        *,
        server: str = ADDRESS,
        client: Namespace | None = None,
        wait: int = 10,
    ) -> bytes:
        """Return what curl gets of a file by TFTP; nothing when there is no answer within wait seconds."""
        there = client or self.client
        target = self.net.lab.new_log("got")
        there.run(
            "curl", "--silent", "--max-time", wait, "--output", target, f"tftp://{server}/{name}", check=False
        )
        return target.read_bytes() if target.exists() else b""

    def boot(self, *, client: Namespace | None = None, tries: int = 3) -> Boot | None:
        """Return what a PXE client is told, None when nobody answers it; it does not set the address."""
        done = (client or self.client).run(
            "busybox", "udhcpc", "-f", "-n", "-q", "-i", "eth0", "-s", self._script, "-t", tries, "-T", 1,
            "-A", 1, "-V", PXE, "-x", "0x5d:0000", check=False,
        )  # fmt: skip
        bound = re.search(r"^bound (\S+) (\S+) (\S*)$", done.stdout, re.MULTILINE)
        return Boot(*bound.groups()) if bound else None

    def boots(self, client: Namespace | None = None, server: str = ADDRESS) -> Boot:
        """Return what a PXE client is told, once it has its boot file."""
        told = self.boot(client=client)
        assert told is not None
        assert (told.server, told.file) == (server, "pxelinux.0")
        assert told.address.rpartition(".")[0] == server.rpartition(".")[0]
        assert self.get(told.file, server=told.server, client=client) == BOOT_FILE
        return told

    def silent(self, client: Namespace) -> bool:
        """Return whether nobody answers a PXE client."""
        return self.boot(client=client, tries=1) is None

    def listening(self) -> str:
        """Return the UDP sockets, a line each as ss has it."""
        return self.run("ss", "-Huanp").stdout

    def wait_closed(self) -> None:
        """Return once no UDP socket is open; systemd closes those of a service after that has stopped."""
        wait_until(lambda: self.listening() == "", 10, f"no socket, not {self.listening()}")

    def pid(self, unit: str) -> int:
        """Return the process of a service, 0 without one."""
        return int(self.show(unit, "MainPID"))

    def wait_state(self, unit: str, state: str, timeout: float = 15.0) -> None:
        """Return once a unit has a state."""
        wait_until(lambda: self.state(unit) == state, timeout, f"{unit} {state}, not {self.state(unit)}")

    def wait_message(self, pattern: str, *match: str, timeout: float = 10.0) -> dict[str, Any]:
        """Return the first record since mark() whose message has the pattern."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [each for each in self.records(*match) if re.search(pattern, str(each.get("MESSAGE")))]
            return bool(found)

        wait_until(look, timeout, f"a record like {pattern!r}")
        return found[0]

    def mark(self) -> None:
        """Take this moment as the one that records() begins at."""
        self.run("journalctl", "--sync")
        self._cursor = (
            self.run("journalctl", "--show-cursor", "--lines=0").stdout.partition("cursor: ")[2].strip()
        )

    def records(self, *match: str) -> list[dict[str, Any]]:
        """Return the journal since mark(), of FIELD=VALUE."""
        return self.journal(f"--after-cursor={self._cursor}", *match)

    def reset(self) -> None:
        """Undo what a test did: units, configuration, leases, served files."""
        enabled = self.path("/etc/systemd/system")
        self.systemctl("stop", *UNITS)
        self.run("systemctl", "reset-failed")
        for link in enabled.glob("*.wants/p*d*"):
            link.unlink()
        self.run(
            "sh",
            "-c",
            "rm -rf /var/lib/ptftpd/* /srv/tftp/* /etc/ptftpd/*.d /etc/ptftpd/*@* /etc/systemd/system/p*.d",
        )
        self.systemctl("daemon-reload")
