"""Which machine is asking: what firmware says of itself, and the quirks in which it says it.

A quirk of what it says is made out in identify(). One of what it has to hear is a property of Client, in its
traits too, for reply.py to look at. Either has a row in tests/machine/test_quirks.py.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.wire import Message
from ptftpd.texts import cut

IPXE = "ipxe"  # stands beside the architectures in boot rules: iPXE runs its own scripts on all of them

# Option 93 (RFC 4578 §2.1, IANA "Processor Architecture Types"): number -> name used in the settings.
ARCHITECTURES = {
    0: "bios",
    1: "pc98",
    2: "ia64-efi",
    3: "alpha",
    4: "arc-x86",
    5: "lean-client",
    6: "i386-efi",
    7: "x86_64-efi",  # RFC 4578 gave 7 to EBC and 9 to x86-64; firmware did the opposite, errata 4625
    8: "xscale-efi",
    9: "x86_64-efi",
    10: "arm-efi",
    11: "arm64-efi",
    12: "powerpc",
    13: "powerpc-epapr",
    14: "powerpc-opal",
    15: "i386-efi-http",
    16: "x86_64-efi-http",
    17: "ebc-http",
    18: "arm-efi-http",
    19: "arm64-efi-http",
    20: "bios-http",
    21: "arm-uboot",
    22: "arm64-uboot",
    23: "arm-uboot-http",
    24: "arm64-uboot-http",
    25: "riscv32-efi",
    26: "riscv32-efi-http",
    27: "riscv64-efi",
    28: "riscv64-efi-http",
    29: "riscv128-efi",
    30: "riscv128-efi-http",
    31: "s390",
    32: "s390x",
    33: "mips32-efi",
    34: "mips64-efi",
    35: "sunway32-efi",
    36: "sunway64-efi",
    37: "loongarch32-efi",
    38: "loongarch32-efi-http",
    39: "loongarch64-efi",
    40: "loongarch64-efi-http",
    41: "arm-rpiboot",
}
# Ethernet prefixes of Raspberry Pi boards; they call themselves architecture 0.
RASPBERRY_PI = {
    bytes.fromhex(prefix) for prefix in ("b827eb", "dca632", "e45f01", "d83add", "28cdc1", "2ccf67", "88a29e")
}
CIRCUIT_ID, REMOTE_ID = 1, 2  # sub-options of option 82 (RFC 3046 §2.0)
BOOT_ITEM = 71  # sub-option of option 43: which boot server, which layer (PXE 2.1 §2.4.5)
NAMES = tuple(dict.fromkeys(ARCHITECTURES.values()))
# What people and other servers call them: dnsmasq's CSA names, Debian's architectures, vendors' words.
ALSO_CALLED = {
    "x86pc": "bios",
    "x86": "bios",
    "pcbios": "bios",
    "legacy": "bios",
    "i386": "bios",
    "uefi": "x86_64-efi",
    "efi": "x86_64-efi",
    "uefi64": "x86_64-efi",
    "efi64": "x86_64-efi",
    "amd64": "x86_64-efi",
    "x64": "x86_64-efi",
    "x86_64": "x86_64-efi",
    "x86-64": "x86_64-efi",
    "x86-64_efi": "x86_64-efi",
    "bc_efi": "x86_64-efi",
    "uefi32": "i386-efi",
    "efi32": "i386-efi",
    "ia32_efi": "i386-efi",
    "ia64_efi": "ia64-efi",
    "aarch64": "arm64-efi",
    "arm64": "arm64-efi",
    "arm64_efi": "arm64-efi",
    "arm32_efi": "arm-efi",
    "armhf": "arm-efi",
    "u-boot": "arm64-uboot",
    "uboot": "arm64-uboot",
    "rpi": "arm-rpiboot",
    "http": "x86_64-efi-http",
    "uefi-http": "x86_64-efi-http",
    "ppc64el": "powerpc-opal",
    "petitboot": "powerpc-opal",
    "riscv64": "riscv64-efi",
}


class Firmware(NamedTuple):
    """One kind of boot program, known by option 60. pxe: by PXE 2.1, with menus, and files by TFTP alone."""

    name: str
    vendor_class: str  # regular expression for the beginning of option 60
    pxe: bool = False
    boots: bool = True  # False: option 60 does not say that it boots over the network, option 93 may
    # It takes the first offer for an address, even one without: a proxy's would keep it from booting.
    takes_first_offer: bool = False


# By option 60, the first that matches. What is not here and names an architecture in option 93 boots all the
# same (RFC 4578 §2.1). U-Boot passes over offers without an address, or reads the boot file in them.
FIRMWARE = (
    Firmware("PXE", "PXEClient", pxe=True),
    Firmware("HTTP Boot", "HTTPClient"),
    Firmware("BlueField UEFI", "NVIDIA/BF/PXE", pxe=True),
    Firmware("U-Boot", "U-Boot"),  # as in U-Boot.armv8
    Firmware("U-Boot SPL", r".* U-Boot (?:\w+ )?SPL"),  # AM335x U-Boot SPL
    Firmware("TI boot ROM", r"(?:AM|DM|DRA|OMAP)\w* ROM"),  # AM335x ROM
    Firmware("u-root", "PXE UROOT", takes_first_offer=True),
    Firmware("ONIE", "onie_vendor:", takes_first_offer=True),
    Firmware("Petitboot", "udhcp", boots=False, takes_first_offer=True),  # OpenPOWER; busybox is its client
    Firmware("SLOF, s390-ccw", r"\Z", boots=False, takes_first_offer=True),  # no option 60
)


@lru_cache(maxsize=256)  # a network has machines of few kinds; each text has up to 255 octets
def firmware(vendor_class: str) -> Firmware | None:
    """Return the row of FIRMWARE for a vendor class, None when there is none."""
    return next((row for row in FIRMWARE if re.match(row.vendor_class, vendor_class)), None)


def architecture_name(text: str) -> str:
    """Return the name of an architecture given by name or option 93 number, or 'ipxe'; else ValueError.

    A number that has no name yet is a name itself: new machines need not wait for a new version.
    """
    name = text.strip().lower()
    if re.fullmatch("[0-9]{1,5}", name) and int(name) < 1 << 16:
        return _name(int(name))
    if name not in NAMES and name != IPXE:
        import difflib

        called = [ALSO_CALLED[name]] if name in ALSO_CALLED else []
        close = called or difflib.get_close_matches(name, (*NAMES, IPXE), 3)
        hint = f"; did you mean {' or '.join(close)}?" if close else "; ptftpd.conf(5) has them all"
        raise ValueError(
            f"must be an architecture, such as bios, x86_64-efi or ipxe, or a number of DHCP option 93{hint}"
        )
    return name


def _name(number: int) -> str:
    return ARCHITECTURES.get(number, str(number))


class Client(NamedTuple):
    """The machine that asks, as its message describes it."""

    hardware: bytes  # its Ethernet address, b'' for other hardware
    architectures: tuple[str, ...]  # the most preferred first; () when it names none
    vendor_class: str
    ipxe: bool
    guid: bytes = b""  # option 97 without its type octet
    client_id: bytes = b""  # option 61
    circuit_id: bytes = b""  # option 82.1: the switch port, as a relay agent knows it
    remote_id: bytes = b""  # option 82.2: the switch or the relay agent
    says_architecture: bool = False  # in this message; else architectures may be of an earlier one

    @property
    def firmware(self) -> Firmware | None:
        """The kind of boot program by option 60, None for an unknown one."""
        return firmware(self.vendor_class)

    @property
    def is_pxe(self) -> bool:
        """Whether it boots by PXE: firmware, or iPXE whatever vendor class it was built with."""
        return self.ipxe or self.is_pxe_firmware or self.is_raspberry_pi

    @property
    def is_pxe_firmware(self) -> bool:
        """Whether its vendor class says PXE."""
        return self.firmware is not None and self.firmware.pxe

    @property
    def shows_menus(self) -> bool:
        """Whether it is PXE firmware, which shows the menu that it is offered."""
        return self.is_pxe_firmware and not self.is_raspberry_pi

    @property
    def is_http(self) -> bool:
        """Whether it is UEFI firmware that loads its boot file by HTTP."""
        return self.vendor_class.startswith("HTTPClient")

    def loads(self, boot_file: str) -> bool:
        """Return whether it can load a file: HTTP Boot only a URL, other firmware only what TFTP has."""
        if "://" not in boot_file:
            return not self.is_http
        return self.is_http or self.ipxe or not self.is_pxe_firmware

    @property
    def boots(self) -> bool:
        """Whether it says that it boots over the network: by option 93, by option 60, or as iPXE or a Pi."""
        return self.says_architecture or self.is_pxe or (self.firmware is not None and self.firmware.boots)

    @property
    def takes_first_offer(self) -> bool:
        """Whether it would take a proxy's offer, which has no address, for that of a DHCP server."""
        if self.ipxe or self.is_raspberry_pi:
            return False
        return self.firmware is not None and self.firmware.takes_first_offer

    @property
    def is_raspberry_pi(self) -> bool:
        """Whether it is the boot ROM or EEPROM of a Raspberry Pi, which may leave option 60 out."""
        return self.guid.startswith(b"RPi") or (
            self.hardware[:3] in RASPBERRY_PI and self.architectures[:1] in {("bios",), ("arm-rpiboot",)}
        )

    @property
    def traits(self) -> tuple[object, ...]:
        """All that reply.body() looks at, which is made once for the clients that have the same."""
        return self.ipxe, self.vendor_class, self.is_raspberry_pi

    @property
    def description(self) -> str:
        """The client for people, such as 'x86_64-efi, PXEClient'; '' when it says nothing of itself."""
        vendor = "iPXE" if self.ipxe else self.vendor_class.partition(":")[0]
        return ", ".join(part for part in (*self.architectures[:1], cut(vendor)) if part)


def identify(message: Message) -> Client:
    """Return what is asking, as far as its message says."""
    said, get = message.options, message.options.get
    agent = get(options.RELAY_AGENT, b"")
    vendor_class, architectures = _program(get(options.VENDOR_CLASS, b""), get(options.ARCHITECTURE, b""))
    return Client(
        hardware=message.chaddr[:6] if (message.htype, message.hlen) == (1, 6) else b"",
        architectures=architectures,
        vendor_class=vendor_class,
        ipxe=options.IPXE in said or b"iPXE" in get(options.USER_CLASS, b""),
        guid=get(options.GUID, b"")[1:],
        client_id=get(options.CLIENT_ID, b""),
        circuit_id=suboption_of(agent, CIRCUIT_ID) if agent else b"",
        remote_id=suboption_of(agent, REMOTE_ID) if agent else b"",
        says_architecture=bool(architectures),
    )


@lru_cache(maxsize=256)  # a network has machines of few kinds; each text has up to 255 octets
def _program(vendor_class: bytes, architectures: bytes) -> tuple[str, tuple[str, ...]]:
    """Return (vendor class, architectures by name) of options 60 and 93."""
    text, numbers = options.text(vendor_class), wire.numbers16(architectures)
    if not numbers:  # some firmware gives the number in option 60 alone: PXEClient:Arch:00007:UNDI:003016
        found = re.search(r":Arch:([0-9]{5})(?::|$)", text, re.ASCII)
        numbers = (int(found[1]),) if found else ()
    return text, tuple(dict.fromkeys(map(_name, numbers)))


def swapped(guid: bytes) -> bytes:
    """Return a GUID in the other order of octets: SMBIOS and UEFI have its first three parts reversed."""
    return guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:] if len(guid) == 16 else guid


def any_order(guid: bytes) -> bytes:
    """Return what stands for a GUID whichever way round it is."""
    return min(guid, swapped(guid))


def guid_text(guid: bytes) -> str:
    """Return a GUID of option 97 as dmidecode, BMCs and hypervisors show it."""
    digits = swapped(guid).hex()
    return "-".join(filter(None, (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))


def suboption(message: Message, code: int, wanted: int) -> bytes:
    """Return a sub-option of an option that encapsulates others (43, 82); b"" when it is not there."""
    value = message.options.get(code)
    return suboption_of(value, wanted) if value else b""


def suboption_of(value: bytes, wanted: int) -> bytes:
    """Return a sub-option of an option's value; b"" when it is not there."""
    position = 0
    while position + 2 <= len(value) and value[position] != wire.END:
        if value[position] == wire.PAD:
            position += 1
            continue
        end = position + 2 + value[position + 1]
        if value[position] == wanted:
            return value[position + 2 : end]
        position = end
    return b""
