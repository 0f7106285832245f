"""Why a transfer failed, and what the user can do about it."""

from __future__ import annotations

import re

from ptftpd.client.job import Result
from ptftpd.log import amount
from ptftpd.tftp import wire
from ptftpd.tftp.outcome import OK, Failure

_GET_HINTS = {
    wire.NOT_FOUND: "check the name; most servers look it up below their root directory",
    wire.ACCESS: "many servers send only files that everybody may read, below their root directory",
}
_PUT_HINTS = {
    wire.NOT_FOUND: "many servers accept only files that exist already; have it created there first",
    wire.ACCESS: "the server does not let its clients write that file",
    wire.DISK_FULL: "free some space on the server",
    wire.EXISTS: "the server replaces no files; choose another name",
}
_LOCAL_HINTS = {
    wire.DISK_FULL: "free some space or name a file elsewhere",
    wire.EXISTS: "use -f to replace it, or name another file",
    wire.ACCESS: "name a file elsewhere, or change the mode of its directory",
    wire.NOT_FOUND: "name another file to keep it in",
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


def explain(failure: Failure, result: Result, *, writing: bool, local: bool, name: str = "") -> str:
    """Return why a transfer failed and what to do, as the end of a sentence.

    name: of the file on the server. local: it failed here, not there.
    """
    reason, hint = failure.reason, ""
    if failure.from_peer:
        reason = (
            f"the server says {reason!r}" if reason else _MEANINGS.get(failure.code, f"error {failure.code}")
        )
        if not _says_enough(failure):
            hint = (_PUT_HINTS if writing else _GET_HINTS).get(failure.code, "")
            directory, _, last = name.rpartition("/")
            if writing and failure.code == wire.NOT_FOUND and directory:
                hint = f"it may have no directory {directory}; put FILE {last} names none"
    elif local:
        hint = _LOCAL_HINTS.get(failure.code, "")
        reason = "you may not write there" if failure.code == wire.ACCESS else reason
    elif not result.answered and result.misread and not reason.endswith("?"):
        hint = "is a TFTP server running there, and does a firewall let its answers from other ports in?"
    elif result.answered and failure.code == wire.UNDEFINED and result.outcome is not OK:
        hint = f"it broke off after {amount(result.octets)}; try again, with more retries to wait longer"
    return f"{reason}: {hint}" if hint else reason


def _says_enough(failure: Failure) -> bool:
    """Return whether a server explains why it refuses access, which may have many reasons."""
    usual = re.search(r"access violation|permission denied", failure.reason, re.I) or not failure.reason
    return failure.code == wire.ACCESS and not usual
