"""The DHCP server between socket and database: what is logged, and that nothing leaves unstored."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from ptftpd import net
from ptftpd.dhcp import options, proxy, server, wire
from ptftpd.dhcp.held import MAX_HELD, Held
from ptftpd.dhcp.monitor import WAIT
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.server import MAX_BATCH, Server
from ptftpd.dhcp.store import Store
from ptftpd.errors import ConfigError, Error
from ptftpd.log import DEBUG, Log
from ptftpd.loop import INF, Loop
from ptftpd.settings import Bootp, Class, Dhcp, Menu, Pxe, Settings
from tests.machine.dhcp_site import MAC, NETWORK, OWN, ip, mac, message, ranges

LINK = net.Link("eth0", 7, MAC, OWN, NETWORK)
SETTINGS = Settings(dhcp=Dhcp(range=ranges(".10-.99")), pxe=Pxe(boot_file="boot.efi"))


class Wire:
    """Takes the place of the network: datagrams to receive, and in order everything that was done."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self.queue: list[tuple[bytes, int]] = []
        self.done: list[str] = []
        self.unreachable = False

    def receive(
        self, _: socket.socket, buffer: bytearray
    ) -> tuple[int, tuple[str, int], str, int, bool] | None:
        if not self.queue:
            return None
        data, index = self.queue.pop(0)
        buffer[: len(data)] = data
        return len(data), ("10.0.0.9", 68), "255.255.255.255", index, False

    def send_from(
        self, _: socket.socket, data: bytes, peer: tuple[str, int], *, source: str, ifindex: int
    ) -> None:
        if self.unreachable:
            raise OSError(101, "Network is unreachable")
        assert (source, ifindex) == ("10.0.0.1", 7)
        number = options.number(wire.decode(data), options.MESSAGE_TYPE, 1)
        kind = options.NAMES.get(number, "DHCP message")
        self.done.append(f"{kind} to {peer[0]}")


class Disk(Store):
    """A store that notes when it commits, and fails when it is told to."""

    wire: Wire
    full = False

    def commit(self, leases: Iterable[Lease], now: float) -> None:
        if self.full:
            raise Error("cannot write the lease database: disk is full")
        batch = list(leases)
        super().commit(batch, now)
        self.wire.done.append(f"commit of {len(batch)}")


class Bench:
    """A server on that wire and disk."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It serves 10.0.0.10 to 10.0.0.99; what stands for port 4011 is open too."""
        self.wire, self.loop, self.log = Wire(), Loop(), Log("pdhcpd", DEBUG)
        self.disk = Disk(str(directory / "leases.sqlite"))
        self.disk.wire = self.wire
        self.socket, self.pxe = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.pxe.bind(("127.0.0.1", 0))
        monkeypatch.setattr(proxy, "PORT", self.pxe.getsockname()[1])
        self.server = Server(self.loop, self.log, [self.socket, self.pxe], LINK, SETTINGS, self.disk)

    def hear(self, *messages: wire.Message, index: int = 7, at_pxe: bool = False) -> list[str]:
        """Let messages arrive in one wake-up; return what was done, in order."""
        self.wire.queue += [(wire.encode(each), index) for each in messages]
        return self.wake(self.pxe if at_pxe else self.socket)

    def wake(self, sock: socket.socket | None = None) -> list[str]:
        """Let the loop find the socket readable."""
        self.wire.done.clear()
        self.loop._handlers[(sock or self.socket).fileno()](self.loop.now)
        return list(self.wire.done)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    monkeypatch.setattr(net, "receive", made.wire.receive)
    monkeypatch.setattr(net, "send_from", made.wire.send_from)
    yield made
    made.server.close()
    made.loop.close()


def select(number: int) -> wire.Message:
    """Return a DHCPREQUEST that takes an offer of address 10.0.0.NUMBER."""
    said = {"o50": wire.addresses(ip(f".{number}")), "o54": wire.addresses(int(OWN))}
    return message(options.REQUEST, mac(number), **said)


def test_one_commit_for_a_batch_and_before_every_reply(bench: Bench) -> None:
    """What promises no lease need not wait for the disk."""
    done = bench.hear(select(20), message(options.DISCOVER), select(21), select(22))
    acknowledged = ["DHCPACK to 255.255.255.255"] * 3
    assert done == ["DHCPOFFER to 255.255.255.255", "commit of 3", *acknowledged]


def test_offers_are_not_stored(bench: Bench) -> None:
    assert bench.hear(message(options.DISCOVER)) == ["DHCPOFFER to 255.255.255.255"]


def test_no_acknowledgement_leaves_that_is_not_stored(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.disk.full = True
    for _ in range(3):
        assert bench.hear(select(20), message(options.DISCOVER)) == ["DHCPOFFER to 255.255.255.255"]
    said = capsys.readouterr().err
    assert said.count("error: cannot write the lease database: disk is full; no address is leased until") == 1
    assert "not answered: 1 x the lease could not be stored" in said
    assert "DHCPACK" not in said
    bench.disk.full = False
    assert bench.hear(select(20)) == ["commit of 1", "DHCPACK to 255.255.255.255"]
    assert "the lease database can be written again" in capsys.readouterr().err


def test_replies_that_wait(bench: Bench) -> None:
    """[class] reply_delay: some ROMs miss what comes at once. The lease is stored without waiting."""
    slow = Class(mac=(MAC,), reply_delay=0.5)
    bench.server.reload(replace(SETTINGS, classes={"slow": slow}), LINK)
    said = {"o50": wire.addresses(ip(".20")), "o54": wire.addresses(int(OWN))}
    done = bench.hear(message(options.REQUEST, MAC, **said), select(21))
    assert done == ["commit of 2", "DHCPACK to 255.255.255.255"]
    bench.server._held.tick(bench.loop.now + 0.4)
    assert bench.wire.done == done
    bench.server._held.tick(bench.loop.now + 0.5)
    assert bench.wire.done == [*done, "DHCPACK to 255.255.255.255"]


def test_only_so_many_replies_wait() -> None:
    """The rest leave at once; those that wait keep the order of their times."""
    loop, done = Loop(), []
    held = Held(loop)
    for number in range(MAX_HELD + 2):
        held.hold(lambda _, number=number: done.append(number), 2 if number else 1, 0.0)
    assert done == [MAX_HELD, MAX_HELD + 1]
    held.tick(1.0)
    assert done[2:] == [0]
    held.tick(2.0)
    assert done[3:] == list(range(1, MAX_HELD))
    assert held.deadline == INF
    loop.close()


def test_records(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.hear(message(options.DISCOVER))
    assert capsys.readouterr().err.splitlines() == [
        "pdhcpd: DHCPDISCOVER from 52:54:00:12:34:56 via eth0 (x86_64-efi, PXEClient)",
        "pdhcpd: DHCPOFFER on 10.0.0.10 to 52:54:00:12:34:56 via eth0, boot file boot.efi from 10.0.0.1",
    ]


def test_what_is_not_answered_is_counted(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.wire.queue.append((b"no BOOTP", 7))
    assert bench.wake() == []
    assert bench.hear(message(options.DISCOVER, vendor=b"")) == []
    assert bench.hear(message(options.DISCOVER), index=8) == []
    said = capsys.readouterr().err
    assert "dropped: malformed from 10.0.0.9: 8 octets are too few for a BOOTP message (at octet 8)" in said
    assert "dropped: not a PXE client (answer_all is off) DHCPDISCOVER from 52:54:00:12:34:56" in said
    assert "dropped: came in on another interface from 10.0.0.9" in said


def test_a_reply_that_cannot_be_sent_is_counted(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.wire.unreachable = True
    assert bench.hear(message(options.DISCOVER)) == []
    said = capsys.readouterr().err
    assert "cannot send: Network is unreachable" in said
    assert "DHCPOFFER" not in said


def test_a_wake_up_is_bounded(bench: Bench) -> None:
    """The rest is read at the next one: the socket is still readable."""
    messages = [message(options.DISCOVER, vendor=b"")] * (MAX_BATCH + 1)
    bench.hear(*messages)
    assert len(bench.wire.queue) == 1


def test_status(bench: Bench) -> None:
    assert bench.server.status() == "0 of 90 addresses leased"
    bench.hear(select(20))
    assert bench.server.status() == "1 of 90 addresses leased"


@pytest.mark.parametrize(
    "sends_there",
    [{"dhcp": Dhcp(mode="proxy")}, {"menus": {"Debian": Menu(boot_file="x")}}],
    ids=["proxy", "menu"],
)
def test_port_4011_is_for_those_that_were_sent_there(bench: Bench, sends_there: dict[str, Any]) -> None:
    """A server of addresses alone has the port open in auto mode, and leaves it to another proxy."""
    asked = message(options.REQUEST)
    assert bench.hear(asked, at_pxe=True) == []
    bench.server.reload(replace(SETTINGS, **sends_there), LINK)
    assert bench.hear(asked, at_pxe=True) == ["DHCPACK to 10.0.0.9"]


def test_reload_keeps_the_leases(bench: Bench) -> None:
    bench.hear(select(20))
    bench.server.reload(Settings(dhcp=Dhcp(range=ranges(".20-.29"))), LINK)
    assert bench.server.status() == "1 of 10 addresses leased"


def test_a_reload_does_not_ask_again_who_else_is_there(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """In auto mode that would leave clients without an answer for some seconds. Another address asks anew."""
    auto = replace(SETTINGS, dhcp=replace(SETTINGS.dhcp, mode="auto"))
    bench.server.reload(auto, LINK)
    assert bench.hear(message(options.DISCOVER)) == []
    bench.server.tick(bench.loop.now)
    bench.server.tick(bench.loop.now + WAIT)
    assert bench.hear(message(options.DISCOVER)) == ["DHCPOFFER to 255.255.255.255"]
    bench.server.reload(replace(auto, pxe=Pxe(boot_file="other.efi")), LINK)
    assert bench.hear(message(options.DISCOVER)) == ["DHCPOFFER to 255.255.255.255"]
    assert capsys.readouterr().err.count("no other DHCP server answers on eth0") == 1
    bench.server.reload(auto, replace(LINK, address=IPv4Address("10.0.0.2")))
    assert bench.hear(message(options.DISCOVER)) == []
    assert bench.server.status() == "looking for another DHCP server"


@pytest.mark.parametrize("mode", ["auto", "proxy", "full"])
def test_bootp_is_answered_only_by_who_leases_the_addresses(bench: Bench, mode: str) -> None:
    """Where this server is silent or a proxy, the network is another's, and the address would be for ever."""
    settings = replace(
        SETTINGS, dhcp=replace(SETTINGS.dhcp, mode=mode, bootp=True), bootp=Bootp(dynamic=True)
    )
    bench.server.reload(settings, LINK)
    asked = wire.Message(chaddr=mac(5).ljust(16, b"\0"))
    answered = ["commit of 1", "DHCP message to 255.255.255.255"]
    assert bench.hear(asked) == (answered if mode == "full" else [])
    if mode == "auto":  # once it has found nobody
        bench.server.tick(bench.loop.now)
        bench.server.tick(bench.loop.now + WAIT)
        assert bench.hear(asked) == answered


def test_one_forged_message_does_not_end_the_service(bench: Bench) -> None:
    """It says that another server leases addresses; a probe goes out, and the clients are answered on."""
    auto = replace(SETTINGS, dhcp=replace(SETTINGS.dhcp, mode="auto"))
    bench.server.reload(auto, LINK)
    for later in (0.0, WAIT):
        bench.server.tick(bench.loop.now + later)
    forged = message(options.DISCOVER, mac(66), giaddr=ip("0.0.0.1"), o77=b"\x0eptftpd-leasing")
    assert bench.hear(forged) == []
    assert bench.server.deadline <= bench.loop.now
    bench.server.tick(bench.loop.now)
    assert bench.wire.done == ["DHCPDISCOVER to 255.255.255.255"]
    assert bench.hear(message(options.DISCOVER)) == ["DHCPOFFER to 255.255.255.255"]


def test_a_reload_that_does_not_fit_changes_nothing(bench: Bench) -> None:
    bench.hear(select(20))
    outside = IPv4Address("192.168.1.1")
    with pytest.raises(ConfigError):
        bench.server.reload(Settings(dhcp=Dhcp(range=((outside, outside),))), LINK)
    assert bench.server.status() == "1 of 90 addresses leased"


def test_a_reload_that_is_refused_leaves_the_addresses_to_come_up_again(bench: Bench) -> None:
    """The menu is found at fault once the networks are made, which hold the same leases as the old ones."""
    one = replace(SETTINGS, dhcp=replace(SETTINGS.dhcp, range=ranges(".20-.20")))
    bench.server.reload(one, LINK)
    bench.hear(select(20))
    bench.loop.now += 1800
    bench.hear(select(20))  # so that its entry in the queue is that of the shorter lease
    with pytest.raises(ConfigError):
        bench.server.reload(replace(one, menus={"Debian": Menu()}), LINK)
    bench.loop.now += 3601
    assert bench.hear(message(options.DISCOVER, mac(9))) == ["DHCPOFFER to 255.255.255.255"]


def test_leases_survive_a_restart(bench: Bench, tmp_path: Path) -> None:
    bench.hear(select(20))
    again = Store(str(tmp_path / "leases.sqlite"))
    try:
        (lease,) = again.load(0)
    finally:
        again.close()
    assert isinstance(lease, Lease)
    assert (lease.address, lease.key) == (ip(".20"), b"\1" + mac(20))


def test_a_range_outside_the_network_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    loop, outside = Loop(), IPv4Address("192.168.1.1")
    settings = Settings(dhcp=Dhcp(range=((outside, outside),)))
    with pytest.raises(ConfigError, match=r"must be in 10.0.0.0/24, the network of eth0"):
        server.Server(loop, Log("pdhcpd"), [], LINK, settings, Store(str(tmp_path / "leases.sqlite")))
    loop.close()
    assert not list(tmp_path.iterdir())
