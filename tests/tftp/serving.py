"""A whole TFTP server in this process, on loopback and a fake clock, and peers that speak octets to it."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from ptftpd import loop as loops
from ptftpd import net
from ptftpd.log import DEBUG, Log
from ptftpd.loop import Loop
from ptftpd.settings import Pxe, Settings, Tftp
from ptftpd.tftp.server import Server
from tests.netns.tftp_site import Peer

LOCAL, LOCAL6 = "127.0.0.1", "::1"


@dataclass
class Record:
    """One record of the log."""

    priority: int
    kind: str
    message: str
    fields: dict[str, object] = field(default_factory=dict)


class Records(Log):
    """A log that keeps its records instead of writing them."""

    def __init__(self) -> None:
        super().__init__("test", DEBUG)
        self.kept: list[Record] = []

    def record(self, priority: int, kind: str, message: str, **fields: object) -> None:
        """Keep one."""
        self.kept.append(Record(priority, kind, message, fields))

    def of(self, *kinds: str) -> list[Record]:
        """Return the records of these kinds."""
        return [record for record in self.kept if record.kind in kinds]

    def only(self, kind: str) -> Record:
        """Return the one record of a kind."""
        [record] = self.of(kind)
        return record


class Serving:
    """A context manager: a server of a root directory. Nothing happens in it but in turn()."""

    client: Serving  # where a Peer opens its socket: here

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, **tftp: Any) -> None:
        """tftp: settings of [tftp]."""
        self.now = 1000.0
        self.wait = True  # for what threads do
        monkeypatch.setattr(loops.time, "monotonic", lambda: self.now)
        self.root, self.settings = root, Settings(pxe=Pxe(root=(str(root),)), tftp=Tftp(**tftp))
        self.log, self.client = Records(), self
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Serving:
        """Start it, on a port of its own."""
        self.loop = Loop()
        self.listener = net.listen("::", 0)
        self.port: int = self.listener.getsockname()[1]
        self.server = Server(self.loop, self.log, [self.listener], self.settings)
        self._poke, poked = (self._stack.enter_context(end) for end in socket.socketpair())
        self.loop.add(poked.fileno(), lambda now: poked.recv(1) and None)
        self.loop.every_wakeup(lambda now: self.loop.stop())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and the peers."""
        self._stack.close()
        self.server.close()
        self.loop.close()

    def turn(self, seconds: float = 0.0) -> None:
        """Let the clock go on, and the server do all that it then has to do."""
        self.now += seconds
        while True:
            self._poke.send(b"!")  # a wake-up does not wait for anything else
            self.loop.run()
            if select.select([self.loop._epoll], [], [], 0)[0]:
                continue
            if not (
                self.wait and self.server.pools.pending and select.select([self.loop._epoll], [], [], 5)[0]
            ):
                return

    def peer(self, server: str = LOCAL) -> LocalPeer:
        """Return a client that speaks octets, which asks that address."""
        return self._stack.enter_context(LocalPeer(self, server))

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be where a Peer opens its socket."""
        yield


class LocalPeer(Peer):
    """A Peer on this machine: nothing ever takes time, so what does not come at once never comes."""

    def __init__(self, serving: Serving, server: str) -> None:
        super().__init__(serving, server, port=serving.port)
        self._serving = serving

    def listen(self, timeout: float = 0.0) -> bytes | None:
        """Return the next datagram, None when there is none."""
        if not select.select([self.socket], [], [], 0)[0]:
            self._serving.turn()
        return super().listen(0)
