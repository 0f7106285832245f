"""A TFTP server that a test plays by hand, datagram by datagram."""

from __future__ import annotations

import select
import socket
from types import TracebackType

from ptftpd.tftp import wire
from tests.netns.tftp_site import SERVER, Site, rrq

PATIENCE = 5.0  # seconds that the client may take


class Fake:
    """Listens on port 69 of the server's machine; answers from a new port for each request."""

    def __init__(self, site: Site, address: str = SERVER) -> None:
        """Open the port."""
        self._site, self._address = site, address
        self._listener = self._socket(69)
        self._tid: socket.socket | None = None
        self.client: tuple[str, int] = ("", 0)

    def __enter__(self) -> Fake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._listener.close()

    def close(self) -> None:
        """Close the port of the transfer, so that the client is told by ICMP."""
        if self._tid:
            self._tid.close()
        self._tid = None

    def request(self, timeout: float = PATIENCE) -> bytes:
        """Return the next request; a new port answers it."""
        self.close()
        datagram, self.client = _receive(self._listener, timeout)
        self._tid = self._socket(0)
        return datagram

    def asked(self, timeout: float = PATIENCE) -> dict[str, str]:
        """Return the options of the next request."""
        return wire.request(self.request(timeout))[3]

    def send(self, datagram: bytes) -> None:
        """Answer the client."""
        assert self._tid
        self._tid.sendto(datagram, self.client)

    def receive(self, timeout: float = PATIENCE) -> bytes:
        """Return what the client says to the port of the transfer."""
        assert self._tid
        return _receive(self._tid, timeout)[0]

    def expect(self, datagram: bytes) -> None:
        """Receive just this."""
        assert self.receive() == datagram

    def stranger(self, address: str = SERVER) -> socket.socket:
        """Return another socket of the server's machine."""
        return self._socket(0, address)

    def _socket(self, port: int, address: str = "") -> socket.socket:
        with self._site.server.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address or self._address, port))
        return sock


def _receive(sock: socket.socket, timeout: float) -> tuple[bytes, tuple[str, int]]:
    assert select.select([sock], [], [], timeout)[0], f"nothing came within {timeout:g} s"
    datagram, source = sock.recvfrom(65536)
    return datagram, source


PLAIN = rrq("a")  # what is asked for at last, where nothing else is understood
