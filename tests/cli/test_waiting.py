"""Waiting awake or asleep: the faster of both is found, and found again when that changes."""

from __future__ import annotations

import pytest

from ptftpd.client.waiting import EXPLORE, ROUND, Waiting

RECEPTIONS = 200 * ROUND


def receive(waiting: Waiting, awake: float, asleep: float, now: float = 0.0) -> tuple[float, float]:
    """Return (share of receptions awake, time at the end) when each takes so many seconds."""
    count = 0
    for _ in range(RECEPTIONS):
        count += waiting.awake
        now += awake if waiting.awake else asleep
        waiting.received(now)
    return count / RECEPTIONS, now


@pytest.mark.parametrize(
    ("awake", "asleep", "mostly_awake"),
    [
        (20e-6, 40e-6, True),  # one cable away
        (40e-6, 20e-6, False),  # a processor for two
        (0.01, 0.01, False),  # far away: no reason to keep a processor busy
    ],
)
def test_the_faster_way(awake: float, asleep: float, *, mostly_awake: bool) -> None:
    """The other one is tried now and then only."""
    share, _ = receive(Waiting(0.0), awake, asleep)
    seldom = 2 / EXPLORE
    assert 0 < (1 - share if mostly_awake else share) < seldom


def test_it_changes_its_mind() -> None:
    """When another program comes to want the processor, and when it goes."""
    waiting, now = Waiting(0.0), 0.0
    for awake, asleep, mostly_awake in ((20e-6, 40e-6, True), (80e-6, 40e-6, False), (20e-6, 40e-6, True)):
        share, now = receive(waiting, awake, asleep, now)
        assert (share > 0.5) == mostly_awake
