"""The DHCP server of one network: a client's message in, the reply and what to store out (RFC 2131 §4.3).

A client's address is in one of these states, and moved by these messages and by time:

    free -> offered      DISCOVER; back to free after a minute, or when the client takes another's offer
    offered -> leased    REQUEST in SELECTING, naming this server
    leased -> leased     REQUEST in RENEWING, REBINDING or INIT-REBOOT
    leased -> free       RELEASE, or the end of the lease; the client gets it back while nobody needs it
    leased -> quarantine DECLINE by the client that has it; free after the time set

Answered are clients that boot by PXE, and every other one whose machine holds a lease or a reservation
here: the installer and the installed system that a PXE boot led to go on renewing. answer_all widens that to
everyone. A machine is told by its hardware address, see request.identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ptftpd.dhcp import options, pxe, reply, request, wire
from ptftpd.dhcp.outcome import Outcome, describe
from ptftpd.dhcp.pool import Lease, Pool
from ptftpd.dhcp.request import RENEWING, SELECTING, Request
from ptftpd.dhcp.rules import boot_rules
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Settings


class Machine:
    """Answers the clients of one interface. A new one takes over the old one's leases at a reload."""

    def __init__(self, settings: Settings, interface: str, own: int, broadcast: int, pool: Pool) -> None:
        """own is this server's address on the interface, which clients know it by (option 54)."""
        self.pool = pool
        self._interface = interface
        self._own = own
        self._settings = settings.dhcp
        self._rules = pxe.Rules(boot_rules(settings))
        self._boot_server = int(settings.pxe.tftp_server or own)
        self._parameters = reply.Parameters(
            server=own,
            mask=pool.subnet.mask,
            broadcast=broadcast,
            routers=(int(settings.pxe.gateway),) if settings.pxe.gateway else (),
            name_servers=tuple(int(server) for server in settings.pxe.name_server),
        )
        self._full = False  # whether it was said that no address is free
        self._handlers: dict[int, Callable[[Request, Outcome, float], None]] = {
            options.DISCOVER: self._discover,
            options.REQUEST: self._request,
            options.DECLINE: self._decline,
            options.RELEASE: self._release,
            options.INFORM: self._inform,
        }

    def receive(self, message: Message, now: float, *, direct: bool) -> Outcome:
        """Return what comes of a message; WireError when it is malformed.

        direct: it was sent to this server's own address; now in monotonic seconds.
        """
        asked = request.parse(message, direct)
        lease = self.pool.find(asked.key)
        if lease and lease.architecture and not asked.client.architectures:
            # syslinux.efi, for one, repeats DHCP without options 60 and 93.
            asked.client = replace(asked.client, architectures=(lease.architecture,))
        outcome = Outcome(describe(asked, self._interface))
        outcome.ignored = self._unwanted(asked, lease, now)
        if not outcome.ignored:
            self._handlers[asked.kind](asked, outcome, now)
        return outcome

    def _unwanted(self, asked: Request, lease: Lease | None, now: float) -> str:
        """Return why a message is not for this server, '' when it is."""
        message = asked.message
        if message.op != wire.BOOTREQUEST:
            return "a server's message"
        if not asked.kind:
            return "BOOTP, not DHCP"
        if asked.kind not in self._handlers:
            return "no message of a DHCP client"
        if not asked.key:
            return "neither hardware address nor client identifier"
        if message.giaddr and message.giaddr not in self.pool.subnet:
            return "relayed from a network that is not configured"
        if not message.giaddr and options.RELAY_AGENT in message.options:
            return "option 82 without a relay agent"  # RFC 3046 §2.1: only relays may add it
        known = asked.key in self.pool.subnet.reserved or (lease is not None and lease.expires > now)
        boots = asked.client.is_pxe or (asked.client.is_http and self._boot(asked.client) is not None)
        if not (known or boots or self._settings.answer_all):
            return "not a PXE client (answer_all is off)"
        return ""

    def _discover(self, asked: Request, outcome: Outcome, now: float) -> None:
        lease = self.pool.offer(asked.key, asked.address, now)
        if lease is not None:
            self._full = False
            self._send(asked, outcome, options.OFFER, lease.address)
            return
        outcome.ignored = "no free address"
        if not self._full:  # said once, until an address is free again
            self._full = True
            outcome.kind, outcome.warning = "no-lease", True
            outcome.done = (
                f"no free address on {self._interface}: all {self.pool.subnet.size()} are taken "
                "(widen range or shorten lease_time in [dhcp])"
            )

    def _request(self, asked: Request, outcome: Outcome, now: float) -> None:
        """Grant, refuse or pass over a DHCPREQUEST (RFC 2131 §4.3.2)."""
        if asked.state == SELECTING and asked.server_id != self._own:
            self.pool.withdraw(asked.key)
            outcome.ignored = "took another server's offer"
        elif not asked.address:
            outcome.ignored = "DHCPREQUEST for no address"
        elif asked.address not in self.pool.subnet:
            self._refuse(asked, outcome, "this address is of another network")
        elif not self._is_ours(asked):
            if self._settings.authoritative:
                self._refuse(asked, outcome, "no lease of this address is known")
            else:
                outcome.ignored = "asks for a lease that is not known here"  # another server may know it
        elif not self.pool.suits(asked.key, asked.address, now):
            self._refuse(asked, outcome, "this address is not available")
        else:
            self._grant(asked, outcome, now)

    def _is_ours(self, asked: Request) -> bool:
        """Return whether this server leased the client an address before, or leased this one to another.

        SELECTING and RENEWING say so by themselves: they name this server, or are sent to it alone. The
        leases may have been lost since; a lease of a free address is then granted anew.
        """
        if asked.state in {SELECTING, RENEWING} or asked.key in self.pool.subnet.reserved:
            return True
        records = self.pool.find(asked.key), self.pool.holder(asked.address)
        return any(record is not None and record.seconds > 0 for record in records)  # more than offered

    def _grant(self, asked: Request, outcome: Outcome, now: float) -> None:
        outcome.commit = self.pool.grant(asked.key, asked.address, self._settings.lease_time, now)
        lease = outcome.commit[-1]
        lease.client_id = asked.message.options.get(options.CLIENT_ID, b"")
        lease.architecture = next(iter(asked.client.architectures), "")
        self._send(asked, outcome, options.ACK, lease.address)

    def _decline(self, asked: Request, outcome: Outcome, now: float) -> None:
        """Quarantine an address in use by somebody else; only its holder may say so (RFC 2131 §4.3.3)."""
        lease = self.pool.holder(asked.address)
        if lease is None or lease.key != asked.key or asked.server_id != self._own:
            outcome.ignored = "DHCPDECLINE of an address that the client does not hold"
            return
        seconds = self._settings.quarantine
        self.pool.quarantine(lease, seconds, now)
        outcome.commit, outcome.warning = (lease,), True
        self._note(
            asked, outcome, lease.address,
            f"{wire.dotted(lease.address)} is in use by another machine, says {asked.hardware} via "
            f"{self._interface}: not leased for {seconds:g} s",
        )  # fmt: skip

    def _release(self, asked: Request, outcome: Outcome, now: float) -> None:
        lease = self.pool.holder(asked.address)
        if lease is None or lease.key != asked.key or asked.server_id not in {self._own, 0}:
            outcome.ignored = "DHCPRELEASE of an address that the client does not hold"
            return
        self.pool.release(lease, now)
        outcome.commit = (lease,)
        self._note(asked, outcome, lease.address, f"{wire.dotted(lease.address)} is free again")

    def _inform(self, asked: Request, outcome: Outcome, now: float) -> None:
        """Tell a client that has an address already everything but that (RFC 2131 §4.3.5)."""
        if asked.message.ciaddr not in self.pool.subnet:
            outcome.ignored = "DHCPINFORM from another network"  # the reply would go wherever it says
            return
        self._send(asked, outcome, options.ACK, 0)

    def _send(self, asked: Request, outcome: Outcome, kind: int, yiaddr: int) -> None:
        """Make the outcome an offer or acknowledgement; yiaddr 0 leases nothing."""
        boot = self._boot(asked.client)
        seconds = int(self._settings.lease_time)
        answer = reply.offer_or_ack(asked, kind, yiaddr, seconds, self._parameters, boot)
        booted = f", boot file {boot.file} from {wire.dotted(boot.server)}" if boot else ""
        self._answer(asked, outcome, answer, yiaddr or asked.message.ciaddr, booted)
        if boot:
            outcome.fields["DHCP_BOOT_FILE"] = boot.file
            outcome.fields["DHCP_BOOT_RULE"] = boot.origin

    def _refuse(self, asked: Request, outcome: Outcome, reason: str) -> None:
        answer = reply.nak(asked, reason, self._own)
        self._answer(asked, outcome, answer, asked.address, f": {reason}")

    def _answer(self, asked: Request, outcome: Outcome, answer: Message, address: int, more: str) -> None:
        about = f"on {wire.dotted(address)} to {asked.hardware} via {self._interface}{more}"
        outcome.answer(asked, self._interface, answer, about)
        outcome.fields["DHCP_ADDRESS"] = wire.dotted(address)

    def _note(self, asked: Request, outcome: Outcome, address: int, done: str) -> None:
        outcome.note(asked, self._interface, done)
        outcome.fields["DHCP_ADDRESS"] = wire.dotted(address)

    def _boot(self, client: pxe.Client) -> pxe.Boot | None:
        return pxe.choose_boot(self._rules, client, self._boot_server)
