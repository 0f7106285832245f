"""The least of a TFTP client, to see whether and how a server answers."""

from __future__ import annotations

import select
import socket
import struct
from types import TracebackType

DATA, ACK = 3, 4
BLKSIZE = 512


class Client:
    """A client that takes one step of RFC 1350 at a time."""

    def __init__(self, port: int, server: str = "127.0.0.1", timeout: float = 10.0) -> None:
        """Send nothing yet."""
        self._server = server, port
        self._socket = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, name: str) -> None:
        """Send the RRQ."""
        self._socket.sendto(b"\0\1" + name.encode() + b"\0octet\0", self._server)

    def answered(self, within: float) -> bool:
        """Return whether something comes in time, in seconds."""
        return bool(select.select([self._socket], [], [], within)[0])

    def block(self) -> tuple[int, bytes]:
        """Return number and octets of the next DATA; TimeoutError when none comes."""
        while True:
            datagram, self._tid = self._socket.recvfrom(65536)
            opcode, number = struct.unpack_from("!HH", datagram)
            if opcode == DATA:
                return number, datagram[4:]
            raise AssertionError(f"not DATA but {datagram!r}")

    def acknowledge(self, number: int) -> None:
        """Send an ACK."""
        self._socket.sendto(struct.pack("!HH", ACK, number), self._tid)

    def rest(self) -> bytes:
        """Return all that comes from here on, acknowledging it."""
        octets, expected = b"", 0
        while True:
            number, data = self.block()
            expected = expected or number
            self.acknowledge(number)
            if number == expected:
                octets, expected = octets + data, number + 1
                if len(data) < BLKSIZE:
                    return octets


def get(port: int, name: str, server: str = "127.0.0.1", timeout: float = 10.0) -> bytes:
    """Return a file from a server, asking once more if need be, as every client does.

    Of several processes on one socket the kernel may have woken one that is stopped.
    """
    with Client(port, server, timeout) as client:
        client.ask(name)
        if not client.answered(within=timeout / 5):
            client.ask(name)
        return client.rest()
