"""What a client is to boot: rules that name boot files, and which of them is the most specific."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ptftpd.dhcp import wire
from ptftpd.dhcp.pxe import BOOT_ITEM, IPXE, Client

MAC, GUID, CLIENT_ID = "mac", "guid", "client-id"  # kinds of names of a machine


@dataclass(frozen=True, slots=True)
class Rule:
    """Names the boot file of the clients that meet every condition given; origin is where it was written."""

    origin: str
    boot_file: str
    mac: bytes = b""  # the whole address, or how it starts
    guid: bytes = b""
    client_id: bytes = b""
    circuit_id: str = ""
    ipxe: bool | None = None
    vendor_class: str = ""  # how it starts
    architectures: tuple[str, ...] = ()

    def matches(self, client: Client) -> bool:
        """Return whether the client meets every condition."""
        return (
            client.hardware.startswith(self.mac)
            and (not self.guid or self.guid == client.guid)
            and (not self.client_id or self.client_id == client.client_id)
            and (not self.circuit_id or self.circuit_id == client.circuit_id)
            and (self.ipxe is None or self.ipxe == client.ipxe)
            and client.vendor_class.startswith(self.vendor_class)
            and (
                not self.architectures
                or any(name in self.architectures for name in client.architectures)
                or (client.ipxe and IPXE in self.architectures)
            )
        )

    def serves(self, client: Client) -> bool:
        """Return whether the client meets every condition, and can load the file if there is one."""
        return self.matches(client) and (not self.boot_file or client.loads(self.boot_file))

    @property
    def machine(self) -> tuple[str, bytes] | None:
        """Which machine alone it is for, by one of its names; None for a rule that several may meet."""
        if len(self.mac) == 6:
            return MAC, self.mac
        if self.guid:
            return GUID, self.guid
        return (CLIENT_ID, self.client_id) if self.client_id else None

    @property
    def is_default(self) -> bool:
        """Whether nothing but the architecture makes it match; iPXE counts as more than that."""
        plain = Rule(self.origin, self.boot_file, architectures=self.architectures)
        return self == plain and IPXE not in self.architectures

    def generality(self, client: Client) -> tuple[bool, bool, bool, int, bool, int, int, int, str]:
        """Sorts the more specific rule first: iPXE, one machine, switch port, prefix, class, architectures.

        What is for iPXE goes first because any other rule may name the file that loaded iPXE, for ever. Of
        several architectures the client prefers the first. Equal rules go by name, so that their order in
        the files never matters.
        """
        said = (IPXE, *client.architectures) if client.ipxe else client.architectures
        return (
            not (self.ipxe or self.architectures == (IPXE,)),
            self.machine is None,
            not self.circuit_id,
            -len(self.mac),
            self.ipxe is None,
            -len(self.vendor_class),
            next((place for place, name in enumerate(said) if name in self.architectures), len(said)),
            len(self.architectures),
            self.origin,
        )


class Rules:
    """Every boot rule."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """The rules may come in any order."""
        self._general: list[Rule] = []
        self._by_machine: dict[tuple[str, bytes], list[Rule]] = {}  # a site may list thousands of machines
        for rule in rules:
            if rule.machine:
                self._by_machine.setdefault(rule.machine, []).append(rule)
            else:
                self._general.append(rule)

    def choose(self, client: Client) -> Rule | None:
        """Return the most specific rule that matches, None when none does.

        Rules with a file that the client cannot load are passed over: one machine may boot by TFTP and HTTP.
        """
        return next((rule for rule in self.matching(client) if rule.serves(client)), None)

    def matching(self, client: Client) -> list[Rule]:
        """Return every rule that matches, the most specific first."""
        found = [rule for rules in self._concerning(client) for rule in rules if rule.matches(client)]
        return sorted(found, key=lambda rule: rule.generality(client))

    def _concerning(self, client: Client) -> list[list[Rule]]:
        """Return lists of rules without those of other machines."""
        if not self._by_machine:
            return [self._general]
        names = (MAC, client.hardware), (GUID, client.guid), (CLIENT_ID, client.client_id)
        return [self._general, *(self._by_machine[name] for name in names if name in self._by_machine)]


@dataclass(frozen=True, slots=True)
class Boot:
    """What a client is to boot, and from which TFTP server; every field of a reply is filled from here."""

    server: int
    file: str  # '' for a machine that knows its files
    origin: str  # the rule that chose the file
    menu: bytes = b""  # option 43 that offers a menu, or answers who chose from it

    @property
    def about(self) -> str:
        """What it is, for the log."""
        if self.menu and self.menu[0] != BOOT_ITEM:
            first = f"{self.file} from {wire.dotted(self.server)}" if self.file else "the local disk"
            return f"boot menu, first {first}"
        return f"boot file {self.file} from {wire.dotted(self.server)}"


def by_rule(rule: Rule | None, client: Client, server: int) -> Boot | None:
    """Return what a client is to boot by a rule, from a TFTP server unless it is a URL; None for nothing."""
    if rule is None:
        return Boot(server, "", "Raspberry Pi") if client.is_raspberry_pi else None  # it knows its files
    return Boot(server, rule.boot_file, rule.origin)
