"""The kernel's neighbour table (ARP and ND) and routes, asked over netlink: no privilege, no /proc/net."""

from __future__ import annotations

import socket
import struct
import sys

# <linux/rtnetlink.h>, <linux/neighbour.h>
RTM_NEWROUTE, RTM_GETROUTE, RTM_NEWNEIGH, RTM_GETNEIGH = 24, 26, 28, 30
NLM_F_REQUEST = 1
NDA_DST, NDA_LLADDR = 1, 2
RTA_DST, RTA_OIF = 1, 4
NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_PERMANENT = 1, 2, 4, 8, 16, 128
CONFIRMED, UNCERTAIN = NUD_REACHABLE | NUD_PERMANENT, NUD_INCOMPLETE | NUD_STALE | NUD_DELAY | NUD_PROBE

IN_USE, ASKING, UNUSED = "in use", "asking", "unused"  # whether somebody answers for an address
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_MESSAGE = struct.Struct("=BxxxiHBB")  # ndmsg: family, interface, state, flags, type
_ROUTE = struct.Struct("=BBxxxxxxxxxx")  # rtmsg: family, bits of the destination, ...
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type


def hardware_address(address: str, ifindex: int) -> bytes:
    """Return the hardware address that the kernel knows of a neighbour, b'' when it knows none.

    The neighbour has just sent something, so that its entry is there.
    """
    return entry(address, ifindex)[1]


def entry(address: str, ifindex: int) -> tuple[str, bytes]:
    """Return (IN_USE, ASKING or UNUSED, hardware address) of a neighbour; Linux 5.1 or later."""
    family, wanted = _packed(address)
    return _read(_query(RTM_GETNEIGH, _MESSAGE.pack(family, ifindex, 0, 0, 0), NDA_DST, wanted))


def _read(answer: bytes) -> tuple[str, bytes]:
    """Return what entry() does, of an RTM_NEWNEIGH message; any other message tells of no entry."""
    if _kind(answer) != RTM_NEWNEIGH:
        return UNUSED, b""
    bits = _MESSAGE.unpack_from(answer, _HEADER.size)[2]
    state = IN_USE if bits & CONFIRMED else ASKING if bits & UNCERTAIN else UNUSED
    return state, _attribute(answer, _HEADER.size + _MESSAGE.size, NDA_LLADDR)


def interface(address: str) -> int:
    """Return the number of the interface by which an address is reached, and 0 when there is no route to it.

    An entry of the neighbour table is one interface's: the kernel refuses to look in all of them. The zone of
    a link-local IPv6 address names its interface.
    """
    zone = address.partition("%")[2]
    try:
        if zone:
            return int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    except OSError:
        return 0
    family, wanted = _packed(address)
    answer = _query(RTM_GETROUTE, _ROUTE.pack(family, 8 * len(wanted)), RTA_DST, wanted)
    if _kind(answer) != RTM_NEWROUTE:
        return 0
    found = _attribute(answer, _HEADER.size + _ROUTE.size, RTA_OIF)
    return int.from_bytes(found, sys.byteorder)


def _packed(address: str) -> tuple[int, bytes]:
    """Return (family, octets) of an address, its zone left out."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address.partition("%")[0])


def _query(kind: int, message: bytes, attribute: int, value: bytes) -> bytes:
    """Return what the kernel answers to a message with one attribute, b'' when it does not."""
    body = message + _ATTRIBUTE.pack(4 + len(value), attribute) + value
    query = _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST, 1, 0) + body
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(0.2)  # the kernel answers at once; a timeout only guards against a lost answer
            netlink.send(query)
            return netlink.recv(8192)
    except OSError:
        return b""


def _kind(answer: bytes) -> int:
    """Return which message an answer is, 0 when it is too short for one."""
    whole = len(answer) >= _HEADER.size + _MESSAGE.size  # an rtmsg is as long
    return int(_HEADER.unpack_from(answer)[1]) if whole else 0


def _attribute(answer: bytes, start: int, wanted: int) -> bytes:
    """Return an attribute of those that begin at start, b'' when it is not there."""
    while start + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, start)
        if length < _ATTRIBUTE.size:
            break
        if kind == wanted:
            return answer[start + _ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3
    return b""
