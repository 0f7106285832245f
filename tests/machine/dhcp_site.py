"""A DHCP machine on 10.0.0.1/24 and the clients that talk to it, without a network or a clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.machine import Machine, Outcome
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Dhcp, Host, Pxe, Settings

NETWORK = IPv4Network("10.0.0.0/24")
OWN = IPv4Address("10.0.0.1")
MAC = bytes.fromhex("525400123456")
EFI, BIOS = b"PXEClient:Arch:00007:UNDI:003000", b"PXEClient:Arch:00000:UNDI:002001"


def ip(text: str) -> int:
    """Return an address as the machines have it; '.9' is short for 10.0.0.9."""
    return int(IPv4Address("10.0.0" + text if text.startswith(".") else text))


def mac(number: int) -> bytes:
    """Return the hardware address of one of many clients."""
    return bytes.fromhex("5254") + number.to_bytes(4, "big")


def ranges(*texts: str) -> tuple[tuple[IPv4Address, IPv4Address], ...]:
    """Return ranges as the settings hold them, from '.10-.20'."""
    pairs = (text.split("-") for text in texts)
    return tuple((IPv4Address(ip(first)), IPv4Address(ip(last))) for first, last in pairs)


def message(kind: int, hardware: bytes = MAC, *, vendor: bytes = EFI, **fields: Any) -> Message:
    """Return a client's message: o50=… is option 50, other names are header fields."""
    values = {int(name[1:]): value for name, value in fields.items() if name[0] == "o" and name[1:].isdigit()}
    header = {name: value for name, value in fields.items() if not (name[0] == "o" and name[1:].isdigit())}
    said = {options.MESSAGE_TYPE: bytes([kind])} | ({options.VENDOR_CLASS: vendor} if vendor else {})
    return Message(xid=1, chaddr=hardware.ljust(16, b"\0"), options=said | values, **header)


class Site:
    """A machine with its settings; now is the time, which only tests move."""

    def __init__(
        self,
        dhcp: Dhcp | None = None,
        pxe: Pxe | None = None,
        hosts: dict[str, Host] | None = None,
        leases: Iterable[Lease] = (),
        addresses: Sequence[IPv4Interface] = (),
        **named: Any,
    ) -> None:
        """Leases 10.0.0.10 to 10.0.0.12 unless the settings say otherwise; leases are there already.

        addresses: all of the interface. named: classes and subnets of the settings.
        """
        self.now = 1000.0
        dhcp = dhcp or Dhcp(range=ranges(".10-.12"))
        self.settings = Settings(dhcp=dhcp, pxe=pxe or Pxe(boot_file="boot.efi"), hosts=hosts or {}, **named)
        self.networks = Networks(plans(self.settings, "eth0", OWN, NETWORK, addresses), leases)
        self.pool = self.networks.own.pool
        self.machine = Machine(self.settings, "eth0", int(OWN), self.networks)

    def say(
        self,
        kind: int,
        hardware: bytes = MAC,
        *,
        direct: bool = False,
        source: int | None = None,
        **fields: Any,
    ) -> Outcome:
        """Return what comes of a client's message, from its relay agent, its own address, or none yet."""
        if source is None:
            source = fields.get("giaddr") or fields.get("ciaddr") or 0
        said = message(kind, hardware, **fields)
        return self.machine.receive(said, self.now, direct=direct, source=source)

    def discover(self, hardware: bytes = MAC, **fields: Any) -> Outcome:
        """Return what comes of a DHCPDISCOVER."""
        return self.say(options.DISCOVER, hardware, **fields)

    def select(self, address: int, hardware: bytes = MAC, server: int = int(OWN), **fields: Any) -> Outcome:
        """Return what comes of a DHCPREQUEST that takes an offer."""
        return self.say(
            options.REQUEST, hardware, o50=wire.addresses(address), o54=wire.addresses(server), **fields
        )

    def reboot(self, address: int, hardware: bytes = MAC, **fields: Any) -> Outcome:
        """Return what comes of a DHCPREQUEST in INIT-REBOOT."""
        return self.say(options.REQUEST, hardware, o50=wire.addresses(address), **fields)

    def renew(self, address: int, hardware: bytes = MAC, *, direct: bool = True, **fields: Any) -> Outcome:
        """Return what comes of a DHCPREQUEST in RENEWING; direct=False makes it REBINDING."""
        return self.say(options.REQUEST, hardware, direct=direct, ciaddr=address, **fields)

    def lease(self, hardware: bytes = MAC, **fields: Any) -> int:
        """Return the address that a client gets by DISCOVER and REQUEST."""
        offered = answer(self.discover(hardware, **fields)).yiaddr
        acknowledged = answer(self.select(offered, hardware, **fields))
        assert kind(acknowledged) == options.ACK
        assert acknowledged.yiaddr == offered
        return offered


def answer(outcome: Outcome) -> Message:
    """Return the reply in an outcome, as a client decodes it."""
    assert outcome.data, outcome.ignored
    return wire.decode(outcome.data)


def kind(reply: Message) -> int:
    """Return the message type of a reply."""
    return options.number(reply, options.MESSAGE_TYPE, 1)
