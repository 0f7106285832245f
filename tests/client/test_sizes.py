"""Sizes that servers announce (RFC 2349), and files without end: played by hand."""

from __future__ import annotations

import json

import pytest

from ptftpd.tftp import wire
from tests.client.conftest import Desk, end, get
from tests.client.fake import Fake
from tests.netns.tftp_site import SERVER, ack, content, data, error_code


def announce(fake: Fake, size: int) -> None:
    """Take a request, and announce a file of this size."""
    fake.request()
    fake.send(wire.make_oack({"tsize": str(size)}))


def test_less_than_announced(fake: Fake, desk: Desk) -> None:
    """A part is not taken for the whole: the server is told, and nothing kept."""
    client = get(desk)
    announce(fake, 5)
    fake.expect(ack(0))
    fake.send(data(1, content(3)))
    assert error_code(fake.receive()) == wire.ILLEGAL
    reason = (
        "5 octets were announced, but 3 came: if the file is changing, --rfc1350 gets it without its size"
    )
    assert end(client, 1).startswith(f"tftp: cannot get a from {SERVER}: {reason}")
    assert list(desk.directory.iterdir()) == []


@pytest.mark.parametrize("announced", [1, 511, 699])
def test_more_than_announced(announced: int, fake: Fake, desk: Desk) -> None:
    """Some servers announce 1, or the size modulo 2^32, and a log grows: the file is whole, and kept."""
    client = get(desk)
    announce(fake, announced)
    fake.expect(ack(0))
    fake.send(data(1, content(700)[:512]))
    fake.expect(ack(1))
    fake.send(data(2, content(700)[512:]))
    fake.expect(ack(2))
    said = end(client)
    assert said == f"tftp: a: {announced} octets were announced, but 700 came; they are kept\n"
    assert (desk.directory / "a").read_bytes() == content(700)


def test_more_than_announced_in_json(fake: Fake, desk: Desk) -> None:
    """It went well, and has a warning."""
    client = get(desk, "--json")
    announce(fake, 1)
    fake.expect(ack(0))
    fake.send(data(1, b"whole"))
    fake.expect(ack(1))
    facts = json.loads(client.communicate(timeout=30)[0])
    assert (client.returncode, facts["ok"]) == (0, True)
    assert facts["warning"].startswith("1 octets were announced, but 5 came")


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1, 1 << 63, 10**20 - 1])
def test_more_than_any_disk_has(size: int, fake: Fake, desk: Desk) -> None:
    """Nothing is got, and the sentence is about this file and this disk, however large the number."""
    client = get(desk)
    announce(fake, size)
    assert error_code(fake.receive()) == wire.DISK_FULL
    said = end(client, 1)
    assert said.startswith("tftp: cannot keep a as a: ")
    assert "GB are announced, and the disk has " in said
    assert list(desk.directory.iterdir()) == []


def test_max_size_and_an_announcement(fake: Fake, desk: Desk) -> None:
    """--max-size refuses what is announced to be larger before anything comes."""
    client = get(desk, "--max-size", "1K")
    announce(fake, 1025)
    assert error_code(fake.receive()) == wire.DISK_FULL
    assert "1025 octets are announced, and at most 1024 are wanted" in end(client, 1)


@pytest.mark.parametrize("announced", [0, 100, 1024])
def test_max_size_and_endless_data(announced: int, fake: Fake, desk: Desk) -> None:
    """It stops at the first block too many, whatever was announced."""
    client = get(desk, "--max-size", "1K")
    announce(fake, announced)
    fake.expect(ack(0))
    for block in (1, 2):
        fake.send(data(block, content(512)))
        fake.expect(ack(block))
    fake.send(data(3, content(512)))
    assert error_code(fake.receive()) == wire.DISK_FULL
    assert "more came, and at most 1024 are wanted" in end(client, 1)
    assert list(desk.directory.iterdir()) == []


def test_as_large_as_max_size(fake: Fake, desk: Desk) -> None:
    """That is not too large."""
    client = get(desk, "--max-size", "1K")
    announce(fake, 1024)
    fake.expect(ack(0))
    for block, size in ((1, 512), (2, 512), (3, 0)):
        fake.send(data(block, content(size)))
        fake.expect(ack(block))
    assert end(client) == ""
    assert (desk.directory / "a").stat().st_size == 1024
