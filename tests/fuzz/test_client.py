"""Random datagrams at the TFTP client: whatever a server says, each transfer ends, and with an outcome."""

from __future__ import annotations

import os
import random
from contextlib import closing
from pathlib import Path

import pytest

from ptftpd.client import asking, attempt, local
from ptftpd.client.channel import Channel
from ptftpd.client.job import Result
from ptftpd.client.settings import Settings
from ptftpd.client.trace import describe
from ptftpd.client.transfer import Client, Server
from ptftpd.tftp import wire
from ptftpd.tftp.options import KNOWN
from ptftpd.tftp.outcome import OK, Failure
from tests.descriptors import open_descriptors
from tests.fuzz.targets import CONTENT, read
from tests.fuzz.test_random import ROUNDS, SEED

MAX_SIZE = 4000  # octets
PATIENCE = 3600.0  # seconds by the fake clock; some datagrams happen to be what is waited for


class Line(Channel):
    """What comes are random datagrams, runs of them, silence and errors of the network; time goes by."""

    carried, source, _trace = 1472, "192.0.2.2", None

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._runs = False
        self.now = 0.0
        self.buffer = bytearray(1 << 16)
        self.said: list[bytes] = []

    def room(self, segment: int) -> int:
        """Return enough."""
        return 64

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds

    def ask(self, request: bytes) -> None:
        """Hear the request."""
        self.said.append(request)

    def receive_at_once(self) -> tuple[int, int]:
        """Return what came on another line."""
        return self.receive()

    def close(self) -> None:
        """Hang up."""

    def settle(self, segment: int, *, runs: bool = False) -> None:
        """Send several at once from now on, where that is wanted."""
        self._runs = runs

    def send(self, run: memoryview | bytes) -> None:
        """Hear what begins like a packet."""
        self.said.append(bytes(run))

    def receive(self) -> tuple[int, int]:
        """Return what came."""
        chance = self.chance
        self.now += chance.choice((0, 0, 0.01, 0.05, 1))
        fate = chance.random()
        if fate < 0.03:
            raise chance.choice((ConnectionRefusedError(), OSError("no route")))
        octets = self._datagram()
        segment = len(octets)
        if fate < 0.2 or not octets:
            return 0, 1
        if self._runs and fate < 0.5:
            first = int.from_bytes(octets[2:4], "big")
            octets = b"".join(
                octets[:2] + ((first + n) & 0xFFFF).to_bytes(2, "big") + octets[4:] for n in range(4)
            )
            segment = max(segment, wire.HEADER)
        self.buffer[: len(octets)] = octets
        return len(octets), segment

    def _datagram(self) -> bytes:
        chance = self.chance
        if chance.random() < 0.2:
            values = ("0", "1", "8", "512", "1468", "64", "-1", "x", "9" * 20, "")
            options = {
                chance.choice((*KNOWN, "x")): chance.choice(values) for _ in range(chance.randrange(4))
            }
            octets = wire.make_oack(options)
        else:
            opcode = chance.choice((wire.DATA, wire.DATA, wire.ACK, wire.ACK, chance.randrange(8)))
            block = chance.choice((0, 1, 2, 65535, chance.randrange(65536)))
            octets = wire.header.pack(opcode, block) + bytes(chance.choice((0, 5, 8, 511, 512, 1468, 1469)))
        return octets[: chance.randrange(len(octets) + 1)] if chance.random() < 0.2 else octets


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """Return a line, the only one there is, whose time is that of the client."""
    line = Line(random.Random(SEED))
    monkeypatch.setattr(attempt, "monotonic", lambda: line.now)
    monkeypatch.setattr(asking, "monotonic", lambda: line.now)
    monkeypatch.setattr(asking, "sleep", line.sleep)
    monkeypatch.setattr(asking, "source", lambda address: line.source)
    monkeypatch.setattr(asking, "Channel", lambda *where, **how: line)
    return line


def attempts(line: Line, target: local.Target, turn: int) -> Result:
    """Return what came of a file that is got or put by a user of any settings."""
    chance = line.chance
    mode = chance.choice(("octet", "netascii"))
    settings = Settings(
        retries=chance.choice((None, 0, 2)), timeout=chance.choice((None, 1.0)), rfc1350=turn % 5 == 0,
        mode=mode, max_size=chance.choice((None, MAX_SIZE)),
    )  # fmt: skip
    client, server = Client(settings), Server("server", 69, ("192.0.2.1", "2001:db8::1"))
    return client.get(server, "a", target) if turn % 2 else client.put(server, "a", read, len(CONTENT))


def test_anything_at_all(line: Line, tmp_path: Path) -> None:
    """Whatever a server says: an outcome within bounded time and memory, and a whole file or none at all.

    No exception comes out, nothing is said that is not TFTP, and no descriptor is left open.
    """
    before = open_descriptors()
    done = 0
    for turn in range(ROUNDS // 5):
        path, began = tmp_path / "a", line.now
        with closing(local.target(str(path))) as target:
            result = attempts(line, target, turn)
            assert len(target._waiting) == local.BUFFER
        assert line.now - began < PATIENCE
        kept = os.listdir(tmp_path)
        if turn % 2 and result.outcome is OK:
            assert kept == ["a"]
            assert path.stat().st_size == result.octets
            path.unlink()
        else:
            assert kept == []
        assert isinstance(result.outcome, Failure) or result.outcome is OK
        assert [said for said in line.said if "no TFTP packet" in describe(said)] == []
        line.said.clear()
        done += result.answered
    assert done > ROUNDS // 20
    assert open_descriptors() == before
