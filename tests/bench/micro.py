"""The micro-benchmarks of `make bench`: what one step of a machine costs, without network and disk.

    python3 -m tests.bench.micro [--out DIR]

Each has a budget, a few times what it cost when it was set on a processor of 2023: a slower machine fits in,
and a step that has become many times as expensive does not. No test depends on it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ptftpd.dhcp import options, wire
from ptftpd.settings import Dhcp
from ptftpd.tftp import wire as tftp
from ptftpd.tftp.outcome import Backoff
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender
from tests.machine.dhcp_site import OWN, Site, ip, mac, message, ranges

BLKSIZE = 1428
STEPS = 40_000  # blocks of a run: below 65536, so that numbers need no thought
RUNS = 5  # the fastest counts: the others were disturbed

Bench = Callable[[], float]  # returns seconds for one step


def acks(windowsize: int) -> Bench:
    """Return what measures a Sender's answer to an ACK, its share of reading ahead included."""

    def read(views: Sequence[memoryview], offset: int) -> int:
        return sum(map(len, views))

    def run() -> float:
        sender = Sender(read, BLKSIZE * 2 * STEPS, Backoff(1.0, 6), blksize=BLKSIZE, windowsize=windowsize)
        buffer, now = bytearray(65536), 1.0
        heard = [tftp.make_ack(block) for block in range(windowsize, STEPS, windowsize)]
        sender.start(now)
        began = time.perf_counter()
        for ack in heard:
            buffer[:4] = ack
            now += 1e-4
            sender.receive(buffer, 4, now)
        return (time.perf_counter() - began) / len(heard)

    return run


def blocks(windowsize: int) -> Bench:
    """Return what measures a Receiver's taking of a block."""

    def run() -> float:
        receiver = Receiver(
            lambda payload: None, lambda: None, Backoff(1.0, 6), blksize=BLKSIZE, windowsize=windowsize
        )
        buffer, now = bytearray(65536), 1.0
        heard = [tftp.make_data(block, b"") for block in range(1, STEPS)]
        receiver.start(now)
        began = time.perf_counter()
        for data in heard:
            buffer[:4] = data
            now += 1e-4
            receiver.receive(buffer, 4 + BLKSIZE, now)
        return (time.perf_counter() - began) / len(heard)

    return run


def exchanges() -> float:
    """Return the seconds that the four messages of a DHCP exchange cost, octets to octets, but no commit."""
    site = Site(Dhcp(range=ranges(".10-.250"), answer_all=True))
    asked = bytes(range(1, 60))
    heard = []
    for number in range(200):
        address, server = wire.addresses(ip(f".{10 + number}")), wire.addresses(int(OWN))
        heard += [
            message(options.DISCOVER, mac(number), o55=asked),
            message(options.REQUEST, mac(number), o50=address, o54=server, o55=asked),
        ]
    datagrams = [wire.encode(each) for each in heard]
    began = time.perf_counter()
    for turn in range(5):
        for datagram in datagrams:
            outcome = site.machine.receive(wire.decode(datagram), float(turn), direct=False)
            assert outcome.data, outcome
    return (time.perf_counter() - began) * 2 / (5 * len(datagrams))


BENCHES: dict[str, tuple[Bench, float]] = {  # name -> (what measures it, budget in microseconds)
    "an ACK in lock-step": (acks(1), 3.0),
    "an ACK with windowsize 8": (acks(8), 6.0),
    "an ACK with windowsize 64": (acks(64), 25.0),
    "a block in lock-step": (blocks(1), 4.0),
    "a block with windowsize 16": (blocks(16), 3.0),
    "a DHCP exchange": (exchanges, 100.0),
}


def measure() -> dict[str, tuple[float, float]]:
    """Return microseconds a step and the budget, by name."""
    return {
        name: (min(bench() for _ in range(RUNS)) * 1e6, budget) for name, (bench, budget) in BENCHES.items()
    }


def main() -> int:
    """Measure, print and keep; return 1 when a step is above its budget."""
    parser = argparse.ArgumentParser(description="Measure the steps of the machines.")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    out = parser.parse_args().out
    found = measure()
    print(f"{'microseconds to answer':<36}{'':>11}  budget")
    for name, (spent, budget) in found.items():
        print(f"{name:<36}{spent:>11.2f}{budget:>8g}{'' if spent <= budget else '  above'}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "micro.json").write_text(json.dumps(found, indent=1))
    return any(spent > budget for spent, budget in found.values())


if __name__ == "__main__":
    sys.exit(main())
