"""BOOTP: an address for ever and a boot file, in one exchange (RFC 951, 1497, 1542). No I/O, no clock.

A message without option 53 is BOOTP. Its client gets the address that is reserved for its hardware address;
with dynamic on, any other gets a free one, and keeps it: BOOTP has no way to give it back.
"""

from __future__ import annotations

from ptftpd.dhcp import options, reply, request, wire
from ptftpd.dhcp.boot import Rules
from ptftpd.dhcp.networks import Network, Networks
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.pool import FOREVER
from ptftpd.dhcp.request import Request
from ptftpd.dhcp.rules import boot_rules
from ptftpd.dhcp.sheet import Sheet
from ptftpd.dhcp.sheets import Sheets
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Settings

VEND = 64  # octets of the vend field, cookie and END included (RFC 951 §3)
MAX_NAME = 127  # octets of a boot file's name: a NUL follows
# Options that are DHCP's alone (RFC 2132 §9), and the broadcast address, which RFC 1497 does not know. Of
# them, 54 goes last, where there is room.
NOT_BOOTP = {options.BROADCAST_ADDRESS, *range(50, 62)}


class Bootp:
    """Answers the BOOTP clients of one interface from the addresses that DHCP leases too."""

    def __init__(
        self, settings: Settings, interface: str, own: int, networks: Networks, names: frozenset[str]
    ) -> None:
        """own is this server's address on the interface; names are those by which clients may call it."""
        self.networks = networks
        self._interface = interface
        self._names = names | {"", wire.dotted(own)}
        self._dynamic, self._always_rfc1048 = settings.bootp.dynamic, settings.bootp.always_rfc1048
        self._trust_option_82 = settings.dhcp.trust_option_82
        self._rules = Rules(boot_rules(settings))
        self._tftp_server = settings.pxe.tftp_server
        self._sheets = Sheets(settings)

    def receive(self, message: Message, now: float, *, direct: bool = False, source: int = 0) -> Outcome:
        """Return what comes of a message without option 53; WireError when it is malformed.

        direct: it was sent to this server's own address; source: the address that it came from.
        """
        asked = request.parse(message, direct, source=source)
        asked.key = self.networks.identify(asked, request.AUTO)
        network = self.networks.find(asked, now)
        asked.own = network.plan.own if network else 0
        outcome = Outcome(asked, self._interface)
        if message.op != wire.BOOTREQUEST:
            outcome.ignored = "a server's message"
        elif not asked.key or not any(message.chaddr[: message.hlen]):
            outcome.ignored = "BOOTREQUEST without hardware address"
        elif message.sname.decode("ascii", "replace").lower() not in self._names:
            outcome.ignored = "BOOTREQUEST for another server"  # RFC 951 §7.3: silently
        elif asked.has_stray_option_82 and not self._trust_option_82:
            outcome.ignored = "option 82 without a relay agent"
        elif network is None:
            outcome.ignored = "relayed from a network that is not configured: describe it in a [subnet]"
        elif fault := self.networks.origins.fault(asked):
            outcome.ignored = fault
        elif message.ciaddr and message.ciaddr not in network.plan.subnet:
            outcome.ignored = "BOOTREQUEST from another network"  # the reply would go wherever it says
        else:
            self._answer(asked, network, outcome, now)
        return outcome

    def _answer(self, asked: Request, network: Network, outcome: Outcome, now: float) -> None:
        message = asked.message
        address = message.ciaddr  # RFC 951 §7.3: a client that knows its address wants the rest only
        if not address:
            address, outcome.ignored = self._address(asked, network, now)
            if not address:
                return
            outcome.commit = network.pool.grant(asked.key, address, FOREVER, now)
            self.networks.remember(outcome.commit[-1], request.hardware_key(message))
        rule = self._rules.choose(asked.client)
        sheet = self._sheets.sheet(network.plan.sheet, asked.client)
        name = rule.boot_file.encode("utf-8", "surrogateescape") if rule else b""
        fits = len(name) <= MAX_NAME
        server, own = int(self._tftp_server or network.plan.own), wire.dotted(network.plan.own)
        answer = self._reply(message, sheet, network.plan.own)
        answer.yiaddr, answer.siaddr = 0 if message.ciaddr else address, server
        answer.sname, answer.file = own.encode(), name if fits else b""
        outcome.data = wire.encode(answer)
        outcome.source, outcome.destination = own, destination(answer)
        booted = f", boot file {rule.boot_file} from {wire.dotted(server)}" if rule else ""
        if rule and not fits:
            outcome.warning = True
            booted = f", without boot file {rule.boot_file}: BOOTP has room for {MAX_NAME} octets of name"
        about = f"on {wire.dotted(address)} to {asked.hardware} via {self._interface}{booted}"
        outcome.note(f"BOOTREPLY {about}")
        outcome.fields["DHCP_ADDRESS"] = wire.dotted(address)
        if rule and fits:
            outcome.fields |= {"DHCP_BOOT_FILE": rule.boot_file, "DHCP_BOOT_RULE": rule.origin}

    def _address(self, asked: Request, network: Network, now: float) -> tuple[int, str]:
        """Return the address for a client, or 0 and why there is none."""
        if self._dynamic:
            lease = network.pool.offer(asked.key, 0, now)
            return (lease.address, "") if lease else (0, "no free address")
        kept = network.plan.subnet.reserved.get(asked.key)
        if kept is None:
            return 0, "no address is reserved for this BOOTP client (dynamic is off)"
        if network.pool.suits(asked.key, kept, now):
            return kept, ""
        return 0, "the address reserved for this BOOTP client is in use by another"

    def _reply(self, message: Message, sheet: Sheet, own: int) -> Message:
        """Return the reply of this server's address but for addresses and names.

        Without a magic cookie in the request there are by default no options in it.
        """
        answer = Message(
            op=wire.BOOTREPLY, htype=message.htype, hlen=message.hlen, xid=message.xid, secs=message.secs,
            flags=message.flags & wire.BROADCAST, ciaddr=message.ciaddr, giaddr=message.giaddr,
            chaddr=message.chaddr, cookie=message.cookie or self._always_rfc1048,
        )  # fmt: skip
        room = VEND - len(wire.COOKIE) - 1
        for code in sorted(sheet):  # the mask before the router
            value = sheet[code].value
            if len(value) + 2 <= room and code not in NOT_BOOTP:
                answer.options[code] = value
                room -= len(value) + 2
        if room >= 6:  # RFC 1534 §2 allows it, and systemd-networkd takes no reply without
            answer.options[options.SERVER_ID] = wire.addresses(own)
        if options.RELAY_AGENT in message.options:  # RFC 3046 §2.2: in all replies; it is taken off there
            answer.options[options.RELAY_AGENT] = message.options[options.RELAY_AGENT]
            answer.agents = message.agents
        return answer


def destination(answer: Message) -> tuple[str, int]:
    """Return the address and port a BOOTP reply goes to (RFC 951 §4, RFC 1542 §4.1.2)."""
    if answer.ciaddr:
        return wire.dotted(answer.ciaddr), reply.CLIENT_PORT
    if answer.giaddr:
        return wire.dotted(answer.giaddr), reply.SERVER_PORT
    return reply.EVERYONE, reply.CLIENT_PORT
