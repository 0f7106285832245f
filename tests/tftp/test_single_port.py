"""single_port: every transfer shares the one port that is asked, for NAT and containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.tftp_site import ack, content, data, options, rrq
from tests.tftp.serving import LOCAL, LOCAL6, Serving


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serving]:
    """Return a running server."""
    with Serving(monkeypatch, tmp_path, single_port=True, uploads="create") as serving:
        yield serving


@pytest.mark.parametrize("server", [LOCAL, LOCAL6])
def test_two_answers_in_one_wake_up(serving: Serving, server: str) -> None:
    """RFC 7440 §4: each is acted on, the datagrams of the first leave before the second is looked at.

    The server takes all that waits at its port at once. Here block 2 overtook block 1, so that the client
    reports a gap, and then both blocks: a window goes out for either.
    """
    octets = content(4000)
    (serving.root / "file").write_bytes(octets)
    peer = serving.peer(server)
    peer.ask(rrq("file", blksize=512, windowsize=2))
    assert options(peer.receive()) == {"blksize": "512", "windowsize": "2"}
    peer.answer(ack(0))
    for block in (1, 2):
        peer.expect(data(block, octets[512 * (block - 1) : 512 * block]))
    peer.answer(ack(1))
    peer.answer(ack(2))
    for block in (2, 3, 3, 4):
        peer.expect(data(block, octets[512 * (block - 1) : 512 * block]))
    peer.expect_silence()
