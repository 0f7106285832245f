"""What a client is to boot: rules that name boot files, and which of them is the most specific."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ptftpd.dhcp import wire
from ptftpd.dhcp.pxe import BOOT_ITEM, IPXE, Client, any_order

MAC, GUID, CLIENT_ID = "mac", "guid", "client-id"  # kinds of names of a machine
Generality = tuple[bool, bool, bool, bool, int, bool, int]
NOWHERE = 1 << 16  # behind all architectures that a client can name


@dataclass(frozen=True, slots=True)
class Rule:
    """Names the boot file of the clients that meet every condition given; origin is where it was written."""

    origin: str
    boot_file: str
    mac: bytes = b""  # the whole address, or how it starts
    guid: bytes = b""
    client_id: bytes = b""
    circuit_id: bytes = b""
    remote_id: bytes = b""
    ipxe: bool | None = None
    vendor_class: str = ""  # how it starts
    architectures: tuple[str, ...] = ()

    def matches(self, client: Client) -> bool:
        """Return whether the client meets every condition."""
        return (
            client.hardware.startswith(self.mac)
            and (not self.guid or any_order(self.guid) == any_order(client.guid))
            and (not self.client_id or self.client_id == client.client_id)
            and (not self.circuit_id or _is_called(client.circuit_id, self.circuit_id))
            and (not self.remote_id or _is_called(client.remote_id, self.remote_id))
            and (self.ipxe is None or self.ipxe == client.ipxe)
            and client.vendor_class.startswith(self.vendor_class)
            and (not self.architectures or self.place(client) < NOWHERE)
        )

    def is_loadable(self, client: Client) -> bool:
        """Return whether the client can load the file, if there is one."""
        return not self.boot_file or client.loads(self.boot_file)

    @property
    def machine(self) -> tuple[str, bytes] | None:
        """Which machine alone it is for, by one of its names; None for a rule that several may meet."""
        if len(self.mac) == 6:
            return MAC, self.mac
        if self.guid:
            return GUID, any_order(self.guid)
        return (CLIENT_ID, self.client_id) if self.client_id else None

    @property
    def is_default(self) -> bool:
        """Whether nothing but the architecture makes it match; iPXE counts as more than that."""
        plain = Rule(self.origin, self.boot_file, architectures=self.architectures)
        return self == plain and IPXE not in self.architectures

    @property
    def is_narrow(self) -> bool:
        """Whether it names its clients by more than what most machines are: one of them is meant."""
        relayed = self.circuit_id or self.remote_id
        return bool(self.machine or self.mac or relayed or self.vendor_class or self.ipxe)

    @property
    def generality(self) -> Generality:
        """Sorts the more specific rule first: iPXE, one machine, switch port, switch, prefix, class.

        What is for iPXE goes first because any other rule may name the file that loaded iPXE, for ever.
        """
        return (
            not (self.ipxe or self.architectures == (IPXE,)),
            self.machine is None,
            not self.circuit_id,
            not self.remote_id,
            -len(self.mac),
            self.ipxe is None,
            -len(self.vendor_class),
        )

    def place(self, client: Client) -> int:
        """Return where it comes by the architectures that the client names, which prefers the first."""
        if client.ipxe and IPXE in self.architectures:
            return -1  # it is iPXE before it is anything else
        for place, name in enumerate(client.architectures):
            if name in self.architectures:
                return place
        return NOWHERE


Entry = tuple[Generality, int, Rule]  # generality, number among equals, rule


class Rules:
    """Every boot rule.

    The most specific goes first, then that for the architecture which the client prefers, then that for the
    fewest. Equal rules go by name, so that their order in the files never matters.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        """The rules may come in any order. What does not depend on the client is found out once, here."""
        self._general: list[Entry] = []
        self._by_machine: dict[tuple[str, bytes], list[Entry]] = {}  # a site may list thousands of machines
        ordered = sorted(rules, key=lambda rule: (len(rule.architectures), rule.origin))
        for number, rule in enumerate(ordered):
            entry = rule.generality, number, rule
            if rule.machine:
                self._by_machine.setdefault(rule.machine, []).append(entry)
            else:
                self._general.append(entry)

    def choose(self, client: Client) -> Rule | None:
        """Return the most specific rule that matches, None when none does.

        Rules with a file that the client cannot load are passed over: one machine may boot by TFTP and HTTP.
        """
        return next((rule for rule in self.matching(client) if rule.is_loadable(client)), None)

    def matching(self, client: Client) -> list[Rule]:
        """Return every rule that matches, the most specific first."""
        found = [
            (generality, rule.place(client), number, rule)
            for entries in self._concerning(client)
            for generality, number, rule in entries
            if rule.matches(client)
        ]
        return [rule for *_, rule in sorted(found)]  # no two have one number: rules are not compared

    def _concerning(self, client: Client) -> list[list[Entry]]:
        """Return lists of rules without those of other machines."""
        if not self._by_machine:
            return [self._general]
        names = (MAC, client.hardware), (GUID, any_order(client.guid)), (CLIENT_ID, client.client_id)
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


def _is_called(name: bytes, wanted: bytes) -> bool:
    """Return whether a relay agent's name is the one wanted; some send a NUL behind a text."""
    is_text = wanted.isascii() and wanted.decode("ascii").isprintable()
    return name == wanted or (is_text and name.rstrip(b"\0") == wanted)
