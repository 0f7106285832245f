"""Requests that nobody follows up: forged addresses neither keep real clients out, nor cost much for long."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd.tftp import wire
from ptftpd.tftp.limits import STALLED
from ptftpd.tftp.transfer import Transfer
from tests.descriptors import open_descriptors
from tests.netns.tftp_site import ack, content, data, error_code, options, rrq, wrq
from tests.tftp.serving import LOCAL, LOCAL6, Serving

FULL = 5  # transfers at once


def free_ports() -> tuple[int, int]:
    """Return the first and the last of FULL ports in a row that nobody uses, below those the kernel gives."""
    for first in range(20000, 30000, FULL):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + FULL):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.bind((LOCAL, port))
            return first, first + FULL - 1
    raise AssertionError("no free ports")


@pytest.fixture(params=["max_transfers", "max_client_transfers", "port_range"])
def serving(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Serving]:
    """Return a running server that has a file of three blocks and takes uploads, with one bound or another.

    The second one is met by machines behind one address, and by one whose address somebody forges.
    """
    (tmp_path / "file").write_bytes(content(1200))
    bound = free_ports() if request.param == "port_range" else FULL
    with Serving(monkeypatch, tmp_path, uploads="create", **{request.param: bound}) as serving:
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
    silent[0].ask(rrq("file", blksize=600))
    assert options(silent[0].receive()) == {"blksize": "600"}, "with the MTU of the route, too"
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


def test_what_stands_still_makes_room(serving: Serving) -> None:
    """Of clients that answered once and are silent, with any timeout: least done first; they are told."""
    peers = [serving.peer() for _ in range(FULL)]
    for number, peer in enumerate(peers):
        peer.ask(rrq("file", timeout=255))
        peer.receive()
        peer.answer(ack(0))
        peer.receive()
        if number:
            peer.answer(ack(1))
            peer.receive()
    serving.turn(STALLED / 2)
    peers[1].answer(ack(2))
    peers[1].receive()
    serving.turn(STALLED / 2)
    for number in (0, 2, 3, 4):
        late = serving.peer()
        late.ask(rrq("file"))
        late.expect(data(1, content(512)))
        serving.turn()
        late.answer(ack(1))
        late.receive()
        assert error_code(peers[number].receive()) == 0
    one_more = serving.peer()
    one_more.ask(rrq("file"))
    assert error_code(one_more.receive()) == 0
    peers[1].answer(ack(3))
    assert serving.log.of("send-failed") == []
    serving.log.report(serving.now + 100)
    assert any("that stood still" in record.message for record in serving.log.of("dropped"))


def test_a_request_that_is_refused_takes_no_place(serving: Serving) -> None:
    """Firmware asks for many names that are not there; each would end a transfer that is about to begin."""
    peers = [serving.peer() for _ in range(FULL)]
    for peer in peers:
        peer.ask(rrq("file"))
        peer.receive()
    late = serving.peer()
    for asked, code in ((rrq("absent"), wire.NOT_FOUND), (rrq("file", "mail"), wire.ILLEGAL)):
        late.ask(asked)
        assert error_code(late.receive()) == code
    for peer in peers:
        peer.answer(ack(1))
        assert peer.rest(b"", 2) == content(1200)[512:]


def test_an_upload_that_only_dallies(serving: Serving) -> None:
    """RFC 1350 §6: it waits whether its last ACK was lost, which keeps nobody out, and the file is there."""
    writers = [serving.peer() for _ in range(FULL)]
    for number, peer in enumerate(writers):
        peer.put(wrq(f"new{number}"), b"x")
        peer.answer(data(1, b"x"))
        peer.expect(ack(1))
    assert serving.peer().get(rrq("file")) == content(1200)
    assert len(serving.log.of("received")) == FULL
    assert serving.log.of("receive-failed", "send-failed", "refused") == []


def test_another_address_has_ports_of_its_own(serving: Serving) -> None:
    """Of transfers at another address of the server none is ended in vain."""
    silent = [serving.peer(LOCAL6) for _ in range(2)]
    silent += [serving.peer() for _ in range(FULL - 2)]
    for peer in silent:
        peer.ask(rrq("file"))
        peer.receive()
    assert serving.server.limits.running == FULL
    assert serving.peer().get(rrq("file")) == content(1200)


def test_nothing_is_left_of_them(serving: Serving) -> None:
    """Once their retransmissions are used up: no transfer, no descriptor, no timer."""
    before = len(open_descriptors())
    peers = [serving.peer() for _ in range(FULL)]
    for peer in peers:
        peer.ask(rrq("file"))
        peer.receive()
    for _ in range(60):
        serving.turn(1.0)
    assert serving.server.transfers == {}
    assert serving.server.limits.running == 0
    assert len(open_descriptors()) == before + len(peers)
    assert serving.loop._heap == []


@pytest.mark.parametrize("single_port", [False, True])
def test_a_transfer_that_ended_is_freed_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, single_port: bool
) -> None:
    """Without the garbage collector, which lets thousands of them pile up before it looks."""
    (tmp_path / "file").write_bytes(content(1200))
    with Serving(monkeypatch, tmp_path, uploads="create", single_port=single_port) as serving:
        gc.collect()
        gc.disable()
        try:
            serving.peer().ask(rrq("file"))  # nobody answers
            serving.peer().ask(rrq("file", blksize=512, windowsize=4))
            serving.peer().get(rrq("file"))
            serving.peer().put(wrq("lock-step"), content(1200))
            serving.peer().ask(wrq("windows", blksize=512, windowsize=4))
            serving.turn()
            assert any(isinstance(each, Transfer) for each in gc.get_objects())
            for _ in range(60):
                serving.turn(1.0)
            assert not any(isinstance(each, Transfer) for each in gc.get_objects())
        finally:
            gc.enable()
