"""A file system that hangs: only its own clients wait, and they are told."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.base.running import Daemon
from tests.lab import wait_until
from tests.netns.tftp_site import Peer, ack, content, data, error_code, rrq, wrq

OCTETS = content(300_000)
SOON = 1.0  # seconds: some 50 times what a client waits otherwise


class Here:
    """This machine, as a Peer has its clients'."""

    client: Here

    def __init__(self) -> None:
        self.client = self

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be where you are."""
        yield


@dataclass
class Hanging:
    """A server of two roots, the second of which is on a file system whose daemon can be stopped."""

    local: Path
    far: Path
    daemon: Daemon
    fuse: subprocess.Popen[bytes]
    port: int
    stack: ExitStack = field(default_factory=ExitStack)

    def peer(self) -> Peer:
        """Return a client."""
        return self.stack.enter_context(Peer(Here(), "127.0.0.1", port=self.port))

    def hang(self) -> None:
        """Stop the file system's daemon, and let the kernel forget what it knows of the files."""
        os.kill(self.fuse.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        os.kill(self.fuse.pid, signal.SIGCONT)


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Hanging]:
    local, behind, far = (tmp_path / name for name in ("local", "behind", "far"))
    for path in (local, behind, far):
        path.mkdir()
    for path in (local / "file", behind / "far", behind / "running"):
        path.write_bytes(OCTETS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["-o", "direct_io,attr_timeout=0,entry_timeout=0,negative_timeout=0"]
    fuse = subprocess.Popen(["bindfs", "-f", *options, behind, far])
    wait_until(lambda: os.path.ismount(far), 10, "the file system")
    config = tmp_path / "conf"
    config.write_text(f"[pxe]\nroot = {local}, {far}\n[tftp]\nuploads = create\naddress = 127.0.0.1\n")
    try:
        with Daemon(
            tmp_path, "tftpd", "--user", "root", "--port", str(port), "-c", config,
            environment={"WATCHDOG_USEC": "1000000"},
        ) as daemon:  # fmt: skip
            daemon.manager.wait("READY=1")
            made = Hanging(local, far, daemon, fuse, port)
            with made.stack:
                yield made
            made.go_on()
    finally:
        fuse.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "-l", far], check=True)
        fuse.terminate()
        fuse.wait()


def served(hanging: Hanging, name: str = "file") -> float:
    """Return the seconds that a client takes to get a file."""
    began = time.monotonic()
    with Peer(Here(), "127.0.0.1", port=hanging.port) as peer:
        assert peer.get(rrq(name)) == OCTETS
    return time.monotonic() - began


def test_a_root_that_hangs(hanging: Hanging) -> None:
    """Its clients are told 'busy', in seconds, then at once; others are served; it ends when told to."""
    assert served(hanging, "far") < SOON
    running = hanging.peer()
    running.ask(rrq("running", blksize=8192, windowsize=1))
    running.receive()
    hanging.hang()
    peers = [hanging.peer() for _ in range(4)]
    for peer in peers:
        peer.ask(rrq("far"))
    running.answer(ack(0))
    for _ in range(5):
        assert served(hanging) < SOON
        hanging.peer().put(wrq(f"new{time.monotonic()}"), OCTETS[:5000])
    for peer in peers:
        assert error_code(peer.receive(timeout=6)) == 0, "each is told"
    began, late = time.monotonic(), hanging.peer()
    late.ask(rrq("far"))
    answer = late.receive()
    assert b"busy" in answer
    assert time.monotonic() - began < SOON, "at once: all threads of that root hang"
    wait_until(lambda: f"{hanging.far}: the file system does not answer" in status(hanging), 5, "the status")
    assert served(hanging) < SOON
    stopping = time.monotonic()
    hanging.daemon.process.send_signal(signal.SIGTERM)
    assert hanging.daemon.process.wait(20) == 0
    assert time.monotonic() - stopping < 15, "the transfer that hangs is given up after ten seconds"


def test_a_reload_while_it_hangs(hanging: Hanging) -> None:
    """A reload does not wait for it for long, and leaves it in the settings: it is served once it answers."""
    hanging.hang()
    began = time.monotonic()
    hanging.daemon.process.send_signal(signal.SIGHUP)
    hanging.daemon.manager.wait("RELOADING=1")
    hanging.daemon.manager.wait("READY=1")
    assert time.monotonic() - began < 5, "a second for each look at it"
    told = f"root directory {hanging.far}: its file system does not answer"
    wait_until(lambda: told in hanging.daemon.log(), 5, "the record")
    assert served(hanging) < SOON
    hanging.go_on()
    assert served(hanging, "far") < SOON


def test_a_start_while_it_hangs(hanging: Hanging, tmp_path: Path) -> None:
    """The other roots are served, and this one once it answers."""
    hanging.daemon.process.send_signal(signal.SIGTERM)
    assert hanging.daemon.process.wait(20) == 0
    hanging.hang()
    again = tmp_path / "again"
    again.mkdir()
    with Daemon(
        again, "tftpd", "--user", "root", "--port", str(hanging.port), "-c", tmp_path / "conf"
    ) as daemon:
        daemon.manager.wait("READY=1")
        assert served(hanging) < SOON
        hanging.go_on()
        assert served(hanging, "far") < SOON


def status(hanging: Hanging) -> str:
    """Return what systemd is told."""
    return hanging.daemon.manager.wait("STATUS=")["STATUS"]


def test_it_comes_back(hanging: Hanging) -> None:
    """A transfer goes on where it was, and new ones begin."""
    peer = hanging.peer()
    peer.ask(rrq("far", blksize=1024))
    peer.receive()
    hanging.hang()
    peer.answer(ack(0))
    assert peer.listen(1.5) is None
    hanging.go_on()
    received, block = b"", 1
    while len(received) < len(OCTETS):
        answer = peer.receive()
        assert answer[:4] == data(block)
        received += answer[4:]
        peer.answer(ack(block))
        block += 1
    assert received == OCTETS
    assert served(hanging, "far") < SOON
    assert "warning" not in hanging.daemon.log()
