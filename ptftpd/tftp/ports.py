"""The two kinds of transfers: on a port of its own, as RFC 1350 §4 has it, or on the one that is shared."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ptftpd import runs
from ptftpd.loop import INF
from ptftpd.tftp import options
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.request import Request
from ptftpd.tftp.sender import Sender
from ptftpd.tftp.transfer import File, Owner, Transfer

MANY = 64  # datagrams, or runs of them, of one upload taken a wake-up, so that it does not starve the others


class OwnPort(Transfer):
    """A transfer that hears its client, and nobody else, on a connected socket of its own."""

    __slots__ = ("_fd", "_ready", "_recv_into", "_sock")

    def __init__(
        self,
        owner: Owner,
        request: Request,
        sock: socket.socket,
        file: File,
        machine: Sender | Receiver,
        terms: options.Terms,
    ) -> None:
        """sock: connected to the peer; it is closed when the transfer is."""
        single = isinstance(machine, Receiver) or machine.windowsize == 1  # all that it says is one datagram
        send = sock.send if single else runs.Burst(sock, machine.segment).send
        super().__init__(owner, request, file, machine, terms, send)
        self._sock, self._fd, self._recv_into = sock, sock.fileno(), sock.recv_into
        self._ready: Callable[[float], None] = self.ready
        if isinstance(machine, Receiver) and machine.windowsize > 1:
            self._ready = self.ready_many
        elif file.may_hang or isinstance(machine, Receiver):
            self._ready = self.ready_one

    def start(self, now: float) -> None:
        """Send the first datagram and wait for the answers."""
        if isinstance(self.machine, Receiver) and self.machine.windowsize > 1:
            runs.accept_runs(self._sock)
        super().start(now)

    def _hear(self) -> None:
        self._owner.loop.add(self._fd, self.ready_first if self._opening else self._ready)

    def _ignore(self) -> None:
        self._owner.loop.remove(self._fd)

    def _let_go(self) -> None:
        self._owner.loop.remove(self._fd)
        self._sock.close()
        del self._ready

    def ready_first(self, now: float) -> None:
        """Take datagrams until one acknowledges something; later ones are not looked at for that."""
        self._ready(now)
        if not self._closed and self._aside == INF and self._is_answered():
            self._owner.loop.replace(self._fd, self._ready)

    def ready(self, now: float) -> None:
        """Take one datagram: in lock-step there is no second one to look for."""
        owner = self._owner
        try:
            size = self._recv_into(owner.buffer)
        except ConnectionRefusedError:
            self.refused(now)
            return
        except OSError:
            return  # an ICMP error of the way, such as 'no route': like a lost datagram
        self.heard = now
        machine = self.machine
        run = machine.receive(owner.buffer, size, now)
        if run is None or machine.deadline < self.scheduled or machine.outcome is not None:
            self._go_on(run, now)
        else:  # as _go_on() would, a call less for nearly every datagram
            self._run, self.deadline = run, machine.deadline
            owner.outbox.append(self)

    def ready_one(self, now: float) -> None:
        """Take one datagram that may have to wait for the file."""
        owner = self._owner
        try:
            size = self._recv_into(owner.buffer)
        except ConnectionRefusedError:
            self.refused(now)
            return
        except OSError:
            return
        machine = self.machine
        if size != machine.segment or self._file.may_hang:
            self.take(owner.buffer, size, now)
            return
        self.heard = now
        run = machine.receive(owner.buffer, size, now)
        if run is None or machine.deadline < self.scheduled or machine.outcome is not None:
            self._go_on(run, now)
        else:  # as in ready()
            self._run, self.deadline = run, machine.deadline
            owner.outbox.append(self)

    def ready_many(self, now: float) -> None:
        """Take what has come of a window."""
        buffer = self._owner.buffer
        for _ in range(MANY):
            try:
                size, segment = runs.receive_run(self._sock, buffer)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                self.refused(now)
                return
            except OSError:
                continue
            self.take(buffer, size, now, segment)
            if self._closed or self._aside != INF:
                return


class SharedPort(Transfer):
    """A transfer on a socket that it shares; the server gives it what its client sends, by take()."""

    __slots__ = ("_burst", "_held")

    def __init__(
        self,
        owner: Owner,
        request: Request,
        sock: socket.socket,
        file: File,
        machine: Sender | Receiver,
        terms: options.Terms,
    ) -> None:
        """sock: unconnected."""
        super().__init__(owner, request, file, machine, terms, self._send_in_turn)
        self._burst = runs.Burst(sock, machine.segment, peer=request.peer, local=request.local).send
        self._held: memoryview | bytes = b""  # what is sent when it is due

    def tick(self, now: float) -> None:
        """Send what had to wait for its turn; else do what any transfer does in time."""
        if self._held and self._aside == INF and now >= self._due:
            self._run, self._held, self._due = self._held, b"", INF
            self._owner.outbox.append(self)
            self.deadline = self.machine.deadline
            return
        super().tick(now)

    def _send_in_turn(self, run: memoryview | bytes) -> None:
        """Send from the shared port, or later when the client has had its share: nothing is lost by that."""
        now = self._owner.loop.now
        wait = self._owner.pace(self, len(run), now)
        if not wait:
            self._held, self._due = b"", INF
            self._burst(run)
            return
        self._held, self._due = run, now + wait
        self.deadline = min(self.deadline, self._due)
        self._owner.loop.schedule(self)
