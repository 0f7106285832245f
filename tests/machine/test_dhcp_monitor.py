"""The look-out for other DHCP servers, on messages and a clock of its own."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable
from functools import partial
from itertools import count

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.monitor import ACCOMPANIED, AGAIN, ALONE, DECIDING, SILENT, WAIT, Monitor
from ptftpd.dhcp.wire import Message
from tests.machine.dhcp_site import Site, answer, ip, mac, message

CARD = bytes.fromhex("020000000009")


def probed(monitor: Monitor, now: float) -> Message:
    """Return the probe that is due."""
    probe = monitor.tick(now)
    assert probe
    return wire.decode(probe)


def answered(probe: Message, server: str = ".2", address: str = ".77") -> Message:
    """Return another server's offer of an address to a probe."""
    return dataclasses.replace(
        probe, op=wire.BOOTREPLY, yiaddr=ip(address),
        options={options.MESSAGE_TYPE: b"\x02", options.SERVER_ID: wire.addresses(ip(server))},
    )  # fmt: skip


def test_nobody_answers() -> None:
    """Alone after the time that a server takes which pings before it offers."""
    monitor = Monitor(ip(".1"), CARD, lambda: 77)
    probe = probed(monitor, 100.0)
    assert (probe.giaddr, probe.chaddr[:6], probe.xid) == (ip(".1"), CARD, 77)
    assert monitor.state == DECIDING
    assert monitor.tick(100.0 + WAIT - 0.1) is None
    assert monitor.state == DECIDING
    assert monitor.tick(100.0 + WAIT) is None
    assert monitor.state == ALONE
    assert monitor.deadline == pytest.approx(100.0 + AGAIN)


def test_another_server_comes_and_goes() -> None:
    """Gone only after several silent probes: one answer may be lost."""
    monitor = Monitor(ip(".1"), CARD, lambda: 77)
    probe, now = probed(monitor, 0.0), 0.0
    assert monitor.receive(answered(probe), 0.0)
    assert (monitor.state, monitor.other) == (ACCOMPANIED, ip(".2"))
    monitor.tick(WAIT)
    for turn in range(1, SILENT + 1):
        now = turn * AGAIN
        probed(monitor, now)
        assert monitor.state == ACCOMPANIED
        monitor.tick(now + WAIT)
    assert (monitor.state, monitor.other) == (ALONE, 0)
    assert monitor.receive(answered(probed(monitor, now + AGAIN)), now + AGAIN)
    assert monitor.state == ACCOMPANIED


def test_a_server_that_leases_to_pxe_clients_only_is_found() -> None:
    """The probe is a PXE client's: another of our own kind answers nobody else."""
    outcome = Site().machine.receive(probed(Monitor(ip(".2"), CARD, lambda: 77), 0.0), 0.0, direct=False)
    other = Monitor(ip(".2"), CARD, lambda: 77)
    probed(other, 0.0)
    assert other.receive(answer(outcome), 0.0)
    assert (other.state, other.other) == (ACCOMPANIED, ip(".1"))
    assert outcome.destination == ("10.0.0.2", 67)


def test_a_proxy_is_no_other_server() -> None:
    """It offers a boot file, but no address."""
    monitor = Monitor(ip(".1"), CARD, lambda: 77)
    probe = probed(monitor, 0.0)
    assert monitor.receive(answered(probe, address="0.0.0.0"), 0.0)
    assert monitor.state == DECIDING


def test_its_own_probe_and_clients_are_told_apart() -> None:
    """A broadcast comes back to its sender; it is not a client's, and no server's."""
    monitor = Monitor(ip(".1"), CARD, lambda: 77)
    probe = probed(monitor, 0.0)
    assert monitor.receive(probe, 0.0)
    assert monitor.state == DECIDING
    assert monitor.receive(answered(probe, ".1"), 0.0)
    assert monitor.state == DECIDING
    assert not monitor.receive(message(options.DISCOVER), 0.0)


# What proves nothing ---------------------------------------------------------------------------


def hint(server: str) -> Message:
    """Return a message that says that a server leases addresses."""
    user_class = b"\x0eptftpd-leasing"
    return message(options.DISCOVER, mac(66), giaddr=ip(server), o77=user_class)


def leasing_alone() -> Monitor:
    """Return one that found nobody, and numbers its probes from 1."""
    monitor = Monitor(ip(".200"), CARD, count(1).__next__, gives_way=True)
    for now in (0.0, WAIT):
        monitor.tick(now)
    assert monitor.state == ALONE
    return monitor


@pytest.mark.parametrize("server", [".1", "0.0.0.1", "192.0.2.7"])
def test_a_hint_is_a_reason_to_probe_and_no_more(server: str) -> None:
    """One forged datagram each two minutes ended the service. Now it costs a probe a minute, however many."""
    monitor, probes, now = leasing_alone(), 0, WAIT
    while now < 10 * AGAIN:
        now += 0.25
        monitor.receive(hint(server), now)
        probes += monitor.tick(now) is not None
        assert (monitor.state, monitor.other) == (ALONE, 0)
    assert probes <= 20


def test_hints_do_not_keep_a_server_from_deciding() -> None:
    """Each would else begin the wait anew."""
    monitor, now = Monitor(ip(".200"), CARD, count(1).__next__, gives_way=True), 0.0
    while now < 2 * WAIT + 1:
        monitor.tick(now)
        monitor.receive(hint(".1"), now)
        now += 0.25
    assert monitor.state == ALONE


def test_an_answer_to_another_probe() -> None:
    """Each probe has a number of its own: what was heard of an earlier one is of no use to who forges."""
    monitor = leasing_alone()
    earlier = probed(monitor, AGAIN)
    monitor.tick(AGAIN + WAIT)
    assert probed(monitor, 2 * AGAIN).xid != earlier.xid
    assert not monitor.receive(answered(earlier), 2 * AGAIN)
    assert monitor.state == ALONE


@pytest.mark.parametrize("server", ["0.0.0.0", "0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_an_answer_of_what_cannot_be_a_server(server: str) -> None:
    monitor = leasing_alone()
    assert monitor.receive(answered(probed(monitor, AGAIN), server), AGAIN)
    assert monitor.state == ALONE


# Several that decide by themselves -------------------------------------------------------------


class Cable:
    """Servers in auto mode on one cable, and a clock that only run() moves."""

    DELAY = 0.001  # seconds that a message takes

    def __init__(self, *starts: float, carries: Callable[[float], bool] = lambda now: True) -> None:
        """A server starts at each of these times, on 10.0.0.1 and so on; carries: whether the cable does."""
        self.servers = [
            Monitor(ip(f".{n}"), mac(n), partial(self._nonces, n), gives_way=True)
            for n in range(1, len(starts) + 1)
        ]
        self.now = 0.0
        self._carries = carries
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()  # breaks ties
        self._dead: list[Monitor] = []
        for server, start in zip(self.servers, starts, strict=True):
            self._at(start, lambda server=server: self._tick(server))

    def _nonces(self, number: int) -> int:
        """Return a number that no other probe has."""
        return number << 24 | next(self._numbers)

    def run(self, until: float) -> None:
        """Let everything happen up to a time."""
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until

    def full(self) -> list[int]:
        """Return which servers lease addresses, by number."""
        return [number for number, server in enumerate(self.servers, 1) if self._leases(server)]

    def stop(self, number: int) -> None:
        """End a server."""
        self._dead.append(self.servers[number - 1])

    def _leases(self, server: Monitor) -> bool:
        return server.state == ALONE and server not in self._dead

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event))

    def _tick(self, server: Monitor) -> None:
        if server in self._dead:
            return
        probe = server.tick(self.now)
        self._at(server.deadline, lambda: self._tick(server))
        if probe and self._carries(self.now):
            for other in self.servers:
                self._at(self.now + self.DELAY, lambda other=other: self._hear(server, other, probe))

    def _hear(self, sender: Monitor, hearer: Monitor, datagram: bytes) -> None:
        """Let a server hear a message; one that leases addresses answers what is not its monitor's."""
        heard = wire.decode(datagram)
        of_its_own = hearer.receive(heard, self.now)
        if hearer.deadline <= self.now:
            self._at(self.now, lambda: self._tick(hearer))
        if not of_its_own and self._leases(hearer) and self._carries(self.now):
            number = self.servers.index(hearer) + 1
            offer = answered(heard, server=f".{number}")
            self._at(self.now + self.DELAY, lambda: self._hear(hearer, sender, wire.encode(offer)))


@pytest.mark.parametrize("apart", [0.0, 0.0005, -0.0005, 1.0, -1.0, 3.9])
def test_two_that_start_together(apart: float) -> None:
    """Exactly one leases addresses as soon as both have decided, and it stays the same one."""
    cable = Cable(5.0, 5.0 + apart)
    cable.run(until=5.0 + abs(apart) + WAIT + 0.01)
    (one,) = cable.full()
    for later in range(1, 1000):
        cable.run(until=10.0 + later)
        assert cable.full() == [one]


def test_the_lower_address_wins_a_tie() -> None:
    cable = Cable(5.0, 5.0, 5.0)
    cable.run(until=5.0 + WAIT + 0.01)
    assert cable.full() == [1]
    assert [server.other for server in cable.servers] == [0, ip(".1"), ip(".1")]


def test_who_leases_already_goes_on() -> None:
    """Whatever its address: a machine that joins takes nothing over."""
    cable = Cable(100.0, 5.0)
    cable.run(until=1000.0)
    assert cable.full() == [2]


@pytest.mark.parametrize("apart", [0.0, 0.0005, 20.0])
def test_a_switch_that_forwards_late(apart: float) -> None:
    """With spanning tree a port is deaf for half a minute: both lease until they hear of each other."""
    cable = Cable(0.0, apart, carries=lambda now: now > 30.0)
    cable.run(until=29.0)
    assert cable.full() == [1, 2]
    cable.run(until=30.0 + AGAIN)
    for later in range(1, 1000):
        cable.run(until=30.0 + AGAIN + later)
        assert cable.full() == [1]


def test_one_takes_over_from_another() -> None:
    """Two proxies beside a server that dies: one of them leases addresses, not both and not neither."""
    cable = Cable(0.0, 10.0, 10.0)
    cable.run(until=20.0)
    assert cable.full() == [1]
    cable.stop(1)
    cable.run(until=20.0 + (SILENT + 1) * AGAIN)
    assert cable.full() == [2]


def test_only_who_leases_says_so() -> None:
    """A server with mode = full decides nothing by itself, and hears no such word."""
    deciding = Monitor(ip(".1"), mac(1), lambda: 1, gives_way=True)
    leasing = Monitor(ip(".2"), mac(2), lambda: 2)
    question = probed(deciding, 0.0)
    assert not leasing.receive(question, 0.0)
    announcement = probed(deciding, WAIT)
    assert (deciding.state, announcement.giaddr) == (ALONE, ip(".1"))
    assert not leasing.receive(announcement, WAIT)
    assert leasing.state == DECIDING
    other = Monitor(ip(".2"), mac(2), lambda: 2, gives_way=True)
    assert not other.receive(question, 0.0)
    assert other.state == DECIDING
    probed(other, 0.0)
    assert other.receive(announcement, 1.0)
    assert other.state == DECIDING, "it is to answer a probe first"
    assert other.receive(answered(probed(other, 1.0), ".1"), 1.0)
    assert (other.state, other.other) == (ACCOMPANIED, ip(".1"))
