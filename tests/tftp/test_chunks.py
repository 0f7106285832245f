"""What transfers of the same file share: read once for many, and never from an earlier state of the file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ptftpd.tftp import wire
from ptftpd.tftp.chunks import ASKED, OCTETS, SETTLED, Shared, Shelf
from ptftpd.tftp.files import Source, Tree
from ptftpd.tftp.outcome import OK, Backoff
from ptftpd.tftp.sender import SLOTS, Sender

BLKSIZE = 100


class Site:
    """A file, the shelf, and clients that fetch the file."""

    def __init__(self, directory: Path) -> None:
        """The file came to be an hour ago, by the clock that the shelf has."""
        self.path = directory / "file"
        self.path.write_bytes(os.urandom(200_050))
        self.later = 3_600_000_000_000
        self.shelf = Shelf(lambda: time.time_ns() + self.later)
        self.reads = 0
        self._tree = Tree([str(directory)])
        self._open: list[Source] = []

    def sender(self, windowsize: int = 1, rollover: int = 0) -> Sender:
        """Return the sender of one more transfer."""
        source = self._tree.open("file")
        self._open.append(source)

        def read(views: Sequence[memoryview], offset: int) -> int:
            self.reads += 1
            return source.read(views, offset)

        return Sender(
            read, source.size, Backoff(1.0, 3), blksize=BLKSIZE, windowsize=windowsize, rollover=rollover,
            shared=Shared(self.shelf, source),
        )  # fmt: skip

    def close(self) -> None:
        """Close what is open."""
        self._tree.close()
        for source in self._open:
            source.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def fetch(sender: Sender, blocks: int = 1 << 30) -> bytes:
    """Return what a client gets in its first blocks; it acknowledges each window."""
    octets, block = b"", 0
    said = sender.start(0.0)
    while block < blocks:
        for at in range(0, len(said), sender.segment):
            datagram = bytes(said[at : at + sender.segment])
            block += 1
            assert wire.unpack_header(datagram) == (wire.DATA, block & 0xFFFF)
            octets += datagram[4:]
        again = sender.receive(bytearray(wire.make_ack(block & 0xFFFF)), 4, 0.0)
        if again is None:
            assert sender.outcome is OK
            break
        said = again
    return octets


@pytest.mark.parametrize("windowsize", [1, 4, 7])
def test_a_hundred_clients_read_twice(site: Site, windowsize: int) -> None:
    """Whoever comes first may be alone; the second one's chunks are kept."""
    fetch(site.sender(windowsize))
    alone = site.reads
    for _ in range(99):
        assert fetch(site.sender(windowsize)) == site.path.read_bytes()
    assert site.reads == 2 * alone


def test_clients_of_different_terms_share_nothing_wrong(site: Site) -> None:
    for _ in range(3):
        for windowsize, rollover in ((1, 0), (4, 0), (1, 1)):
            assert fetch(site.sender(windowsize, rollover)) == site.path.read_bytes()


@pytest.mark.parametrize("same_size", [True, False])
def test_a_file_that_changes_is_never_served_as_it_was(site: Site, same_size: bool) -> None:
    """Written over in place, between two clients and while one is being served."""
    for _ in range(3):
        fetch(site.sender())
    during = site.sender()
    before = fetch(during, 1)
    time.sleep(0.02)  # a tick of the kernel's: else the file keeps its times, which settled files do not
    site.path.write_bytes(os.urandom(200_050 if same_size else 300_000))
    assert before != site.path.read_bytes()[:BLKSIZE]
    assert fetch(site.sender()) == site.path.read_bytes()
    during.receive(bytearray(wire.make_ack(1)), 4, 0.0)
    slots = 1 + SLOTS  # up to the end of the second chunk
    offset = slots * BLKSIZE
    for block in range(2, slots + 1):
        last = during.receive(bytearray(wire.make_ack(block)), 4, 0.0)
    assert bytes(last)[4:] == site.path.read_bytes()[offset : offset + BLKSIZE]


def test_a_file_that_is_replaced(site: Site, tmp_path: Path) -> None:
    """By its new self for new clients; those that have it open go on with the old one."""
    for _ in range(3):
        fetch(site.sender())
    old, running = site.path.read_bytes(), site.sender()
    (tmp_path / "new").write_bytes(os.urandom(200_050))
    (tmp_path / "new").rename(site.path)
    assert fetch(site.sender()) == site.path.read_bytes()
    assert fetch(running) == old


def test_a_file_that_has_just_changed_is_not_kept(site: Site) -> None:
    """It may change again within the tick that its time of change is rounded to."""
    site.later = SETTLED // 2
    for _ in range(3):
        fetch(site.sender())
    assert site.reads == 3 * (1 + len(range(BLKSIZE, 200_050, SLOTS * BLKSIZE)))


def test_what_is_kept_is_bounded() -> None:
    shelf = Shelf(lambda: SETTLED)
    for number in range(300):
        chunk = memoryview(bytes(1 << 16))
        assert not shelf.keep((number,), chunk, 0)
        assert shelf.keep((number,), chunk, 0)
    kept = [number for number in range(300) if shelf.get((number,)) is not None]
    assert kept == list(range(300 - OCTETS // (1 << 16), 300))
    for number in range(1000, 1001 + ASKED):
        shelf.keep((number,), chunk, 0)
    assert not shelf.keep((1000,), chunk, 0), "it was asked for too long ago"


def test_nothing_is_kept_for_nobody() -> None:
    shelf = Shelf(lambda: SETTLED)
    for _ in range(2):
        shelf.keep((1,), memoryview(b"x"), 0)
    shelf.clear()
    assert shelf.get((1,)) is None
    assert not shelf.keep((1,), memoryview(b"x"), 0)


class TestReadingAhead:
    """What the next window needs is read while the client is busy with the last one."""

    def windows(self, site: Site, windowsize: int, *, ahead: bool) -> tuple[bytes, int]:
        """Return what a client gets, and how often the file was read within receive()."""
        sender, waited = site.sender(windowsize), 0
        said = bytes(sender.start(0.0))
        got, block = b"", 0
        while True:
            for at in range(0, len(said), sender.segment):
                got += said[at + 4 : at + sender.segment]
                block += 1
            if ahead:
                sender.read_ahead()
            before = site.reads
            again = sender.receive(bytearray(wire.make_ack(block & 0xFFFF)), 4, 0.0)
            waited += site.reads - before
            if again is None:
                assert sender.outcome is OK
                return got, waited
            said = bytes(again)

    @pytest.mark.parametrize("windowsize", [1, 8, 64, 700])
    def test_no_window_waits_for_the_file(self, site: Site, windowsize: int) -> None:
        octets = site.path.read_bytes()
        assert self.windows(site, windowsize, ahead=True) == (octets, 0)
        got, waited = self.windows(site, windowsize, ahead=False)
        assert got == octets
        assert waited > 1

    def test_a_lost_window_makes_it_read_anew(self, site: Site) -> None:
        """The client has the first two blocks of a window that ends what was read."""
        octets, windowsize = site.path.read_bytes(), 8
        sender = site.sender(windowsize)
        slots = windowsize + SLOTS // windowsize * windowsize  # up to the end of the second chunk
        sender.start(0.0)
        for block in range(windowsize, slots, windowsize):
            said = sender.receive(bytearray(wire.make_ack(block)), 4, 0.0)
        sender.read_ahead()
        first = slots - windowsize + 2
        said = bytes(sender.receive(bytearray(wire.make_ack(first)), 4, 0.0))
        for at, block in zip(range(0, len(said), sender.segment), range(first + 1, first + 9), strict=True):
            assert wire.unpack_header(said, at) == (wire.DATA, block)
            assert said[at + 4 : at + 104] == octets[(block - 1) * BLKSIZE : block * BLKSIZE]

    def test_a_file_that_fails_then(self, site: Site) -> None:
        """It is met when the window is due, as without reading ahead."""
        sender = site.sender(64)
        slots = 64 + SLOTS // 64 * 64
        sender.start(0.0)
        for block in range(64, slots, 64):
            sender.receive(bytearray(wire.make_ack(block)), 4, 0.0)
        os.truncate(site.path, 0)
        sender.read_ahead()
        assert sender.outcome is None
        said = sender.receive(bytearray(wire.make_ack(slots)), 4, 0.0)
        assert wire.error(bytes(said))[1] == "the file became shorter while it was sent"
