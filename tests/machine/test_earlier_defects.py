"""What the earlier tool of this name did wrong in these parts, each as a test of its own."""

from __future__ import annotations

import pytest

from ptftpd.errors import WireError
from ptftpd.tftp import wire
from ptftpd.tftp.options import Limits, negotiate
from ptftpd.tftp.outcome import OK, Backoff
from ptftpd.tftp.sender import Sender
from tests.machine.simulation import Source, datagrams, pattern


def make(size: int, windowsize: int = 1) -> Sender:
    """Return a Sender of blocks of 100 octets that has sent its first window."""
    source = Source(pattern(size))
    return Sender(source.read, size, Backoff(1.0, 3), blksize=100, windowsize=windowsize)


def test_a_duplicate_ack_skips_no_data() -> None:
    """RFC 1123 §4.2.3.1: ACK n-1 once more made it send block n+1, so the file had a hole."""
    sender = make(350)
    received = bytes(sender.start(0.0))[wire.HEADER :]
    for block in (1, 2, 3):
        assert sender.receive(bytearray(wire.make_ack(block - 1)), 4, 0.1) is None
        received += bytes(sender.receive(bytearray(wire.make_ack(block)), 4, 0.1) or b"")[wire.HEADER :]
    sender.receive(bytearray(wire.make_ack(4)), 4, 0.1)
    assert sender.outcome is OK
    assert received == pattern(350)


def test_a_window_is_not_one_datagram() -> None:
    """RFC 7440 §4: a window of 4 blocks of 100 octets went out as one datagram of 416 octets."""
    sender = make(1000, windowsize=4)
    sent = datagrams(sender.start(0.0), sender.segment)
    assert [len(datagram) for datagram in sent] == [104] * 4


@pytest.mark.parametrize("asked", [{}, {"blksize": "1024"}, {"tsize": "0"}, {"windowsize": "0"}])
def test_an_oack_has_only_what_was_asked(asked: dict[str, str]) -> None:
    """RFC 2347: options that nobody asked for were granted, and windowsize=0 was."""
    granted = dict(negotiate(asked, Limits(), size=1000).granted)
    assert set(granted) <= set(asked)
    assert granted.get("windowsize") != "0"


def test_odd_requests_are_read() -> None:
    """RFC 1350 §5: a name that is not ASCII, an odd value and mode mail were 'server errors'."""
    assert wire.request(b"\0\1pxelinux.0\xff\0octet\0")[1] == "pxelinux.0\udcff"
    assert wire.request(b"\0\1caf\xc3\xa9\0netascii\0")[1:3] == ("café", "netascii")
    asked = wire.request(b"\0\1a\0octet\0blksize\0huge\0tsize\x000\0")[3]
    assert negotiate(asked, Limits(), size=7).granted == (("tsize", "7"),)
    assert wire.request(b"\0\2root\0mail\0")[2] == "mail", "for the server to refuse, with a sentence"
    with pytest.raises(WireError):
        wire.request(b"\0\1a\0octet")
