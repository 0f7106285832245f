"""The TFTP error codes (RFC 1350, appendix) of files that fail. The one place that maps them."""

from __future__ import annotations

from ptftpd.errors import FileError, TransferError
from ptftpd.tftp import wire

_CODES = {
    FileError.NOT_FOUND: wire.NOT_FOUND,
    FileError.DENIED: wire.ACCESS,
    FileError.EXISTS: wire.EXISTS,
    FileError.FULL: wire.DISK_FULL,
}  # TFTP has no code for the other kinds: it is 0, and the reason tells


def transfer_error(error: FileError) -> TransferError:
    """Return what the peer of a transfer is sent when its file failed."""
    return TransferError(_CODES.get(error.kind, wire.UNDEFINED), error.reason, error.explained)
