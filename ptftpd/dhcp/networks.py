"""The networks that are served, each with its leases, and which of them a client is in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf

from ptftpd.dhcp import options, request
from ptftpd.dhcp.origin import Origins
from ptftpd.dhcp.plan import Plan, Plans
from ptftpd.dhcp.pool import Lease, Pool
from ptftpd.dhcp.request import Request


@dataclass(slots=True)
class Network:
    """One network with its leases. full: whether it was said that no address is free."""

    plan: Plan
    pool: Pool
    full: bool = False


class Networks:
    """Every network of an interface."""

    def __init__(self, plans: Plans, leases: Iterable[Lease] = (), *, began: float = -inf) -> None:
        """leases are those known already; began: when the server did, whose earlier offers are not known."""
        self.began = began
        known = list(leases)
        for lease in known:
            lease.key = request.current(lease.key)
        self._all = [
            Network(plan, Pool(plan.subnet, (lease for lease in known if lease.address in plan.subnet)))
            for plan in plans.networks
        ]
        placed = {id(lease) for network in self._all for lease in network.pool.leases()}
        # Their clients go by them all the same, and the next reload may have a place for them again.
        self._elsewhere = [lease for lease in known if id(lease) not in placed]
        self._names = plans.names
        self.local = [network for network in self._all if network.plan.is_local]
        self.origins = Origins((plan.subnet for plan in plans.networks), plans.relays, near=len(self.local))
        # Hardware address -> the reservation that another name of the machine led to: the installed system
        # does not tell the GUID that its firmware told. Bounded: one for each reservation.
        reserved = set(plans.names.values())
        self._machines = {
            lease.hardware: lease.key for lease in known if lease.key in reserved and lease.hardware
        }

    @property
    def own(self) -> Network:
        """The interface's own network."""
        return self._all[0]

    def __iter__(self) -> Iterator[Network]:
        return iter(self._all)

    def find(self, asked: Request, now: float) -> Network | None:
        """Return the network that a client is in, None when it is none of ours."""
        place = asked.place
        if not place:
            return self._on_the_cable(asked, now)
        for network in self._all:
            if place in network.plan.subnet:
                return network
        return None

    def _on_the_cable(self, asked: Request, now: float) -> Network:
        """Return the network of a client that is on the interface's own cable, where there may be several.

        That in which an address is reserved for it; else that of the address which it asks for, or had;
        else the first that has an address to lease.
        """
        if len(self.local) == 1:
            return self._all[0]
        choices: tuple[Callable[[Network], object], ...] = (
            lambda network: asked.key in network.plan.subnet.reserved,
            lambda network: asked.kind != options.DISCOVER and asked.address in network.plan.subnet,
            lambda network: network.pool.find(asked.key),
            lambda network: network.pool.upcoming(1, now),
        )
        for fits in choices:
            for network in self.local:
                if fits(network):
                    return network
        return self._all[0]

    def identify(self, asked: Request, by: str) -> bytes:
        """Return the key of a client's leases: its reservation's, by whatever name, else its identity."""
        if self._names:
            for name in request.names(asked.message):
                if name in self._names:
                    return self._names[name]
            if by != request.BY_CLIENT_ID and asked.key in self._machines:
                return self._machines[asked.key]
        return asked.key

    def remember(self, lease: Lease, hardware: bytes) -> None:
        """Note the hardware address of the machine that a lease was given to."""
        if lease.hardware != hardware and self._names:
            self._machines.pop(lease.hardware, None)
            if lease.key != hardware and lease.key in self._names:
                self._machines[hardware] = lease.key
        lease.hardware = hardware

    def leases(self) -> Iterator[Lease]:
        """Yield every record, those too of addresses that cannot be leased any more."""
        for network in self._all:
            yield from network.pool.leases()
        yield from self._elsewhere

    def leased(self, now: float) -> int:
        """Return how many addresses clients have at this moment."""
        return sum(network.pool.leased(now) for network in self._all)

    def size(self) -> int:
        """Return how many addresses can be leased at once."""
        return sum(network.plan.subnet.size() for network in self._all)
