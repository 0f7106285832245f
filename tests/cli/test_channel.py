"""The client's socket, on loopback."""

from __future__ import annotations

import socket

import pytest

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
