"""Other programs on a UDP port of ours, asked of the kernel over netlink (sock_diag(7)), without privilege.

systemd opens its sockets for sharing (SO_REUSEADDR), and so do other servers: no bind(2) fails, and each
request goes to both or to the other one. The rule: a socket that takes all that is meant for ours keeps ours
from serving; one that may take some of it is told. Sockets that systemd holds, and our own, are neither.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ptftpd.errors import Error
from ptftpd.log import Log
from ptftpd.loop import INF, Loop
from ptftpd.net import Link

EVERY = 60.0  # seconds between two looks
MOST = 16  # sockets of others looked at: who has more of them on one port has a simpler name for it

# <linux/sock_diag.h>, <linux/inet_diag.h>
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP = 4, 20, 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
UNCONNECTED = 1 << 7  # TCP_CLOSE, in which the kernel has UDP sockets that hear everybody
INET_DIAG_CGROUP_ID = 21  # Linux 5.7 or later
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBxxI")  # the start of inet_diag_req_v2: family, protocol, states
_SOCKET = struct.Struct("=BBBB2s2s16s16sI8s12sII")  # inet_diag_msg, with inet_diag_sockid: ... user, inode
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type

CGROUPS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")  # where systemd has them, and only these
# Where a socket that PID 1 opened belongs: to itself, or to the socket unit when that has rules of its own.
_SYSTEMD = re.compile(r"init\.scope|.*\.socket")


@dataclass(frozen=True)
class Listener:
    """A UDP socket that hears everybody."""

    address: str  # as it is bound; '0.0.0.0' and '::' are all
    interface: int  # the number of the one that it is bound to, 0 for none
    inode: int
    cgroup: int  # the number of its control group, 0 where the kernel does not tell it


@dataclass(frozen=True)
class Rival:
    """A socket of another program that hears what ours should."""

    where: str  # 'UDP port 67 on eth0', which ours is
    owner: str  # a unit of systemd, '' when it is none
    takes_all: bool

    def __str__(self) -> str:
        port = self.where.split()[2]
        which = f", {self.owner}," if self.owner else ""
        shown = f"stop that one (ss -ulpn 'sport = {port}' shows it)"
        if self.takes_all:
            return f"{self.where} is taken by another program{which}: {shown}".replace(",:", ":")
        return f"{self.where} is open in another program{which} too, which gets some of the requests: {shown}"


def find(
    port: int, link: Link | None = None, *, own: Collection[int] = (), address: str = "::", ipv6: bool = False
) -> list[Rival]:
    """Return what is in the way of our socket on a port, at most MOST; nothing when the kernel does not tell.

    link: the interface that ours is for, None for all. own: the inodes of our sockets. address: ours.
    """
    where = f"UDP port {port}" + (f" on {link.name}" if link else "")
    families = (socket.AF_INET, socket.AF_INET6) if ipv6 else (socket.AF_INET,)
    found = []
    for listener in (each for family in families for each in listeners(port, family)):
        takes = "" if listener.inode in own else _takes(listener, link, address)
        if takes and not _SYSTEMD.fullmatch(unit := owner(listener.cgroup)) and listener.cgroup:
            found.append(Rival(where, unit, takes == "all"))
            if len(found) == MOST:
                break
    return list(dict.fromkeys(found))


def _takes(listener: Listener, link: Link | None, address: str) -> str:
    """Return how much of what is meant for our socket another one takes: 'all', 'some' or ''."""
    index = link.index if link else 0
    if listener.interface and index and listener.interface != index:
        return ""
    theirs, ours = (ipaddress.ip_address(each) for each in (listener.address, address))
    if not ours.is_unspecified:
        return "all" if theirs == ours else ""  # else the kernel prefers the one, or neither is the other's
    if theirs.is_unspecified:
        return "all" if listener.interface == index else "some"
    if theirs.is_loopback and not (link and link.address.is_loopback):
        return ""
    if link:
        return "all" if theirs == link.address else ""
    return "some"


def listeners(port: int, family: int) -> Iterator[Listener]:
    """Yield the sockets on a port; none when the kernel, or what confines us, does not allow to ask."""
    body = _REQUEST.pack(family, socket.IPPROTO_UDP, UNCONNECTED) + struct.pack(">H", port).ljust(48, b"\0")
    query = _HEADER.pack(_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0) + body
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(0.5)  # the kernel answers at once; this only guards against a lost answer
            netlink.send(query)
            while True:
                for kind, message in _messages(netlink.recv(65536)):
                    if kind in (NLMSG_ERROR, NLMSG_DONE):
                        return
                    if len(message) >= _SOCKET.size:
                        yield _listener(message)
    except OSError:
        return


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, what follows the header) of each netlink message; one that is cut off ends them all."""
    start = 0
    while start + _HEADER.size <= len(answer):
        length, kind, *_ = _HEADER.unpack_from(answer, start)
        if length < _HEADER.size:
            yield NLMSG_ERROR, b""
            return
        yield kind, answer[start + _HEADER.size : start + length]
        start += (length + 3) & ~3


def _listener(message: bytes) -> Listener:
    family, _, _, _, _, _, source, _, interface, _, _, _, inode = _SOCKET.unpack_from(message)
    address = socket.inet_ntop(family, source[: 4 if family == socket.AF_INET else 16])
    cgroup, start = 0, _SOCKET.size
    while start + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, start)
        if not _ATTRIBUTE.size <= length <= len(message) - start:
            break
        if kind == INET_DIAG_CGROUP_ID and length == _ATTRIBUTE.size + 8:
            (cgroup,) = struct.unpack_from("=Q", message, start + _ATTRIBUTE.size)
        start += (length + 3) & ~3
    return Listener(address.removeprefix("::ffff:"), interface, inode, cgroup)


def owner(cgroup: int) -> str:
    """Return the unit, the last part of the path, of a control group; '' when it is not to be found here.

    No process is looked at, which a service may not do: a control group's number is its directory's inode.
    """
    top = next((path for path in CGROUPS if os.path.exists(f"{path}/cgroup.procs")), "")
    for path, _, _ in os.walk(top) if top and cgroup else ():
        with contextlib.suppress(OSError):  # it has just ended
            if os.stat(path).st_ino == cgroup:
                return "" if path == top else os.path.basename(path)
    return ""


def refuse(rivals: Collection[Rival], log: Log, error: type[Error] = Error) -> None:
    """Raise an Error about the first that takes everything; record the others."""
    for rival in rivals:
        if rival.takes_all:
            raise error(str(rival))
        log.warning("", str(rival))


class Lookout:
    """Records who comes to a port that we serve, and who is gone again; looks once in a while."""

    scheduled = INF  # for the loop

    def __init__(self, loop: Loop, log: Log, look: Callable[[], list[Rival]]) -> None:
        """look() returns who is there; the first look is the loop's first turn."""
        self._log, self._look = log, look
        self._told: list[Rival] = []
        self.deadline = loop.now
        loop.schedule(self)

    def tick(self, now: float) -> None:
        """Look."""
        self.deadline = now + EVERY
        found = self._look()
        for rival in found:
            if rival not in self._told:
                self._log.warning("", str(rival))
        if self._told and not found:
            self._log.info("", f"{self._told[0].where} is open in no other program any more")
        self._told = found
