"""Several processes that serve the same sockets, and one that looks after them.

The supervisor serves nobody itself, so that a worker which dies is forked anew from a clean state. It reads
the configuration when that is to be read again, once for all: every worker prepares it, and only when all
have done so are they told to take it. What they say to each other is in orders.py.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from ptftpd.change import Change
from ptftpd.errors import Error
from ptftpd.log import ERROR, Log
from ptftpd.loop import INF
from ptftpd.orders import COMMIT, DISCARD, PREPARE, Orders, Worker
from ptftpd.sinks import RETRY

PAUSE = 1.0  # seconds before a worker that died is forked again
PREPARE_TIMEOUT = 20.0  # seconds for a worker to prepare; one that hangs is the watchdog's to find
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

Notify = Callable[[str], None]  # takes an sd_notify(3) state: READY=1, RELOADING=1, STATUS=...
Prepare = Callable[[], tuple[bytes, Change]]  # reads the settings: for the workers, and for itself


@dataclass
class Reload:
    """One that is not decided yet."""

    change: Change  # the supervisor's own
    waiting: set[int]  # workers that have not answered
    until: float  # monotonic seconds
    refusals: list[str] = field(default_factory=list)


class Supervisor:
    """Runs count workers until told to stop."""

    def __init__(
        self, log: Log, count: int, work: Callable[[int, Orders], int], notify: Notify, prepare: Prepare
    ) -> None:
        """work(number, orders) serves in a worker; it begins with SIGNALS blocked, so that none is lost.

        prepare() reads the configuration again; Error says why it cannot be used.
        """
        self._log, self._count, self._work, self._notify, self._prepare = log, count, work, notify, prepare
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, Worker] = {}  # by number
        self._ready: set[int] = set()
        self._beating: set[int] = set()  # workers that reported since the last sign of life to systemd
        self._caught: list[int] = []
        self._stopping = False
        self._reload: Reload | None = None
        self._wakeup, self._poke = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # readable when a signal came
        self._due = dict.fromkeys(range(count), 0.0)  # worker number -> when to fork it
        self._code = 0

    def run(self) -> int:
        """Return the exit code once every worker has ended."""
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        for number in SIGNALS:
            signal.signal(number, lambda caught, frame: self._caught.append(caught))
        signal.set_wakeup_fd(self._poke, warn_on_full_buffer=False)
        while self._workers or self._due:
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    os.read(self._wakeup, 64)
                else:
                    self._report(key.data)
            if self._log.queue.blocked:
                self._log.queue.flush()
            self._decide()
            self._relay()
            self._start()
        return self._code

    def _patience(self) -> float | None:
        """Return the seconds until something is due, None for never."""
        due, now = min(self._due.values(), default=INF), time.monotonic()
        if self._reload:
            due = self._reload.until  # no worker is forked meanwhile
        if self._log.queue.blocked:
            due = min(due, now + RETRY)
        return None if due == INF else max(0.0, due - now)

    def _fork(self, number: int) -> None:
        """Begin a worker; OSError when the machine has no process or descriptor left."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            code = 1
            try:
                ours.close()
                self._become_worker()
                code = self._work(number, Orders(theirs))
            except Exception:
                self._log.lines(ERROR, "", traceback.format_exc())
            finally:
                self._log.close()
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()
        self._workers[number] = Worker(pid, ours)
        self._selector.register(ours, selectors.EVENT_READ, number)

    def _become_worker(self) -> None:
        """Close what only the supervisor needs."""
        signal.set_wakeup_fd(-1)
        self._log.queue.forget()  # what waits there is the supervisor's to write
        for fd in (self._wakeup, self._poke):
            os.close(fd)
        for other in self._workers.values():
            other.close()
        self._selector.close()

    def _report(self, number: int) -> None:
        """Take what a worker says; its end of file means that it ended."""
        state = self._workers[number].heard()
        if not state:
            self._ended(number)
            return
        name, _, sentence = state.partition("=")
        if name in {"PREPARED", "REFUSED"}:
            self._answered(number, sentence if name == "REFUSED" else "")
            return
        for line in state.splitlines():
            name, _, value = line.partition("=")
            if name == "STATUS":
                self._workers[number].state = value
            elif name == "READY":
                self._ready.add(number)
        self._beating.add(number)
        news = ""
        if self._beating >= self._workers.keys():
            self._beating.clear()
            news += "WATCHDOG=1\n"
        if len(self._ready) == self._count:
            self._ready.clear()
            news += "READY=1\n"
        self._notify(f"{news}STATUS={self._status()}")

    def _status(self) -> str:
        told = sorted((number, worker.state) for number, worker in self._workers.items() if worker.state)
        return "; ".join(f"worker {number + 1}: {state}" for number, state in told)

    def _ended(self, number: int) -> None:
        worker = self._workers.pop(number)
        self._selector.unregister(worker)
        worker.close()
        _, status = os.waitpid(worker.pid, 0)
        self._beating.discard(number)
        code = os.waitstatus_to_exitcode(status)
        self._answered(number, f"worker {number + 1} ended")
        if self._stopping:
            self._code = self._code or code
        elif code > 0:
            # It gave up with a sentence of its own, and would again: so does the program.
            self._code, self._stopping = code, True
            self._caught.append(signal.SIGTERM)
        else:
            self._log.warning("", f"worker {number + 1} died ({code}) with its transfers: starting it again")
            self._due[number] = time.monotonic() + PAUSE

    def _relay(self) -> None:
        """Do what the signals that came ask for: reloads one after the other, but a stop waits for none."""
        if any(number != signal.SIGHUP for number in self._caught):
            self._caught = [number for number in self._caught if number != signal.SIGHUP]
            self._abandon()
        while self._caught and not (self._reload and self._caught[0] == signal.SIGHUP):
            number = self._caught.pop(0)
            if number == signal.SIGHUP:
                if not self._stopping:
                    self._begin_reload()
                continue
            self._stopping = True
            self._due.clear()
            self._notify("STOPPING=1\nSTATUS=finishing the running transfers")
            for worker in self._workers.values():
                os.kill(worker.pid, number)

    def _begin_reload(self) -> None:
        """Read the configuration and have every worker prepare it."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            settings, change = self._prepare()
        except Error as error:
            self._refuse(str(error))
            return
        self._reload = Reload(change, set(self._workers), time.monotonic() + PREPARE_TIMEOUT)
        for worker in self._workers.values():
            worker.order(PREPARE, settings)

    def _answered(self, number: int, refusal: str) -> None:
        """Note whether a worker could prepare the reload that is under way."""
        if self._reload and number in self._reload.waiting:
            self._reload.waiting.discard(number)
            if refusal:
                self._reload.refusals.append(refusal)

    def _decide(self) -> None:
        """Once every worker has answered, or one of them too late, have all of them commit, or none."""
        reload = self._reload
        if not reload or (reload.waiting and time.monotonic() < reload.until):
            return
        self._reload = None
        late = (f"worker {number + 1} does not answer" for number in sorted(reload.waiting))
        refusal = next(iter((*reload.refusals, *late)), "")
        self._ready.clear()
        for worker in self._workers.values():
            worker.order(DISCARD if refusal else COMMIT)
        if refusal:
            reload.change.discard()
            self._refuse(refusal)
        else:
            reload.change.commit()  # READY=1 follows when all have said that they took it

    def _abandon(self) -> None:
        """Give up the reload that is not decided yet, if any: a worker that hangs holds up no other."""
        if self._reload:
            self._reload.change.discard()
            self._reload = None

    def _refuse(self, sentence: str) -> None:
        record_refusal(self._log, sentence)
        self._notify(f"READY=1\nSTATUS={self._status()}")

    def _start(self) -> None:
        """Fork the workers that are due; those that cannot be now are due again after a pause."""
        if self._reload:
            return  # it would begin with the old settings
        now = time.monotonic()
        for number in [number for number, when in self._due.items() if now >= when]:
            del self._due[number]
            try:
                self._fork(number)
            except OSError as error:
                self._log.error("", f"worker {number + 1} cannot be started now: {error.strerror}")
                self._due[number] = now + PAUSE


def record_refusal(log: Log, sentence: str) -> None:
    """Record why a reload changes nothing, a record for each line."""
    log.lines(ERROR, "reload-failed", sentence, before="the configuration stays as it was: ")
