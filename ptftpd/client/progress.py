"""The progress bar of a transfer, by python3-tqdm where that is installed."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

from ptftpd.log import printable
from ptftpd.tftp.outcome import INF

BAR_AFTER = 0.4  # seconds: what is over by then needs no bar, and no time to load one
STALLED = 2.0  # seconds without an octet that are worth a word


class Progress:
    """How far one transfer is, shown on standard error once it takes long enough to be worth it."""

    def __init__(self, name: str, total: int | None = None) -> None:
        """total: octets of the file, when known."""
        self._name, self._total = name, total
        self._bar: Any = None
        self._moved = monotonic()  # when the last octet came
        self._bar_at = self._moved + BAR_AFTER

    def update(self, octets: int, total: int | None) -> None:
        """Show how far it is; total: octets of the file where the server has said so, else None."""
        now = monotonic()
        if self._bar is None and now >= self._bar_at:
            self._bar_at = INF
            self._bar = _bar(self._name, octets, total or self._total)
        if self._bar is None:
            return
        self._bar.total = total or self._bar.total
        if octets != self._bar.n:
            self._moved = now
            self._bar.postfix = None
            self._bar.update(octets - self._bar.n)
        elif now - self._moved >= STALLED:
            said = f"nothing for {now - self._moved:.0f} s"
            if self._bar.postfix != said:
                self._bar.set_postfix_str(said)

    def clear(self) -> None:
        """Make the line free for a line of text; the next update shows the bar again."""
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


def _bar(name: str, octets: int, total: int | None) -> Any:
    """Return a bar that begins at so many octets; None, without a word, where there is no library for it."""
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError:
        return None
    tqdm.monitor_interval = 0  # no thread beside the transfer
    return tqdm(
        initial=octets, total=total, desc=printable(name), unit="B", unit_scale=True, file=sys.stderr,
        leave=False, dynamic_ncols=True,
    )  # fmt: skip
