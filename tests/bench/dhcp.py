"""The DHCP rows of `make bench`: pdhcpd and Debian's kea-dhcp4, one interleaved run, driven by perfdhcp.

    python3 -m tests.bench.dhcp [--rounds N] [--seconds N] [--out DIR]

First 1,000 exchanges a second for 30 s, which must lose none. Then each round looks, by bisection and for
both servers in turn, for the highest rate at which no more than one exchange in a thousand is lost, and
offers take no more than 50 ms on average: a queue that grows would overflow after the end of the run. Each
run is of a server just started, without leases. Both keep every lease before they acknowledge it and log
each one; pdhcpd waits for the disk, and the file of leases of kea does not, so that kea may lose some when
the power fails. All receive buffers are equally large.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.servers import cpu_of
from tests.lab import Process
from tests.netns.dhcp_load import Load, Report

OURS, PEER = "pdhcpd", "kea-dhcp4"
STEADY, STEADY_SECONDS = 1000, 30
LOWEST, HIGHEST, STEPS = 1000, 16000, 7  # of the bisection: its last rates are 2 % apart
TOLERATED = 0.001  # share of the exchanges lost at a rate that is held
PATIENCE = 50.0  # milliseconds
REACHED = 0.99  # share of a rate that perfdhcp must have asked for: it may be what is too slow
ATTEMPTS = 3  # at each rate: another program may have had the processor for a moment


@dataclass
class Server:
    """A server under test in a network of its own, and what it did."""

    name: str
    load: Load
    start: Callable[[], Process]
    held: list[float] = field(default_factory=list)  # exchanges a second, a value for each round
    cost: list[float] = field(default_factory=list)  # CPU seconds for a thousand exchanges at the rate held

    def run(self, rate: int, seconds: int) -> tuple[Report, float]:
        """Return what became of so many exchanges a second, and the CPU seconds a thousand of them cost."""
        process = self.start()
        before = cpu_of(process.pid)
        report = self.load.perfdhcp(rate, seconds)
        spent = cpu_of(process.pid) - before
        process.stop()
        self.load.forget()
        return report, spent * 1000 / max(report.acknowledged, 1)

    def holds(self, rate: int, seconds: int) -> tuple[bool, float]:
        """Return whether a rate is held, and what it cost at the last attempt."""
        for _ in range(ATTEMPTS):
            report, cost = self.run(rate, seconds)
            asked = report.sent >= rate * seconds * REACHED
            in_time = report.lost <= report.sent * TOLERATED and report.delay <= PATIENCE
            if asked and in_time:
                return True, cost
        return False, cost


def search(servers: list[Server], seconds: int) -> None:
    """Find the highest rate that each server holds, one attempt of each in turn; note it and its cost."""
    found = {server.name: (LOWEST, HIGHEST, 0.0) for server in servers}
    for _ in range(STEPS):
        for server in servers:
            low, high, cost = found[server.name]
            rate = round(math.sqrt(low * high))
            held, spent = server.holds(rate, seconds)
            found[server.name] = (rate, high, spent) if held else (low, rate, cost)
    for server in servers:
        low, _, cost = found[server.name]
        server.held.append(low)
        server.cost.append(cost)


def main() -> int:
    """Measure, print the table, write the data; return 1 when a steady thousand lost an exchange."""
    parser = argparse.ArgumentParser(description="Measure the DHCP servers side by side.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each run at one rate")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        loads = [stack.enter_context(Load(directory)) for _ in (OURS, PEER)]
        servers = [Server(OURS, loads[0], loads[0].pdhcpd), Server(PEER, loads[1], loads[1].kea)]
        steady = {server.name: server.run(STEADY, STEADY_SECONDS)[0] for server in servers}
        for round_ in range(arguments.rounds):
            search(servers[:: 1 if round_ % 2 else -1], arguments.seconds)
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
