"""Which of an interface's addresses DHCP serves from: the first is not always the right one."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface

from ptftpd import net
from ptftpd.settings import Settings


def link(interface: str, settings: Settings) -> net.Link:
    """Return an interface with the address that is served from; Error when there is none."""
    found = net.link(interface)
    return found.using(choose(settings, interface, found.addresses))


def choose(settings: Settings, interface: str, addresses: Sequence[IPv4Interface]) -> IPv4Interface:
    """Return the address to serve from, out of those of the interface, the best first.

    That is [dhcp] address where it is set; else the first whose network holds the first range; else the
    first. ConfigError when the one that is set is not there.
    """
    wanted, ranges = settings.dhcp.address, settings.dhcp.range
    if wanted:
        for each in addresses:
            if each.ip == wanted:
                return each
        shown = ", ".join(map(str, addresses))
        raise settings.misfit("dhcp", "address", str(wanted), f"is not an address of {interface} ({shown})")
    fitting = (each for each in addresses if ranges and ranges[0][0] in each.network)
    return next(fitting, addresses[0])
