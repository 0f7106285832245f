"""Looking ahead for addresses in use, with a neighbour table and a clock that the tests set."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from ptftpd import neighbours, net
from ptftpd.dhcp import wire
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.prober import AHEAD, GOOD, IDLE, LOOK, PATIENCE, Prober
from ptftpd.log import Log
from ptftpd.loop import Loop
from ptftpd.settings import Dhcp
from tests.machine.dhcp_site import MAC, NETWORK, OWN, Site, ip, mac, ranges

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


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.prober.close()
    made.loop.close()


def test_what_comes_next_is_looked_at_at_once(bench: Bench) -> None:
    bench.tick()
    assert bench.asked == ["10.0.0.10", "10.0.0.11", "10.0.0.12"]
    assert bench.prober.deadline == bench.now + LOOK
    bench.tick(LOOK)
    assert bench.prober.deadline == bench.now + IDLE


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
    bench.tick()
    for _ in range(int(GOOD / IDLE) - 1):
        bench.tick(IDLE)
    assert len(bench.asked) == 3
    bench.tick(2 * IDLE)
    assert len(bench.asked) == 6


def test_the_kernel_takes_its_time(bench: Bench) -> None:
    """Three seconds for a new address, eight for one with an old entry; then it counts as free."""
    bench.table["10.0.0.10"] = neighbours.ASKING, STRANGER
    bench.tick()
    for _ in range(int(PATIENCE)):
        bench.tick(LOOK - 0.01)
        assert bench.prober.deadline == bench.now + LOOK
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
    """Never more than a few at a time."""
    bench = Bench(monkeypatch, ".10-.99")
    bench.tick()
    assert len(bench.asked) == AHEAD
    bench.tick(LOOK)
    for number in range(3):
        bench.site.lease(mac(number))
    bench.prober.hurry(bench.now)
    assert bench.prober.deadline == bench.now + LOOK
    bench.tick(LOOK)
    assert len(bench.asked) == AHEAD + 3
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
