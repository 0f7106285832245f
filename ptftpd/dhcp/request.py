"""What a client asks, made out once: kind, state, identity (RFC 2131 §4.3).

A field counts only in the state that has it (RFC 2131 tables 4 and 5). What a client puts there in any other
state is what it happened to have in its memory, or what somebody forged:

    state                  the address it is about          ciaddr, where an answer may go
    DISCOVER, DECLINE      option 50                        -
    SELECTING              option 50; ciaddr in RFC 1541    -
    INIT-REBOOT            option 50                        -
    RENEWING, REBINDING    ciaddr                           ciaddr
    RELEASE                ciaddr                           ciaddr
    INFORM                 ciaddr, else the IP source       the same
"""

from __future__ import annotations

from dataclasses import dataclass

from ptftpd.dhcp import options, pxe, wire
from ptftpd.dhcp.wire import Message
from ptftpd.texts import TEXT, cut

# The states a DHCPREQUEST comes from (RFC 2131 §4.3.2, table 4).
SELECTING, INIT_REBOOT, RENEWING, REBINDING = "SELECTING", "INIT-REBOOT", "RENEWING", "REBINDING"

AUTO, BY_MAC, BY_CLIENT_ID = "auto", "mac", "client-id"  # what tells machines apart
MIN_SIZE = 576  # octets of the IP datagram that every client takes (RFC 2131 §2)
MAX_SIZE = 1500  # and the most ever sent: what fits one Ethernet frame
HEADERS = 28  # octets of IP and UDP headers, which option 57 counts
LEAST_ROOM = MIN_SIZE - HEADERS  # octets of a reply that every client takes
MAX_TEXT = 255  # octets of an option that is kept or compared: what RFC 2132 has room for, in one piece
MAX_CLIENT_ID = 135  # octets that identify a machine: RFC 4361 with the longest DUID (RFC 8415 §11.1)
LINK_SELECTION, SERVER_OVERRIDE = 5, 11  # sub-options of option 82 (RFC 3527, RFC 5107)
# RFC 2131 table 5: the messages in which option 54 counts, and those, by kind or state, that have no ciaddr.
_NAMES_A_SERVER = frozenset({options.REQUEST, options.DECLINE, options.RELEASE})
_WITHOUT_CIADDR = frozenset({options.DISCOVER, options.DECLINE, SELECTING, INIT_REBOOT})
_KEPT = (options.PARAMETER_LIST, options.VENDOR_CLASS, options.USER_CLASS, options.ARCHITECTURE)
_IDENTIFIERS = (options.CLIENT_ID, options.GUID)
# What stands before the octets of a name, in place of the hardware type that is before hardware addresses.
_CLIENT_ID, _GUID = b"\0", b"\xff"


@dataclass(slots=True)
class Request:
    """A client's message. address and ciaddr are those of its state, 0 where that has none."""

    message: Message
    client: pxe.Client
    kind: int  # option 53, 0 for BOOTP
    state: str  # of a DHCPREQUEST, else ''
    key: bytes  # who asks; b'' when it cannot be told
    address: int
    ciaddr: int
    source: int  # the address that the datagram came from, 0 for none
    server_id: int
    parameters: bytes  # option 55: numbers of options, in the order in which they are wanted
    direct: bool  # sent to this server's address, not broadcast
    hardware: str  # the client's hardware address in its usual notation, for people
    own: int = 0  # this server's address in the client's network, once that is known
    mtu: int = MAX_SIZE  # of the interface

    @property
    def has_stray_option_82(self) -> bool:
        """Whether option 82 came without a relay agent, which alone may add it (RFC 3046 §2.1)."""
        return options.RELAY_AGENT in self.message.options and not self.message.giaddr

    @property
    def room(self) -> int:
        """How many octets a reply may have: what the client takes (option 57), in one frame of the cable."""
        wanted = wire.number(self.message.options.get(options.MAX_SIZE, b""))
        return max(min(wanted, MAX_SIZE, self.mtu), MIN_SIZE) - HEADERS

    @property
    def seconds(self) -> int:
        """The lease time that the client would like, 0 when it says nothing."""
        return wire.number(self.message.options.get(options.LEASE_TIME, b"")[:4])

    @property
    def stored_client_id(self) -> bytes:
        """What is stored of option 61 with a lease: nothing when the key has it, or it is too long."""
        client_id = _client_id(self.message)
        return b"" if self.key == client_id_key(client_id) else client_id

    @property
    def server_override(self) -> int:
        """The address that a relay agent wants to be this server's to the client, 0 for none (RFC 5107)."""
        if options.RELAY_AGENT not in self.message.options:
            return 0
        octets = pxe.suboption(self.message, options.RELAY_AGENT, SERVER_OVERRIDE)
        return wire.number(octets) if len(octets) == 4 else 0

    @property
    def place(self) -> int:
        """An address in the network that the client is in, 0 for the server's own network.

        What the relay agent or the client selects (RFC 3527 §3, RFC 3011 §2), else the relay agent's address.
        A client that renews beyond a router sends from its own address, without a relay agent.
        """
        message, said = self.message, self.message.options
        if options.RELAY_AGENT in said or options.SUBNET_SELECTION in said:
            selected = pxe.suboption(message, options.RELAY_AGENT, LINK_SELECTION)
            for octets in (selected, said.get(options.SUBNET_SELECTION, b"")):
                if len(octets) == 4 and any(octets):
                    return wire.number(octets)
        return message.giaddr or (self.ciaddr if self.direct else 0)


def parse(message: Message, direct: bool, identify_by: str = AUTO, source: int = 0) -> Request:
    """Return what a message asks; WireError when an option that its answer hangs on is malformed.

    direct: it was sent to this server's address, not broadcast; that tells RENEWING from REBINDING.
    source: the address that it came from.
    """
    if message.joined:
        _bound(message)
    kind = options.number(message, options.MESSAGE_TYPE, 1)
    server_id = options.address(message, options.SERVER_ID) if kind in _NAMES_A_SERVER else 0
    state = _state(message, server_id, direct) if kind == options.REQUEST else ""
    has_ciaddr = (state or kind) not in _WITHOUT_CIADDR
    ciaddr = message.ciaddr if has_ciaddr else 0
    if kind == options.INFORM and not ciaddr:
        ciaddr = source
    return Request(
        message=message,
        client=pxe.identify(message),
        kind=kind,
        state=state,
        key=identity(message, identify_by),
        address=ciaddr if has_ciaddr else _requested(message, state),
        ciaddr=ciaddr,
        source=source,
        server_id=server_id,
        parameters=message.options.get(options.PARAMETER_LIST, b""),
        direct=direct,
        hardware=hardware_text(message),
    )


def _bound(message: Message) -> None:
    """Cut what is kept of a client, or compared, where an option came in several pieces (RFC 3396).

    Half of an identifier would be another one's, so that is left out.
    """
    said = message.options
    for code in _KEPT:
        if len(said.get(code, b"")) > MAX_TEXT:
            said[code] = said[code][:MAX_TEXT]
    for code in _IDENTIFIERS:
        if len(said.get(code, b"")) > MAX_TEXT:
            del said[code]


def _client_id(message: Message) -> bytes:
    """Return option 61 if it can be an identifier."""
    client_id = message.options.get(options.CLIENT_ID, b"")
    return client_id if len(client_id) <= MAX_CLIENT_ID else b""


def _requested(message: Message, state: str) -> int:
    requested = options.readable_address(message, options.REQUESTED_ADDRESS)
    return requested or (message.ciaddr if state == SELECTING else 0)


def _state(message: Message, server_id: int, direct: bool) -> str:
    if server_id:
        return SELECTING
    if not message.ciaddr:
        return INIT_REBOOT
    # A relay forwards broadcasts, so what it forwards is REBINDING.
    return RENEWING if direct and not message.giaddr else REBINDING


def identity(message: Message, by: str = AUTO) -> bytes:
    """Return the octets that stand for one machine, b'' when it gives none.

    By default the hardware type and address: firmware, boot loader, installer and installed system of one
    machine send different client identifiers (option 61) but are to keep one address. Option 61 is used
    where there is no hardware address (RFC 4390), or always where it is chosen (RFC 2131 §4.2), unless it is
    longer than any that RFC 4361 allows.
    """
    hardware, client_id = hardware_key(message), _client_id(message)
    if by == BY_MAC:
        return hardware
    if by == BY_CLIENT_ID and client_id:
        return client_id_key(client_id)
    return hardware or (client_id_key(client_id) if client_id else b"")


def names(message: Message) -> tuple[bytes, ...]:
    """Return everything that a machine may be known by: hardware address, client identifier, GUID."""
    client_id, guid = (message.options.get(code, b"") for code in (options.CLIENT_ID, options.GUID))
    found = hardware_key(message), client_id and client_id_key(client_id), guid and guid_key(guid[1:])
    return tuple(name for name in found if name)


def hardware_key(message: Message) -> bytes:
    """Return hardware type and address, b'' when there is none."""
    hardware = message.chaddr[: message.hlen]
    return wire.octets(message.htype, 1) + hardware if any(hardware) else b""


def ethernet_key(mac: bytes) -> bytes:
    """Return the identity of the machine with an Ethernet address."""
    return wire.octets(1, 1) + mac


def client_id_key(client_id: bytes) -> bytes:
    """Return the identity of the machine with a client identifier."""
    return _CLIENT_ID + client_id


def guid_key(guid: bytes) -> bytes:
    """Return what a machine with a GUID may be known by, in whichever order its octets are."""
    return _GUID + pxe.any_order(guid)


def current(key: bytes) -> bytes:
    """Return the key of a lease that may have been stored with a GUID in the order it was sent."""
    return guid_key(key[1:]) if key[:1] == _GUID else key


def name_text(name: bytes) -> str:
    """Return one of these for people."""
    if name[:1] == _GUID:
        return f"GUID {pxe.guid_text(name[1:])}"
    kinds = {_CLIENT_ID: "client-id ", wire.octets(1, 1): ""}
    return f"{kinds.get(name[:1], f'{name[0]}/')}{name[1:].hex(':')}"


def hardware_text(message: Message) -> str:
    """Return a hardware address such as 52:54:00:12:34:56; an option 61 in hex where there is none."""
    hardware = message.chaddr[: message.hlen]
    if any(hardware):
        return hardware.hex(":") if message.htype == 1 else f"{message.htype}/{hardware.hex(':')}"
    client_id = message.options.get(options.CLIENT_ID, b"")
    return f"client-id {cut(client_id[:TEXT].hex(':'))}" if client_id else "unknown"
