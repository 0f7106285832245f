"""What the tftp client shows: progress on a terminal, remarks, packets, and a summary."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from ptftpd.client.job import Result, Watch
from ptftpd.client.progress import Progress
from ptftpd.client.trace import describe
from ptftpd.log import amount, printable
from ptftpd.tftp import options


class Display(Watch):
    """Everything for people goes to stderr: stdout may be the file."""

    def __init__(
        self, program: str, *, verbose: bool = False, trace: bool = False, records: bool = False
    ) -> None:
        """records: print each transfer as JSON, instead of a summary."""
        self.program, self.verbose, self.records = program, verbose, records
        self.terminal = sys.stderr.isatty()
        self.trace = self._packet if trace else None
        self._progress: Progress | None = None

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

    @contextlib.contextmanager
    def transfer(self, name: str, total: int | None = None) -> Iterator[None]:
        """Show how far the transfer in the with block is; total: octets of the file, when known."""
        if self.terminal and not self.records and not self.trace:
            self._progress = Progress(name, total)
        try:
            yield
        finally:
            if self._progress:
                self._progress.close()
            self._progress = None

    def progress(self, octets: int, total: int | None) -> None:
        """Show how far it is."""
        if self._progress:
            self._progress.update(octets, total)

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
        if self._progress:
            self._progress.clear()
        print(printable(text), file=sys.stderr, flush=True)
