"""proxyDHCP: boot files beside another DHCP server (PXE 2.1 §2.2). No addresses, so no state.

    67    DISCOVER of a PXE client  ->  OFFER without address, class PXEClient, boot server and file
    4011  REQUEST or INFORM         ->  ACK with boot server and file, to where it came from

Without a menu, option 43 with discovery control 8 says 'boot the file of this offer': EDK2 otherwise asks
port 4011 first. Both are answered, so that either way of a firmware works. With a menu, 4011 is where the
boot file of the entry is to be had that was chosen; that is also so where this server leases addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from ptftpd.dhcp import options, pxe, reply, request, wire
from ptftpd.dhcp.boot import Boot
from ptftpd.dhcp.decision import Decision
from ptftpd.dhcp.origin import NOBODYS, Origins
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.request import Request
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Settings

PORT = 4011


class Proxy:
    """Answers the PXE clients of one interface."""

    def __init__(
        self, settings: Settings, interface: str, own: int, origins: Origins | None = None,
        mtu: int = request.MAX_SIZE,
    ) -> None:  # fmt: skip
        """own is this server's address on the interface, mtu is its MTU.

        origins judges where messages come from.
        """
        self._origins, self._mtu = origins or Origins(), mtu
        self._interface = interface
        self._own = own
        self._decision = Decision(settings, own)
        self._trust_option_82 = settings.dhcp.trust_option_82

    def receive(self, message: Message, *, direct: bool, source: int = 0) -> Outcome:
        """Return what comes of a message to port 67; WireError when it is malformed.

        direct: it was sent to this server's own address; source: the address that it came from.
        """
        asked = request.parse(message, direct, source=source)
        asked.own = self._own
        outcome = Outcome(asked, self._interface)
        boot = self._decision.boot(asked.client)
        if message.op != wire.BOOTREQUEST:
            outcome.ignored = "a server's message"
        elif asked.kind != options.DISCOVER:
            outcome.ignored = "is for the DHCP server, not for this proxy"
        elif asked.has_stray_option_82 and not self._trust_option_82:
            outcome.ignored = "option 82 without a relay agent"
        elif fault := self._origins.fault(asked):
            outcome.ignored = fault
        elif not self._decision.answers_as_proxy(asked.client):
            outcome.ignored = "takes no proxy's offer" if asked.client.boots else "not a PXE client"
        elif boot is None:
            outcome.ignored = "no boot file for this client"
        else:
            self._answer(asked, outcome, options.OFFER, boot)
        return outcome

    def receive_boot_request(self, message: Message, peer: tuple[str, int]) -> Outcome:
        """Return what comes of a message to port 4011; the answer goes to the peer, from that port."""
        asked = request.parse(message, direct=True)
        outcome = Outcome(asked, self._interface)
        item = wire.numbers16(pxe.suboption(message, options.VENDOR, pxe.BOOT_ITEM))
        boot = self._decision.chosen(asked.client, item)
        if message.op != wire.BOOTREQUEST or asked.kind not in {options.REQUEST, options.INFORM}:
            outcome.ignored = "not a request for a boot file"
        elif self._origins.is_nobodys(int(IPv4Address(peer[0])), self._own):
            outcome.ignored = NOBODYS
        elif not (asked.client.boots or self._decision.answers_as_proxy(asked.client)):
            outcome.ignored = "not a PXE client"
        elif boot is None:  # PXE 2.1: silence
            outcome.ignored = "asks for a boot file that is not served here"
        else:
            self._answer(asked, outcome, options.ACK, boot)
            outcome.destination = peer
        return outcome

    def _answer(self, asked: Request, outcome: Outcome, kind: int, boot: Boot) -> None:
        asked.mtu = self._mtu
        answer = reply.proxy(asked, kind, self._own, boot)
        outcome.answer(answer, f"to {asked.hardware} via {self._interface}, {boot.about}")
        outcome.delay = self._decision.delay(asked.client)
        outcome.fields |= {"DHCP_BOOT_FILE": boot.file, "DHCP_BOOT_RULE": boot.origin}
