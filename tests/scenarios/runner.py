"""Plays a scenario: one TFTP machine, a fake clock, and a table of what happens and what it does about it.

A scenario is a text file. Its first comment says what it is about and which clause it is from. Then:

    sender size=1400 blksize=512 windowsize=1 timeout=1 retries=3       (or: receiver ...)

    0.0   start       -> DATA 1                  time in seconds, event -> everything that is sent for it
    1.0   timeout     -> DATA 1                  the deadline has to be exactly now, for every timeout
    1.2   ACK 1       -> DATA 2
    1.3   ACK 1       -> nothing
    1.4   ACK 2       -> DATA 3
    1.5   ACK 3       -> OK                      'failed CODE' for a failure, '(peer)' behind it for its error

    counts resent=1 blocks=3 octets=1400

Events: start, timeout, tick (which may be early), request (the request came once more), a datagram, and
'ACK each to 65534' (or DATA): the peer goes on without a fault up to that block; what the last one caused is
compared. Also 'octets 00 04': a datagram in hexadecimal, and what happens to the file: 'file shrinks to 700',
'file grows to 900', 'file fails 3', 'finish fails 6' with the code of the error.

Datagrams: DATA 1, DATA 5-8 (each of them), DATA 65536=0 (its number on the wire), ACK 4, ERROR 3, OACK.
What DATA carries is compared with the file, so its length is too. Words of the first line: size=? when the
sender does not know it; fixed for a timeout that the peer asked for; oack for a server that granted options;
rollover=1; dally=6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ptftpd.errors import TransferError
from ptftpd.tftp import wire
from ptftpd.tftp.outcome import OK, Backoff, Failure
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender
from tests.machine.simulation import Sink, Source, datagrams, pattern

OACK = wire.make_oack({"blksize": "512"})
LINE = re.compile(r"(?P<time>\d+\.\d+) +(?P<event>.+?) +-> +(?P<effect>.+)")
BLOCK = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+))?(?:=(?P<wire>\d+))?")
TEXT = "no more"  # of every ERROR that the peer sends


@dataclass
class Step:
    """One line of the table."""

    number: int
    time: float
    event: str
    effect: list[str]


@dataclass
class Scenario:
    """A file, read."""

    about: str = ""
    side: str = ""
    words: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def load(path: Path) -> Scenario:
    """Return the scenario of a file; ValueError names the line that is none."""
    scenario = Scenario()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text, _, comment = (part.strip() for part in line.partition("#"))
        if not scenario.side and comment:
            scenario.about += f"{comment} "
        if not text:
            continue
        first, *rest = text.split()
        if first in {"sender", "receiver"}:
            scenario.side = first
            scenario.words = {key: value for key, _, value in (word.partition("=") for word in rest)}
        elif first == "counts":
            scenario.counts = {key: int(value) for key, value in (word.split("=") for word in rest)}
        elif match := LINE.fullmatch(text):
            effect = [part.strip() for part in match["effect"].split(",")]
            scenario.steps.append(Step(number, float(match["time"]), match["event"].strip(), effect))
        else:
            raise ValueError(f"{path.name}:{number}: not a line of a scenario: {text}")
    return scenario


class Player:
    """A machine, its file, and the peer that sends it the datagrams of the scenario."""

    def __init__(self, scenario: Scenario) -> None:
        words = scenario.words
        self.scenario = scenario
        self.blksize = int(words.get("blksize", 512))
        self.windowsize = int(words.get("windowsize", 1))
        self.content = pattern(int(words.get("length") or words["size"]))
        self.source, self.sink = Source(self.content), Sink(self.content)
        timeout, retries = float(words.get("timeout", 1)), int(words.get("retries", 3))
        backoff = Backoff(timeout, retries, fixed="fixed" in words)
        oack = OACK if "oack" in words else b""
        self.machine: Sender | Receiver
        if scenario.side == "sender":
            self.machine = Sender(
                self.source.read,
                None if words["size"] == "?" else int(words["size"]),
                backoff,
                blksize=self.blksize,
                windowsize=self.windowsize,
                oack=oack,
                rollover=int(words.get("rollover", 0)),
            )
        else:
            self.machine = Receiver(
                self.sink.write,
                self.sink.finish,
                backoff,
                blksize=self.blksize,
                windowsize=self.windowsize,
                head=oack,
                dally=float(words.get("dally", 6)),
            )
        self.buffer = bytearray(b"\xaa" * 65536)

    def play(self) -> None:
        """Run through the table; an assertion names the line that came out otherwise."""
        for step in self.scenario.steps:
            ended = self.machine.outcome
            sent = self._happen(step)
            said = [self.show(datagram) for datagram in sent]
            if self.machine.outcome is not ended:
                said.append(self._outcome())
            wanted = [shown for part in step.effect for shown in self._expand(part)]
            assert said == wanted, f"line {step.number}: {step.time} {step.event}"
        for name, value in self.scenario.counts.items():
            assert getattr(self.machine, name) == value, name

    def _happen(self, step: Step) -> list[bytes]:
        machine, now, event = self.machine, step.time, step.event
        first, *rest = event.split()
        if first == "timeout":
            assert abs(machine.deadline - now) < 1e-6, f"line {step.number}: deadline {machine.deadline}"
            return self._cut(machine.tick(machine.deadline))
        if first == "tick":
            return self._cut(machine.tick(now))
        assert machine.deadline > now, f"line {step.number}: timeout at {machine.deadline} overlooked"
        if first == "start":
            return self._cut(machine.start(now))
        if first == "request":
            return self._cut(machine.repeat(now))
        if first in {"file", "finish"}:
            self._change(first, rest)
            return []
        if rest[:2] == ["each", "to"]:
            return self._each(first, int(rest[2]), now)
        out: list[bytes] = []
        for shown in self._expand(event):
            out = [*out, *self._receive(self._datagram(shown), now)]
        return out

    def _each(self, kind: str, last: int, now: float) -> list[bytes]:
        """Let the peer answer everything in order up to a block; every window on the way is checked."""
        out: list[bytes] = []
        while self.machine.blocks < last:
            block = self.machine.blocks + (self.windowsize if kind == "ACK" else 1)
            out = self._receive(self._datagram(f"{kind} {min(block, last)}"), now)
            if kind == "ACK":
                base = self.machine.blocks
                assert len(out) == self.windowsize, f"after block {base}"
                wanted = [self._payload(base + 1 + index) for index in range(self.windowsize)]
                assert [datagram[wire.HEADER :] for datagram in out] == wanted, f"after block {base}"
        return out

    def _change(self, what: str, words: list[str]) -> None:
        """Do something to the file that is sent or received."""
        if words[0] == "fails":
            error = TransferError(int(words[1]), TEXT)
            if what == "finish":
                self.sink.finish_error = error
            else:
                self.source.error = self.sink.error = error
        else:
            assert words[:2] in (["shrinks", "to"], ["grows", "to"])
            self.source.content = pattern(int(words[2]))

    def _receive(self, datagram: bytes, now: float) -> list[bytes]:
        """Give the machine a datagram, in a buffer with the remains of another behind it."""
        self.buffer[: len(datagram)] = datagram
        return self._cut(self.machine.receive(self.buffer, len(datagram), now))

    def _cut(self, run: memoryview | bytes | None) -> list[bytes]:
        return datagrams(run, self.machine.segment)

    def _expand(self, text: str) -> list[str]:
        """Return what a part of a line stands for, each datagram by itself, numbers as NUMBER=WIRE."""
        kind, _, rest = text.partition(" ")
        if kind == "nothing":
            return []
        if kind not in {"DATA", "ACK"}:
            return [text]
        match = BLOCK.fullmatch(rest)
        assert match, text
        first, last = int(match["first"]), int(match["last"] or match["first"])
        on_wire = int(match["wire"] or first)
        return [f"{kind} {first + index}={(on_wire + index) & 0xFFFF}" for index in range(last - first + 1)]

    def _datagram(self, text: str) -> bytes:
        """Return the datagram that a scenario writes as text."""
        kind, _, rest = text.partition(" ")
        if kind == "octets":
            return bytes.fromhex(rest)
        if kind == "OACK":
            return OACK
        if kind == "ERROR":
            return wire.make_error(int(rest), TEXT)
        number, _, on_wire = rest.partition("=")
        block = int(on_wire or number) & 0xFFFF
        return wire.make_ack(block) if kind == "ACK" else wire.make_data(block, self._payload(int(number)))

    def _payload(self, block: int) -> bytes:
        return self.content[(block - 1) * self.blksize : block * self.blksize] if block else b""

    def show(self, datagram: bytes) -> str:
        """Return a datagram as _expand() writes it; DATA has the number of the block whose octets it has."""
        opcode, number = wire.unpack_header(datagram)
        if opcode == wire.OACK:
            return "OACK" if datagram == OACK else f"OACK {datagram!r}"
        if opcode == wire.ERROR:
            return f"ERROR {number}"
        base = self.machine.blocks
        # The block near the ones acknowledged that has this number: the wire says only its 16 bits.
        near = range(max(0, base - self.windowsize), base + self.windowsize + 1)
        if opcode == wire.ACK:
            known = number in {base & 0xFFFF, (base - 1) % 65535 + 1}
            return f"ACK {base if known else '?'}={number}"
        matches = [block for block in near if self._payload(block) == datagram[wire.HEADER :] and block]
        return f"DATA {matches[0] if matches else '?'}={number}"

    def _outcome(self) -> str:
        outcome = self.machine.outcome
        if outcome is OK:
            return "OK"
        assert isinstance(outcome, Failure)
        assert outcome.reason
        return f"failed {outcome.code}{' (peer)' if outcome.from_peer else ''}"
