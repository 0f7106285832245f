"""What the tftp client shows: progress on a terminal, remarks, packets, a summary, and why it failed."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

from ptftpd.log import printable
from ptftpd.tftp import options, wire
from ptftpd.tftp.attempt import Result, Watch
from ptftpd.tftp.outcome import INF, OK, Failure
from ptftpd.tftp.trace import describe
from ptftpd.tftp.transfer import amount

BAR_AFTER = 0.4  # seconds: what is over by then needs no bar, and no time to load one

_GET_HINTS = {
    wire.NOT_FOUND: "check the name, which most servers look up below a root directory of theirs",
    wire.ACCESS: "the server may read only files that everybody may, and only below its root directory",
}
_PUT_HINTS = {
    wire.NOT_FOUND: "many servers take only files that are there already; have it created there first",
    wire.ACCESS: "the server does not let its clients write that file",
    wire.DISK_FULL: "free some space on the server",
    wire.EXISTS: "the server replaces no files; choose another name",
}
_LOCAL_HINTS = {
    wire.DISK_FULL: "free some space or name a file elsewhere",
    wire.EXISTS: "say -f to replace it, or name another file",
    wire.ACCESS: "name a file elsewhere, or change the mode of its directory",
}
_MEANINGS = {
    wire.UNDEFINED: "no reason given",
    wire.NOT_FOUND: "file not found",
    wire.ACCESS: "access violation",
    wire.DISK_FULL: "disk full",
    wire.ILLEGAL: "illegal operation",
    wire.UNKNOWN_TID: "unknown transfer",
    wire.EXISTS: "file exists",
    wire.NO_USER: "no such user",
    wire.OPTIONS: "options refused",
}


class Display(Watch):
    """Everything for people goes to stderr: stdout may be the file."""

    def __init__(
        self, program: str, *, verbose: bool = False, trace: bool = False, records: bool = False
    ) -> None:
        """records: print each transfer as JSON, instead of a summary."""
        self.program, self.verbose, self.records = program, verbose, records
        self.terminal = sys.stderr.isatty()
        self.trace = self._packet if trace else None
        self._bar: Any = None
        self._bar_at = INF  # when it is worth to show one
        self._name = ""
        self._total: int | None = None

    def tracing(self, on: bool) -> None:
        """Show packets from now on, or no more."""
        self.trace = self._packet if on else None

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self._line(f"{self.program}: {text}")

    def note(self, text: str) -> None:
        """Say a remark, if they are wanted."""
        if self.verbose:
            self._line(text)

    def begin(self, name: str, total: int | None = None) -> None:
        """Prepare for a transfer; total: octets of the file, when known."""
        self._name, self._total = name, total
        if self.terminal and not self.records and not self.trace:
            self._bar_at = monotonic() + BAR_AFTER

    def progress(self, octets: int, total: int | None) -> None:
        """Show how far it is."""
        if self._bar is None and monotonic() >= self._bar_at:
            self._bar_at = INF
            self._bar = _bar(self._name, self._total if total is None else total)
        if self._bar is not None:
            self._bar.update(octets - self._bar.n)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._bar_at = None, INF

    def summary(self, what: str, result: Result) -> None:
        """Say how a transfer went that went well; what: 'got a from b'."""
        if not (self.verbose or self.terminal) or self.records:
            return
        terms, rate = result.terms, ""
        if result.octets >= 100_000:
            rate = f" ({amount(result.octets / max(result.seconds, 1e-6))}/s)"
        agreed = [f"blksize {terms.blksize}"] if terms.blksize != options.DEFAULT_BLKSIZE else []
        agreed += [f"windowsize {terms.windowsize}"] if terms.windowsize > 1 else []
        agreed += [f"{result.resent} resent"] if result.resent else []
        self._line(", ".join([f"{what}: {amount(result.octets)} in {result.seconds:.1f} s{rate}", *agreed]))

    def record(self, facts: dict[str, object], *, aside: bool) -> None:
        """Print one transfer as a line of JSON; aside: on stderr, for stdout is the file."""
        import json  # a tenth of the time to start, for a few users

        print(json.dumps(facts), file=sys.stderr if aside else sys.stdout, flush=True)

    def _packet(self, direction: str, datagram: bytes) -> None:
        self._line(f"{direction} {describe(datagram)}")

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        print(printable(text), file=sys.stderr, flush=True)


def _bar(name: str, total: int | None) -> Any:
    """Return a progress bar; None when there is no library for it, which is not worth a word."""
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError:
        return None
    tqdm.monitor_interval = 0  # no thread beside the transfer
    return tqdm(
        total=total, desc=printable(name), unit="B", unit_scale=True, file=sys.stderr, leave=False,
        dynamic_ncols=True,
    )  # fmt: skip


def explain(failure: Failure, result: Result, *, writing: bool, local: bool) -> str:
    """Return why a transfer failed and what to do, as the end of a sentence. local: here, not there."""
    reason, hint = failure.reason, ""
    if failure.from_peer:
        reason = (
            f"the server says {reason!r}" if reason else _MEANINGS.get(failure.code, f"error {failure.code}")
        )
        hint = (_PUT_HINTS if writing else _GET_HINTS).get(failure.code, "")
    elif local:
        hint = _LOCAL_HINTS.get(failure.code, "")
        reason = "you may not write there" if failure.code == wire.ACCESS else reason
    elif not result.answered and result.misread:
        hint = "is a TFTP server running there, and does a firewall let its answers from other ports in?"
    elif result.answered and failure.code == wire.UNDEFINED and result.outcome is not OK:
        hint = f"it broke off after {amount(result.octets)}; try again, with --retries to wait longer"
    return f"{reason}: {hint}" if hint else reason
