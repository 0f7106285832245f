"""How much one client, and all of them, may ask: counted by address, and bounded itself."""

from __future__ import annotations

from ptftpd.tftp import limits
from ptftpd.tftp.limits import Limits


class Running:
    """A transfer, whose client has answered or not."""

    def __init__(self, *, answered: bool = True) -> None:
        self.answered = answered


def test_transfers() -> None:
    """Of all and of each, up to the bounds; what ended makes room."""
    bounds: Limits[Running] = Limits(3, 2, 100)
    one, two, other = Running(), Running(), Running()
    for client, transfer in (("a", one), ("a", two), ("b", other)):
        assert bounds.busy(client) == ""
        bounds.begin(client, transfer)
    assert "try again later" in bounds.busy("c")
    bounds.end("b", other)
    assert "2 transfers to this address" in bounds.busy("a")
    assert bounds.busy("c") == ""
    bounds.end("a", one)
    assert bounds.busy("a") == ""
    bounds.end("a", two)
    assert bounds.running == 0


def test_what_is_in_the_way() -> None:
    """The oldest that was never answered: of the client that has too many, else of all; nothing before."""
    bounds: Limits[Running] = Limits(4, 2, 100)
    running, first, second, third = Running(), *(Running(answered=False) for _ in range(3))
    for client, transfer in (("a", running), ("b", first), ("b", second)):
        assert bounds.in_the_way(client) is None
        bounds.begin(client, transfer)
    assert bounds.in_the_way("a") is None
    assert bounds.in_the_way("b") is first
    first.answered = True
    assert bounds.in_the_way("b") is second
    bounds.begin("c", third)
    assert bounds.in_the_way("a") is second
    bounds.end("b", second)
    bounds.begin("d", Running())
    assert bounds.in_the_way("a") is third
    third.answered = True
    assert bounds.in_the_way("a") is None


def test_the_rate() -> None:
    """As many in a burst as in a second, then one whenever its share of a second has passed; by client."""
    bounds: Limits[Running] = Limits(1, 1, 4)
    assert [bounds.too_fast("a", 0.0) for _ in range(6)] == [False] * 4 + [True] * 2
    assert not bounds.too_fast("b", 0.0)
    assert [bounds.too_fast("a", 0.25), bounds.too_fast("a", 0.25)] == [False, True]
    assert [bounds.too_fast("a", 9.0) for _ in range(5)] == [False] * 4 + [True], "nothing is saved up"


def test_a_flood_of_addresses_takes_no_memory() -> None:
    """Forged ones fill the table up to its bound, and then it starts anew."""
    bounds: Limits[Running] = Limits(1, 1, 4)
    for number in range(limits.MAX_CLIENTS * 2 + 10):
        assert not bounds.too_fast(str(number), 0.0)
        assert len(bounds._allowance) <= limits.MAX_CLIENTS


def test_other_bounds() -> None:
    """A reload changes them; what runs is counted on."""
    bounds: Limits[Running] = Limits(1, 1, 1)
    bounds.begin("a", Running())
    assert bounds.busy("b")
    bounds.change(2, 1, 1)
    assert not bounds.busy("b")
    bounds.change(0, 0, 1)
    assert bounds.busy("b")
