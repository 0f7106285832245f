"""The sending side of a transfer: a server's RRQ, a client's WRQ. No I/O, no clock.

    opening   the OACK is out; ACK 0 moves to sending                        start(), receive()
    sending   blocks base+1..sent are out; an ACK among them moves base      receive(), tick()
    ended     outcome is set: the last block acknowledged, ERROR received,   receive(), tick()
              retries used up, or the file failed

Blocks are counted from 1 without wrapping; block n stands at octet (n - 1) * blksize of the file, and is
masked to 16 bits only in the header. At windowsize 1 the window is one block: it is not a second path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ptftpd.errors import FileError, TransferError, WireError
from ptftpd.tftp import wire
from ptftpd.tftp.codes import transfer_error
from ptftpd.tftp.outcome import INF, OK, Backoff, Failure, Outcome

# Of so many ACKs that may answer a second copy of a block, one is taken for that. A smaller number costs
# timeouts where much is lost, a larger one more second copies.
DOUBTS = 4
LATE = 2  # windows in a row, behind a first one, that ended with a timeout: then they are sent in parts
PAUSE = 0.002  # seconds between two parts of a window: in that time a receiver empties its socket
BUFFER = 1 << 16  # octets read ahead: a lock-step transfer then reads its file once for many ACKs
TIGHT = 1 << 13  # octets read ahead when memory is tight
SLOTS = 256  # blocks read ahead at most: each costs VIEW octets, and small ones gain nothing by more
VIEW = 200  # octets of a memoryview
ACK, ERROR, HEADER = wire.ACK, wire.ERROR, wire.HEADER
unpack_header = wire.unpack_header

# read(views, offset) fills the views from the file at offset and returns the octets read, fewer than
# they hold only at the end of the file. It raises FileError. The offset never goes back before the
# first block that was not acknowledged.
Read = Callable[[Sequence[memoryview], int], int]

Buffer = tuple[memoryview, list[memoryview]]  # datagrams side by side, and their payloads

# What makes a chunk differ from others of the same file: its first block, how many blocks, blksize, how they
# are numbered, and the size of the file when it was opened.
Key = tuple[int | None, ...]


class Shared(Protocol):
    """Chunks, which are datagrams side by side, that other transfers of the same file have made already."""

    def get(self, key: Key) -> memoryview | None:
        """Return a chunk that is as the file is now; None when there is none."""

    def keep(self, key: Key, chunk: memoryview) -> bool:
        """Take a chunk, which is not changed any more then; return whether it was taken."""


class Memory(Protocol):
    """The budget of all transfers."""

    tight: bool  # little is to be read ahead

    def hold(self, holder: Sender, octets: int) -> None:
        """Count what a Sender holds; another one's release() may be called."""


class Sender:
    """Sends a file in blocks of blksize octets, windowsize of them between two ACKs (RFC 1350, 7440)."""

    __slots__ = (
        "_ahead", "_awaited", "_backoff", "_base", "_buffers", "_burst", "_clean", "_doubts", "_end",
        "_final", "_first", "_held", "_late", "_lone", "_lost", "_memory", "_modulus", "_next", "_oack",
        "_opened", "_plain", "_quiet", "_read", "_rest", "_sent", "_sent_at", "_shared", "_size", "_slots",
        "_span", "_view", "blksize", "deadline", "outcome", "resent", "segment", "windowsize",
    )  # fmt: skip

    def __init__(
        self,
        read: Read,
        size: int | None,
        backoff: Backoff,
        *,
        blksize: int = 512,
        windowsize: int = 1,
        oack: bytes = b"",
        rollover: int = 0,
        shared: Shared | None = None,
        memory: Memory | None = None,
    ) -> None:
        """size: octets of the file, None when only its end tells. oack: what a server sends first.

        rollover: the number that follows 65535, 0 or 1. shared: None when others read something else.
        memory: what its buffers are counted by; whose release() may be called at any time between two calls.
        """
        self._read = read
        self._size = size
        self._backoff = backoff
        self.blksize = blksize
        self.windowsize = windowsize
        self._oack = oack
        self._lone = 0 if oack else windowsize  # blocks that were read before anything was acknowledged
        self._opened = False  # the OACK was acknowledged
        self._modulus = 65536 - rollover  # with rollover 1 the numbers are 1..65535 and 0 only at the start
        self.segment = HEADER + blksize
        self._final = INF if size is None else size // blksize + 1  # the last block, which is a short one
        self._slots = max(1, min(BUFFER // self.segment, SLOTS) // windowsize) * windowsize  # read at once
        self._burst = windowsize  # blocks sent at once
        self._rest = memoryview(b"")  # what of the window at hand is to follow
        self._lost = -3 * windowsize  # the last block acknowledged when a timer was waited for last,
        self._late = 0  # and for so many windows in a row
        self._span = windowsize * self.segment
        self._shared = shared
        self._memory = memory
        # What is sent and what is read ahead. None before it is needed: others may have it all.
        self._buffers: list[Buffer | None] = [None, None]
        self._held = [0, 0]  # blocks that are in each place, shared or not
        self._next = 0  # where the next _slots blocks begin, if nothing is lost; 0 when that is to be found
        self._ahead: tuple[int, memoryview] | None = None  # what is read ahead: first block, datagrams
        self._view = memoryview(b"")
        self._first, self._end = 1, 0  # the blocks in the view
        self._plain = -1  # up to this block the window behind it is in the view, without the last block
        self._awaited = -1  # the number that acknowledges all that is out, -1 when there is none
        self._base = 0  # the last block acknowledged
        self._sent = 0  # the last block sent
        self._quiet = -1  # up to this block they went out twice: an ACK may answer the second copy
        self._doubts = 0  # how often one moved base and may have done so
        self._clean = True  # nothing of the window at hand was sent twice: its ACK measures the round trip
        self._sent_at = 0.0
        self.deadline = INF
        self.outcome: Outcome = None
        self.resent = 0

    @property
    def blocks(self) -> int:
        """The number of blocks acknowledged."""
        return self._base

    @property
    def answered(self) -> bool:
        """Whether the peer acknowledged anything, so that what is sent arrives there."""
        return self._opened or self._base > 0

    @property
    def octets(self) -> int:
        """The number of octets of the file acknowledged."""
        whole = self._base * self.blksize
        return whole if self._size is None else min(whole, self._size)

    @property
    def at_hand(self) -> bool:
        """Whether no datagram and no timeout can make it read its file: all that may be sent next is here."""
        return min(self._sent + self.windowsize, self._final) <= self._end

    def postpone(self, seconds: float) -> None:
        """Go on as if the last answer had been given so much later: a thread has given it."""
        self._sent_at += seconds
        self.deadline += seconds

    def start(self, now: float) -> memoryview | bytes:
        """Return the first datagrams: the OACK, or without one the first window."""
        self._sent_at, self.deadline = now, now + self._backoff.wait
        return self._oack or self._window(now, 0)

    def receive(self, buf: bytearray, n: int, now: float) -> memoryview | bytes | None:
        """Take the datagram buf[:n]; return what to send, if anything, in datagrams of segment octets."""
        if n < HEADER or self.outcome is not None:
            return None
        opcode, block = unpack_header(buf)
        if block == self._awaited and opcode == ACK and self._sent <= self._plain:
            # What nearly every datagram is. All else goes the long way, which would do the same here.
            base = self._base = self._sent
            self._backoff.answered(now - self._sent_at if self._clean else None)
            self._sent = sent = base + self.windowsize
            self._awaited = sent & 0xFFFF
            self._clean, self._sent_at, self.deadline = True, now, now + self._backoff.wait
            start = (base + 1 - self._first) * self.segment
            return self._view[start : start + self._span]
        if opcode != ACK:
            if opcode == ERROR:
                self._peer_error(buf, n)
            return None
        if self._oack:
            if block != 0:
                return None
            self._oack, self._opened = b"", True
            self._backoff.answered(now - self._sent_at if self._clean else None)
            return self._window(now, 0)
        return self._acknowledged(block, now)

    def _acknowledged(self, block: int, now: float) -> memoryview | bytes | None:
        """Return what an ACK calls for that receive() does not know already."""
        base = self._base
        ahead = (block - base) % self._modulus
        if ahead > self._sent - base:
            return None  # of an earlier window, or never sent
        if ahead == 0 and (self.windowsize == 1 or base <= self._quiet):
            # RFC 1123 §4.2.3.1: a duplicate ACK never makes DATA go out. With a window it means that its
            # first block is missing (RFC 7440 §4), unless _quiet says that it tells nothing new.
            return None
        self._base = base = base + ahead
        if base == self._sent:
            if base == self._final:
                self.outcome, self.deadline = OK, INF
                return None
            self._backoff.answered(now - self._sent_at if self._clean else None)
            return self._window(now, base)
        if ahead:
            self._backoff.answered(None)
        if base <= self._quiet:
            # One more gap, or firmware's answer to a second copy; a window for that would be answered so too,
            # and all go out twice from now on. Taken for that, what is out stays out, only the rest is sent.
            self._doubts += 1
            if self._doubts % DOUBTS == 0:
                return self._window(now, self._sent, clean=False) or None
        # RFC 7440 §4: the rest of the window was lost, go on behind the block that was acknowledged.
        self.resent += self._sent - base
        self._quiet = self._sent
        return self._window(now, base, clean=False)

    def tick(self, now: float) -> memoryview | bytes | None:
        """Return what to send again when the deadline has passed without an answer."""
        if now < self.deadline or self.outcome is not None:
            return None
        if self._rest:
            return self._part(self._rest, now)
        if not self._backoff.again():
            what = f"block {self._base + 1}" if not self._oack else "the OACK"
            self._fail(Failure(wire.UNDEFINED, f"no answer to {what} after {self._backoff.retries} retries"))
            return None
        self._clean = False
        if self._oack:
            self.deadline = now + self._backoff.wait
            return self._oack
        self._slow_down()
        self.resent += self._sent - self._base
        self._quiet = -1  # a gap that is reported from now on is a new one
        return self._window(now, self._base, clean=False)

    def repeat(self, now: float) -> memoryview | bytes | None:
        """Return the first datagram again when the request came again before anything was acknowledged."""
        if self.outcome is not None or self._base or (self.windowsize > 1 and not self._oack):
            return None  # a window needs an OACK, which was acknowledged if it is not there any more
        self._clean = False
        return self._oack or (self._window(now, 0, clean=False) if self._sent else None)

    def _wire(self, block: int) -> int:
        """Return the 16 bits that stand for a block number."""
        if self._modulus == 65536:
            return block & 0xFFFF
        return (block - 1) % 65535 + 1 if block else 0

    def _window(self, now: float, behind: int, *, clean: bool = True) -> memoryview | bytes:
        """Return the datagrams of the blocks behind one, up to base + windowsize, as far as the file goes."""
        first = self._base + 1
        last = first + self.windowsize - 1
        if first < self._first or min(last, self._final) > self._end:
            try:
                self._fill(first)
            except (FileError, TransferError) as failed:
                error = transfer_error(failed) if isinstance(failed, FileError) else failed
                self._fail(Failure(error.code, error.reason))
                return wire.make_error(error.code, error.reason)
        end = self._end
        if last > end:
            last = end
        self._sent, self._clean, self._sent_at = last, clean, now
        self._awaited = self._wire(last)
        self.deadline = now + self._backoff.wait
        start = (behind - self._first + 1) * self.segment
        if last == self._final:
            run = self._view[start : (last - self._first) * self.segment + HEADER + self._tail]
        else:
            run = self._view[start : (last - self._first + 1) * self.segment]
        return run if self._burst == self.windowsize else self._part(run, now)

    def _slow_down(self) -> None:
        """Send windows in smaller parts when their ends are lost one after the other.

        The peer's socket does not hold a whole window then. To send less than a window would not do: the peer
        acknowledges whole ones only.
        """
        ahead = self._base - self._lost
        if ahead:
            self._late = self._late + 1 if ahead <= 2 * self.windowsize else 0
            if self._late >= LATE and self._burst > 1:
                self._burst, self._plain = self._burst // 2, -1
        self._lost = self._base

    def _part(self, run: memoryview, now: float) -> memoryview:
        """Return what of a window is sent now; the rest follows after PAUSE."""
        octets = self._burst * self.segment
        self._rest, self._sent_at = run[octets:], now
        self.deadline = now + (PAUSE if self._rest else self._backoff.wait)
        return run[:octets]

    @property
    def pausing(self) -> bool:
        """Whether a part of the window is still to be sent at the deadline, whatever the peer says."""
        return len(self._rest) > 0

    @property
    def _tail(self) -> int:
        """The octets of the last block; it is known."""
        assert self._size is not None
        return self._size % self.blksize

    def read_ahead(self) -> None:
        """Read what the next window needs: after a window was sent, while the client is busy with it."""
        first = self._end + 1
        if (
            self._sent == self._end
            and self._ahead is None
            and first <= self._final
            and self._size is not None
        ):
            try:
                self._ahead = first, self._load(first, 1)
            except (FileError, TransferError):
                pass  # it is met again when the window is due

    def release(self) -> None:
        """Let go of all that was read; what is to be sent, for the first time or again, is read again."""
        self._view, self._ahead = memoryview(b""), None
        self._first, self._end, self._next, self._plain, self._awaited = 1, 0, 0, -1, -1
        self._buffers, self._held = [None, None], [0, 0]
        if self._memory:
            self._memory.hold(self, 0)

    def _fill(self, first: int) -> None:
        """Make the view hold the blocks from first on, as many as are to be read or the file has."""
        ahead, self._ahead = self._ahead, None
        if ahead and ahead[0] == first:
            self._view = ahead[1]
            self._buffers.reverse()
            self._held.reverse()
        else:
            self._view = self._load(first, 0)
        self._first = first
        end, final = first + len(self._view) // self.segment - 1, self._final
        if end >= final:
            end = int(final)
        self._end = end
        if self._modulus == 65536 and self._burst == self.windowsize:
            self._plain = (end if end < final else end - 1) - self.windowsize

    def _blocks_at(self, first: int) -> int:
        """Return how many blocks to read from first on: a window at least, up to where all that share begin.

        One window only before anything was acknowledged: a request that was forged costs no more.
        """
        if not self.answered:
            return int(min(self.windowsize, self._final - first + 1))
        count = self._slots
        if self._memory and self._memory.tight:
            count = max(1, TIGHT // self.segment // self.windowsize) * self.windowsize
        rest = count - (first - 1 - self._lone) % count
        return int(min(rest if rest >= self.windowsize else rest + count, self._final - first + 1))

    def _load(self, first: int, place: int) -> memoryview:
        """Return the datagrams of the blocks from first on; place: the buffer to use if need be."""
        count, tight = self._slots, self._memory is not None and self._memory.tight
        if tight or first != self._next or first + count > self._final:
            count = self._blocks_at(first)
        self._next = 0 if tight else first + count
        key = (first, count, self.blksize, self._modulus, self._size)
        chunk = self._shared.get(key) if self._shared else None
        if chunk is None:
            buffer = self._buffers[place]
            if buffer is None or len(buffer[1]) < count:
                buffer = self._new_buffer(count)
            chunk = self._read_blocks(first, count, buffer)
            kept = self._shared is not None and self._shared.keep(key, chunk)
            self._buffers[place] = None if kept else buffer
        else:
            self._buffers[place] = buffer = None
        blocks = len(buffer[1]) if buffer else count  # what is shared, too: others may forget it first
        if blocks != self._held[place]:
            self._held[place] = blocks
            if self._memory:
                self._memory.hold(self, sum(self._held) * (self.segment + VIEW))
        return chunk

    def _new_buffer(self, count: int) -> Buffer:
        view = memoryview(bytearray(count * self.segment))
        starts = range(0, len(view), self.segment)
        return view, [view[start + HEADER : start + self.segment] for start in starts]

    def _read_blocks(self, first: int, count: int, buffer: Buffer) -> memoryview:
        """Return the buffer's beginning, filled with the datagrams of count blocks from first on."""
        view, payloads = buffer
        if count < len(payloads):
            view, payloads = view[: count * self.segment], payloads[:count]
        offset = (first - 1) * self.blksize
        views = payloads
        expected = count * self.blksize
        if self._size is not None and self._size - offset < expected:
            expected = self._size - offset
            full, rest = divmod(expected, self.blksize)
            views = payloads[:full]
            if rest:
                views.append(payloads[full][:rest])
        octets = self._read(views, offset) if views else 0
        if octets < expected:
            if self._size is not None:
                raise TransferError(wire.UNDEFINED, "the file became shorter while it was sent")
            self._size = offset + octets
            self._final = self._size // self.blksize + 1
        wire.number_data(view, self.segment, self._wire(first), self._modulus)
        return view

    def _peer_error(self, buf: bytearray, n: int) -> None:
        try:
            code, text = wire.error(bytes(buf[:n]))
        except WireError:
            return
        self._fail(Failure(code, text, from_peer=True))

    def _fail(self, failure: Failure) -> None:
        self.outcome, self.deadline = failure, INF
