"""UDP sockets and interface facts: PKTINFO (which local address was asked), binding to a device."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import random
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ptftpd.errors import ConfigError, Error, InterfaceReplacedError

# Linux numbers that Python's socket module does not name.
IP_PKTINFO, IP_MTU_DISCOVER, IP_MTU, IPV6_MTU = 8, 10, 14, 24
IP_PMTUDISC_OMIT = 5
IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE, SO_EE_ORIGIN_LOCAL = 11, 25, 0x2000, 1
SO_RCVBUFFORCE = 33
SIOCGIFMTU = 0x8921  # netdevice(7)

RECEIVE_BUFFER = 4 << 20  # octets: a thousand machines that are switched on together ask at once

IPV6_SOCKADDR = 4  # items of an IPv6 address in Python; the last is the number of the zone
UNKNOWN = bytes(4)
MULTICAST4 = 224  # the first octet of these addresses, and above it that of 255.255.255.255
Control = tuple[int, int, bytes]  # a control message, as sendmsg(2) takes it
ANCILLARY = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(12)  # in6_pktinfo and in_pktinfo
ERROR_ANCILLARY = ANCILLARY + socket.CMSG_SPACE(44)  # and sock_extended_err with an address


@dataclass(frozen=True)
class Link:
    """One interface, by whichever of its names, with the IPv4 address that is used and all it has.

    Without any, the address is 0.0.0.0.
    """

    name: str
    index: int
    mac: bytes
    address: IPv4Address
    network: IPv4Network
    addresses: tuple[IPv4Interface, ...] = ()  # the best first, see _rank()
    mtu: int = 1500

    def using(self, address: IPv4Interface) -> Link:
        """Return it with another of its addresses as the one that is used."""
        return replace(self, address=address.ip, network=address.network)


def _rank(address: IPv4Interface) -> tuple[bool, bool]:
    """Sort what a link-local or a virtual address (/32, as of keepalived) is behind those of the network."""
    return address.ip.is_link_local, address.network.prefixlen == 32


def real_name(name: str) -> str:
    """Return the kernel's name of an interface, also for an alternative one; what is none stays."""
    try:
        return socket.if_indextoname(socket.if_nametoindex(name))
    except OSError:
        return name


def link(name: str, *, ipv4: bool = True) -> Link:
    """Return the facts of an interface; ConfigError when there is none such.

    name may be one of its alternative names (ip link property add altname). ipv4: raise Error when it has no
    IPv4 address, as DHCP cannot do without one; else its address is 0.0.0.0 then, and addresses is empty.
    """
    import netifaces  # the client has no use for it

    try:
        if ":" in name:
            raise ValueError("the kernel finds eth0 by eth0:1 too")
        index = socket.if_nametoindex(name)
        facts = netifaces.ifaddresses(socket.if_indextoname(index))
    except (OSError, ValueError):
        known = ", ".join(other for other in netifaces.interfaces() if other != "lo")
        raise ConfigError(
            f"there is no network interface {name} here (there are: {known or 'none'})"
        ) from None
    if ipv4 and netifaces.AF_INET not in facts:
        raise Error(f"interface {name} has no IPv4 address: give it one (ip addr add ADDRESS/LEN dev {name})")
    listed = facts.get(netifaces.AF_INET, [])
    found = (IPv4Interface(f"{each['addr']}/{each['netmask']}") for each in listed)
    addresses = tuple(sorted(found, key=_rank))
    used = addresses[0] if addresses else IPv4Interface("0.0.0.0")
    hardware = facts.get(netifaces.AF_LINK, [{"addr": "00:00:00:00:00:00"}])[0]["addr"]
    return Link(
        name=name,
        index=index,
        mac=bytes.fromhex(hardware.replace(":", "")),
        address=used.ip,
        network=used.network,
        addresses=addresses,
        mtu=_mtu(index),
    )


def _mtu(index: int) -> int:
    """Return the MTU of an interface in octets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name = socket.if_indextoname(index).encode()
        answer = fcntl.ioctl(sock, SIOCGIFMTU, struct.pack("16si16x", name, 0))
    return int(struct.unpack_from("16xi", answer)[0])


def any_address() -> str:
    """Return the address that stands for all: '::', which takes IPv4 too, unless the kernel has no IPv6."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return "0.0.0.0"
    return "::"


def listen(address: str, port: int, *, interface: str = "", broadcast: bool = False) -> socket.socket:
    """Return a bound UDP socket that reports where each datagram was sent to; Error says why not.

    '::' takes IPv4 too. SO_REUSEADDR stays off: with it a second server would silently take over the port.
    """
    version6 = ":" in address
    with contextlib.ExitStack() as undo:
        try:
            sock = socket.socket(socket.AF_INET6 if version6 else socket.AF_INET, socket.SOCK_DGRAM)
            undo.enter_context(sock)
            if version6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
            if interface:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            if broadcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind(sockaddr(address, port, version6))
        except OSError as error:
            raise Error(_why_not_bound(error, address, port, interface)) from None
        prepare(sock)
        undo.pop_all()
    return sock


def _why_not_bound(error: OSError, address: str, port: int, interface: str) -> str:
    place = f"UDP port {port}" + (f" on {interface}" if interface else f" of {address}")
    if error.errno == errno.EADDRINUSE:
        shown = f"ss -ulpn 'sport = {port}' shows it, systemctl list-sockets if it is systemd's"
        return f"{place} is taken by another program: stop that one ({shown})"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{place} may be opened by root only: start as root or through systemd"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine"
    return f"cannot open {place}: {error.strerror}"


def prepare(sock: socket.socket) -> None:
    """Make a listening socket, our own or one from systemd, non-blocking and let it report PKTINFO."""
    sock.setblocking(False)
    allow_fragments(sock)
    _let_wait(sock, RECEIVE_BUFFER)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)  # IPv6's own does not tell IPv4 broadcasts apart


def allow_fragments(sock: socket.socket) -> None:
    """Send IPv4 datagrams without DF: routers may fragment what does not fit further on.

    The kernel's default is made for senders that can shrink their packets. A TFTP server cannot, once blksize
    is agreed on: through a tunnel no block would ever arrive where ICMP is filtered, and the first one late
    where it is not. What ICMP says of an MTU, which anybody can forge, changes nothing of what is sent, and
    segmentation offload goes on. IPv6 routers never fragment: there only a smaller blksize helps.
    """
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)


def _let_wait(sock: socket.socket, octets: int) -> None:
    """Let at least so much wait in a socket; without root as much as net.core.rmem_max allows.

    What systemd has given it (ReceiveBuffer=) may be more than that, and could not be had back.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, octets)
    except OSError:
        had = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        with socket.socket(sock.family, socket.SOCK_DGRAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
            if trial.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > had:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def confine(sock: socket.socket, interface: str) -> None:
    """Bind an inherited socket to its interface, which needs no privilege; Error when that fails.

    systemd before 258 ignores BindToDevice=%i and hands over a socket that hears every interface.
    InterfaceReplacedError when the socket is bound to an interface that is gone.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    except OSError as error:
        try:
            bound = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode()
        except OSError:
            reason = f"interface {interface} was replaced by a new one of that name"
            raise InterfaceReplacedError(reason) from None
        if bound != interface:
            raise Error(
                f"cannot bind the socket from systemd to {interface}: {error.strerror}"
                + (f" (it is bound to {bound})" if bound else "")
            ) from None


def receive(sock: socket.socket, buffer: bytearray) -> tuple[int, tuple[str, int], str, int, bool] | None:
    """Return (octets, peer, local address asked, interface index, sent to that address alone).

    None when nothing is queued. A link-local IPv6 peer is given with its zone, the number of the interface;
    IPv4 peers of a '::' socket are given as IPv4. The last is False for a broadcast or multicast.
    """
    try:
        size, ancillary, _, source = sock.recvmsg_into([buffer], ANCILLARY)
    except OSError as error:
        # An ICMP error that an earlier answer provoked is reported here: not a datagram, not a failure.
        if error.errno in {errno.EAGAIN, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}:
            return None
        raise
    asked, index, direct = "", 0, True
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            asked, index, direct = _pktinfo4(data)
        elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and not asked:
            index = struct.unpack_from("=i", data, 16)[0]
            asked, direct = socket.inet_ntop(socket.AF_INET6, data[:16]), data[0] != 0xFF
    return size, _peer(source), asked, index, direct


def report_errors(sock: socket.socket) -> None:
    """Let unreachable() tell what ICMP says of datagrams that went out of a socket that is not connected.

    The messages wait in the room of its receive buffer. One that waits also fails the next call, of whatever
    peer that is: see runs.Burst.
    """
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)  # of an IPv6 socket too: for its IPv4 peers
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)


def unreachable(sock: socket.socket, most: int) -> Iterator[tuple[str, int]]:
    """Yield the peers that do not get what is sent, as ICMP says; look at so many messages at most."""
    for _ in range(most):
        try:
            _, ancillary, _, address = sock.recvmsg(0, ERROR_ANCILLARY, MSG_ERRQUEUE)
        except OSError:
            return
        for level, kind, data in ancillary:
            if (level, kind) in {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}:
                number, origin = struct.unpack_from("=IB", data)  # sock_extended_err, <linux/errqueue.h>
                if origin != SO_EE_ORIGIN_LOCAL and number != errno.EMSGSIZE and address:
                    yield _peer(address)


def _peer(source: tuple[Any, ...]) -> tuple[str, int]:
    """Return a socket's address as receive() gives it."""
    host, port = source[0].removeprefix("::ffff:"), source[1]
    if len(source) == IPV6_SOCKADDR and source[3]:
        host = f"{host}%{source[3]}"
    return host, port


@lru_cache(maxsize=256)  # a machine has few addresses and interfaces
def _pktinfo4(data: bytes) -> tuple[str, int, bool]:
    """Return (local address asked, interface index, sent to that address alone) of an in_pktinfo."""
    index = int(struct.unpack_from("=i", data)[0])
    local, target = data[4:8], data[8:12]
    if local == UNKNOWN:  # it was queued before the socket was to report this
        local = target if target[0] < MULTICAST4 else UNKNOWN
    return socket.inet_ntoa(local), index, local == target


def send_from(
    sock: socket.socket, data: bytes | memoryview, peer: tuple[str, int], *, source: str, ifindex: int
) -> None:
    """Send one IPv4 datagram from the given local address out of the given interface."""
    sock.sendmsg([data], source4(source, ifindex), 0, peer)


@lru_cache(maxsize=256)
def source4(local: str, ifindex: int = 0) -> tuple[Control, ...]:
    """Return the control message that sets source address and interface of a datagram."""
    info = struct.pack("=i4s4s", ifindex, socket.inet_aton(local), bytes(4))
    return ((socket.IPPROTO_IP, IP_PKTINFO, info),)


def connected(
    local: str, peer: tuple[str, int], *, interface: str = "", ports: tuple[int, int] | None = None
) -> socket.socket:
    """Return a non-blocking socket from a fresh port of local to peer: a transfer's own TID (RFC 1350 §4).

    Connected: the kernel keeps strangers out and demultiplexes, at the price of an ICMP error to them
    instead of ERROR 5. An IPv6 link-local peer carries its zone ('fe80::1%eth0'). ports: the first and
    last that may be used. OSError when there is no port or no route.
    """
    version6 = ":" in peer[0]
    sock = socket.socket(socket.AF_INET6 if version6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if not version6:
            allow_fragments(sock)
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        zone = peer[0].partition("%")[2] if local.startswith("fe80:") else ""
        source = f"{local}%{zone}" if zone else local or ("::" if version6 else "0.0.0.0")
        _bind_within(sock, source, ports or (0, 0), version6)
        sock.connect(sockaddr(peer[0], peer[1], version6))
    except OSError:
        sock.close()
        raise
    return sock


def _bind_within(sock: socket.socket, local: str, ports: tuple[int, int], version6: bool) -> None:
    """Bind to a free port of the range, beginning at a random one: a TID is not to be guessed."""
    first, last = ports
    count = last - first + 1
    start = random.randrange(count)
    for step in range(count):
        try:
            sock.bind(sockaddr(local, first + (start + step) % count, version6))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or step == count - 1:
                raise
        else:
            return


def sockaddr(host: str, port: int, version6: bool) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return an address as a socket of that family takes it; host may name its zone, as in fe80::1%eth0."""
    if not version6:
        return host, port
    plain, _, zone = host.partition("%")
    return plain, port, 0, (int(zone) if zone.isdigit() else socket.if_nametoindex(zone)) if zone else 0


def route_mtu(sock: socket.socket, peer: tuple[str, int]) -> int:
    """Return the MTU in octets of the route to peer, whether or not sock is connected to it."""
    try:
        if sock.family == socket.AF_INET6:
            return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)
        return sock.getsockopt(socket.IPPROTO_IP, IP_MTU)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
    with connected("", peer) as probe:  # connecting a UDP socket sends nothing
        return route_mtu(probe, peer)
