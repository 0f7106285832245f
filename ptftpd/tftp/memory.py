"""The memory of what transfers have read and not yet sent: one budget for all of them, in octets.

A transfer needs its octets only while they go out: until then, and until they are answered, they can be read
again. So no transfer has a right to them. When the budget is used up, those that have theirs for the longest
time let go of them, and read again when they are to send.
"""

from __future__ import annotations

import threading
from typing import Protocol


class Holder(Protocol):
    """A transfer as its memory is counted."""

    def release(self) -> None:
        """Let go of it all, and tell the budget; what is needed later is read again."""


class Memory:
    """Counts what transfers hold, and takes it back."""

    def __init__(self, total: int) -> None:
        """total: octets that all of them together may hold."""
        self.total = total
        self.used = 0
        self.tight = False  # half of it is used: little is read ahead now, and windows granted are smaller
        self._held: dict[Holder, int] = {}  # of each, who came to hold the amount first, first

    def hold(self, holder: Holder, octets: int) -> None:
        """Let a transfer hold so many octets in all; others let go of theirs if that is too much."""
        self.used += octets - self._held.pop(holder, 0)
        if octets:
            self._held[holder] = octets
        while self.used > self.total:
            oldest = next(iter(self._held))
            if oldest is holder:
                break  # it alone needs more than there is
            oldest.release()
        self.tight = 2 * self.used > self.total


class CountedMemory(Memory):
    """The budget of transfers that threads work for: none of them is made to let go, as a thread may have it.

    When half of it is used, all of them read as little ahead as they can.
    """

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._lock = threading.Lock()

    def hold(self, holder: Holder, octets: int) -> None:
        """Let a transfer hold so many octets in all."""
        with self._lock:
            self.used += octets - self._held.pop(holder, 0)
            if octets:
                self._held[holder] = octets
            self.tight = 2 * self.used > self.total
