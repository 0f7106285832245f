"""Where records go, stderr or the journal, without ever waiting for whoever reads them.

What the reader has no room for is queued, in order. When the queue is full, records are lost and counted;
once everything queued is written, that count takes the place of what is missing.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import NamedTuple, Protocol

LIMIT = 256 << 10  # octets queued in a process, their overhead included: some thousand records
OVERHEAD = 100  # octets that a queued record takes beside its own
RETRY = 0.1  # seconds between two attempts to write what is queued, when there are no new records
# Octets that a pipe takes whole or not at all: no line of another process comes in between.
ATOMIC = select.PIPE_BUF
JOURNAL = "/run/systemd/journal/socket"  # systemd.io/JOURNAL_NATIVE_PROTOCOL
FULL = {errno.EAGAIN, errno.ENOBUFS}  # the reader has not read yet what it was sent


class Sink(NamedTuple):
    """A way to write. write() returns how many octets were taken; OSError with one of FULL: none now."""

    write: Callable[[bytes], int]
    close: Callable[[], None] = lambda: None


class Queue:
    """Records on their way to one reader."""

    def __init__(self, sink: Sink, gap: Callable[[int], bytes]) -> None:
        """gap(count) is the record that says how many are missing."""
        self._sink, self._gap = sink, gap
        self._records: deque[bytes] = deque()
        self._octets = 0
        self._lost = 0
        self.blocked = False  # the reader had no room lately: flush() is to be called in a while
        self.on_blocked: Callable[[], None] = lambda: None

    def put(self, octets: bytes, count: int = 1) -> None:
        """Write so many records, now or later."""
        if self._records or self._lost:
            self.flush()
        try:
            left = octets if self._records or self._lost else self._attempt(octets)
        except OSError:  # nobody reads there, now or ever
            self._lost += count
            return
        if not left:
            return
        # While some are lost, later ones are, too: those that are missing are all missing in one place.
        if self._lost or self._octets + len(left) + OVERHEAD > LIMIT:
            self._lost += count
        else:
            self._keep(left)
        if self.blocked:
            self.on_blocked()

    def flush(self) -> None:
        """Write what is queued as far as it is taken, and then how many are missing."""
        try:
            while self._records:
                octets = self._records[0]
                if left := self._attempt(octets):
                    self._records[0] = left
                    self._octets -= len(octets) - len(left)
                    return
                self._records.popleft()
                self._octets -= len(octets) + OVERHEAD
            if self._lost:
                gap = self._gap(self._lost)
                left = self._attempt(gap)
                if len(left) < len(gap):
                    self._lost = 0
                if 0 < len(left) < len(gap):
                    self._keep(left)
        except OSError:
            self._lost += len(self._records)
            self._records.clear()
            self._octets = 0
            self.blocked = False

    def close(self, within: float) -> None:
        """Write what is queued, unless that takes more than some seconds, and let go of the sink."""
        end = time.monotonic() + within
        self.flush()
        while self.blocked and time.monotonic() < end:
            time.sleep(RETRY / 10)
            self.flush()
        self._sink.close()

    def forget(self) -> None:
        """Drop what is queued: after a fork, it is for the other process to write."""
        self._records.clear()
        self._octets = self._lost = 0
        self.blocked = False

    def _keep(self, octets: bytes) -> None:
        self._records.append(octets)
        self._octets += len(octets) + OVERHEAD

    def _attempt(self, octets: bytes) -> bytes:
        """Return what is left of octets after some were written; OSError when nobody reads any more."""
        try:
            left = octets[self._sink.write(octets) :]
        except OSError as error:
            if error.errno not in FULL:
                raise
            left = octets
        self.blocked = bool(left)
        return left


class Retry:
    """A timer of the loop that writes what is queued."""

    scheduled = deadline = inf

    def __init__(self, loop: Clock, queue: Queue) -> None:
        self._loop, self._queue = loop, queue
        queue.on_blocked = self._start

    def tick(self, now: float) -> None:
        """Write what can be written."""
        self._queue.flush()
        self.deadline = now + RETRY if self._queue.blocked else inf

    def _start(self) -> None:
        if self.deadline == inf:
            self.deadline = self._loop.now + RETRY
            self._loop.schedule(self)


class Clock(Protocol):
    """What a Retry needs of the loop."""

    now: float

    def schedule(self, timed: Retry, /) -> None:
        """Call its tick() at its deadline."""


def stream(fd: int) -> Sink:
    """Return what writes to a descriptor that other processes have, too, so that its flags are theirs also.

    A pipe or a terminal is opened once more, not to wait; where that is not allowed, as for one of another
    user, it is asked whether it has room. Several writers may find the same room then. A file is written
    as it is: only its disk could keep us waiting. To be called before root is given up. OSError when fd is
    closed.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=os.dup(fd))
        return Sink(lambda octets: sock.send(octets, socket.MSG_DONTWAIT), sock.close)
    if stat.S_ISREG(mode):
        return Sink(partial(os.write, fd))
    try:
        again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        return Sink(partial(os.write, again), partial(os.close, again))
    except OSError:
        return Sink(partial(_write_if_room, fd))


def _write_if_room(fd: int, octets: bytes) -> int:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return os.write(fd, octets[:ATOMIC])


def journal() -> Sink:
    """Return what sends records to the journal, whose socket may be replaced by another one at any time."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    return Sink(lambda octets: sock.sendto(octets, JOURNAL), sock.close)
