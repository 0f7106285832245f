"""Network namespaces for tests: cables, addresses, processes, and nothing left afterwards.

    with Lab(tmp_path) as lab:
        server, client = lab.namespace("server"), lab.namespace("client")
        lab.cable(server, client)
        server.address("10.0.0.1/24")
        daemon = server.start(*program("pxed"), "eth0", root, "pxelinux.0")
        daemon.wait_listening(67)
        client.run("udhcpc", "-i", "eth0", "-n", "-q")

A namespace is called ptftpd-PID-NUMBER-NAME after the process that made it. When a Lab is left, a caretaker
process ends every process inside its namespaces and deletes them. The caretaker waits for the end of a pipe,
so it does this after an exception, Ctrl-C, SIGTERM and kill -9 alike, and it looks for processes by their
namespace, so it also finds those which left their process group or gave up root. What a caretaker that was
itself killed left behind, the next Lab removes. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

from tests import caretaker

Argument = str | Path | int
Protocol = Literal["udp", "tcp"]

CHECKOUT = Path(__file__).resolve().parent.parent
CLONE_NEWNET = 0x40000000  # <linux/sched.h>; os.setns() is there from Python 3.12 on
TCP_LISTEN = "0A"  # /proc/net/tcp, column st

_libc = ctypes.CDLL(None, use_errno=True)
_lab_numbers = itertools.count(1)


class LabError(Exception):
    """A step of a Lab that did not happen; the text says which one and what was seen instead."""


def program(name: str) -> tuple[str, ...]:
    """Return the command that runs a program of this checkout on Debian's Python."""
    return "/usr/bin/python3", "-m", f"ptftpd.programs.{name}"


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Return once condition() is true; raise LabError naming what was awaited after timeout seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"not within {timeout:g} s: {what}")
        time.sleep(0.02)


def reachable(directory: Path) -> Path:
    """Return a directory of pytest's, opened so that servers which become other users can reach it."""
    for each in (directory, *directory.parents[:2]):
        each.chmod(0o755)
    return directory


def without_escapes(text: str) -> str:
    """Return what a terminal was sent without its escape sequences, line ends as in a file of text.

    A carriage return before a cursor position says nothing either: SeaBIOS sends both between two letters
    of a word when the screen and the serial port disagree on where the cursor is.
    """
    text = re.sub(r"\r*\x1b\[[0-9;]*H|\x1b\[[0-9;?=]*[A-Za-z]", "", text)
    return re.sub(r"\r\n?", "\n", text)


def missing(packages: Iterable[str] = ()) -> list[str]:
    """Return a sentence for everything that a Lab with these Debian packages lacks here."""
    faults = []
    if os.geteuid() != 0:
        faults.append("Network namespaces need root: run it with sudo.")
    elif subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        faults.append("This machine or container does not allow new network namespaces (CAP_SYS_ADMIN).")
    shown = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"]
    query = subprocess.run(shown, capture_output=True, text=True, check=True)
    installed = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    if absent := [package for package in packages if package not in installed]:
        faults.append(f"Packages are missing: apt-get install --no-install-recommends {' '.join(absent)}")
    return faults


class Process:
    """A program running in a namespace, in a process group of its own, its output going to a file."""

    def __init__(self, namespace: Namespace, argv: tuple[str, ...], log: Path, cwd: Path) -> None:
        """Start it."""
        self.namespace, self.argv, self.log = namespace, argv, log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                namespace.command(*argv), cwd=cwd, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.pid = self._popen.pid

    def running(self) -> bool:
        """Return whether it has not ended yet."""
        return self._popen.poll() is None

    def text(self) -> str:
        """Return all it has printed so far, without terminal escapes, which firmware strews into words."""
        return without_escapes(self.log.read_bytes().decode(errors="replace"))

    def wait(self, timeout: float) -> int:
        """Return its exit status (-N when signal N ended it) once it ends by itself."""
        wait_until(lambda: not self.running(), timeout, f"the end of {self}")
        return self._popen.wait()

    def signal(self, number: int) -> None:
        """Send a signal to its process group, if that still exists."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self, timeout: float = 5.0) -> int:
        """Send SIGTERM, after timeout seconds SIGKILL; return the exit status, -N when signal N ended it."""
        if self.running():
            self.signal(signal.SIGTERM)
            with contextlib.suppress(LabError):
                return self.wait(timeout)
            self.signal(signal.SIGKILL)
        return self._popen.wait()

    def wait_for(self, pattern: str, timeout: float = 10.0) -> re.Match[str]:
        """Return the first match of pattern (^ and $ match at lines) in the output, waiting for it.

        Raises LabError, with the end of the output, after timeout seconds or when the program has ended.
        """
        end = time.monotonic() + timeout
        while True:
            ended = not self.running()  # asked before reading: what it printed last counts
            if match := re.search(pattern, self.text(), re.MULTILINE):
                return match
            if ended or time.monotonic() > end:
                raise LabError(f"{self} did not print {pattern!r}{self._excuse(timeout)}")
            time.sleep(0.02)

    def wait_listening(self, port: int, protocol: Protocol = "udp", timeout: float = 10.0) -> None:
        """Return once its namespace has a socket bound to port; LabError as with wait_for()."""
        end = time.monotonic() + timeout
        while not self.namespace.listening(port, protocol):
            if not self.running() or time.monotonic() > end:
                raise LabError(f"{self} does not listen on {protocol} port {port}{self._excuse(timeout)}")
            time.sleep(0.02)

    def descriptors(self) -> int:
        """Return how many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        """Return the memory that it has to itself, octets."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return sum(int(n) for n in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)) * 1024

    def _excuse(self, timeout: float) -> str:
        """Return why waiting was given up, and the end of the output."""
        ended = f"; it ended with status {self._popen.returncode}"
        why = f" within {timeout:g} s" if self.running() else ended
        lines = "".join(f"\n  {line}" for line in self.text().splitlines()[-15:])
        return f"{why}. Its last lines ({self.log}):{lines}"

    def __str__(self) -> str:
        return " ".join(self.argv)


class Namespace:
    """A network namespace of a Lab: a machine's network, on this machine's files."""

    def __init__(self, lab: Lab, name: str, *, ipv6: bool) -> None:
        """Make it, with loopback up and, unless ipv6, without the chatter of IPv6."""
        self.lab, self.name = lab, name
        self.path = caretaker.NETNS / f"{lab.prefix}{name}"
        _run(("ip", "netns", "add", self.path.name))
        with self.entered():
            for scope in ("all", "default"):
                conf = Path(f"/proc/sys/net/ipv6/conf/{scope}")
                (conf / "disable_ipv6").write_text("0" if ipv6 else "1")
                (conf / "accept_dad").write_text("0")  # else an address is no use for its first 2 s
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *argv: str) -> list[str]:
        """Return the command that runs argv here. ip netns exec would remount /sys as well."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(
        self, *argv: Argument, check: bool = True, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Return the finished command, output captured; LabError when it fails, unless check is False."""
        return _run(self.command(*map(str, argv)), check=check, timeout=timeout)

    def start(self, *argv: Argument, name: str = "", cwd: Path = CHECKOUT) -> Process:
        """Return a program started in the background, which the Lab ends; its output is in logs/NAME.log."""
        words = tuple(map(str, argv))
        process = Process(self, words, self.lab.new_log(name or Path(words[0]).name), cwd)
        self.lab.processes.append(process)
        return process

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Let the calling thread open sockets and /proc/thread-self/net here, within the with block."""
        home, there = (os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", self.path))
        try:
            _setns(there)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(there)
            os.close(home)

    def listening(self, port: int, protocol: Protocol = "udp") -> bool:
        """Return whether a socket here, of IPv4 or IPv6, is bound to port (for TCP: listens on it)."""
        with self.entered():
            tables = [Path(f"/proc/thread-self/net/{protocol}{family}").read_text() for family in ("", "6")]
        sockets = (row.split() for table in tables for row in table.splitlines()[1:])
        return any(
            int(local.rpartition(":")[2], 16) == port and (protocol == "udp" or state == TCP_LISTEN)
            for _, local, _, state, *_ in sockets
        )

    def address(self, address: str, device: str = "eth0") -> None:
        """Add an IPv4 or IPv6 address, written ADDRESS/LENGTH."""
        self.run("ip", "address", "add", address, "dev", device)

    def bridge(self, name: str = "br0") -> None:
        """Make a bridge that forwards from the first frame on."""
        self.run("ip", "link", "add", name, "type", "bridge", "forward_delay", 0, "mcast_snooping", 0)
        self.run("ip", "link", "set", name, "up")

    def tap(self, name: str = "tap0") -> None:
        """Make a tap device for a virtual machine."""
        self.run("ip", "tuntap", "add", name, "mode", "tap")
        self.run("ip", "link", "set", name, "up")

    def plug(self, device: str, bridge: str = "br0") -> None:
        """Make a device a port of a bridge."""
        self.run("ip", "link", "set", device, "master", bridge)


class Lab:
    """A context manager: the namespaces, cables and processes of one test."""

    def __init__(self, logs: Path) -> None:
        """logs is the directory for what the processes print."""
        self.logs = logs
        self.prefix = f"ptftpd-{os.getpid()}-{next(_lab_numbers)}-"
        self.processes: list[Process] = []

    def __enter__(self) -> Lab:
        """Remove what runs that no longer exist have left, and hire the caretaker."""
        caretaker.remove_abandoned()
        self._caretaker = subprocess.Popen(
            [sys.executable, "-I", "-S", caretaker.__file__, self.prefix],
            stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End the processes, the last started first; then wait for the caretaker to remove the rest."""
        try:
            for process in reversed(self.processes):
                process.stop()
        finally:
            self._caretaker.communicate()
        if self._caretaker.returncode:
            raise LabError(f"could not remove the namespaces {self.prefix}*")

    def namespace(self, name: str, *, ipv6: bool = False) -> Namespace:
        """Return a new namespace."""
        return Namespace(self, name, ipv6=ipv6)

    def cable(
        self, one: Namespace, other: Namespace, one_device: str = "eth0", other_device: str = "eth0"
    ) -> None:
        """Connect two namespaces with a veth pair, up at both ends."""
        pair = f"{one_device} type veth peer name {other_device} netns {other.path.name}"
        one.run("ip", "link", "add", *pair.split())
        one.run("ip", "link", "set", one_device, "up")
        other.run("ip", "link", "set", other_device, "up")

    def new_log(self, name: str) -> Path:
        """Return a path in logs for a process called name, which no other has."""
        path = self.logs / f"{name}.log"
        for number in itertools.count(2):
            if not path.exists():
                break
            path = self.logs / f"{name}-{number}.log"
        return path


def _setns(descriptor: int) -> None:
    """Move the calling thread into a network namespace."""
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(
    argv: Iterable[str], *, check: bool = True, timeout: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Return the finished command; LabError with what it printed when it fails and check is True."""
    words = list(argv)
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=CHECKOUT, timeout=timeout
    )
    if check and done.returncode:
        raise LabError(f"{' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done
