"""The client's socket: a port of its own for each request, connected to the port that answers it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from functools import partial
from struct import Struct
from time import monotonic
from types import TracebackType

from ptftpd import net
from ptftpd.client.job import Trace
from ptftpd.client.waiting import Waiting
from ptftpd.runs import GSO_OCTETS, Burst, accept_runs, receive_run

# Linux numbers that Python's socket module does not name.
RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
TICK = 0.05  # seconds: how late a retransmission may be, and how often progress is shown
RECEIVE_BUFFER = 4 << 20  # octets asked for; the kernel grants up to net.core.rmem_max
SKB = 840  # octets the kernel counts for each datagram beside its contents, about
TRIES = 40  # to receive before it sleeps, where it waits awake: about 50 us

# struct timeval as SO_RCVTIMEO has it: two longs, or two numbers of 64 bits where time_t is longer than a
# long (32-bit machines since Debian 13), as the constant stands for SO_RCVTIMEO_NEW there. The kernel refuses
# what is too short.
_TIMEVALS = (Struct("@ll"), Struct("=qq"))


def room(buffer: int, segment: int) -> int:
    """Return how many datagrams of segment octets a receive buffer of so many octets holds, one at least."""
    return max(1, buffer // 2 // (segment + SKB))  # half, for the kernel rounds sizes up


def limit_wait(sock: socket.socket, seconds: float) -> None:
    """Let a receive wait less than a second: Python's own timeout would cost a poll(2) for each datagram."""
    for layout in _TIMEVALS:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, layout.pack(0, int(seconds * 1e6)))
        except OSError as error:
            if error.errno != errno.EINVAL or layout is _TIMEVALS[-1]:
                raise
        else:
            return


class Channel:
    """A UDP socket that asks a server's port and then talks to the one port that was chosen by settle().

    buffer holds what receive() got.
    """

    def __init__(
        self, address: str, port: int, *, ports: tuple[int, int] | None = None, trace: Trace | None = None
    ) -> None:
        """address: an IPv6 zone is given as its number (fe80::1%2). ports: the first and last to send from.

        OSError when there is no port or no route to address.
        """
        # Connected to the address, but to port 0: the kernel lets in any port of it, for a server answers
        # from a new one (RFC 1350 §4), keeps other hosts out and reports what ICMP says.
        self._sock = net.connected("", (address, 0), ports=ports)
        self._address, self._port = address, port
        self._source = 0  # the port that the last datagram came from, until settled
        self._trace = trace
        self._segment = GSO_OCTETS
        self._burst = Burst(self._sock, self._segment)
        self.buffer = bytearray(1 << 16)
        self._receive: Callable[[int], tuple[int, int]] = self._receive_any
        self._waiting = Waiting(monotonic())
        self._sock.setblocking(True)
        limit_wait(self._sock, TICK)
        # All that ICMP says, not only that a port is closed, while nobody has answered yet.
        self._sock.setsockopt(*RECVERR[self._sock.family], 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the port up."""
        self._sock.close()

    @property
    def carried(self) -> int:
        """The payload in octets of the largest UDP datagram that the route takes in one piece."""
        version6 = self._sock.family == socket.AF_INET6
        return net.route_mtu(self._sock, (self._address, 0)) - (48 if version6 else 28)

    @property
    def source(self) -> str:
        """The address that this machine sends from."""
        return str(self._sock.getsockname()[0])

    def room(self, segment: int) -> int:
        """Return how many datagrams of segment octets can wait here while the program is busy."""
        return room(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), segment)

    def ask(self, request: bytes) -> None:
        """Send a request to the server's port; OSError as the network has it."""
        if self._trace:
            self._trace("->", request)
        self._sock.sendto(request, self._sockaddr(self._port))

    def settle(self, segment: int, *, runs: bool = False) -> None:
        """Talk to the port that the last datagram came from and no other, in datagrams of segment octets.

        runs: receive() may return several of them at once, where the kernel can.
        """
        self._sock.connect(self._sockaddr(self._source))
        self._drain()
        # This also throws the kernel's copies of what ICMP said away, which take room in the receive buffer.
        self._sock.setsockopt(*RECVERR[self._sock.family], 0)
        self._segment, self._burst = segment, Burst(self._sock, segment)
        self._receive = self._receive_one
        if runs and accept_runs(self._sock):
            self._receive = partial(receive_run, self._sock, self.buffer)

    def _drain(self) -> None:
        """Forget what waits in the socket: answers from other ports to a second copy of the request."""
        while True:
            try:
                self._sock.recv(1, socket.MSG_DONTWAIT)  # not into the buffer, whose datagram is still wanted
            except BlockingIOError:
                return
            except OSError:
                pass

    def send(self, run: memoryview | bytes) -> None:
        """Send a view in datagrams of segment octets, bytes as one; what the kernel has no room for is lost.

        ConnectionRefusedError when the server has closed its port.
        """
        if self._trace:
            segment = len(run) if isinstance(run, bytes) else self._segment  # as a Burst has it
            for at in range(0, len(run), segment):
                self._trace("->", bytes(run[at : at + segment]))
        if self._segment < len(run):
            self._burst.send(run)
        else:
            self._sock.send(run)

    def receive(self) -> tuple[int, int]:
        """Return (octets, octets of each datagram but the last) of what came; (0, 1) after TICK without.

        OSError for what ICMP reports of the datagrams sent: ConnectionRefusedError when the port is closed.
        """
        try:
            size, segment = (self._waiting.awake and self._receive_soon()) or self._receive(0)
        except BlockingIOError:
            return 0, 1
        self._waiting.received(monotonic())
        if self._trace:
            self._show(size, segment)
        return size, segment

    def receive_at_once(self) -> tuple[int, int]:
        """Return what receive() would, without waiting: (0, 1) when nothing is there."""
        try:
            size, segment = self._receive(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0, 1
        if self._trace:
            self._show(size, segment)
        return size, segment

    def _show(self, size: int, segment: int) -> None:
        assert self._trace
        for at in range(0, size, segment):
            self._trace("<-", bytes(self.buffer[at : min(at + segment, size)]))

    def _receive_soon(self) -> tuple[int, int] | None:
        """Return what comes within some tries, None when nothing does."""
        for _ in range(TRIES):
            try:
                return self._receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
        return None

    def _receive_any(self, flags: int) -> tuple[int, int]:
        size, source = self._sock.recvfrom_into(self.buffer, 0, flags)
        self._source = source[1]
        return size, size or 1

    def _receive_one(self, flags: int) -> tuple[int, int]:
        size = self._sock.recv_into(self.buffer, 0, flags)
        return size, size or 1

    def _sockaddr(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        host, _, zone = self._address.partition("%")
        return (host, port, 0, int(zone or 0)) if ":" in host else (host, port)
