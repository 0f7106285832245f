"""Records: to the journal with structured fields under systemd, readable lines on stderr elsewhere.

One record per transfer, lease event, reload, start and stop. What is dropped is counted by reason and
reported at most once a minute. Each kind of record has a MESSAGE_ID, which the journal catalog explains.
Serving never waits for whoever reads the records, see sinks.py. No record is large, whatever a peer sends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ptftpd import sinks
from ptftpd.sinks import Queue
from ptftpd.texts import cut

DEBUG, INFO, WARNING, ERROR = 7, 6, 4, 3  # syslog(3) priorities
REPORT_EVERY = 60.0  # seconds between two reports of the drop counters
FAREWELL = 1.0  # seconds that the last records get to be written
# Characters of a message and of a field that are kept: a message may list every setting that there is, and a
# file name has up to 255. What a peer fills of a message is cut much earlier, by cut().
MESSAGE, FIELD = 1000, 300
LINE = sinks.ATOMIC  # octets of a line on stderr
RECORD = 8192  # octets of one in the journal; what fields have no room for is left out
NAME = 64  # octets that hold the name of any field of ours: a line without one would spoil the record
MAX_REASONS = 64  # distinct drop reasons kept: the reasons are the program's own, so this never binds

# MESSAGE_ID of each kind of record; never change one, catalogs and alarms refer to it.
MESSAGE_IDS = {
    "started": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e01",
    "stopped": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e02",
    "reloaded": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e03",
    "reload-failed": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e04",
    "dropped": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e05",
    "lost": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e06",
    "sent": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e10",
    "send-failed": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e11",
    "refused": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e12",
    "received": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e13",
    "receive-failed": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e14",
    "lease": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e20",
    "no-lease": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e21",
    "answers-for-all": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e22",
}


class Log:
    """A program's records. Harmless to construct; the sink is chosen from the environment."""

    def __init__(
        self, program: str, level: int = INFO, *, fields: bool = False, journal: bool = False
    ) -> None:
        """level: the least urgent priority kept. fields: show the structured fields on stderr too.

        journal: write there even though stderr leads elsewhere, as when detached.
        """
        self.program = program
        self.level = level
        self.fields = fields
        self.journal = journal or _stderr_is_journal()
        self._queue: Queue | None = None
        self._batch: list[bytes] | None = None  # lines that wait for the end of together()
        self._drops: dict[str, int] = {}
        self._last_drop = ""
        self._next_report = 0.0

    def debug(self, message: str, **fields: object) -> None:
        """Record what only a developer or a packet-level investigation wants."""
        if self.level >= DEBUG:
            self.record(DEBUG, "", message, **fields)

    def info(self, kind: str, message: str, **fields: object) -> None:
        """Record an ordinary event; kind is a key of MESSAGE_IDS or ''."""
        self.record(INFO, kind, message, **fields)

    def warning(self, kind: str, message: str, **fields: object) -> None:
        """Record what an administrator should look at."""
        self.record(WARNING, kind, message, **fields)

    def error(self, kind: str, message: str, **fields: object) -> None:
        """Record what stops the program or loses service."""
        self.record(ERROR, kind, message, **fields)

    def lines(self, priority: int, kind: str, text: str, *, before: str = "") -> None:
        """Write one record for each line of a text, such as that of an error."""
        for line in text.splitlines():
            self.record(priority, kind, f"{before}{line}")

    def failed(self, what: str, error: BaseException) -> None:
        """Record an error of our own, with its traceback: it ends what it happened to, and nothing else."""
        import traceback  # the client starts faster without it

        self.lines(ERROR, "", "".join(traceback.format_exception(error)), before=f"{what}: ")

    def record(self, priority: int, kind: str, message: str, **fields: object) -> None:
        """Write one record; fields are named as the journal has them, in capitals (TFTP_FILE)."""
        if priority > self.level:
            return
        if self.journal:
            self.queue.put(self._entry(priority, kind, message, fields.items()))
        elif self._batch is None:
            self.queue.put(self._line(priority, message, fields.items()))
        else:
            self._batch.append(self._line(priority, message, fields.items()))

    @property
    def queue(self) -> Queue:
        """What the records leave through; asked for the first time, it is opened, which may take root."""
        if self._queue is None:
            self._queue = Queue(sinks.journal() if self.journal else _stderr(), self._gap)
        return self._queue

    def close(self) -> None:
        """Write what is queued, if that is possible soon, and let go of stderr; a record opens it again."""
        if self._queue is not None:
            self._queue.close(FAREWELL)
            self._queue = None

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write the records made inside at once, when it ends: to stderr, each costs a system call alone."""
        self._batch = []
        try:
            yield
        finally:
            lines, self._batch = self._batch, None
            for piece in _pieces(lines):
                self.queue.put(b"".join(piece), len(piece))

    def drop(self, reason: str, now: float, example: str = "") -> None:
        """Count a datagram that is not answered, for report()."""
        if reason in self._drops or len(self._drops) < MAX_REASONS:
            self._drops[reason] = self._drops.get(reason, 0) + 1
        self._last_drop = example = cut(example)
        self.debug(f"dropped: {reason} {example}".rstrip())
        self.report(now)

    def report(self, now: float) -> None:
        """Record what was dropped since the last report, unless that was less than a minute ago."""
        if self._drops and now >= self._next_report:
            self._next_report = now + REPORT_EVERY
            counts = ", ".join(f"{count} x {why}" for why, count in sorted(self._drops.items()))
            last = f" (last: {self._last_drop})" if self._last_drop else ""
            self.info("dropped", f"not answered: {counts}{last}")
            self._drops.clear()

    def _entry(self, priority: int, kind: str, message: str, fields: Iterable[tuple[str, object]]) -> bytes:
        """Return a record as the journal takes it: no value has a line break in it."""
        lines = [
            f"PRIORITY={priority}\nSYSLOG_IDENTIFIER={self.program}\n",
            f"MESSAGE_ID={MESSAGE_IDS[kind]}\n" if kind else "",
            f"MESSAGE={printable(cut(message, MESSAGE))}\n",
            *(f"{name}={printable(cut(str(value), FIELD))}\n" for name, value in fields),
        ]
        octets = "".join(lines).encode()
        if len(octets) <= RECORD:
            return octets
        octets = b""
        for line in lines:
            room = RECORD - len(octets)
            if room >= NAME:
                octets += _clip(line, min(LINE, room))
        return octets

    def _line(self, priority: int, message: str, fields: Iterable[tuple[str, object]]) -> bytes:
        """Return a record as stderr shows it."""
        urgency = {WARNING: "warning: ", ERROR: "error: "}.get(priority, "")
        told = fields if self.fields else ()
        shown = "".join(f" {name}={printable(cut(str(value), FIELD))}" for name, value in told)
        return _clip(f"{self.program}: {urgency}{printable(cut(message, MESSAGE))}{shown}\n", LINE)

    def _gap(self, lost: int) -> bytes:
        """Return the record that stands for records which were lost."""
        message = f"{lost} records lost: they came faster than they were read"
        make = self._entry if self.journal else lambda priority, _, *rest: self._line(priority, *rest)
        return make(WARNING, "lost", message, ())


def _clip(line: str, most: int) -> bytes:
    """Return a line of at most so many octets, ending with an ellipsis where it was cut."""
    octets = line.encode()
    if len(octets) <= most:
        return octets
    end = "…\n".encode()
    return octets[: most - len(end)].decode(errors="ignore").encode() + end


def _pieces(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield lines that a pipe takes together, or not at all."""
    piece: list[bytes] = []
    octets = 0
    for line in lines:
        if octets + len(line) > sinks.ATOMIC:
            yield piece
            piece, octets = [], 0
        piece.append(line)
        octets += len(line)
    if piece:
        yield piece


def _stderr() -> sinks.Sink:
    """Return what writes to stderr, which may be an object of Python's without a descriptor."""
    if sys.stderr is None:  # descriptor 2 was closed at the start
        return sinks.Sink(len)
    try:
        return sinks.stream(sys.stderr.fileno())
    except OSError:
        return sinks.Sink(lambda octets: len(octets) if sys.stderr.write(octets.decode()) else 0)


def printable(value: str) -> str:
    """Return value with control characters escaped: what a peer sends must not forge log lines."""
    return value if value.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in value)


def amount(octets: float) -> str:
    """Return a number of octets for people: '512 B', '42 kB', '1.5 MB'."""
    for unit in ("B", "kB", "MB"):
        if octets < 999.5:
            return f"{octets:.0f} {unit}" if unit != "MB" or octets >= 10 else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} GB"


def _escape(character: str) -> str:
    """Return a character as a Python escape; a surrogate escape as the octet that it stands for."""
    number = ord(character)
    if number < 256 or 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number & 0xFF:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _stderr_is_journal() -> bool:
    """Return whether systemd connected stderr to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
        status = os.fstat(sys.stderr.fileno())
        return (status.st_dev, status.st_ino) == (int(device), int(inode))
    except (OSError, ValueError, AttributeError):
        return False
