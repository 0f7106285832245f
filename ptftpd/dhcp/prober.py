"""Finds out, before an address is leased, whether some machine uses it already. No privilege is needed.

An empty datagram to the address makes the kernel resolve it, and its neighbour table says a little later
whether anyone answered. This is done in advance, for the addresses that the next new clients would get, so
that no client ever waits for it; in a storm, clients may get addresses that are not looked at yet. It is done
a few addresses at a time: some firmware hears no frame any more after a burst of broadcasts.

    free -> quarantine   some machine answers that has no lease of it
    free -> kept         its last client answers, which goes on with it: nobody else gets it
    quarantine -> free   nobody answers any more: looked at when few addresses are left

Evidence has to be able to tell: of a machine that answers for one address after the other (proxy ARP, a
private VLAN, a hostile host) nothing is believed any more, and what it caused is undone. Nor is anything
believed that would leave less than half of the addresses.
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

AHEAD = 16  # addresses that are to be known as free, for new clients
# Addresses of an interface asked for at a time. The kernel broadcasts for each once a second, three times, so
# that is how many a second: 20 in 4 s, where U-Boot has room for 32 frames. Six addresses in 4 s are known.
AT_ONCE = 5
GOOD = 300.0  # seconds for which an address is known to be free
KEEP = 60.0  # seconds until an address that is in use is looked at again: kept for its last client, or scarce
SCARCE = 4  # addresses left, below which those in quarantine are looked at again
PATIENCE = 10.0  # seconds until the kernel knows: 3 for a new address, 8 for one that had an entry before
LOOK = 1.0  # seconds for which an address counts as asked for, if it is answered at once: no broadcasts more
TURN, IDLE = 0.5, 30.0  # seconds between two turns while the kernel is asking, and when nothing is asked
DISCARD = 9  # UDP port; nothing listens there
TOO_MANY = 4  # addresses without a lease for which one machine answers before it is not believed any more
MAX_WITNESSES = 64  # hardware addresses remembered: a hostile host can make up as many as it likes


class Prober:
    """Looks ahead in the interface's own network; quarantines what is in use."""

    scheduled = INF  # for the loop

    def __init__(
        self, loop: Loop, log: Log, link: net.Link, network: Network, quarantine: float,
        store: Callable[[Lease, float], None], at_once: int = AT_ONCE,
    ) -> None:  # fmt: skip
        """quarantine: seconds. store(lease, now) puts what was found on the disk.

        at_once: this network's share of the AT_ONCE of its interface.
        """
        self._at_once = at_once
        self._loop, self._log, self._link, self._network = loop, log, link, network
        self._quarantine, self._store = quarantine, store
        self._asked: dict[int, float] = {}  # address -> since when; at most AT_ONCE
        self._looked: dict[int, float] = {}  # address -> until when it need not be asked for again
        self._answers: dict[
            bytes, list[int]
        ] = {}  # hardware address -> what it answered for, without a lease
        self._unbelieved: dict[bytes, None] = {}  # hardware addresses that answer for everything
        self._over_half = False  # whether it was said that so many are in use
        self._socket: socket.socket | None = None
        self.deadline = loop.now
        loop.schedule(self)

    def tick(self, now: float) -> None:
        """See what the kernel found out, and have it ask for what comes next."""
        for address, since in list(self._asked.items()):
            if now - since < LOOK:
                continue
            state, hardware = neighbours.entry(wire.dotted(address), self._link.index)
            if state == neighbours.ASKING and now - since < PATIENCE:
                continue
            del self._asked[address]
            if state == neighbours.IN_USE and hardware not in self._unbelieved:
                self._is_used(address, hardware, now)
            else:
                self._is_free(address, now)
        pool = self._network.pool
        wanted = pool.upcoming(AHEAD, now)
        if len(wanted) < SCARCE:
            wanted += pool.quarantined(now)
        self._looked = {each: self._looked[each] for each in wanted if self._looked.get(each, now) > now}
        for address in wanted:
            if (
                address not in self._looked
                and address not in self._asked
                and len(self._asked) < self._at_once
            ):
                self._ask(address)
                self._asked[address] = now
        self.deadline = now + (TURN if self._asked else IDLE)

    def hurry(self, now: float) -> None:
        """Look ahead soon: an address was taken."""
        if self.deadline > now + TURN:
            self.deadline = now + TURN
            self._loop.schedule(self)

    def close(self) -> None:
        """Stop looking."""
        self.deadline = INF
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _is_free(self, address: int, now: float) -> None:
        """Note that nobody answers for an address; its quarantine is over then."""
        self._looked[address] = now + GOOD
        lease = self._network.pool.holder(address)
        if lease is not None and lease.is_quarantined(now):
            self._lift(address, now)
            self._log.info("lease", f"{wire.dotted(address)} is not in use any more: it may be leased again")

    def _is_used(self, address: int, hardware: bytes, now: float) -> None:
        """Keep an address from newcomers that somebody answers for, unless it is a client's by now."""
        self._looked[address] = now + KEEP
        lease = self._network.pool.holder(address)
        if lease is not None and lease.key and lease.free_at > now:
            return  # somebody got it meanwhile
        if lease is not None and lease.hardware[1:] == hardware:
            kept = self._network.pool.kept(now)
            if address in kept or len(kept) < max(TOO_MANY, self._network.pool.subnet.size() // 2):
                self._network.pool.keep(lease, now + KEEP)
        elif not self._answers_for_all(address, hardware, now) and not (
            lease is not None and lease.is_quarantined(now)
        ):
            self._conflict(address, hardware, now)

    def _answers_for_all(self, address: int, hardware: bytes, now: float) -> bool:
        """Return whether a machine answers for so many addresses that it tells nothing of this one."""
        answers = self._answers.pop(hardware, [])
        if address not in answers:
            answers.append(address)
        if len(answers) < TOO_MANY:
            self._answers[hardware] = answers
            if len(self._answers) > MAX_WITNESSES:
                del self._answers[next(iter(self._answers))]
            return False
        self._unbelieved[hardware] = None
        if len(self._unbelieved) > MAX_WITNESSES:
            del self._unbelieved[next(iter(self._unbelieved))]
        for each in answers:
            self._looked[each] = now + GOOD
            self._lift(each, now)
        listed = ", ".join(wire.dotted(each) for each in answers)
        self._log.warning(
            "answers-for-all",
            f"{hardware.hex(':')} answers for any address on {self._link.name} ({listed}; proxy ARP, a "
            "private VLAN or a hostile host): what it answers counts no more, and these are leased again",
            DHCP_CLIENT=hardware.hex(":"), DHCP_INTERFACE=self._link.name,
        )  # fmt: skip
        return True

    def _lift(self, address: int, now: float) -> None:
        """End the quarantine of an address, on the disk too."""
        lease = self._network.pool.holder(address)
        if lease is not None and lease.is_quarantined(now):
            self._network.pool.lift(lease)
            self._store(lease, now)

    def _conflict(self, address: int, hardware: bytes, now: float) -> None:
        name = self._link.name
        pool = self._network.pool
        if len(pool.quarantined(now)) >= max(TOO_MANY, pool.subnet.size() // 2):
            if not self._over_half:
                self._over_half = True
                self._log.warning(
                    "no-lease",
                    f"half of the addresses on {name} are in use by machines that have no lease: the others "
                    "are leased whoever answers for them (set range or exclude in [dhcp])",
                    DHCP_INTERFACE=name,
                )  # fmt: skip
            return
        lease = pool.quarantine(address, self._quarantine, now)
        self._store(lease, now)
        where, who = wire.dotted(address), hardware.hex(":")
        self._log.warning(
            "no-lease",
            f"{where} is in use by {who} on {name}, which has no lease for it: not leased for "
            f"{lease.seconds:g} s (set exclude in [dhcp], or reserve it)",
            DHCP_ADDRESS=where, DHCP_CLIENT=who, DHCP_INTERFACE=name,
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
