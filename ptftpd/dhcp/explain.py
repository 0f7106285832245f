"""Explains a reply: what a client would be sent, and which setting or rule put each field there."""

from __future__ import annotations

import re

from ptftpd.dhcp import options, registry, request, wire
from ptftpd.dhcp.machine import Machine
from ptftpd.dhcp.networks import Network
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.proxy import Proxy
from ptftpd.dhcp.pxe import Boot
from ptftpd.dhcp.request import Request
from ptftpd.dhcp.sheet import Sheet
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Settings

ECHOED = {options.CLIENT_ID, options.GUID, options.SUBNET_SELECTION, options.RELAY_AGENT}
PROTOCOL = {
    options.MESSAGE_TYPE: "what answers this message",
    options.SERVER_ID: "this server's address",
    options.RENEWAL_TIME: "half of the lease time",
    options.REBINDING_TIME: "seven eighths of the lease time",
}
BOOT_OPTIONS = {
    options.TFTP_SERVER_NAME, options.TFTP_SERVER_ADDRESS, options.BOOT_FILE, options.VENDOR_CLASS,
    options.VENDOR, options.IPXE,
}  # fmt: skip


def explain(settings: Settings, machine: Machine, proxy: Proxy, message: Message, now: float) -> str:
    """Return what comes of a message, a line a field. The machine is used up by it: its leases change."""
    asked = request.parse(message, False, settings.dhcp.identity)
    asked.key = machine.networks.identify(asked, settings.dhcp.identity)
    network = machine.networks.find(asked)
    had = _had(asked, network, now)
    if settings.dhcp.mode == "proxy":
        outcome = proxy.receive(message, direct=False)
    else:
        outcome = machine.receive(message, now, direct=False)
    lines = [outcome.asked]
    if not outcome.data or network is None or outcome.request is None:
        return "\n".join([*lines, f"is not answered: {outcome.done or outcome.ignored}"])
    sheet, boot = machine.told(outcome.request, network)
    reply = wire.decode(outcome.data)
    lines.append(f"{_name(reply)} of {len(outcome.data)} octets to {outcome.destination[0]}, "
                 f"port {outcome.destination[1]}")  # fmt: skip
    account = _Account(settings, outcome, network, sheet, boot)
    return "\n".join([*lines, *account.header(reply, had), *account.options(reply)])


def _had(asked: Request, network: Network | None, now: float) -> str:
    """Return what the client is to its address before it asks."""
    lease = network.pool.find(asked.key) if network else None
    if lease is None:
        return ""
    return "its lease" if lease.expires > now else "the address that it had before"


def _name(reply: Message) -> str:
    return options.NAMES[options.number(reply, options.MESSAGE_TYPE, 1)]


class _Account:
    """Knows where each field of one reply is from."""

    def __init__(
        self, settings: Settings, outcome: Outcome, network: Network, sheet: Sheet, boot: Boot | None
    ) -> None:
        self._settings, self._outcome, self._network = settings, outcome, network
        self._sheet, self._boot = sheet, boot

    def header(self, reply: Message, had: str) -> list[str]:
        """Return a line for each header field that says something."""
        rule = self._place(self._boot.origin) if self._boot else ""
        server = (
            self._place("[pxe] tftp_server") if self._settings.pxe.tftp_server else "this server's address"
        )
        fields = [
            ("yiaddr", wire.dotted(reply.yiaddr) if reply.yiaddr else "", self._address(reply.yiaddr, had)),
            ("siaddr", wire.dotted(reply.siaddr) if reply.siaddr else "", server),
            ("giaddr", wire.dotted(reply.giaddr) if reply.giaddr else "", "the relay agent"),
            ("sname", reply.sname.decode("ascii", "replace"), "as siaddr"),
            ("file", reply.file.decode("utf-8", "replace"), rule),
        ]
        return [_line(name, value, origin) for name, value, origin in fields if value]

    def options(self, reply: Message) -> list[str]:
        """Return a line for each option, in the order of the reply."""
        return [
            _line(f"{code} {registry.name(code)}", registry.show(code, value), self._option(code))
            for code, value in reply.options.items()
        ]

    def _address(self, address: int, had: str) -> str:
        dotted = wire.dotted(address)
        for name, host in self._settings.hosts.items():
            if str(host.address) == dotted:
                return self._place(f"[host {name}] address")
        if any(str(kept) == dotted for _, kept in self._settings.dhcp.reserve):
            return self._place("[dhcp] reserve")
        section = self._network.plan.section
        chosen = ("dhcp", "range") in self._settings.sources or section != "dhcp"
        where = self._place(f"[{section}] range") if chosen else "the interface's network"
        return f"{had or 'free'}, of {where}"

    def _option(self, code: int) -> str:
        if code in self._sheet:
            return self._place(self._sheet[code].origin)
        if code in ECHOED:
            return "as the client or its relay agent sent it"
        if code in BOOT_OPTIONS and self._boot:
            return self._place(self._boot.origin)
        if code == options.LEASE_TIME:
            asked = self._outcome.request is not None and self._outcome.request.seconds
            section = self._network.plan.section
            own = section != "dhcp" and self._settings.subnets[section.partition(" ")[2]].lease_time
            lease_time = self._place(f"[{section if own else 'dhcp'}] lease_time")
            return f"the client's wish within the bounds, {lease_time}" if asked else lease_time
        return PROTOCOL.get(code, "")

    def _place(self, origin: str) -> str:
        """Return '[section] key' with the file and line where it stands, or that it is the default."""
        found = re.match(r"\[([^\]]+)\] (\w+)", origin)
        if not found:
            return origin
        source = self._settings.sources.get((found[1], found[2]), "default")
        return f"{origin} ({source})"


def _line(name: str, value: str, origin: str) -> str:
    return f"  {name:<30}  {value:<30}  {origin}".rstrip()
