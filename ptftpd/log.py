"""Records: to the journal with structured fields under systemd, readable lines on stderr elsewhere.

One record per transfer, lease event, reload, start and stop. What is dropped is counted by reason and
reported at most once a minute. Each kind of record has a MESSAGE_ID, which the journal catalog explains.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

DEBUG, INFO, WARNING, ERROR = 7, 6, 4, 3  # syslog(3) priorities
REPORT_EVERY = 60.0  # seconds between two reports of the drop counters
MAX_REASONS = 64  # distinct drop reasons kept: the reasons are the program's own, so this never binds

# MESSAGE_ID of each kind of record; never change one, catalogs and alarms refer to it.
MESSAGE_IDS = {
    "started": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e01",
    "stopped": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e02",
    "reloaded": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e03",
    "reload-failed": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e04",
    "dropped": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e05",
    "sent": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e10",
    "send-failed": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e11",
    "refused": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e12",
    "received": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e13",
    "receive-failed": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e14",
    "lease": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e20",
    "no-lease": "3b1f52b8a3c14f0f9c5d0e3a6a7d1e21",
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
        self._batch: list[str] | None = None  # lines that wait for the end of together()
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

    def record(self, priority: int, kind: str, message: str, **fields: object) -> None:
        """Write one record; fields are named as the journal has them, in capitals (TFTP_FILE)."""
        if priority > self.level:
            return
        try:
            if self.journal:
                self._send(priority, kind, message, fields)
            else:
                self._print(priority, message, fields)
        except OSError:
            pass  # nobody reads any more: serving goes on

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write the records made inside at once, when it ends: to stderr, each costs a system call alone."""
        self._batch = []
        try:
            yield
        finally:
            lines, self._batch = "".join(self._batch), None
            try:
                if lines:
                    self._write(lines)
            except OSError:
                pass

    def drop(self, reason: str, now: float, example: str = "") -> None:
        """Count a datagram that is not answered, for report()."""
        if reason in self._drops or len(self._drops) < MAX_REASONS:
            self._drops[reason] = self._drops.get(reason, 0) + 1
        self._last_drop = example
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

    def _send(self, priority: int, kind: str, message: str, fields: dict[str, object]) -> None:
        from systemd import journal

        always = [
            f"MESSAGE={printable(message)}", f"PRIORITY={priority}", f"SYSLOG_IDENTIFIER={self.program}",
        ]  # fmt: skip
        if kind:
            always.append(f"MESSAGE_ID={MESSAGE_IDS[kind]}")
        # Not send(), which looks for the line of code that called it, at several times the cost of the rest.
        journal.sendv(*always, *(f"{name}={printable(str(value))}" for name, value in fields.items()))

    def _print(self, priority: int, message: str, fields: dict[str, object]) -> None:
        urgency = {WARNING: "warning: ", ERROR: "error: "}.get(priority, "")
        told = fields.items() if self.fields else ()
        shown = "".join(f" {name}={printable(str(value))}" for name, value in told)
        line = f"{self.program}: {urgency}{printable(message)}{shown}\n"
        if self._batch is None:
            self._write(line)
        else:
            self._batch.append(line)

    def _write(self, lines: str) -> None:
        if sys.stderr is not None:  # Python's value for a descriptor 2 that was closed at the start
            sys.stderr.write(lines)
            sys.stderr.flush()


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
