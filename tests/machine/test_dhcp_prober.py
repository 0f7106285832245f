"""Looking ahead for addresses in use, with a neighbour table and a clock that the tests set."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from ptftpd import neighbours, net
from ptftpd.dhcp import wire
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.prober import (
    AHEAD,
    AT_ONCE,
    GOOD,
    IDLE,
    KEEP,
    LOOK,
    MAX_WITNESSES,
    PATIENCE,
    SCARCE,
    TOO_MANY,
    TURN,
    Prober,
)
from ptftpd.log import Log
from ptftpd.loop import Loop
from ptftpd.settings import Dhcp
from tests.machine.dhcp_site import MAC, NETWORK, OWN, Site, answer, ip, mac, ranges

LINK = net.Link("eth0", 7, MAC, OWN, NETWORK)
STRANGER = mac(66)


class Bench:
    """A prober on 10.0.0.10 to .12, the kernel's table, and what was asked and stored."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, span: str = ".10-.12") -> None:
        self.site = Site(Dhcp(range=ranges(span)))
        self.pool = self.site.pool
        self.loop = Loop()
        self.asked: list[str] = []
        self.stored: list[Lease] = []
        self.table: dict[str, tuple[str, bytes]] = {}
        monkeypatch.setattr(net, "send_from", self._send)
        monkeypatch.setattr(neighbours, "entry", self._entry)
        self.now = self.loop.now
        self.prober = Prober(self.loop, Log("pdhcpd"), LINK, self.site.networks.own, 900, self._store)

    def _send(self, _: object, data: bytes, peer: tuple[str, int], *, source: str, ifindex: int) -> None:
        assert (data, peer[1], source, ifindex) == (b"", 9, "10.0.0.1", 7)
        self.asked.append(peer[0])

    def _entry(self, address: str, ifindex: int) -> tuple[str, bytes]:
        return self.table.get(address, (neighbours.UNUSED, b""))

    def _store(self, lease: Lease, now: float) -> None:
        self.stored.append(lease)

    def tick(self, seconds: float = 0) -> None:
        """Let time pass, and the loop call the prober."""
        self.now += seconds
        self.prober.tick(self.now)

    def look(self, turns: int = 20) -> None:
        """Let it look at all that it wants to look at now."""
        for _ in range(turns):
            self.tick(LOOK)

    def answer_for_all(self, hardware: bytes = STRANGER) -> None:
        """Let one machine answer for every address."""
        self.table = {f"10.0.0.{number}": (neighbours.IN_USE, hardware) for number in range(255)}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.prober.close()
    made.loop.close()


def test_what_comes_next_is_looked_at(bench: Bench) -> None:
    """In the order in which it is leased, all of it at once when it is little."""
    bench.tick()
    assert bench.asked == ["10.0.0.10", "10.0.0.11", "10.0.0.12"]
    assert bench.prober.deadline == bench.now + TURN
    bench.tick(LOOK)
    assert bench.prober.deadline == bench.now + IDLE


@pytest.mark.parametrize("used", [frozenset(), frozenset(range(12, 40, 2))])
def test_no_burst_of_broadcasts(monkeypatch: pytest.MonkeyPatch, used: frozenset[int]) -> None:
    """U-Boot heard no frame any more after 48 of them in 4 s. The kernel sends three, a second apart.

    One that is answered is asked for no more, which makes no broadcasts for others.
    """
    bench = Bench(monkeypatch, ".10-.99")
    began, known = bench.now, dict[str, float]()  # address -> when the kernel knows
    sent: list[float] = []
    while bench.now < began + 30:
        fresh = len(bench.asked)
        bench.tick()
        for address in bench.asked[fresh:]:
            number = int(address.rpartition(".")[2])
            is_used = number in used
            sent += [bench.now - began] if is_used else [bench.now - began + later for later in range(3)]
            bench.table[address] = (
                (neighbours.IN_USE, mac(500 + number)) if is_used else (neighbours.ASKING, b"")
            )
            known[address] = bench.now + (0 if is_used else 3.1)
        bench.now += TURN
        for address, when in known.items():
            if bench.now >= when and bench.table[address][0] == neighbours.ASKING:
                bench.table[address] = neighbours.UNUSED, b""
    assert len(bench.asked) >= AHEAD
    for start in sent:
        assert sum(start <= when < start + 1 for when in sent) <= AT_ONCE
        assert sum(start <= when < start + 4 for when in sent) <= 4 * AT_ONCE
    bench.prober.close()
    bench.loop.close()


def test_a_new_client_each_second_gets_what_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start on: hosts that have addresses of their own there keep them."""
    bench = Bench(monkeypatch, ".50-.99")
    used = {ip(f".{number}") for number in (51, 57, 58)}
    known, leased = dict[str, float](), list[int]()
    began = bench.now
    while len(leased) < 30:
        fresh = len(bench.asked)
        bench.tick()
        for address in bench.asked[fresh:]:
            in_use = ip(address) in used
            bench.table[address] = (
                (neighbours.IN_USE, mac(ip(address) & 255)) if in_use else (neighbours.ASKING, b"")
            )
            known[address] = bench.now + 3.1
        bench.now += TURN
        for address, when in known.items():
            if bench.now >= when and bench.table[address][0] == neighbours.ASKING:
                bench.table[address] = neighbours.UNUSED, b""
        if bench.now - began >= 1 + len(leased):
            bench.site.now = bench.now
            leased.append(bench.site.lease(mac(1000 + len(leased))))
            bench.prober.hurry(bench.now)
            assert wire.dotted(leased[-1]) in bench.asked
    assert not used & set(leased)
    bench.prober.close()
    bench.loop.close()


def test_an_address_in_use_is_not_leased(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """It is quarantined and stored; the administrator reads who has it."""
    bench.tick()
    bench.table["10.0.0.10"] = neighbours.IN_USE, STRANGER
    bench.tick(LOOK)
    assert bench.site.lease() == ip(".11")
    (lease,) = bench.stored
    assert (lease.address, lease.key, lease.expires) == (ip(".10"), b"", bench.now + 900)
    said = capsys.readouterr().err
    assert "warning: 10.0.0.10 is in use by 52:54:00:00:00:42 on eth0, which has no lease for it" in said


def test_a_free_address_is_not_asked_for_again_for_a_while(bench: Bench) -> None:
    bench.look()
    for _ in range(int((GOOD - 20) / IDLE)):
        bench.tick(IDLE)
    assert len(bench.asked) == 3
    bench.tick(2 * IDLE)
    bench.look()
    assert len(bench.asked) == 6


def test_the_kernel_takes_its_time(bench: Bench) -> None:
    """Three seconds for a new address, eight for one with an old entry; then it counts as free."""
    bench.table["10.0.0.10"] = neighbours.ASKING, STRANGER
    bench.tick()
    for _ in range(int(PATIENCE)):
        bench.tick(LOOK - 0.01)
        assert bench.prober.deadline == bench.now + TURN
    bench.tick(LOOK)
    assert bench.prober.deadline == bench.now + IDLE
    assert bench.stored == []


def test_a_client_that_got_the_address_meanwhile(bench: Bench) -> None:
    """It answers for it by right."""
    bench.tick()
    address = bench.site.lease()
    bench.table[wire.dotted(address)] = neighbours.IN_USE, MAC
    bench.tick(LOOK)
    assert bench.stored == []


def test_a_client_that_released_the_address(bench: Bench) -> None:
    """The kernel has not forgotten it yet; it gets the address back."""
    address = bench.site.lease()
    record = bench.pool.holder(address)
    assert record is not None
    bench.pool.release(record, bench.site.now)
    bench.now = bench.site.now + 1
    bench.table[wire.dotted(address)] = neighbours.IN_USE, MAC
    bench.tick()
    bench.tick(LOOK)
    assert "10.0.0.10" in bench.asked
    assert bench.stored == []


def test_once_an_address_is_taken_it_looks_further(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, ".10-.99")
    bench.look()
    assert len(bench.asked) == AHEAD
    for number in range(3):
        bench.site.lease(mac(number))
    bench.prober.hurry(bench.now)
    assert bench.prober.deadline == bench.now + TURN
    bench.look()
    assert len(bench.asked) == AHEAD + 3
    bench.prober.close()
    bench.loop.close()


# Evidence has to be able to tell


def test_an_address_that_its_last_client_still_uses(bench: Bench) -> None:
    """It released the address, or somebody did in its name; or its lease ended and it does not renew."""
    address = bench.site.lease()
    record = bench.pool.holder(address)
    assert record is not None
    bench.pool.release(record, bench.site.now)
    bench.now = bench.site.now + 1
    bench.table[wire.dotted(address)] = neighbours.IN_USE, MAC
    for _ in range(10):
        bench.look(int(KEEP / LOOK))
        bench.site.now = bench.now
        assert address not in bench.pool.upcoming(9, bench.now)
        assert answer(bench.site.discover(mac(7), o50=wire.addresses(address))).yiaddr != address
    assert bench.stored == []
    assert bench.site.lease() == address
    bench.pool.release(record, bench.now)
    bench.table.clear()
    bench.look()
    assert address in bench.pool.upcoming(9, bench.now)


def test_a_stale_cache_holds_no_pool(large: Bench) -> None:
    """A wireless controller answers for clients that left: for half at most, and no newcomer is refused."""
    for number in range(100):
        large.table[wire.dotted(large.site.lease(mac(number)))] = neighbours.IN_USE, mac(number)
    large.now = large.site.now = large.site.now + 3601
    large.look(100)
    large.site.now = large.now
    assert len(large.pool.kept(large.now)) == 50
    assert len({large.site.lease(mac(1000 + number)) for number in range(100)}) == 100


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Return a bench with a hundred addresses."""
    made = Bench(monkeypatch, ".50-.149")
    yield made
    made.prober.close()
    made.loop.close()


def test_a_machine_that_answers_for_every_address(large: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Proxy ARP emptied the pool. Such answers are evidence of nothing.

    What they caused is undone, on the disk too, and said once.
    """
    large.answer_for_all()
    large.look(100)
    assert large.pool.quarantined(large.now) == []
    assert {lease.address for lease in large.stored} == {ip(f".{50 + n}") for n in range(TOO_MANY - 1)}
    assert all(lease.expires < large.now for lease in large.stored)
    assert capsys.readouterr().err.count("52:54:00:00:00:42 answers for any address on eth0 (10.0.0.5") == 1
    large.site.now = large.now
    assert large.site.lease() == ip(".53")


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_machines_with_addresses_of_their_own_cost_these(large: Bench, count: int) -> None:
    for number in range(count):
        large.table[f"10.0.0.{50 + number}"] = neighbours.IN_USE, mac(500 + number)
    large.look(60)
    assert large.pool.quarantined(large.now) == [ip(f".{50 + number}") for number in range(count)]


def test_a_host_that_answers_as_somebody_else_each_time(
    large: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing tells it from many machines; at most half of the addresses are left to it."""
    large.table = {f"10.0.0.{n}": (neighbours.IN_USE, mac(1000 + n)) for n in range(255)}
    for number in range(50):
        large.look(4)
        large.site.now = large.now
        large.site.lease(mac(number))
    assert len(large.pool.quarantined(large.now)) == 50
    assert capsys.readouterr().err.count("half of the addresses on eth0 are in use") == 1
    assert len(large.prober._answers) <= MAX_WITNESSES
    assert len(large.prober._asked) <= AT_ONCE


def test_quarantine_ends_before_anybody_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Addresses are looked at again when few are left: that somebody declined them is long ago."""
    for address in (ip(".10"), ip(".11")):
        bench.pool.quarantine(address, 86400, bench.now)
    assert len(bench.pool.upcoming(SCARCE, bench.now)) < SCARCE
    bench.look(5)
    assert bench.pool.quarantined(bench.now) == []
    assert [lease.address for lease in bench.stored] == [ip(".10"), ip(".11")]
    assert "10.0.0.10 is not in use any more: it may be leased again" in capsys.readouterr().err


def test_what_is_still_in_use_stays_in_quarantine(bench: Bench) -> None:
    """It is asked for no more than once a minute, and the quarantine is not made longer by that."""
    bench.pool.quarantine(ip(".10"), 86400, bench.now)
    ends = bench.now + 86400
    bench.table["10.0.0.10"] = neighbours.IN_USE, STRANGER
    bench.look(120)
    assert bench.asked.count("10.0.0.10") in {2, 3}
    (address,) = bench.pool.quarantined(bench.now)
    record = bench.pool.holder(address)
    assert record is not None
    assert (record.expires, record.conflicts) == (ends, 1)


def test_quarantine_is_left_alone_while_there_are_addresses(large: Bench) -> None:
    large.pool.quarantine(ip(".60"), 86400, large.now)
    large.look(60)
    assert "10.0.0.60" not in large.asked


def test_what_was_quarantined_before_a_restart_counts_as_evidence_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine that answers for all is found out although its victims are from an earlier run."""
    bench = Bench(monkeypatch, ".10-.13")
    for number in range(10, 14):
        bench.pool.quarantine(ip(f".{number}"), 86400, bench.now)
    bench.answer_for_all()
    bench.look()
    assert bench.pool.quarantined(bench.now) == []
    bench.prober.close()
    bench.loop.close()


def test_what_cannot_be_asked_is_leased_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **more: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(net, "send_from", fails)
    bench.tick()
    bench.tick(LOOK)
    assert bench.site.lease() == ip(".10")


# The neighbour table as the kernel sends it


def newneigh(state: int, hardware: bytes | None) -> bytes:
    """Return an RTM_NEWNEIGH message, an address before the hardware address."""
    body = struct.pack("=BxxxiHBB", 2, 7, state, 0, 1) + struct.pack("=HH4s", 8, 1, b"\n\0\0\1")
    if hardware is not None:
        body += struct.pack("=HH", 4 + len(hardware), 2) + hardware + b"\0\0"
    return struct.pack("=IHHII", 16 + len(body), 28, 0, 1, 0) + body


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (newneigh(2, STRANGER), (neighbours.IN_USE, STRANGER)),
        (newneigh(128, STRANGER), (neighbours.IN_USE, STRANGER)),
        (newneigh(4, STRANGER), (neighbours.ASKING, STRANGER)),
        (newneigh(8, STRANGER), (neighbours.ASKING, STRANGER)),
        (newneigh(16, STRANGER), (neighbours.ASKING, STRANGER)),
        (newneigh(1, None), (neighbours.ASKING, b"")),
        (newneigh(32, None), (neighbours.UNUSED, b"")),
        (struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -2), (neighbours.UNUSED, b"")),  # ENOENT
        (b"", (neighbours.UNUSED, b"")),
        (newneigh(2, STRANGER)[:30], (neighbours.IN_USE, b"")),
    ],
)
def test_states_of_a_neighbour(answer: bytes, found: tuple[str, bytes]) -> None:
    assert neighbours._read(answer) == found
