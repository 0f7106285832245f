"""How much each of very many keys may do a second, in a fixed amount of memory.

Keys, such as client addresses, are made up by strangers at will, so nothing is stored for each: a key has a
place in a table of fixed size by its hash, which Python salts, so that nobody can aim at another's place. Two
that share a place share its rate; to a table of PLACES that happens seldom, and it harms only for a moment.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable

PLACES = 1 << 16  # half a megabyte for each table, whatever comes
SLACK = 1e-9  # seconds: sums of shares of a second are not exact


class Rates:
    """Token buckets, one for each key, kept as the time at which the bucket will be full again."""

    def __init__(self, rate: float, burst: float) -> None:
        """rate: tokens that come in a second; burst: tokens that a full bucket has."""
        self.rate, self.burst = rate, burst
        self._full_at: array[float] = array("d", bytes(8 * PLACES))

    def wait(self, key: Hashable, tokens: float, now: float) -> float:
        """Take tokens if they are there and return 0; else take none, return the seconds until they are."""
        place = hash(key) % PLACES
        full_at = max(self._full_at[place], now) + tokens / self.rate
        missing = full_at - now - self.burst / self.rate
        if missing > SLACK:
            return missing
        self._full_at[place] = full_at
        return 0.0


class Repetitions:
    """Tells what comes again after a while from what comes for the first time; it may forget."""

    def __init__(self, soon: float, late: float) -> None:
        """soon: seconds within which the same is a copy that the network made; late: it is forgotten then."""
        self._soon, self._late = soon, late
        self._seen: array[int] = array("Q", bytes(8 * PLACES))  # 32 bits of the hash, 32 of milliseconds

    def again(self, key: Hashable, now: float) -> bool:
        """Note that it came, and return whether it had come before, neither just now nor long ago."""
        mark = hash(key) & 0xFFFFFFFFFFFF
        place, rest, clock = mark % PLACES, mark // PLACES, int(now * 1000) & 0xFFFFFFFF
        seen = self._seen[place]
        age = (clock - (seen & 0xFFFFFFFF)) & 0xFFFFFFFF if seen >> 32 == rest else 0
        if age < self._soon * 1000 and seen >> 32 == rest:
            return False  # the time of the first copy counts
        self._seen[place] = rest << 32 | clock
        return 0 < age <= self._late * 1000
