"""What a client asks, made out once: kind, state, identity (RFC 2131 §4.3)."""

from __future__ import annotations

from dataclasses import dataclass

from ptftpd.dhcp import options, pxe, wire
from ptftpd.dhcp.wire import Message

# The states a DHCPREQUEST comes from (RFC 2131 §4.3.2, table 4).
SELECTING, INIT_REBOOT, RENEWING, REBINDING = "SELECTING", "INIT-REBOOT", "RENEWING", "REBINDING"


@dataclass(slots=True)
class Request:
    """A client's message. address is the one it is about: option 50, else ciaddr, else 0."""

    message: Message
    client: pxe.Client
    kind: int  # option 53, 0 for BOOTP
    state: str  # of a DHCPREQUEST, else ''
    key: bytes  # who asks; b'' when it cannot be told
    address: int
    server_id: int
    parameters: tuple[int, ...]  # option 55, in its order

    def asks(self, code: int) -> bool:
        """Return whether the client wants an option: it is listed, or the client listed none."""
        return not self.parameters or code in self.parameters

    @property
    def hardware(self) -> str:
        """The client's hardware address in its usual notation, for people."""
        return hardware_text(self.message)


def parse(message: Message, direct: bool) -> Request:
    """Return what a message asks; WireError when an option it rests on is malformed.

    direct: it was sent to this server's address, not broadcast; that tells RENEWING from REBINDING.
    """
    kind = options.number(message, options.MESSAGE_TYPE, 1)
    server_id = options.address(message, options.SERVER_ID)
    requested = options.address(message, options.REQUESTED_ADDRESS)
    return Request(
        message=message,
        client=pxe.identify(message),
        kind=kind,
        state=_state(message, server_id, direct) if kind == options.REQUEST else "",
        key=identity(message),
        address=requested or message.ciaddr,
        server_id=server_id,
        parameters=tuple(message.options.get(options.PARAMETER_LIST, b"")),
    )


def _state(message: Message, server_id: int, direct: bool) -> str:
    if server_id:
        return SELECTING
    if not message.ciaddr:
        return INIT_REBOOT
    # A relay forwards broadcasts, so what it forwards is REBINDING.
    return RENEWING if direct and not message.giaddr else REBINDING


def identity(message: Message) -> bytes:
    """Return the octets that stand for one machine, b'' when it gives none.

    The hardware type and address come first: firmware, boot loader, installer and installed system of one
    machine send different client identifiers (option 61) but are to keep one address. Option 61 is
    used where there is no hardware address; a zero hardware type keeps the two apart.
    """
    hardware = message.chaddr[: message.hlen]
    if any(hardware):
        return bytes([message.htype]) + hardware
    client_id = message.options.get(options.CLIENT_ID, b"")
    return b"\0" + client_id if client_id else b""


def hardware_text(message: Message) -> str:
    """Return a hardware address such as 52:54:00:12:34:56; an option 61 in hex where there is none."""
    hardware = message.chaddr[: message.hlen]
    if any(hardware):
        return hardware.hex(":") if message.htype == 1 else f"{message.htype}/{hardware.hex(':')}"
    client_id = message.options.get(options.CLIENT_ID, b"")
    return f"client-id {client_id.hex(':')}" if client_id else "unknown"


def ethernet_key(mac: bytes) -> bytes:
    """Return the identity of the machine with an Ethernet address."""
    return wire.octets(1, 1) + mac
