"""What comes of a message: shared by the machines that answer and the server that sends."""

from __future__ import annotations

from dataclasses import dataclass, field

from ptftpd.dhcp import options, reply, wire
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.request import Request
from ptftpd.dhcp.wire import Message


@dataclass(slots=True)
class Outcome:
    """What comes of a message. Send data to destination, but only once commit is stored."""

    asked: str  # the message for the log
    data: bytes = b""  # empty: nothing is sent
    destination: tuple[str, int] = ("", 0)
    commit: tuple[Lease, ...] = ()
    done: str = ""  # what was answered or done, for the log
    kind: str = "lease"  # of that record: 'lease' or 'no-lease'
    warning: bool = False  # whether an administrator should look at it
    fields: dict[str, object] = field(default_factory=dict)
    ignored: str = ""  # why nothing is answered; one of few texts, to be counted

    def answer(self, asked: Request, interface: str, answer: Message, about: str) -> None:
        """Send a message, and record it: about continues the sentence behind its name."""
        name = options.NAMES[options.number(answer, options.MESSAGE_TYPE, 1)]
        self.data = wire.encode(answer)
        self.destination = reply.destination(answer)
        self.note(asked, interface, f"{name} {about}")

    def note(self, asked: Request, interface: str, done: str) -> None:
        """Record what was done, with the fields that the journal keeps beside it."""
        self.done = done
        self.fields |= {"DHCP_CLIENT": asked.hardware, "DHCP_INTERFACE": interface}
        if asked.client.architectures:
            self.fields["DHCP_ARCH"] = asked.client.architectures[0]


def describe(asked: Request, interface: str) -> str:
    """Return a message for the log: DHCPREQUEST for ADDRESS from MAC via IFACE (architecture, class)."""
    name = options.NAMES.get(asked.kind, "DHCP message" if asked.kind else "BOOTREQUEST")
    address = f" for {wire.dotted(asked.address)}" if asked.kind == options.REQUEST and asked.address else ""
    relay = f" through {wire.dotted(asked.message.giaddr)}" if asked.message.giaddr else ""
    what = f" ({asked.client.description})" if asked.client.description else ""
    return f"{name}{address} from {asked.hardware} via {interface}{relay}{what}"
