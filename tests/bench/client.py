"""The client's row of the measurements: one file from ptftpd, got by each client in turn, and the ratios.

    python3 -m tests.bench.client [--octets N] [--rounds N] [--row TEXT]

Server and client are in two network namespaces on a veth of MTU 1500, all files on tmpfs. A client's time is
that of its whole process, starting up included. Within a round every client runs once for every row, in an
order that changes from round to round, so that a noisy machine bends all of them alike; ratios are taken
within a round, and their median, lowest and highest are shown.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.lab import Lab, Namespace, program

ADDRESS = "10.98.1.1"
OURS = "ptftp"

# Row -> client -> its command; the file is got to {out}. tftp-hpa knows no options, curl no windowsize.
ROWS: dict[str, dict[str, tuple[str, ...]]] = {
    "lock-step, blksize 512": {
        OURS: (*program("tftp"), "-r", "get", f"tftp://{ADDRESS}/f", "-o", "{out}"),
        "atftp": ("atftp", "--option", "blksize disable", "-g", "-r", "f", "-l", "{out}", ADDRESS),
        "tftp-hpa": ("tftp", "-m", "binary", ADDRESS, "-c", "get", "f", "{out}"),
        "curl": ("curl", "-s", "--tftp-no-options", "-o", "{out}", f"tftp://{ADDRESS}/f"),
    },
    "lock-step, blksize 1428": {
        OURS: (*program("tftp"), "-b", "1428", "-w", "1", "get", f"tftp://{ADDRESS}/f", "-o", "{out}"),
        "atftp": ("atftp", "--option", "blksize 1428", "-g", "-r", "f", "-l", "{out}", ADDRESS),
        "curl": ("curl", "-s", "--tftp-blksize", "1428", "-o", "{out}", f"tftp://{ADDRESS}/f"),
    },
    "windowsize 64, blksize 1428": {
        OURS: (*program("tftp"), "-b", "1428", "-w", "64", "get", f"tftp://{ADDRESS}/f", "-o", "{out}"),
        "atftp": ("atftp", "--option", "blksize 1428", "--option", "windowsize 64", "-g", "-r", "f",
                  "-l", "{out}", ADDRESS),
    },
    "as typed, no option given": {
        OURS: (*program("tftp"), "get", f"tftp://{ADDRESS}/f", "-o", "{out}"),
        "atftp": ("atftp", "-g", "-r", "f", "-l", "{out}", ADDRESS),
        "tftp-hpa": ("tftp", "-m", "binary", ADDRESS, "-c", "get", "f", "{out}"),
        "curl": ("curl", "-s", "-o", "{out}", f"tftp://{ADDRESS}/f"),
    },
}  # fmt: skip

Rates = dict[str, dict[str, list[float]]]  # row -> client -> octets a second, a value for each round


def run(octets: int, rounds: int, rows: list[str]) -> Rates:
    """Return what was measured."""
    rates: Rates = {row: {client: [] for client in ROWS[row]} for row in rows}
    with tempfile.TemporaryDirectory(prefix="ptftpd-bench-", dir="/dev/shm") as work:
        served, out = Path(work, "root"), Path(work, "out")
        served.mkdir()
        Path(work).chmod(0o755)
        make_file(served / "f", octets)
        with Lab(Path(work)) as lab:
            server, client = lab.namespace("server"), lab.namespace("client")
            lab.cable(server, client)
            server.address(f"{ADDRESS}/24")
            client.address("10.98.1.2/24")
            server.start(*program("tftpd"), "--user", "nobody", served).wait_listening(69)
            for turn in range(rounds):
                for row in rows:
                    clients = ROWS[row]
                    names = list(clients)
                    for name in names[turn % len(names) :] + names[: turn % len(names)]:
                        rates[row][name].append(octets / measure(client, clients[name], served / "f", out))
                print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    return rates


def make_file(path: Path, octets: int) -> None:
    """Write octets that are not to be compressed."""
    with path.open("wb") as file:
        while octets:
            octets -= file.write(os.urandom(min(octets, 1 << 20)))


def measure(namespace: Namespace, command: tuple[str, ...], served: Path, out: Path) -> float:
    """Return how many seconds a client takes; what it got must be right."""
    out.unlink(missing_ok=True)
    words = [word.replace("{out}", str(out)) for word in command]
    began = time.monotonic()
    namespace.run(*words, timeout=600)
    seconds = time.monotonic() - began
    if not filecmp.cmp(served, out, shallow=False):
        raise SystemExit(f"{' '.join(words)}: what it got is wrong")
    return seconds


def table(rates: Rates) -> str:
    """Return the medians in MB/s, and the ratio of ours to each of the others."""
    lines = []
    for row, clients in rates.items():
        lines.append(row)
        for name, found in clients.items():
            line = f"  {name:<10}{statistics.median(found) / 1e6:>9.1f} MB/s"
            if name != OURS:
                ratios = [ours / theirs for ours, theirs in zip(clients[OURS], found, strict=True)]
                line += f"   {OURS} is {statistics.median(ratios):.2f} times as fast"
                line += f" ({min(ratios):.2f}-{max(ratios):.2f})"
            lines.append(line)
    return "\n".join(lines)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Measure TFTP clients side by side.")
    parser.add_argument("--octets", type=int, default=256_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--row", default="", help="only the rows whose name contains this")
    arguments = parser.parse_args()
    rows = [row for row in ROWS if arguments.row in row]
    print(table(run(arguments.octets, arguments.rounds, rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
