"""A bad network: forwards frames between two devices and loses, doubles, delays, swaps and damages UDP.

    python3 -m tests.netns.relay DEVICE DEVICE [--loss PERCENT] [--duplicate PERCENT] ... [--seed N]

It stands between two cables, in a namespace of its own, and neither end can tell: no address and no port
changes. Everything but UDP passes unharmed. Ended by SIGTERM it prints how many datagrams met which fate.

The fate of a datagram comes from the seed, from what it says, how often that was said before and how the
conversation began: it is the same in every run, whatever the ports and however many talk at once.
"""

from __future__ import annotations

import argparse
import heapq
import select
import signal
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count
from random import Random

ETH_P_ALL = 3  # <linux/if_ether.h>, in network byte order below
ETH_IPV4, ETH_IPV6 = 0x0800, 0x86DD
PACKET_OUTGOING = 4  # <linux/if_packet.h>: our own frame, seen again
SO_RCVBUFFORCE = 33  # <asm/socket.h>; Python has no name for it
ETHERNET = 14  # octets of a frame before the IP header
BUFFER = 1 << 22  # octets queued at a socket: what overflows it would be lost beyond the seed
BATCH = 64  # frames taken from one device before the other's turn

FATES = ("loss", "duplicate", "reorder", "corrupt")


@dataclass(frozen=True)
class Impairment:
    """Percentages of the datagrams; what is reordered is held back, and all of them delayed, seconds.

    jitter: so many seconds more at most, other ones for each datagram, which then overtake each other too.
    """

    loss: float = 0
    duplicate: float = 0
    reorder: float = 0
    corrupt: float = 0
    hold: float = 0.003
    delay: float = 0
    jitter: float = 0

    def schedule(self, frame: bytes, random: Random) -> tuple[list[tuple[float, bytes]], str]:
        """Return when to send which copies of a UDP frame, seconds from now, and its fate."""
        share = random.random() * 100
        fate = "passed"
        for name in FATES:
            share -= getattr(self, name)
            if share < 0:
                fate = name
                break
        delay = self.delay + (random.random() * self.jitter if self.jitter else 0)
        copies = [(delay, frame)]
        if fate == "loss":
            copies = []
        elif fate == "duplicate":
            copies *= 2
        elif fate == "reorder":
            copies = [(delay + self.hold, frame)]
        elif fate == "corrupt":
            copies = [(delay, _damaged(frame, random))]
        return copies, fate


class Relay:
    """Two devices, what is held back between them, and what became of the datagrams."""

    def __init__(self, devices: tuple[str, str], impairment: Impairment, seed: int) -> None:
        """Open both devices."""
        self.fates: Counter[str] = Counter()
        self._impairment, self._seed = impairment, seed
        self._origins: dict[bytes, bytes] = {}  # (address, port) -> the first datagram from there
        self._copies: Counter[tuple[bytes, bytes]] = Counter()
        self._sockets = [_open(device) for device in devices]
        self._held: list[tuple[float, int, socket.socket, bytes]] = []
        self._sequence = count()

    def run(self) -> None:
        """Forward for ever."""
        one, other = self._sockets
        ways = {one: other, other: one}
        while True:
            timeout = max(0.0, self._held[0][0] - time.monotonic()) if self._held else None
            for sock in select.select(self._sockets, [], [], timeout)[0]:
                self._take(sock, ways[sock])
            while self._held and self._held[0][0] <= time.monotonic():
                _, _, out, frame = heapq.heappop(self._held)
                _send(out, frame)

    def _take(self, sock: socket.socket, out: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                frame, (_, _, kind, *_) = sock.recvfrom(65536)
            except BlockingIOError:
                return
            if kind == PACKET_OUTGOING:
                continue
            start = udp_header(frame)
            if not start:
                _send(out, frame)
                continue
            copies, fate = self._impairment.schedule(with_checksum(frame, start), self._luck(frame, start))
            self.fates[fate] += 1
            for delay, copy in copies:
                if delay:
                    heapq.heappush(self._held, (time.monotonic() + delay, next(self._sequence), out, copy))
                else:
                    _send(out, copy)

    def _luck(self, frame: bytes, start: int) -> Random:
        """Return what decides on the fate of a UDP frame."""
        ends, payload = addresses(frame), frame[start + 8 :]
        half = len(ends) // 2
        source = ends[:half] + frame[start : start + 2]
        destination = ends[half:] + frame[start + 2 : start + 4]
        origin = self._origins.get(destination) or self._origins.setdefault(source, payload)
        self._copies[origin, payload] += 1
        return Random(b"%d %d %b %b" % (self._seed, self._copies[origin, payload], origin, payload))


def addresses(frame: bytes) -> bytes:
    """Return the source and destination address of an IP frame."""
    version6 = frame[ETHERNET] >> 4 == 6
    return frame[ETHERNET + 8 : ETHERNET + 40] if version6 else frame[ETHERNET + 12 : ETHERNET + 20]


def udp_header(frame: bytes) -> int:
    """Return where the UDP header of a frame begins; 0 when it carries something else."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETH_IPV4 and frame[ETHERNET + 9] == socket.IPPROTO_UDP:
        return ETHERNET + (frame[ETHERNET] & 15) * 4
    if kind == ETH_IPV6 and frame[ETHERNET + 6] == socket.IPPROTO_UDP:
        return ETHERNET + 40
    return 0


def with_checksum(frame: bytes, start: int) -> bytes:
    """Return the frame with its UDP checksum filled in: over veth the kernel leaves it to the receiver."""
    (length,) = struct.unpack_from("!H", frame, start + 4)
    datagram = frame[start : start + 6] + bytes(2) + frame[start + 8 : start + length]
    covered = addresses(frame) + struct.pack("!HH", socket.IPPROTO_UDP, length) + datagram
    words = int.from_bytes(covered + bytes(len(covered) % 2), "big")
    total = 0xFFFF - words % 0xFFFF  # RFC 1071: the sum in one's complement is a remainder
    return frame[: start + 6] + struct.pack("!H", total) + frame[start + 8 :]


def _damaged(frame: bytes, random: Random) -> bytes:
    """Return the frame with one bit of the UDP payload turned over, or of the checksum when there is none."""
    first = udp_header(frame) + 8 if udp_header(frame) + 8 < len(frame) else len(frame) - 1
    at, bit = random.randrange(first, len(frame)), random.randrange(8)
    return frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]


def _open(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    sock.bind((device, 0))
    sock.setblocking(False)
    return sock


def _send(sock: socket.socket, frame: bytes) -> None:
    try:
        sock.send(frame)
    except BlockingIOError:
        pass  # the device is full: lost, as on the wire


def main() -> None:
    """Forward until SIGTERM."""
    parser = argparse.ArgumentParser(prog="relay")
    parser.add_argument("devices", nargs=2)
    for name in (*FATES, "hold", "delay", "jitter"):
        parser.add_argument(f"--{name}", type=float, default=getattr(Impairment, name))
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    devices, seed = given.pop("devices"), given.pop("seed")
    relay = Relay(tuple(devices), Impairment(**given), seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print("relay: forwarding", flush=True)
    try:
        relay.run()
    finally:
        print("relay:", ", ".join(f"{fate} {number}" for fate, number in sorted(relay.fates.items())))


if __name__ == "__main__":
    main()
