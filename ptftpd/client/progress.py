"""The progress bar of a transfer, by python3-tqdm where that is installed."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

from ptftpd.log import printable
from ptftpd.tftp.outcome import INF

BAR_AFTER = 0.4  # seconds: what is over by then needs no bar, and no time to load one


class Progress:
    """How far one transfer is, shown on standard error once it takes long enough to be worth it."""

    def __init__(self, name: str, total: int | None = None) -> None:
        """total: octets of the file, when known."""
        self._name, self._total = name, total
        self._bar: Any = None
        self._bar_at = monotonic() + BAR_AFTER

    def update(self, octets: int, total: int | None) -> None:
        """Show how far it is; total: octets of the file where the server has said so, else None."""
        if self._bar is None and monotonic() >= self._bar_at:
            self._bar_at = INF
            self._bar = _bar(self._name, self._total if total is None else total)
        if self._bar is not None:
            self._bar.update(octets - self._bar.n)

    def clear(self) -> None:
        """Make the line free for a line of text; the next update shows the bar again."""
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


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
