"""BOOTP and DHCP messages as octets and as values (RFC 951, RFC 2131 §2, RFC 2132 §2, RFC 3396).

The only place that knows byte order. Addresses are plain ints everywhere else, options raw octets by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct

from ptftpd.errors import WireError

BOOTREQUEST, BOOTREPLY = 1, 2
BROADCAST = 0x8000  # the only flag (RFC 2131 §2)
COOKIE = b"\x63\x82\x53\x63"
PAD, OVERLOAD, MESSAGE_TYPE, RELAY_AGENT, END = 0, 52, 53, 82, 255
VITAL = frozenset({OVERLOAD, MESSAGE_TYPE, RELAY_AGENT})  # what an answer hangs on
IN_FILE, IN_SNAME = 1, 2  # bits of OVERLOAD (RFC 2132 §9.3)
MAX_MESSAGE = 65507  # octets of the largest UDP datagram
MIN_REPLY = 300  # octets of a BOOTP message; relays and old clients drop shorter ones (RFC 1542 §2.1)

SHORT = 64  # octets of an option that is worth remembering as it is sent

_HEADER = Struct(">BBBBIHHIIII16s64s128s")
_SNAME, _FILE, _VEND = 44, 108, 236  # where those fields start
_OPTIONS = _VEND + len(COOKIE)


@dataclass(slots=True)
class Message:
    """A BOOTP or DHCP message; cookie says whether vend holds options. sname and file end at their NUL.

    options joins what was split or repeated (RFC 3396); joined says that there may be such a one, which
    alone can be longer than 255 octets. agents has each option 82 apart when there are several: a switch and
    a relay agent may both have added one, and each is to find its own. offsets is where each was first found.
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
    agents: tuple[bytes, ...] = field(default=(), compare=False)
    joined: bool = field(default=True, compare=False, repr=False)
    offsets: dict[int, int] = field(default_factory=dict, compare=False, repr=False)


def decode(data: bytes) -> Message:
    """Return the message in a datagram; WireError when it is none. Options may lack their END (255).

    One broken detail does not condemn a message: an option that is cut off ends the field that it is in, and
    what came before it counts. It is an error where the answer hangs on it: when it is option 52, 53 or 82,
    or when there is no option 53, which may have stood in what is lost.
    """
    if len(data) < _VEND:
        raise WireError(f"{len(data)} octets are too few for a BOOTP message", len(data))
    message = Message(*_HEADER.unpack_from(data))  # its first fields, in this order
    message.cookie, message.joined = data[_VEND:_OPTIONS] == COOKIE, False
    if message.hlen > len(message.chaddr):
        raise WireError(f"hardware address of {message.hlen} octets", 2)
    overload = 0
    if message.cookie:
        damage = _walk(data, _OPTIONS, len(data), message)
        overload = _take_overload(message)
        # RFC 3396 §5: the options field, then file, then sname, are one aggregate buffer.
        if overload & IN_FILE:
            damage = _walk(data, _FILE, _VEND, message) or damage
        if overload & IN_SNAME:
            damage = _walk(data, _SNAME, _FILE, message) or damage
        if overload:
            _take_overload(message)
        if damage and MESSAGE_TYPE not in message.options:
            raise damage
    message.file = b"" if overload & IN_FILE else message.file.partition(b"\0")[0]
    message.sname = b"" if overload & IN_SNAME else message.sname.partition(b"\0")[0]
    return message


def _walk(data: bytes, position: int, end: int, message: Message) -> WireError | None:
    """Add the options in data[position:end] to the message; return what is wrong with the last, if anything.

    WireError when that is an option on which the answer hangs.
    """
    options = message.options
    while position < end:
        code = data[position]
        if code == PAD:
            position += 1
            continue
        if code == END:
            return None
        if position + 1 >= end:
            return _damaged(code, f"option {code} has no length", position)
        start = position + 2
        stop = start + data[position + 1]
        if stop > end:
            return _damaged(code, f"option {code}: {stop - end} octets past the end", position)
        if code in options:
            if code == RELAY_AGENT:
                message.agents = (*(message.agents or (options[code],)), data[start:stop])
            options[code] += data[start:stop]
            message.joined = True
        else:
            options[code] = data[start:stop]
            message.offsets[code] = position
        position = stop
    return None


def _damaged(code: int, reason: str, position: int) -> WireError:
    error = WireError(reason, position)
    if code in VITAL:
        raise error
    return error


def _take_overload(message: Message) -> int:
    """Return the overload bits and remove their option: the fields are as if nothing was overloaded."""
    value = message.options.pop(OVERLOAD, None)
    if value is None:
        return 0
    if len(value) != 1 or not 1 <= value[0] <= 3:
        raise WireError("option 52 (overload) must be 1, 2 or 3", message.offsets[OVERLOAD])
    return value[0]


def encode(message: Message, minimum: int = MIN_REPLY, maximum: int = MAX_MESSAGE) -> bytes:
    """Return the datagram, padded to at least minimum octets; ValueError when a field is too long.

    Options keep their order, but for 82, which goes last (RFC 3046 §2.2), each as it came; END always
    follows. Those that do not fit into maximum octets go into file and sname if these are empty (RFC 2132
    §9.3), else are left out.
    """
    if len(message.sname) > 63 or len(message.file) > 127:
        raise ValueError("sname holds 63 octets and file 127")
    if not message.cookie:
        return _header(message, message.sname, message.file).ljust(minimum, b"\0")
    options = [
        _short_option(code, value) if len(value) <= SHORT else _option(code, value)
        for code, value in message.options.items()
        if code != RELAY_AGENT
    ]
    last = bytes([END])
    if RELAY_AGENT in message.options:
        agents = message.agents or (message.options[RELAY_AGENT],)
        last = b"".join([_option(RELAY_AGENT, agent) for agent in agents]) + last
    room = maximum - _OPTIONS - len(last)
    sname, file, vend = message.sname, message.file, b"".join(options)
    if len(vend) > room:
        vend, file, sname = _overloaded(options, room, message)
    return b"".join([_header(message, sname, file), COOKIE, vend, last]).ljust(minimum, b"\0")


def _header(message: Message, sname: bytes, file: bytes) -> bytes:
    return _HEADER.pack(
        message.op, message.htype, message.hlen, message.hops, message.xid, message.secs, message.flags,
        message.ciaddr, message.yiaddr, message.siaddr, message.giaddr, message.chaddr, sname, file,
    )  # fmt: skip


def _overloaded(options: list[bytes], room: int, message: Message) -> tuple[bytes, bytes, bytes]:
    """Return what goes into vend, file and sname when vend has room for so many octets only."""
    vend, file, sname = b"", b"", b""
    for option in options:
        if len(vend) + len(option) <= room - 3:  # three: option 52 itself
            vend += option
        elif not message.file and len(file) + len(option) < _VEND - _FILE:  # END follows
            file += option
        elif not message.sname and len(sname) + len(option) < _FILE - _SNAME:
            sname += option
    used = (IN_FILE if file else 0) | (IN_SNAME if sname else 0)
    if used:
        vend += bytes([OVERLOAD, 1, used])
    end = bytes([END])
    return vend, file + end if file else message.file, sname + end if sname else message.sname


@lru_cache(maxsize=1024)  # most options are the same in every reply; up to 300 kB of what clients make up
def _short_option(code: int, value: bytes) -> bytes:
    """Return an option of at most SHORT octets."""
    return bytes([code, len(value)]) + value


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
    return b"".join([octets(value, 4) for value in values])


def split4(value: bytes) -> list[bytes]:
    """Return the addresses in value, four octets each."""
    return [value[start : start + 4] for start in range(0, len(value), 4)]


def route(network: int, length: int, router: int) -> bytes:
    """Return one route of option 121: only the significant octets of the network (RFC 3442)."""
    return octets(length, 1) + octets(network, 4)[: (length + 7) // 8] + octets(router, 4)


def has_default_route(value: bytes) -> bool:
    """Return whether the routes of an option 121 go everywhere; malformed ones count as if they did."""
    position = 0
    while position < len(value):
        if value[position] == 0 or value[position] > 32:
            return True
        position += 1 + (value[position] + 7) // 8 + 4
    return position != len(value)


def domain_names(names: Iterable[Sequence[bytes]]) -> bytes:
    """Return domain names given as labels; an ending that was there before is a pointer (RFC 1035 §4.1.4)."""
    encoded = b""
    endings: dict[tuple[bytes, ...], int] = {}
    for labels in names:
        for first in range(len(labels)):
            ending = tuple(labels[first:])
            if ending in endings:
                encoded += octets(0xC000 | endings[ending], 2)
                break
            if len(encoded) < 0x4000:  # as far as a pointer reaches
                endings[ending] = len(encoded)
            encoded += octets(len(labels[first]), 1) + labels[first]
        else:
            encoded += b"\0"
    return encoded


@lru_cache(maxsize=4096)  # each is written several times in an exchange: in records, for the database
def dotted(address: int) -> str:
    """Return an IPv4 address in its usual notation."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"
