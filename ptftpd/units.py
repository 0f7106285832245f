"""What systemd listens on, asked of systemctl."""

from __future__ import annotations

import subprocess

from systemd.daemon import booted

CLOSED = {"inactive", "failed", "unknown"}
PATIENCE = 5.0  # seconds


def listening(*units: str) -> bool:
    """Return whether one of these socket units is open, or may be: systemd runs, and does not say.

    All but the first may be patterns, of which those that match nothing are not told of.
    """
    if not booted():
        return False
    try:
        asked = subprocess.run(
            ["systemctl", "is-active", *units], capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    states = asked.stdout.split()
    return not states or not set(states) <= CLOSED
