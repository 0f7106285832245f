"""What the earlier tool of this name did wrong as a TFTP server, over the wire; see tests/machine too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd.tftp import wire
from tests.netns.tftp_site import ack, content, data, error_code, options, rrq, wrq
from tests.tftp.serving import Serving

OCTETS = content(2000)


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serving]:
    """Return a server of /root, beside which lies /root-private."""
    for name in ("root", "root-private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(OCTETS)
    with Serving(monkeypatch, tmp_path / "root", uploads="create") as serving:
        yield serving


@pytest.mark.parametrize("request_", [rrq("../root-private/file"), wrq("../root-private/new")])
def test_root_is_left_by_a_prefix(serving: Serving, request_: bytes) -> None:
    """1: it served and wrote below /root-private, whose name begins with that of its root."""
    peer = serving.peer()
    peer.ask(request_)
    assert error_code(peer.receive()) == wire.ACCESS
    assert not (serving.root.parent / "root-private/new").exists()


def test_a_link_out_is_followed(serving: Serving) -> None:
    """1: symbolic links led out of the root."""
    (serving.root / "link").symlink_to("../root-private/file")
    peer = serving.peer()
    peer.ask(rrq("link"))
    assert error_code(peer.receive()) == wire.ACCESS


def test_a_leading_slash_is_refused(serving: Serving) -> None:
    """2: most firmware sends one."""
    assert serving.peer().get(rrq("/file")) == OCTETS


def test_all_comes_from_port_69(serving: Serving) -> None:
    """3, RFC 1350 §4: each transfer has a TID of its own, also two of one address."""
    peers = [serving.peer(), serving.peer()]
    for peer in peers:
        peer.ask(rrq("file"))
        peer.expect(data(1, OCTETS[:512]))
    assert len({serving.port, *(peer.tid[1] for peer in peers)}) == 3
    for peer in peers:
        peer.answer(ack(1))
        assert peer.rest(OCTETS[:512], 2) == OCTETS


def test_nothing_is_sent_again(serving: Serving) -> None:
    """4, RFC 1350 §2: one lost packet ended a transfer, of either direction."""
    reader, writer = serving.peer(), serving.peer()
    reader.ask(rrq("file"))
    writer.ask(wrq("new"))
    for _ in range(2):
        reader.expect(data(1, OCTETS[:512]))
        writer.expect(ack(0))
        serving.turn(1.0)


def test_a_duplicate_ack_skips_data(serving: Serving) -> None:
    """5, RFC 1123 §4.2.3.1: ACK n-1 again made it send block n+1."""
    peer = serving.peer()
    peer.ask(rrq("file"))
    received = peer.receive()[4:]
    peer.answer(ack(1))
    received += peer.receive()[4:]
    peer.answer(ack(1))
    peer.expect_silence()
    peer.answer(ack(2))
    assert peer.rest(received, 3) == OCTETS


def test_a_window_is_one_datagram(serving: Serving) -> None:
    """6, RFC 7440 §4: each block is a datagram of its own."""
    peer = serving.peer()
    peer.ask(rrq("file", blksize=100, windowsize=4))
    peer.receive()
    peer.answer(ack(0))
    for block in range(1, 5):
        peer.expect(data(block, OCTETS[100 * block - 100 : 100 * block]))
    peer.expect_silence()


def test_unasked_options_are_granted(serving: Serving) -> None:
    """7, RFC 2347: and so was windowsize=0."""
    peer = serving.peer()
    peer.ask(rrq("file", blksize=1000, windowsize=0))
    assert options(peer.receive()) == {"blksize": "1000"}


def test_a_repeated_wrq_finds_its_own_file(serving: Serving) -> None:
    """8: Cisco IOS asks twice, and was told that the file exists."""
    peer = serving.peer()
    peer.ask(wrq("new"))
    peer.expect(ack(0))
    serving.turn(0.5)
    peer.ask(wrq("new"))
    peer.expect(ack(0))
    peer.answer(data(1, b"x"))
    peer.expect(ack(1))
    assert (serving.root / "new").read_bytes() == b"x"


@pytest.mark.parametrize(("request_", "answer"), [
    (rrq("file", "netascii"), data(1)),
    (rrq(b"file\xff"), data(1)),
    (rrq("file", blksize="many"), data(1)),
    (rrq("file", "mail"), b"\0\5\0\4"),
])  # fmt: skip
def test_odd_requests_are_server_errors(serving: Serving, request_: bytes, answer: bytes) -> None:
    """9: netascii, 0xFF behind a name, a value that is no number; mail was answered by an empty datagram."""
    peer = serving.peer()
    peer.ask(request_)
    assert peer.receive()[:4] == answer


def test_half_a_file_has_its_name(serving: Serving) -> None:
    """13: another client could read what was not whole yet, or would never be."""
    writer, reader = serving.peer(), serving.peer()
    writer.ask(wrq("new"))
    writer.receive()
    writer.answer(data(1, OCTETS[:512]))
    writer.expect(ack(1))
    reader.ask(rrq("new"))
    assert error_code(reader.receive()) == wire.NOT_FOUND
    for _ in range(100):
        serving.turn(1.0)
    assert [path.name for path in serving.root.iterdir()] == ["file"]
