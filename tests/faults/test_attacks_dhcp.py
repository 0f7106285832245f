"""What strangers tried on the DHCP server, and what comes of it now, with the figures of doc/guarantees.md.

It is the whole server between socket and database, with a clock that only the tests move; where the kernel or
the memory of a process matter, it is pdhcpd in a network namespace.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ptftpd import net
from ptftpd.dhcp import options, wire
from ptftpd.dhcp.machine import RELEASED
from ptftpd.dhcp.monitor import AGAIN, WAIT
from ptftpd.dhcp.pool import FIRM, OFFER_TIME
from ptftpd.dhcp.server import Server
from ptftpd.dhcp.store import Store
from ptftpd.dhcp.wire import Message
from ptftpd.log import ERROR, Log
from ptftpd.loop import Loop
from ptftpd.settings import Bootp, Dhcp, Pxe, Settings
from tests.lab import Lab, program, reachable
from tests.machine.dhcp_site import MAC, NETWORK, OWN, ip, mac, message, ranges
from tests.machine.firmware import heard

LINK = net.Link("eth0", 7, MAC, OWN, NETWORK)
DHCP = Dhcp(range=ranges(".100-.199"))
SETTINGS = Settings(dhcp=DHCP, pxe=Pxe(boot_file="boot.efi"))
US = wire.addresses(int(OWN))
STRANGER = "192.0.2.7"

Sent = list[tuple[str, Message]]  # destination, reply


class Stage:
    """A server of a hundred addresses, which has been running for a while."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._queue: list[tuple[bytes, str, bool]] = []
        self._sent: Sent = []
        monkeypatch.setattr(net, "receive", self._receive)
        monkeypatch.setattr(net, "send_from", self._send)
        self.loop, self._socket = Loop(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        store = Store(str(directory / "leases.sqlite"))
        self.server = Server(self.loop, Log("pdhcpd", ERROR), [self._socket], LINK, SETTINGS, store)
        self.loop.now += 2 * OFFER_TIME

    def says(self, *messages: Message, source: str = "0.0.0.0", direct: bool = False) -> Sent:
        """Let messages arrive from an address; return what was sent."""
        self._sent.clear()
        for each in messages:
            self._queue.append((wire.encode(each), source, direct))
            self.loop._handlers[self._socket.fileno()](self.loop.now)
        return [(to, reply) for to, reply in self._sent if to != "10.0.0.1"]

    def lease(self, number: int) -> int:
        """Return the address that a client gets by DISCOVER and REQUEST, 0 for none."""
        offers = self.says(message(options.DISCOVER, mac(number)))
        if not offers:
            return 0
        chosen = wire.addresses(offers[0][1].yiaddr)
        ((_, reply),) = self.says(message(options.REQUEST, mac(number), o50=chosen, o54=US))
        return reply.yiaddr

    def forged(self, count: int, make: Callable[[int], Message]) -> Sent:
        """Let a hundredth of a second pass between forged messages; return what was sent."""
        sent: Sent = []
        for number in range(count):
            self.loop.now += 0.01
            sent += self.says(make(number))
        return sent

    def _receive(
        self, _: socket.socket, buffer: bytearray
    ) -> tuple[int, tuple[str, int], str, int, bool] | None:
        if not self._queue:
            return None
        data, source, direct = self._queue.pop(0)
        size = min(len(data), len(buffer))
        buffer[:size] = data[:size]
        return size, (source, 68), str(OWN) if direct else "255.255.255.255", LINK.index, direct

    def _send(
        self, _: socket.socket, data: bytes, peer: tuple[str, int], *, source: str, ifindex: int
    ) -> None:
        if data:
            self._sent.append((peer[0], wire.decode(data)))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(tmp_path, monkeypatch)
    yield made
    made.server.close()
    made.loop.close()


def test_a_hundred_discovers(stage: Stage) -> None:
    """The pool was empty for a minute, and four datagrams a second kept it so."""
    stage.forged(1000, lambda number: message(options.DISCOVER, mac(1000 + number)))
    stage.loop.now += FIRM
    assert stage.lease(1)


def test_a_hundred_declines(stage: Stage) -> None:
    """Each pair of datagrams cost an address for 15 minutes, doubled each time."""

    def pair(number: int) -> Message:
        who = mac(1000 + number // 2)
        if number % 2 == 0:
            return message(options.DISCOVER, who)
        return message(options.DECLINE, who, o50=wire.addresses(ip(".100") + number // 2), o54=US)

    stage.forged(200, pair)
    assert not stage.server._machine.networks.own.pool.quarantined(stage.loop.now)
    stage.loop.now += FIRM
    assert stage.lease(1)


def test_a_hundred_requests(stage: Stage) -> None:
    """Each took an address for as long as a lease lasts, without an offer."""
    sent = stage.forged(
        100,
        lambda n: message(options.REQUEST, mac(1000 + n), o50=wire.addresses(ip(".100") + n), o54=US),
    )
    assert {reply.options[options.MESSAGE_TYPE] for _, reply in sent} == {bytes([options.NAK])}
    assert stage.server.status() == "0 of 100 addresses leased"
    assert stage.lease(1)


def test_the_word_of_another_server(stage: Stage) -> None:
    """In auto mode one datagram each two minutes ended the service."""
    stage.server.reload(replace(SETTINGS, dhcp=replace(DHCP, mode="auto")), LINK)
    for _ in range(2):
        stage.server.tick(stage.loop.now)
        stage.loop.now += WAIT
    stage.server.tick(stage.loop.now)
    hint = message(options.DISCOVER, mac(66), giaddr=ip("0.0.0.1"), o77=b"\x0eptftpd-leasing")
    probes = []
    for number in range(1200):
        stage.loop.now += 0.1
        stage.says(hint, source=STRANGER, direct=True)
        stage._sent.clear()
        stage.server.tick(stage.loop.now)
        probes += stage._sent
        if number % 100 == 0:
            assert stage.lease(number)
    assert len(probes) <= 2 * (120 / AGAIN + 1)


def test_forged_renewals_of_addresses_never_leased(stage: Stage) -> None:
    """Sixty of them, from the addresses they were about, took a pool of ten for as long as a lease lasts."""
    few = replace(SETTINGS, dhcp=replace(DHCP, range=ranges(".100-.109")))
    stage.server.reload(few, LINK)
    for number in range(60):
        stage.loop.now += 0.01
        address = ip(".100") + number % 10
        renewal = message(options.REQUEST, mac(1000 + number), ciaddr=address)
        stage.says(renewal, source=wire.dotted(address), direct=True)
    assert len({stage.lease(number) for number in range(10)} - {0}) == 10
    assert not stage.lease(11)  # those of the ten are leases


def test_two_hundred_discovers_a_second(stage: Stage) -> None:
    """Offers were taken back within half a second, before a client could take its own."""
    taken, tries = 0, 0
    for number in range(4000):
        stage.loop.now += 0.005
        stage.says(message(options.DISCOVER, mac(1000 + number)))
        if number % 50:
            continue
        tries += 1
        offers = stage.says(message(options.DISCOVER, mac(1)))
        if offers:
            for later in range(int(1.9 / 0.005)):
                stage.loop.now += 0.005
                stage.says(message(options.DISCOVER, mac(100_000 + number * 400 + later)))
            chosen = wire.addresses(offers[0][1].yiaddr)
            ((_, reply),) = stage.says(message(options.REQUEST, mac(1), o50=chosen, o54=US))
            assert reply.options[options.MESSAGE_TYPE] == bytes([options.ACK])
            stage.says(
                message(options.RELEASE, mac(1), ciaddr=reply.yiaddr), source=wire.dotted(reply.yiaddr)
            )
            taken += 1
    assert taken
    assert tries <= 10 * taken


@pytest.mark.parametrize("source", [STRANGER, "10.0.0.9"])
def test_a_forged_release(stage: Stage, source: str) -> None:
    """The attacker had the address at once, while its client went on using it."""
    address = stage.lease(1)
    release = message(options.RELEASE, mac(1), ciaddr=address)
    stage.says(release, source=source, direct=True)
    assert stage.server.status() == "1 of 100 addresses leased"
    stage.says(release, source=wire.dotted(address), direct=True)  # forged on the cable, or the client itself
    stage.loop.now += RELEASED - 1
    wanted = message(options.DISCOVER, mac(2), o50=wire.addresses(address))
    ((_, offer),) = stage.says(wanted)
    assert offer.yiaddr != address


def test_a_forged_renewal(stage: Stage) -> None:
    """A renewal that asked for one second had the address given away after a minute."""
    address = stage.lease(1)
    renewal = message(options.REQUEST, mac(1), ciaddr=address, o51=wire.octets(1, 4))
    assert not stage.says(renewal, source=STRANGER, direct=True)
    assert stage.says(renewal, source=wire.dotted(address), direct=True)
    stage.loop.now += 3000
    ((_, reply),) = stage.says(message(options.DISCOVER, mac(2), o50=wire.addresses(address)))
    assert reply.yiaddr != address


def test_replies_to_third_parties(stage: Stage) -> None:
    """They went to whatever giaddr said: to a victim anywhere."""
    for said in ({"o118": wire.addresses(ip(".0"))}, {"o82": b"\5\4" + wire.addresses(ip(".0"))}):
        asked = message(options.DISCOVER, giaddr=ip("203.0.113.9"), **said)
        assert not stage.says(asked, source=STRANGER, direct=True)
    stage.server.reload(replace(SETTINGS, dhcp=replace(DHCP, mode="proxy")), LINK)
    assert not stage.says(message(options.DISCOVER, giaddr=ip("203.0.113.9")), source=STRANGER, direct=True)


def test_addresses_for_who_is_elsewhere(stage: Stage) -> None:
    """A host beyond a router could take every address, and by BOOTP for ever."""
    stage.server.reload(replace(SETTINGS, dhcp=replace(DHCP, bootp=True), bootp=Bootp(dynamic=True)), LINK)
    bootp = Message(chaddr=mac(9).ljust(16, b"\0"))
    assert not stage.says(message(options.DISCOVER), bootp, source=STRANGER, direct=True)


def test_a_machine_that_answers_for_every_address(tmp_path: Path) -> None:
    """The kernel's ARP, real pdhcpd: a hundred addresses were in quarantine after ten seconds."""
    with Lab(reachable(tmp_path)) as lab:
        server, client = lab.namespace("server"), lab.namespace("client")
        lab.cable(server, client)
        server.address("10.9.0.1/24")
        client.address("192.0.2.9/24")
        client.run("ip", "route", "add", "local", "10.9.0.48/28", "dev", "lo")  # so that it answers for all
        daemon = server.start(
            *program("dhcpd"), "eth0", "--answer-all", "--range", "10.9.0.50-10.9.0.60", "--user", "nobody",
            "--state-dir", tmp_path / "state",
        )  # fmt: skip
        daemon.wait_for(r"10\.9\.0\.50 is in use by", 20)
        daemon.wait_for(r"answers for any address on eth0 \(10\.9\.0\.50, 10\.9\.0\.51, 10\.9\.0\.52, ", 20)
        client.run("ip", "route", "del", "local", "10.9.0.48/28", "dev", "lo")
        udhcpc = ("busybox", "udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", 2, "-T", 5, "-s", "/bin/true")
        done = client.run(*udhcpc, check=False)
        assert "lease of 10.9.0.5" in done.stdout + done.stderr
        assert daemon.text().count("is in use by") == 3
        assert daemon.stop() == 0


def test_messages_of_sixty_thousand_octets(tmp_path: Path) -> None:
    """4,500 of them took 134 MB, and one lease 119 kB and on the disk 182 kB."""
    chance = random.Random(1)
    with Lab(reachable(tmp_path)) as lab:
        server, client = lab.namespace("server"), lab.namespace("client")
        lab.cable(server, client)
        server.address("10.9.0.1/16")
        client.address("10.9.0.9/16")
        state = tmp_path / "state"
        daemon = server.start(
            *program("dhcpd"), "eth0", "--answer-all", "--range", "10.9.1.0-10.9.1.99", "--user", "nobody",
            "--state-dir", state, "--identity", "client-id", "--no-probe",
        )  # fmt: skip
        daemon.wait_listening(67)
        with client.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.bind(("10.9.0.9", 67))
            sock.settimeout(5)

            def flood(count: int) -> None:
                """Wait for each answer, so that all of them are read."""
                for number in range(count):
                    said = {60 + number % 2: chance.randbytes(60_000), 55: chance.randbytes(255)}
                    asked = message(options.DISCOVER, mac(number % 100), giaddr=ip("10.9.0.9"))
                    asked.options |= said
                    sock.sendto(wire.encode(asked), ("10.9.0.1", 67))
                    assert heard(sock.recv(2000)).message.yiaddr

            flood(200)
            level = daemon.memory()
            flood(1500)
            assert daemon.memory() < level + 3_000_000
        assert daemon.stop() == 0
