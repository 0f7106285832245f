"""The TFTP rows of `make bench`: every server on its own port, one interleaved run, medians and ratios.

    python3 -m tests.bench.tftp [--rounds N] [--row TEXT] [--out DIR]

Servers and generator are in two network namespaces on a veth of MTU 1500. Within a round every server is
measured once for every row, in an order that changes from round to round, so that a noisy machine bends all
of them alike. Ratios are taken within a round; their median and their spread are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests import debs
from tests.lab import Lab, Namespace, Process, program

HERE = Path(__file__).parent
ADDRESS = "10.98.0.1"
OURS, CEILING = "ptftpd", "ceiling"
PEERS = ("tftpd-hpa", "atftpd", "dnsmasq")
CEILING_OCTETS = 16_000_000


@dataclass(frozen=True)
class Row:
    """One measurement: what the clients do, and the ratio to the best peer that is the goal."""

    name: str
    clients: int
    blksize: int
    windowsize: int
    file: str
    goal: float
    ceiling: float = 0.0  # the goal against the ceiling, 0 for none
    put: int = 0  # octets of an upload


ROWS = (
    Row("1 client, lock-step, blksize 512", 1, 512, 1, "f4m", 1.0, 0.9),
    Row("1 client, lock-step, blksize 1428", 1, 1428, 1, "f16m", 1.0, 0.9),
    Row("1 client, windowsize 16", 1, 1428, 16, "f16m", 4.0, 0.8),
    Row("1 client, windowsize 64", 1, 1428, 64, "f16m", 6.0, 0.8),
    Row("100 clients, 64 kB, lock-step", 100, 1428, 1, "f64k", 1.5),
    Row("100 clients, 2 MB, lock-step", 100, 1428, 1, "f2m", 1.5),
    Row("100 clients, 2 MB, windowsize 4", 100, 1428, 4, "f2m", 2.5),
    Row("100 clients, 2 MB, windowsize 8", 100, 1428, 8, "f2m", 2.5),
    Row("1000 clients, 64 kB, lock-step", 1000, 1428, 1, "f64k", 1.0),
    Row("1 upload, lock-step", 1, 1428, 1, "up", 1.0, put=4_000_000),
    Row("1 upload, windowsize 16", 1, 1428, 16, "up", 1.0, put=4_000_000),
)


@dataclass
class Result:
    """What a server did in a row, a value for each round."""

    rate: list[float] = field(default_factory=list)  # octets a second
    failed: int = 0
    first_p99: list[float] = field(default_factory=list)  # seconds
    slowest: list[float] = field(default_factory=list)  # slowest client over the median one
    cpu: list[float] = field(default_factory=list)  # server seconds a gigabyte


class Server:
    """A server under test on a port of its own."""

    def __init__(self, name: str, port: int, process: Process) -> None:
        self.name, self.port, self.process = name, port, process

    def cpu(self) -> float:
        """Return the CPU seconds that its processes, ended children included, have used."""
        ticks = 0
        for pid in _family(self.process.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the peak resident memory of its largest process, octets."""
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in _family(self.process.pid)]
        peaks = [re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE) for text in texts]
        return max(int(peak[1]) * 1024 for peak in peaks if peak)


def _family(pid: int) -> list[int]:
    children = subprocess.run(["pgrep", "-g", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid, *(int(child) for child in children if int(child) != pid)]


def start(namespace: Namespace, root: Path, generator: Path) -> list[Server]:
    """Start every server in the namespace."""
    commands: dict[str, tuple[str, ...]] = {
        OURS: (
            *program("tftpd"), "-p", "6901", str(root), "--uploads", "overwrite", "--user", "nobody",
            "--max-client-transfers", "5000", "--request-rate", "100000",
        ),
        "tftpd-hpa": ("in.tftpd", "-L", "-a", ":6902", "-u", "nobody", "-s", "-c", str(root)),
        "atftpd": (
            str(debs.unpacked("atftpd") / "usr/sbin/atftpd"), "--daemon", "--no-fork", "--port", "6903",
            "--user", "nobody.nogroup", "--maxthread", "5000", str(root),
        ),
        "dnsmasq": ("dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--port=0", "--user=nobody",
                    "--enable-tftp", f"--tftp-root={root}", "--tftp-max=5000", "--pid-file",
                    "--log-facility=/dev/null"),
        CEILING: (str(generator), "serve", "6905", str(CEILING_OCTETS)),
    }  # fmt: skip
    ports = {OURS: 6901, "tftpd-hpa": 6902, "atftpd": 6903, "dnsmasq": 69, CEILING: 6905}
    servers = []
    for name, command in commands.items():
        process = namespace.start(*command, name=name)
        process.wait_listening(ports[name])
        servers.append(Server(name, ports[name], process))
    return servers


def takes_part(server: Server, row: Row) -> bool:
    """Return whether a server can do what the row asks."""
    if server.name == CEILING:
        return bool(row.ceiling)
    if row.put and server.name == "dnsmasq":
        return False
    return row.windowsize == 1 or server.name in (OURS, "atftpd") or not row.put


def measure(client: Namespace, generator: Path, server: Server, row: Row, result: Result) -> None:
    """Run the generator once and keep what it found."""
    verb, last = ("put", row.put) if row.put else ("get", 60)
    before = server.cpu()
    done = client.run(
        generator, verb, ADDRESS, server.port, row.file, row.clients, row.blksize, row.windowsize, last,
        timeout=120,
    )  # fmt: skip
    seen = json.loads(done.stdout)
    result.failed += seen["failed"]
    result.rate.append(seen["octets"] / seen["seconds"])
    result.first_p99.append(seen["first_p99"])
    result.slowest.append(seen["end_max"] / seen["end_p50"] if seen["end_p50"] else 0.0)
    result.cpu.append((server.cpu() - before) / max(seen["octets"], 1) * 1e9)


def run(rounds: int, rows: list[Row]) -> dict[str, dict[str, Result]]:
    """Return the results by row and server."""
    with tempfile.TemporaryDirectory(prefix="ptftpd-bench-") as work:
        root, generator = Path(work) / "root", Path(work) / "load"
        make_files(root)
        subprocess.run(["gcc", "-O2", "-o", generator, HERE / "load.c"], check=True)
        Path(work).chmod(0o755)
        with Lab(Path(work)) as lab:
            server, client = lab.namespace("server"), lab.namespace("client")
            lab.cable(server, client)
            server.address(f"{ADDRESS}/24")
            client.address("10.98.0.2/24")
            servers = start(server, root, generator)
            results = {
                row.name: {each.name: Result() for each in servers if takes_part(each, row)} for row in rows
            }
            for turn in range(rounds):
                for row in rows:
                    order = [each for each in servers if takes_part(each, row)]
                    order = order[turn % len(order) :] + order[: turn % len(order)]
                    for each in order:
                        measure(client, generator, each, row, results[row.name][each.name])
                print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    return results


def make_files(root: Path) -> None:
    """Make what is served, and what the servers that only overwrite are to be sent."""
    root.mkdir()
    for name, octets in (("f64k", 65_536), ("f2m", 2_000_000), ("f4m", 4_000_000), ("f16m", CEILING_OCTETS)):
        (root / name).write_bytes(os.urandom(octets))
    (root / "up.0").touch()
    (root / "up.0").chmod(0o666)
    root.chmod(0o777)


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Return (median, lowest, highest) of the ratios within the rounds."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def table(rows: list[Row], results: dict[str, dict[str, Result]]) -> tuple[str, list[dict[str, object]]]:
    """Return the results as a table for people and as data."""
    lines = [
        f"{'MB/s, median':<36}" + "".join(f"{name:>11}" for name in (OURS, *PEERS, CEILING)) + "  / best peer"
    ]
    data: list[dict[str, object]] = []
    for row in rows:
        found = results[row.name]
        rates = {name: statistics.median(result.rate) / 1e6 for name, result in found.items()}
        best = max((name for name in PEERS if name in found), key=lambda name: rates[name])
        middle, low, high = ratio(found[OURS].rate, found[best].rate)
        cells = "".join(
            f"{rates[name]:>11.1f}" if name in rates else f"{'-':>11}" for name in (OURS, *PEERS, CEILING)
        )
        verdict = "" if middle >= row.goal else f"  below {row.goal:g}"
        failures = {name: result.failed for name, result in found.items() if result.failed}
        lines.append(f"{row.name:<36}{cells}  {middle:.2f} ({low:.2f}-{high:.2f}){verdict}"
                     + (f"  failed: {failures}" if failures else ""))  # fmt: skip
        data.append({
            "row": row.name, "goal": row.goal, "best_peer": best, "ratio": middle, "ratio_low": low,
            "ratio_high": high, "rates": rates, "failed": failures,
            "first_p99": {name: statistics.median(result.first_p99) for name, result in found.items()},
            "slowest_over_median": {
                name: statistics.median(result.slowest) for name, result in found.items()
            },
            "cpu_s_per_gb": {name: statistics.median(result.cpu) for name, result in found.items()},
        })  # fmt: skip
    return "\n".join(lines), data


def main() -> int:
    """Measure, print the table, write the data."""
    parser = argparse.ArgumentParser(description="Measure the TFTP servers side by side.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--row", default="", help="only the rows whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    rows = [row for row in ROWS if arguments.row in row.name]
    results = run(arguments.rounds, rows)
    text, data = table(rows, results)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "tftp.json").write_text(json.dumps(data, indent=1))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
