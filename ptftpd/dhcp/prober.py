"""Finds out, before an address is leased, whether some machine uses it already. No privilege is needed.

An empty datagram to the address makes the kernel resolve it, and its neighbour table says a little later
whether anyone answered. This is done in advance, for the addresses that the next new clients would get, so
that no client ever waits for it; in a storm, clients may get addresses that are not looked at yet.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from ptftpd import neighbours, net
from ptftpd.dhcp import wire
from ptftpd.dhcp.networks import Network
from ptftpd.dhcp.pool import Lease
from ptftpd.log import Log
from ptftpd.loop import INF, Loop

AHEAD = 16  # addresses looked at in advance: as many new clients a second as get one that is known to be free
GOOD = 300.0  # seconds for which an address is known to be free
PATIENCE = 10.0  # seconds until the kernel knows: 3 for a new address, 8 for one that had an entry before
LOOK, IDLE = 1.0, 30.0  # seconds between two looks while the kernel is asking, and when nothing is asked
DISCARD = 9  # UDP port; nothing listens there


class Prober:
    """Looks ahead in the interface's own network; quarantines what is in use."""

    scheduled = INF  # for the loop

    def __init__(
        self, loop: Loop, log: Log, link: net.Link, network: Network, quarantine: float,
        store: Callable[[Lease, float], None],
    ) -> None:  # fmt: skip
        """quarantine: seconds. store(lease, now) puts what was found on the disk."""
        self._loop, self._log, self._link, self._network = loop, log, link, network
        self._quarantine, self._store = quarantine, store
        self._asked: dict[int, float] = {}  # address -> since when; at most AHEAD
        self._free: dict[int, float] = {}  # address -> until when it need not be asked again; those upcoming
        self._socket: socket.socket | None = None
        self.deadline = loop.now
        loop.schedule(self)

    def tick(self, now: float) -> None:
        """See what the kernel found out, and have it ask for what comes next."""
        for address, since in list(self._asked.items()):
            state, hardware = neighbours.entry(wire.dotted(address), self._link.index)
            if state == neighbours.IN_USE and not self._may_have(address, hardware, now):
                self._conflict(address, hardware, now)
            elif state == neighbours.ASKING and now - since < PATIENCE:
                continue
            else:
                self._free[address] = now + GOOD
            del self._asked[address]
        upcoming = self._network.pool.upcoming(AHEAD, now)
        self._free = {
            address: self._free[address] for address in upcoming if self._free.get(address, now) > now
        }
        for address in upcoming:
            if address not in self._free and len(self._asked) < AHEAD and address not in self._asked:
                self._ask(address)
                self._asked[address] = now
        self.deadline = now + (LOOK if self._asked else IDLE)

    def hurry(self, now: float) -> None:
        """Look ahead soon: an address was taken."""
        if self.deadline > now + LOOK:
            self.deadline = now + LOOK
            self._loop.schedule(self)

    def close(self) -> None:
        """Stop looking."""
        self.deadline = INF
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _may_have(self, address: int, hardware: bytes, now: float) -> bool:
        """Return whether it is no conflict: somebody got the address meanwhile, or its last client is there.

        The kernel believes for half a minute that a client which released its address still has it.
        """
        lease = self._network.pool.holder(address)
        return lease is not None and (lease.free_at > now or lease.hardware[1:] == hardware)

    def _conflict(self, address: int, hardware: bytes, now: float) -> None:
        lease = self._network.pool.quarantine(address, self._quarantine, now)
        self._store(lease, now)
        where, who, interface = wire.dotted(address), hardware.hex(":"), self._link.name
        self._log.warning(
            "no-lease",
            f"{where} is in use by {who} on {interface}, which has no lease for it: not leased for "
            f"{lease.seconds:g} s (set exclude in [dhcp], or reserve it)",
            DHCP_ADDRESS=where, DHCP_CLIENT=who, DHCP_INTERFACE=interface,
        )  # fmt: skip

    def _confine(self, sock: socket.socket) -> None:
        """Keep it off the other interfaces, where nothing is sent either; no matter if that fails."""
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._link.name.encode())
        except OSError:
            pass

    def _ask(self, address: int) -> None:
        """Make the kernel resolve an address."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
                self._confine(self._socket)
            net.send_from(
                self._socket, b"", (wire.dotted(address), DISCARD),
                source=str(self._link.address), ifindex=self._link.index,
            )  # fmt: skip
        except OSError:
            pass  # no route, no room, no descriptor: the address is offered without being looked at
