"""Random datagrams at the TFTP client: whatever a server says, each attempt ends, and with an outcome."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from ptftpd.client import attempt, local
from ptftpd.client.attempt import Attempt, wishes
from ptftpd.client.channel import Channel
from ptftpd.client.job import Job, Result, Watch
from ptftpd.client.settings import Settings
from ptftpd.client.trace import describe
from ptftpd.client.transfer import Get, Put
from ptftpd.tftp import wire
from ptftpd.tftp.options import KNOWN
from tests.fuzz.targets import CONTENT, read
from tests.fuzz.test_random import ROUNDS, SEED

PATIENCE = 3600.0  # seconds by the fake clock; some datagrams happen to be what is waited for


class Line(Channel):
    """What comes are random datagrams, runs of them, silence and errors of the network; time goes by."""

    carried, _trace = 1472, None

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._runs = False
        self.now = 0.0
        self.buffer = bytearray(1 << 16)
        self.said: list[bytes] = []

    def room(self, segment: int) -> int:
        """Return enough."""
        return 64

    def ask(self, request: bytes) -> None:
        """Hear the request."""
        self.said.append(request)

    def settle(self, segment: int, *, runs: bool = False) -> None:
        """Send several at once from now on, where that is wanted."""
        self._runs = runs

    def send(self, run: memoryview | bytes) -> None:
        """Hear what begins like a packet."""
        self.said.append(bytes(run))

    def receive(self) -> tuple[int, int]:
        """Return what came."""
        chance = self._chance
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
        chance = self._chance
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
    """Return a line whose time is that of the client."""
    line = Line(random.Random(SEED))
    monkeypatch.setattr(attempt, "monotonic", lambda: line.now)
    return line


def test_anything_at_all(line: Line) -> None:
    """No error but one of the network's, no waiting for ever, and nothing is said that is not TFTP."""
    chance, ended = line._chance, 0
    for turn in range(ROUNDS // 5):
        mode = chance.choice(("octet", "netascii"))
        settings = Settings(
            retries=chance.choice((None, 0, 2)), timeout=chance.choice((None, 1.0)), rfc1350=turn % 5 == 0
        )
        with closing(local.target("/dev/null")) as target:
            job: Job = Get("a", mode, target) if turn % 2 else Put("a", mode, read, len(CONTENT))
            result = Result("server", wishes(settings, line, job.tsize))
            began = line.now
            try:
                Attempt(line, settings, Watch(), job, result).run()
            except OSError:
                assert result.outcome is None
            else:
                assert result.outcome is not None
                ended += 1
        assert line.now - began < PATIENCE
        assert [said for said in line.said if "no TFTP packet" in describe(said)] == []
        line.said.clear()
    assert ended > ROUNDS // 10
