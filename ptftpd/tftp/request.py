"""What a client asks for by an RRQ or a WRQ."""

from __future__ import annotations

from dataclasses import dataclass

from ptftpd.tftp import wire

Peer = tuple[str, int]


@dataclass(slots=True)
class Request:
    """What a client asked, as it came in datagram: name is how it calls the file, asked are the options.

    ifindex: the interface that it came through. client: what the peer is counted as. once: its first datagram
    is not sent again without an answer. quirks: what was done to the name.
    """

    datagram: bytes
    peer: Peer
    local: str
    ifindex: int
    opcode: int
    name: str
    mode: str
    asked: dict[str, str]
    client: str = ""
    once: bool = False
    quirks: tuple[str, ...] = ()

    @property
    def writing(self) -> bool:
        """Whether it is a WRQ."""
        return self.opcode == wire.WRQ
