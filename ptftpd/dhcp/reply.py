"""The reply to a request: its options, its boot fields, and where it is sent (RFC 2131 §4.1, §4.3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from ptftpd.dhcp import options, pxe, wire
from ptftpd.dhcp.boot import Boot
from ptftpd.dhcp.request import LEAST_ROOM, Request
from ptftpd.dhcp.sheet import Sheet
from ptftpd.dhcp.wire import Message

SERVER_PORT, CLIENT_PORT = 67, 68
EVERYONE = "255.255.255.255"
PXE_CLASS, HTTP_CLASS = b"PXEClient", b"HTTPClient"  # option 60 of a reply: without version, without NUL
BOOT_THIS = bytes([6, 1, 8, 255])  # option 43: PXE discovery control, bit 3: boot the file of this reply
# Option 43 that the boot ROM of a Raspberry Pi looks for: discovery control, a menu prompt, and its text.
RASPBERRY_PI = bytes([6, 1, 3, 10, 4, 0]) + b"PXE" + bytes([9, 20, 0, 0, 17]) + b"Raspberry Pi Boot\xff"
# What a reply is none without, or what is to come back; the rest goes as far as there is room.
NEVER_LEFT_OUT = frozenset({
    options.MESSAGE_TYPE, options.SERVER_ID, options.LEASE_TIME, options.SUBNET_MASK, options.CLIENT_ID,
    options.GUID, options.SUBNET_SELECTION,
})  # fmt: skip
NO_PROXY = bytes([176, 1, 1])  # iPXE's encapsulated no-pxedhcp: it need not wait for a proxyDHCP server


@dataclass(frozen=True, slots=True)
class Body:
    """What the replies to all clients of one kind have in common."""

    siaddr: int
    sname: bytes
    file: bytes
    options: dict[int, bytes]


def body(request: Request, seconds: int, sheet: Sheet, boot: Boot | None, server: int) -> Body:
    """Return what offers and acknowledgements tell a client; no lease times when seconds is 0.

    sheet: the options that were set, the mask among them, which goes before the router (RFC 2132 §3.3).
    """
    told = {options.SERVER_ID: wire.addresses(server)}
    if seconds:
        told |= {
            options.LEASE_TIME: wire.octets(seconds, 4),
            options.RENEWAL_TIME: wire.octets(seconds // 2, 4),
            options.REBINDING_TIME: wire.octets(seconds * 7 // 8, 4),
        }
    booting = _boot_fields(request.client, boot) if boot else Body(0, b"", b"", {})
    values = _boot_values(request.client, boot) if boot else {}
    values |= {code: entry.value for code, entry in sheet.items()}
    always = [code for code, entry in sheet.items() if entry.always]
    told |= booting.options
    for code in (*always[:1], *(request.parameters or values), *always[1:]):
        if values.get(code):
            told[code] = values[code]
    if options.CLASSLESS_ROUTES in request.parameters and options.CLASSLESS_ROUTES in told:
        for code in (options.ROUTER, options.STATIC_ROUTES):  # RFC 3442: the client would ignore them
            told.pop(code, None)
    return Body(booting.siaddr, booting.sname, booting.file, told)


def offer_or_ack(request: Request, kind: int, yiaddr: int, body: Body) -> Message:
    """Return a DHCPOFFER or DHCPACK for an address; yiaddr 0 answers DHCPINFORM."""
    reply = _to(request, kind, body.options)
    reply.yiaddr = yiaddr
    if kind == options.ACK and yiaddr in {0, request.ciaddr}:  # a forged one would be sent the reply
        reply.ciaddr = request.ciaddr
    reply.siaddr, reply.sname, reply.file = body.siaddr, body.sname, body.file
    _echo(request, reply)
    return reply


def nak(request: Request, reason: str, server: int) -> Message:
    """Return a DHCPNAK with a reason for people."""
    reply = _to(request, options.NAK, {options.SERVER_ID: wire.addresses(server)})
    reply.options[options.MESSAGE] = reason.encode()
    _broadcast_by_relay(reply)  # which must not use the address that is refused (RFC 2131 §4.1)
    _echo(request, reply)
    return reply


def proxy(request: Request, kind: int, server: int, boot: Boot) -> Message:
    """Return a proxyDHCP offer, or the acknowledgement of port 4011: a boot file and no address."""
    reply = _to(request, kind, {options.SERVER_ID: wire.addresses(server)})
    reply.options[options.VENDOR_CLASS] = PXE_CLASS
    fields, values = _boot_fields(request.client, boot), _boot_values(request.client, boot)
    reply.siaddr, reply.sname, reply.file = fields.siaddr, fields.sname, fields.file
    reply.options |= fields.options
    reply.options |= {code: values[code] for code in request.parameters if values.get(code)}
    if not request.client.is_http:  # whose class has no option 43
        reply.options.setdefault(options.VENDOR, BOOT_THIS)
    _broadcast_by_relay(reply)
    _echo(request, reply)
    return reply


def datagram(request: Request, reply: Message) -> bytes:
    """Return the octets of a reply, no more than the client takes (option 57)."""
    data = wire.encode(reply)
    if len(data) <= LEAST_ROOM or len(data) <= request.room:
        return data
    reply.sname = b""  # says only what siaddr and option 66 say, and can hold options instead
    reply.options = dict(sorted(reply.options.items(), key=lambda option: option[0] not in NEVER_LEFT_OUT))
    return wire.encode(reply, maximum=request.room)


def destination(reply: Message) -> tuple[str, int]:
    """Return the address and port a reply goes to (RFC 2131 §4.1).

    A client without an address is answered by broadcast whether it set the flag or not, as the RFC
    allows: unicast would need a raw socket, and EDK2 hears nothing else.
    """
    kind = wire.number(reply.options[options.MESSAGE_TYPE])
    answers_inform = kind == options.ACK and not reply.yiaddr  # RFC 2131 §4.3.5: to ciaddr, relay or not
    if reply.giaddr and not answers_inform:
        return wire.dotted(reply.giaddr), SERVER_PORT
    if reply.ciaddr and kind != options.NAK:
        return wire.dotted(reply.ciaddr), CLIENT_PORT
    return EVERYONE, CLIENT_PORT


def _to(request: Request, kind: int, told: dict[int, bytes]) -> Message:
    """Return a reply of a kind with options behind option 53, and the header fields that are copied."""
    asked = request.message
    return Message(
        op=wire.BOOTREPLY,
        htype=asked.htype,
        hlen=asked.hlen,
        xid=asked.xid,
        flags=asked.flags & wire.BROADCAST,
        giaddr=asked.giaddr,
        chaddr=asked.chaddr,
        options={options.MESSAGE_TYPE: wire.octets(kind, 1)} | told,
    )


def _broadcast_by_relay(reply: Message) -> None:
    """Have the relay agent broadcast a reply without yiaddr: it has no address to send it to."""
    if reply.giaddr:
        reply.flags |= wire.BROADCAST


def _boot_fields(client: pxe.Client, boot: Boot) -> Body:
    """Return siaddr, sname and file, and the options that a booting client gets without asking.

    No option 60 but where it must be, and never without 43: EDK2 would ask port 4011 instead of booting.
    """
    name, unasked = _name(boot), {}
    if len(name) > 127:
        unasked[options.BOOT_FILE] = _boot_values(client, boot)[options.BOOT_FILE]
    if client.ipxe:
        unasked[options.IPXE] = NO_PROXY
    elif client.is_http:
        unasked[options.VENDOR_CLASS] = HTTP_CLASS  # EDK2 passes over offers that do not say so
    elif client.is_raspberry_pi:
        unasked |= {options.VENDOR_CLASS: PXE_CLASS, options.VENDOR: RASPBERRY_PI}
    if boot.menu:
        unasked |= {options.VENDOR_CLASS: PXE_CLASS, options.VENDOR: boot.menu}
    return Body(boot.server, _dotted(boot), name if len(name) < 128 else b"", unasked)


def _boot_values(client: pxe.Client, boot: Boot) -> dict[int, bytes]:
    """Return options 66, 67 and 150, which say what siaddr, sname and file say, whichever a client reads.

    iPXE needs siaddr and prefers file, EDK2 prefers option 67, GRUB takes its prefix from file. Old ROMs read
    option 67 as a C string and show what follows it; RFC 2132 §2 has all delete the NUL.
    """
    ends_with_nul = boot.file and client.is_pxe and not client.ipxe
    return {
        options.TFTP_SERVER_NAME: _dotted(boot),
        options.TFTP_SERVER_ADDRESS: wire.addresses(boot.server),
        options.BOOT_FILE: _name(boot) + b"\0" if ends_with_nul else _name(boot),
    }


def _name(boot: Boot) -> bytes:
    return boot.file.encode("utf-8", "surrogateescape")


def _dotted(boot: Boot) -> bytes:
    return wire.dotted(boot.server).encode()


def _echo(request: Request, reply: Message) -> None:
    """Copy what identifies the client: 61 (RFC 6842), 97 (PXE 2.1), 118 (RFC 3011), 82 (RFC 3046 §2.2)."""
    for code in (options.CLIENT_ID, options.GUID, options.SUBNET_SELECTION, options.RELAY_AGENT):
        if code in request.message.options:
            reply.options[code] = request.message.options[code]
    reply.agents = request.message.agents
