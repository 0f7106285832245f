"""Option negotiation: RFC 2347, 2348, 2349 and 7440."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.tftp.options import KNOWN, Limits, Terms, accept, negotiate
from tests.wire import vectors

NUMBERS = st.one_of(st.integers(-2, 70000), st.integers(0, 1 << 70)).map(str)
VALUES = st.one_of(NUMBERS, st.text(max_size=8))
ASKED = st.dictionaries(st.sampled_from([*KNOWN, "multicast", "rollover", ""]), VALUES)
LIMITS = st.builds(
    Limits,
    blksize=st.integers(8, 65464),
    windowsize=st.integers(1, 65535),
    window=st.integers(1, 1 << 20),
    refuse=st.frozensets(st.sampled_from(KNOWN), max_size=2),
)
SIZES = st.one_of(st.none(), st.integers(0, 1 << 40))


@pytest.mark.parametrize("vector", vectors.load("tftp/negotiations.json"))
def test_negotiation(vector: dict[str, Any]) -> None:
    """What a server grants; each vector names its clause."""
    given_limits = dict(vector.get("limits", {}))
    if "refuse" in given_limits:
        given_limits["refuse"] = frozenset(given_limits["refuse"])
    writing = vector.get("writing", False)
    terms = negotiate(vector["asked"], Limits(**given_limits), size=vector["size"], writing=writing)
    assert list(terms.granted) == list(vector["granted"].items())
    for name, value in vector.get("terms", {}).items():
        assert getattr(terms, name) == value, name


@pytest.mark.parametrize("vector", vectors.load("tftp/answers.json"))
def test_answer(vector: dict[str, Any]) -> None:
    """What a client makes of an OACK; each vector names its clause."""
    if "error" in vector:
        with pytest.raises(ValueError, match=r"\w"):
            accept(vector["asked"], vector["answered"])
        return
    terms = accept(vector["asked"], vector["answered"])
    for name, value in vector["terms"].items():
        assert getattr(terms, name) == value, name


def test_without_options() -> None:
    """RFC 1350: without options a block has 512 octets and every one is acknowledged."""
    assert Terms() == Terms(blksize=512, windowsize=1, timeout=None, tsize=None, granted=())


@given(asked=ASKED, limits=LIMITS, size=SIZES, writing=st.booleans())
def test_any_request(asked: dict[str, str], limits: Limits, size: int | None, writing: bool) -> None:
    """Only what was asked for is granted, in that order, never more than asked or than the limits allow."""
    terms = negotiate(asked, limits, size=size, writing=writing)
    granted = dict(terms.granted)
    assert list(granted) == [name for name in asked if name in granted]
    assert not set(granted) & limits.refuse
    assert set(granted) <= set(KNOWN)
    if "blksize" in granted:
        assert 8 <= int(granted["blksize"]) == terms.blksize <= min(int(asked["blksize"]), limits.blksize)
    else:
        assert terms.blksize == 512
    if "windowsize" in granted:
        assert 1 <= int(granted["windowsize"]) == terms.windowsize
        assert terms.windowsize <= min(int(asked["windowsize"]), limits.windowsize)
        assert terms.windowsize == 1 or terms.windowsize * terms.blksize <= limits.window
    else:
        assert terms.windowsize == 1
    if "timeout" in granted:
        assert 1 <= int(asked["timeout"]) == terms.timeout <= 255
        assert int(granted["timeout"]) == terms.timeout
    else:
        assert terms.timeout is None
    if "tsize" in granted:
        assert int(granted["tsize"]) == (int(asked["tsize"]) if writing else size) == terms.tsize


@given(asked=ASKED, limits=LIMITS, size=SIZES)
def test_both_ends_agree(asked: dict[str, str], limits: Limits, size: int | None) -> None:
    """The client takes every OACK of ours, and comes to the same terms (RFC 2347, Negotiation Protocol)."""
    server = negotiate(asked, limits, size=size)
    client = accept(asked, dict(server.granted))
    assert (client.blksize, client.windowsize, client.timeout) == (
        server.blksize,
        server.windowsize,
        server.timeout,
    )
    assert client.tsize == (server.tsize if "tsize" in dict(server.granted) else None)


@given(
    asked=st.fixed_dictionaries(
        {},
        optional={
            "blksize": st.integers(8, 65464).map(str),
            "tsize": st.just("0"),
            "timeout": st.integers(1, 255).map(str),
            "windowsize": st.integers(1, 65535).map(str),
        },
    ),
    answered=ASKED,
)
def test_any_answer(asked: dict[str, str], answered: dict[str, str]) -> None:
    """Whatever a server answers is either refused or keeps to what was asked."""
    try:
        terms = accept(asked, answered)
    except ValueError:
        return
    assert set(answered) <= set(asked)
    assert 8 <= terms.blksize <= 65464
    assert 1 <= terms.windowsize <= 65535
    assert terms.timeout is None or 1 <= terms.timeout <= 255
    assert terms.tsize is None or terms.tsize >= 0
