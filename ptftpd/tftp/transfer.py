"""One file on its way to or from one client: the machine, its socket, its file, and the record of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ptftpd import runs
from ptftpd.log import Log, amount
from ptftpd.loop import INF, Loop
from ptftpd.tftp import options, wire
from ptftpd.tftp.outcome import OK, Failure, Outcome
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender

WIDE = 16  # windowsize from which on the next window is read while the client is busy with the last one
MANY = 64  # datagrams, or runs of them, of one upload taken a wake-up, so that it does not starve the others
COPIED = 0.1  # seconds within which the same request again is the network's copy: no client repeats so soon
STALLED = 1.0  # seconds without a datagram after which the same request means that the client started over

Peer = tuple[str, int]


class File(Protocol):
    """What a transfer reads or writes; the machine has its methods, the transfer closes it."""

    path: str

    def close(self) -> None:
        """Release it; an upload that was not finished is gone."""


class Owner(Protocol):
    """The server as its transfers see it."""

    loop: Loop
    log: Log
    buffer: bytearray
    outbox: list[Transfer]

    def ended(self, transfer: Transfer, outcome: Outcome) -> None:
        """Note that the outcome of a transfer is known."""

    def closed(self, transfer: Transfer) -> None:
        """Forget a transfer."""


@dataclass(slots=True)
class Request:
    """What a client asked, as it came in datagram: name is how it calls the file, asked are the options.

    ifindex: the interface that it came through. quirks: what was done to the name.
    """

    datagram: bytes
    peer: Peer
    local: str
    ifindex: int
    opcode: int
    name: str
    mode: str
    asked: dict[str, str]
    quirks: tuple[str, ...] = ()

    @property
    def writing(self) -> bool:
        """Whether it is a WRQ."""
        return self.opcode == wire.WRQ


class Transfer:
    """Runs a machine on a socket until it has ended, and writes its one record."""

    __slots__ = (
        "_closed", "_ended", "_fd", "_file", "_owner", "_read_ahead", "_recv_into", "_run", "_seen",
        "_send", "_shared", "_sock", "_started", "_terms", "deadline", "machine", "request", "scheduled",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        request: Request,
        sock: socket.socket,
        file: File,
        machine: Sender | Receiver,
        terms: options.Terms,
        *,
        shared: bool = False,
    ) -> None:
        """sock: connected to the peer and this transfer's own; or shared with others, unconnected."""
        self._owner, self.request, self._sock, self._file = owner, request, sock, file
        self.machine, self._terms, self._shared = machine, terms, shared
        self.deadline = self.scheduled = INF
        self._fd = sock.fileno()
        self._recv_into = sock.recv_into
        self._ended = self._closed = False
        self._started = self._seen = 0.0
        self._run: memoryview | bytes = b""
        self._send: Callable[[memoryview | bytes], object]
        self._read_ahead: Callable[[], None] | None = None
        if isinstance(machine, Sender) and machine.windowsize >= WIDE:
            self._read_ahead = machine.read_ahead
        if shared:
            self._send = runs.Burst(sock, machine.segment, peer=request.peer, local=request.local).send
        elif isinstance(machine, Receiver) or machine.windowsize == 1:
            self._send = sock.send  # all that it says is one datagram
        else:
            self._send = runs.Burst(sock, machine.segment).send

    def start(self, now: float) -> None:
        """Send the first datagram and wait for the answers."""
        self._started = self._seen = now
        if not self._shared:
            windows = isinstance(self.machine, Receiver) and self.machine.windowsize > 1
            if windows:
                runs.accept_runs(self._sock)
            self._owner.loop.add(self._fd, self.ready_many if windows else self.ready)
        self._go_on(self.machine.start(now), now)

    def ready(self, now: float) -> None:
        """Take one datagram: in lock-step there is no second one to look for."""
        owner = self._owner
        try:
            size = self._recv_into(owner.buffer)
        except ConnectionRefusedError:
            self._refused(now)
            return
        except OSError:
            return  # an ICMP error of the way, such as 'no route': like a lost datagram
        self._seen = now
        machine = self.machine
        run = machine.receive(owner.buffer, size, now)
        if run is None or machine.deadline < self.scheduled or machine.outcome is not None:
            self._go_on(run, now)
        else:  # as _go_on() would, a call less for nearly every datagram
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
                self._refused(now)
                return
            except OSError:
                continue
            self.take(buffer, size, now, segment)
            if self._closed:
                return

    def take(self, buffer: bytearray, size: int, now: float, segment: int = 0) -> None:
        """Act on what a wake-up may bring several of: a datagram buffer[:size], or a run in segments."""
        self.flush(now)  # the machine uses the buffer of what it had to say again
        if self._closed:
            return
        self._seen = now
        machine = self.machine
        if 0 < segment < size and isinstance(machine, Receiver):
            answer: memoryview | bytes | None = machine.receive_run(buffer, size, segment, now)
        else:
            answer = machine.receive(buffer, size, now)
        self._go_on(answer, now)

    def flush(self, now: float) -> None:
        """Send what the machine had to say; the server calls it at the end of each wake-up.

        Many answers that leave one after the other wake a client once; each between two receptions of ours
        would wake it for one datagram, which costs both ends more than the datagram.
        """
        run = self._run
        if run:
            self._run = b""
            try:
                self._send(run)
                if self._read_ahead:
                    self._read_ahead()
            except ConnectionRefusedError:
                self._refused(now)
            except OSError:
                pass  # like loss: the machine's timer bounds it

    def tick(self, now: float) -> None:
        """Send again what was not answered in time, or stop dallying."""
        self._go_on(self.machine.tick(now), now)

    def repeated(self, datagram: bytes, now: float) -> bool:
        """Return whether this transfer goes on when a request comes from its client's TID again.

        The request repeated is answered with the first datagram again while nothing was acknowledged, and
        ignored later; any other request, or one after a silence, means that the client started over.
        """
        self.flush(now)  # which may end it
        if self._ended or datagram != self.request.datagram:
            return False
        if now - self._seen < COPIED:
            return True  # curl and atftp answer a doubled OACK to a WRQ with blocks that were not asked for
        again = self.machine.repeat(now)
        if again is None:
            return now - self._seen < STALLED
        self._go_on(again, now)
        return True

    @property
    def ended(self) -> bool:
        """Whether its outcome is known: what is left of it only dallies."""
        return self._ended

    @property
    def answered(self) -> bool:
        """Whether the client has said anything since its request."""
        return self._seen > self._started

    def give_way(self) -> None:
        """End it without a record of its own."""
        if not self._ended:
            self._release(Failure(wire.UNDEFINED, "gave way"))
        self.close()

    def abandon(self, reason: str, now: float) -> None:
        """End it before its time; the peer is not told, it has started over or will find out."""
        self._end(Failure(wire.UNDEFINED, reason), now)
        self.close()

    def close(self) -> None:
        """Release everything, once; it has ended."""
        if self._closed:
            return
        self._closed = True
        self._owner.closed(self)
        if not self._shared:
            self._owner.loop.remove(self._fd)
            self._sock.close()
        self._run = b""
        # The loop's heap holds this object until what was its deadline. The machine and its buffer, and what
        # was asked, must not hang on it: a storm of short transfers would fill the memory.
        del self.machine, self.request
        self._read_ahead = None
        self.deadline = INF

    def _go_on(self, run: memoryview | bytes | None, now: float) -> None:
        machine = self.machine
        if run is not None:
            self._run = run
            self._owner.outbox.append(self)
        self.deadline = deadline = machine.deadline
        if machine.outcome is not None:
            self.flush(now)
            self._end(machine.outcome, now)
            if deadline == INF:
                self.close()
                return
        if deadline < self.scheduled:
            self._owner.loop.schedule(self)

    def _refused(self, now: float) -> None:
        """End it, as the client's port is closed (ICMP); what the machine has come to counts nevertheless."""
        self._end(self.machine.outcome or Failure(wire.UNDEFINED, "it closed its port"), now)
        self.close()

    def _end(self, outcome: Outcome, now: float) -> None:
        """Write the record of this transfer, once."""
        if not self._ended:
            self._release(outcome)
            record(self._owner.log, self.request, self.machine, self._terms, self._file.path, outcome,
                   max(now - self._started, 1e-6))  # fmt: skip

    def _release(self, outcome: Outcome) -> None:
        """Count it, and let go of the file: to dally takes the socket only."""
        self._ended = True
        self._owner.ended(self, outcome)
        self._file.close()


def record(
    log: Log,
    request: Request,
    machine: Sender | Receiver,
    terms: options.Terms,
    path: str,
    outcome: Outcome,
    seconds: float,
) -> None:
    """Write the one record of a transfer that took so many seconds."""
    octets, name, client = machine.octets, request.name, request.peer[0]
    facts = {
        "TFTP_CLIENT": client, "TFTP_FILE": name, "TFTP_PATH": path, "TFTP_BYTES": octets,
        "TFTP_SECONDS": f"{seconds:.3f}", "TFTP_RATE": int(octets / seconds), "TFTP_BLOCKS": machine.blocks,
        "TFTP_RESENT": machine.resent, "TFTP_MODE": request.mode,
        "TFTP_OPTIONS": " ".join(f"{option}={value}" for option, value in terms.granted),
        "TFTP_QUIRKS": ", ".join(request.quirks),
    }  # fmt: skip
    remarks = [f"{machine.resent} resent"] if machine.resent else []
    extra = "".join(f", {remark}" for remark in (*remarks, *request.quirks))
    way = f"{name} from {client}" if request.writing else f"{name} to {client}"
    if isinstance(outcome, Failure):
        if outcome.from_peer and outcome.code == wire.OPTIONS and machine.blocks == 0:
            # EDK2 asks for tsize, hangs up with ERROR 8 and asks again: its way, not a failure.
            log.debug(f"{client} only asked for the size of {name}")
            return
        said = "the client said: " if outcome.from_peer else ""
        reason = f"{said}{outcome.reason or f'error {outcome.code}'}"
        log.warning(
            "receive-failed" if request.writing else "send-failed",
            f"{way} failed after {amount(octets)}{extra}: {reason}", **facts, TFTP_ERROR=outcome.code,
        )  # fmt: skip
    elif outcome is OK:
        rate = f" ({amount(octets / seconds)}/s)" if octets >= 100_000 else ""
        verb = "received" if request.writing else "sent"
        log.info(verb, f"{verb} {way}: {amount(octets)} in {seconds:.1f} s{rate}{extra}", **facts)
