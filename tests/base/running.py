"""A daemon that runs for a test, and the service manager it reports to."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from tests.base import activate
from tests.lab import CHECKOUT, LabError, program, wait_until

PATIENCE = 15.0  # seconds until something that should happen at once is given up


class Manager:
    """The socket that notifications come to, sd_notify(3)."""

    def __init__(self, directory: Path) -> None:
        """The socket is a file of that directory, open to every user, as systemd's is."""
        self.path = directory / "notify"
        self.seen: list[dict[str, str]] = []  # what was read, oldest first
        self._taken = 0  # how many of them a wait went by
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.path.chmod(0o777)

    def wait(self, wanted: str, *, within: float = PATIENCE) -> dict[str, str]:
        """Return the next notification that holds wanted, such as 'READY=1' or 'STATUS=', as a dictionary.

        Those before it are gone by; LabError with all of them after some seconds.
        """
        name, _, value = wanted.partition("=")
        end = time.monotonic() + within
        while True:
            while self._taken < len(self.seen):
                found = self.seen[self._taken]
                self._taken += 1
                if name in found and value in ("", found[name]):
                    return found
            left = end - time.monotonic()
            if left < 0 or not select.select([self._socket], [], [], left)[0]:
                raise LabError(f"no {wanted} came within {within:g} s, only {self.seen}")
            lines = self._socket.recv(65536).decode().splitlines()
            self.seen.append(dict(line.split("=", 1) for line in lines))

    def close(self) -> None:
        """Go deaf."""
        self._socket.close()


class Daemon:
    """A program of this checkout, from its start to its end."""

    def __init__(
        self,
        directory: Path,
        *argv: str | Path,
        sockets: Sequence[tuple[str, socket.socket]] = (),
        environment: dict[str, str] | None = None,
        command: Sequence[str] = (),
        stderr: int | None = None,
    ) -> None:
        """argv: the program's module and its arguments; command: what to start it with, such as nsenter.

        stderr: a descriptor for its records, in place of the log.
        """
        self.manager = Manager(directory)
        self._log = directory / "stderr"
        words = [*program(str(argv[0])), *map(str, argv[1:])]
        if sockets:
            handed = ",".join(f"{name}:{sock.fileno()}" for name, sock in sockets)
            words = [sys.executable, "-I", "-S", activate.__file__, handed, *words]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *words],
                cwd=CHECKOUT,
                env=os.environ | {"NOTIFY_SOCKET": str(self.manager.path)} | (environment or {}),
                pass_fds=[sock.fileno() for _, sock in sockets],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log if stderr is None else stderr,
                start_new_session=True,
            )

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End it, its workers too."""
        self.process.poll()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.manager.close()
        if error is not None:
            error.add_note(f"The daemon's log:\n{self.log()}")

    def log(self) -> str:
        """Return what it wrote so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        """Return once it has written text."""
        wait_until(lambda: text in self.log(), PATIENCE, f"{text!r} in the log")

    def end(self, within: float = PATIENCE) -> int:
        """Return its exit code once it ends, -N when signal N ended it."""
        return self.process.wait(within)

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> Callable[[], bool]:
    """Return a question: whether a process has ended, waited for or not."""

    def asked() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    return asked
