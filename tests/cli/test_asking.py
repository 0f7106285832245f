"""The rounds of asking, on a fake clock: patience goes round the guesses, and is used up once."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from ptftpd.client import asking, attempt
from ptftpd.client.channel import Channel
from ptftpd.client.job import Watch
from ptftpd.client.probe import probe
from ptftpd.client.settings import Settings
from ptftpd.client.transfer import Client, Server
from ptftpd.tftp import wire
from ptftpd.tftp.outcome import Failure

A, B, C = "192.0.2.1", "2001:db8::1", "192.0.2.3"
LOADER = 10.0  # seconds that a boot loader listens for


@dataclass
class World:
    """A network in which nobody answers, and its clock."""

    now: float = 0.0
    asked: list[tuple[float, str, bool, int]] = field(default_factory=list)  # when, whom, with options?, port
    options: list[dict[str, str]] = field(default_factory=list)
    open: int = 0
    ports: int = 0
    sources: Callable[[float], str] = lambda now: "192.0.2.2"
    trouble: Callable[[float, str], int] = lambda now, address: 0  # an errno of connect()

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds

    def source(self, address: str) -> str:
        """Return the source of the route."""
        if number := self.trouble(self.now, address):
            raise OSError(number, "no")
        return self.sources(self.now)

    def channel(self, address: str, port: int, **how: object) -> Silence:
        """Return a new port."""
        source = self.source(address)
        self.open += 1
        self.ports += 1
        return Silence(self, address, source, self.ports)


class Silence(Channel):
    """A port that hears nothing."""

    carried, source = 1472, ""

    def __init__(self, world: World, address: str, source: str, number: int) -> None:
        self._world, self.address, self.source, self._number = world, address, source, number

    def room(self, segment: int) -> int:
        """Return enough."""
        return 64

    def ask(self, request: bytes) -> None:
        """Note it."""
        self._world.options.append(wire.request(request)[3])
        plain = not self._world.options[-1]
        self._world.asked.append((self._world.now, self.address, not plain, self._number))

    def receive(self) -> tuple[int, int]:
        """Wait."""
        self._world.now += 0.05
        return 0, 1

    def receive_at_once(self) -> tuple[int, int]:
        """Do not wait."""
        return 0, 1

    def close(self) -> None:
        """Give it up."""
        self._world.open -= 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the network that the client is in."""
    world = World()
    for module in (asking, attempt):
        monkeypatch.setattr(module, "monotonic", lambda: world.now)
    monkeypatch.setattr(asking, "sleep", world.sleep)
    monkeypatch.setattr(asking, "source", world.source)
    monkeypatch.setattr(asking, "Channel", world.channel)
    return world


def put(world: World, *addresses: str, **settings: object) -> Failure:
    """Try to put a file; return why that failed."""
    client = Client(Settings(**settings))  # type: ignore[arg-type]
    result = client.put(Server("server", 69, addresses), "a", lambda views, offset: 0, 5)
    assert isinstance(result.outcome, Failure)
    assert world.open == 0
    return result.outcome


def patience(retries: int, timeout: float | None) -> float:
    """Return the time that a request takes to be repeated so often and given up."""
    if timeout:
        return (retries + 1) * timeout
    return sum(min(2.0**n, 8.0) for n in range(retries + 1))


@pytest.mark.parametrize("addresses", [(A,), (A, B), (A, B, C)])
@pytest.mark.parametrize("retries", [0, 2, 6, 20, 60])
@pytest.mark.parametrize("timeout", [None, 0.2, 1.0, 2.0])
def test_patience_is_used_up_once(
    addresses: tuple[str, ...], retries: int, timeout: float | None, world: World
) -> None:
    """However many guesses there are: it lasts as long as one would, or one turn of each."""
    failure = put(world, *addresses, retries=retries, timeout=timeout)
    assert failure.reason == "there is no answer"
    guesses = [(address, form) for form in (True, False) for address in addresses]
    assert {(address, form) for _, address, form, _ in world.asked} == set(guesses)
    turns = len(addresses) * (asking.TURN + 2 * (timeout or 1.0))
    assert world.now <= max(patience(retries, timeout) + asking.TURN, turns + 0.5)
    assert world.now >= patience(retries, timeout)


@pytest.mark.parametrize(
    ("timeout", "addresses"), [*((timeout, (A,)) for timeout in (None, 0.2, 1.0, 2.0, 5.0)), (2.0, (A, B))]
)
def test_a_boot_loader_is_asked_whatever_it_wants(
    addresses: tuple[str, ...], timeout: float | None, world: World
) -> None:
    """Whenever it begins to listen for some seconds: each guess is tried while it does.

    With one address, that is; with two, which are two ways to it, one of the addresses at least.
    """
    put(world, *addresses, retries=60, timeout=timeout)
    for form in (True, False):
        times = [when for when, _, asked, _ in world.asked if asked == form]
        gaps = [later - earlier for earlier, later in pairwise([0.0, *times])]
        assert max(gaps) <= LOADER + 0.5, form


@pytest.mark.parametrize("blksize", [8, 512, 1468, 3968, 8968, 65464])
def test_a_window_that_is_put_waits_in_any_socket(blksize: int, world: World) -> None:
    """It is what a socket holds whose buffer nobody has set, no more and not much less."""
    put(world, A, blksize=blksize)
    windows = {options.get("windowsize", "1") for options in world.options}
    window = int(max(windows, key=int))
    assert window * blksize <= attempt.PEER_BUFFER // 2 or window == 1
    assert (window + 1) * (blksize + 1000) > attempt.PEER_BUFFER // 2 or window == attempt.WINDOW


@pytest.mark.parametrize(("retries", "timeout"), [(None, None), (20, 1.0), (6, None), (100, 2.0)])
def test_the_next_address_has_its_turn_soon(retries: int | None, timeout: float | None, world: World) -> None:
    """After some seconds (RFC 8305), not after all retries with the first."""
    put(world, A, B, retries=retries, timeout=timeout)
    assert next(when for when, address, *_ in world.asked if address == B) < asking.TURN + 1.5


def test_the_default(world: World) -> None:
    """Twice with options, once without, and so on for 14 s: as requests that are lost would be repeated."""
    put(world, A)
    assert [(round(when), form) for when, _, form, _ in world.asked] == [
        (0, True), (1, True), (3, False), (4, True), (5, True), (7, False),
        (8, True), (9, True), (11, False), (12, True), (13, True),
    ]  # fmt: skip
    assert len({port for *_, port in world.asked}) == 2


def test_rfc1350_alone(world: World) -> None:
    """With a single guess the time between two requests doubles, up to 8 s."""
    put(world, A, rfc1350=True, retries=5)
    assert [round(when) for when, *_ in world.asked] == [0, 1, 3, 7, 15, 23]


def test_a_route_that_changes(world: World) -> None:
    """A cable has its address late: from then on requests leave with that one, from a new port."""
    world.sources = lambda now: "203.0.113.9" if now < 5 else "192.0.2.2"
    put(world, A, retries=20, timeout=1.0)
    before = {port for when, *_, port in world.asked if when < 5}
    assert before.isdisjoint({port for when, *_, port in world.asked if when >= 5})
    assert world.ports == 4


NOT_YET = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EPERM)


@pytest.mark.parametrize("number", NOT_YET)
def test_no_route_yet(number: int, world: World) -> None:
    """With a number of retries it is waited for; the first request goes out when there is one."""
    world.trouble = lambda now, address: number if now < 5 else 0
    put(world, A, retries=20, timeout=1.0)
    assert 5 <= world.asked[0][0] < 7


@pytest.mark.parametrize("number", [*NOT_YET, errno.EINVAL])
def test_no_route_at_all(number: int, world: World) -> None:
    """Without one it is said at once, and another address is tried."""
    world.trouble = lambda now, address: number if address == A else 0
    assert put(world, A, B).reason == "there is no answer"
    assert world.asked[0] == (0.0, B, True, 1)
    world.trouble = lambda now, address: number
    began = world.now
    assert put(world, A) == asking.unreachable(OSError(number, "no"))
    assert world.now == began


def test_what_no_waiting_mends(world: World) -> None:
    """An address that misses its interface is told at once, whatever the retries."""
    world.trouble = lambda now, address: errno.EINVAL
    put(world, A, retries=1000, timeout=1.0)
    assert world.now == 0


def test_a_probe_goes_round_the_addresses(world: World) -> None:
    """Nobody answers: each was asked, in turns."""
    report = probe(Server("server", 69, (A, B)), "a", Settings(), Watch())
    assert report.outcome == Failure(wire.UNDEFINED, "there is no answer")
    assert [address for _, address, *_ in world.asked[:4]] == [A, B, A, B]
    assert world.open == 0
