"""A DHCP server and perfdhcp, which plays a relay agent with many clients behind it, in namespaces."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ptftpd.net import RECEIVE_BUFFER, SO_RCVBUFFORCE
from tests.lab import Argument, Lab, LabError, Process, program

SERVER, RELAY, NETWORK = "10.64.0.1", "10.64.0.2", "10.64.0.0/10"
RANGE = "10.64.1.0-10.66.255.254"
PIDFD_GETFD = 438  # <asm/unistd.h>; Python has no name for it


@dataclass(frozen=True)
class Report:
    """What perfdhcp counted."""

    sent: int  # DISCOVERs
    offered: int
    acknowledged: int
    twice: int  # addresses that were offered to two clients
    delay: float  # milliseconds from DISCOVER to OFFER, on average

    @property
    def lost(self) -> int:
        """How many exchanges were begun and not finished."""
        return self.sent - self.acknowledged


class Load:
    """A context manager: the two namespaces. Files of the servers are in directory, which all may enter."""

    def __init__(self, logs: Path) -> None:
        """logs is where the processes' output goes."""
        self.lab = Lab(logs)
        self._temporary = tempfile.TemporaryDirectory(prefix="ptftpd-load-")
        self.directory = Path(self._temporary.name)
        self.directory.chmod(0o777)  # the servers become other users

    def __enter__(self) -> Load:
        """Make them."""
        self.lab.__enter__()
        self.server, self.relay = self.lab.namespace("server"), self.lab.namespace("relay")
        self.lab.cable(self.server, self.relay)
        length = NETWORK.partition("/")[2]
        self.server.address(f"{SERVER}/{length}")
        self.relay.address(f"{RELAY}/{length}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove them."""
        self.lab.__exit__(kind, error, trace)
        self._temporary.cleanup()

    def pdhcpd(self, *arguments: Argument, pool: str = RANGE, wrap: tuple[str, ...] = ()) -> Process:
        """Return pdhcpd, which answers everybody, ready; its leases are kept between calls.

        pool: the addresses that it leases. wrap: words before its command.
        """
        state = self.directory / "state"
        process = self.server.start(
            *wrap, *program("dhcpd"), "eth0", "--answer-all", "--range", pool, "--state-dir", state,
            "--user", "nobody", *arguments,
        )  # fmt: skip
        process.wait_for("serving DHCP")
        return process

    def kea(self) -> Process:
        """Return Debian's kea-dhcp4, which keeps its leases in a file and logs as it does by default."""
        logger = {
            "name": "kea-dhcp4",
            "severity": "INFO",
            "output_options": [{"output": str(self.directory / "kea.log")}],
        }
        leases = {
            "type": "memfile",
            "persist": True,
            "name": str(self.directory / "kea.csv"),
            "lfc-interval": 0,
        }
        subnet = {"subnet": NETWORK, "pools": [{"pool": RANGE}]}
        settings = {
            "interfaces-config": {"interfaces": ["eth0"]}, "lease-database": leases, "valid-lifetime": 3600,
            "subnet4": [subnet], "loggers": [logger],
        }  # fmt: skip
        file = self.directory / "kea.json"
        file.write_text(json.dumps({"Dhcp4": settings}))
        places = [f"KEA_{name}_DIR={self.directory}" for name in ("PIDFILE", "LOCKFILE")]
        process = self.server.start("env", *places, "kea-dhcp4", "-c", file)
        process.wait_listening(67)
        widen(process)
        return process

    def forget(self) -> None:
        """Remove the leases of both servers, which have ended."""
        shutil.rmtree(self.directory / "state", ignore_errors=True)
        for file in self.directory.glob("kea.csv*"):
            file.unlink()

    def perfdhcp(self, rate: int, seconds: int, *, batch: int = 0, clients: int = 100_000) -> Report:
        """Return what becomes of so many exchanges a second; each batch has clients of its own."""
        return report(self.start_perfdhcp(rate, seconds, batch=batch, clients=clients), seconds + 30)

    def start_perfdhcp(self, rate: int, seconds: int, *, batch: int = 0, clients: int = 100_000) -> Process:
        """Return a running perfdhcp. It counts replies that take over a second as lost."""
        process = self.relay.start(
            "perfdhcp", "-4", "-u", "-l", RELAY, "-r", rate, "-p", seconds, "-R", clients, "-W", 1_000_000,
            "-b", f"mac=00:0c:{batch:02x}:00:00:00", SERVER,
        )  # fmt: skip
        widen(process)
        return process


def widen(process: Process) -> None:
    """Give the UDP and packet sockets of a process the receive buffer that pdhcpd asks for by itself.

    perfdhcp stands for thousands of clients, and loses their replies itself when it is not run for some
    milliseconds; another server is measured by its speed, not by the default of the kernel.
    """
    handle, end = os.pidfd_open(process.pid), time.monotonic() + 5
    while not sum(_widen(handle, number) for number in _sockets(process.pid)):
        if time.monotonic() > end:
            raise LabError(f"{process} has opened no socket")
        time.sleep(0.01)
    os.close(handle)


def _sockets(pid: int) -> list[int]:
    """Return the descriptors of a process that are sockets."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(entry).startswith("socket:"):
                found.append(int(entry.name))
    return found


def _widen(handle: int, number: int) -> bool:
    """Widen a socket of the process; return whether it takes datagrams of a network."""
    copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, handle, number, 0)
    if copy < 0:
        return False
    with socket.socket(fileno=copy) as sock:
        if sock.family not in {socket.AF_INET, socket.AF_PACKET}:
            return False
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    return True


def report(process: Process, timeout: float) -> Report:
    """Return what perfdhcp printed, once it has ended."""
    process.wait(timeout)
    text = process.text()
    discover, _, request = text.partition("REQUEST-ACK")
    assert request, text

    def number(part: str, what: str) -> float:
        found = re.search(rf"^{what}: ([0-9.]+)", part, re.M)
        return float(found[1]) if found else 0.0

    return Report(
        int(number(discover, "sent packets")),
        int(number(discover, "received packets")),
        int(number(request, "received packets")),
        int(number(discover, "non unique addresses") + number(request, "non unique addresses")),
        number(discover, "avg delay"),
    )
