"""The networks that the settings describe: which addresses are leased there, kept for whom, and what is told.

The first is the interface's own, described by [pxe] and [dhcp]; the others are those of [subnet NAME]. Where
the interface has another address in one of these, its clients are on the same cable; those of the others
reach this server through relay agents. What does not fit together is a ConfigError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from ptftpd.dhcp import options, reservations, wire
from ptftpd.dhcp.sheet import Sheet, Told, told, with_default_route
from ptftpd.dhcp.subnet import Subnet
from ptftpd.errors import Faults
from ptftpd.settings import Settings
from ptftpd.settings import Subnet as Section

Range = tuple[IPv4Address, IPv4Address]
OWN = "dhcp"  # the section of the interface's own network


@dataclass(frozen=True)
class Plan:
    """One network. section is the place of its settings, own this server's address for its clients."""

    section: str  # 'dhcp' or 'subnet NAME'
    own: int
    is_local: bool  # whether its clients are on the interface's cable
    subnet: Subnet
    sheet: Sheet
    lease_time: float
    min_lease_time: float
    max_lease_time: float

    def seconds(self, asked: int) -> int:
        """Return the lease time for a client that asked for so many seconds, 0 for none."""
        if not asked:
            return int(self.lease_time)
        return int(min(max(asked, self.min_lease_time), self.max_lease_time))


@dataclass(frozen=True)
class Plans:
    """Every network, the interface's own first, then others on its cable, then those behind relay agents.

    names: what a machine may be known by -> its lease key.

    relays: relay agents that are in none of them.
    """

    networks: tuple[Plan, ...]
    names: dict[bytes, bytes] = field(default_factory=dict)
    relays: tuple[int, ...] = ()


def plans(
    settings: Settings,
    interface: str,
    own: IPv4Address,
    network: IPv4Network,
    addresses: Sequence[IPv4Interface] = (),
) -> Plans:
    """Return the networks of an interface as they are configured; ConfigError says all that does not fit.

    own is this server's address, network where it is, addresses all that the interface has. Leased is the
    interface's whole network unless ranges are given, never this machine's and the servers' addresses.
    """
    sections = {OWN: _own_section(settings, network)} | {
        f"subnet {name}": section for name, section in settings.subnets.items()
    }
    targets = {where: _network(settings, where, section) for where, section in sections.items()}
    faults = Faults()
    with faults.noted():
        _apart(settings, targets, interface)
    with faults.noted():
        reservations.check_hosts(settings)
    reserved = list(reservations.listed(settings))
    for item in reserved:
        if not any(item.address in target for target in targets.values()):
            elsewhere = ", or of a [subnet]" if len(targets) > 1 else ""
            reason = f"must be an address for a client in {network}, the network of {interface}{elsewhere}"
            faults.note(settings.misfit(item.section, item.key, str(item.address), reason))
    ours = {own, *(each.ip for each in addresses)}
    taken = _taken(settings, ours)
    networks = []
    for where, section in sections.items():
        kept: dict[bytes, int] = {}
        with faults.noted():
            kept = reservations.kept(settings, reserved, targets[where], ours)
        whose = interface if where == OWN else f"[{where}]"
        with faults.noted():
            subnet = _subnet(settings, where, whose, section, targets[where], taken, kept)
            near = next((each.ip for each in addresses if each.ip in targets[where]), None)
            at = own if where == OWN else near
            networks.append(_plan(settings, where, whose, section, targets[where], subnet, at, own))
    faults.check()
    networks.sort(key=lambda plan: not plan.is_local)
    names = {name: item.names[0] for item in reserved for name in item.names}
    return Plans(tuple(networks), names, tuple(map(int, settings.dhcp.relays)))


def _own_section(settings: Settings, network: IPv4Network) -> Section:
    """Return what [pxe] and [dhcp] say of the interface's own network, as a [subnet] would say it."""
    pxe, dhcp = settings.pxe, settings.dhcp
    return Section(
        network=network,
        range=dhcp.range or ((network[0], network[-1]),),
        exclude=dhcp.exclude,
        gateway=pxe.gateway,
        name_server=pxe.name_server,
        lease_time=dhcp.lease_time,
    )


def _network(settings: Settings, where: str, section: Section) -> IPv4Network:
    if section.network is None:
        raise settings.misfit(where, "network", "", "must be set, such as 192.0.2.0/24")
    return section.network


def _taken(settings: Settings, ours: set[IPv4Address]) -> set[IPv4Address]:
    """Return every address that somebody has without asking for it, in whichever network; ours among them."""
    found = [*ours, settings.pxe.tftp_server, settings.pxe.gateway, *settings.pxe.name_server]
    for subnet in settings.subnets.values():
        found += [subnet.gateway, *subnet.name_server]
    found += [host.address for host in settings.hosts.values() if not reservations.names(host)]
    return {address for address in found if address}


def _subnet(
    settings: Settings,
    where: str,
    whose: str,
    section: Section,
    network: IPv4Network,
    taken: set[IPv4Address],
    kept: dict[bytes, int],
) -> Subnet:
    """Return the addresses of a network and which of them may be leased."""
    faults = Faults()
    for key, chosen in (("range", section.range), ("exclude", section.exclude)):
        for first, last in chosen:
            if first not in network or last not in network:
                reason = f"must be in {network}, the network of {whose}"
                faults.note(settings.misfit(where, key, f"{first}-{last}", reason))
    faults.check()
    never = {int(address) for address in reservations.edges(network) | taken if address in network}
    return Subnet(
        network=int(network.network_address),
        mask=int(network.netmask),
        ranges=_without(_merged(_numbers(section.range)), _merged(_numbers(section.exclude))),
        excluded=frozenset(never),
        reserved=kept,
    )


def _plan(
    settings: Settings,
    where: str,
    whose: str,
    section: Section,
    network: IPv4Network,
    subnet: Subnet,
    near: IPv4Address | None,
    own: IPv4Address,
) -> Plan:
    """Return what is told in a network; near is this server's address in it, if it has one."""
    dhcp = settings.dhcp
    lease_time = section.lease_time or dhcp.lease_time
    longest = dhcp.max_lease_time or lease_time
    if dhcp.min_lease_time > longest:
        bound = "[dhcp] max_lease_time" if dhcp.max_lease_time else f"[{where}] lease_time"
        reason = f"must not be more than {bound}, {longest:g} s"
        raise settings.misfit("dhcp", "min_lease_time", f"{dhcp.min_lease_time:g}", reason)
    sheet = _sheet(settings, where, whose, section, network)
    sheet |= told("[dhcp] option", dhcp.option) | told(f"[{where}] option", section.option)
    return Plan(
        section=where,
        own=int(near or own),
        is_local=near is not None,
        subnet=subnet,
        sheet=with_default_route(sheet),
        lease_time=lease_time,
        min_lease_time=dhcp.min_lease_time,
        max_lease_time=longest,
    )


def _sheet(settings: Settings, where: str, whose: str, section: Section, network: IPv4Network) -> Sheet:
    """Return what every network tells; without the mask, which is sent unasked, EDK2 declines."""
    origin = f"the network of {whose}" if where == OWN else f"{whose} network"
    by = "pxe" if where == OWN else where
    sheet = {options.SUBNET_MASK: Told(wire.addresses(int(network.netmask)), origin, always=True)}
    if section.gateway:
        sheet[options.ROUTER] = Told(wire.addresses(int(section.gateway)), f"[{by}] gateway")
    if servers := section.name_server or settings.pxe.name_server:
        place = f"[{by if section.name_server else 'pxe'}] name_server"
        sheet[options.NAME_SERVER] = Told(wire.addresses(*map(int, servers)), place)
    broadcast = wire.addresses(int(network.broadcast_address))
    sheet[options.BROADCAST_ADDRESS] = Told(broadcast, origin)
    return sheet


def _apart(settings: Settings, targets: dict[str, IPv4Network], interface: str) -> None:
    """Raise ConfigError when two networks overlap: a client's would not be clear."""
    seen: list[tuple[str, IPv4Network]] = []
    for section, network in targets.items():
        for other, taken in seen:
            if network.overlaps(taken):
                whose = f"[{other}]" if other != OWN else f"{interface}, which [dhcp] describes"
                reason = f"must not overlap {taken} of {whose}"
                raise settings.misfit(section, "network", str(network), reason)
        seen.append((section, network))


# Ranges ----------------------------------------------------------------------------------------


def _numbers(ranges: Iterable[Range]) -> list[tuple[int, int]]:
    return [(int(first), int(last)) for first, last in ranges]


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the ranges in order, those that touch or overlap made one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return tuple(merged)


def _without(
    ranges: tuple[tuple[int, int], ...], holes: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, int], ...]:
    """Return what is left of ranges that are in order when holes, in order too, are taken out."""
    left: list[tuple[int, int]] = []
    for first, last in ranges:
        for start, end in holes:
            if start <= last and end >= first:
                if first < start:
                    left.append((first, start - 1))
                first = end + 1
        if first <= last:
            left.append((first, last))
    return tuple(left)
