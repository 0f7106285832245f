"""The receiving side of a transfer: a server's WRQ, a client's RRQ. No I/O, no clock.

States, and who moves them:
    receiving   block expected is awaited; it moves on                        receive(), tick()
    dallying    outcome is OK: the last block came and was kept; repeated     receive(), tick()
                copies of it are acknowledged again until the deadline
    ended       outcome is a Failure, or OK with the deadline INF             receive(), tick()
"""

from __future__ import annotations

from collections.abc import Callable

from ptftpd.errors import FileError, TransferError, WireError
from ptftpd.tftp import wire
from ptftpd.tftp.codes import transfer_error
from ptftpd.tftp.outcome import INF, OK, Backoff, Failure, Outcome

DALLY = 6.0  # seconds: covers a peer's second retransmission of its last block

DATA, ACK, ERROR, HEADER = wire.DATA, wire.ACK, wire.ERROR, wire.HEADER
unpack_header, make_ack = wire.unpack_header, wire.make_ack

Write = Callable[[memoryview], None]  # keeps the payload of the next blocks in order; raises FileError
Finish = Callable[[], None]  # makes the whole file last, before its last ACK; raises FileError


class Receiver:
    """Takes blocks of blksize octets, acknowledges every windowsize of them (RFC 1350, 7440)."""

    __slots__ = (
        "_announced", "_backoff", "_expected", "_finish", "_last_ack", "_modulus", "_pending", "_reported",
        "_sent_at", "_write", "blksize", "dally", "deadline", "octets", "outcome", "resent", "segment",
        "windowsize",
    )  # fmt: skip

    def __init__(
        self,
        write: Write,
        finish: Finish,
        backoff: Backoff,
        *,
        blksize: int = 512,
        windowsize: int = 1,
        head: bytes = b"",
        announced: int | None = None,
        dally: float = DALLY,
    ) -> None:
        """head: what start() sends and a timeout repeats: a server's OACK, or ACK 0. dally in seconds.

        announced: the octets that are to come, by the peer's tsize (RFC 2349); fewer are a failure at the
        last block. 0 and None mean that it does not know.
        """
        self._write = write
        self._announced = announced or 0
        self._finish = finish
        self._backoff = backoff
        self.blksize = blksize
        self.windowsize = windowsize
        self.dally = dally
        self.segment = HEADER + blksize
        self._last_ack = head or make_ack(0)
        self._modulus = 65536
        self._expected = 1  # the block awaited, counted from 1 without wrapping
        self._pending = 0  # blocks in order since the last ACK
        self._reported = 0  # the block whose absence was reported already
        self._sent_at: float | None = None  # when the ACK that the next block answers went out, once
        self.deadline = INF
        self.outcome: Outcome = None
        self.octets = 0
        self.resent = 0

    @property
    def blocks(self) -> int:
        """The number of blocks received in order."""
        return self._expected - 1

    @property
    def answered(self) -> bool:
        """Whether the peer sent a block, so that what is sent arrives there."""
        return self._expected > 1

    @property
    def at_hand(self) -> bool:
        """Whether it does not use its file any more."""
        return self.outcome is not None

    def postpone(self, seconds: float) -> None:
        """Go on as if the last answer had been given so much later: a thread has given it."""
        if self._sent_at is not None:
            self._sent_at += seconds
        self.deadline += seconds

    def start(self, now: float) -> bytes:
        """Return the first datagram: the OACK of a server, or the ACK 0 that asks for block 1."""
        self._sent_at, self.deadline = now, now + self._backoff.wait
        return self._last_ack

    def receive(self, buf: bytearray | memoryview, n: int, now: float) -> bytes | None:
        """Take the datagram buf[:n]; return the ACK or ERROR to send, if any."""
        if n < HEADER:
            return None
        opcode, block = unpack_header(buf)
        if opcode != DATA:
            if opcode == ERROR:
                self._peer_error(buf, n)
            return None
        expected = self._expected
        ahead = (block - expected) % self._modulus
        if ahead and block == 1 and expected == 65536 and self.windowsize == 1:
            self._modulus, ahead = 65535, 0  # 1 follows 65535 at this peer: in lock-step it is certain
        if self.outcome is not None or ahead:
            return self._out_of_order(ahead, now)
        return self._keep(memoryview(buf)[HEADER:n], 1, n - HEADER, now)

    def receive_run(self, buf: bytearray, n: int, segment: int, now: float) -> bytes | None:
        """Take datagrams of segment octets, the last one perhaps shorter, that lie one behind the other.

        Return what receive() would return last of all; those in order are kept by one call of write.
        """
        count = -(-n // segment)
        view = memoryview(buf)
        if (
            self.outcome is None
            and segment == self.segment
            and count <= self.windowsize - self._pending
            and wire.is_run(buf, n, segment, self._wire(self._expected))
        ):
            payloads = [view[at + HEADER : at + segment] for at in range(0, n, segment)]
            last = n - (count - 1) * segment - HEADER
            payloads[-1] = payloads[-1][:last]
            return self._keep(memoryview(b"".join(payloads)), count, last, now)
        answer = None
        for at in range(0, n, segment):
            answer = self.receive(view[at:], min(segment, n - at), now) or answer
        return answer

    def _keep(self, payload: memoryview, count: int, last: int, now: float) -> bytes | None:
        """Keep count blocks, the last one of last octets; return the ACK or ERROR to send, if any."""
        size = len(payload)
        try:
            if last > self.blksize:
                raise TransferError(wire.ILLEGAL, f"DATA of {last} octets where blksize is {self.blksize}")
            if size:
                self._write(payload)
            if last < self.blksize:
                if self.octets + size < self._announced:
                    reason = f"{self._announced} octets were announced, but only {self.octets + size} came"
                    raise TransferError(wire.UNDEFINED, reason)
                self._finish()
        except (FileError, TransferError) as failed:
            error = transfer_error(failed) if isinstance(failed, FileError) else failed
            self.outcome, self.deadline = Failure(error.code, error.reason), INF
            return wire.make_error(error.code, error.reason)
        self.octets += size
        self._expected += count
        self._pending += count
        self._backoff.answered(now - self._sent_at if self._sent_at is not None else None)
        self._sent_at = None
        self.deadline = now + self._backoff.wait
        if last < self.blksize:
            self.outcome, self.deadline = OK, now + self.dally
        elif self._pending < self.windowsize:
            return None
        self._sent_at = now
        return self._acknowledge()

    def tick(self, now: float) -> bytes | None:
        """Return the last ACK again when nothing came until the deadline; end the dallying."""
        if now < self.deadline:
            return None
        if self.outcome is not None:
            self.deadline = INF
            return None
        if not self._backoff.again():
            reason = f"block {self._expected} did not come after {self._backoff.retries} retries"
            self.outcome, self.deadline = Failure(wire.UNDEFINED, reason), INF
            return None
        self.resent += 1
        self._reported, self._sent_at = 0, None
        self.deadline = now + self._backoff.wait
        return self._acknowledge() if self._pending else self._last_ack

    def repeat(self, now: float) -> bytes | None:
        """Return the first datagram again when the request came again before any block did."""
        return self._last_ack if self.outcome is None and self._expected == 1 else None

    def _out_of_order(self, ahead: int, now: float) -> bytes | None:
        """Return the ACK that an unexpected block calls for: one ahead is a gap, the last a repetition."""
        if self.outcome is None and ahead < self.windowsize and self._reported != self._expected:
            # RFC 7440 §4: acknowledge what came in order; once, or each stray block would rewind the sender.
            self._reported, self._sent_at = self._expected, None
            return self._acknowledge() if self._expected > 1 else self._gap_at_start()
        last = ahead == self._modulus - 1 and self._expected > 1 and self._pending == 0
        if last and (self.outcome is OK or self.outcome is None):
            # The window was acknowledged, and that ACK lost: the sender came to its last block once more.
            self._sent_at = None
            self.resent += 1
            return self._acknowledge()
        return None

    def _gap_at_start(self) -> bytes:
        """Return ACK 0: block 1 is missing; had the OACK been lost, block 2 would not have come."""
        self._pending = 0
        return make_ack(0)

    def _acknowledge(self) -> bytes:
        self._pending = 0
        self._last_ack = make_ack(self._wire(self._expected - 1))
        return self._last_ack

    def _wire(self, block: int) -> int:
        """Return the 16 bits that stand for a block number."""
        if self._modulus == 65536:
            return block & 0xFFFF
        return (block - 1) % 65535 + 1 if block else 0

    def _peer_error(self, buf: bytearray | memoryview, n: int) -> None:
        try:
            code, text = wire.error(bytes(buf[:n]))
        except WireError:
            return
        if self.outcome is None:
            self.outcome, self.deadline = Failure(code, text, from_peer=True), INF
