"""The client's settings, for its command line and the commands at its prompt: it reads no file."""

from __future__ import annotations

from dataclasses import dataclass

from ptftpd.option import option
from ptftpd.syntax import auto, flag, integer, octets, port_range, seconds, transfer_mode


@dataclass(frozen=True)
class Settings:
    """What the user may set; auto is None."""

    mode: str = option(
        "octet",
        transfer_mode,
        "octet (or binary): files are sent as they are; netascii (or ascii): as text, line ends converted",
        metavar="MODE",
        short="m",
    )
    blksize: int | None = option(
        None,
        auto(integer(8, 65464)),
        "block size to ask for, in octets (RFC 2348); auto: the largest that the route carries unfragmented",
        metavar="N",
        short="b",
    )
    windowsize: int | None = option(
        None,
        auto(integer(1, 65535)),
        "window to ask for, in blocks (RFC 7440); auto: up to 64, as many as a receive buffer holds",
        metavar="N",
        short="w",
    )
    timeout: float | None = option(
        None,
        auto(seconds(0.05, 255)),
        "time to the first retransmission, in seconds; the server is asked for a whole number too (RFC "
        "2349); auto: 1, then as measured",
        metavar="SECONDS",
    )
    retries: int | None = option(
        None,
        auto(integer(0, 1000)),
        "retransmissions without an answer before giving up; auto: 6. A number also makes the client wait "
        "for a server, an address or a route that is not there yet",
        metavar="N",
    )
    max_size: int | None = option(
        None,
        auto(octets(1, 1 << 62)),
        "the largest file to get, in octets, or with K, M or G; auto: as large as the disk has room for",
        metavar="SIZE",
    )
    port_range: tuple[int, int] | None = option(
        None,
        port_range,
        "ports to send from, for a firewall; by default any",
        metavar="FIRST-LAST",
        short="R",
    )
    rfc1350: bool = option(False, flag, "plain RFC 1350: no TFTP options at all", short="r")
