"""Whether to wait for the next datagram awake or asleep: as was faster lately. No I/O, no clock.

In lock-step on one cable most of the time goes by with waking up: the server has answered before a sleeping
client runs again, and awake it is up to twice as fast. But awake it is slower where both, or others too, want
the same processor, and it gains nothing where the way is long. So both are tried.
"""

from __future__ import annotations

ROUND = 64  # receptions between two decisions
EXPLORE = 32  # rounds after which the other way is tried for one
GAIN = 0.95  # of the time asleep, to be worth a processor
MEMORY = 0.5  # weight of the last round


class Waiting:
    """awake: whether to try again and again for a while before sleeping."""

    __slots__ = ("_began", "_chosen", "_left", "_pace", "_rounds", "awake")

    def __init__(self, now: float) -> None:
        """now: in seconds, as in received()."""
        self.awake = self._chosen = True
        self._began = now
        self._left = ROUND
        self._rounds = 0
        self._pace: dict[bool, float] = {}  # awake -> seconds that a round takes

    def received(self, now: float) -> None:
        """Count one reception, and decide anew after a round of them."""
        self._left -= 1
        if self._left:
            return
        awake, took = self.awake, now - self._began
        self._pace[awake] = took * MEMORY + self._pace.get(awake, took) * (1 - MEMORY)
        self._began, self._left = now, ROUND
        self._rounds += 1
        if len(self._pace) < 2 or self._rounds % EXPLORE == 0:
            self.awake = not self._chosen
        else:
            self.awake = self._chosen = self._pace[True] < GAIN * self._pace[False]
