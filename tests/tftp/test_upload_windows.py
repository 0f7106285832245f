"""Uploads in windows: what has come of a window is taken in one wake-up, to the end of the transfer only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd import runs
from tests.netns.tftp_site import ack, content, data, error, options, wrq
from tests.tftp.serving import LocalPeer, Serving


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serving]:
    """Return a running server."""
    with Serving(monkeypatch, tmp_path, uploads="create") as serving:
        yield serving


def begin(serving: Serving, windowsize: int) -> LocalPeer:
    """Return a client whose upload has begun."""
    peer = serving.peer()
    peer.ask(wrq("new", windowsize=windowsize))
    assert options(peer.receive()) == {"windowsize": str(windowsize)}
    return peer


def blocks_of(octets: bytes) -> list[bytes]:
    """Return the DATA that carry a file."""
    return [data(1 + at // 512, octets[at : at + 512]) for at in range(0, len(octets) + 1, 512)]


def together(peer: LocalPeer) -> runs.Burst:
    """Return what sends several datagrams to the transfer in one piece."""
    peer.socket.connect(peer.tid)
    return runs.Burst(peer.socket, 4 + 512)


def test_a_window_is_acknowledged_once(serving: Serving) -> None:
    """RFC 7440 §4: the last block of each window, and the last of the file."""
    octets = content(512 * 9 + 100)
    peer = begin(serving, 8)
    for first, last in ((1, 8), (9, 10)):
        for block in range(first, last + 1):
            peer.answer(data(block, octets[512 * (block - 1) : 512 * block]))
        peer.expect(ack(last))
        peer.expect_silence()
    assert (serving.root / "new").read_bytes() == octets


def test_two_windows_at_once(serving: Serving) -> None:
    """A client that does not wait: each ACK leaves."""
    octets = content(512 * 4)
    peer = begin(serving, 2)
    for block in (1, 2, 3, 4, 5):
        peer.answer(data(block, octets[512 * (block - 1) : 512 * block]))
    for block in (2, 4, 5):
        peer.expect(ack(block))
    assert (serving.root / "new").read_bytes() == octets


def test_an_error_within_a_window_ends_it(serving: Serving) -> None:
    """What comes behind it is not looked at any more, and nothing is left of the file."""
    peer = begin(serving, 8)
    peer.answer(data(1, bytes(512)))
    peer.answer(error(3, "disk full"))
    peer.answer(data(2, bytes(512)))
    serving.turn()
    peer.expect_silence()
    assert list(serving.root.iterdir()) == []
    assert serving.server.transfers == {}


@pytest.mark.parametrize("windowsize", [2, 16, 64])
@pytest.mark.parametrize("rest", [0, 1, 511])
def test_windows_that_come_as_one(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, windowsize: int, rest: int
) -> None:
    """What the client's kernel was given in one piece is received, checked and written in one piece."""
    octets = content(512 * (3 * windowsize - 1) + rest)
    blocks = blocks_of(octets)
    peer = begin(serving, windowsize)
    burst = together(peer)
    receive, calls = runs.receive_run, []
    monkeypatch.setattr(runs, "receive_run", lambda *got: calls.append(receive(*got)) or calls[-1])
    for first in range(0, len(blocks), windowsize):
        window = blocks[first : first + windowsize]
        burst.send(memoryview(b"".join(window)))
        peer.expect(ack(first + len(window)))
    assert [-(-size // segment) for size, segment in calls] == [windowsize] * 3
    assert (serving.root / "new").read_bytes() == octets


def test_a_gap_within_a_window_that_comes_as_one(serving: Serving) -> None:
    """RFC 7440 §4: what came in order is kept and acknowledged, the rest asked for again."""
    octets = content(512 * 8)
    blocks = blocks_of(octets)
    peer = begin(serving, 8)
    burst = together(peer)
    burst.send(memoryview(b"".join(blocks[:3] + blocks[4:8])))
    peer.expect(ack(3))
    burst.send(memoryview(b"".join(blocks[3:])))
    peer.expect(ack(9))
    assert (serving.root / "new").read_bytes() == octets


def test_a_client_that_does_not_wait_for_the_end(serving: Serving) -> None:
    """RFC 1350 §6: the file is whole with its last block, though nobody hears the ACK; the record says so."""
    octets = content(512 * 3 + 1)
    blocks = blocks_of(octets)
    peer = begin(serving, 2)
    burst = together(peer)
    for window in (blocks[:2], blocks[2:]):
        burst.send(memoryview(b"".join(window)))
    peer.socket.close()
    serving.turn()
    assert (serving.root / "new").read_bytes() == octets
    assert serving.log.of("receive-failed") == []
    assert serving.log.only("received").fields["TFTP_BYTES"] == len(octets)
    assert serving.server.transfers == {}
