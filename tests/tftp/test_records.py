"""Every text that a client fills is cut in the sentence of a record, and what the server says stays whole."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ptftpd.texts import TEXT
from tests.netns.tftp_site import ERROR, rrq
from tests.tftp.serving import Record, Serving

LONG = "n" * 60_000
ROOM = 200  # characters of a sentence that are the server's


def told(serving: Serving, *kinds: str) -> Record:
    """Return the one record of these kinds; no sentence of any record is long."""
    for record in serving.log.kept:
        assert len(record.message) <= TEXT + ROOM, record.message[:100]
    [record] = serving.log.of(*kinds)
    return record


@pytest.mark.parametrize("opcode", [1, 2], ids=["read", "write"])
@pytest.mark.parametrize("place", ["name", "mode", "option", "value"])
@pytest.mark.parametrize("length", [450, 1900, len(LONG)], ids=lambda length: f"{length}")
def test_tftp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, opcode: int, place: str, length: int) -> None:
    """A request that is long somewhere, up to 60,000 octets; a shorter one is read further than those."""
    texts = {"name": "file", "mode": "octet", "option": "blksize", "value": "512"} | {place: LONG[:length]}
    with Serving(monkeypatch, tmp_path) as serving:
        peer = serving.peer()
        peer.ask(struct.pack("!H", opcode) + "".join(f"{x}\0" for x in texts.values()).encode())
        serving.turn()
        while (answer := peer.listen()) is not None:
            assert len(answer) <= TEXT + ROOM
        serving.log.report(serving.now)
        for record in serving.log.kept:
            assert len(record.message) <= TEXT + ROOM, record.message[:100]
        assert any(record.kind in {"refused", "dropped", "sent", ""} for record in serving.log.kept)


def test_why_a_name_is_refused_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Behind a name of any length."""
    with Serving(monkeypatch, tmp_path) as serving:
        serving.peer().ask(rrq("a" * 250))
        serving.turn()
        assert told(serving, "refused").message.endswith("a…: no such file")


def test_what_a_client_says_of_its_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    with Serving(monkeypatch, tmp_path) as serving:
        peer = serving.peer()
        peer.ask(rrq("file"))
        assert peer.receive()
        peer.answer(struct.pack("!HH", ERROR, 4) + LONG.encode() + b"\0")
        serving.turn()
        assert told(serving, "send-failed").message.endswith("n…")
