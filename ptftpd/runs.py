"""Runs of datagrams: several of one size to or from one peer, in one call where the kernel can."""

from __future__ import annotations

import errno
import socket
import struct

from ptftpd.net import Control, sockaddr, source4

# Linux numbers that Python's socket module does not name.
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104

GSO_SEGMENTS = 64  # the kernel's limit before Linux 6.9 (UDP_MAX_SEGMENTS)
GSO_OCTETS = 65507  # the largest UDP payload over IPv4; the pieces are cut from one such datagram
# What ICMP says of one peer of a shared socket, told at whatever call comes next (net.report_errors).
REPORTED = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPROTO}
NO_GSO = {errno.EIO, errno.EMSGSIZE, errno.EINVAL}  # this route or device cannot: send singly

_segment_size = struct.Struct("=i")
_CONTROL = socket.CMSG_SPACE(_segment_size.size)


def accept_runs(sock: socket.socket) -> bool:
    """Let receive_run() return several datagrams at once; return whether the kernel can (Linux 5.0)."""
    try:
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def receive_run(sock: socket.socket, buffer: bytearray, flags: int = 0) -> tuple[int, int]:
    """Return (octets, octets of each datagram but the last) of what is next in a connected socket.

    OSError as recv(2) has it.
    """
    size, control, _, _ = sock.recvmsg_into([buffer], _CONTROL, flags)
    return size, _segment_size.unpack(control[0][2])[0] if control else size or 1


class Burst:
    """Sends a run of datagrams of one size to one peer, in one call where the kernel can."""

    def __init__(
        self, sock: socket.socket, segment: int, *, peer: tuple[str, int] | None = None, local: str = ""
    ) -> None:
        """segment: octets of each datagram but the last of a run.

        peer, local: whom to send to, and from which address, over a socket that is shared, not connected.
        """
        self._sock = sock
        self._segment = segment
        self._step = min(GSO_SEGMENTS, GSO_OCTETS // segment) * segment
        self._whole_runs = self._step > segment  # until the route turns out not to take them
        self._peer = _mapped(sock, peer) if peer else None
        self._plain = _source(sock, local) if peer else ()
        self._gso = (*self._plain, (SOL_UDP, UDP_SEGMENT, struct.pack("=H", segment)))

    def send(self, run: memoryview | bytes) -> None:
        """Send a view cut into datagrams, or bytes as one datagram, which may be longer than a segment.

        What the kernel has no room for is lost, as on the wire. ConnectionRefusedError when the peer has
        closed its port; other errors pass like loss: the machine's timer bounds them.
        """
        size = len(run)
        segment = size if isinstance(run, bytes) else self._segment
        start, again = 0, False
        while start < size:
            many = self._whole_runs and size - start > segment
            step = self._step if many else segment
            piece = run[start : start + step] if size > step else run
            try:
                if many:
                    self._sock.sendmsg((piece,), self._gso, 0, self._peer)
                elif self._peer:
                    self._sock.sendmsg((piece,), self._plain, 0, self._peer)
                else:
                    self._sock.send(piece)
            except OSError as error:
                if self._peer and error.errno in REPORTED and not again:
                    again = True  # that was another peer's, and nothing was sent
                    continue
                if error.errno == errno.ECONNREFUSED:
                    raise
                if many and error.errno in NO_GSO:
                    self._whole_runs = False
                    continue
                if error.errno in {errno.EAGAIN, errno.ENOBUFS}:
                    return  # the rest would find no room either
            start += step
            again = False


def _mapped(sock: socket.socket, peer: tuple[str, int]) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return peer as a shared socket wants it: an IPv6 one knows IPv4 peers as ::ffff:a.b.c.d."""
    version6 = sock.family == socket.AF_INET6
    return sockaddr(f"::ffff:{peer[0]}" if version6 and ":" not in peer[0] else peer[0], peer[1], version6)


def _source(sock: socket.socket, local: str) -> tuple[Control, ...]:
    """Return the control message that sets the source address of a datagram."""
    if sock.family == socket.AF_INET6:
        octets = socket.inet_pton(socket.AF_INET6, local if ":" in local else f"::ffff:{local}")
        return ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, octets + struct.pack("=i", 0)),)
    return source4(local)
