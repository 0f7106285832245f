"""Explains a reply: what a client would be sent, and which setting or rule put each field there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ptftpd.dhcp import menu, options, registry, request, wire
from ptftpd.dhcp.bootp import Bootp
from ptftpd.dhcp.decision import Decision
from ptftpd.dhcp.machine import Machine
from ptftpd.dhcp.networks import Network, Networks
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.proxy import Proxy
from ptftpd.dhcp.request import Request
from ptftpd.dhcp.sheet import Sheet
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Settings

Misfit = Callable[[str, str], str]
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


Field = tuple[str, str, str]  # name, value, where it is from


@dataclass
class Explanation:
    """What comes of a message, and why. reply is '' when there is none; why says why, either way."""

    asked: str
    is_bootp: bool
    hints: list[str]
    mode: str = ""  # what it hangs on, in auto mode
    why: str = ""
    reply: str = ""
    fields: list[Field] = field(default_factory=list)
    rules: list[tuple[str, str]] = field(default_factory=list)  # boot files that fit, each with its place
    warning: str = ""

    def text(self) -> str:
        """Return it for people, a line a field."""
        lines = [self.asked, *filter(None, [self.mode])]
        if not self.reply:
            lines.append(f"is not answered: {self.why}")
        elif not self.is_bootp:
            lines.append(f"is answered: {self.why}")
        lines += [*self.hints, *filter(None, [self.reply]), *(_line(*each) for each in self.fields)]
        if len(self.rules) > 1:
            lines.append("boot rules that fit this client, the most specific first:")
            lines += [_line(boot_file, place) for boot_file, place in self.rules]
        return "\n".join([*lines, *filter(None, [self.warning])])

    def json(self) -> str:
        """Return it for programs: an object; its keys stay."""
        import json  # here and not at the top: no server needs it

        keys = ("asked", "why", "reply", "mode", "hints", "warning")
        found: dict[str, object] = {key: getattr(self, key) for key in keys}
        found["answered"] = bool(self.reply)
        found["fields"] = [dict(zip(("name", "value", "origin"), each, strict=True)) for each in self.fields]
        found["boot_rules"] = [dict(zip(("file", "origin"), each, strict=True)) for each in self.rules]
        return json.dumps(found, indent=2)


class Explainer:
    """Answers one question with copies of the machines that answer clients: their leases change by it."""

    def __init__(
        self, settings: Settings, interface: str, own: int, networks: Networks, *, with_tftp: bool = False
    ) -> None:
        """own is the server's address on the interface; networks has the leases as they are.

        with_tftp: this machine's TFTP server is there for the clients.
        """
        self._settings, self._networks = settings, networks
        self._machine = Machine(settings, interface, own, networks, with_tftp=with_tftp)
        self._proxy = Proxy(settings, interface, own, networks.origins)
        self._bootp = Bootp(settings, interface, own, networks, frozenset())
        self._decision = Decision(settings, own)
        self._is_proxy = settings.dhcp.mode == "proxy"

    def explain(self, message: Message, now: float, misfit: Misfit = lambda *_: "") -> Explanation:
        """Return what comes of a message; one without option 53 is BOOTP.

        misfit(architecture, boot file) says why such firmware cannot start that file, if it is so.
        """
        asked = request.parse(message, False, self._settings.dhcp.identity)
        asked.key = self._networks.identify(asked, self._settings.dhcp.identity)
        network = self._networks.find(asked, now)
        had = _had(asked, network, now)
        outcome = self._outcome(message, now)
        told = Explanation(outcome.asked, is_bootp=not asked.kind, hints=_hint(asked))
        if asked.kind and self._settings.dhcp.mode == "auto":
            told.mode = "as long as no other DHCP server answers; for the other case add --mode proxy"
        if not outcome.data or outcome.request is None:
            told.why = outcome.done or outcome.ignored
            return told
        reply = wire.decode(outcome.data)
        told.why = self._why(outcome.request, network, now)
        told.reply = (
            f"{_name(reply)} of {len(outcome.data)} octets to {outcome.destination[0]}, "
            f"port {outcome.destination[1]}"
        )
        sheet: Sheet = {}  # as it is for a proxy
        if network and not (asked.kind and self._is_proxy):
            sheet, _ = self._machine.told(outcome.request, network)
        account = _Account(self._settings, outcome, network.plan.section if network else "", sheet)
        told.fields = [*account.header(reply, had), *account.options(reply)]
        rules = self._decision.candidates(outcome.request.client)
        told.rules = [(rule.boot_file, account.place(rule.origin)) for rule in rules]
        boot_file, client = str(outcome.fields.get("DHCP_BOOT_FILE", "")), outcome.request.client
        architecture = "" if client.ipxe else next(iter(client.architectures), "")
        if boot_file and (reason := misfit(architecture, boot_file)):
            told.warning = f"this machine cannot start it: {boot_file} {reason}"
        return told

    def _why(self, asked: Request, network: Network | None, now: float) -> str:
        """Return what made it a client of this server."""
        if why := self._decision.why(asked.client):
            section = why.removeprefix("[").removesuffix("]")
            places = (where for (name, _), where in self._settings.sources.items() if name == section)
            place = next(places, "")
            return f"{why} ({place})" if place else why
        if network and asked.key in network.plan.subnet.reserved:
            return "an address is reserved for it"
        lease = network.pool.find(asked.key) if network else None
        if lease and lease.expires > now:
            return "it has a lease here"
        return "[dhcp] answer_all"

    def _outcome(self, message: Message, now: float) -> Outcome:
        if options.MESSAGE_TYPE not in message.options:
            return self._bootp.receive(message, now, source=message.giaddr)
        if self._is_proxy:
            return self._proxy.receive(message, direct=False, source=message.giaddr)
        return self._machine.receive(message, now, direct=False, source=message.giaddr)


def _hint(asked: Request) -> list[str]:
    """Return what the question did not say of the client, but firmware would."""
    if not asked.kind or asked.client.vendor_class or asked.client.ipxe:
        return []
    if asked.client.boots:
        return ["it was given no vendor class: firmware has one, as with --vendor-class PXEClient"]
    return ["it did not say what it is: firmware does, as with --arch x86_64-efi --vendor-class PXEClient"]


def _had(asked: Request, network: Network | None, now: float) -> str:
    """Return what the client is to its address before it asks."""
    lease = network.pool.find(asked.key) if network else None
    if lease is None:
        return ""
    return "its lease" if lease.expires > now else "the address that it had before"


def _name(reply: Message) -> str:
    return options.NAMES.get(options.number(reply, options.MESSAGE_TYPE, 1), "BOOTREPLY")


class _Account:
    """Knows where each field of one reply is from."""

    def __init__(self, settings: Settings, outcome: Outcome, section: str, sheet: Sheet) -> None:
        """section is that of the client's network, sheet the options that it is told there."""
        self._settings, self._outcome, self._section, self._sheet = settings, outcome, section, sheet
        self._boot = self.place(str(outcome.fields.get("DHCP_BOOT_RULE", "")))

    def header(self, reply: Message, had: str) -> list[Field]:
        """Return each header field that says something."""
        server = (
            self.place("[pxe] tftp_server") if self._settings.pxe.tftp_server else "this server's address"
        )
        fields = [
            ("yiaddr", wire.dotted(reply.yiaddr) if reply.yiaddr else "", self._address(reply.yiaddr, had)),
            ("siaddr", wire.dotted(reply.siaddr) if reply.siaddr else "", server),
            ("giaddr", wire.dotted(reply.giaddr) if reply.giaddr else "", "the relay agent"),
            ("sname", reply.sname.decode("ascii", "replace"), "the server's address as text"),
            ("file", reply.file.decode("utf-8", "replace"), self._boot),
        ]
        return [each for each in fields if each[1]]

    def options(self, reply: Message) -> list[Field]:
        """Return each option, in the order of the reply."""
        return [
            (f"{code} {registry.name(code)}", self._shown(code, value), self._option(code))
            for code, value in reply.options.items()
        ]

    def _shown(self, code: int, value: bytes) -> str:
        if code == options.MESSAGE_TYPE:
            return options.NAMES[wire.number(value)]
        described = menu.describe(value) if code == options.VENDOR and code not in self._sheet else ""
        return described or registry.show(code, value)

    def _address(self, address: int, had: str) -> str:
        dotted = wire.dotted(address)
        for name, host in self._settings.hosts.items():
            if str(host.address) == dotted:
                return self.place(f"[host {name}] address")
        if any(str(kept) == dotted for _, kept in self._settings.dhcp.reserve):
            return self.place("[dhcp] reserve")
        chosen = ("dhcp", "range") in self._settings.sources or self._section != "dhcp"
        where = self.place(f"[{self._section}] range") if chosen else "the interface's network"
        return f"{had or 'free'}, of {where}"

    def _option(self, code: int) -> str:
        if code in self._sheet:
            return self.place(self._sheet[code].origin)
        if code in ECHOED:
            return "as the client or its relay agent sent it"
        if code in BOOT_OPTIONS and self._boot:
            return self._boot
        if code == options.LEASE_TIME:
            asked = self._outcome.request is not None and self._outcome.request.seconds
            subnet = self._settings.subnets.get(self._section.removeprefix("subnet "))
            section = self._section if subnet and subnet.lease_time else "dhcp"
            lease_time = self.place(f"[{section}] lease_time")
            return f"the client's wish within the bounds, {lease_time}" if asked else lease_time
        return PROTOCOL.get(code, "")

    def place(self, origin: str) -> str:
        """Return '[section] key' with the file and line where it stands, or that it is the default."""
        found = re.match(r"\[([^\]]+)\] (\w+)", origin)
        if not found:
            return origin
        source = self._settings.sources.get((found[1], found[2]), "default")
        return f"{origin} ({source})"


def _line(name: str, value: str, origin: str = "") -> str:
    return f"  {name:<30}  {value:<30}  {origin}".rstrip()
