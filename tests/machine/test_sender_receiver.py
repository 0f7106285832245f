"""Sender against Receiver over a network that loses, duplicates, reorders and delays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.tftp import wire
from ptftpd.tftp.outcome import Failure
from tests.machine.simulation import RETRIES, Faults, Transfer

BLKSIZES = st.one_of(st.sampled_from([8, 9, 512, 1428, 1468]), st.integers(8, 1468))
WINDOWSIZES = st.one_of(st.sampled_from([1, 1, 2, 4, 64]), st.integers(1, 64))
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def transfers(
    draw: st.DrawFn, blocks: int = 80, windowsizes: st.SearchStrategy[int] = WINDOWSIZES
) -> Transfer:
    """Files of sizes around the boundaries of blocks and windows, in all ways to transfer them."""
    blksize, windowsize = draw(BLKSIZES), draw(windowsizes)
    whole = draw(st.one_of(st.integers(0, blocks), st.sampled_from([windowsize, 2 * windowsize])))
    rest = draw(st.sampled_from([-1, 0, 1, blksize // 2]))
    return Transfer(
        max(0, min(whole, blocks) * blksize + rest),
        blksize,
        windowsize,
        known=draw(st.booleans()),
        write=draw(st.booleans()),
        options=draw(st.booleans()) or windowsize > 1,
    )


class TestFaultless:
    @given(transfer=transfers())
    def test_the_fewest_datagrams(self, transfer: Transfer) -> None:
        """RFC 1350 §2, RFC 7440 §4: each block once, one ACK a window, nothing again."""
        network = transfer.over(Faults())
        assert transfer.succeeded
        assert network.count() == transfer.minimum
        assert transfer.sender.resent == transfer.receiver.resent == 0
        assert transfer.sender.blocks == transfer.receiver.blocks == transfer.blocks
        assert transfer.sender.octets == transfer.receiver.octets == transfer.size

    @pytest.mark.parametrize("write", [False, True])
    @pytest.mark.parametrize("windowsize", [1, 2, 8, 64])
    def test_everything_twice(self, windowsize: int, write: bool) -> None:
        """RFC 1123 §4.2.3.1: a network that doubles each datagram does not make the ends double theirs.

        In lock-step no DATA goes out twice, and each copy of DATA is acknowledged: 3 datagrams for 2. With
        a window, a doubled ACK looks like the report of a gap, for which the window may go out once more;
        the ACKs of that one must not cause a third.
        """
        transfer = Transfer(512 * 300, windowsize=windowsize, write=write)
        network = transfer.over(Faults(duplicate=1.0))
        assert transfer.succeeded
        assert network.count() <= 3 * transfer.minimum
        if windowsize == 1:
            assert network.count(wire.DATA) == transfer.blocks
        assert network.count(wire.DATA) <= 2 * transfer.blocks

    @pytest.mark.parametrize("windowsize", [1, 2, 4, 8, 64])
    def test_one_datagram_doubled(self, windowsize: int) -> None:
        """RFC 1123 §4.2.3.1: one doubled datagram costs a window at most, not every later one twice."""
        for number in range(140):
            transfer = Transfer(8 * 200, 8, windowsize)
            network = transfer.over(Faults(doubled=frozenset({number})))
            assert transfer.succeeded, number
            assert transfer.sender.resent <= (windowsize if windowsize > 1 else 0), number
            assert network.count() <= transfer.minimum + windowsize + 2, number

    @pytest.mark.parametrize("windowsize", [1, 2, 4, 8, 64])
    def test_one_datagram_lost(self, windowsize: int) -> None:
        """RFC 1350 §2, RFC 7440 §4: one lost datagram costs two windows at most.

        One after the timeout or the report of the gap; one more when both ends' timers went off.
        """
        for number in range(140):
            transfer = Transfer(8 * 200, 8, windowsize)
            network = transfer.over(Faults(lost=frozenset({number})))
            assert transfer.succeeded, number
            assert transfer.sender.resent <= 2 * windowsize, number
            assert network.count() <= transfer.minimum + 2 * windowsize + 4, number


class TestFaulty:
    @given(
        transfer=transfers(),
        seed=SEEDS,
        lose=st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.6]),
        duplicate=st.sampled_from([0.0, 0.02, 0.3]),
        reorder=st.sampled_from([0.0, 0.1, 0.5]),
        hold=st.sampled_from([0.005, 0.04, 0.2, 3.0]),
    )
    def test_whatever_happens(
        self, transfer: Transfer, seed: int, lose: float, duplicate: float, reorder: float, hold: float
    ) -> None:
        """Nothing ends in OK with wrong octets, everything ends, and the datagrams are bounded.

        The bound: each block is sent once, and again only as part of a window that a timeout or a fault of
        the network caused. A lost or late block makes one gap, so one report of it; a doubled or late ACK
        makes one that looks like a report. The ACKs of the window that was sent again may look like one
        report more. An ACK answers a datagram that arrived, or a timeout.
        """
        faults = Faults(lose=lose, duplicate=duplicate, reorder=reorder, hold=hold)
        network = transfer.over(faults, seed)
        for end in network.ends:
            assert end.machine.outcome is not None or not end.started
        causes = network.faulty + network.timeouts + network.count(wire.RRQ, wire.WRQ)
        assert network.count(wire.DATA) <= transfer.blocks + 2 * transfer.windowsize * causes
        assert network.count(wire.ACK) <= network.count(wire.DATA) + network.copies + network.timeouts + 1

    @given(transfer=transfers(), lost=st.frozensets(st.integers(0, 200), max_size=RETRIES))
    def test_as_many_losses_as_retries(self, transfer: Transfer, lost: frozenset[int]) -> None:
        """RFC 1350 §2: a transfer survives as many losses as it has retries, wherever they are.

        Also those of the last ACK: the receiver's dallying answers (RFC 1350 §6).
        """
        transfer.over(Faults(lost=lost))
        assert transfer.succeeded

    @given(transfer=transfers(), seed=SEEDS)
    def test_doubled_and_reordered_but_not_lost(self, transfer: Transfer, seed: int) -> None:
        """Without loss every transfer succeeds, whatever the order."""
        transfer.over(Faults(duplicate=0.2, reorder=0.4, hold=0.05), seed)
        assert transfer.succeeded

    @given(transfer=transfers(blocks=300, windowsizes=st.integers(1, 8)), seed=SEEDS)
    def test_a_bad_network(self, transfer: Transfer, seed: int) -> None:
        """5 % lost, 2 % doubled, 10 % out of order: slower, but neither a failure nor a flood.

        About every sixth datagram is at fault, and each fault costs half a window of 8 blocks or a timeout.
        """
        network = transfer.over(Faults(lose=0.05, duplicate=0.02, reorder=0.1), seed)
        assert transfer.succeeded
        assert network.count() <= 3 * transfer.minimum + 12 * transfer.windowsize


class TestBeyond65535Blocks:
    """The block number has 16 bits; RFC 1350 §5 does not say what follows 65535."""

    @pytest.mark.parametrize(
        ("windowsize", "write"), [(1, False), (1, True), (4, False), (7, True), (64, False)]
    )
    def test_rollover_to_0(self, windowsize: int, write: bool) -> None:
        """0 follows, as every boot loader expects."""
        transfer = Transfer(8 * 65700 + 3, 8, windowsize, write=write)
        network = transfer.over(Faults())
        assert transfer.succeeded
        assert network.count() == transfer.minimum

    @pytest.mark.parametrize("blocks", [65535, 65536, 65537])
    @pytest.mark.parametrize(("windowsize", "known"), [(1, True), (64, False)])
    def test_the_end_at_the_rollover(self, windowsize: int, blocks: int, known: bool) -> None:
        """The last block may be the one before, at or after the wrap, and be empty."""
        transfer = Transfer(8 * (blocks - 1), 8, windowsize, known=known)
        transfer.over(Faults(), first=transfer.advance(65400))
        assert transfer.succeeded
        assert transfer.receiver.blocks == transfer.blocks == blocks
        assert transfer.sender.resent == 0

    def test_twice_around(self) -> None:
        """A second wrap is as the first."""
        transfer = Transfer(8 * 131100 + 1, 8, windowsize=16)
        transfer.over(Faults(lose=0.05), first=transfer.advance(131000))
        assert transfer.succeeded

    @pytest.mark.parametrize("laps", [1, 2])
    def test_rollover_to_1(self, laps: int) -> None:
        """A sender may be told to let 1 follow 65535; in lock-step the receiver takes it."""
        transfer = Transfer(8 * (65535 * laps + 60) + 3, 8, rollover=1)
        transfer.over(Faults(), first=transfer.advance(65535 * laps - 20))
        assert transfer.succeeded
        assert transfer.sender.resent == 0

    @pytest.mark.parametrize("windowsize", [2, 64])
    def test_rollover_to_1_in_a_window(self, windowsize: int) -> None:
        """With a window, 1 after 65535 may also be the block after a lost 0: the receiver cannot tell.

        So it does not take it, and the transfer fails, rather than skip a block in silence.
        """
        transfer = Transfer(8 * 65600, 8, windowsize, rollover=1)
        transfer.over(Faults(), first=transfer.advance(65400))
        assert isinstance(transfer.receiver.outcome, Failure)
        assert isinstance(transfer.sender.outcome, Failure)

    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.parametrize(("windowsize", "rollover"), [(1, 0), (1, 1), (4, 0), (64, 0)])
    def test_losses_around_the_rollover(self, windowsize: int, rollover: int, seed: int) -> None:
        """Whatever is lost, doubled or late around the wrap, the file is the same."""
        transfer = Transfer(8 * 65600, 8, windowsize, rollover=rollover)
        window = transfer.advance(65536 - 3 * windowsize)
        transfer.over(Faults(lose=0.1, duplicate=0.1, reorder=0.1), seed, first=window)
        assert transfer.succeeded
