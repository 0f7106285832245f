"""The budget of what transfers hold: it is kept, and who has to let go of something sends the same octets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.tftp import netascii, wire
from ptftpd.tftp.memory import Memory
from ptftpd.tftp.outcome import OK, Backoff
from ptftpd.tftp.sender import BUFFER, SLOTS, TIGHT, VIEW, Sender
from tests.machine.simulation import Source, datagrams, pattern


class Holder:
    """Stands for a transfer."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.octets = memory, 0

    def hold(self, octets: int) -> None:
        """Hold so many in all."""
        self.octets = octets
        self.memory.hold(self, octets)

    def release(self) -> None:
        """Hold nothing."""
        self.hold(0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 120)), max_size=100))
def test_the_budget_is_kept(steps: list[tuple[int, int]]) -> None:
    """Whatever is asked for: no more is used than there is, unless one alone needs that."""
    memory = Memory(100)
    holders = [Holder(memory) for _ in range(10)]
    for number, octets in steps:
        holders[number].hold(octets)
        assert memory.used == sum(each.octets for each in holders)
        assert memory.used <= max(100, holders[number].octets)
        assert memory.tight == (memory.used > 50)


def test_the_oldest_goes_first() -> None:
    memory = Memory(100)
    one, two, three = (Holder(memory) for _ in range(3))
    for each in (one, two, three):
        each.hold(40)
    assert [each.octets for each in (one, two, three)] == [0, 40, 40]


def play(sender: Sender, releases: Sequence[bool]) -> bytes:
    """Run a transfer to its end, let go of what it holds now and then; return what was sent."""
    received, wanted = b"", 1
    run = sender.start(0.0)
    step = 0
    while sender.outcome is None:
        for datagram in datagrams(run, sender.segment) if isinstance(run, memoryview) else []:
            assert wire.unpack_header(datagram) == (wire.DATA, wanted & 0xFFFF)
            received, wanted = received + datagram[wire.HEADER :], wanted + 1
        if step < len(releases) and releases[step]:
            sender.release()
        step += 1
        block = 0 if wanted == 1 else wanted - 1
        run = sender.receive(bytearray(wire.make_ack(block & 0xFFFF)), wire.HEADER, 0.1) or b""
        if sender.windowsize >= 16:
            sender.read_ahead()
    assert sender.outcome is OK
    return received


@pytest.mark.parametrize("text", [False, True], ids=["octets", "text"])
@given(
    releases=st.lists(st.booleans(), max_size=60),
    windowsize=st.sampled_from([1, 2, 16, 64]),
    blksize=st.sampled_from([8, 100, 1468]),
    blocks=st.integers(0, 150),
)
def test_the_same_octets(
    text: bool, releases: list[bool], windowsize: int, blksize: int, blocks: int
) -> None:
    """However often it is taken away, and whenever: nothing is missing, and what is counted is given back."""
    source = Source((b"one\r\ntwo\n" if text else b"\0") + pattern(blksize * blocks + blocks % 7))
    read = netascii.Encoder(source.read, len(source.content)).read if text else source.read
    memory = Memory(1 << 20)
    oack = b"\0\6" if windowsize > 1 else b""
    sender = Sender(
        read, None if text else len(source.content), Backoff(1.0, 3), blksize=blksize,
        windowsize=windowsize, oack=oack, memory=memory,
    )  # fmt: skip
    encoded = source.content.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n") if text else source.content
    assert play(sender, releases) == encoded
    sender.release()
    assert memory.used == 0


@pytest.mark.parametrize("windowsize", [1, 64])
@pytest.mark.parametrize("blksize", [8, 512, 1468, 8192, 65464])
def test_what_one_transfer_holds(windowsize: int, blksize: int) -> None:
    """Before it is acknowledged no more than it sends; then twice what BUFFER, SLOTS and a window come to."""
    memory = Memory(1 << 30)
    source = Source(bytes(1 << 23))
    oack = b"\0\6" if windowsize > 1 else b""
    sender = Sender(
        source.read,
        1 << 23,
        Backoff(1.0, 3),
        blksize=blksize,
        windowsize=windowsize,
        oack=oack,
        memory=memory,
    )
    segment = blksize + wire.HEADER
    sender.start(0.0)
    assert memory.used == (0 if oack else segment + VIEW)
    for block in range(0 if oack else 1, 10 * windowsize, windowsize):
        sender.receive(bytearray(wire.make_ack(block)), wire.HEADER, 0.1)
        sender.read_ahead()
        slots = max(windowsize, min(SLOTS, BUFFER // segment))
        assert memory.used <= 2 * slots * (segment + VIEW)


def test_little_is_read_ahead_when_memory_is_tight() -> None:
    memory = Memory(100_000)
    Holder(memory).hold(60_000)
    sender = Sender(Source(bytes(1 << 20)).read, 1 << 20, Backoff(1.0, 3), memory=memory)
    sender.start(0.0)
    sender.receive(bytearray(wire.make_ack(1)), wire.HEADER, 0.1)
    assert memory.used - 60_000 <= TIGHT // 516 * (516 + VIEW)
