"""Several processes that serve the same sockets, and one that looks after them.

The supervisor serves nobody itself, so that a worker which dies is forked anew from a clean state. Each
worker reports to it over a pipe; the pipe's end also tells either side that the other one is gone.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
import traceback
from collections.abc import Callable

from ptftpd.log import Log

PAUSE = 1.0  # seconds before a worker that died is forked again
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

Notify = Callable[[str], None]  # takes an sd_notify(3) state: READY=1, RELOADING=1, STATUS=...


class Supervisor:
    """Runs count workers until told to stop."""

    def __init__(self, log: Log, count: int, work: Callable[[int, Notify, int], int], notify: Notify) -> None:
        """work(number, notify, parent) serves in a worker; parent is readable when the supervisor is gone.

        It begins with SIGNALS blocked, so that none is lost before the worker catches them itself.
        """
        self._log, self._count, self._work, self._notify = log, count, work, notify
        self._selector = selectors.DefaultSelector()
        self._pids: dict[int, int] = {}  # worker number -> process id
        self._pipes: dict[int, int] = {}  # worker number -> the end its reports come from
        self._states: dict[int, str] = {}
        self._ready: set[int] = set()
        self._beating: set[int] = set()  # workers that reported since the last sign of life to systemd
        self._caught: list[int] = []
        self._stopping = False
        self._alive, self._held = os.pipe()  # workers see the end of _alive when this process is gone
        self._wakeup, self._poke = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # readable when a signal came
        self._due = dict.fromkeys(range(count), 0.0)  # worker number -> when to fork it
        self._code = 0

    def run(self) -> int:
        """Return the exit code once every worker has ended."""
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        for number in SIGNALS:
            signal.signal(number, lambda caught, frame: self._caught.append(caught))
        signal.set_wakeup_fd(self._poke, warn_on_full_buffer=False)
        while self._pids or self._due:
            due = min(self._due.values(), default=None)
            events = self._selector.select(None if due is None else max(0.0, due - time.monotonic()))
            for key, _ in events:
                if key.data is None:
                    os.read(self._wakeup, 64)
                else:
                    self._report(key.data)
            self._relay()
            self._start()
        return self._code

    def _fork(self, worker: int) -> None:
        """Begin a worker; OSError when the machine has no process or descriptor left."""
        ours, theirs = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.close(ours)
            os.close(theirs)
            raise
        if pid == 0:
            code = 1
            try:
                self._become_worker(ours)
                code = self._work(worker, lambda state: _say(theirs, state), self._alive)
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(theirs)
        self._pids[worker], self._pipes[worker] = pid, ours
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _become_worker(self, ours: int) -> None:
        """Let go of what is the supervisor's alone."""
        signal.set_wakeup_fd(-1)
        for fd in (ours, self._held, self._wakeup, self._poke, *self._pipes.values()):
            os.close(fd)
        self._selector.close()

    def _report(self, worker: int) -> None:
        """Take what a worker says; its end of file means that it ended."""
        lines = os.read(self._pipes[worker], 65536).decode(errors="replace")
        if not lines:
            self._ended(worker)
            return
        for state in lines.rstrip("\0").split("\0"):
            for line in state.splitlines():
                name, _, value = line.partition("=")
                if name == "STATUS":
                    self._states[worker] = value
                elif name == "READY":
                    self._ready.add(worker)
        status = "; ".join(f"worker {each + 1}: {text}" for each, text in sorted(self._states.items()))
        self._beating.add(worker)
        news = ""
        if self._beating >= self._pids.keys():
            self._beating.clear()
            news += "WATCHDOG=1\n"
        if len(self._ready) == self._count:
            self._ready.clear()
            news += "READY=1\n"
        self._notify(f"{news}STATUS={status}")

    def _ended(self, worker: int) -> None:
        pipe = self._pipes.pop(worker)
        self._selector.unregister(pipe)
        os.close(pipe)
        _, status = os.waitpid(self._pids.pop(worker), 0)
        self._states.pop(worker, None)
        self._beating.discard(worker)
        code = os.waitstatus_to_exitcode(status)
        if self._stopping:
            self._code = self._code or code
        elif code > 0:
            # It gave up with a sentence of its own, and would again: so does the program.
            self._code, self._stopping = code, True
            self._caught.append(signal.SIGTERM)
        else:
            self._log.warning("", f"worker {worker + 1} died ({code}) with its transfers: starting it again")
            self._due[worker] = time.monotonic() + PAUSE

    def _relay(self) -> None:
        """Pass on the signals that came."""
        while self._caught:
            number = self._caught.pop(0)
            if number == signal.SIGHUP:
                self._ready.clear()  # of one that was forked anew meanwhile: it too is to read the settings
                self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            else:
                self._stopping = True
                self._due.clear()
                self._notify("STOPPING=1\nSTATUS=finishing the running transfers")
            for pid in self._pids.values():
                os.kill(pid, number)

    def _start(self) -> None:
        """Fork the workers that are due; those that cannot be now are due again after a pause."""
        now = time.monotonic()
        for worker in [worker for worker, when in self._due.items() if now >= when]:
            del self._due[worker]
            try:
                self._fork(worker)
            except OSError as error:
                self._log.error("", f"worker {worker + 1} cannot be started now: {error.strerror}")
                self._due[worker] = now + PAUSE


def _say(pipe: int, state: str) -> None:
    """Report to the supervisor; it is gone when that fails, and the worker is about to notice."""
    try:
        os.write(pipe, state.encode() + b"\0")
    except OSError:
        pass
