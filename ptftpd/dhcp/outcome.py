"""What comes of a message: shared by the machines that answer and the server that sends."""

from __future__ import annotations

from dataclasses import dataclass, field

from ptftpd.dhcp import options, pxe, reply, wire
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.request import SELECTING, Request
from ptftpd.dhcp.wire import Message


@dataclass(slots=True)
class Outcome:
    """What comes of a message. Send data to destination, but only once commit is stored."""

    request: Request | None
    interface: str
    data: bytes = b""  # empty: nothing is sent
    destination: tuple[str, int] = ("", 0)
    source: str = ""  # the address of ours that it is sent from; '' for the usual one
    delay: float = 0.0  # seconds to wait before it is sent
    commit: tuple[Lease, ...] = ()
    done: str = ""  # what was answered or done, for the log
    kind: str = "lease"  # of that record: 'lease' or 'no-lease'
    warning: bool = False  # whether an administrator should look at it
    fields: dict[str, object] = field(default_factory=dict)
    ignored: str = ""  # why nothing is answered; one of few texts, to be counted

    def answer(self, answer: Message, about: str) -> None:
        """Send a message, and record it: about continues the sentence behind its name."""
        assert self.request is not None
        kind = wire.number(answer.options[options.MESSAGE_TYPE])
        self.data = reply.datagram(self.request, answer)
        self.destination = reply.destination(answer)
        self.note(f"{options.NAMES[kind]} {about}")

    def note(self, done: str) -> None:
        """Record what was done, with the fields that the journal keeps beside it."""
        assert self.request is not None
        self.done = done
        self.fields["DHCP_CLIENT"] = self.request.hardware
        self.fields["DHCP_INTERFACE"] = self.interface
        if self.request.client.architectures:
            self.fields["DHCP_ARCH"] = self.request.client.architectures[0]
        if self.request.client.guid:
            self.fields["DHCP_GUID"] = pxe.guid_text(self.request.client.guid)

    @property
    def boots(self) -> bool:
        """Whether it is a machine that boots over the network: what it asks is worth a record of its own."""
        return self.request is not None and self.request.client.boots

    @property
    def asked(self) -> str:
        """The message for the log: DHCPREQUEST for ADDRESS from MAC via IFACE (architecture, class)."""
        asked = self.request
        if asked is None:
            return f"a message via {self.interface}"
        name = options.NAMES.get(asked.kind, "DHCP message" if asked.kind else "BOOTREQUEST")
        for_address = asked.kind == options.REQUEST and asked.address
        address = f" for {wire.dotted(asked.address)}" if for_address else ""
        if self.ignored and asked.state == SELECTING:
            address += f", offered by {wire.dotted(asked.server_id)},"
        relay = f" through {wire.dotted(asked.message.giaddr)}" if asked.message.giaddr else ""
        known = [asked.client.description] if asked.client.description else []
        if asked.kind == options.DISCOVER and asked.client.guid:
            known.append(f"GUID {pxe.guid_text(asked.client.guid)}")  # as a [host] may have it
        what = f" ({', '.join(known)})" if known else ""
        return f"{name}{address} from {asked.hardware} via {self.interface}{relay}{what}"
