"""The Sender by itself: what scenarios cannot say. RFC 1350, 1123 §4.2.3, 7440."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.tftp import wire
from ptftpd.tftp.options import WIDEST
from ptftpd.tftp.outcome import INF, OK, Backoff, Failure
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import DOUBTS, PAUSE, Sender
from tests.machine.simulation import End, Faults, Network, Source, datagrams, pattern


def make(
    size: int, *, blksize: int = 512, windowsize: int = 1, oack: bytes = b"", known: bool = True
) -> tuple[Sender, Source]:
    """Return a Sender of a file of size octets, and the file."""
    source = Source(pattern(size))
    backoff = Backoff(1.0, 3)
    sender = Sender(
        source.read, size if known else None, backoff, blksize=blksize, windowsize=windowsize, oack=oack
    )
    return sender, source


def ack(sender: Sender, block: int, now: float = 0.0) -> list[bytes]:
    """Return the datagrams that the Sender sends for an ACK."""
    return datagrams(sender.receive(bytearray(wire.make_ack(block)), wire.HEADER, now), sender.segment)


class TestContract:
    def test_idle_before_and_after(self) -> None:
        """The constructor starts nothing; an ended machine wants nothing any more."""
        sender, _ = make(100)
        assert (sender.deadline, sender.outcome, sender.blocks, sender.octets) == (INF, None, 0, 0)
        sender.start(5.0)
        assert sender.deadline == 6.0
        ack(sender, 1, 5.1)
        assert sender.outcome is OK
        assert sender.deadline == INF

    def test_a_run_is_cut_at_segment(self) -> None:
        """RFC 7440 §4: blocks of a window are datagrams of segment octets, the last one may be shorter."""
        sender, source = make(1000, blksize=300, windowsize=8)
        run = sender.start(0.0)
        assert sender.segment == wire.HEADER + 300
        assert len(run) == 1000 + 4 * wire.HEADER
        sent = datagrams(run, sender.segment)
        assert [wire.unpack_header(datagram) for datagram in sent] == [(wire.DATA, n) for n in (1, 2, 3, 4)]
        assert b"".join(datagram[wire.HEADER :] for datagram in sent) == source.content

    def test_what_is_one_datagram_is_bytes(self) -> None:
        """An OACK or ERROR may be longer than segment, and must not be cut: it is bytes, not a memoryview."""
        oack = wire.make_oack({"tsize": "1000", "blksize": "8", "windowsize": "4"})
        sender, _ = make(1000, blksize=8, windowsize=4, oack=oack)
        assert len(oack) > sender.segment
        assert isinstance(sender.start(0.0), bytes)
        assert isinstance(sender.tick(1.0), bytes)
        assert isinstance(sender.repeat(1.1), bytes)
        assert isinstance(sender.receive(bytearray(b"\0\4\0\0"), 4, 1.2), memoryview)

        failing, source = make(1 << 20, blksize=8)
        failing.start(0.0)
        source.content = b""
        block, run = 1, failing.receive(bytearray(b"\0\4\0\1"), 4, 0.1)
        while failing.outcome is None:
            block += 1
            run = failing.receive(bytearray(wire.make_ack(block & 0xFFFF)), 4, 0.1)
        assert isinstance(run, bytes)
        assert wire.error(run)[0] == wire.UNDEFINED

    def test_only_the_datagram_counts(self) -> None:
        """The datagram is buf[:n]: what an earlier one left behind it is not part of it."""
        sender, _ = make(5000)
        sender.start(0.0)
        assert sender.receive(bytearray(b"\0\4\0\1"), 3, 0.1) is None
        assert sender.receive(bytearray(b"\0\5\0\1old text\0"), 4, 0.1) is None
        assert sender.outcome == Failure(wire.NOT_FOUND, "", from_peer=True)

    def test_the_buffer_is_given_back(self) -> None:
        """The caller uses its buffer again: no view of it is kept."""
        sender, _ = make(5000)
        sender.start(0.0)
        buffer = bytearray(b"\0\4\0\1")
        sender.receive(buffer, 4, 0.1)
        buffer.clear()  # BufferError while a view exists

    def test_an_early_tick_is_nothing(self) -> None:
        """tick() before the deadline neither sends nor moves the deadline."""
        sender, _ = make(5000)
        sender.start(0.0)
        assert sender.tick(0.99) is None
        assert sender.deadline == 1.0

    def test_the_reason_is_for_people(self) -> None:
        """A failure says which block, and how often it was tried."""
        sender, _ = make(5000)
        sender.start(0.0)
        ack(sender, 1, 0.1)
        while sender.outcome is None:
            sender.tick(sender.deadline)
        assert isinstance(sender.outcome, Failure)
        assert "block 2" in sender.outcome.reason
        assert "3 retries" in sender.outcome.reason

    def test_nothing_revives_it(self) -> None:
        """An answer that comes after the last retry does not start the transfer again."""
        sender, _ = make(5000, windowsize=4)
        sender.start(0.0)
        while sender.outcome is None:
            sender.tick(sender.deadline)
        outcome = sender.outcome
        assert [ack(sender, block, 99.0) for block in (0, 1, 2, 4)] == [[]] * 4
        assert sender.repeat(99.0) is None
        assert (sender.outcome, sender.deadline) == (outcome, INF)


class TestReading:
    def test_lock_step_reads_ahead(self) -> None:
        """In lock-step one read of the file serves many blocks."""
        reads = 0
        source = Source(pattern(1 << 20))

        def read(views: Sequence[memoryview], offset: int) -> int:
            nonlocal reads
            reads += 1
            return source.read(views, offset)

        sender = Sender(read, 1 << 20, Backoff(1.0, 3), blksize=1468)
        sender.start(0.0)
        while sender.outcome is None:
            ack(sender, sender.blocks + 1)
        assert reads <= 20

    @given(
        windowsize=st.sampled_from([1, 2, 5, 64, 200]),
        blksize=st.sampled_from([8, 512, 1468]),
        acks=st.lists(st.integers(0, 210), max_size=30),
    )
    def test_it_never_reads_what_was_acknowledged(
        self, windowsize: int, blksize: int, acks: list[int]
    ) -> None:
        """A file that is converted while it is read (netascii) need not go back behind the last ACK."""
        source = Source(pattern(blksize * 700))
        sender: Sender

        def read(views: Sequence[memoryview], offset: int) -> int:
            assert offset >= sender.blocks * blksize
            return source.read(views, offset)

        sender = Sender(read, None, Backoff(1.0, 3), blksize=blksize, windowsize=windowsize)
        sender.start(0.0)
        for ahead in acks:
            ack(sender, sender.blocks + ahead)
        sender.tick(9.0)

    def test_the_largest_window(self) -> None:
        """RFC 7440 §3: windowsize may be 65535."""
        sender, source = make(8 * 70000, blksize=8, windowsize=65535)
        sent = datagrams(sender.start(0.0), 12)
        assert len(sent) == 65535
        sent += ack(sender, 65535)
        assert b"".join(datagram[wire.HEADER :] for datagram in sent) == source.content
        assert ack(sender, 70001 & 0xFFFF) == []
        assert sender.outcome is OK


@pytest.mark.parametrize("rollover", [0, 1])
def test_late_acks_in_the_widest_window(rollover: int) -> None:
    """RFC 7440 §4: of the numbers so few are out that an ACK of the window before is not one of theirs."""
    window = WIDEST
    source = Source(pattern(8 * 5 * window))
    sender = Sender(
        source.read, len(source.content), Backoff(1.0, 3), blksize=8, windowsize=window, rollover=rollover
    )
    numbers = [*range(65536), *range(rollover, 65536), *range(rollover, 65536)]
    sender.start(0.0)
    for base in range(window, 4 * window, window):
        assert ack(sender, numbers[base])
        assert sender.blocks == base
        for late in (base - window, base - window + 1, base - 1):
            assert ack(sender, numbers[late]) == []
        assert sender.blocks == base


class TestAnything:
    @given(
        windowsize=st.sampled_from([1, 2, 4, 64]),
        oack=st.sampled_from([b"", b"\0\6blksize\x008\0"]),
        arrivals=st.lists(
            st.one_of(
                st.integers(0, 70).map(wire.make_ack),
                st.integers(65500, 65535).map(wire.make_ack),
                st.binary(max_size=12),
                st.binary(max_size=8).map(lambda rest: b"\0\4" + rest),
            ),
            max_size=40,
        ),
    )
    def test_any_datagrams(self, windowsize: int, oack: bytes, arrivals: list[bytes]) -> None:
        """Whatever comes, what goes out is the OACK or at most a window of the right blocks."""
        sender, source = make(8 * 60 + 3, blksize=8, windowsize=windowsize, oack=oack)
        sender.start(0.0)
        for number, arrival in enumerate(arrivals):
            run = sender.receive(bytearray(arrival), len(arrival), number / 100)
            sent = datagrams(run, sender.segment)
            assert len(sent) <= windowsize
            for datagram in sent:
                opcode, block = wire.unpack_header(datagram)
                assert opcode == wire.DATA
                assert datagram[wire.HEADER :] == source.content[(block - 1) * 8 : block * 8]

    def test_unanswered_it_sends_little(self) -> None:
        """A forged source address cannot be used to amplify: no window goes out before an ACK has come."""
        oack = wire.make_oack({"tsize": "1000000", "blksize": "1468", "windowsize": "64"})
        sender, _ = make(1000000, blksize=1468, windowsize=64, oack=oack)
        octets = len(sender.start(0.0))
        while sender.outcome is None:
            octets += len(sender.tick(sender.deadline) or b"")
        assert octets == (1 + 3) * len(oack)


class StrayAcker:
    """A receiver as EDK2's: to every block that is not the expected one it repeats its ACK of the last one.

    It counts its window from whatever it acknowledged last, and is gone when it has the file.
    """

    segment = 0

    def __init__(self, windowsize: int) -> None:
        self.windowsize = windowsize
        self.last = self.acked = 0
        self.octets = b""
        self.deadline = INF
        self.outcome: object = None

    def start(self, now: float) -> bytes:
        """Return ACK 0, for the OACK."""
        return self._ack(now)

    def tick(self, now: float) -> bytes:
        """Return the last ACK again."""
        return self._ack(now)

    def receive(self, buf: bytearray, n: int, now: float) -> bytes | None:
        """Return the ACK of a window, of the end, or of what came before a stray block."""
        opcode, block = wire.unpack_header(buf)
        if self.outcome or (opcode == wire.OACK and self.last):
            return None
        if opcode != wire.DATA or block != self.last + 1:
            return self._ack(now)
        self.last, self.octets = block, self.octets + buf[wire.HEADER : n]
        self.outcome = OK if n < wire.HEADER + 512 else None
        return self._ack(now) if self.outcome or self.last - self.acked == self.windowsize else None

    def _ack(self, now: float) -> bytes:
        self.acked, self.deadline = self.last, INF if self.outcome else now + 4.0
        return wire.make_ack(self.last)


class TestFirmware:
    @pytest.mark.parametrize("windowsize", [2, 4, 16])
    @pytest.mark.parametrize("seed", range(10))
    def test_a_client_that_repeats_its_ack(self, windowsize: int, seed: int) -> None:
        """RFC 7440 §4: one window for a gap, however often it is reported; it comes to an end.

        The ACKs of second copies cost a window each too, but only so many in a row.
        """
        sender, source = make(512 * 400, windowsize=windowsize, oack=b"\0\6windowsize\x004\0")
        receiver = StrayAcker(windowsize)
        ends = End(sender), End(receiver, asks=b"\0\1a\0octet\0")  # type: ignore[arg-type]
        network = Network(ends, Faults(lose=0.01, duplicate=0.01), seed)
        network.run()
        assert receiver.octets == source.content
        causes = network.faulty + network.timeouts
        assert network.count(wire.DATA) <= 401 + (1 + DOUBTS) * windowsize * causes


@pytest.mark.parametrize("rollover", [0, 1])
@pytest.mark.parametrize("room", [1, 3, 13, 40, 63])
def test_a_peer_whose_socket_holds_less_than_a_window(room: int, rollover: int) -> None:
    """Its windows lose their ends one after the other: soon they are sent in parts, which fit."""
    windowsize, blksize = 64, 100
    source, sink = Source(pattern(windowsize * blksize * 50 + 7)), []
    sender = Sender(
        source.read, len(source.content), Backoff(1.0, 6), blksize=blksize, windowsize=windowsize,
        oack=b"\0\6", rollover=rollover,
    )  # fmt: skip
    receiver = Receiver(
        lambda payload: sink.append(bytes(payload)), lambda: None, Backoff(1.0, 6), blksize=blksize,
        windowsize=windowsize,
    )  # fmt: skip
    now = 0.0
    sender.start(now)
    receiver.start(now)
    run = sender.receive(bytearray(wire.make_ack(0)), wire.HEADER, now)
    while sender.outcome is None:
        answers: list[bytes] = []
        for datagram in datagrams(run, sender.segment)[:room]:
            answers += filter(None, [receiver.receive(bytearray(datagram), len(datagram), now)])
        run = None
        for answer in answers:
            run = sender.receive(bytearray(answer), len(answer), now) or run
        if run is None and sender.outcome is None:
            now = max(now, min(sender.deadline, receiver.deadline))
            if sender.pausing:
                assert sender.deadline - now <= 1.001 * PAUSE
            run = sender.tick(now)
            late = receiver.tick(now) if run is None else None
            if late:
                run = sender.receive(bytearray(late), len(late), now)
    assert b"".join(sink) == source.content
    assert sender.resent <= 40 * windowsize
    assert now < 20


def test_a_window_that_is_lost_once_is_not_sent_in_parts() -> None:
    """One in a while is an ordinary loss."""
    sender, _ = make(512 * 4 * 100, windowsize=4)
    run, now = sender.start(0.0), 0.0
    for window in range(1, 20):
        if window % 4 == 0:
            now = sender.deadline
            run = sender.tick(now)
        assert len(datagrams(run, sender.segment)) == 4
        run = sender.receive(bytearray(wire.make_ack(4 * window)), wire.HEADER, now)


@pytest.mark.parametrize("again", ["timeout", "request"])
def test_an_oack_that_was_sent_twice_tells_no_round_trip(again: str) -> None:
    """Karn: its ACK may answer either copy, and the time since the first one is no round trip."""
    sender, _ = make(5000, oack=b"\0\6")
    sender.start(0.0)
    assert (sender.tick(1.0) if again == "timeout" else sender.repeat(1.0)) == b"\0\6"
    ack(sender, 0, 1.9)
    assert sender.deadline == 2.9, "the initial second: nothing was measured"
