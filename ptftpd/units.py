"""What systemd listens on, asked of systemctl."""

from __future__ import annotations

import re
import subprocess

from ptftpd.systemd import booted

CLOSED = {"inactive", "failed", "unknown"}
PATIENCE = 5.0  # seconds


def listening(*units: str) -> bool:
    """Return whether one of these socket units is open, or may be: systemd runs, and does not say.

    All but the first may be patterns, of which those that match nothing are not told of.
    """
    said = _systemctl("is-active", *units) if booted() else None
    if said is None:
        return False
    states = said.split()
    return not states or not set(states) <= CLOSED


def listens(unit: str) -> list[tuple[str, int]]:
    """Return the (address, UDP port) that a socket unit listens on; none when systemd does not say."""
    said = _systemctl("show", "--property=Listen", "--value", unit) if booted() else None
    places = re.findall(r"^\[?([0-9a-fA-F.:]+?)\]?:(\d+) \(Datagram\)$", said or "", re.MULTILINE)
    return [(address, int(port)) for address, port in places]


def properties(unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit, those that systemd tells."""
    wanted = [f"--property={name}" for name in names]
    said = _systemctl("show", *wanted, unit) if booted() else None
    return dict(line.split("=", 1) for line in (said or "").splitlines() if "=" in line)


def _systemctl(*argv: str) -> str | None:
    """Return what systemctl prints, None when it is not there or does not answer."""
    try:
        asked = subprocess.run(["systemctl", *argv], capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout
