"""Packets in words, for people who watch a transfer."""

from __future__ import annotations

from ptftpd.errors import WireError
from ptftpd.log import printable
from ptftpd.tftp import wire


def describe(datagram: bytes) -> str:
    """Return a packet as a line: 'RRQ "a" octet blksize=1468', 'DATA 1, 512 octets', 'ACK 1'."""
    try:
        return _describe(datagram)
    except WireError as error:
        return f"{len(datagram)} octets that are no TFTP packet: {error}"


def _describe(datagram: bytes) -> str:
    opcode, number = wire.header.unpack_from(datagram[: wire.HEADER].ljust(wire.HEADER, b"\0"))
    if opcode == wire.OACK:
        return f"OACK{_options(wire.oack(datagram))}"
    if opcode == wire.ERROR:
        code, text = wire.error(datagram)
        return f"ERROR {code} {_quoted(text)}"
    if opcode in (wire.DATA, wire.ACK):
        if len(datagram) < wire.HEADER:
            raise WireError("shorter than 4 octets", len(datagram))
        return (
            f"ACK {number}" if opcode == wire.ACK else f"DATA {number}, {len(datagram) - wire.HEADER} octets"
        )
    _, name, mode, options = wire.request(datagram)
    return f"{'RRQ' if opcode == wire.RRQ else 'WRQ'} {_quoted(name)} {printable(mode)}{_options(options)}"


def _options(options: dict[str, str]) -> str:
    return "".join(f" {printable(name)}={printable(value)}" for name, value in options.items())


def _quoted(text: str) -> str:
    return f'"{printable(text)}"'
