"""Plays the *.txt files here against the machines: one conversation each, on a fake clock.

The first line that is no comment makes the machine:

    sender size=1400 blksize=512 windowsize=1 oack=tsize=1400 timeout=1 retries=6 ...
    receiver blksize=512 windowsize=1 head=blksize=512 ...

Every other line is an event and, behind ->, all that the machine must send for it (nothing: a dash):

    start                      -> DATA 1
    ack 1                      -> DATA 2..3            several datagrams; a number is a block
    data 1                     -> ACK 1                a whole block; data 3:100 is a block of 100 octets
    error 3 disk full          -> -
    raw 0001                   -> -                    octets in hex
    wait 0.9                   -> -                    time passes, the machine is told at its deadlines
    acks 1..65533              -> DATA 65534           many; only the last answer is shown
    again                      -> OACK                 the request came once more
    outcome OK                                         or: Failure CODE, or: running
    count resent=2 blocks=3

A number above 65535 stands for the block, whatever its 16 bits are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ptftpd.errors import TransferError
from ptftpd.tftp import wire
from ptftpd.tftp.outcome import OK, Backoff, Failure
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender

FILES = sorted(Path(__file__).parent.glob("*.txt"))


class Player:
    """A machine, its file and its clock."""

    def __init__(self, line: str) -> None:
        kind, *words = line.split()
        settings = dict(word.split("=", 1) for word in words)
        number = {name: int(text) for name, text in settings.items() if text.isdigit()}
        self.blksize = number.get("blksize", 512)
        self.rollover = number.get("rollover", 0)
        self.size = number.get("size", 0)
        self.full_after = number.get("full_after", 1 << 40)
        self.received = bytearray()
        self.finished = False
        self.now = 0.0
        backoff = Backoff(
            float(settings.get("timeout", 1)), number.get("retries", 6), fixed="fixed" in settings
        )
        common = {"blksize": self.blksize, "windowsize": number.get("windowsize", 1)}
        oack = self._oack(settings.get("oack") or settings.get("head"))
        self.machine: Sender | Receiver
        if kind == "sender":
            known = None if settings.get("size") == "unknown" else self.size
            self.size = number.get("really", self.size)
            self.machine = Sender(self._read, known, backoff, **common, oack=oack, rollover=self.rollover)
        else:
            self.machine = Receiver(self._write, self._finish, backoff, **common, head=oack)

    def play(self, event: str) -> list[str]:
        """Return what the machine sends for an event, in the notation of the files."""
        verb, _, rest = event.partition(" ")
        do: dict[str, Callable[[str], bytes]] = {
            "start": lambda _: bytes(self.machine.start(self.now)),
            "again": lambda _: bytes(self.machine.repeat(self.now) or b""),
            "ack": lambda text: self._give(wire.make_ack(int(text) & 0xFFFF)),
            "acks": lambda text: self._many(text, lambda block: wire.make_ack(self._wire(block))),
            "data": lambda text: self._give(self._data(text)),
            "datas": lambda text: self._many(text, lambda block: self._data(str(block))),
            "error": lambda text: self._give(wire.make_error(int(text.split()[0]), text.partition(" ")[2])),
            "raw": lambda text: self._give(bytes.fromhex(text)),
            "wait": self._wait,
        }
        return self._shown(do[verb](rest))

    def outcome(self) -> str:
        """Return the outcome in the notation of the files."""
        found = self.machine.outcome
        return "OK" if found is OK else f"Failure {found.code}" if isinstance(found, Failure) else "running"

    def _give(self, datagram: bytes) -> bytes:
        buffer = bytearray(datagram) + bytearray(b"\xaa" * 100)
        return bytes(self.machine.receive(buffer, len(datagram), self.now) or b"")

    def _many(self, text: str, make: Callable[[int], bytes]) -> bytes:
        first, last = map(int, text.split(".."))
        for block in range(first, last):
            self._give(make(block))
        return self._give(make(last))

    def _wait(self, text: str) -> bytes:
        end, sent = self.now + float(text), b""
        while self.machine.deadline <= end:
            self.now = self.machine.deadline
            sent += bytes(self.machine.tick(self.now) or b"")
        self.now = end
        return sent

    def _data(self, text: str) -> bytes:
        block, _, size = text.partition(":")
        return wire.make_data(self._wire(int(block)), bytes(int(size) if size else self.blksize))

    def _wire(self, block: int) -> int:
        return (block - 1) % 65535 + 1 if self.rollover and block else block & 0xFFFF

    def _shown(self, run: bytes) -> list[str]:
        names = {wire.DATA: "DATA", wire.ACK: "ACK", wire.ERROR: "ERROR", wire.OACK: "OACK"}
        shown = []
        while run:
            size = self.machine.segment if run[1] == wire.DATA else len(run) if run[1] != wire.ACK else 4
            if run[1] == wire.OACK:  # sent again in one wait: they stand one behind the other
                size = len(run) // max(run.count(b"\0\x06"), 1)
            datagram, run = run[:size], run[size:]
            opcode, number = wire.unpack_header(datagram)
            shown.append(names[opcode] + ("" if opcode == wire.OACK else f" {number}"))
        return shown

    def _read(self, views: list[memoryview], offset: int) -> int:
        done = 0
        for view in views:
            part = max(0, min(len(view), self.size - offset - done))
            view[:part] = bytes(part)
            done += part
        return done

    def _write(self, payload: memoryview) -> None:
        if len(self.received) + len(payload) > self.full_after:
            raise TransferError(wire.DISK_FULL, "the disk is full")
        self.received += payload

    def _finish(self) -> None:
        self.finished = True

    @staticmethod
    def _oack(text: str | None) -> bytes:
        return wire.make_oack(dict(pair.split("=") for pair in text.split(","))) if text else b""


def expanded(text: str) -> list[str]:
    """Return ['DATA 2', 'DATA 3'] for 'DATA 2..3', and [] for a dash."""
    shown = []
    for part in [] if text == "-" else text.split(", "):
        span = re.fullmatch(r"(\w+) (\d+)\.\.(\d+)", part)
        numbers = range(int(span[2]), int(span[3]) + 1) if span else ()
        shown += [f"{span[1]} {number & 0xFFFF}" for number in numbers] if span else [part]
    return shown


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    """The machine sends what the file says, event by event."""
    lines = [(at, line.partition("#")[0].strip()) for at, line in enumerate(path.read_text().split("\n"), 1)]
    (_, made), *events = [(at, line) for at, line in lines if line]
    player = Player(made)
    for at, line in events:
        where = f"{path.name}:{at}: {line}"
        verb, _, rest = line.partition(" ")
        if verb == "outcome":
            assert player.outcome() == rest, where
        elif verb == "count":
            wanted = {name: int(text) for name, text in (pair.split("=") for pair in rest.split())}
            assert {name: getattr(player.machine, name) for name in wanted} == wanted, where
        else:
            event, _, expected = (part.strip() for part in line.partition("->"))
            assert expected, f"{where}: what is sent is missing, write '-> -' for nothing"
            assert player.play(event) == expanded(expected), where
    assert any(line.startswith("outcome") for _, line in events), f"{path.name} has to say the outcome"


def test_there_are_scenarios() -> None:
    """Should the files move, the test above would run none."""
    assert len(FILES) >= 15
