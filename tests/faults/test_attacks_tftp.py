"""What strangers try on the TFTP server: a real process, forged frames, and figures as bounds."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults.test_flood import hardware
from tests.lab import Process, wait_until
from tests.netns.tftp_site import CLIENT, SERVER, Peer, Site, ack, content, data, error_code, options, rrq

ETH_IP = 0x0800
VICTIM = "10.0.0.77"  # an address whose machine drops what it did not ask for
OCTETS = content(3000)


def frame(ends: bytes, source: str, port: int, payload: bytes, to: int = 69) -> bytes:
    """Return the frame of a datagram from a forged address; ends: hardware addresses, to and from."""
    udp = struct.pack("!4H", port, to, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0,
                         socket.inet_aton(source), socket.inet_aton(SERVER))  # fmt: skip
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:]
    return ends + struct.pack("!H", ETH_IP) + header + udp


class Forger:
    """Sends frames from the client's end of the cable, and counts what comes back for an address."""

    def __init__(self, site: Site, victim: str) -> None:
        self._ends = hardware(site, "server") + hardware(site, "client")
        self._victim = victim
        with site.client.entered():
            self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_IP))
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
            self.raw.bind(("eth0", ETH_IP))
        self.sent = self.received = 0

    def __enter__(self) -> Forger:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()

    def forge(self, payload: bytes, port: int) -> None:
        """Send a datagram in the victim's name."""
        self.sent += self.raw.send(frame(self._ends, self._victim, port, payload))

    def count(self) -> None:
        """Add up the octets that have come for the victim."""
        wanted = socket.inet_aton(self._victim)
        while select.select([self.raw], [], [], 0)[0]:
            octets = self.raw.recv(65536)
            self.received += len(octets) if octets[30:34] == wanted else 0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a clean network; who has the victim's address is known."""
    with Site(tmp_path_factory.mktemp("attacks")) as site:
        mac = hardware(site, "client").hex(":")
        site.server.run("ip", "neigh", "replace", VICTIM, "lladdr", mac, "dev", "eth0")
        yield site


@contextmanager
def serving(site: Site, *arguments: str | int) -> Iterator[Process]:
    """Run a server with files to ask for."""
    root = site.directory()
    (root / "file").write_bytes(OCTETS)
    (root / "large").write_bytes(bytes(32 << 20))
    with site.serving(root, *arguments) as server:
        yield server


@pytest.mark.parametrize("rate", [1000, 3000])
def test_requests_in_a_clients_name(site: Site, rate: int) -> None:
    """Forged at that rate, from its own address and any port: its own are served, asked once a second.

    Before, 2 of 12 (1,000 a second) and 1 of 10 (3,000) were answered.
    """
    with serving(site), Forger(site, CLIENT) as forger, ExitStack() as stack:
        peers = [stack.enter_context(Peer(site)) for _ in range(10)]
        asked = [0.0] * len(peers)
        served: dict[int, int] = {}
        began, forged = time.monotonic(), 0
        while len(served) < len(peers) and (now := time.monotonic() - began) < 12:
            while forged < now * rate:
                forger.forge(rrq("file"), 1024 + forged * 7919 % 60000)
                forged += 1
            for number, peer in enumerate(peers):
                if number in served or now < 1 + 0.2 * number:
                    continue  # the first one comes when the rate is used up
                answer = peer.listen(0)
                if answer:
                    peer.answer(ack(1))
                    if peer.listen(0.1) == data(2, OCTETS[512:1024]):
                        served[number] = int(asked[number])
                elif now >= 1 + 0.2 * number + asked[number]:
                    peer.ask(rrq("file"))
                    asked[number] += 1
            time.sleep(0.001)
        assert forged > rate
        assert len(served) == len(peers), served
        assert sorted(served.values())[len(served) // 2] <= 3, served


def test_a_request_in_the_name_of_a_running_transfer(site: Site) -> None:
    """From its client's own address and port: it goes on. Before, it was dropped."""
    with serving(site), Forger(site, CLIENT) as forger, Peer(site) as peer:
        peer.ask(rrq("file"))
        peer.expect(data(1, OCTETS[:512]))
        peer.answer(ack(1))
        peer.expect(data(2, OCTETS[512:1024]))
        own = peer.tid
        forger.forge(rrq("large"), peer.port)
        assert peer.receive() == data(1, bytes(512))
        assert peer.tid != own
        peer.tid = own
        peer.answer(ack(2))
        peer.expect(data(3, OCTETS[1024:1536]))
        peer.answer(ack(3))
        assert peer.rest(b"", 4) == OCTETS[1536:]


class TestSharedPort:
    """single_port: there a forged client can acknowledge what it never got."""

    REQUEST = rrq("large", blksize=1468, windowsize=64)

    def test_amplification(self, site: Site) -> None:
        """A forged request and 200 forged ACKs. Before: 9.3 kB sent, 19 MB at the victim, x2053."""
        with serving(site, "--single-port"), Forger(site, VICTIM) as forger:
            forger.forge(self.REQUEST, 5000)
            time.sleep(0.2)  # the file is opened meanwhile
            for number in range(200):
                forger.forge(ack(number), 5000)
                time.sleep(0.005)
                forger.count()
            time.sleep(0.5)
            forger.count()
            print(f"{forger.sent} sent, {forger.received} received, x{forger.received / forger.sent:.1f}")
            assert 200_000 < forger.received <= 201 * (1468 + 46) + 5 * 1514, "a block for a datagram"
            assert forger.received / forger.sent < 34

    def test_rate(self, site: Site) -> None:
        """However fast the ACKs come, and whatever the window: no more than single_port_rate."""
        rate, seconds = 500_000, 2.0
        arguments = ("--single-port", "--windowsize", 64, "--single-port-rate", rate)
        with serving(site, *arguments), Forger(site, VICTIM) as forger:
            for port in (5000, 5001, 5002):
                forger.forge(self.REQUEST, port)
            time.sleep(0.2)  # the file is opened meanwhile
            began, block = time.monotonic(), 0
            while time.monotonic() - began < seconds:
                for port in (5000, 5001, 5002):
                    forger.forge(ack(block * 64 & 0xFFFF), port)
                block += 1
                time.sleep(0.002)
                forger.count()
            forger.count()
            assert rate / 2 < forger.received < 1.05 * (rate * seconds + rate / 4) + 3 * 64 * 1514

    @pytest.mark.parametrize("family", ["IPv4", "IPv6"])
    def test_what_icmp_says(self, site: Site, family: str) -> None:
        """The victim has no such port, and says so: the transfer ends. Before, it went on."""
        address = SERVER if family == "IPv4" else "fd00::1"
        with serving(site, "--single-port") as server:
            with Peer(site, address) as peer:
                peer.ask(self.REQUEST)
                options(peer.receive())
                peer.answer(ack(0))
                peer.receive()
                with Peer(site, address) as other:
                    assert other.get(rrq("file")) == OCTETS, "of another client it ends nothing"
            with Peer(site, address) as again:  # what is sent to the closed port is answered by ICMP
                again.ask(rrq("file"))
                received = again.receive()
                server.wait_for("large to .* failed after 0 B.*: it closed its port", 5)
                while again.listen(0):  # copies of what was not acknowledged yet
                    pass
                again.answer(ack(1))
                assert again.rest(received[4:], 2) == OCTETS


def test_transfers_that_stand_still(site: Site) -> None:
    """One ACK each and timeout=255 held the table for half an hour: now the next client is served."""
    full = 200
    arguments = ("--max-transfers", full, "--max-client-transfers", full)
    with serving(site, *arguments) as server, ExitStack() as stack:
        peers = [stack.enter_context(Peer(site)) for _ in range(full)]
        before = server.descriptors()
        for peer in peers:
            peer.ask(rrq("large", timeout=255))
            options(peer.receive())
            peer.answer(ack(0))
            peer.receive()
        assert server.descriptors() >= before + full
        time.sleep(1.1)
        with Peer(site) as late:
            assert late.get(rrq("file")) == OCTETS
        assert error_code(peers[0].receive()) == 0


def test_requests_that_end_at_once_leave_nothing(site: Site) -> None:
    """With timeout=255 each left 1.14 kB for 255 s: 1.1 GB for a million. Now nothing."""
    with serving(site, "--request-rate", 1_000_000) as server, ExitStack() as stack:
        peers = [stack.enter_context(Peer(site)) for _ in range(10)]

        def some(count: int) -> None:
            for number in range(count // len(peers)):
                for peer in peers:
                    peer.ask(rrq("file", timeout=255, tsize=0, number=number))
                for peer in peers:
                    options(peer.receive())
                    peer.answer(struct.pack("!HH", 5, 0) + b"TFTP Aborted\0")

        some(1000)
        before, descriptors = server.memory(), server.descriptors()
        some(10_000)
        wait_until(lambda: server.descriptors() <= descriptors, 10, "the end of all transfers")
        assert server.memory() - before < 1_000_000, "it would have been 11 MB"
