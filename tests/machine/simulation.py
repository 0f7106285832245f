"""A Sender and a Receiver on a simulated network: a fake clock, and every fault from one seed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from ptftpd.tftp import wire
from ptftpd.tftp.outcome import INF, OK, Backoff
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender

DELAY = 0.01  # seconds one way
TIMEOUT = 0.5  # seconds
RETRIES = 6

SENDER, RECEIVER = 0, 1  # the two ends of a network


@lru_cache(maxsize=64)
def pattern(size: int) -> bytes:
    """Return size octets of which no two blocks of 8 or more are alike, wherever they begin."""
    return b"".join(b"%07x\n" % number for number in range(size // 8 + 1))[:size]


def datagrams(run: memoryview | bytes | None, segment: int) -> list[bytes]:
    """Return the datagrams of a run: bytes are one datagram, a memoryview is DATA of segment octets each."""
    if run is None or isinstance(run, bytes):
        return [run] if run else []
    return [bytes(run[start : start + segment]) for start in range(0, len(run), segment)]


def describe(datagram: bytes) -> str:
    """Return a datagram as scenarios write it."""
    names = {1: "RRQ", 2: "WRQ", 3: "DATA", 4: "ACK", 5: "ERROR", 6: "OACK"}
    opcode, block = wire.unpack_header(datagram)
    return f"{names[opcode]} {block}" if opcode in {wire.DATA, wire.ACK, wire.ERROR} else names[opcode]


class Source:
    """The file that is sent; it may shrink, grow or fail while it is."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.error: Exception | None = None

    def read(self, views: Sequence[memoryview], offset: int) -> int:
        """Fill the views from offset, as preadv(2) does; return the octets read."""
        if self.error:
            raise self.error
        total = 0
        for view in views:
            piece = self.content[offset + total : offset + total + len(view)]
            view[: len(piece)] = piece
            total += len(piece)
        return total


class Sink:
    """The file that is received. It checks every write against what should come."""

    def __init__(self, expected: bytes) -> None:
        self.expected = expected
        self.size = 0
        self.finished = 0
        self.error: Exception | None = None
        self.finish_error: Exception | None = None

    def write(self, payload: memoryview) -> None:
        """Take the next octets of the file."""
        if self.error:
            raise self.error
        assert not self.finished, "written after the end"
        assert payload == self.expected[self.size : self.size + len(payload)], f"wrong octets at {self.size}"
        self.size += len(payload)

    def finish(self) -> None:
        """Take note that the file is whole."""
        if self.finish_error:
            raise self.finish_error
        assert self.size == len(self.expected), f"{self.size} of {len(self.expected)} octets are not the file"
        self.finished += 1


@dataclass(frozen=True)
class Faults:
    """What the network does to a datagram: each a probability, or at given places of the traffic."""

    lose: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # held back long enough for later ones to overtake it
    hold: float = 4 * DELAY  # seconds that a reordered one is held back at most
    lost: frozenset[int] = frozenset()  # the numbers of datagrams, counted from 0 in the order sent
    doubled: frozenset[int] = frozenset()

    def arrivals(self, number: int, random: Random) -> Iterator[float]:
        """Yield after how many seconds each copy of a datagram arrives."""
        if number in self.lost or random.random() < self.lose:
            return
        copies = 2 if number in self.doubled or random.random() < self.duplicate else 1
        for _ in range(copies):
            held = random.uniform(0.0, self.hold) if random.random() < self.reorder else 0.0
            yield DELAY + held


class End:
    """One machine, and what its program does around it.

    A client asks again until the first answer comes, then its machine starts; a server's machine starts
    with the request. Neither is part of the machines.
    """

    def __init__(self, machine: Sender | Receiver, *, asks: bytes = b"") -> None:
        """asks: the request of a client; empty for the server."""
        self.machine = machine
        self.asks = asks
        self.started = False
        self.asked = 0
        self.ask_again = 0.0 if asks else INF

    @property
    def deadline(self) -> float:
        """When the end wants to be called next."""
        return self.machine.deadline if self.started else self.ask_again

    def tick(self, now: float) -> list[bytes]:
        """Return what is sent because nothing came."""
        if self.started:
            return datagrams(self.machine.tick(now), self.machine.segment)
        self.asked += 1
        self.ask_again = now + TIMEOUT if self.asked <= RETRIES else INF
        return [self.asks]

    def take(self, datagram: bytes, buffer: bytearray, now: float) -> list[bytes]:
        """Return the answer to a datagram; the machine gets it in a buffer with old octets behind it."""
        machine = self.machine
        run: memoryview | bytes | None
        buffer[: len(datagram)] = datagram
        if not self.started:
            self.started = True
            run = machine.start(now)
            if datagram[1] in {wire.DATA, wire.ERROR}:  # the answer to a request without options
                run = machine.receive(buffer, len(datagram), now)
        elif datagram[1] in {wire.RRQ, wire.WRQ}:
            run = machine.repeat(now) if machine.outcome is None else None
        else:
            run = machine.receive(buffer, len(datagram), now)
        return datagrams(run, machine.segment)


@dataclass
class Network:
    """Carries datagrams between two ends until both have nothing more to do, and counts."""

    ends: tuple[End, End]
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    limit: int = 1_000_000  # datagrams
    now: float = 0.0
    traffic: list[tuple[int, bytes]] = field(default_factory=list)  # (from, datagram) in the order sent
    timeouts: int = 0
    faulty: int = 0  # datagrams that were lost, doubled or held back
    copies: int = 0  # made by the network

    def run(self, first: Sequence[bytes] = ()) -> None:
        """Let the ends talk until both are silent; first: what the sender's end has just sent."""
        random, buffer = Random(self.seed), bytearray(b"\xaa" * 65536)
        flying: list[tuple[float, int, int, bytes]] = []  # (when, number, to, datagram)
        self._carry(first, SENDER, flying, random)
        while True:
            deadlines = [end.deadline for end in self.ends]
            wake = min(deadlines)
            if flying and flying[0][0] <= wake:
                self.now, _, at, datagram = heapq.heappop(flying)
                out = self.ends[at].take(datagram, buffer, self.now)
            elif wake < INF:
                self.now, at = max(self.now, wake), deadlines.index(wake)
                self.timeouts += 1
                out = self.ends[at].tick(self.now)
                assert self.ends[at].deadline > self.now, "tick() has to move the deadline"
            else:
                return
            self._carry(out, at, flying, random)

    def _carry(
        self, out: Sequence[bytes], at: int, flying: list[tuple[float, int, int, bytes]], random: Random
    ) -> None:
        for datagram in out:
            number = len(self.traffic)
            assert number < self.limit, f"{self.limit} datagrams and no end: ...{self.tail()}"
            self.traffic.append((at, datagram))
            arrivals = list(self.faults.arrivals(number, random))
            self.faulty += len(arrivals) != 1 or arrivals[0] > DELAY
            self.copies += len(arrivals) == 2
            for delay in arrivals:
                heapq.heappush(flying, (self.now + delay, number, 1 - at, datagram))

    def count(self, *opcodes: int) -> int:
        """Return how many datagrams of these opcodes were sent; of all but requests when none is given."""
        wanted = opcodes or (wire.DATA, wire.ACK, wire.ERROR, wire.OACK)
        return sum(datagram[1] in wanted for _, datagram in self.traffic)

    def tail(self) -> str:
        """Return the last datagrams, readable."""
        return ", ".join(f"{'<>'[at]} {describe(datagram)}" for at, datagram in self.traffic[-30:])


@dataclass
class Transfer:
    """One file of size octets on its way, and what came of it."""

    size: int
    blksize: int = 512
    windowsize: int = 1
    known: bool = True  # whether the sender knows the size of the file
    write: bool = False  # a WRQ: the client sends
    options: bool = True  # whether the request carries options, so that an OACK answers it
    rollover: int = 0

    def __post_init__(self) -> None:
        content = pattern(self.size)
        self.source, self.sink = Source(content), Sink(content)
        oack = wire.make_oack({"blksize": str(self.blksize)}) if self.options else b""
        request = wire.make_request(wire.WRQ if self.write else wire.RRQ, "file", "octet", {})
        self.sender = Sender(
            self.source.read,
            self.size if self.known else None,
            Backoff(TIMEOUT, RETRIES),
            blksize=self.blksize,
            windowsize=self.windowsize,
            oack=b"" if self.write else oack,
            rollover=self.rollover,
        )
        self.receiver = Receiver(
            self.sink.write,
            self.sink.finish,
            Backoff(TIMEOUT, RETRIES),
            blksize=self.blksize,
            windowsize=self.windowsize,
            head=oack if self.write else b"",
        )
        self.ends = (
            End(self.sender, asks=request if self.write else b""),
            End(self.receiver, asks=b"" if self.write else request),
        )

    @property
    def blocks(self) -> int:
        """The number of blocks of the file: the last one is shorter than blksize, or empty."""
        return self.size // self.blksize + 1

    @property
    def minimum(self) -> int:
        """The number of datagrams on a faultless network, without the request."""
        windows = -(-self.blocks // self.windowsize)
        return self.blocks + windows + (1 if self.write else 2 * self.options)

    @property
    def succeeded(self) -> bool:
        """Whether both ends say so."""
        return self.sender.outcome is OK and self.receiver.outcome is OK

    def over(
        self, faults: Faults, seed: int = 0, *, limit: int = 1_000_000, first: Sequence[bytes] = ()
    ) -> Network:
        """Carry the file over a network until both ends have ended, and check what they say.

        An end that says OK has the whole file, or has sent it to one that has; every octet is checked as
        it is written. Return the network for its counts.
        """
        network = Network(self.ends, faults, seed, limit)
        network.run(first)
        assert self.sink.finished == (self.receiver.outcome is OK)
        assert self.receiver.outcome is OK or self.sender.outcome is not OK, "OK for a file that is not there"
        return network

    def advance(self, blocks: int) -> list[bytes]:
        """Transfer at least so many blocks without a network; return the window that is to go out next."""
        buffer, machine = bytearray(65536), self.sender
        answer: bytes | None = self.receiver.start(0.0)
        out = datagrams(machine.start(0.0), machine.segment)
        if out[0][1] == wire.OACK:
            out = self._answer(answer, buffer)
        for end in self.ends:
            end.started = True
        while machine.blocks < blocks:
            for datagram in out:
                buffer[: len(datagram)] = datagram
                answer = self.receiver.receive(buffer, len(datagram), 0.0)
            out = self._answer(answer, buffer)
        return out

    def _answer(self, answer: bytes | None, buffer: bytearray) -> list[bytes]:
        assert answer is not None
        buffer[: len(answer)] = answer
        return datagrams(self.sender.receive(buffer, len(answer), 0.0), self.sender.segment)
