"""The load generator, load.c: many TFTP clients at once, in a process whose speed does not count."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab import Argument, Namespace

SECONDS = 60  # that all the clients together have


@dataclass(frozen=True)
class Seen:
    """What the clients saw; times in seconds since each asked."""

    seconds: float  # from the first request to the last block
    octets: int
    failed: int  # clients
    first_p99: float  # 99 % of them had a block by then
    end_p50: float
    end_max: float


@dataclass(frozen=True)
class Generator:
    """The program, in a namespace; before: the start of its command line, such as taskset's."""

    path: Path
    namespace: Namespace
    before: tuple[str, ...] = ()

    def get(self, server: tuple[str, int], file: str, clients: int, blksize: int, windowsize: int) -> Seen:
        """Let every client read the file."""
        return self._run("get", server, file, clients, blksize, windowsize, SECONDS)

    def put(
        self, server: tuple[str, int], file: str, clients: int, blksize: int, windowsize: int, octets: int
    ) -> Seen:
        """Let every client write octets, to FILE.0, FILE.1 and so on."""
        return self._run("put", server, file, clients, blksize, windowsize, octets)

    def _run(self, verb: str, server: tuple[str, int], *arguments: Argument) -> Seen:
        done = self.namespace.run(*self.before, self.path, verb, *server, *arguments, timeout=2 * SECONDS)
        return Seen(**json.loads(done.stdout))


def build(directory: Path) -> Path:
    """Return the program, compiled into the directory."""
    path = directory / "load"
    subprocess.run(["gcc", "-O2", "-o", path, Path(__file__).with_name("load.c")], check=True)
    return path
