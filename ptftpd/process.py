"""One daemon from its sockets to its end: privileges, detaching, workers, signals, what systemd is told."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ptftpd import byhand, config, systemd
from ptftpd.change import Change
from ptftpd.errors import Error
from ptftpd.links import LinkWatch
from ptftpd.log import ERROR, Log
from ptftpd.loop import INF, Loop
from ptftpd.orders import DISCARD, PREPARE, Orders
from ptftpd.program import Loaded, Program
from ptftpd.sinks import Retry
from ptftpd.workers import SIGNALS, Notify, Supervisor, record_refusal

STOP_TIMEOUT = 30.0  # seconds that running transfers get after SIGTERM
FRESH = 1.0  # seconds after which the status tells what has happened


class Daemon(Protocol):
    """What a program is made of. Error from any method ends it with that sentence and its exit code."""

    def check(self, log: Log) -> None:
        """Raise Error when this machine cannot serve what is configured; open nothing for long.

        What may be meant so, and likely is not, is recorded.
        """

    def open(self, activated: dict[str, list[socket.socket]]) -> None:
        """Open the sockets, or take those from systemd by name. Privileged."""

    def workers(self) -> int:
        """Return how many processes are to serve."""

    def worker(self) -> Daemon:
        """Return what every process but the first one runs."""

    def state_dirs(self) -> Sequence[str]:
        """Return the directories that must exist and belong to the unprivileged user."""

    def serve(self, loop: Loop, log: Log) -> str:
        """Begin to serve; return the sentence that the start is recorded with. Unprivileged."""

    def prepare(self, loaded: Loaded) -> Change:
        """Return the change to other settings, of which nothing is in force yet; Error when it cannot be.

        Before serve() it only has to serve by them.
        """

    def drain(self) -> None:
        """Take no new clients."""

    def busy(self) -> bool:
        """Return whether clients are still being served after drain()."""

    def status(self) -> str:
        """Return what is going on, as a sentence for systemctl status."""

    def close(self) -> None:
        """Release everything."""


class Process:
    """One daemon from start to end."""

    scheduled = INF  # for the loop: this object is also the pulse that reports to systemd

    def __init__(
        self, program: Program, argv: Sequence[str] | None, loaded: Loaded, daemon: Daemon, log: Log
    ) -> None:
        self.program, self.argv, self.loaded, self.daemon, self.log = program, argv, loaded, daemon, log
        self.loop = Loop()
        self.deadline = INF
        self._notify: Notify = systemd.notify
        self._first = True  # of the workers: the one that records start and stop
        self._orders: Orders | None = None  # from the supervisor, in a worker
        self._change = Change()  # in a worker: the reload that was prepared
        self._signals: list[int] = []
        self._stop_at = INF
        self._idle_timeout: float | None = None
        self._idle_since, self._last_status = 0.0, ""
        self._ticked = False  # in this wake-up
        self._pulse = systemd.pulse()

    def run(self, sockets: dict[str, list[socket.socket]]) -> int:
        """Serve until told to stop, on these sockets of systemd's if there are any; return the exit code."""
        # A socket bound to an interface hears nothing on one that replaces it: somebody has to see that.
        if sockets and not self.loaded.interface:
            self._idle_timeout = self.loaded.settings.daemon.idle_timeout
        self.daemon.open(dict(sockets))
        byhand.allow_descriptors()
        if self.loaded.detach:
            return self._detached()
        return self._serve()

    def _detached(self) -> int:
        # Here and not at the top: the daemon and lockfile packages take longer to load than all the rest.
        from daemon import DaemonContext

        pidfile = byhand.lock(os.path.abspath(self.loaded.pidfile)) if self.loaded.pidfile else None
        self.log.close()  # whoever waits for the end of its output is not to wait for ours
        keep = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2]  # the sockets among them
        here = os.getcwd()  # where names on the command line are looked up again when it is reloaded
        context = DaemonContext(files_preserve=keep, umask=0o022, working_directory=here, pidfile=pidfile)
        context.open()
        self.log = Log(self.program.name, self.log.level, journal=True)
        try:
            with self.log:
                return self._told()
        finally:
            with contextlib.suppress(OSError):  # the pid file may be root's alone: the next start breaks it
                context.close()

    def _told(self) -> int:
        """Serve; record the error that ends it, and return its exit code."""
        try:
            return self._serve()
        except Error as error:
            self.log.lines(ERROR, "", str(error))
            return error.exit_code

    def _serve(self) -> int:
        """Drop privileges, then serve in this process or in several."""
        self._retry = Retry(self.loop, self.log.queue)  # the queue is opened by root
        if os.geteuid() == 0:
            settings = self.loaded.settings
            default = ("daemon", "user") not in settings.sources
            byhand.become(settings.daemon.user, self.daemon.state_dirs(), self.log, default=default)
        else:
            byhand.stay(self.loaded.settings, self.log)
        count = self.daemon.workers()
        if count > 1:
            return Supervisor(self.log, count, self._work, self._notify, self._prepare_all).run()
        return self._run_loop()

    def _work(self, number: int, orders: Orders) -> int:
        """Serve as one of several workers."""
        self._orders, self._notify = orders, orders.say
        self._pulse = min(self._pulse, 1.0)
        self._idle_timeout = None  # that this one is idle says nothing about the others
        if number:
            self.daemon, self._first = self.daemon.worker(), False
        self.loop.close()
        self.loop = Loop()  # the inherited one is shared with the other workers
        self._retry = Retry(self.loop, self.log.queue)
        self.loop.add(orders.fileno(), self._obey)
        try:
            return self._run_loop()
        except Error as error:
            self.log.lines(ERROR, "", str(error))
            return error.exit_code

    def _run_loop(self) -> int:
        wakeup = self._catch_signals()
        began = self.daemon.serve(self.loop, self.log)
        if self._first:
            self._doubt()
            self.log.info("started", began)
        if self._idle_timeout:
            self._pulse = min(self._pulse, self._idle_timeout)
            self._idle_since = self.loop.now
        self.deadline = self.loop.now + self._pulse
        self.loop.schedule(self)
        self.loop.every_wakeup(self._after)
        watch = self._watch_interface()
        self._notify(f"READY=1\nSTATUS={self.daemon.status()}")
        try:
            self.loop.run()
        finally:
            signal.set_wakeup_fd(-1)
            if watch:
                self.loop.remove(watch.fileno())
                watch.close()
            self.daemon.close()
            self.loop.remove(wakeup.fileno())
            wakeup.close()
            self._wakeup.close()
            self.loop.close()
        if self._first:
            self.log.info("stopped", "stopped")
        return 0

    def _doubt(self) -> None:
        """Say who else can change what decides on what is booted."""
        for doubt in self.loaded.doubts:
            self.log.warning("", doubt)

    def tick(self, now: float) -> None:
        """Report to systemd that the loop turns, and what is going on; record what was dropped."""
        self.log.report(now)
        self.deadline, self._ticked = now + self._pulse, True
        status = self.daemon.status()
        self._notify(f"WATCHDOG=1\nSTATUS={status}")
        if self.daemon.busy() or status != self._last_status:
            self._idle_since, self._last_status = now, status
        elif self._idle_timeout and now - self._idle_since >= self._idle_timeout:
            self.loop.stop()  # the socket stays with systemd, which starts us again

    def _after(self, now: float) -> None:
        if self._ticked:
            self._ticked = False
        elif self.deadline > now + FRESH:  # something happened, which the status is to tell
            self.deadline = now + FRESH
            self.loop.schedule(self)
        while self._signals:
            self._signal(self._signals.pop(0), now)
        if self._stop_at < INF and (now >= self._stop_at or not self.daemon.busy()):
            self.loop.stop()

    def _signal(self, number: int, now: float) -> None:
        if number == signal.SIGHUP:
            if not self._orders:  # to a worker it is the supervisor that says so
                self._reload(now)
        elif number == signal.SIGTERM and self._stop_at == INF:
            self._notify("STOPPING=1\nSTATUS=finishing the running transfers")
            self.daemon.drain()
            self._stop_at = now + STOP_TIMEOUT
            self._pulse = min(self._pulse, 1.0)  # looks at the end of the grace time at least this often
            self.deadline = now
            self.loop.schedule(self)
        else:  # SIGINT, or a second SIGTERM
            self._stop_at = now

    def _reload(self, now: float) -> None:
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={int(now * 1e6)}")
        try:
            _, change = self._prepare()
            change.commit()
        except Error as error:
            record_refusal(self.log, str(error))
        self._notify(f"READY=1\nSTATUS={self.daemon.status()}")

    def _prepare(self) -> tuple[Loaded, Change]:
        """Read the configuration again; return it, and the change to it. Error changes nothing."""
        read = config.load(self.program, self.argv)
        settings, left = read.settings.until_restart(self.loaded.settings)
        loaded = replace(read, settings=settings, interface=self.loaded.interface)
        change = self._ready_for(loaded)

        def commit() -> None:
            change.commit()
            self._doubt()
            self.log.info("reloaded", "configuration read again")
            for sentence in left:
                self.log.warning("reloaded", sentence)

        return loaded, Change(commit, change.discard)

    def _ready_for(self, loaded: Loaded) -> Change:
        """Return the change to settings that were read already."""
        change = self.daemon.prepare(loaded)

        def commit() -> None:
            change.commit()
            self.loaded = loaded

        return Change(commit, change.discard)

    def _prepare_all(self) -> tuple[bytes, Change]:
        """Read the configuration again for the workers, and for those that are forked later."""
        loaded, change = self._prepare()
        return pickle.dumps(loaded), change

    def _obey(self, now: float) -> None:
        """Do what the supervisor says: prepare a reload, then commit or discard it."""
        assert self._orders is not None
        order = self._orders.take()
        if order is None:
            self.loop.stop()  # the supervisor is gone
            return
        if order.name == PREPARE:
            try:
                self._change = self._ready_for(pickle.loads(order.settings))
                self._notify("PREPARED=1")
            except Error as error:
                self._notify(f"REFUSED={error}")
            return
        change, self._change = self._change, Change()
        if order.name == DISCARD:
            change.discard()
        else:
            change.commit()
            self._notify(f"READY=1\nSTATUS={self.daemon.status()}")

    def _watch_interface(self) -> LinkWatch | None:
        """Follow the address of the interface that is served, if it is only one."""
        if not (self.loaded.interface and self._first):
            return None
        watch = LinkWatch(self.loaded.interface, self.log, lambda: self.daemon.prepare(self.loaded).commit())
        self.loop.add(watch.fileno(), watch.follow)
        watch.follow(self.loop.now)  # it may be down already
        return watch

    def _catch_signals(self) -> socket.socket:
        """Queue SIGNALS for the loop; return the socket that wakes it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)

        def drain(now: float) -> None:
            ours.recv(64)

        self.loop.add(ours.fileno(), drain)
        self._wakeup = theirs  # kept open: the interpreter writes to it when a signal comes
        for number in SIGNALS:
            signal.signal(number, lambda caught, frame: self._signals.append(caught))
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return ours
