"""One thread's event loop: epoll and lazy timers. The only caller of time.monotonic()."""

from __future__ import annotations

import heapq
import os
import select
import time
from collections.abc import Callable
from math import inf
from typing import Protocol

INF = inf
LONGEST = 86400.0  # seconds slept at most: epoll_wait(2) takes no more than 24 days
MAX_EVENTS = 256  # descriptors handled a wake-up, so that timers are looked at in between

# Seconds spent looking for events before sleeping. To wake up a processor takes longer than a near client,
# such as a virtual machine, takes to answer: looking made lock-step transfers 2.3 times as fast, for less
# CPU time.
LOOK = 60e-6
SLEEPS = 64  # so many waits that short, and it begins to look; one that is longer, and it sleeps again

FEW = 64  # dead timers that are not worth a compaction of the heap


class Timed(Protocol):
    """What has a deadline, in monotonic seconds (INF when idle), and wants to be told when it is over.

    scheduled belongs to the loop: the time of the entry in its heap that counts, INF when there is none.
    """

    deadline: float
    scheduled: float

    def tick(self, now: float) -> None:
        """Do what is due; called when now >= deadline."""


class Loop:
    """Calls each descriptor's handler with the time when it is readable, and tick() when it is due."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[float], None]] = {}
        self._heap: list[tuple[float, int, Timed]] = []
        self._sequence = 0  # breaks ties in the heap, so that Timed objects are never compared
        self._dead = 0  # entries of the heap that a nearer one replaced, or whose timer was cancelled
        self._after: list[Callable[[float], None]] = []
        self._running = False
        # A client on the same processor needs that: what counts is what this process may run on.
        self._sleeps = SLEEPS if len(os.sched_getaffinity(0)) > 1 else INF

    def add(self, fd: int, handler: Callable[[float], None], *, exclusive: bool = False) -> None:
        """Call handler(now) whenever fd is readable; exclusive: wake one of several processes only."""
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN | (select.EPOLLEXCLUSIVE if exclusive else 0))

    def replace(self, fd: int, handler: Callable[[float], None]) -> None:
        """Call another handler from now on for fd, which was added."""
        self._handlers[fd] = handler

    def remove(self, fd: int) -> None:
        """Forget fd, which must be open still."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def schedule(self, timed: Timed) -> None:
        """See to it that timed.tick() is called at its deadline.

        Lazy: to be called when the deadline came nearer than timed.scheduled; a deadline that moved away
        costs nothing, the entry that comes up early is pushed again.
        """
        if timed.deadline < timed.scheduled:
            if timed.scheduled != INF:
                self._bury()
            timed.scheduled = when = min(timed.deadline, self.now + LONGEST)
            self._sequence += 1
            heapq.heappush(self._heap, (when, self._sequence, timed))

    def cancel(self, timed: Timed) -> None:
        """Let go of an object that is done: timed.tick() is not called any more."""
        timed.deadline = INF
        if timed.scheduled != INF:
            timed.scheduled = INF
            self._bury()

    def _bury(self) -> None:
        """Count one more dead entry, and compact the heap once most of it is dead.

        What ended leaves nothing behind: a peer that chose a timeout of minutes would else have each of its
        requests remembered for as long. The heap holds at most twice what is alive, and FEW.
        """
        self._dead += 1
        if self._dead > FEW and 2 * self._dead > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[0] == entry[2].scheduled]  # run() has it
            heapq.heapify(self._heap)
            self._dead = 0

    def every_wakeup(self, handler: Callable[[float], None]) -> None:
        """Call handler(now) after the descriptors of each wake-up were handled: batches end there."""
        self._after.append(handler)

    def run(self) -> None:
        """Serve until stop() is called."""
        self._running = True
        handlers, heap = self._handlers, self._heap
        while self._running:
            events = self._wait()
            now = self.now
            for fd, _ in events:
                handler = handlers.get(fd)  # an earlier handler of this wake-up may have removed it
                if handler is not None:
                    handler(now)
            if heap and heap[0][0] <= now:
                self._tick(now)
            for after in self._after:
                after(now)

    def stop(self) -> None:
        """Leave run() after the wake-up at hand."""
        self._running = False

    def close(self) -> None:
        """Release the epoll descriptor."""
        self._epoll.close()

    def _wait(self) -> list[tuple[int, int]]:
        """Return what is readable, with now the time; nothing when a timer is due."""
        poll, monotonic, heap = self._epoll.poll, time.monotonic, self._heap
        began = now = monotonic()
        if not self._sleeps:
            while now - began < LOOK:
                events = poll(0, MAX_EVENTS)
                self.now = now = monotonic()
                if events:
                    return events
            self._sleeps = SLEEPS
        events = poll(max(0.0, heap[0][0] - now) if heap else -1, MAX_EVENTS)
        self.now = now = monotonic()
        if self._sleeps and now - began < LOOK:
            self._sleeps -= 1
        return events

    def _tick(self, now: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, _, timed = heapq.heappop(heap)
            if when != timed.scheduled:
                self._dead -= 1
                continue  # an entry that a nearer one replaced, or a timer that was cancelled
            timed.scheduled = INF
            if timed.deadline <= now:
                timed.tick(now)
            self.schedule(timed)
