"""The DHCP server of one interface: a client's message in, the reply and what to store out (RFC 2131 §4.3).

A client's address is in one of these states, and moved by these messages and by time:

    free -> offered      DISCOVER; back to free after a minute, or when the client takes another's offer;
                         another's, after 2 s, as soon as that finds nothing free
    offered -> leased    REQUEST in SELECTING, naming this server, by the client that was offered it
    leased -> leased     REQUEST in RENEWING, REBINDING or INIT-REBOOT
    free -> on its word  the same of a client of which no record is left: another's when nothing else is free;
                         leased once it answers an offer, or goes on when half the time is over
    leased -> free       RELEASE, or the end of the lease; the client gets it back while nobody needs it
    leased -> quarantine DECLINE by the client that has a lease of it; free after the time set

Answered are clients that boot over the network or that a rule names (decision.py), and every other one whose
machine holds a lease or a reservation here: the installer and the installed system that a boot led to go on
renewing. answer_all widens that to everyone. What tells machines apart is request.identity's to say. Clients
behind relay agents are served from their own network's addresses.
"""

from __future__ import annotations

from collections.abc import Callable

from ptftpd.dhcp import options, reply, request, wire
from ptftpd.dhcp.boot import Boot
from ptftpd.dhcp.decision import Decision
from ptftpd.dhcp.networks import Network, Networks
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.pool import OFFER_TIME, Lease
from ptftpd.dhcp.request import MAX_SIZE, REBINDING, RENEWING, SELECTING, Request
from ptftpd.dhcp.sheet import Sheet
from ptftpd.dhcp.sheets import Sheets
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Settings

# Kinds of clients, by what they are and which options they ask for: far more than a site has. Forged ones
# cost time, and no more than 1 MB: request.parse() bounds the texts in them.
MAX_BODIES = 256
MAX_SHARED = 256  # addresses: by then it was said often enough
RELEASED = 60.0  # seconds until others get an address: the kernel knows by then whether its client is there


class Machine:
    """Answers the clients of one interface. A new one takes over the old one's leases at a reload."""

    def __init__(
        self, settings: Settings, interface: str, own: int, networks: Networks, *, with_tftp: bool = False,
        mtu: int = MAX_SIZE,
    ) -> None:  # fmt: skip
        """own is this server's address on the interface; with_tftp: it serves TFTP there too; mtu is its MTU.

        Where there is a next server (siaddr), clients without a boot file are told of it too: U-Boot asks it
        for a script. An address alone makes nobody boot, and hides no other server's boot file.
        """
        self.networks = networks
        self._interface, self._mtu = interface, mtu
        self._own = own
        self._settings = settings.dhcp
        self._tftp_server, self._with_tftp = settings.pxe.tftp_server, with_tftp
        self._decision = Decision(settings, own)
        by_own = {network.plan.own for network in networks} - {own}
        self._decisions = {own: self._decision} | {each: Decision(settings, each) for each in by_own}
        self._sheets = Sheets(settings)
        self._bodies: dict[object, tuple[Sheet, reply.Body]] = {}  # a sheet is kept, so its id stays its own
        self._shared: set[int] = set()  # addresses of which it was said that two machines have them
        self._handlers: dict[int, Callable[[Request, Network, Outcome, float], None]] = {
            options.DISCOVER: self._discover,
            options.REQUEST: self._request,
            options.DECLINE: self._decline,
            options.RELEASE: self._release,
            options.INFORM: self._inform,
        }

    def receive(self, message: Message, now: float, *, direct: bool, source: int = 0) -> Outcome:
        """Return what comes of a message; WireError when it is malformed.

        direct: it was sent to this server's own address; source: the address that it came from, 0 for
        none; now in monotonic seconds.
        """
        asked = request.parse(message, direct, self._settings.identity, source)
        asked.key = self.networks.identify(asked, self._settings.identity)
        network = self.networks.find(asked, now)
        asked.own, asked.mtu = network.plan.own if network else self._own, self._mtu
        lease = network.pool.find(asked.key) if network else None
        if lease and lease.architecture and not asked.client.architectures:
            # syslinux.efi, for one, repeats DHCP without options 60 and 93.
            asked.client = asked.client._replace(architectures=(lease.architecture,))
        outcome = Outcome(asked, self._interface)
        outcome.ignored = self._unwanted(asked, network, lease, now) or self.networks.origins.fault(asked)
        if network and not outcome.ignored:
            self._handlers[asked.kind](asked, network, outcome, now)
        return outcome

    def told(self, asked: Request, network: Network) -> tuple[Sheet, Boot | None]:
        """Return the options that a client is told, and what it is to boot."""
        decision = self._decisions[network.plan.own]
        return self._sheets.sheet(network.plan.sheet, asked.client), decision.boot(asked.client)

    def _body(self, asked: Request, seconds: int, sheet: Sheet, boot: Boot | None) -> reply.Body:
        """Return what a reply has in common with those to other clients of the kind; made once."""
        known_as = self._known_as(asked)
        key = asked.parameters, seconds, id(sheet), boot, asked.client.traits, known_as
        made = self._bodies.get(key)
        if made is None:
            if len(self._bodies) >= MAX_BODIES:
                self._bodies.clear()
            made = self._bodies[key] = sheet, reply.body(asked, seconds, sheet, boot, known_as)
        return made[1]

    def _known_as(self, asked: Request) -> int:
        """Return the address by which a client knows this server (option 54)."""
        return asked.server_override or asked.own

    def _is_named(self, asked: Request) -> bool:
        """Return whether a message names this server, by either of its addresses (RFC 5107 §4)."""
        return asked.server_id in {self._own, self._known_as(asked)}

    def _unwanted(self, asked: Request, network: Network | None, lease: Lease | None, now: float) -> str:
        """Return why a message is not for this server, '' when it is."""
        message = asked.message
        if message.op != wire.BOOTREQUEST:
            return "a server's message"
        if not asked.kind:
            return "BOOTP, not DHCP"
        if asked.kind not in self._handlers:
            return "not a message of a DHCP client"
        if not asked.key:
            return "neither hardware address nor client identifier"
        if asked.has_stray_option_82 and not self._settings.trust_option_82:
            return "option 82 without a relay agent"
        if network is None:
            return "relayed from a network that is not configured: describe it in a [subnet]"
        known = asked.key in network.plan.subnet.reserved or (lease is not None and lease.expires > now)
        if known or self._settings.answer_all or self._decision.answers(asked.client):
            return ""
        return "not a PXE client (answer_all is off)"

    def _discover(self, asked: Request, network: Network, outcome: Outcome, now: float) -> None:
        lease = network.pool.offer(asked.key, asked.address, now)
        if lease is None and network.pool.is_firm(now):
            outcome.ignored = "every free address was offered just now"  # it asks again
            return
        if lease is None and not self._can_look(network) and network.pool.reclaim(now):
            lease = network.pool.offer(asked.key, asked.address, now)
        why = _why_not_its_own(asked, network, lease, now)
        if lease is not None:
            network.full = False
            self._send(asked, network, outcome, options.OFFER, lease.address)
            outcome.done += why
            outcome.warning = bool(why)
            return
        outcome.ignored = "no free address"
        if not network.full:  # said once, until an address is free again
            network.full = True
            outcome.kind, outcome.warning = "no-lease", True
            section = network.plan.section
            where = self._interface if section == "dhcp" else f"[{section}]"
            reason = f"range and exclude in [{section}] leave only reserved ones"
            if any(network.plan.subnet.dynamic()):
                size = network.plan.subnet.size()
                used = len(network.pool.quarantined(now))
                others = f", {used} by machines that have no lease" if used else ""
                reason = f"all {size} are taken{others} (widen range or shorten lease_time in [{section}])"
            outcome.done = f"no free address on {where}: {reason}{why}"

    def _request(self, asked: Request, network: Network, outcome: Outcome, now: float) -> None:
        """Grant, refuse or pass over a DHCPREQUEST (RFC 2131 §4.3.2)."""
        if asked.state == SELECTING and not self._is_named(asked):
            network.pool.withdraw(asked.key)
            outcome.ignored = "took another server's offer"
        elif not asked.address:
            outcome.ignored = "DHCPREQUEST for no address"
        elif asked.address not in network.plan.subnet:
            self._refuse(asked, outcome, "this address belongs to another network")
        elif not self._is_ours(asked, network):
            if self._settings.authoritative:
                self._refuse(asked, outcome, "no lease of this address is known")
            else:
                outcome.ignored = "asks for a lease that is not known here"  # another server may know it
        elif not network.pool.suits(asked.key, asked.address, now):
            self._refuse(asked, outcome, "this address is not available")
        elif asked.state == SELECTING and not self._was_offered(asked, network, now):
            self._refuse(asked, outcome, "this address was not offered")  # it begins anew, by a DISCOVER
        else:
            self._grant(asked, network, outcome, now)

    def _is_ours(self, asked: Request, network: Network) -> bool:
        """Return whether this server leased the client an address before, or leased this one to another.

        SELECTING and RENEWING say so by themselves: they name this server, or are sent to it alone, from the
        address. The leases may have been lost since; a lease of a free address is then granted anew, on the
        client's word: see pool.py for what that is worth.
        """
        renewed_from_there = asked.state == RENEWING and asked.source == asked.ciaddr
        if asked.state == SELECTING or renewed_from_there or asked.key in network.plan.subnet.reserved:
            return True
        records = network.pool.find(asked.key), network.pool.holder(asked.address)
        return any(record is not None and record.seconds > 0 for record in records)  # more than offered

    def _was_offered(self, asked: Request, network: Network, now: float) -> bool:
        """Return whether a client was offered an address, or had it before; or may have been.

        Who was offered nothing could else take every address with one datagram each. Offers are in memory
        only: for as long as one is kept, the clients of this server's earlier run are believed.
        """
        record = network.pool.holder(asked.address)
        if record is not None and record.key == asked.key:
            return True
        reserved = network.plan.subnet.reserved.get(asked.key) == asked.address
        return reserved or now < self.networks.began + OFFER_TIME

    def _grant(self, asked: Request, network: Network, outcome: Outcome, now: float) -> None:
        seconds = network.plan.seconds(asked.seconds)
        outcome.commit = network.pool.grant(asked.key, asked.address, seconds, now)
        lease = outcome.commit[-1]
        self.networks.remember(lease, request.hardware_key(asked.message))
        shared = self._is_shared(asked, lease)
        lease.client_id = asked.stored_client_id
        lease.architecture = next(iter(asked.client.architectures), "")
        self._send(asked, network, outcome, options.ACK, lease.address)
        if shared:
            outcome.warning = True
            outcome.done += (
                "; another machine with this hardware address and another client identifier has it too: "
                "set identity = client-id in [dhcp] to give each one its own"
            )

    def _is_shared(self, asked: Request, lease: Lease) -> bool:
        """Return whether two machines with one hardware address renew a lease; once for each address.

        The programs of one machine differ in option 61 too, but none goes on with a lease after the next has
        taken it.
        """
        client_id = asked.stored_client_id
        if asked.state not in {RENEWING, REBINDING} or not client_id or not lease.client_id:
            return False
        if client_id == lease.client_id or lease.address in self._shared or len(self._shared) >= MAX_SHARED:
            return False
        self._shared.add(lease.address)
        return True

    def _decline(self, asked: Request, network: Network, outcome: Outcome, now: float) -> None:
        """Quarantine an address in use by somebody else; only who has a lease may say so (RFC 2131 §4.3.3).

        A client tries an address once that was acknowledged; who was only offered it has nothing to decline.
        """
        lease = network.pool.holder(asked.address)
        leased = lease is not None and lease.key == asked.key and lease.expires > now
        if not leased or not self._is_named(asked):
            outcome.ignored = "DHCPDECLINE of an address that the client does not hold"
            return
        lease = network.pool.quarantine(asked.address, self._settings.quarantine, now)
        outcome.commit, outcome.warning = (lease,), True
        outcome.note(
            f"{wire.dotted(lease.address)} is in use by another machine, says {asked.hardware} via "
            f"{self._interface}: not leased for {lease.seconds:g} s"
        )
        outcome.fields["DHCP_ADDRESS"] = wire.dotted(lease.address)

    def _release(self, asked: Request, network: Network, outcome: Outcome, now: float) -> None:
        lease = network.pool.holder(asked.address)
        if lease is None or lease.key != asked.key or (asked.server_id and not self._is_named(asked)):
            outcome.ignored = "DHCPRELEASE of an address that the client does not hold"
            return
        can_look = self._can_look(network)
        network.pool.release(lease, now, RELEASED if can_look else 0.0)
        outcome.commit = (lease,)
        free = "is free again, once nobody answers for it" if can_look else "is free again"
        state = "stays its BOOTP client's" if lease.is_for_ever else free
        outcome.note(f"{wire.dotted(lease.address)} {state}")
        outcome.fields["DHCP_ADDRESS"] = wire.dotted(lease.address)

    def _can_look(self, network: Network) -> bool:
        """Return whether addresses of a network are looked at: ARP does not reach beyond the cable."""
        return self._settings.probe and network.plan.is_local

    def _inform(self, asked: Request, network: Network, outcome: Outcome, now: float) -> None:
        """Tell a client that has an address already everything but that (RFC 2131 §4.3.5)."""
        if asked.ciaddr not in network.plan.subnet:
            outcome.ignored = "DHCPINFORM from another network"  # the reply would go wherever it says
            return
        self._send(asked, network, outcome, options.ACK, 0)

    def _send(self, asked: Request, network: Network, outcome: Outcome, kind: int, yiaddr: int) -> None:
        """Make the outcome an offer or acknowledgement; yiaddr 0 leases nothing."""
        sheet, boot = self.told(asked, network)
        body = self._body(asked, network.plan.seconds(asked.seconds) if yiaddr else 0, sheet, boot)
        answer = reply.offer_or_ack(asked, kind, yiaddr, body)
        answer.siaddr = answer.siaddr or int(self._tftp_server or (asked.own if self._with_tftp else 0))
        booted = f", {boot.about}" if boot else ", no boot file is set for it" if outcome.boots else ""
        self._answer(asked, outcome, answer, yiaddr or asked.ciaddr, booted)
        if boot:
            outcome.fields["DHCP_BOOT_FILE"] = boot.file
            outcome.fields["DHCP_BOOT_RULE"] = boot.origin

    def _refuse(self, asked: Request, outcome: Outcome, reason: str) -> None:
        answer = reply.nak(asked, reason, self._known_as(asked))
        self._answer(asked, outcome, answer, asked.address, f": {reason}")

    def _answer(self, asked: Request, outcome: Outcome, answer: Message, address: int, more: str) -> None:
        dotted = wire.dotted(address)
        outcome.answer(answer, f"on {dotted} to {asked.hardware} via {self._interface}{more}")
        outcome.source = wire.dotted(asked.own)
        outcome.delay = self._decision.delay(asked.client)
        outcome.fields["DHCP_ADDRESS"] = dotted


def _why_not_its_own(asked: Request, network: Network, offered: Lease | None, now: float) -> str:
    """Return why a client is not offered the address that is kept for it, '' when it is or none is."""
    address = network.plan.subnet.reserved.get(asked.key)
    record = network.pool.holder(address) if address else None
    if record is None or record is offered:
        return ""
    quarantined = "in use by another machine: not leased"
    state = f"leased to {request.name_text(record.key)}" if record.key else quarantined
    kept = f"{wire.dotted(record.address)}, which is reserved for it,"
    lasting = "for ever" if record.is_for_ever else f"for another {record.free_at - now:.0f} s"
    return f"; {kept} is {state} {lasting}"
