"""single_port: every transfer shares the one port that is asked, for NAT and containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ptftpd.tftp import wire
from ptftpd.tftp.limits import STALLED
from tests.netns.tftp_site import ack, content, data, error, error_code, options, rrq, wrq
from tests.tftp.serving import LOCAL, LOCAL6, Serving


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serving]:
    """Return a running server."""
    with Serving(monkeypatch, tmp_path, single_port=True, uploads="create") as serving:
        yield serving


def set_windowsize(serving: Serving, number: int) -> None:
    """Serve with [tftp] windowsize as an administrator writes it."""
    tftp = replace(serving.settings.tftp, windowsize=number)
    serving.server.reload(replace(serving.settings, tftp=tftp, sources={("tftp", "windowsize"): "conf:2"}))


def test_a_forged_ack_makes_one_block_go_out(serving: Serving) -> None:
    """No window is granted, whatever is asked for, unless one is set."""
    octets = content(4000)
    (serving.root / "file").write_bytes(octets)
    peer = serving.peer()
    peer.ask(rrq("file", blksize=512, windowsize=64))
    assert options(peer.receive())["windowsize"] == "1"
    for block in (0, 1):
        peer.answer(ack(block))
        peer.expect(data(block + 1, octets[512 * block : 512 * (block + 1)]))
        peer.expect_silence()
    set_windowsize(serving, 3)
    peer = serving.peer()
    peer.ask(rrq("file", blksize=512, windowsize=64))
    assert options(peer.receive())["windowsize"] == "3"


@pytest.mark.parametrize("server", [LOCAL, LOCAL6])
def test_two_answers_in_one_wake_up(serving: Serving, server: str) -> None:
    """RFC 7440 §4: each is acted on, the datagrams of the first leave before the second is looked at.

    The server takes all that waits at its port at once. Here block 2 overtook block 1, so that the client
    reports a gap, and then both blocks: a window goes out for either.
    """
    octets = content(4000)
    (serving.root / "file").write_bytes(octets)
    set_windowsize(serving, 64)
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


def test_everything_comes_from_the_port_asked(serving: Serving) -> None:
    """Reading, writing and refusing, of several clients at once."""
    octets = content(3000)
    (serving.root / "file").write_bytes(octets)
    peers = [serving.peer() for _ in range(5)]
    for peer in peers:
        peer.ask(rrq("file"))
    for peer in peers:
        assert peer.rest(b"", 1) == octets
        assert peer.tid[1] == serving.port
    peers[0].put(wrq("new"), octets)
    assert (serving.root / "new").read_bytes() == octets
    assert peers[0].tid[1] == serving.port
    peers[1].ask(rrq("absent"))
    assert error_code(peers[1].receive()) == wire.NOT_FOUND
    assert peers[1].tid[1] == serving.port


def test_strangers_harm_nothing(serving: Serving) -> None:
    """RFC 1350 §4: a TID is address and port: others are told that theirs is unknown, the transfer goes on.

    RFC 1350 §7: an ERROR is not answered with another, which two servers would do for ever.
    """
    octets = content(3000)
    (serving.root / "file").write_bytes(octets)
    peer, stranger = serving.peer(), serving.peer()
    peer.ask(rrq("file"))
    received = peer.receive()[4:]
    for datagram in (ack(1), ack(0), data(1, b"x")):
        stranger.ask(datagram)
        assert error_code(stranger.receive()) == wire.UNKNOWN_TID
    for datagram in (error(0), error(wire.UNKNOWN_TID), b"", b"\0", b"\0\6"):
        stranger.ask(datagram)
        stranger.expect_silence()
    peer.answer(ack(1))
    assert peer.rest(received, 2) == octets


def test_a_forged_request_ends_nothing(serving: Serving) -> None:
    """An ACK could be for either of two transfers, so the one that runs stays until it stands still."""
    octets = content(3000)
    (serving.root / "file").write_bytes(octets)
    (serving.root / "other").write_bytes(b"other")
    peer = serving.peer()
    peer.ask(rrq("file"))
    received = peer.receive()[4:]
    peer.answer(ack(1))
    received += peer.receive()[4:]
    for forged in (rrq("other"), rrq("file", blksize=600), wrq("new")):
        peer.ask(forged)
        peer.expect_silence()
    peer.answer(ack(2))
    peer.expect(data(3, octets[1024:1536]))
    serving.turn(STALLED)
    peer.expect(data(3, octets[1024:1536]))  # again
    assert peer.get(rrq("other")) == b"other", "a client that started over asks again"


def test_drain(serving: Serving) -> None:
    """What runs goes on; a new request is left to the server that is started next, and not told 'busy'."""
    octets = content(3000)
    (serving.root / "file").write_bytes(octets)
    peer, late = serving.peer(), serving.peer()
    peer.ask(rrq("file"))
    received = peer.receive()[4:]
    serving.server.drain()
    late.ask(rrq("file"))
    late.expect_silence()
    peer.answer(ack(1))
    assert peer.rest(received, 2) == octets


def test_an_answer_that_is_sent_once_waits_for_its_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A request above request_rate that comes again is answered, though the client has had its octets."""
    (tmp_path / "file").write_bytes(content(3000))
    with Serving(monkeypatch, tmp_path, single_port=True, single_port_rate=1024, request_rate=1) as serving:
        first, second = serving.peer(), serving.peer()
        first.ask(rrq("file"))
        first.receive()
        second.ask(rrq("file"))
        second.expect_silence()
        serving.turn(0.15)
        second.ask(rrq("file"))
        second.expect_silence()
        serving.turn(0.1)
        second.expect(data(1, content(3000)[:512]))
        serving.turn(5.0)
        second.expect_silence()
        assert serving.log.of("send-failed", "refused") == []
