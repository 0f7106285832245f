"""The Receiver by itself: what scenarios cannot say. RFC 1350, 1123 §4.2.3, 7440."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.errors import TransferError
from ptftpd.tftp import wire
from ptftpd.tftp.outcome import INF, OK, Backoff, Failure
from ptftpd.tftp.receiver import Receiver


class Kept:
    """Where blocks go."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.finished = 0

    def write(self, payload: memoryview) -> None:
        """Keep a block."""
        self.blocks.append(bytes(payload))

    def finish(self) -> None:
        """Count the ends."""
        self.finished += 1


def make(*, blksize: int = 8, windowsize: int = 1, head: bytes = b"") -> tuple[Receiver, Kept]:
    """Return a Receiver and what keeps its blocks."""
    kept = Kept()
    receiver = Receiver(
        kept.write, kept.finish, Backoff(1.0, 3), blksize=blksize, windowsize=windowsize, head=head
    )
    return receiver, kept


def data(receiver: Receiver, block: int, payload: bytes, now: float = 0.0) -> bytes | None:
    """Return what the Receiver sends for DATA; behind the datagram the buffer holds other octets."""
    datagram = wire.make_data(block, payload)
    return receiver.receive(bytearray(datagram + b"remains"), len(datagram), now)


class TestContract:
    def test_idle_before_and_after(self) -> None:
        """The constructor starts nothing; after the dallying nothing is wanted any more."""
        receiver, kept = make()
        assert (receiver.deadline, receiver.outcome, receiver.blocks, receiver.octets) == (INF, None, 0, 0)
        receiver.start(5.0)
        assert receiver.deadline == 6.0
        assert data(receiver, 1, b"end", 5.5) == wire.make_ack(1)
        assert receiver.outcome is OK
        assert kept.blocks == [b"end"]
        assert 5.5 < receiver.deadline < INF, "it dallies (RFC 1350 §6)"
        assert receiver.tick(receiver.deadline) is None
        assert receiver.deadline == INF

    def test_the_buffer_is_given_back(self) -> None:
        """The caller uses its buffer again: no view of it is kept."""
        receiver, kept = make()
        receiver.start(0.0)
        buffer = bytearray(wire.make_data(1, b"12345678"))
        receiver.receive(buffer, len(buffer), 0.1)
        buffer.clear()  # BufferError while a view exists
        assert kept.blocks == [b"12345678"]

    def test_an_early_tick_is_nothing(self) -> None:
        """tick() before the deadline neither sends nor moves the deadline."""
        receiver, _ = make()
        receiver.start(0.0)
        assert receiver.tick(0.99) is None
        assert receiver.deadline == 1.0

    def test_the_last_ack_says_that_the_file_is_there(self) -> None:
        """The file is finished before its last block is acknowledged; only once."""
        receiver, kept = make()
        receiver.start(0.0)
        assert data(receiver, 1, b"12345678") == wire.make_ack(1)
        assert kept.finished == 0
        assert data(receiver, 2, b"") == wire.make_ack(2)
        assert kept.finished == 1
        assert data(receiver, 2, b"") == wire.make_ack(2)
        assert kept.finished == 1

    @pytest.mark.parametrize("code", [wire.ACCESS, wire.DISK_FULL, wire.EXISTS])
    def test_what_cannot_be_kept_is_said(self, code: int) -> None:
        """RFC 1350 §7: the code and the reason of a failed write go to the peer."""

        def write(payload: memoryview) -> None:
            raise TransferError(code, "no room")

        receiver = Receiver(write, lambda: None, Backoff(1.0, 3))
        receiver.start(0.0)
        answer = data(receiver, 1, b"end")
        assert answer is not None
        assert wire.error(answer) == (code, "no room")
        assert receiver.outcome == Failure(code, "no room")
        assert (receiver.blocks, receiver.octets, receiver.deadline) == (0, 0, INF)

    def test_the_reason_is_for_people(self) -> None:
        """A failure says which block did not come, and how often it was asked for."""
        receiver, _ = make()
        receiver.start(0.0)
        data(receiver, 1, b"12345678")
        while receiver.outcome is None:
            receiver.tick(receiver.deadline)
        assert isinstance(receiver.outcome, Failure)
        assert "block 2" in receiver.outcome.reason
        assert "3 retries" in receiver.outcome.reason


class TestAnything:
    @given(
        windowsize=st.sampled_from([1, 2, 4, 64]),
        arrivals=st.lists(
            st.one_of(
                st.tuples(st.integers(0, 12), st.sampled_from([8, 8, 8, 8, 3, 0, 9])),
                st.tuples(st.integers(65530, 65535), st.just(8)),
                st.binary(max_size=14),
            ),
            max_size=60,
        ),
    )
    def test_any_datagrams(self, windowsize: int, arrivals: list[tuple[int, int] | bytes]) -> None:
        """Whatever comes, blocks are kept in order and whole, and at most one datagram answers each."""
        receiver, kept = make(windowsize=windowsize)
        receiver.start(0.0)
        for number, arrival in enumerate(arrivals):
            if isinstance(arrival, bytes):
                datagram = arrival
            else:
                block, size = arrival
                datagram = wire.make_data(block, bytes([block & 0xFF]) * size)
            before = receiver.outcome
            answer = receiver.receive(bytearray(datagram), len(datagram), number / 100)
            if answer is not None and wire.unpack_header(answer)[0] == wire.ACK:
                assert wire.unpack_header(answer)[1] == receiver.blocks, "an ACK of what came in order"
            elif answer is not None:
                assert wire.error(answer)[0] == wire.ILLEGAL
            assert before is None or receiver.outcome is before, "an end is an end"
        assert all(len(payload) == 8 for payload in kept.blocks[:-1])
        assert kept.finished == (receiver.outcome is OK)
        assert receiver.octets == sum(map(len, kept.blocks))


RUNS = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 2, 3, 7, 65530]),  # the first block; 1: the one after the last
        st.integers(1, 5),  # blocks
        st.sampled_from([8, 8, 8, 8, 7, 3, 0, 9]),  # octets of the last one, or of all when they are 7 or 9
        st.sampled_from([0, 0, 0, 0, 1]),  # blocks swapped at its start
    ),
    max_size=12,
)


class TestRuns:
    """The kernel hands over several datagrams at once, in one piece of memory."""

    @given(windowsize=st.sampled_from([1, 2, 4, 6, 64]), runs=RUNS)
    def test_as_if_they_came_singly(self, windowsize: int, runs: list[tuple[int, int, int, int]]) -> None:
        """A run leaves the same octets and the same answer as its datagrams one by one."""
        (one, kept_one), (other, kept_other) = make(windowsize=windowsize), make(windowsize=windowsize)
        for receiver in (one, other):
            receiver.start(0.0)
        for number, (first, count, last, swapped) in enumerate(runs):
            start = one.blocks + 1 if first == 1 else first
            blocks = list(range(start, start + count))
            if swapped:
                blocks[:2] = reversed(blocks[:2])
            full = last if last in (7, 9) else 8
            datagrams = [wire.make_data(block & 0xFFFF, bytes([block & 0xFF]) * full) for block in blocks]
            datagrams[-1] = datagrams[-1][: wire.HEADER + last]
            now = number / 100
            answers = [one.receive(bytearray(datagram), len(datagram), now) for datagram in datagrams]
            run = b"".join(datagrams)
            answer = other.receive_run(bytearray(run + b"remains"), len(run), wire.HEADER + full, now)
            assert answer == next((said for said in reversed(answers) if said), None)
            assert (one.blocks, one.octets, one.outcome) == (other.blocks, other.octets, other.outcome)
            assert one.deadline == other.deadline
        assert b"".join(kept_one.blocks) == b"".join(kept_other.blocks)
        assert kept_one.finished == kept_other.finished

    def test_a_window_is_kept_at_once(self) -> None:
        """One call of write for all its blocks, one ACK."""
        receiver, kept = make(windowsize=4)
        receiver.start(0.0)
        run = b"".join(wire.make_data(block, b"%d" % block * 8) for block in (1, 2, 3, 4))
        assert receiver.receive_run(bytearray(run), len(run), 12, 0.1) == wire.make_ack(4)
        assert kept.blocks == [b"11111111222222223333333344444444"]

    def test_the_buffer_is_given_back(self) -> None:
        """As for one datagram."""
        receiver, _ = make(windowsize=4)
        receiver.start(0.0)
        buffer = bytearray(wire.make_data(1, b"12345678") + wire.make_data(2, b"1"))
        receiver.receive_run(buffer, len(buffer), 12, 0.1)
        buffer.clear()  # BufferError while a view exists
        assert receiver.outcome is OK

    def test_what_cannot_be_kept_is_said(self) -> None:
        """Of the run nothing counts as received."""

        def write(payload: memoryview) -> None:
            raise TransferError(wire.DISK_FULL, "no room")

        receiver = Receiver(write, lambda: None, Backoff(1.0, 3), blksize=8, windowsize=4)
        receiver.start(0.0)
        run = wire.make_data(1, b"12345678") + wire.make_data(2, b"1")
        answer = receiver.receive_run(bytearray(run), len(run), 12, 0.1)
        assert answer is not None
        assert wire.error(answer) == (wire.DISK_FULL, "no room")
        assert (receiver.blocks, receiver.octets) == (0, 0)
