"""What firmware does with the replies it hears, as it was seen to do: iPXE in a BIOS ROM, and EDK2 (OVMF).

Each was shown every reply of test_firmware_replies.SHAPES; these functions say what came of it, and so stand
for the firmware where a virtual machine would be too slow. U-Boot is as its source has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ptftpd.dhcp import options, pxe, wire
from ptftpd.dhcp.menu import BOOT_MENU, DISCOVERY_CONTROL
from ptftpd.dhcp.wire import Message

USE_FILE = 8  # bit of the discovery control: boot the file of this offer (PXE 2.1 §2.4.1)


class RefusedError(Exception):
    """The firmware does not boot; the text says why."""


class LocalDiskError(RefusedError):
    """The firmware turns to the local disk at once, and waits for no other offer."""


@dataclass(frozen=True)
class Heard:
    """A reply as it arrives. raw_file: the file field with whatever is overloaded into it."""

    message: Message
    unicast: bool = False
    source_port: int = 67
    to_port: int = 68
    raw_file: bytes = b""

    def option(self, code: int) -> bytes:
        return self.message.options.get(code, b"")

    @property
    def pxe_class(self) -> bool:
        return self.option(options.VENDOR_CLASS).startswith(b"PXEClient")

    @property
    def control(self) -> int:
        return wire.number(pxe.suboption(self.message, options.VENDOR, DISCOVERY_CONTROL))

    @property
    def has_menu(self) -> bool:
        return bool(pxe.suboption(self.message, options.VENDOR, BOOT_MENU))


@dataclass(frozen=True)
class Booted:
    """What a firmware loads, from where, and whether it asked port 4011 for it."""

    file: bytes
    server: int
    asked: bool = False


# What a request to port 4011 with a boot item (43.71), or without one, is answered; None for nothing.
Ask4011 = Callable[[bytes], Heard | None]
Firmware = Callable[[Sequence[Heard], Ask4011], Booted]


def heard(data: bytes, **fields: object) -> Heard:
    """Return a datagram as firmware hears it."""
    message = wire.decode(data)
    raw = b"" if message.file else data[108:236].rstrip(b"\0")
    return Heard(message, raw_file=raw, **fields)  # type: ignore[arg-type]


def _first_item(reply: Heard) -> bytes:
    """Return the boot item of the first entry in a menu; LocalDiskError for type 0 (PXE 2.1 §2.4.2)."""
    item = pxe.suboption(reply.message, options.VENDOR, BOOT_MENU)[:2]
    if item == bytes(2):
        raise LocalDiskError("boot item 0")
    return item + b"\0\0"


def _with_address(replies: Sequence[Heard]) -> Heard:
    found = next((reply for reply in replies if reply.message.yiaddr), None)
    if found is None:
        raise RefusedError("no address")
    return found


# iPXE in a BIOS ROM ----------------------------------------------------------------------------


def ipxe(replies: Sequence[Heard], ask: Ask4011) -> Booted:
    """Take anything with an address; of a proxy what says PXEClient. siaddr counts, and file before 67."""
    offer = _with_address(replies)
    proxies = [reply for reply in replies if not reply.message.yiaddr and reply.pxe_class]
    # P15: a second offer with an address is as good as a proxy's
    others = [reply for reply in replies if reply is not offer and reply.pxe_class]
    source = next(iter([*proxies, *others]), offer)
    if source.pxe_class and source.has_menu and not (source.control & USE_FILE and source.message.file):
        return _ipxe_asks(ask, _first_item(source))
    if source is not offer and not (source.message.siaddr and _ipxe_file(source)):
        return _ipxe_asks(ask, b"")
    return _ipxe_boots(source, asked=False)


def _ipxe_asks(ask: Ask4011, item: bytes) -> Booted:
    answer = ask(item)
    if answer is None or answer.source_port != 4011:
        raise RefusedError("no answer from port 4011")
    if item and pxe.suboption(answer.message, options.VENDOR, pxe.BOOT_ITEM) != item:
        raise RefusedError("the boot item is not in the answer")
    return _ipxe_boots(answer, asked=True)


def _ipxe_file(reply: Heard) -> bytes:
    """Return the file; option 52 is not understood, so an overloaded file field is read as a name."""
    return reply.message.file or reply.raw_file or reply.option(options.BOOT_FILE).rstrip(b"\0")


def _ipxe_boots(reply: Heard, *, asked: bool) -> Booted:
    if not reply.message.siaddr:
        raise RefusedError("no siaddr")
    if not _ipxe_file(reply):
        raise RefusedError("no file")
    return Booted(_ipxe_file(reply), reply.message.siaddr, asked)


# EDK2 ------------------------------------------------------------------------------------------


def edk2(replies: Sequence[Heard], ask: Ask4011) -> Booted:
    """Take broadcasts with option 54; without 1 decline. 67 counts before file; 60 without 43 means 4011."""
    usable = [reply for reply in replies if not reply.unicast and _edk2_hears(reply)]
    for reply in usable:
        if reply.message.yiaddr and reply.option(options.MESSAGE_TYPE) and not reply.option(1):
            raise RefusedError("declined: no subnet mask")
    offer = _with_address(usable)
    proxies = [reply for reply in usable if not reply.message.yiaddr and reply.pxe_class]
    source = offer
    if not offer.pxe_class and not _edk2_file(offer) and proxies:
        source = proxies[0]
    if not source.pxe_class or (source.control & USE_FILE and _edk2_file(source)):
        if source is not offer and not source.pxe_class:
            raise RefusedError("no PXE offer")
        return _edk2_boots(source, asked=False)
    answer = ask(_first_item(source) if source.has_menu else b"")
    if answer is None or answer.to_port != 4011:
        raise RefusedError("no answer to port 4011")
    return _edk2_boots(answer, asked=True)


def _edk2_hears(reply: Heard) -> bool:
    """Return whether it looks at a reply: option 54 is there, or it is BOOTP with a magic cookie."""
    if reply.option(options.MESSAGE_TYPE):
        return bool(reply.option(options.SERVER_ID))
    return reply.message.cookie


def _edk2_file(reply: Heard) -> bytes:
    return reply.option(options.BOOT_FILE).rstrip(b"\0") or reply.message.file


def _edk2_boots(reply: Heard, *, asked: bool) -> Booted:
    if not _edk2_file(reply):
        raise RefusedError("no file")
    named = reply.option(options.TFTP_SERVER_NAME).rstrip(b"\0") or reply.message.sname
    server = reply.message.siaddr or _numeric(named) or wire.number(reply.option(options.SERVER_ID))
    return Booted(_edk2_file(reply), server, asked)


def _numeric(name: bytes) -> int:
    """Return an address given as text, 0 for any other name."""
    parts = name.split(b".")
    if len(parts) != 4 or not all(part.isdigit() for part in parts):
        return 0
    return wire.number(bytes(int(part) for part in parts))


def edk2_http(replies: Sequence[Heard], ask: Ask4011) -> Booted:
    """Take offers of class HTTPClient with a URL."""
    for reply in replies:
        if reply.option(options.VENDOR_CLASS) == b"HTTPClient" and b"://" in _edk2_file(reply):
            _with_address(replies)
            return Booted(_edk2_file(reply), reply.message.siaddr)
    raise RefusedError("no offer of class HTTPClient")


def uboot(replies: Sequence[Heard], ask: Ask4011) -> Booted:
    """Take the first offer with an address; siaddr and file count, and nothing else that names them.

    CONFIG_SERVERIP_FROM_PROXYDHCP reads them in an offer without address too; other builds pass over that.
    """
    _with_address(replies)
    source = next((each.message for each in replies if each.message.siaddr and each.message.file), None)
    if source is None:
        raise RefusedError("no siaddr and file")
    return Booted(source.file, source.siaddr)


def first_offer(replies: Sequence[Heard], ask: Ask4011) -> Booted:
    """Take the first offer whatever is in it, as busybox' client, SLOF and u-root do."""
    offer = replies[0].message
    if not offer.yiaddr:
        raise RefusedError("asks the first server for the address 0.0.0.0")
    return Booted(offer.file or replies[0].option(options.BOOT_FILE), offer.siaddr)
