"""Packets in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.client.trace import describe
from ptftpd.tftp import wire


@pytest.mark.parametrize(
    ("datagram", "line"),
    [
        (wire.make_request(wire.RRQ, "a", "octet", {"blksize": "1468"}), 'RRQ "a" octet blksize=1468'),
        (wire.make_request(wire.WRQ, "a b", "netascii", {}), 'WRQ "a b" netascii'),
        (wire.make_oack({"blksize": "1468", "tsize": "7"}), "OACK blksize=1468 tsize=7"),
        (wire.make_data(65535, b"xyz"), "DATA 65535, 3 octets"),
        (wire.make_ack(0), "ACK 0"),
        (wire.make_error(1, "File not found"), 'ERROR 1 "File not found"'),
        (b"\0\3", "2 octets that are no TFTP packet: shorter than 4 octets (at octet 2)"),
        (b"\0\7\0\0", "4 octets that are no TFTP packet: opcode 7 is not a request (at octet 0)"),
        (wire.make_error(0, "\x1b[2J"), r'ERROR 0 "\x1b[2J"'),
    ],
)
def test_describe(datagram: bytes, line: str) -> None:
    assert describe(datagram) == line


@given(
    st.binary(max_size=40) | st.tuples(st.integers(0, 7), st.binary()).map(lambda x: bytes([0, x[0]]) + x[1])
)
def test_anything_is_one_harmless_line(datagram: bytes) -> None:
    """Whatever a server sends, a terminal gets nothing but printable characters."""
    assert describe(datagram).isprintable()
