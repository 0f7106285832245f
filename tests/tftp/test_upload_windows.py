"""Uploads in windows: what has come of a window is taken in one wake-up, to the end of the transfer only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
