"""`make soak`: a TFTP and a DHCP server under load for half an hour, in which nothing grows.

    python3 -m tests.faults.soak [--minutes N]

Each round many clients get files, some put files, some vanish, and a few hundred machines lease addresses
again. After each round everything is counted: descriptors, memory and leases are as after the first ones.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ptftpd.dhcp.store import Store
from tests.bench.generator import build
from tests.lab import Process, program, wait_until
from tests.netns.dhcp_load import SERVER, Load

MACHINES = 300
GROWTH = 2_000_000  # octets of memory that a server may take more than after its first rounds
WARM = 3  # rounds until what is allocated once is allocated
QUIET = 15.0  # seconds until clients that vanished are given up, and uploads no longer dallied with


@dataclass
class Count:
    """What was there after a round."""

    descriptors: list[int]
    memory: list[int]
    leases: int

    def __str__(self) -> str:
        megabytes = ", ".join(f"{octets / 1e6:.1f}" for octets in self.memory)
        return f"descriptors {self.descriptors}, memory {megabytes} MB, leases {self.leases}"


def load_once(load: Load, generator: Path, number: int) -> None:
    """Let clients of every kind come once, and go."""
    machines = load.start_perfdhcp(100, 5, batch=0, clients=MACHINES)
    gets = [
        load.relay.start(generator, "get", SERVER, 69, "file", clients, 1428, windowsize, 30, name="get")
        for clients, windowsize in ((50, 1), (20, 8))
    ]
    puts = load.relay.start(generator, "put", SERVER, 69, f"up-{number % 2}", 5, 1428, 4, 500_000, name="put")
    vanish = load.relay.start("timeout", "0.3", generator, "get", SERVER, 69, "file", 20, 512, 1, 30)
    for client in (*gets, puts, vanish, machines):
        client.wait(60)
    for client in (*gets, puts):
        assert '"failed": 0' in client.text(), client.text()


def soak(minutes: float, directory: Path) -> list[Count]:
    """Return what was counted after each round."""
    generator = build(directory)
    counts = []
    with Load(directory) as load:
        root = load.directory / "root"
        root.mkdir()
        root.chmod(0o777)
        (root / "file").write_bytes(bytes(2_000_000))
        words = (
            *program("tftpd"),
            "--user",
            "nobody",
            "--retries",
            2,
            "--uploads",
            "overwrite",
            "--request-rate",
            1000,
        )
        tftpd = load.server.start(*words, "--max-client-transfers", 500, root, name="ptftpd")
        tftpd.wait_for("serving ")
        servers: list[Process] = [tftpd, load.pdhcpd()]
        idle = tftpd.descriptors()
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end or len(counts) <= WARM:
            load_once(load, generator, len(counts))
            wait_until(lambda: tftpd.descriptors() == idle, QUIET * 3, "the end of all transfers")
            (database,) = (load.directory / "state").glob("*.sqlite")
            leases = len(Store(str(database)).peek(time.monotonic()))
            counts.append(
                Count([each.descriptors() for each in servers], [each.memory() for each in servers], leases)
            )
            print(f"round {len(counts)}: {counts[-1]}", flush=True)
        for server in servers:
            assert "Traceback" not in server.text(), server.text()
            assert server.stop() == 0
    return counts


def faults(counts: list[Count]) -> list[str]:
    """Return a sentence for everything that grew."""
    first, found = counts[WARM - 1], []
    for count in counts[WARM:]:
        if count.descriptors != first.descriptors:
            found.append(f"descriptors: {first.descriptors}, then {count.descriptors}")
        if any(now > then + GROWTH for now, then in zip(count.memory, first.memory, strict=True)):
            found.append(f"memory: {first.memory}, then {count.memory}")
        if count.leases > MACHINES:
            found.append(f"{count.leases} leases of {MACHINES} machines")
    return found


def main() -> int:
    """Return 1 when something grew."""
    parser = argparse.ArgumentParser(description="Serve under load, and see that nothing grows.")
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="ptftpd-soak-") as directory:
        found = faults(soak(minutes, Path(directory)))
    print("\n".join(found) or "nothing grew")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
