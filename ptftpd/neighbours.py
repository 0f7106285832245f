"""The kernel's neighbour table (ARP and ND), asked over netlink: no privilege, no /proc/net."""

from __future__ import annotations

import socket
import struct

# <linux/rtnetlink.h>, <linux/neighbour.h>
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
NLM_F_REQUEST = 1
NDA_DST, NDA_LLADDR = 1, 2
NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_PERMANENT = 1, 2, 4, 8, 16, 128
CONFIRMED, UNCERTAIN = NUD_REACHABLE | NUD_PERMANENT, NUD_INCOMPLETE | NUD_STALE | NUD_DELAY | NUD_PROBE

IN_USE, ASKING, UNUSED = "in use", "asking", "unused"  # whether somebody answers for an address
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_MESSAGE = struct.Struct("=BxxxiHBB")  # ndmsg: family, interface, state, flags, type
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type


def hardware_address(address: str, ifindex: int) -> bytes:
    """Return the hardware address that the kernel knows of a neighbour, b'' when it knows none.

    The neighbour has just sent something, so that its entry is there.
    """
    return entry(address, ifindex)[1]


def entry(address: str, ifindex: int) -> tuple[str, bytes]:
    """Return (IN_USE, ASKING or UNUSED, hardware address) of a neighbour; Linux 5.1 or later."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    wanted = socket.inet_pton(family, address.partition("%")[0])
    body = _MESSAGE.pack(family, ifindex, 0, 0, 0) + _ATTRIBUTE.pack(4 + len(wanted), NDA_DST) + wanted
    query = _HEADER.pack(_HEADER.size + len(body), RTM_GETNEIGH, NLM_F_REQUEST, 1, 0) + body
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(0.2)  # the kernel answers at once; a timeout only guards against a lost answer
            netlink.send(query)
            return _read(netlink.recv(8192))
    except OSError:
        return UNUSED, b""


def _read(answer: bytes) -> tuple[str, bytes]:
    """Return what entry() does, of an RTM_NEWNEIGH message; any other message tells of no entry."""
    start = _HEADER.size + _MESSAGE.size
    if len(answer) < start or _HEADER.unpack_from(answer)[1] != RTM_NEWNEIGH:
        return UNUSED, b""
    bits = _MESSAGE.unpack_from(answer, _HEADER.size)[2]
    state = IN_USE if bits & CONFIRMED else ASKING if bits & UNCERTAIN else UNUSED
    while start + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, start)
        if length < _ATTRIBUTE.size:
            break
        if kind == NDA_LLADDR:
            return state, answer[start + _ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3
    return state, b""
