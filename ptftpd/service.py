"""A program as a process: sockets from systemd, notifications, signals, privileges, detaching.

A program gives main() a Daemon; what is the same for all of them is here.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from systemd import daemon as systemd

from ptftpd import config, net
from ptftpd.config import Loaded, Program
from ptftpd.errors import EX_CONFIG, ConfigError, Error
from ptftpd.log import DEBUG, INFO, Log
from ptftpd.loop import INF, Loop
from ptftpd.workers import Notify, Supervisor

STOP_TIMEOUT = 30.0  # seconds that running transfers get after SIGTERM
PULSE = 10.0  # seconds between two reports of the status to systemd, without a watchdog
FALLBACK_USER = "nobody"  # when the default user was never created: the package does that, a checkout not


class Daemon(Protocol):
    """What a program is made of. Error from any method ends it with exit code 1 and that sentence."""

    def check(self) -> None:
        """Raise Error when this machine cannot serve what is configured; open nothing for long."""

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

    def reload(self, loaded: Loaded) -> None:
        """Go on with other settings."""

    def drain(self) -> None:
        """Take no new clients."""

    def busy(self) -> bool:
        """Return whether clients are still being served after drain()."""

    def status(self) -> str:
        """Return what is going on, as a sentence for systemctl status."""

    def close(self) -> None:
        """Release everything."""


def main(program: Program, argv: Sequence[str] | None, make: Callable[[Loaded], Daemon]) -> int:
    """Run a program; return its exit code: 0 done, 1 failed, 78 configuration error."""
    try:
        loaded = config.load(program, argv)
    except ConfigError as error:
        for line in str(error).splitlines():
            Log(program.name).error("", line)
        _notify(f"STATUS={error}")
        return EX_CONFIG
    if loaded.action == "dump":
        print(config.dump(program, loaded.settings), end="")
        return 0
    log = Log(program.name, DEBUG if loaded.debug else INFO, fields=loaded.verbose)
    try:
        if loaded.answer is not None:
            print(loaded.answer())
            return 0
        daemon = make(loaded)
        if loaded.action == "check":
            daemon.check()
            print(f"{program.name}: the configuration is good")
            return 0
        return _Process(program, argv, loaded, daemon, log).run()
    except Error as error:
        log.error("", str(error))
        _notify(f"STATUS={error}")
        return EX_CONFIG if isinstance(error, ConfigError) else 1


class _Process:
    """One daemon from start to end."""

    scheduled = INF  # for the loop: this object is also the pulse that reports to systemd

    def __init__(
        self, program: Program, argv: Sequence[str] | None, loaded: Loaded, daemon: Daemon, log: Log
    ) -> None:
        self.program, self.argv, self.loaded, self.daemon, self.log = program, argv, loaded, daemon, log
        self.loop = Loop()
        self.deadline = INF
        self._notify: Notify = _notify
        self._first = True  # of the workers: the one that records start, reload and stop
        self._signals: list[int] = []
        self._stop_at = INF
        watchdog = os.environ.get("WATCHDOG_USEC", "")
        self._pulse = int(watchdog) / 2e6 if watchdog.isdigit() else PULSE

    def run(self) -> int:
        """Serve until told to stop; return the exit code."""
        self.daemon.open(activated())
        if self.loaded.detach:
            return self._detached()
        return self._serve()

    def _detached(self) -> int:
        # Here and not at the top: the daemon and lockfile packages take longer to load than all the rest.
        from daemon import DaemonContext
        from daemon.pidfile import PIDLockFile

        pidfile = None
        if self.loaded.pidfile:
            pidfile = PIDLockFile(os.path.abspath(self.loaded.pidfile))
            running = pidfile.read_pid()
            if running and os.path.exists(f"/proc/{running}"):
                raise Error(f"{self.loaded.pidfile}: already running as process {running}")
            pidfile.break_lock()
        keep = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2]  # the sockets among them
        context = DaemonContext(files_preserve=keep, umask=0o022, pidfile=pidfile)
        context.open()
        self.log = Log(self.program.name, self.log.level, journal=True)
        try:
            return self._serve()
        except Error as error:
            self.log.error("", str(error))
            return 1
        finally:
            with contextlib.suppress(OSError):  # the pid file may be root's alone: the next start breaks it
                context.close()

    def _serve(self) -> int:
        """Drop privileges, then serve in this process or in several."""
        if os.geteuid() == 0:
            self._drop_privileges()
        count = self.daemon.workers()
        if count > 1:
            return Supervisor(self.log, count, self._work, self._notify).run()
        return self._run_loop()

    def _work(self, number: int, notify: Notify, parent: int) -> int:
        """Serve as one of several workers."""
        self._notify = notify
        self._pulse = min(self._pulse, 1.0)
        if number:
            self.daemon, self._first = self.daemon.worker(), False
        self.loop.close()
        self.loop = Loop()  # the inherited one is shared with the other workers
        self.loop.add(parent, lambda now: self.loop.stop())  # the supervisor is gone
        try:
            return self._run_loop()
        except Error as error:
            self.log.error("", str(error))
            return 1

    def _run_loop(self) -> int:
        wakeup = self._catch_signals()
        began = self.daemon.serve(self.loop, self.log)
        if self._first:
            self.log.info("started", began)
        self.deadline = self.loop.now + self._pulse
        self.loop.schedule(self)
        self.loop.every_wakeup(self._after)
        self._notify(f"READY=1\nSTATUS={self.daemon.status()}")
        try:
            self.loop.run()
        finally:
            signal.set_wakeup_fd(-1)
            self.daemon.close()
            self.loop.remove(wakeup.fileno())
            wakeup.close()
            self._wakeup.close()
            self.loop.close()
        if self._first:
            self.log.info("stopped", "stopped")
        return 0

    def tick(self, now: float) -> None:
        """Report to systemd that the loop turns, and what is going on."""
        self.deadline = now + self._pulse
        self._notify(f"WATCHDOG=1\nSTATUS={self.daemon.status()}")

    def _after(self, now: float) -> None:
        while self._signals:
            self._signal(self._signals.pop(0), now)
        if self._stop_at < INF and (now >= self._stop_at or not self.daemon.busy()):
            self.loop.stop()

    def _signal(self, number: int, now: float) -> None:
        if number == signal.SIGHUP:
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
            loaded = config.load(self.program, self.argv)
            self.daemon.reload(loaded)
            self.loaded = loaded
            if self._first:
                self.log.info("reloaded", "configuration read again")
        except Error as error:
            for line in str(error).splitlines():
                self.log.error("reload-failed", f"the configuration stays as it was: {line}")
        self._notify(f"READY=1\nSTATUS={self.daemon.status()}")

    def _catch_signals(self) -> socket.socket:
        """Queue SIGHUP, SIGTERM and SIGINT for the loop; return the socket that wakes it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)

        def drain(now: float) -> None:
            ours.recv(64)

        self.loop.add(ours.fileno(), drain)
        self._wakeup = theirs  # kept open: the interpreter writes to it when a signal comes
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda caught, frame: self._signals.append(caught))
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        return ours

    def _drop_privileges(self) -> None:
        """Become the configured user for good, after giving it the state directories."""
        from daemon.daemon import change_process_owner

        name = self.loaded.settings.daemon.user
        default = ("daemon", "user") not in self.loaded.settings.sources
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            if not default:
                raise Error(f"there is no user {name} here: create it, or name another with --user") from None
            self.log.info("", f"there is no user {name} here, going on as {FALLBACK_USER}")
            account = pwd.getpwnam(FALLBACK_USER)
        for path in self.daemon.state_dirs():
            try:
                os.makedirs(path, mode=0o750, exist_ok=True)
                os.chown(path, account.pw_uid, account.pw_gid)
            except OSError as error:
                raise Error(f"state directory {path}: {error.strerror}") from None
        os.setgid(account.pw_gid)  # change_process_owner leaves the group alone when it sets the others
        change_process_owner(account.pw_uid, account.pw_gid, initgroups=True)


def activated() -> dict[str, list[socket.socket]]:
    """Return the sockets that systemd handed over, by FileDescriptorName, ready to be served."""
    sockets: dict[str, list[socket.socket]] = {}
    for fd, name in systemd.listen_fds_with_names().items():
        sock = socket.socket(fileno=fd)
        net.prepare(sock)
        sockets.setdefault(name, []).append(sock)
    return sockets


def _notify(state: str) -> None:
    """Tell systemd, when it asked for that; a line break in a value would start another variable."""
    if "NOTIFY_SOCKET" in os.environ:
        head, _, status = state.partition("STATUS=")
        systemd.notify(f"{head}STATUS={status.replace(chr(10), '; ')}" if status else state)
