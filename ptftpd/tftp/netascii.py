"""The netascii mode of RFC 1350 §1, text in the form of RFC 764: a line ends in CR LF, a lone CR is CR NUL.

The local form is that of Unix, where a line ends in LF. Any file comes back from one encoding and one
decoding as it was, text or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ptftpd.errors import TransferError
from ptftpd.tftp import wire

CHUNK = 1 << 12  # octets of the file encoded at a time: what they become is held, by each transfer

Read = Callable[[Sequence[memoryview], int], int]
Write = Callable[[memoryview], None]


class Encoder:
    """Reads a file as netascii: read() is to a Sender what the file's own read is."""

    def __init__(self, read: Read, size: int) -> None:
        """read: of the file, as the Sender calls it; size: octets of it, which no growth changes."""
        self._read, self._size = read, size
        self._taken = 0  # octets of the file encoded so far
        self._encoded = bytearray()  # what of it may be asked for still,
        self._start = 0  # from this offset on

    def read(self, views: Sequence[memoryview], offset: int) -> int:
        """Fill the views from offset of the encoded text; return the octets read, fewer only at its end.

        TransferError when the file cannot be read, or became shorter. The offset never goes back before
        that of the call before: what lies there is forgotten.
        """
        del self._encoded[: offset - self._start]
        self._start = offset
        wanted = sum(map(len, views))
        while len(self._encoded) < wanted and self._taken < self._size:
            self._encode()
        total = 0
        for view in views:
            part = self._encoded[total : total + len(view)]
            view[: len(part)] = part
            total += len(part)
        return total

    def _encode(self) -> None:
        """Encode the next chunk; TransferError when the file does not have it any more."""
        raw = memoryview(bytearray(min(CHUNK, self._size - self._taken)))
        if self._read([raw], self._taken) < len(raw):
            raise TransferError(wire.UNDEFINED, "the file became shorter while it was sent")
        self._taken += len(raw)
        self._encoded += bytes(raw).replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


class Decoder:
    """Writes netascii to a file: write() is to a Receiver what the file's own write is."""

    def __init__(self, write: Write) -> None:
        """write: of the file, as the Receiver calls it."""
        self._write = write
        self._held = b""  # a CR at the end of a block: the next octet tells what it stands for

    def write(self, payload: memoryview) -> None:
        """Keep the next octets; a CR before anything but LF and NUL, which RFC 764 forbids, stays a CR."""
        text = self._held + bytes(payload)
        self._held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(self._held)].replace(b"\r\n", b"\n").replace(b"\r\0", b"\r")
        if text:
            self._write(memoryview(text))

    def finish(self) -> None:
        """Keep the CR that nothing followed."""
        if self._held:
            self._write(memoryview(self._held))
            self._held = b""
