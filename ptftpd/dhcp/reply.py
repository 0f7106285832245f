"""The reply to a request: its options, its boot fields, and where it is sent (RFC 2131 §4.1, §4.3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from ptftpd.dhcp import options, pxe, wire
from ptftpd.dhcp.request import Request
from ptftpd.dhcp.wire import Message

SERVER_PORT, CLIENT_PORT = 67, 68
EVERYONE = "255.255.255.255"
PXE_CLASS, HTTP_CLASS = b"PXEClient", b"HTTPClient"  # option 60 of a reply: without version, without NUL
BOOT_THIS = bytes([6, 1, 8, 255])  # option 43: PXE discovery control, bit 3: boot the file of this reply
# Option 43 that the boot ROM of a Raspberry Pi looks for: discovery control, a menu prompt, and its text.
RASPBERRY_PI = bytes([6, 1, 3, 10, 4, 0]) + b"PXE" + bytes([9, 20, 0, 0, 17]) + b"Raspberry Pi Boot\xff"
NO_PROXY = bytes([176, 1, 1])  # iPXE's encapsulated no-pxedhcp: it need not wait for a proxyDHCP server


@dataclass(frozen=True, slots=True)
class Parameters:
    """What every client of a network is told. Addresses are ints; routers and name servers may be none."""

    server: int
    mask: int
    broadcast: int
    routers: tuple[int, ...] = ()
    name_servers: tuple[int, ...] = ()


def offer_or_ack(
    request: Request, kind: int, yiaddr: int, seconds: int, parameters: Parameters, boot: pxe.Boot | None
) -> Message:
    """Return a DHCPOFFER or DHCPACK for an address; yiaddr 0 answers DHCPINFORM, without lease times."""
    reply = _to(request, kind, parameters.server)
    reply.yiaddr = yiaddr
    reply.ciaddr = request.message.ciaddr if kind == options.ACK else 0
    if yiaddr:
        reply.options |= {
            options.LEASE_TIME: wire.octets(seconds, 4),
            options.RENEWAL_TIME: wire.octets(seconds // 2, 4),
            options.REBINDING_TIME: wire.octets(seconds * 7 // 8, 4),
        }
    # The mask is sent unasked, without it EDK2 declines; and before the router (RFC 2132 §3.3).
    reply.options[options.SUBNET_MASK] = wire.addresses(parameters.mask)
    values = {
        options.ROUTER: wire.addresses(*parameters.routers),
        options.NAME_SERVER: wire.addresses(*parameters.name_servers),
        options.BROADCAST_ADDRESS: wire.addresses(parameters.broadcast),
    }
    if boot is not None:
        values |= _boot_fields(request, reply, boot)
    for code in request.parameters or values:
        if values.get(code):
            reply.options[code] = values[code]
    _echo(request, reply)
    return reply


def nak(request: Request, reason: str, server: int) -> Message:
    """Return a DHCPNAK with a reason for people."""
    reply = _to(request, options.NAK, server)
    reply.options[options.MESSAGE] = reason.encode()
    if reply.giaddr:
        reply.flags |= wire.BROADCAST  # the relay must not use the address that is refused (RFC 2131 §4.1)
    _echo(request, reply)
    return reply


def proxy(request: Request, kind: int, server: int, boot: pxe.Boot) -> Message:
    """Return a proxyDHCP offer, or the acknowledgement of port 4011: a boot file and no address."""
    reply = _to(request, kind, server)
    reply.options[options.VENDOR_CLASS] = PXE_CLASS
    fields = _boot_fields(request, reply, boot)
    reply.options |= {code: fields[code] for code in request.parameters if code in fields}
    reply.options[options.VENDOR] = BOOT_THIS
    _echo(request, reply)
    return reply


def destination(reply: Message) -> tuple[str, int]:
    """Return the address and port a reply goes to (RFC 2131 §4.1).

    A client without an address is answered by broadcast whether it set the flag or not, as the RFC
    allows: unicast would need a raw socket, and EDK2 hears nothing else.
    """
    kind = options.number(reply, options.MESSAGE_TYPE, 1)
    answers_inform = kind == options.ACK and not reply.yiaddr  # RFC 2131 §4.3.5: to ciaddr, relay or not
    if reply.giaddr and not answers_inform:
        return wire.dotted(reply.giaddr), SERVER_PORT
    if reply.ciaddr and kind != options.NAK:
        return wire.dotted(reply.ciaddr), CLIENT_PORT
    return EVERYONE, CLIENT_PORT


def _to(request: Request, kind: int, server: int) -> Message:
    """Return an empty reply of a kind: the fields that are copied, and options 53 and 54."""
    asked = request.message
    return Message(
        op=wire.BOOTREPLY,
        htype=asked.htype,
        hlen=asked.hlen,
        xid=asked.xid,
        flags=asked.flags & wire.BROADCAST,
        giaddr=asked.giaddr,
        chaddr=asked.chaddr,
        options={
            options.MESSAGE_TYPE: wire.octets(kind, 1),
            options.SERVER_ID: wire.addresses(server),
        },
    )


def _boot_fields(request: Request, reply: Message, boot: pxe.Boot) -> dict[int, bytes]:
    """Fill siaddr, sname and file, and return options 66, 67 and 150, to be sent where they are asked for.

    All say the same, whichever a client reads: iPXE needs siaddr and prefers file, EDK2 prefers option 67,
    GRUB takes its prefix from file. No option 60: EDK2 would ask port 4011 instead of booting.
    """
    server, name = wire.dotted(boot.server).encode(), boot.file.encode("utf-8", "surrogateescape")
    reply.siaddr = boot.server
    reply.sname = server
    values = {options.TFTP_SERVER_NAME: server, options.TFTP_SERVER_ADDRESS: wire.addresses(boot.server)}
    client = request.client
    # Old ROMs read option 67 as a C string and show what follows it; RFC 2132 §2 has all delete the NUL.
    values[options.BOOT_FILE] = name + b"\0" if client.is_pxe and not client.ipxe else name
    if len(name) < 128:
        reply.file = name
    else:
        reply.options[options.BOOT_FILE] = values[options.BOOT_FILE]
    if client.ipxe:
        reply.options[options.IPXE] = NO_PROXY
    elif client.is_http:
        reply.options[options.VENDOR_CLASS] = HTTP_CLASS  # EDK2 passes over offers that do not say so
    elif client.is_raspberry_pi:
        reply.options |= {options.VENDOR_CLASS: PXE_CLASS, options.VENDOR: RASPBERRY_PI}
    return values


def _echo(request: Request, reply: Message) -> None:
    """Copy the options that identify the client: 61 (RFC 6842), 97 (PXE 2.1), 82 (RFC 3046 §2.2)."""
    for code in (options.CLIENT_ID, options.GUID, options.RELAY_AGENT):
        if code in request.message.options:
            reply.options[code] = request.message.options[code]
