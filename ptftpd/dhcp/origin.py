"""Where a message came from, and whether it can have come from there: what proves nothing changes nothing.

    through a relay agent   the reply goes to giaddr, so that has to be a relay agent's: the address that the
                            datagram came from, one in a network that is configured, or one of [dhcp] relays
    by broadcast            from the cable, where a client without an address makes up its source
    by unicast, no relay    from the interface's network, or from the address that the message is about: a
                            client beyond a router has that, or it would need a relay agent
    RELEASE                 from the address that it gives back, or through a relay agent

Nobody is answered at an address that no host can have: a network's own or broadcast address, multicast,
loopback, or this server's.

A host on the cable itself can forge all of it; nobody else can have a reply sent to a third party, or end
what another has.
"""

from __future__ import annotations

from collections.abc import Iterable

from ptftpd.dhcp import options
from ptftpd.dhcp.request import Request
from ptftpd.dhcp.subnet import Subnet

UNKNOWN_RELAY = "relayed by an unknown agent: list it in [dhcp] relays, or its network in a [subnet]"
FOREIGN = "came by unicast from another network, without a relay agent"
NOBODYS = "names as its own an address that no client can have"
FOREIGN_RELEASE = "DHCPRELEASE that does not come from the address it is about"


class Origins:
    """Judges where messages come from."""

    def __init__(self, networks: Iterable[Subnet] = (), relays: Iterable[int] = (), *, near: int = 1) -> None:
        """networks: all that are configured, first those on the interface's cable, of which there are near.

        relays: further relay agents.
        """
        self._networks, self._near = tuple(networks), near
        self._relays = frozenset(relays)

    def fault(self, asked: Request) -> str:
        """Return why a message is not to be believed, '' when it is."""
        if giaddr := asked.message.giaddr:
            known = self._is_relay(giaddr, asked.source) and not self.is_nobodys(giaddr, asked.own)
            if not known:
                return UNKNOWN_RELAY
        if asked.ciaddr and self.is_nobodys(asked.ciaddr, asked.own):
            return NOBODYS
        if giaddr:
            return ""
        if asked.kind == options.RELEASE and asked.source != asked.ciaddr:
            return FOREIGN_RELEASE
        if asked.direct and asked.source != asked.ciaddr and not self._is_near(asked.source):
            return FOREIGN
        return ""

    def is_nobodys(self, address: int, own: int) -> bool:
        """Return whether no client and no relay agent has an address."""
        special = address == own or address >> 24 in {0, 127} or address >> 28 >= 14
        return special or any(address in each and each.is_edge(address) for each in self._networks)

    def _is_near(self, source: int) -> bool:
        return any(source in network for network in self._networks[: self._near])

    def _is_relay(self, giaddr: int, source: int) -> bool:
        if giaddr == source or giaddr in self._relays:
            return True
        return any(giaddr in network and not network.is_edge(giaddr) for network in self._networks)
