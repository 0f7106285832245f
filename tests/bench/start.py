"""The start rows of `make bench`: how soon the servers are ready, and what they take while nobody asks.

    python3 -m tests.bench.start [--rounds N] [--out DIR]

The goals are measured where they matter: units installed by `make install`, sandbox and all, under a real
systemd in a container. From start to READY is by systemd's own clock. The first request is one that a client
at the other end of a cable sends while the service is down, until it has the first block. What systemd does
before a program begins is the same for any program, so the peers are measured beside ours without it: from
exec to a socket that listens.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import report, servers
from tests.lab import CHECKOUT, Lab, Process
from tests.netns.dhcp_load import Load
from tests.netns.tftp_site import Peer, rrq
from tests.system import container, roots
from tests.system.machine import ADDRESS, Machine

NEEDED = ("python3-systemd", "python3-daemon", "python3-netifaces", "procps")
UNITS = {"ptftpd": "ptftpd.service", "pdhcpd": "pdhcpd@eth0.service"}
READY, FIRST = "systemctl start to READY, ms", "first request starts it, ms"
LISTENS, IDLE = "exec to listening socket, ms", "resident when idle, MB"
ROWS = (READY, FIRST, LISTENS, IDLE)
GOALS = {READY: 150.0, FIRST: 200.0, IDLE: 25.0}
TFTP = (servers.OURS, *servers.PEERS)
DHCP = ("pdhcpd", "kea-dhcp4")


class Found:
    """What was measured: row -> server -> a value for each round."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = {row: defaultdict(list) for row in ROWS}

    def add(self, row: str, server: str, value: float) -> None:
        """Keep one value."""
        self.values[row][server].append(value)

    def medians(self) -> dict[str, dict[str, float]]:
        """Return {row: {server: median}}."""
        return {
            row: {server: statistics.median(values) for server, values in each.items()}
            for row, each in self.values.items()
        }


@contextmanager
def installed() -> Iterator[Machine]:
    """Return a booted Debian like this one, on which ptftpd is installed and has a file to serve."""
    root = roots.system(platform.freedesktop_os_release()["VERSION_CODENAME"])
    root.make()
    with tempfile.TemporaryDirectory(prefix="ptftpd-bench-") as logs:
        with Lab(Path(logs)) as lab:
            machine = Machine(lab, root.path)
            machine.apt("install", *NEEDED)
            make = ["make", "--silent", "install", "NEED=true", f"DESTDIR={machine.path('/')}", "PREFIX=/usr"]
            subprocess.run(make, cwd=CHECKOUT, check=True)
            machine.run("systemd-sysusers")
            machine.run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/ptftpd.conf")
            machine.systemctl("daemon-reload")
            machine.serve()
            yield machine
        container.remove_cgroups(machine.name)


def ready(machine: Machine, unit: str) -> float:
    """Start a unit; return how many milliseconds that took."""
    machine.systemctl("start", unit)
    began, ended = (
        int(machine.show(unit, f"{name}TimestampMonotonic")) for name in ("InactiveExit", "ActiveEnter")
    )
    return (ended - began) / 1e3


def first_request(machine: Machine) -> float:
    """Return after how many milliseconds a client has the first block of a service that was down."""
    machine.systemctl("start", "ptftpd.socket")
    with Peer(machine, ADDRESS) as peer:
        began = time.monotonic()
        peer.ask(rrq("pxelinux.0"))
        peer.receive(30)
        return (time.monotonic() - began) * 1e3


def resident(status: Path) -> float:
    """Return the memory of a process, what it shares included, in megabytes, by its file in /proc."""
    octets = servers.memory_of(status, "VmRSS")
    assert octets, status
    return octets / 1e6


def under_systemd(rounds: int, found: Found) -> None:
    """Start each unit once a round, then let a request start one."""
    with installed() as machine:
        for _ in range(rounds):
            for name, unit in UNITS.items():
                found.add(READY, name, ready(machine, unit))
                found.add(IDLE, name, resident(machine.path(f"/proc/{machine.pid(unit)}/status")))
                machine.systemctl("stop", f"{unit.partition('.')[0]}*")
            found.add(FIRST, "ptftpd", first_request(machine))
            machine.systemctl("stop", "ptftpd*")


def beside_peers(rounds: int, found: Found) -> None:
    """Start every server by hand once a round."""
    with tempfile.TemporaryDirectory(prefix="ptftpd-bench-", dir="/dev/shm") as work:
        Path(work).chmod(0o755)
        for _ in range(rounds):
            with Lab(Path(work)) as lab:
                for server in servers.start(lab.namespace("server"), Path(work), TFTP):
                    found.add(LISTENS, server.name, server.start * 1e3)
                    _idle(found, server.name, server.process)
            for name in DHCP:
                with Load(Path(work)) as load:
                    began = time.monotonic()
                    process = load.kea() if name == "kea-dhcp4" else load.pdhcpd()
                    found.add(LISTENS, name, (time.monotonic() - began) * 1e3)
                    _idle(found, name, process)


def _idle(found: Found, name: str, process: Process) -> None:
    if name not in UNITS:  # ours is measured under systemd
        found.add(IDLE, name, resident(Path(f"/proc/{process.pid}/status")))


def missed(medians: dict[str, dict[str, float]]) -> list[str]:
    """Return a sentence for each of our medians that is above its goal."""
    return [
        f"{name}: {row} {medians[row][name]:.0f}, the goal is {goal:.0f}"
        for row, goal in GOALS.items()
        for name in UNITS
        if medians[row].get(name, 0.0) > goal
    ]


def main() -> int:
    """Measure, print the table, write the data; return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description="Measure how soon the servers are ready.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    found = Found()
    under_systemd(arguments.rounds, found)
    beside_peers(arguments.rounds, found)
    medians = found.medians()
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = {"machine": report.machine(), "rounds": arguments.rounds, "goals": GOALS, "rows": found.values}
    (arguments.out / "start.json").write_text(json.dumps(data, indent=1))
    print(report.start_table(medians, GOALS, (*TFTP, *DHCP)))
    print("\n".join(missed(medians)))
    return bool(missed(medians))


if __name__ == "__main__":
    sys.exit(main())
