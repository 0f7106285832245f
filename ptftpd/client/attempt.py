"""One request of a client and the transfer that follows from it.

asking         the request is out, from a port of its own; the answer decides on the terms      ask(), hear()
transferring   a Receiver or a Sender runs on the socket, connected to the port that answered   run()

One transfer at a time needs no event loop: the socket is waited for, a TICK at most, and the clock read here.
"""

from __future__ import annotations

import contextlib
from time import monotonic, sleep

from ptftpd.client.channel import TICK, Channel, room
from ptftpd.client.job import Job, Machine, Result, Watch
from ptftpd.client.settings import Settings
from ptftpd.errors import TransferError, WireError
from ptftpd.tftp import options, wire
from ptftpd.tftp.outcome import DEFAULT_RETRIES, DEFAULT_TIMEOUT, OK, Backoff, Failure, Outcome
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import PAUSE, Sender

MAX_BLKSIZE = 65464  # RFC 2348
WINDOW = 64  # blocks asked for by default: more gain nothing here
OPENING = 2  # retransmissions of what follows an OACK before asking in another way
PEER_BUFFER = 212_992  # octets: net.core.rmem_default of Linux
DALLY = 1.0  # seconds to stay after the last block when packets were lost: its ACK may be lost as well
MISREAD = {wire.UNDEFINED, wire.ILLEGAL, wire.OPTIONS}  # how servers that dislike options refuse a request


class Attempt:
    """Sends one request, takes the answer to it, and runs the transfer that begins with that one."""

    def __init__(self, channel: Channel, settings: Settings, watch: Watch, job: Job, result: Result) -> None:
        """result.asked: the options to ask for."""
        self._channel, self._settings, self._watch = channel, settings, watch
        self._job, self._result = job, result
        self._request = wire.make_request(job.opcode, job.name, job.mode, result.asked)
        self._first = (wire.DATA, 1) if job.opcode == wire.RRQ else (wire.ACK, 0)  # without an OACK
        self._machine: Machine | None = None
        self._asked_at = 0.0
        self._asked = 0  # how often
        self._datagrams = 0

    def ask(self) -> None:
        """Send the request; OSError as the network has it."""
        self._asked_at = monotonic()
        self._asked += 1
        self._channel.ask(self._request)

    def hear(self, size: int, segment: int) -> bool:
        """Take what the channel received; return whether it is an answer: the outcome, or for run()."""
        now = monotonic()
        if self._asked == 1:
            self._result.round_trip = now - self._asked_at
        try:
            return self._answer(size, segment, now)
        except TransferError as error:
            self._refuse(error)
            return True

    def run(self) -> None:
        """Transfer to the end, if the answer began a transfer."""
        if not self._machine:
            return
        result = self._result
        try:
            result.outcome = self._transfer(self._machine)
        except TransferError as error:
            self._refuse(error)
        finally:
            result.octets, result.resent = self._job.octets(self._machine), self._machine.resent
            result.remark = self._job.remark

    def stop(self) -> None:
        """Tell the server that there will be no more, if a transfer began."""
        if self._machine:
            self._tell(wire.UNDEFINED, "stopped by the user")

    def _refuse(self, error: TransferError) -> None:
        self._result.outcome = Failure(error.code, error.reason)
        self._tell(error.code, error.reason)

    def _tell(self, code: int, reason: str) -> None:
        """Send an ERROR, if the server is there still."""
        with contextlib.suppress(OSError):
            self._channel.send(wire.make_error(code, reason))

    def _answer(self, size: int, segment: int, now: float) -> bool:
        """Make the machine by the terms of the first datagram, or take it for the outcome if it is an ERROR.

        Return False for what is no answer.
        """
        channel, result = self._channel, self._result
        datagram = bytes(channel.buffer[: min(size, segment)])
        opcode, number = wire.header.unpack_from(datagram.ljust(wire.HEADER, b"\0"))
        if opcode not in (wire.ERROR, wire.OACK) and (opcode, number) != self._first:
            return False
        result.answered = True
        if opcode == wire.ERROR:
            code, text = wire.error(datagram.ljust(wire.HEADER, b"\0"))
            result.misread = code in MISREAD
            result.outcome = Failure(code, text, from_peer=True)
            return True
        channel.settle(wire.HEADER)  # whom to tell if something is wrong with the terms
        if opcode == wire.OACK:
            try:
                result.terms = options.accept(result.asked, wire.oack(datagram))
            except (ValueError, WireError) as error:
                result.misread = True
                raise TransferError(wire.OPTIONS, str(error)) from None
        self._machine = machine = self._job.machine(result.terms, self._backoff(result.terms))
        channel.settle(machine.segment, runs=isinstance(machine, Receiver) and machine.windowsize > 1)
        run = machine.start(now)
        if opcode == wire.DATA:
            self._take(machine, size, segment, now)  # its ACK asks for the next block, and there was no OACK
        else:
            self._channel.send(run)
        return True

    def _backoff(self, terms: options.Terms) -> Backoff:
        retries = DEFAULT_RETRIES if self._settings.retries is None else self._settings.retries
        return Backoff(
            terms.timeout or self._settings.timeout or DEFAULT_TIMEOUT, retries,
            fixed=terms.timeout is not None, opening=min(retries, OPENING) if terms.granted else None,
        )  # fmt: skip

    # Transferring ------------------------------------------------------------------------------

    def _transfer(self, machine: Machine) -> Outcome:
        """Run the machine to its end; return its outcome."""
        total, report_at = self._result.terms.tsize, 0.0
        while machine.outcome is None:
            try:
                if isinstance(machine, Sender) and machine.pausing:
                    sleep(PAUSE)
                    self._channel.send(machine.tick(monotonic()) or b"")
                    continue
                size, segment = self._channel.receive()
                now = monotonic()
                if size:
                    self._take(machine, size, segment, now)
                if now >= machine.deadline:
                    self._late(machine, now)
            except ConnectionRefusedError:
                self._result.misread = machine.blocks == 0
                return Failure(wire.UNDEFINED, "the server closed its port")
            except OSError:
                now = monotonic()  # an ICMP error of the way, such as 'no route': like a lost datagram
            if now >= report_at:
                report_at = now + TICK
                self._watch.progress(self._job.octets(machine), total)
        self._watch.progress(self._job.octets(machine), total)
        if isinstance(machine, Receiver) and machine.outcome is OK:
            self._dally(machine)
        return machine.outcome

    def _take(self, machine: Machine, size: int, segment: int, now: float) -> None:
        """Give the machine what was received and send what it answers."""
        buffer = self._channel.buffer
        if size > segment and isinstance(machine, Receiver):
            run: memoryview | bytes | None = machine.receive_run(buffer, size, segment, now)
        else:
            run = machine.receive(buffer, size, now)
        if run is not None:
            self._channel.send(run)
            self._job.idle()
        self._datagrams += -(-size // segment)
        if isinstance(machine.outcome, Failure) and machine.outcome.from_peer and machine.blocks == 0:
            self._result.misread = machine.outcome.code in MISREAD

    def _late(self, machine: Machine, now: float) -> None:
        """Send again what was not answered in time, if the machine does not give up."""
        run = machine.tick(now)
        if run is not None:
            self._watch.note(
                f"{self._result.address}: nothing came after block {machine.blocks}; trying again"
            )
            self._channel.send(run)
        elif machine.outcome is not None:
            self._result.misread = machine.blocks == 0

    def _dally(self, machine: Receiver) -> None:
        """Acknowledge the last block again should it come again, where packets were lost (RFC 1350 §6)."""
        until = monotonic() + DALLY if machine.resent or self._datagrams > machine.blocks else 0.0
        while (now := monotonic()) < until:
            try:
                size, segment = self._channel.receive()
                if size:
                    self._take(machine, size, segment, now)
            except ConnectionRefusedError:
                return  # it has gone: it got the last ACK
            except OSError:
                pass


def wishes(settings: Settings, channel: Channel, job: Job) -> dict[str, str]:
    """Return the options to ask for.

    The window of a file that is got is one that can wait here, that of one that is put one that can wait in
    the server's socket, as it is on Linux if the server does not care: many grant more than they can hold,
    and the end of each window is lost.
    """
    if settings.rfc1350:
        return {}
    asked = {}
    carried = max(channel.carried - wire.HEADER, options.DEFAULT_BLKSIZE)
    blksize = settings.blksize or min(carried, MAX_BLKSIZE)
    if blksize != options.DEFAULT_BLKSIZE:
        asked[options.BLKSIZE] = str(blksize)
    if job.tsize is not None:
        asked[options.TSIZE] = str(job.tsize)
    segment = wire.HEADER + blksize
    holds = channel.room(segment) if job.opcode == wire.RRQ else room(PEER_BUFFER, segment)
    windowsize = settings.windowsize or min(WINDOW, holds)
    if windowsize > 1:
        asked[options.WINDOWSIZE] = str(windowsize)
    if settings.timeout is not None and settings.timeout.is_integer():
        asked[options.TIMEOUT] = str(int(settings.timeout))
    return asked
