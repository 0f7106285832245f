"""How much one client, and all of them, may ask: counted by address, and bounded itself."""

from __future__ import annotations

from ptftpd.tftp import limits
from ptftpd.tftp.limits import Limits


def test_transfers() -> None:
    """Of all and of each, up to the bounds; what ended makes room."""
    bounds = Limits(3, 2, 100)
    for client in ("a", "a", "b"):
        assert bounds.busy(client) == ""
        bounds.begin(client)
    assert "try again later" in bounds.busy("c")
    bounds.end("b")
    assert "2 transfers to this address" in bounds.busy("a")
    assert bounds.busy("c") == ""
    bounds.end("a")
    assert bounds.busy("a") == ""
    bounds.end("a")
    assert bounds.running == 0


def test_the_rate() -> None:
    """As many in a burst as in a second, then one whenever its share of a second has passed; by client."""
    bounds = Limits(1, 1, 4)
    assert [bounds.too_fast("a", 0.0) for _ in range(6)] == [False] * 4 + [True] * 2
    assert not bounds.too_fast("b", 0.0)
    assert [bounds.too_fast("a", 0.25), bounds.too_fast("a", 0.25)] == [False, True]
    assert [bounds.too_fast("a", 9.0) for _ in range(5)] == [False] * 4 + [True], "nothing is saved up"


def test_a_flood_of_addresses_takes_no_memory() -> None:
    """Forged ones fill the table up to its bound, and then it starts anew."""
    bounds = Limits(1, 1, 4)
    for number in range(limits.MAX_CLIENTS * 2 + 10):
        assert not bounds.too_fast(str(number), 0.0)
        assert len(bounds._allowance) <= limits.MAX_CLIENTS


def test_other_bounds() -> None:
    """A reload changes them; what runs is counted on."""
    bounds = Limits(1, 1, 1)
    bounds.begin("a")
    assert bounds.busy("b")
    bounds.change(2, 1, 1)
    assert not bounds.busy("b")
    bounds.change(0, 0, 1)
    assert bounds.busy("b")
