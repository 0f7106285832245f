"""The TFTP rows of `make bench`: every server on its own port, one interleaved run, medians and ratios.

    python3 -m tests.bench.tftp [--rounds N] [--row TEXT] [--out DIR]

Servers and generator are in two network namespaces on a veth of MTU 1500, the files on tmpfs. The generator
has a processor core of its own where there are two; only the two workers may share it. Within a round
every server is measured once for every row, in an order that changes from round to round, so that a noisy
machine bends all of them alike. Ratios are taken within a round; their median and their spread are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import generator
from tests.bench.servers import (
    CEILING,
    GENERATOR_CORE,
    NAMES,
    OURS,
    PEERS,
    TWO,
    Server,
    on,
    start,
)
from tests.lab import Lab

ADDRESS = "10.98.0.1"
UNSEEN = {"tftpd-hpa"}  # its processes, one for each client, have ended before they can be looked at


@dataclass(frozen=True)
class Row:
    """One measurement: what the clients do, and the ratio to the best peer that is the goal."""

    name: str
    clients: int
    blksize: int
    windowsize: int
    octets: int
    goal: float
    ceiling: float = 0.0  # the goal against the ceiling
    put: bool = False  # an upload
    two: bool = False  # whether it is measured with two workers too


ROWS = (
    Row("1 client, lock-step, blksize 512", 1, 512, 1, 4_000_000, 1.0, 0.9),
    Row("1 client, lock-step, blksize 1428", 1, 1428, 1, 16_000_000, 1.0, 0.9),
    Row("1 client, windowsize 16", 1, 1428, 16, 16_000_000, 4.0, 0.8),
    Row("1 client, windowsize 64", 1, 1428, 64, 16_000_000, 6.0, 0.8),
    Row("100 clients, 64 kB, lock-step", 100, 1428, 1, 65_536, 1.5),
    Row("100 clients, 2 MB, lock-step", 100, 1428, 1, 2_000_000, 1.5, two=True),
    Row("100 clients, 16 MB, lock-step", 100, 1428, 1, 16_000_000, 1.5),
    Row("100 clients, 2 MB, windowsize 4", 100, 1428, 4, 2_000_000, 2.5),
    Row("100 clients, 2 MB, windowsize 8", 100, 1428, 8, 2_000_000, 2.5, two=True),
    Row("1000 clients, 64 kB, lock-step", 1000, 1428, 1, 65_536, 1.0),
    Row("1 upload, lock-step", 1, 1428, 1, 16_000_000, 1.0, put=True),
    Row("1 upload, windowsize 16", 1, 1428, 16, 16_000_000, 1.0, put=True),
)


@dataclass
class Result:
    """What a server did in a row, a value for each round."""

    rate: list[float] = field(default_factory=list)  # octets a second
    failed: int = 0
    first_p99: list[float] = field(default_factory=list)  # seconds
    slowest: list[float] = field(default_factory=list)  # slowest client over the median one
    cpu: list[float] = field(default_factory=list)  # server seconds a gigabyte
    memory: list[float] = field(default_factory=list)  # peak octets more than idle


def takes_part(server: Server, row: Row) -> bool:
    """Return whether a server can do what the row asks."""
    if server.name == CEILING:
        return not row.put
    if server.name == TWO:
        return row.two
    return not (row.put and (server.name == "dnsmasq" or (row.windowsize > 1 and server.name == "tftpd-hpa")))


def measure(clients: generator.Generator, server: Server, row: Row, result: Result) -> None:
    """Run the generator once and keep what it found."""
    server.forget_peak()
    before = server.cpu()
    whom, how = (ADDRESS, server.port), (row.clients, row.blksize, row.windowsize)
    if row.put:  # under names of its own: tftpd-hpa would refuse to write over a file of ours
        seen = clients.put(whom, f"up-{server.name}", *how, row.octets)
    else:
        seen = clients.get(whom, str(row.octets), *how)
    result.failed += seen.failed
    result.rate.append(seen.octets / seen.seconds)
    result.first_p99.append(seen.first_p99)
    result.slowest.append(seen.end_max / seen.end_p50 if seen.end_p50 else 0.0)
    result.cpu.append((server.cpu() - before) / max(seen.octets, 1) * 1e9)
    result.memory.append(max(0, server.peak() - server.idle))


Results = dict[str, dict[str, Result]]  # row -> server -> what it did


def run(rounds: int, rows: list[Row]) -> Results:
    """Return the results."""
    with tempfile.TemporaryDirectory(prefix="ptftpd-bench-", dir="/dev/shm") as work:
        root = Path(work) / "root"
        make_files(root)
        program = generator.build(Path(work))
        Path(work).chmod(0o755)
        with Lab(Path(work)) as lab:
            server, client = lab.namespace("server"), lab.namespace("client")
            lab.cable(server, client)
            server.address(f"{ADDRESS}/24")
            client.address("10.98.0.2/24")
            servers = start(server, root, NAMES, program)
            clients = generator.Generator(program, client, on([GENERATOR_CORE]))
            results = {
                row.name: {each.name: Result() for each in servers if takes_part(each, row)} for row in rows
            }
            for turn in range(rounds):
                for row in rows:
                    order = [each for each in servers if takes_part(each, row)]
                    order = order[turn % len(order) :] + order[: turn % len(order)]
                    for each in order:
                        measure(clients, each, row, results[row.name][each.name])
                print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    return results


def make_files(root: Path) -> None:
    """Make what is served, and what the servers that only overwrite are to be sent."""
    root.mkdir()
    for octets in {row.octets for row in ROWS}:
        (root / str(octets)).write_bytes(os.urandom(octets))
    for name in PEERS:
        (root / f"up-{name}.0").touch()
        (root / f"up-{name}.0").chmod(0o666)
    root.chmod(0o777)


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Return (median, lowest, highest) of the ratios within the rounds; 0 where the other did nothing."""
    ratios = [one / other if other else 0.0 for one, other in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def summary(rows: list[Row], results: Results) -> list[dict[str, object]]:
    """Return what each row comes to, as data."""
    data: list[dict[str, object]] = []
    for row in rows:
        found = results[row.name]
        rates = {name: statistics.median(result.rate) / 1e6 for name, result in found.items()}
        best = max((name for name in PEERS if name in found), key=lambda name: rates[name])
        middle, low, high = ratio(found[OURS].rate, found[best].rate)
        entry: dict[str, object] = {
            "row": row.name, "goal": row.goal, "best_peer": best, "ratio": middle, "ratio_low": low,
            "ratio_high": high, "rates": rates,
            "failed": {name: result.failed for name, result in found.items() if result.failed},
        }  # fmt: skip
        if CEILING in found:
            entry["of_ceiling"] = ratio(found[OURS].rate, found[CEILING].rate)
            entry["ceiling_goal"] = row.ceiling
        if row.two:
            entry["two_workers"] = ratio(found[TWO].rate, found[OURS].rate)
        for name in ("first_p99", "slowest", "cpu", "memory"):
            seen = [each for each in found if name not in ("cpu", "memory") or each not in UNSEEN]
            entry[name] = {each: statistics.median(getattr(found[each], name)) for each in seen}
        data.append(entry)
    return data


def main() -> int:
    """Measure, print the tables, write the data."""
    from tests.bench import report

    parser = argparse.ArgumentParser(description="Measure the TFTP servers side by side.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--row", default="", help="only the rows whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    rows = [row for row in ROWS if arguments.row in row.name]
    data = summary(rows, run(arguments.rounds, rows))
    arguments.out.mkdir(parents=True, exist_ok=True)
    kept = {"machine": report.machine(), "rounds": arguments.rounds, "rows": data}
    (arguments.out / "tftp.json").write_text(json.dumps(kept, indent=1))
    print(report.tables(data, NAMES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
