"""The TFTP packets of RFC 1350 §5 and RFC 2347: octets to values and back. Byte order exists only here."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct, pack

from ptftpd.errors import WireError

RRQ, WRQ, DATA, ACK, ERROR, OACK = 1, 2, 3, 4, 5, 6

# Error codes, RFC 1350 appendix and RFC 2347.
UNDEFINED, NOT_FOUND, ACCESS, DISK_FULL, ILLEGAL, UNKNOWN_TID, EXISTS, NO_USER, OPTIONS = range(9)

HEADER = 4  # octets before the payload of DATA
MAX_REQUEST = 2048  # RFC 2347 allows 512; longer ones of firmware with long paths are read too
MAX_TEXT = 512  # octets of an ERROR's text that are kept; sentences are shorter
MAX_OPTIONS = 32  # in one request; the registry has fewer than ten

header = Struct("!HH")  # (opcode, block number) of DATA and ACK, (opcode, code) of ERROR
_DATA = pack("!H", DATA)
unpack_header = header.unpack_from


def request(datagram: bytes) -> tuple[int, str, str, dict[str, str]]:
    """Return (RRQ or WRQ, file name, mode in lower case, options) of a request; WireError otherwise.

    Option names are in lower case (RFC 2347: case does not matter); the first of two equal ones
    counts. Names are UTF-8; octets that are not are kept as surrogate escapes, so that the file of just
    that name is found. What follows the last whole option is padding of old firmware, and ignored.
    """
    if len(datagram) < 4:
        raise WireError("request shorter than 4 octets", len(datagram))
    opcode = header.unpack_from(datagram)[0]
    if opcode not in (RRQ, WRQ):
        raise WireError(f"opcode {opcode} is not a request", 0)
    if len(datagram) > MAX_REQUEST:
        raise WireError(f"request longer than {MAX_REQUEST} octets", MAX_REQUEST)
    name, offset = _string(datagram, 2, "file name")
    mode, offset = _string(datagram, offset, "mode")
    if not name:
        raise WireError("empty file name", 2)
    return opcode, _text(name), _text(mode).lower(), _options(datagram, offset)


def oack(datagram: bytes) -> dict[str, str]:
    """Return the options of an OACK (RFC 2347), names in lower case; WireError otherwise."""
    if len(datagram) < 2 or header.unpack_from(datagram.ljust(4, b"\0"))[0] != OACK:
        raise WireError("not an OACK", 0)
    return _options(datagram, 2)


def error(datagram: bytes) -> tuple[int, str]:
    """Return (code, text) of an ERROR; a missing final NUL, which many send, is forgiven.

    What comes behind MAX_TEXT octets of the text is left out: it is kept, recorded and shown.
    """
    if len(datagram) < 4:
        raise WireError("ERROR shorter than 4 octets", len(datagram))
    opcode, code = header.unpack_from(datagram)
    if opcode != ERROR:
        raise WireError("not an ERROR", 0)
    return code, _text(datagram[4 : 4 + MAX_TEXT].partition(b"\0")[0])


def is_run(buf: bytearray, n: int, segment: int, block: int) -> bool:
    """Return whether buf[:n] is DATA block, block + 1, ... up to 65535, in datagrams of segment octets.

    The last one may be shorter. This looks at the octets of all headers at once, not at each datagram.
    """
    count = -(-n // segment)
    if block + count > 1 << 16:
        return False
    numbers = pack(f"!{count}H", *range(block, block + count))
    opcodes = _DATA * count
    return (
        buf[0:n:segment] == opcodes[::2]
        and buf[1:n:segment] == opcodes[1::2]
        and buf[2:n:segment] == numbers[::2]
        and buf[3:n:segment] == numbers[1::2]
    )


def make_request(opcode: int, name: str, mode: str, options: dict[str, str]) -> bytes:
    """Return the datagram of an RRQ or WRQ."""
    return header.pack(opcode, 0)[:2] + b"".join(
        part.encode("utf-8", "surrogateescape") + b"\0"
        for part in (name, mode, *(text for pair in options.items() for text in pair))
    )


def make_oack(options: dict[str, str]) -> bytes:
    """Return the datagram of an OACK."""
    return header.pack(OACK, 0)[:2] + b"".join(
        part.encode() + b"\0" for pair in options.items() for part in pair
    )


def make_ack(block: int) -> bytes:
    """Return the datagram of an ACK of block, 0..65535."""
    return header.pack(ACK, block)


def make_data(block: int, payload: bytes) -> bytes:
    """Return the datagram of one DATA block."""
    return header.pack(DATA, block) + payload


def number_data(buffer: memoryview, segment: int, first: int, modulus: int) -> None:
    """Write the headers of DATA into a buffer of datagrams of segment octets, numbered from first on.

    modulus: 65536, or 65535 when 1 follows 65535.
    """
    count = len(buffer) // segment
    numbers: Iterable[int] = range(first, first + count)
    if first + count > 65536:
        numbers = [number if number < 65536 else number - modulus for number in numbers]
    octets = pack(f"!{count}H", *numbers)
    # An octet of all headers at once: a header at a time takes three times as long.
    buffer[0::segment] = bytes(count)
    buffer[1::segment] = bytes((DATA,)) * count
    buffer[2::segment] = octets[0::2]
    buffer[3::segment] = octets[1::2]


def make_error(code: int, text: str) -> bytes:
    """Return the datagram of an ERROR; text is cut to keep it small."""
    return header.pack(ERROR, code) + text.encode("utf-8", "replace")[:200] + b"\0"


def _string(datagram: bytes, start: int, what: str) -> tuple[bytes, int]:
    end = datagram.find(b"\0", start)
    if end < 0:
        raise WireError(f"{what} without its NUL", start)
    return datagram[start:end], end + 1


def _options(datagram: bytes, offset: int) -> dict[str, str]:
    options: dict[str, str] = {}
    parts = datagram[offset:].split(b"\0")
    # split leaves an empty part behind the last NUL; a name without value is padding.
    for name, value in zip(parts[0:-1:2], parts[1:-1:2], strict=False):
        if name and len(options) < MAX_OPTIONS:
            options.setdefault(_text(name).lower(), _text(value))
    return options


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
