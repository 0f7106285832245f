"""How much one client, and all of them, may ask: counted by client, the least proven first."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from ptftpd import neighbours
from ptftpd.tftp import rates, sources
from ptftpd.tftp.limits import ADMITTED, HINDMOST, LOOK_EVERY, ONCE, REFUSED, RESERVE, STALLED, Limits
from ptftpd.tftp.sources import Sources


class Running:
    """A transfer, whose client has answered or not."""

    def __init__(self, *, answered: bool = True, heard: float = 0.0, octets: int = 0) -> None:
        self.answered, self.heard, self.octets = answered, heard, octets


def test_transfers() -> None:
    """Of all and of each, up to the bounds; what ended makes room."""
    bounds: Limits[Running] = Limits(3, 2, 100)
    one, two, other = Running(), Running(), Running()
    for client, transfer in (("a", one), ("a", two), ("b", other)):
        assert bounds.busy(client) == ""
        bounds.begin(client, transfer)
    assert "try again later" in bounds.busy("c")
    bounds.end(other)
    assert "2 transfers to this address" in bounds.busy("a")
    assert bounds.busy("c") == ""
    bounds.end(one)
    assert bounds.busy("a") == ""
    bounds.end(two)
    assert bounds.running == 0


def test_what_is_in_the_way() -> None:
    """The oldest that was never answered: of the client that has too many, else of all; nothing before."""
    bounds: Limits[Running] = Limits(4, 2, 100)
    running, first, second, third = Running(), *(Running(answered=False) for _ in range(3))
    for client, transfer in (("a", running), ("b", first), ("b", second)):
        assert bounds.in_the_way(client, 0.0) is None
        bounds.begin(client, transfer)
    assert bounds.in_the_way("a", 0.0) is None
    assert bounds.in_the_way("b", 0.0) is first
    first.answered = True
    assert bounds.in_the_way("b", 0.0) is second
    bounds.begin("c", third)
    assert bounds.in_the_way("a", 0.0) is second
    bounds.end(second)
    bounds.begin("d", Running())
    assert bounds.in_the_way("a", 0.0) is third
    third.answered = True
    assert bounds.in_the_way("a", 0.0) is None


@pytest.mark.parametrize("full", ["all", "one client"])
def test_what_stands_still_gives_way(full: str) -> None:
    """When all were answered: first what has done least, never what goes on; each is found, one by one."""
    bounds: Limits[Running] = Limits(300, 300 if full == "one client" else 1000, 100)
    transfers = [Running(heard=(number % 3) * STALLED, octets=number) for number in range(300)]
    random.Random(1).shuffle(transfers)
    for number, transfer in enumerate(transfers):
        bounds.begin("a" if full == "one client" else str(number % 7), transfer)
    now, gone = 2 * STALLED, []
    while least := bounds.in_the_way("a" if full == "one client" else "new", now):
        gone.append(least)
        bounds.end(least)
        bounds.begin("a" if full == "one client" else "new", Running(heard=now))
        now += 1.01 * LOOK_EVERY / HINDMOST
    assert [each.octets for each in gone] == [number for number in range(300) if number % 3 < 2]


def test_a_flood_of_newcomers_does_not_look_at_all_of_them_each_time() -> None:
    """A look at thousands of transfers takes a millisecond: there is one in LOOK_EVERY at most."""

    class Watched(Running):
        looks = 0

        @property
        def heard(self) -> float:
            Watched.looks += 1
            return 0.0

        @heard.setter
        def heard(self, when: float) -> None:
            pass

    bounds: Limits[Running] = Limits(1000, 1000, 100)
    for _ in range(1000):
        bounds.begin("a", Watched())
    for _ in range(1000):
        assert bounds.in_the_way("b", STALLED / 2) is None
    assert Watched.looks == 1000


def test_the_rate() -> None:
    """As many in a burst as in a second, then one whenever its share of a second has passed; by client."""
    bounds: Limits[Running] = Limits(1, 1, 4)
    assert [bounds.too_fast("a", 0.0) for _ in range(6)] == [False] * 4 + [True] * 2
    assert not bounds.too_fast("b", 0.0)
    assert [bounds.too_fast("a", 0.25), bounds.too_fast("a", 0.25)] == [False, True]
    assert [bounds.too_fast("a", 9.0) for _ in range(5)] == [False] * 4 + [True], "nothing is saved up"


@pytest.mark.parametrize("forged", [1000, 3000])
def test_a_clients_own_requests_among_forged_ones(forged: int) -> None:
    """From any port, for the file that it asks for as well: all that it asks again a second later is served.

    What is answered to all of them stays within what request_rate and RESERVE allow.
    """
    chance, rate = random.Random(forged), 200
    bounds: Limits[Running] = Limits(1, 1, rate)
    served, answered, seconds = 0, 0, 20
    for second in range(seconds):
        for step in range(forged):
            now = 100.0 + second + step / forged
            answered += bounds.admit("a", (chance.randrange(1024, 65536), b"file"), now) != REFUSED
            if step == forged // 2:
                own = second // 4, b"file"  # asked each second until it is served: at most thrice again
                verdict = bounds.admit("a", own, now)
                served |= (verdict != REFUSED) << second // 4
    assert served == (1 << seconds // 4) - 1
    assert answered <= (1 + seconds) * rate * (1 + RESERVE)


def test_what_is_asked_again() -> None:
    """Above the rate: not at once, which the network does, but then; and not sent again."""
    bounds: Limits[Running] = Limits(1, 1, 1)
    assert bounds.admit("a", "first", 10.0) == ADMITTED
    assert [bounds.admit("a", "own", when) for when in (10.0, 10.05)] == [REFUSED, REFUSED]
    assert bounds.admit("b", "own", 10.2) == ADMITTED, "another client's own"
    assert bounds.admit("a", "other", 10.2) == REFUSED
    assert bounds.admit("a", "own", 10.2) == ONCE
    assert bounds.admit("a", "other", 10.2) == REFUSED


def test_a_flood_takes_no_memory() -> None:
    """Whatever addresses and requests are forged: two tables of a fixed size, and no more."""
    bounds: Limits[Running] = Limits(1, 1, 1)
    tracemalloc.start()
    try:
        for number in range(200_000):
            bounds.admit(str(number % 70_000), number, number / 100_000)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 10_000
    for each in (bounds._requests._full_at, bounds._reserve._full_at, bounds._repetitions._seen):
        assert len(each) == rates.PLACES


def test_other_bounds() -> None:
    """A reload changes them; what runs is counted on."""
    bounds: Limits[Running] = Limits(1, 1, 1)
    bounds.begin("a", Running())
    assert bounds.busy("b")
    bounds.change(2, 1, 1)
    assert not bounds.busy("b")
    bounds.change(0, 0, 1)
    assert bounds.busy("b")


MAC = bytes.fromhex("525400123456")


class TestSources:
    """Of IPv6 a client is its network, unless the kernel has a neighbour entry of its address."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
        """Return what the neighbour table was asked for; it knows addresses that end in 1."""
        asked: list[tuple[str, int]] = []

        def entry(address: str, ifindex: int) -> tuple[str, bytes]:
            asked.append((address, ifindex))
            if address.endswith("2"):
                return neighbours.ASKING, b""  # it does not answer
            return (neighbours.ASKING, MAC) if address.endswith("1") else (neighbours.UNUSED, b"")

        monkeypatch.setattr(neighbours, "entry", entry)
        return asked

    @pytest.mark.parametrize(
        ("address", "counted"),
        [
            ("192.0.2.1", "192.0.2.1"), ("2001:db8:0:1::1", "2001:db8:0:1::1"), ("fe80::1%3", "fe80::1%3"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"), ("2001:db8::2", "2001:db8::/64"),
            ("fe80::7%3", "fe80::/64%3"),
        ],
    )  # fmt: skip
    def test_of(self, asked: list[tuple[str, int]], address: str, counted: str) -> None:
        found = Sources()
        for now in (1.0, 2.0):
            assert found.of(address, 3, now) == counted
        assert {index for _, index in asked} <= {3}
        if address.endswith("1"):
            assert len(asked) == (1 if ":" in address else 0), "a neighbour is remembered for a while"

    def test_the_look_ups_are_bounded(self, asked: list[tuple[str, int]]) -> None:
        """However many addresses are forged: then they count as their network; known neighbours do not."""
        found = Sources()
        found.of("2001:db8::1", 3, 1.0)
        for number in range(5 * sources.LOOKUPS):
            found.of(f"2001:db8::{number:x}", 3, 1.0)
        assert len(asked) == sources.LOOKUPS
        assert found.of("2001:db8::1", 3, 1.0) == "2001:db8::1"

    def test_the_table_of_neighbours_is_bounded(self, asked: list[tuple[str, int]]) -> None:
        found = Sources()
        for number in range(3 * sources.KNOWN):
            found.of(f"2001:db8::{number:x}:1", 3, float(number))
        assert len(found._known) <= sources.KNOWN
