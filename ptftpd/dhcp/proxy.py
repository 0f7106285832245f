"""proxyDHCP: boot files beside another DHCP server (PXE 2.1 §2.2). No addresses, so no state.

    67    DISCOVER of a PXE client  ->  OFFER without address, class PXEClient, boot server and file
    4011  REQUEST or INFORM         ->  ACK with boot server and file, to where it came from

Option 43 with discovery control 8 says 'boot the file of this offer': EDK2 otherwise asks port 4011 first.
Both are answered, so that either way of a firmware works.
"""

from __future__ import annotations

from ptftpd.dhcp import options, pxe, reply, request, wire
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.request import Request
from ptftpd.dhcp.rules import boot_rules
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Settings

PORT = 4011


class Proxy:
    """Answers the PXE clients of one interface."""

    def __init__(self, settings: Settings, interface: str, own: int) -> None:
        """own is this server's address on the interface."""
        self._interface = interface
        self._own = own
        self._rules = pxe.Rules(boot_rules(settings))
        self._boot_server = int(settings.pxe.tftp_server or own)

    def receive(self, message: Message, *, direct: bool) -> Outcome:
        """Return what comes of a message to port 67; WireError when it is malformed."""
        asked = request.parse(message, direct)
        outcome = Outcome(asked, self._interface)
        boot = self._boot(asked)
        if message.op != wire.BOOTREQUEST:
            outcome.ignored = "a server's message"
        elif asked.kind != options.DISCOVER:
            outcome.ignored = "is for the DHCP server beside which this is a proxy"
        elif not (asked.client.is_pxe or asked.client.is_http):
            outcome.ignored = "not a PXE client"
        elif boot is None:
            outcome.ignored = "no boot file for this client"
        else:
            self._answer(asked, outcome, options.OFFER, boot)
        return outcome

    def receive_boot_request(self, message: Message, peer: tuple[str, int]) -> Outcome:
        """Return what comes of a message to port 4011; the answer goes to the peer, from that port."""
        asked = request.parse(message, direct=True)
        outcome = Outcome(asked, self._interface)
        boot = self._boot(asked)
        item = pxe.suboption(asked.message, options.VENDOR, pxe.BOOT_ITEM)
        if message.op != wire.BOOTREQUEST or asked.kind not in {options.REQUEST, options.INFORM}:
            outcome.ignored = "no request for a boot file"
        elif not (asked.client.is_pxe or asked.client.is_http):
            outcome.ignored = "not a PXE client"
        elif boot is None:
            outcome.ignored = "no boot file for this client"
        elif item[:2] not in {b"", b"\0\0"}:
            outcome.ignored = "asks for a boot server type that is not served here"  # PXE 2.1: stay silent
        else:
            self._answer(asked, outcome, options.ACK, boot)
            outcome.destination = peer
        return outcome

    def _boot(self, asked: Request) -> pxe.Boot | None:
        return pxe.choose_boot(self._rules, asked.client, self._boot_server)

    def _answer(self, asked: Request, outcome: Outcome, kind: int, boot: pxe.Boot) -> None:
        answer = reply.proxy(asked, kind, self._own, boot)
        where = f"boot file {boot.file} from {wire.dotted(boot.server)}"
        outcome.answer(answer, f"to {asked.hardware} via {self._interface}, {where}")
        outcome.fields |= {"DHCP_BOOT_FILE": boot.file, "DHCP_BOOT_RULE": boot.origin}
