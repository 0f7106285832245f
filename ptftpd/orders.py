"""What a supervisor and one of its workers say to each other, over a pair of sockets.

Up go sd_notify(3) states, and the answers to a prepared reload: PREPARED=1 or REFUSED=SENTENCE. Down go the
orders: prepare, with the settings in a file of memory, then commit or discard. The end of one side is the
end of file for the other. Neither side ever waits for the other to read.
"""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

PREPARE, COMMIT, DISCARD = b"prepare", b"commit", b"discard"
MAX_STATE = 32768  # octets of one state: some refusals list every wrong line of a file; the rest is cut off


class Order(NamedTuple):
    """What a worker is to do; settings, pickled, come with PREPARE."""

    name: bytes
    settings: bytes = b""


class Orders:
    """A worker's end."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        """Return the descriptor, which is readable when there is an order, or no supervisor any more."""
        return self._socket.fileno()

    def say(self, state: str) -> None:
        """Report to the supervisor; what it has no room for is lost, and the next report says as much."""
        try:
            self._socket.send(state.encode(errors="replace")[:MAX_STATE], socket.MSG_DONTWAIT)
        except OSError:
            pass  # it is gone, and the worker is about to notice

    def take(self) -> Order | None:
        """Return the order that waits, None when the supervisor is gone."""
        try:
            name, files, _, _ = socket.recv_fds(self._socket, 64, 1)
        except ConnectionResetError:  # it left reports unread
            return None
        if not name:
            return None
        if not files:
            return Order(name)
        with os.fdopen(files[0], "rb") as file:
            file.seek(0)
            return Order(name, file.read())


class Worker:
    """The supervisor's end."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.pid, self._socket = pid, sock
        self.state = ""  # its last STATUS

    def fileno(self) -> int:
        """Return the descriptor, which is readable when the worker reported, or ended."""
        return self._socket.fileno()

    def heard(self) -> str:
        """Return one report, '' when the worker has ended."""
        try:
            return self._socket.recv(MAX_STATE).decode(errors="replace")
        except ConnectionResetError:  # it left orders unread
            return ""

    def order(self, name: bytes, settings: bytes = b"") -> None:
        """Give an order. A worker that takes none, as it hangs or ended, does not answer either."""
        try:
            if not settings:
                self._socket.send(name)
                return
            with os.fdopen(os.memfd_create("settings"), "wb") as file:
                file.write(settings)
                file.flush()
                socket.send_fds(self._socket, [name], [file.fileno()])
        except OSError:
            pass

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
