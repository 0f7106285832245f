"""Addresses that are kept for one machine each, and the names that it may be known by."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from ptftpd.dhcp import pxe, request
from ptftpd.errors import Faults
from ptftpd.settings import Host, Settings


@dataclass(frozen=True)
class Reservation:
    """An address kept for the machine with any of these names; see request.names."""

    section: str
    key: str
    names: tuple[bytes, ...]
    address: IPv4Address


def listed(settings: Settings) -> Iterator[Reservation]:
    """Yield what [dhcp] reserve and [host NAME] address keep for whom."""
    for mac, address in settings.dhcp.reserve:
        yield Reservation("dhcp", "reserve", (request.ethernet_key(mac),), address)
    for name, host in settings.hosts.items():
        known_by = tuple(names(host).values())
        if host.address and known_by:
            yield Reservation(f"host {name}", "address", known_by, host.address)


def check_hosts(settings: Settings) -> None:
    """Raise ConfigError when two [host] sections are one machine, or what one sets could reach nobody."""
    owners: dict[bytes, str] = {}
    faults = Faults()
    for section, host in settings.hosts.items():
        known_by = names(host)
        for key, name in known_by.items():
            other = owners.setdefault(name, section)
            if other != section:
                reason = f"is already that of [host {other}]"
                value = pxe.guid_text(name[1:]) if key == "guid" else name[1:].hex(":")
                faults.note(settings.misfit(f"host {section}", key, value, reason))
        told = {"boot_file": host.boot_file, "ipxe_file": host.ipxe_file}
        told["option"] = host.option[0].text if host.option else ""
        for key, value in told.items():
            if value and not known_by:
                reason = "needs mac, client_id or guid, to identify the host"
                faults.note(settings.misfit(f"host {section}", key, value, reason))
    faults.check()


def names(host: Host) -> dict[str, bytes]:
    """Return what a machine may be known by, under the setting that says so."""
    found = {
        "mac": host.mac and request.ethernet_key(host.mac),
        "client_id": host.client_id and request.client_id_key(host.client_id),
        "guid": host.guid and request.guid_key(host.guid),
    }
    return {key: name for key, name in found.items() if name}


def kept(
    settings: Settings, items: list[Reservation], network: IPv4Network, ours: Container[IPv4Address]
) -> dict[bytes, int]:
    """Return {lease key: address} of those reservations that are in a network; ConfigError for a misfit."""
    reserved: dict[bytes, int] = {}
    owners: dict[IPv4Address, str] = {}
    known: dict[bytes, Reservation] = {}
    faults = Faults()
    for item in (item for item in items if item.address in network):
        who = request.name_text(item.names[0])
        others = [known.setdefault(name, item) for name in item.names]
        other = next((each for each in others if each.address != item.address), None)
        if item.address in ours:
            reason = "is this server's own address"
        elif item.address in edges(network):
            reason = f"must be an address for a client in {network}"
        elif owners.setdefault(item.address, who) != who:
            reason = f"is already reserved for {owners[item.address]}"
        elif other:
            name = request.name_text(item.names[others.index(other)])
            reason = f"{name} has {other.address} already, by [{other.section}] {other.key}"
        else:
            reserved[item.names[0]] = int(item.address)
            continue
        faults.note(settings.misfit(item.section, item.key, str(item.address), reason))
    faults.check()
    return reserved


def edges(network: IPv4Network) -> set[IPv4Address]:
    """Return the addresses that no host has; a /31 has none such (RFC 3021)."""
    return {network.network_address, network.broadcast_address} if network.prefixlen < 31 else set()
