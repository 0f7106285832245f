"""What a client is told beside its address: options by number, with the place where each was set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.registry import Option


@dataclass(frozen=True, slots=True)
class Told:
    """One option. always: it is sent to clients that did not ask for it too."""

    value: bytes
    origin: str
    always: bool = False


Sheet = dict[int, Told]  # by number

PXELINUX = {209, 210, 211}  # PXELINUX takes these only beside option 208 (RFC 5071 §3)
PXELINUX_MAGIC = bytes.fromhex("f100747e")


def told(origin: str, chosen: Iterable[Option]) -> Sheet:
    """Return options as they were set."""
    sheet = {option.code: Told(option.value, f"{origin} {option.text}", option.always) for option in chosen}
    if options.PXELINUX_MAGIC not in sheet and (for_pxelinux := PXELINUX & sheet.keys()):
        first = sheet[min(for_pxelinux)]
        sheet[options.PXELINUX_MAGIC] = Told(PXELINUX_MAGIC, first.origin, first.always)
    return sheet


def with_default_route(sheet: Sheet) -> Sheet:
    """Return the sheet with the router in the classless routes too: who takes these ignores option 3.

    RFC 3442 has it so; without this the clients would lose their default route. Routes with one keep theirs.
    """
    router = sheet.get(options.ROUTER)
    missing = {
        code: sheet[code]
        for code in (options.CLASSLESS_ROUTES, options.CLASSLESS_ROUTES_MS)
        if router and code in sheet and not wire.has_default_route(sheet[code].value)
    }
    if not router or not missing:
        return sheet
    gateway = wire.route(0, 0, wire.number(router.value[:4]))
    return sheet | {
        code: Told(routes.value + gateway, f"{routes.origin}, {router.origin}", routes.always)
        for code, routes in missing.items()
    }
