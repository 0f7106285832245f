"""What a configuration comes to, in words: the sentence of a start, and what is possible but hardly meant."""

from __future__ import annotations

from ptftpd.dhcp import wire
from ptftpd.dhcp.plan import Plans
from ptftpd.dhcp.rules import boot_rules
from ptftpd.settings import Settings

MAX_RANGES = 3  # that a sentence lists


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
