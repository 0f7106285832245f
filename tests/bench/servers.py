"""The TFTP servers that are measured, each on a port of its own, and what they use."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests import debs
from tests.lab import Namespace, Process, program

OURS, TWO, CEILING = "ptftpd", "2 workers", "ceiling"
PEERS = ("tftpd-hpa", "atftpd", "dnsmasq")
NAMES = (OURS, *PEERS, TWO, CEILING)
CORES = sorted(os.sched_getaffinity(0))
GENERATOR_CORE, SERVER_CORES = CORES[-1], CORES[:-1] or CORES  # as if the clients were other machines
FORGET_PEAK = "5"  # to /proc/PID/clear_refs: VmHWM begins anew, proc(5)


@dataclass
class Server:
    """A server under test; start: seconds until it listened, idle: its memory before the first client."""

    name: str
    port: int
    process: Process
    start: float
    idle: int = 0

    def cpu(self) -> float:
        """Return the CPU seconds that its processes, ended children included, have used."""
        return sum(map(cpu_of, _family(self.process.pid)))

    def forget_peak(self) -> None:
        """Let peak() begin with what is used now."""
        for pid in _family(self.process.pid):
            Path(f"/proc/{pid}/clear_refs").write_text(FORGET_PEAK)

    def peak(self) -> int:
        """Return the peak resident memory of its processes that are there still, octets."""
        return sum(memory_of(Path(f"/proc/{pid}/status"), "VmHWM") for pid in _family(self.process.pid))


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process, ended children included, has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory_of(status: Path, name: str) -> int:
    """Return a figure of a process's memory, octets, from its file in /proc; 0 once it has none."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _family(pid: int) -> list[int]:
    children = subprocess.run(["pgrep", "-g", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid, *(int(child) for child in children if int(child) != pid)]


def on(cores: list[int]) -> tuple[str, ...]:
    """Return what to put before a command that is to run on these processor cores only."""
    return "taskset", "--cpu-list", ",".join(map(str, cores))


def start(namespace: Namespace, root: Path, names: Iterable[str], generator: Path = Path()) -> list[Server]:
    """Start these servers in the namespace, one after the other; generator: the program of the ceiling."""
    ours = (
        *program("tftpd"), "--uploads", "overwrite", "--user", "nobody",
        "--max-client-transfers", "5000", "--request-rate", "100000", str(root),
    )  # fmt: skip
    commands: dict[str, tuple[int, tuple[str, ...]]] = {
        OURS: (6901, (*ours, "-p", "6901")),
        "tftpd-hpa": (6902, ("in.tftpd", "-L", "-a", ":6902", "-u", "nobody", "-s", "-c", str(root))),
        "atftpd": (6903, (
            str(debs.unpacked("atftpd") / "usr/sbin/atftpd"), "--daemon", "--no-fork", "--port", "6903",
            "--user", "nobody.nogroup", "--maxthread", "5000", str(root),
        )),
        "dnsmasq": (69, (
            "dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--port=0", "--user=nobody",
            "--enable-tftp", f"--tftp-root={root}", "--tftp-max=5000", "--pid-file",
            "--log-facility=/dev/null",
        )),
        TWO: (6904, (*ours, "-p", "6904", "--workers", "2")),
        CEILING: (6905, (str(generator), "serve", "6905")),
    }  # fmt: skip
    servers = []
    for name in names:
        port, command = commands[name]
        began = time.monotonic()
        process = namespace.start(*on(CORES if name == TWO else SERVER_CORES), *command, name=name)
        process.wait_listening(port)
        servers.append(Server(name, port, process, time.monotonic() - began))
    time.sleep(1)  # they settle; whatever they do after listening belongs to their start
    for server in servers:
        server.idle = server.peak()
    return servers
