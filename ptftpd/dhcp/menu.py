"""The boot menu that PXE firmware shows: what [menu TEXT] and [pxe] say, as option 43 has it (PXE 2.1 §2.4).

offer      discovery control 6, boot servers 8, menu 9, prompt 10
request    boot item 71, to port 4011: the entry that was chosen
answer     its boot file, and 71 again
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ptftpd.dhcp import pxe, wire
from ptftpd.dhcp.boot import Rule, Rules
from ptftpd.errors import ConfigError
from ptftpd.settings import Menu, Settings

DISCOVERY_CONTROL, BOOT_SERVERS, BOOT_MENU, PROMPT, END = 6, 8, 9, 10, 255  # of option 43
# Discovery control: no broadcast and no multicast to find a boot server, and none but those listed.
LISTED_ONLY = 7
LOCAL = 0  # the type of an entry that boots from the local disk
FIRST_TYPE = 0x8000  # of the types that are for everybody's own use (PXE 2.1 §2.4.2)
MAX_LENGTH = 255  # octets of option 43: no firmware is known to join one that is split


@dataclass(frozen=True)
class Entry:
    """One line of the menu. rules: the boot file by architecture, those of other entries not among them."""

    type: int
    text: bytes
    rules: Rules


def entries(settings: Settings) -> tuple[Entry, ...]:
    """Return the menu in the order of the files; ConfigError when firmware could not show it."""
    found = tuple(
        Entry(LOCAL if item.local else FIRST_TYPE + number, _text(settings, name), Rules(_rules(name, item)))
        for number, (name, item) in enumerate(settings.menus.items())
    )
    for name, item in settings.menus.items():
        if item.local == bool(item.boot_file or item.boot):
            raise _misfit(settings, name, "must have boot_file or boot, or else local = yes")
    excess = len(encode(found, 0, settings.pxe.menu_prompt, 0)) - MAX_LENGTH if found else 0
    if excess > 0:
        last = next(reversed(settings.menus))
        raise _misfit(settings, last, f"makes the menu {excess} octets too long: shorten texts or the prompt")
    return found


def encode(shown: Sequence[Entry], server: int, prompt: str, timeout: int) -> bytes:
    """Return option 43 of an offer with these entries, all to be had from one server.

    After timeout seconds the first one is booted: 0 at once, 255 never (PXE 2.1 §2.4.4).
    """
    servers = b"".join(
        wire.octets(entry.type, 2) + wire.octets(1, 1) + wire.addresses(server)
        for entry in shown
        if entry.type != LOCAL
    )
    lines = b"".join(
        wire.octets(entry.type, 2) + wire.octets(len(entry.text), 1) + entry.text for entry in shown
    )
    return (
        _suboption(DISCOVERY_CONTROL, wire.octets(LISTED_ONLY, 1))
        + (_suboption(BOOT_SERVERS, servers) if servers else b"")
        + _suboption(BOOT_MENU, lines)
        + _suboption(PROMPT, wire.octets(timeout, 1) + prompt.encode("ascii"))
        + wire.octets(END, 1)
    )


def describe(value: bytes) -> str:
    """Return the menu in an option 43 for people, '' when there is none."""
    lines, prompt = (pxe.suboption_of(value, code) for code in (BOOT_MENU, PROMPT))
    texts = []
    while len(lines) > 3:
        texts.append(lines[3 : 3 + lines[2]].decode("ascii", "replace"))
        lines = lines[3 + lines[2] :]
    timeout = prompt[0] if prompt else 0
    when = {0: "the first at once", 255: "none by itself"}.get(timeout, f"the first after {timeout} s")
    return f"menu of {', '.join(texts)}; {when}" if texts else ""


def item(entry_type: int, layer: int = 0) -> bytes:
    """Return option 43 of the answer to who chose an entry."""
    chosen = wire.octets(entry_type, 2) + wire.octets(layer, 2)
    return _suboption(pxe.BOOT_ITEM, chosen) + wire.octets(END, 1)


def _suboption(code: int, value: bytes) -> bytes:
    length = len(value) & 0xFF  # of a longer one, entries() counts the octets, and refuses it
    return wire.octets(code, 1) + wire.octets(length, 1) + value


def _rules(name: str, item: Menu) -> Iterator[Rule]:
    for architecture, boot_file in item.boot:
        yield Rule(f"[menu {name}] boot {architecture}", boot_file, architectures=(architecture,))
    if item.boot_file:
        yield Rule(f"[menu {name}] boot_file", item.boot_file)


def _text(settings: Settings, name: str) -> bytes:
    if not (name.isascii() and name.isprintable() and len(name) < 128):
        raise _misfit(settings, name, "must be ASCII, at most 127 characters: firmware shows nothing else")
    return name.encode("ascii")


def _misfit(settings: Settings, name: str, reason: str) -> ConfigError:
    places = (where for (section, _), where in settings.sources.items() if section == f"menu {name}")
    source = next(places, "")
    return ConfigError(reason, source=source, setting=f"[menu {name}]")
