"""One file on its way to or from one client: its machine, its file, its timer, and the end of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ptftpd.log import Log
from ptftpd.loop import INF, Loop
from ptftpd.texts import cut
from ptftpd.tftp import options, wire
from ptftpd.tftp.limits import STALLED
from ptftpd.tftp.outcome import Failure, Outcome
from ptftpd.tftp.pools import Pools
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.record import CLOSED, record
from ptftpd.tftp.request import Request
from ptftpd.tftp.sender import Sender

WIDE = 16  # windowsize from which on the next window is read while the client is busy with the last one
COPIED = 0.1  # seconds within which the same request again is the network's copy: no client repeats so soon
# Seconds that an upload waits to be on the disk: a busy one takes that long, and the client repeats its last
# block meanwhile. Clients give up after some 25 to 60 seconds.
PUBLISHED = 60.0
ENDURED = 10.0  # seconds that a running transfer waits for its file

HANGS = Failure(wire.UNDEFINED, "the file system does not answer")

Send = Callable[[memoryview | bytes], object]


class File(Protocol):
    """What a transfer reads or writes; the machine has its methods, the transfer closes it."""

    path: str
    root: str  # which it is in
    may_hang: bool  # reading, writing and closing it may

    def give_up(self) -> bool:
        """See to it that nothing comes of it while a thread uses it; False when it is too late for that."""

    def close(self) -> None:
        """Release it; an upload that was not finished is gone."""


class Owner(Protocol):
    """The server as its transfers see it."""

    loop: Loop
    log: Log
    buffer: bytearray
    outbox: list[Transfer]
    pools: Pools

    def pace(self, transfer: Transfer, octets: int, now: float) -> float:
        """Return the seconds until so many octets may go to a transfer's client from the shared port."""

    def answered(self, transfer: Transfer) -> None:
        """Note that the client of a transfer acknowledged something for the first time."""

    def ended(self, transfer: Transfer, outcome: Outcome) -> None:
        """Note that the outcome of a transfer is known."""

    def closed(self, transfer: Transfer) -> None:
        """Forget a transfer."""


class Transfer:
    """Runs a machine until it has ended, and writes its one record. ports.py has the two kinds of it."""

    __slots__ = (
        "_aside", "_closed", "_due", "_ended", "_file", "_opening", "_owner", "_read_ahead", "_run", "_send",
        "_started", "_terms", "deadline", "heard", "machine", "request", "scheduled",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        request: Request,
        file: File,
        machine: Sender | Receiver,
        terms: options.Terms,
        send: Send,
    ) -> None:
        """send: sends a run of datagrams, or one in bytes, to the client; OSError as runs.Burst has it."""
        self._owner, self.request, self._file = owner, request, file
        self.machine, self._terms, self._send = machine, terms, send
        self.deadline = self.scheduled = INF
        self._due = INF  # when what has to wait for its turn is sent, on a shared port
        self._ended = self._closed = False
        self._aside = INF  # when a thread was given the machine, INF when it has none
        self._opening = True  # the client has not acknowledged anything yet
        self._started = self.heard = 0.0  # heard: when the client was, last
        self._run: memoryview | bytes = b""
        self._read_ahead: Callable[[], None] | None = None
        if isinstance(machine, Sender) and machine.windowsize >= WIDE and not file.may_hang:
            self._read_ahead = machine.read_ahead

    def _hear(self) -> None:
        """Have what comes given to the machine; on a shared port the server does that."""

    def _ignore(self) -> None:
        """Let what comes wait in the socket; on a shared port take() drops it, and it is sent again."""

    def _let_go(self) -> None:
        """Release what it hears and sends by."""

    def start(self, now: float) -> None:
        """Send the first datagram and wait for the answers."""
        self._started = self.heard = now
        self._hear()
        if self._file.may_hang and not (self._terms.granted or self.request.writing):
            self._step_aside(partial(self.machine.start, now), now)  # the first datagram is of the file
            return
        self._go_on(self.machine.start(now), now)

    def take(self, buffer: bytearray, size: int, now: float, segment: int = 0) -> None:
        """Act on what a wake-up may bring several of: a datagram buffer[:size], or a run in segments."""
        if self._aside != INF:
            return
        self.flush(now)  # the machine uses the buffer of what it had to say again
        if self._closed:
            return
        self.heard = now
        machine = self.machine
        if self._may_wait(buffer, size):
            receive = machine.receive_run if segment and isinstance(machine, Receiver) else None
            datagrams = bytearray(memoryview(buffer)[:size])
            if receive and segment < size:
                self._step_aside(partial(receive, datagrams, size, segment, now), now)
            else:
                self._step_aside(partial(machine.receive, datagrams, size, now), now)
            return
        if 0 < segment < size and isinstance(machine, Receiver):
            answer: memoryview | bytes | None = machine.receive_run(buffer, size, segment, now)
        else:
            answer = machine.receive(buffer, size, now)
        if self._opening:
            self._is_answered()
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
                self.refused(now)
            except OSError:
                pass  # like loss: the machine's timer bounds it

    def tick(self, now: float) -> None:
        """Send again what was not answered in time, or stop dallying."""
        if self._aside != INF:
            if not self._file.give_up():  # it is being published: the ACK follows
                self.deadline = now + ENDURED
                return
            self._end(HANGS, now)
            self._tell(HANGS.reason)
            self.close()
            return
        if self.request.once and self._opening:
            self.give_way()
            return
        if self._file.may_hang and not self.machine.at_hand and now >= self.machine.deadline:
            self._step_aside(partial(self.machine.tick, now), now)
            return
        self._go_on(self.machine.tick(now), now)

    def repeated(self, datagram: bytes, now: float) -> bool:
        """Return whether this transfer goes on when a request comes from its client's TID again.

        The request repeated is answered with the first datagram again while nothing was acknowledged, and
        ignored later; any other request, or one after a silence, may mean that the client started over.
        """
        if self._closed or datagram != self.request.datagram:
            return False
        if self._aside != INF:
            return True
        self.flush(now)  # which may end it
        if self._ended:
            return False
        if now - self.heard < COPIED:
            return True  # curl and atftp answer a doubled OACK to a WRQ with blocks that were not asked for
        if not self.answered and not self.request.once:
            self.heard = now  # what comes at once again is a copy of this one
            self._go_on(self.machine.repeat(now), now)
            return True
        return now - self.heard < STALLED

    @property
    def ended(self) -> bool:
        """Whether its outcome is known: what is left of it only dallies."""
        return self._ended

    @property
    def answered(self) -> bool:
        """Whether the client has acknowledged anything, which shows that it gets what is sent."""
        return not self._opening

    @property
    def octets(self) -> int:
        """How much of the file is done."""
        return self.machine.octets

    def give_way(self) -> None:
        """End it without a record of its own; a client that had answered is told."""
        if not self._ended:
            if self.answered:
                self._tell("the server is busy: this transfer stood still")
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
        self._let_go()
        self._run = b""
        # The loop's heap may hold this object for a while: the machine, its buffer, and the request must not
        # hang on it. Nor must it hang on its own methods: it would be there until the garbage collector runs.
        del self.machine, self.request, self._send
        self._read_ahead = None
        self._owner.loop.cancel(self)

    def _tell(self, reason: str) -> None:
        """Let the client know why it ends; it does not matter whether that arrives."""
        with contextlib.suppress(OSError):
            self._send(wire.make_error(wire.UNDEFINED, reason))

    def _is_answered(self) -> bool:
        """Note it once when the client has acknowledged something; return whether it has."""
        if self._opening and self.machine.answered:
            self._opening = False
            self._owner.answered(self)
        return not self._opening

    def _go_on(self, run: memoryview | bytes | None, now: float) -> None:
        machine = self.machine
        if run is not None:
            self._run = run
            self._owner.outbox.append(self)
        deadline = machine.deadline
        self.deadline = deadline = deadline if deadline < self._due else self._due
        if machine.outcome is not None:
            self.flush(now)
            self._end(machine.outcome, now)
            if machine.deadline == INF:
                self.close()
                return
        if deadline < self.scheduled:
            self._owner.loop.schedule(self)

    def refused(self, now: float) -> None:
        """End it, as the client's port is closed (ICMP); what the machine has come to counts nevertheless."""
        self._end(self.machine.outcome or CLOSED, now)
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
        if self._aside == INF:
            self._is_answered()  # by the one ACK that ended it
        self._owner.ended(self, outcome)
        if self._aside == INF:
            self._release_file(self.machine)
        else:  # a thread uses it, and has to come back first
            self._file.give_up()

    def _release_file(self, machine: Sender | Receiver) -> None:
        if isinstance(machine, Sender):
            machine.release()
        file = self._file
        self._owner.pools.release(file.root, file.close, may_hang=file.may_hang)

    # What may hang -----------------------------------------------------------------------------

    def _may_wait(self, buffer: bytearray, size: int) -> bool:
        """Return whether the machine may have to wait for the file to take a datagram, or a run of them.

        That is so for any file that may hang and is not read ahead; and for the end of any upload, which is
        a short block, as it is on the disk when that is acknowledged.
        """
        machine = self.machine
        if self._file.may_hang:
            return not machine.at_hand
        return (
            isinstance(machine, Receiver)
            and size % machine.segment != 0
            and buffer[1] == wire.DATA
            and not machine.at_hand
        )

    def _step_aside(self, step: Callable[[], memoryview | bytes | None], now: float) -> None:
        """Let a thread take a step of the machine; until it comes back nobody else touches that.

        No timer of the machine runs meanwhile, and what comes for it waits in the socket. It is never turned
        away: a thousand uploads may end at once, and there are no more steps than transfers.
        """
        owner = self._owner
        file, done = self._file, partial(self._came_back, self.machine)
        owner.pools.submit(file.root, step, done, always=True, local=not file.may_hang)
        self._aside = now
        self._ignore()
        owner.loop.cancel(self)
        writing = isinstance(self.machine, Receiver)
        self.deadline = now + (PUBLISHED if writing else ENDURED)
        if writing:
            self.heard = INF  # an upload that is being finished does not stand still
        owner.loop.schedule(self)

    def _came_back(self, machine: Sender | Receiver, result: Any) -> None:
        """Go on with what a step came to, as if it had taken no time."""
        owner, since, self._aside = self._owner, self._aside, INF
        if self._ended:
            self._release_file(machine)
            return
        now = owner.loop.now
        if self.heard == INF:
            self.heard = now
        self._hear()
        owner.loop.cancel(self)
        if isinstance(result, BaseException):
            owner.log.failed(f"{cut(self.request.name)} for {self.request.peer[0]}", result)
            self._tell("the server failed")
            self.abandon("the server failed", now)
            return
        machine.postpone(now - since)
        if self._opening:
            self._is_answered()
        self._go_on(result, now)
