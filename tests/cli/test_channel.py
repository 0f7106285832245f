"""The client's socket, on loopback."""

from __future__ import annotations

import errno
import socket
from struct import Struct

import pytest

from ptftpd import net
from ptftpd.client import channel as channels
from ptftpd.client.channel import Channel

GRANTED = 212_992  # octets: net.core.rmem_max as Debian has it
REFUSALS = 1000  # as often as --retries may ask
SEGMENT, WINDOW = 1472, 64  # octets, datagrams: what is asked for by default


def test_refusals_leave_room_for_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel keeps a copy of each ICMP error in the receive buffer until it is taken."""
    monkeypatch.setattr(channels, "RECEIVE_BUFFER", GRANTED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        place = server.getsockname()
    with Channel(*place) as channel, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        for _ in range(REFUSALS):
            channel.ask(b"a request")
            with pytest.raises(ConnectionRefusedError):
                channel.receive()
        server.bind(place)
        channel.ask(b"a request")
        _, client = server.recvfrom(100)
        server.sendto(b"the answer", client)
        assert channel.receive() == (10, 10)
        channel.settle(SEGMENT)
        for _ in range(WINDOW):
            server.sendto(bytes(SEGMENT), client)
        assert [channel.receive() for _ in range(WINDOW)] == [(SEGMENT, SEGMENT)] * WINDOW


@pytest.mark.parametrize(
    ("long", "time"), [("l", 4), ("i", 4), ("i", 8), ("q", 8)], ids=["this", "32", "32, time_t 64", "64"]
)
def test_the_time_to_wait(long: str, time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes a struct timeval of two longs, or of two 64-bit numbers where time_t is that long."""
    here = channels._TIMEVALS[0]
    layout = here if long == "l" else Struct(f"={long}{long}")
    monkeypatch.setattr(channels, "_TIMEVALS", (layout, *channels._TIMEVALS[1:]))
    wanted = here.size if long == "l" else 2 * time
    taken = []

    class Socket:
        def setsockopt(self, level: int, number: int, octets: bytes) -> None:
            assert (level, number) == (socket.SOL_SOCKET, socket.SO_RCVTIMEO)
            if len(octets) < wanted:
                raise OSError(errno.EINVAL, "too short")
            taken.append(octets)

    channels.limit_wait(Socket(), 0.05)  # type: ignore[arg-type]
    numbers = Struct("=qq" if wanted == 16 else "=ii").unpack(taken[0])
    assert (len(taken), numbers) == (1, (0, 50_000))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_receive_waits_for_a_tick(address: str) -> None:
    """By the kernel's clock."""
    with Channel(address, 9) as channel:
        assert channel.receive() == (0, 1)
        assert channel.receive_at_once() == (0, 1)


def test_routers_may_fragment_what_is_sent() -> None:
    """No DF on IPv4: large blocks pass tunnels of a smaller MTU also where ICMP is filtered."""
    with Channel("127.0.0.1", 9) as channel:
        assert channel._sock.getsockopt(socket.IPPROTO_IP, net.IP_MTU_DISCOVER) == net.IP_PMTUDISC_OMIT
