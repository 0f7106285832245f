"""BOOTP and DHCP messages as octets and as values (RFC 951, RFC 2131 §2, RFC 2132 §2, RFC 3396).

The only place that knows byte order. Addresses are plain ints everywhere else, options raw octets by number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from ptftpd.errors import WireError

BOOTREQUEST, BOOTREPLY = 1, 2
BROADCAST = 0x8000  # the only flag (RFC 2131 §2)
COOKIE = b"\x63\x82\x53\x63"
PAD, OVERLOAD, RELAY_AGENT, END = 0, 52, 82, 255
IN_FILE, IN_SNAME = 1, 2  # bits of OVERLOAD (RFC 2132 §9.3)
MIN_REPLY = 300  # octets of a BOOTP message; relays and old clients drop shorter ones (RFC 1542 §2.1)

_HEADER = Struct(">BBBBIHHIIII16s64s128s")
_SNAME, _FILE, _VEND = 44, 108, 236  # where those fields start
_OPTIONS = _VEND + len(COOKIE)


@dataclass(slots=True)
class Message:
    """A BOOTP or DHCP message; cookie says whether vend holds options. sname and file end at their NUL.

    options joins what was split or repeated (RFC 3396). offsets is where each option was first found.
    """

    op: int = BOOTREQUEST
    htype: int = 1
    hlen: int = 6
    hops: int = 0
    xid: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: int = 0
    yiaddr: int = 0
    siaddr: int = 0
    giaddr: int = 0
    chaddr: bytes = bytes(16)
    sname: bytes = b""
    file: bytes = b""
    options: dict[int, bytes] = field(default_factory=dict)
    cookie: bool = True
    offsets: dict[int, int] = field(default_factory=dict, compare=False, repr=False)


def decode(data: bytes) -> Message:
    """Return the message in a datagram; WireError when it is none. Options may lack their END (255)."""
    if len(data) < _VEND:
        raise WireError(f"{len(data)} octets are too few for a BOOTP message", len(data))
    message = Message(cookie=data[_VEND:_OPTIONS] == COOKIE)
    (
        message.op, message.htype, message.hlen, message.hops, message.xid, message.secs, message.flags,
        message.ciaddr, message.yiaddr, message.siaddr, message.giaddr,
        message.chaddr, sname, file,
    ) = _HEADER.unpack_from(data)  # fmt: skip
    if message.hlen > len(message.chaddr):
        raise WireError(f"hardware address of {message.hlen} octets", 2)
    overload = 0
    if message.cookie:
        _walk(data, _OPTIONS, len(data), message)
        overload = _take_overload(message)
        # RFC 3396 §5: the options field, then file, then sname, are one aggregate buffer.
        if overload & IN_FILE:
            _walk(data, _FILE, _VEND, message)
        if overload & IN_SNAME:
            _walk(data, _SNAME, _FILE, message)
        _take_overload(message)
    if not overload & IN_FILE:
        message.file = file.partition(b"\0")[0]
    if not overload & IN_SNAME:
        message.sname = sname.partition(b"\0")[0]
    return message


def _walk(data: bytes, position: int, end: int, message: Message) -> None:
    """Add the options in data[position:end] to the message."""
    options = message.options
    while position < end:
        code = data[position]
        if code == PAD:
            position += 1
            continue
        if code == END:
            return
        if position + 1 >= end:
            raise WireError(f"option {code} has no length", position)
        start = position + 2
        stop = start + data[position + 1]
        if stop > end:
            raise WireError(f"option {code}: {stop - end} octets past the end", position)
        if code in options:
            options[code] += data[start:stop]
        else:
            options[code] = data[start:stop]
            message.offsets[code] = position
        position = stop


def _take_overload(message: Message) -> int:
    """Return the overload bits and remove their option: the fields are as if nothing was overloaded."""
    value = message.options.pop(OVERLOAD, None)
    if value is None:
        return 0
    if len(value) != 1 or not 1 <= value[0] <= 3:
        raise WireError("option 52 (overload) must be 1, 2 or 3", message.offsets[OVERLOAD])
    return value[0]


def encode(message: Message, minimum: int = MIN_REPLY) -> bytes:
    """Return the datagram, padded to at least minimum octets; ValueError when a field is too long.

    Options keep their order, but for 82, which goes last (RFC 3046 §2.2); END always follows.
    """
    if len(message.sname) > 63 or len(message.file) > 127:
        raise ValueError("sname holds 63 octets and file 127")
    header = _HEADER.pack(
        message.op, message.htype, message.hlen, message.hops, message.xid, message.secs, message.flags,
        message.ciaddr, message.yiaddr, message.siaddr, message.giaddr,
        message.chaddr, message.sname, message.file,
    )  # fmt: skip
    if not message.cookie:
        return header.ljust(minimum, b"\0")
    parts = [header, COOKIE]
    parts += [_option(code, value) for code, value in message.options.items() if code != RELAY_AGENT]
    if RELAY_AGENT in message.options:
        parts.append(_option(RELAY_AGENT, message.options[RELAY_AGENT]))
    parts.append(bytes([END]))
    return b"".join(parts).ljust(minimum, b"\0")


def _option(code: int, value: bytes) -> bytes:
    """Return one option, split into several when it is longer than 255 octets (RFC 3396 §5)."""
    if len(value) < 256:
        return bytes([code, len(value)]) + value
    pieces = (value[start : start + 255] for start in range(0, len(value), 255))
    return b"".join(bytes([code, len(piece)]) + piece for piece in pieces)


# Numbers inside options ------------------------------------------------------------------------


def number(value: bytes) -> int:
    """Return the unsigned number in all of value, most significant octet first."""
    return int.from_bytes(value, "big")


def octets(value: int, size: int) -> bytes:
    """Return value as size octets, most significant first."""
    return value.to_bytes(size, "big")


def numbers16(value: bytes) -> tuple[int, ...]:
    """Return the 16-bit numbers in value; an odd octet at the end is left out."""
    return tuple(number(value[start : start + 2]) for start in range(0, len(value) - 1, 2))


def addresses(*values: int) -> bytes:
    """Return IPv4 addresses one behind the other."""
    return b"".join(octets(value, 4) for value in values)


def dotted(address: int) -> str:
    """Return an IPv4 address in its usual notation."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"
