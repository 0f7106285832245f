"""What a configuration comes to, in words: the sentence of a start, and which of its settings do nothing.

What is accepted has an effect, or it is told that it has none, with the file and line. Nothing here is an
error: another interface, or another server that reads the same files, may have a use for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from ptftpd.dhcp import registry, wire
from ptftpd.dhcp.plan import OWN, Plan, Plans
from ptftpd.dhcp.pxe import IPXE
from ptftpd.dhcp.reservations import names
from ptftpd.dhcp.rules import boot_rules, circular, unresolvable
from ptftpd.option import options
from ptftpd.settings import Pxe, Settings, Subnet

MAX_RANGES = 3  # that a sentence lists
MAX_LISTED = 8  # settings that a sentence lists
ADDRESSES_ONLY = {  # what only a server that leases addresses has a use for, by section
    "dhcp": {
        "range", "exclude", "lease_time", "min_lease_time", "max_lease_time", "answer_all", "authoritative",
        "identity", "probe", "reserve", "quarantine", "bootp", "option",
    },
    "pxe": {"gateway", "name_server"},
    "bootp": {"dynamic", "always_rfc1048"},
    "class": {"option"},
    "host": {"address", "option"},
    "subnet": {"range", "exclude", "gateway", "name_server", "lease_time", "option"},
}  # fmt: skip


def summary(settings: Settings, plans: Plans, mode: str) -> str:
    """Return what is served to whom: how many addresses, from where, and what is booted."""
    served = "boot files as a proxy, no addresses"
    if mode != "proxy":
        served = _addresses(plans)
    if mode == "auto":
        served += " unless another DHCP server answers"
    return f"{served}; {_booted(settings)}"


def _addresses(plans: Plans) -> str:
    count = sum(plan.subnet.size() for plan in plans.networks)
    ranges = [span for plan in plans.networks for span in plan.subnet.ranges]
    shown = ", ".join(f"{wire.dotted(first)}-{wire.dotted(last)}" for first, last in ranges[:MAX_RANGES])
    shown += f" and {len(ranges) - MAX_RANGES} more ranges" if len(ranges) > MAX_RANGES else ""
    word = "address" if count == 1 else "addresses"
    return f"{count} {word} of {shown}" if ranges else f"{count} reserved {word}"


def _booted(settings: Settings) -> str:
    pxe = settings.pxe
    if settings.menus:
        return f"a boot menu of {len(settings.menus)}"
    if pxe.boot_file:
        return f"boot file {pxe.boot_file}" + (" and others by architecture" if pxe.boot else "")
    if pxe.boot:
        return "boot files by architecture"
    return "boot files by [class] and [host]" if boot_rules(settings) else "no boot file"


def doubts(settings: Settings, plans: Plans, mode: str, *, only_bootp: bool = False) -> Iterator[str]:
    """Yield a sentence for each thing that is possible, but hardly meant.

    only_bootp: DHCP is not served, so what is for that alone is not looked at.
    """
    found = [_hosts(settings), _lease_times(settings), _zeros(settings)]
    if mode == "proxy":
        found.append(_unused_by_a_proxy(settings))
    else:
        found += [_networks(settings, plans), _twice(settings)]
    if not only_bootp:
        found += [_bootp(settings, mode), _classes(settings), _boot_files(settings), _menus(settings)]
        found += [_rules(settings)]
    for doubt in found:
        yield from doubt


def _told(settings: Settings, section: str, key: str, value: object, reason: str) -> str:
    return str(settings.misfit(section, key, str(value or ""), reason))


def _unused_by_a_proxy(settings: Settings) -> Iterator[str]:
    """Yield what a proxy, which leases no addresses, has no use for."""
    sections: list[tuple[str, Any]] = [(name, getattr(settings, name)) for name in ("dhcp", "pxe", "bootp")]
    for kind, named in (("class", settings.classes), ("host", settings.hosts), ("subnet", settings.subnets)):
        sections += [(f"{kind} {name}", section) for name, section in named.items()]
    unused = [
        f"[{section}] {key} ({settings.sources.get((section, key), 'default')})"
        for section, value in sections
        for key, item in options(type(value)).items()
        if key in ADDRESSES_ONLY[section.split()[0]] and getattr(value, key) != item.default
    ]
    if unused:
        more = f" and {len(unused) - MAX_LISTED} more" if len(unused) > MAX_LISTED else ""
        listed = ", ".join(unused[:MAX_LISTED])
        yield f"as a proxy this server leases no address, so it has no use for {listed}{more}"


def _networks(settings: Settings, plans: Plans) -> Iterator[str]:
    """Yield the networks that have nothing to lease, and what in them lies beside it."""
    for plan in plans.networks:
        where, section = plan.section, _section(settings, plan)
        if not plan.subnet.size():
            key = "exclude" if section.exclude and section.range else "range"
            reason = "no address can be leased there: range and exclude leave none, and none is reserved"
            if where != OWN:
                yield _told(settings, where, key, "", reason)
        for first, last in section.exclude if section.range else ():
            if not any(start <= last and end >= first for start, end in section.range):
                reason = "has no effect: no range has any of these addresses"
                yield _told(settings, where, "exclude", f"{first}-{last}", reason)
        network = plan.subnet
        if section.gateway and int(section.gateway) not in network:
            there = f"{wire.dotted(network.network)}/{network.mask.bit_count()}"
            reason = f"is not in {there}, the network of its clients, who cannot reach it"
            yield _told(settings, "pxe" if where == OWN else where, "gateway", section.gateway, reason)


def _section(settings: Settings, plan: Plan) -> Subnet:
    """Return the section of a network; what [pxe] and [dhcp] say as a [subnet] would say it."""
    if plan.section != OWN:
        return settings.subnets[plan.section.removeprefix("subnet ")]
    return Subnet(range=settings.dhcp.range, exclude=settings.dhcp.exclude, gateway=settings.pxe.gateway)


def _hosts(settings: Settings) -> Iterator[str]:
    for name, host in settings.hosts.items():
        if not names(host):
            reason = "matches no DHCP client: set mac, client_id or guid, to identify the host"
            yield _whole(settings, f"host {name}", reason)


def _lease_times(settings: Settings) -> Iterator[str]:
    longest, lease_time = settings.dhcp.max_lease_time, settings.dhcp.lease_time
    if longest and longest < lease_time:
        reason = f"is less than lease_time, {lease_time:g} s, which clients get that ask for nothing"
        yield _told(settings, "dhcp", "max_lease_time", f"{longest:g}", reason)


def _zeros(settings: Settings) -> Iterator[str]:
    """Yield where clients are told of the address 0.0.0.0, which dnsmasq takes for its own."""
    reason = "0.0.0.0 is the address of no server: clients are told it as it is"
    lists: list[tuple[str, str, Iterable[object]]] = [
        ("pxe", key, (value if isinstance(value, tuple) else (value,)))
        for key in ("tftp_server", "gateway", "name_server")
        if (value := getattr(settings.pxe, key))
    ]
    for name, subnet in settings.subnets.items():
        lists += [
            (f"subnet {name}", "gateway", (subnet.gateway,)),
            (f"subnet {name}", "name_server", subnet.name_server),
        ]
    for section, key, addresses in lists:
        if any(str(address) == "0.0.0.0" for address in addresses):
            yield _told(settings, section, key, "0.0.0.0", reason)
    for section, chosen in _option_lists(settings):
        for option in chosen:
            if registry.is_addresses(option.code) and bytes(4) in wire.split4(option.value):
                yield _told(settings, section, "option", option.text, reason)


def _option_lists(settings: Settings) -> Iterator[tuple[str, tuple[registry.Option, ...]]]:
    yield "dhcp", settings.dhcp.option
    for kind, named in (("class", settings.classes), ("host", settings.hosts), ("subnet", settings.subnets)):
        yield from ((f"{kind} {name}", section.option) for name, section in named.items())


def _twice(settings: Settings) -> Iterator[str]:
    """Yield options that one section has twice: the later counts."""
    for section, chosen in _option_lists(settings):
        last = {option.code: option for option in chosen}
        for option in chosen:
            if last[option.code] is not option:
                reason = f"has no effect: {last[option.code].text} comes after it"
                yield _told(settings, section, "option", option.text, reason)


def _bootp(settings: Settings, mode: str) -> Iterator[str]:
    for item in fields(settings.bootp):
        source = settings.sources.get(("bootp", item.name), "")
        meant = getattr(settings.bootp, item.name) and "pbootpd" not in source
        if meant and not settings.dhcp.bootp and mode != "proxy":
            yield _told(settings, "bootp", item.name, "", "has no effect: BOOTP is off, set bootp in [dhcp]")


def _classes(settings: Settings) -> Iterator[str]:
    seen: dict[object, str] = {}
    for name, group in settings.classes.items():
        section = f"class {name}"
        conditions = group.arch, group.ipxe, group.vendor_class, group.mac, group.circuit_id, group.remote_id
        if not any(each or each is False for each in conditions):
            yield _whole(
                settings, section, "has no condition, so every client belongs to it: set one, such as arch"
            )
        if group.ipxe is False and group.arch and set(group.arch) == {IPXE}:
            yield _told(settings, section, "ipxe", "no", "matches nobody, with arch = ipxe")
        if group.ipxe and group.boot_file and group.ipxe_file:
            reason = "has no effect: these clients run iPXE already, and get boot_file"
            yield _told(settings, section, "ipxe_file", group.ipxe_file, reason)
        if group.boot_file:
            first = min(seen.setdefault(conditions, name), name)
            other = max(seen[conditions], name)
            if first != other:
                reason = f"has no effect: [class {first}] has the same conditions, and its name comes first"
                yield _told(
                    settings, f"class {other}", "boot_file", settings.classes[other].boot_file, reason
                )


def _whole(settings: Settings, section: str, reason: str) -> str:
    """Return a sentence about a section as a whole."""
    places = (where for (name, _), where in settings.sources.items() if name == section)
    return ": ".join(part for part in (next(places, ""), f"[{section}]", reason) if part)


def _boot_files(settings: Settings) -> Iterator[str]:
    """Yield the files of architectures that load by HTTP, where they are none; and those that come second."""
    lists = [("pxe", settings.pxe.boot)]
    lists += [(f"menu {name}", item.boot) for name, item in settings.menus.items()]
    for section, chosen in lists:
        seen: set[str] = set()
        for name, boot_file in chosen:
            value = f"{name}={boot_file}"
            if name in seen:
                yield _told(
                    settings, section, "boot", value, f"has no effect: another file for {name} comes first"
                )
            seen.add(name)
            by_http = name.endswith("-http") and "uboot" not in name
            if by_http and section != "pxe":
                yield _told(settings, section, "boot", value, "has no effect: HTTP Boot shows no menus")
            elif by_http and "://" not in boot_file:
                yield _told(settings, section, "boot", value, "has no effect: HTTP Boot takes only a URL")


def _menus(settings: Settings) -> Iterator[str]:
    if settings.menus:
        return
    for key in ("menu_prompt", "menu_timeout"):
        value = getattr(settings.pxe, key)
        if value != getattr(Pxe, key):
            yield _told(settings, "pxe", key, value, "has no effect: there is no [menu]")


def _rules(settings: Settings) -> Iterator[str]:
    """Yield boot rules that may be meant so, but seldom are."""
    no_dns = "clients get no DNS server to find that host: set name_server, or give its address"
    for_ever = (
        "iPXE asks again once it runs, and would load itself for ever: set what it boots then, as in "
        "boot = ipxe=menu.ipxe, unless it has a built-in script"
    )
    for rules, reason in ((unresolvable(settings), no_dns), (circular(settings), for_ever)):
        yield from (f"{rule.origin} = {rule.boot_file}: {reason}" for rule in rules)
