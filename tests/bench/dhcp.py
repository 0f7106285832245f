"""The DHCP rows of `make bench`: pdhcpd and Debian's kea-dhcp4, one interleaved run, driven by perfdhcp.

    python3 -m tests.bench.dhcp [--rounds N] [--seconds N] [--out DIR]

First 1,000 exchanges a second for 30 s, which must lose none. Then each round raises the rate for both
servers in turn, until each loses more than one exchange in a thousand: the rate before is the one that it
holds. Both keep every lease before they acknowledge it and log each one; pdhcpd waits for the disk, and the
file of leases of kea does not, so that kea may lose some when the power fails.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import Process
from tests.netns.dhcp_load import Load, Report

OURS, PEER = "pdhcpd", "kea-dhcp4"
STEADY, STEADY_SECONDS = 1000, 30
STEP = 1.15  # from one rate to the next
TOLERATED = 0.001  # share of the exchanges lost at a rate that is held
ATTEMPTS = 2  # at each rate: another program may have had the processor for a moment


@dataclass
class Server:
    """A server under test in a network of its own, and what it did."""

    name: str
    load: Load
    process: Process
    batches: Iterator[int]
    held: list[float] = field(default_factory=list)  # exchanges a second, a value for each round
    cost: list[float] = field(default_factory=list)  # CPU seconds for a thousand exchanges at the rate held

    def run(self, rate: int, seconds: int) -> tuple[Report, float]:
        """Return what became of so many exchanges a second, and the CPU seconds a thousand of them cost."""
        before = self._cpu()
        report = self.load.perfdhcp(rate, seconds, batch=next(self.batches))
        return report, (self._cpu() - before) * 1000 / max(report.acknowledged, 1)

    def _cpu(self) -> float:
        pids = [self.process.pid, *map(int, _children(self.process.pid))]
        ticks = 0
        for pid in pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def climb(servers: list[Server], seconds: int) -> None:
    """Raise the rate for all servers in turn until each has lost too many; note what each held."""
    going = {server.name: (0.0, 0.0) for server in servers}
    rate = float(STEADY)
    while going:
        for server in [server for server in servers if server.name in going]:
            reports = []
            for _ in range(ATTEMPTS):
                reports.append(server.run(int(rate), seconds))
                if reports[-1][0].lost <= reports[-1][0].sent * TOLERATED:
                    break
            report, cost = reports[-1]
            if report.lost <= report.sent * TOLERATED:
                going[server.name] = report.acknowledged / seconds, cost
            else:
                held, cost = going.pop(server.name)
                server.held.append(held)
                server.cost.append(cost)
        rate *= STEP


def main() -> int:
    """Measure, print the table, write the data; return 1 when a steady thousand lost an exchange."""
    parser = argparse.ArgumentParser(description="Measure the DHCP servers side by side.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each run at one rate")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        loads = [stack.enter_context(Load(directory)) for _ in (OURS, PEER)]
        servers = [
            Server(OURS, loads[0], loads[0].pdhcpd(), itertools.count()),
            Server(PEER, loads[1], loads[1].kea(), itertools.count()),
        ]
        steady = {server.name: server.run(STEADY, STEADY_SECONDS)[0] for server in servers}
        for round_ in range(arguments.rounds):
            climb(servers[:: 1 if round_ % 2 else -1], arguments.seconds)
    ours, peer = servers
    ratios = [one / other for one, other in zip(ours.held, peer.held, strict=True)]
    print(f"{'':<44}{OURS:>12}{PEER:>12}")
    lost = [f"{steady[name].lost:>12}" for name in (OURS, PEER)]
    print(f"{f'lost of {STEADY} exchanges/s for {STEADY_SECONDS} s':<44}{''.join(lost)}")
    for title, values in (
        ("highest rate held, exchanges/s, median", [server.held for server in servers]),
        ("CPU ms an exchange at that rate, median", [server.cost for server in servers]),
    ):
        print(f"{title:<44}" + "".join(f"{statistics.median(value):>12.2f}" for value in values))
    print(f"ratio of the rates, by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = {server.name: {"held": server.held, "cost": server.cost, "steady_lost": steady[server.name].lost}
            for server in servers}  # fmt: skip
    (arguments.out / "dhcp.json").write_text(json.dumps(data, indent=1))
    return 1 if steady[OURS].lost else 0


if __name__ == "__main__":
    sys.exit(main())
