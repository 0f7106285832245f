"""Looks into the boot files that this machine serves: whether the firmware that gets them can start them."""

from __future__ import annotations

from collections.abc import Iterator

from ptftpd.dhcp import loadable
from ptftpd.dhcp.boot import Rule
from ptftpd.dhcp.pxe import IPXE
from ptftpd.dhcp.rules import boot_rules
from ptftpd.errors import FileError
from ptftpd.settings import Settings
from ptftpd.tftp.catalog import Catalog
from ptftpd.tftp.names import Facts

COMMON = "x86_64-efi"  # of which there is a machine on every network


def misfits(settings: Settings, catalog: Catalog) -> Iterator[str]:
    """Yield a sentence for each boot file that the firmware it is for cannot start."""
    rules = boot_rules(settings)
    rules += [
        Rule(f"[menu {name}] boot {architecture}", boot_file, architectures=(architecture,))
        for name, entry in settings.menus.items()
        for architecture, boot_file in entry.boot
    ]
    known = {architecture for rule in rules for architecture in rule.architectures}
    for rule in rules:
        if "://" in rule.boot_file:
            continue
        architectures = [name for name in rule.architectures if name != IPXE and rule.ipxe is not True]
        for architecture in architectures or [""]:
            if reason := misfit(catalog, architecture, rule.boot_file):
                yield f"{_place(settings, rule)} = {rule.boot_file}: {reason}"
        if rule.origin == "[pxe] boot_file" and not settings.menus and COMMON not in known:
            reason = misfit(catalog, COMMON, rule.boot_file)
            if reason and not misfit(catalog, "", rule.boot_file):
                remedy = f"set boot = {COMMON}=FILE for machines with UEFI, which get this one now"
                yield f"{_place(settings, rule)} = {rule.boot_file}: {reason}: {remedy}"


def misfit(catalog: Catalog, architecture: str, boot_file: str) -> str:
    """Return why firmware of an architecture cannot start a boot file; '' also when it is not there."""
    try:
        content = catalog.read(boot_file, Facts(""))[0]
    except FileError:
        return ""
    try:
        head = bytearray(loadable.HEAD)
        return loadable.misfit(architecture, bytes(head[: content.read([memoryview(head)], 0)]))
    except FileError:
        return ""
    finally:
        content.close()


def _place(settings: Settings, rule: Rule) -> str:
    """Return where a rule is written, as 'file:line: [section] key'."""
    section, _, key = rule.origin.removeprefix("[").partition("] ")
    source = settings.sources.get((section, key.split()[0]), "")
    return f"{source}: {rule.origin}" if source else rule.origin
