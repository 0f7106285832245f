"""What a client is counted as: its IPv4 address, or its IPv6 network unless it is a neighbour."""

from __future__ import annotations

import socket

from ptftpd import neighbours
from ptftpd.tftp.rates import Rates

NETWORK = 8  # octets of an IPv6 address that name a network: whoever has one has 2^64 addresses
LOOKUPS = 1000  # a second at most, about 30 us each: a flood of forged addresses is counted by network
KNOWN, REMEMBERED = 1024, 10.0  # neighbours, as many as the kernel itself keeps; and for how many seconds


class Sources:
    """Tells clients apart, for what is counted by client.

    All machines of a boot LAN share one IPv6 network, and each is to have its due: what the kernel has a
    neighbour entry of, and so is on our own link, is counted by address. What comes through a router is not.
    """

    def __init__(self) -> None:
        self._known: dict[str, float] = {}  # neighbour -> until when
        self._lookups = Rates(LOOKUPS, LOOKUPS)

    def of(self, host: str, ifindex: int, now: float) -> str:
        """Return what the address of a client is counted as; a link-local one has its zone (fe80::1%2)."""
        if ":" not in host or self._known.get(host, 0.0) > now:
            return host
        plain, _, zone = host.partition("%")
        if not self._lookups.wait("", 1, now):
            state, hardware = neighbours.entry(plain, ifindex)
            if hardware and state != neighbours.UNUSED:
                if len(self._known) >= KNOWN:
                    self._known.clear()
                self._known[host] = now + REMEMBERED
                return host
        network = socket.inet_pton(socket.AF_INET6, plain)[:NETWORK] + bytes(NETWORK)
        return f"{socket.inet_ntop(socket.AF_INET6, network)}/64" + (f"%{zone}" if zone else "")
