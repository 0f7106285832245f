"""Replies that wait before they leave: some boot ROMs miss one that comes at once ([class] reply_delay)."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from ptftpd.loop import INF, Loop

MAX_HELD = 1024  # replies; more than that at once leave without waiting, so that a storm costs no memory


class Held:
    """Holds what is to be done at a later time, in the order of those times."""

    scheduled = INF  # for the loop

    def __init__(self, loop: Loop) -> None:
        self.deadline = INF
        self._loop = loop
        self._numbers = count()  # breaks ties, so that actions are never compared
        self._waiting: list[tuple[float, int, Callable[[float], None]]] = []

    def hold(self, action: Callable[[float], None], delay: float, now: float) -> None:
        """Call action(time) in so many seconds; at once when there are none, or when too many wait."""
        if delay <= 0 or len(self._waiting) >= MAX_HELD:
            action(now)
            return
        heapq.heappush(self._waiting, (now + delay, next(self._numbers), action))
        self.deadline = self._waiting[0][0]
        self._loop.schedule(self)

    def tick(self, now: float) -> None:
        """Do what is due."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, action = heapq.heappop(self._waiting)
            action(now)
        self.deadline = self._waiting[0][0] if self._waiting else INF

    def close(self) -> None:
        """Forget all of it."""
        self._waiting.clear()
        self.deadline = INF
