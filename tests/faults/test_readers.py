"""Whoever should read the records does not: clients are served all the same."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.base.running import PATIENCE, Daemon
from tests.base.tftp_peer import get
from tests.lab import CHECKOUT, wait_until

REQUESTS = 1000
NAME = "n" * 500  # octets, which become a part of each record
ERROR = 5
JOURNAL = """
import sys
sys.path.insert(0, {checkout!r})
from ptftpd import sinks
sinks.JOURNAL = {path!r}
"""


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    """Return the server's socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        yield made


def serve(
    tmp_path: Path, sock: socket.socket, *words: str, stderr: int, environment: dict[str, str] | None = None
) -> Daemon:
    """Return a server whose records go to stderr."""
    (tmp_path / "conf").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_bytes(b"x" * 1000)
    rate = ("--request-rate", "10000", "-c", str(tmp_path / "conf"), "-u", getpass.getuser())
    return Daemon(
        tmp_path, "tftpd", *rate, *words, tmp_path / "root",
        sockets=[("tftp", sock)], stderr=stderr, environment=environment,
    )  # fmt: skip


def ask(port: int) -> None:
    """Send the requests, each answered before the next; TimeoutError when one is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        for number in range(REQUESTS):
            request = b"\0\1" + f"{number}-{NAME}".encode() + b"\0octet\0"
            client.sendto(request, ("127.0.0.1", port))
            assert client.recv(2000)[1] == ERROR
    assert get(port, "file") == b"x" * 1000


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_pipe_that_nobody_reads(tmp_path: Path, sock: socket.socket, workers: str) -> None:
    """All are answered; then the records come in order, with how many are missing."""
    read, write = os.pipe()
    with serve(tmp_path, sock, "--workers", workers, stderr=write) as daemon:
        os.close(write)
        daemon.manager.wait("READY=1")
        ask(sock.getsockname()[1])
        os.set_blocking(read, False)
        text = b""

        def all_told() -> bool:
            nonlocal text
            try:
                text += os.read(read, 1 << 20)
            except BlockingIOError:
                return False
            lost = sum(int(count) for count in re.findall(rb"warning: (\d+) records lost", text))
            return text.count(b"refused ") + lost >= REQUESTS

        wait_until(all_told, PATIENCE, "what is missing")
        if workers == "1":
            numbers = [int(number) for number in re.findall(rb" (\d+)-n", text)]
            assert numbers == sorted(numbers)
            assert b"records lost" in text
        daemon.process.terminate()
        assert daemon.end() == 0
    os.close(read)


def test_it_ends_though_nobody_reads(tmp_path: Path, sock: socket.socket) -> None:
    """Its last records wait a moment for their reader, and not for ever."""
    read, write = os.pipe()
    with serve(tmp_path, sock, stderr=write) as daemon:
        os.close(write)
        daemon.manager.wait("READY=1")
        ask(sock.getsockname()[1])
        daemon.process.terminate()
        assert daemon.end(within=10) == 0
    os.close(read)


def test_a_journal_that_nobody_reads(tmp_path: Path, sock: socket.socket) -> None:
    """Linux lets ten datagrams wait, or as many as net.unix.max_dgram_qlen says."""
    path = tmp_path / "journal"
    (tmp_path / "patch").mkdir()
    patch = JOURNAL.format(checkout=str(CHECKOUT), path=str(path))
    (tmp_path / "patch/sitecustomize.py").write_text(patch)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal,
        (tmp_path / "stream").open("wb") as stream,
    ):
        journal.bind(str(path))
        status = os.fstat(stream.fileno())
        environment = {
            "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}",
            "PYTHONPATH": str(tmp_path / "patch"),
        }
        with serve(tmp_path, sock, stderr=stream.fileno(), environment=environment) as daemon:
            daemon.manager.wait("READY=1")
            ask(sock.getsockname()[1])
            journal.settimeout(PATIENCE)
            numbers, lost = [], 0
            while len(numbers) + lost < REQUESTS:
                record = journal.recv(65536).decode()
                numbers += [int(number) for number in re.findall(r"TFTP_FILE=(\d+)-n", record)]
                lost += sum(int(count) for count in re.findall(r"MESSAGE=(\d+) records lost", record))
        assert numbers == sorted(numbers)
        assert lost
