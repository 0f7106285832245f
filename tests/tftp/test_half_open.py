"""Requests that nobody follows up: forged addresses neither keep real clients out, nor cost much for long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.tftp_site import ack, content, error_code, rrq
from tests.tftp.serving import Serving

FULL = 5  # transfers at once


@pytest.fixture(params=["max_transfers", "max_client_transfers"])
def serving(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Serving]:
    """Return a running server that has a file of three blocks, with one bound or the other.

    The second one is met by machines behind one address, and by one whose address somebody forges.
    """
    (tmp_path / "file").write_bytes(content(1200))
    with Serving(monkeypatch, tmp_path, **{request.param: FULL}) as serving:
        yield serving


def test_a_newcomer_takes_the_place_of_the_oldest_that_never_answered(serving: Serving) -> None:
    """But never of one that runs; what was ended for it is counted, not recorded one by one."""
    running = serving.peer()
    running.ask(rrq("file"))
    running.receive()
    serving.turn(0.01)
    running.answer(ack(1))
    second = running.receive()
    silent = [serving.peer() for _ in range(FULL * 3)]
    for peer in silent:
        peer.ask(rrq("file"))
        assert peer.receive()[:4] == b"\0\3\0\1"
    assert serving.server.limits.running == FULL
    assert serving.peer().get(rrq("file")) == content(1200)
    running.answer(ack(2))
    assert second[4:] + running.rest(b"", 3) == content(1200)[512:]
    assert serving.log.of("send-failed", "refused") == []
    serving.log.report(serving.now + 100)
    assert any("never answered" in record.message for record in serving.log.of("dropped"))


def test_all_of_them_answered(serving: Serving) -> None:
    """The server is busy then, and says so."""
    peers = [serving.peer() for _ in range(FULL)]
    for peer in peers:
        peer.ask(rrq("file"))
        peer.receive()
    serving.turn(0.01)
    for peer in peers:
        peer.answer(ack(1))
        peer.receive()
    late = serving.peer()
    late.ask(rrq("file"))
    assert error_code(late.receive()) == 0
    for peer in peers:
        peer.answer(ack(2))
        peer.rest(b"", 3)
    assert late.get(rrq("file")) == content(1200)


def test_nothing_is_left_of_them(serving: Serving) -> None:
    """Once their retransmissions are used up: no transfer, no descriptor, no timer."""
    before = len(os.listdir("/proc/self/fd"))
    peers = [serving.peer() for _ in range(FULL)]
    for peer in peers:
        peer.ask(rrq("file"))
        peer.receive()
    for _ in range(60):
        serving.turn(1.0)
    assert serving.server.transfers == {}
    assert serving.server.limits.running == 0
    assert len(os.listdir("/proc/self/fd")) == before + len(peers)
    assert serving.loop._heap == []
