"""kill -9 at any moment: no acknowledged lease is lost, and no address is given to two clients."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.wire import Message
from ptftpd.errors import WireError
from tests.lab import Process, wait_until
from tests.netns.dhcp_load import RELAY, SERVER, Load

ETHERNET_IP = 0x0800
BEHIND_HEADERS = 14 + 20 + 8  # Ethernet, IP and UDP, before the DHCP message
SO_RCVBUFFORCE = 33

KILLS = 5

Lease = tuple[bytes, int]  # hardware address, IP address


class Listener(threading.Thread):
    """Collects every acknowledgement that reaches the relay agent's machine; kills the server at one."""

    def __init__(self, load: Load) -> None:
        super().__init__(daemon=True)
        with load.relay.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_IP))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self._socket.settimeout(0.1)
        self._stopping = False
        self._victim: Process | None = None
        self._count = 0  # acknowledgements until the victim is killed
        self.leases: list[Lease] = []

    def kill(self, daemon: Process, count: int) -> None:
        """Kill a server at the very moment at which so many more acknowledgements are there.

        One that had not stored them yet would lose these: a commit takes longer than the signal.
        """
        self._count, self._victim = count, daemon
        assert daemon.wait(40) == -signal.SIGKILL
        self._victim = None

    def run(self) -> None:
        """Listen until stop()."""
        while True:
            try:
                frame = self._socket.recv(2048)
            except TimeoutError:
                if self._stopping:
                    return
                continue
            with contextlib.suppress(WireError):
                message = wire.decode(frame[BEHIND_HEADERS:])
                if message.options.get(options.MESSAGE_TYPE) == bytes([options.ACK]):
                    self.leases.append((message.chaddr[:6], message.yiaddr))
                    self._count -= 1
                    if self._victim and self._count <= 0:
                        self._victim.signal(signal.SIGKILL)

    def stop(self) -> None:
        """Return when all that has arrived is collected."""
        self._stopping = True
        self.join()
        self._socket.close()


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    with Load(tmp_path) as load:
        yield load


@pytest.fixture
def relay(load: Load) -> Iterator[socket.socket]:
    """Return the relay agent's socket; perfdhcp has the port while it runs."""
    with load.relay.entered():
        agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with agent:
        agent.settimeout(10)
        yield agent


def still_held(agent: socket.socket, lease: Lease) -> bool:
    """Return whether a client that reboots is acknowledged its address; agent is its relay agent's socket."""
    hardware, address = lease
    asks = Message(
        xid=address, giaddr=wire.number(socket.inet_aton(RELAY)), chaddr=hardware.ljust(16, b"\0"),
        options={
            options.MESSAGE_TYPE: bytes([options.REQUEST]),
            options.REQUESTED_ADDRESS: wire.addresses(address),
        },
    )  # fmt: skip
    agent.sendto(wire.encode(asks), (SERVER, 67))
    while True:
        answer = wire.decode(agent.recv(2048))
        if answer.xid == address:
            return answer.options[options.MESSAGE_TYPE] == bytes([options.ACK]) and answer.yiaddr == address


@pytest.mark.timeout(180)
def test_kill_during_a_storm(load: Load, relay: socket.socket) -> None:
    """RFC 2131 §3.1: what was acknowledged is stored; after kills at an ACK, every client asks again."""
    daemon, listener = load.pdhcpd(), Listener(load)
    listener.start()
    storm = load.start_perfdhcp(400, 120)  # longer than it is needed: it is ended when all was seen
    for _ in range(KILLS):
        listener.kill(daemon, 200)
        daemon = load.pdhcpd()
    seen = len(listener.leases)
    wait_until(lambda: len(listener.leases) >= seen + 200, 40, "leases from the last server")
    assert storm.running(), storm.text()
    storm.stop()
    listener.stop()
    held = set(listener.leases)
    assert len(held) > 900
    assert len({address for _, address in held}) == len(held), "an address was given to two clients"
    assert len({hardware for hardware, _ in held}) == len(held), "a client was given two addresses"
    relay.bind((RELAY, 67))
    assert [lease for lease in held if not still_held(relay, lease)] == []
    assert daemon.stop() == 0
