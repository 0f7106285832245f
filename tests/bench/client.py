"""The client's rows of the measurements: files got from ptftpd and put there by each client in turn.

    python3 -m tests.bench.client [--octets N] [--rounds N] [--row TEXT]

Server and client are in two network namespaces on a veth of MTU 1500, all files on tmpfs. A client's time is
that of its whole process, starting up included. Within a round every client runs once for every row, in an
order that changes from round to round, so that a noisy machine bends all of them alike; ratios are taken
within a round, and their median, lowest and highest are shown. CPU time is the client's own, user and system.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab import Lab, Namespace, program

ADDRESS = "10.98.1.1"
OURS = "ptftp"
TFTP = program("tftp")
URL = f"tftp://{ADDRESS}"


@dataclass(frozen=True)
class Row:
    """Client -> its command: it gets {name} to {here}, or puts {here} as 'up' where the row is a put."""

    name: str
    commands: dict[str, tuple[str, ...]]
    put: bool = False
    small: bool = False  # one octet: what counts is the time to start


def _get(*ours: str, atftp: tuple[str, ...] = (), curl: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """Return the commands of a get with these options."""
    return {
        OURS: (*TFTP, *ours, "get", f"{URL}/{{name}}", "-o", "{here}"),
        "atftp": ("atftp", *atftp, "-g", "-r", "{name}", "-l", "{here}", ADDRESS),
        "tftp-hpa": ("tftp", "-m", "binary", ADDRESS, "-c", "get", "{name}", "{here}"),
        "curl": ("curl", "-s", *curl, "-o", "{here}", f"{URL}/{{name}}"),
    }


def _put(*ours: str, atftp: tuple[str, ...] = (), curl: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """Return the commands of a put with these options."""
    return {
        OURS: (*TFTP, *ours, "put", "{here}", f"{URL}/up"),
        "atftp": ("atftp", *atftp, "-p", "-l", "{here}", "-r", "up", ADDRESS),
        "tftp-hpa": ("tftp", "-m", "binary", ADDRESS, "-c", "put", "{here}", "up"),
        "curl": ("curl", "-s", *curl, "-T", "{here}", f"{URL}/up"),
    }


def _rows(verb: str) -> list[Row]:
    """Return the rows of get or put; who does not know an option has no part in its row."""
    make, put = (_put, True) if verb == "put" else (_get, False)
    no_options = make("-r", atftp=("--option", "blksize disable"), curl=("--tftp-no-options",))
    blocks = ("--option", "blksize 1428")
    lockstep = make("-b", "1428", "-w", "1", atftp=blocks, curl=("--tftp-blksize", "1428"))
    windows = make("-b", "1428", "-w", "64", atftp=(*blocks, "--option", "windowsize 64"))
    del lockstep["tftp-hpa"], windows["tftp-hpa"], windows["curl"]
    return [
        Row(f"{verb}, lock-step, blksize 512", no_options, put),
        Row(f"{verb}, lock-step, blksize 1428", lockstep, put),
        Row(f"{verb}, windowsize 64, blksize 1428", windows, put),
        Row(f"{verb}, as typed, no option given", make(), put),
    ]


ROWS = (*_rows("get"), *_rows("put"), Row("start and get one octet", _get(), small=True))


@dataclass
class Run:
    """What one run of a client took: seconds by the clock, and of the processor."""

    seconds: float
    cpu: float


Runs = dict[str, dict[str, list[Run]]]  # row -> client -> a run for each round


def run(octets: int, rounds: int, rows: list[Row]) -> Runs:
    """Return what was measured."""
    runs: Runs = {row.name: {client: [] for client in row.commands} for row in rows}
    with tempfile.TemporaryDirectory(prefix="ptftpd-bench-", dir="/dev/shm") as work:
        root = Path(work, "root")
        root.mkdir()
        Path(work).chmod(0o755)
        root.chmod(0o777)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(work, "compiled"))
        make_file(root / "large", octets)
        make_file(root / "small", 1)
        with Lab(Path(work)) as lab:
            server, client = lab.namespace("server"), lab.namespace("client")
            lab.cable(server, client)
            server.address(f"{ADDRESS}/24")
            client.address("10.98.1.2/24")
            ptftpd = (*program("tftpd"), "--user", "nobody", "--uploads", "overwrite")
            server.start(*ptftpd, root).wait_listening(69)
            for turn in range(rounds):
                for row in rows:
                    names = list(row.commands)
                    for name in names[turn % len(names) :] + names[: turn % len(names)]:
                        runs[row.name][name].append(measure(client, row, row.commands[name], root))
                print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    return runs


def make_file(path: Path, octets: int) -> None:
    """Write octets that are not to be compressed."""
    with path.open("wb") as file:
        while octets:
            octets -= file.write(os.urandom(min(octets, 1 << 20)))


def measure(namespace: Namespace, row: Row, command: tuple[str, ...], root: Path) -> Run:
    """Return what a client takes; what has come must be right."""
    original = root / ("small" if row.small else "large")
    come = root / "up" if row.put else root.parent / "out"
    come.unlink(missing_ok=True)
    here = original if row.put else come
    words = [word.format(name=original.name, here=here) for word in command]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    namespace.run(*words, timeout=600)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if not filecmp.cmp(original, come, shallow=False):
        raise SystemExit(f"{' '.join(words)}: what has come is wrong")
    return Run(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def table(runs: Runs, rows: list[Row], octets: int) -> str:
    """Return the medians in MB/s or ms, the CPU time, and the ratio of ours to each of the others."""
    lines = []
    for row in rows:
        lines.append(row.name)
        for name, found in runs[row.name].items():
            seconds = statistics.median(each.seconds for each in found)
            shown = f"{seconds * 1e3:>9.0f} ms  " if row.small else f"{octets / 1e6 / seconds:>9.1f} MB/s"
            line = f"  {name:<10}{shown}{statistics.median(each.cpu for each in found):>8.2f} s CPU"
            if name != OURS:
                pairs = zip(runs[row.name][OURS], found, strict=True)
                ratios = [theirs.seconds / ours.seconds for ours, theirs in pairs]
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
    rows = [row for row in ROWS if arguments.row in row.name]
    print(table(run(arguments.octets, arguments.rounds, rows), rows, arguments.octets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
