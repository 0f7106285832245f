"""What may hang is done in threads, a few for each root, so that only its own client waits for it.

The rule: the loop's thread makes no call of a file system that may hang, and no fsync(2). A root whose
threads all hang answers "busy" at once; other roots, and the transfers that run, go on.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from ptftpd.errors import FileError
from ptftpd.loop import Loop

THREADS = 4  # of a root: an fsync beside three reads
WAITING = 256  # jobs of a root that wait for a thread at most; a client whose job is one more is told "busy"
MOMENT = 0.5  # seconds that the end of the server waits for a thread: one that hangs delays it by that
STUCK = 2.0  # seconds after which a job that has not come back means that the file system hangs

Job = Callable[[], Any]
Done = Callable[[Any], None]


class Pool:
    """The threads of one root. They are daemons: that one hangs keeps no program from ending."""

    def __init__(
        self,
        root: str,
        finished: Callable[[Done, Any], None],
        clock: Callable[[], float],
        *,
        local: bool = False,
    ) -> None:
        """finished(done, result) is called in a thread. clock returns the loop's time.

        local: what it does is slow at worst, as an fsync of a local disk is, and never counts as hanging.
        """
        self.root, self._finished, self._clock, self._local = root, finished, clock, local
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._running: dict[int, float] = {}  # thread -> when its job began
        self._threads = 0

    def submit(self, job: Job, done: Done, now: float, *, always: bool = False) -> None:
        """Do a job in a thread, then call done(result) in the loop; FileError when the root is busy.

        The result is an exception if the job raised one. always: also when it is busy.
        """
        if not always and (self.stuck(now) or self._jobs.qsize() >= WAITING):
            raise FileError(FileError.BUSY, "the server is busy: the file system does not answer",
                            f"root directory {self.root} does not answer")  # fmt: skip
        self._jobs.put((job, done))
        if self._threads < THREADS and len(self._running) + self._jobs.qsize() > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, args=(self._threads,), daemon=True).start()

    def stuck(self, now: float) -> bool:
        """Return whether no thread has come back for a while."""
        running = list(self._running.values())
        return not self._local and len(running) >= THREADS and now - min(running, default=now) > STUCK

    def hangs(self, now: float) -> bool:
        """Return whether a job has not come back for a while."""
        return not self._local and now - min(list(self._running.values()), default=now) > STUCK

    def close(self) -> None:
        """Let the threads end that do not hang."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self, number: int) -> None:
        while (entry := self._jobs.get()) is not None:
            job, done = entry
            self._running[number] = self._clock()
            try:
                result = job()
            except Exception as error:
                result = error
            self._running.pop(number, None)
            self._finished(done, result)
            del entry, job, done, result  # they must not hang on an idle thread


class _Event:
    """What wakes the loop; it is closed when neither that nor a thread has it any more."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __del__(self) -> None:
        """Release the descriptor."""
        self.close()

    def close(self) -> None:
        """Release the descriptor: no thread has it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Pools:
    """The pools of all roots; what they have done is taken up by the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._pools: dict[tuple[str, bool], Pool] = {}
        self._results: deque[tuple[Done, Any]] = deque()
        self._event = _Event()
        self.pending = 0  # jobs whose results were not taken up yet
        loop.add(self._event.fd, self._take)

    def submit(self, root: str, job: Job, done: Done, *, always: bool = False, local: bool = False) -> None:
        """Do a job that may wait for a root; see Pool.submit().

        local: it waits for a local disk only; such jobs have threads of their own, and keep none that opens.
        """
        pool = self._pools.get((root, local))
        if pool is None:
            finished = partial(_finish, self._results, self._event)
            pool = self._pools[root, local] = Pool(root, finished, self._now, local=local)
        pool.submit(job, done, self._loop.now, always=always)
        self.pending += 1

    def release(self, root: str, close: Callable[[], None], *, may_hang: bool) -> None:
        """Close something of a root, in a thread if that may hang."""
        if may_hang:
            self.submit(root, close, lambda result: None, always=True)
        else:
            close()

    def call(self, function: Done, argument: Any) -> None:
        """Call a function in the loop, from any thread."""
        self.pending += 1
        _finish(self._results, self._event, function, argument)

    def hanging(self) -> list[str]:
        """Return the roots that do not answer."""
        return [pool.root for pool in self._pools.values() if pool.hangs(self._loop.now)]

    def settle(self, seconds: float) -> None:
        """Wait for what is being done, so long for each job."""
        while self.pending and select.select([self._event.fd], [], [], seconds)[0]:
            self._take(self._loop.now)

    def close(self) -> None:
        """Take up what is done within a moment, to release it, and wait for nothing any more."""
        self._loop.remove(self._event.fd)
        self.settle(MOMENT)
        if not self._pools:
            self._event.close()
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _now(self) -> float:
        return self._loop.now

    def _take(self, now: float) -> None:
        os.eventfd_read(self._event.fd)
        while self._results:
            done, result = self._results.popleft()
            self.pending -= 1
            done(result)


def _finish(results: deque[tuple[Done, Any]], event: _Event, done: Done, result: Any) -> None:
    """Have done(result) called in the loop."""
    results.append((done, result))
    os.eventfd_write(event.fd, 1)
