"""The boot decision: which machine is asking, and which boot file it gets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.wire import Message

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
NAMES = tuple(dict.fromkeys(ARCHITECTURES.values()))


def architecture_name(text: str) -> str:
    """Return the name of an architecture given by name or option 93 number, or 'ipxe'; else ValueError."""
    name = text.strip().lower()
    if name.isascii() and name.isdigit():
        name = ARCHITECTURES.get(int(name), "")
    if name not in NAMES and name != IPXE:
        raise ValueError(f"must be one of {', '.join((*NAMES, IPXE))}, or a number of DHCP option 93")
    return name


@dataclass(frozen=True, slots=True)
class Client:
    """The machine that asks, as its message describes it."""

    hardware: bytes  # its Ethernet address, b'' for other hardware
    architectures: tuple[str, ...]  # the most preferred first; () when it names none that is known
    vendor_class: str
    ipxe: bool

    @property
    def is_pxe(self) -> bool:
        """Whether it boots over the network: firmware, or iPXE whatever vendor class it was built with."""
        return self.ipxe or self.vendor_class.startswith("PXEClient")

    @property
    def description(self) -> str:
        """The client for people, such as 'x86_64-efi, PXEClient'; '' when it says nothing of itself."""
        vendor = "iPXE" if self.ipxe else self.vendor_class.partition(":")[0]
        return ", ".join(part for part in (*self.architectures[:1], vendor) if part)


def identify(message: Message) -> Client:
    """Return what is asking, as far as its message says."""
    vendor_class = options.text(message.options.get(options.VENDOR_CLASS, b""))
    return Client(
        hardware=message.chaddr[:6] if (message.htype, message.hlen) == (1, 6) else b"",
        architectures=_architectures(message, vendor_class),
        vendor_class=vendor_class,
        ipxe=options.IPXE in message.options or b"iPXE" in message.options.get(options.USER_CLASS, b""),
    )


def _architectures(message: Message, vendor_class: str) -> tuple[str, ...]:
    numbers = wire.numbers16(message.options.get(options.ARCHITECTURE, b""))
    if not numbers:  # some firmware gives the number in option 60 alone: PXEClient:Arch:00007:UNDI:003016
        found = re.search(r":Arch:([0-9]{5})(?::|$)", vendor_class, re.ASCII)
        numbers = (int(found[1]),) if found else ()
    return tuple(dict.fromkeys(ARCHITECTURES[n] for n in numbers if n in ARCHITECTURES))


@dataclass(frozen=True, slots=True)
class Rule:
    """Names the boot file of the clients that meet every condition given; origin is where it was written."""

    origin: str
    boot_file: str
    mac: bytes = b""
    ipxe: bool | None = None
    vendor_class: str = ""  # how it starts
    architectures: tuple[str, ...] = ()

    def matches(self, client: Client) -> bool:
        """Return whether the client meets every condition."""
        return (
            (not self.mac or self.mac == client.hardware)
            and (self.ipxe is None or self.ipxe == client.ipxe)
            and client.vendor_class.startswith(self.vendor_class)
            and (
                not self.architectures
                or any(name in self.architectures for name in client.architectures)
                or (client.ipxe and IPXE in self.architectures)
            )
        )

    @property
    def generality(self) -> tuple[bool, bool, int, int, str]:
        """Sorts the more specific rule first: one machine, iPXE or not, vendor class, architectures.

        iPXE goes before the others because a rule for the loader that fetched iPXE would fetch it again, for
        ever. Equal rules go by name, so that their order in the files never matters.
        """
        names_ipxe = self.ipxe is not None or self.architectures == (IPXE,)
        return (
            not self.mac,
            not names_ipxe,
            -len(self.vendor_class),
            len(self.architectures) or len(ARCHITECTURES) + 1,
            self.origin,
        )


class Rules:
    """Every boot rule, the most specific first."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """The rules may come in any order."""
        ordered = sorted(rules, key=lambda rule: rule.generality)
        self._general = [rule for rule in ordered if not rule.mac]
        self._by_mac: dict[bytes, list[Rule]] = {}  # a site may list thousands of machines
        for rule in ordered:
            if rule.mac:
                self._by_mac.setdefault(rule.mac, []).append(rule)

    def choose(self, client: Client) -> Rule | None:
        """Return the most specific rule that matches, None when none does."""
        rules = chain(self._by_mac.get(client.hardware, ()), self._general)
        return next((rule for rule in rules if rule.matches(client)), None)


@dataclass(frozen=True, slots=True)
class Boot:
    """What a client is to boot, and from which TFTP server; every field of a reply is filled from here."""

    server: int
    file: str
    origin: str  # the rule that chose the file
