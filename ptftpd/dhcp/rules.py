"""The boot rules that the settings stand for: [pxe], [class NAME] and [host NAME]."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import product

from ptftpd.dhcp import options
from ptftpd.dhcp.boot import Rule
from ptftpd.dhcp.pxe import IPXE
from ptftpd.settings import Class, Host, Settings

# What iPXE's own build calls it, and distributions after it; its scripts are called otherwise.
IPXE_FILE = re.compile(r"(?:^|/)(?:ipxe|undionly|snp)[^/]*\.(?:efi|k*pxe|lkrn|0)\Z", re.IGNORECASE)


def boot_rules(settings: Settings) -> list[Rule]:
    """Return every rule that names a boot file, each called by the place where it is written."""
    rules = [
        Rule(f"[pxe] boot {name}", boot_file, architectures=(name,)) for name, boot_file in settings.pxe.boot
    ]
    if settings.pxe.boot_file:
        rules.append(Rule("[pxe] boot_file", settings.pxe.boot_file))
    for name, group in settings.classes.items():
        for rule in class_rules(name, group):
            rules += _with_files(f"[class {name}]", rule, group.boot_file, group.ipxe_file)
    for name, host in settings.hosts.items():
        for rule in host_rules(name, host):
            rules += _with_files(f"[host {name}]", rule, host.boot_file, host.ipxe_file)
    return rules


def class_rules(name: str, group: Class) -> list[Rule]:
    """Return the rules, without file, that match the clients of a [class]: one for each prefix and port."""
    return [
        Rule(
            name, "", mac=prefix, circuit_id=port, remote_id=switch, ipxe=group.ipxe,
            vendor_class=group.vendor_class, architectures=group.arch,
        )
        for prefix, port, switch in product(
            group.mac or (b"",), group.circuit_id or (b"",), group.remote_id or (b"",)
        )
    ]  # fmt: skip


def host_rules(name: str, host: Host) -> list[Rule]:
    """Return the rules, without file, that match a [host]: by hardware address, GUID, client identifier."""
    rules = [Rule(name, "", mac=host.mac)] if host.mac else []
    rules += [Rule(name, "", guid=host.guid)] if host.guid else []
    return [*rules, Rule(name, "", client_id=host.client_id)] if host.client_id else rules


def _with_files(section: str, rule: Rule, boot_file: str, ipxe_file: str) -> Iterator[Rule]:
    if boot_file:
        yield replace(rule, origin=f"{section} boot_file", boot_file=boot_file)
    if ipxe_file:
        yield replace(rule, origin=f"{section} ipxe_file", boot_file=ipxe_file, ipxe=True)


def circular(settings: Settings) -> list[Rule]:
    """Return the rules that name iPXE itself, where no rule for iPXE names another file.

    Once it runs it asks again, and is sent the same file, for ever.
    """
    rules = boot_rules(settings)
    ways_out = {
        rule.machine
        for rule in rules
        if (rule.ipxe or IPXE in rule.architectures) and not IPXE_FILE.search(rule.boot_file)
    }
    return [
        rule
        for rule in rules
        if IPXE_FILE.search(rule.boot_file)
        and rule.ipxe is not False
        and None not in ways_out
        and rule.machine not in ways_out
        and not all(name.endswith("-http") for name in rule.architectures or ("any",))
    ]


def unresolvable(settings: Settings) -> list[Rule]:
    """Return the rules whose URL names a server, where no client is told of a DNS server (option 6)."""
    told = [
        *settings.dhcp.option,
        *(option for subnet in settings.subnets.values() for option in subnet.option),
        *(option for group in settings.classes.values() for option in group.option),
    ]
    servers = settings.pxe.name_server or any(subnet.name_server for subnet in settings.subnets.values())
    by_others = settings.dhcp.mode != "full"  # another DHCP server may tell of one
    if servers or by_others or any(option.code == options.NAME_SERVER for option in told):
        return []
    return [rule for rule in boot_rules(settings) if _names_host(rule.boot_file)]


def _names_host(boot_file: str) -> bool:
    """Return whether it is a URL with the name of a host in it, not an address."""
    if "://" not in boot_file:
        return False
    from urllib.parse import urlsplit  # here and not at the top: few installations name a URL

    try:
        host = urlsplit(boot_file).hostname
    except ValueError:  # brackets without an address in them, which iPXE may fill in
        return False
    if not host or "${" in host:
        return False
    try:
        ip_address(host)
    except ValueError:
        return True
    return False
