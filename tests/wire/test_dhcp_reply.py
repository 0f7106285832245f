"""The reply: what firmware finds in which field, and where the reply is sent."""

from __future__ import annotations

import pytest

from ptftpd.dhcp import options, pxe, reply, request, wire
from ptftpd.dhcp.reply import Parameters
from ptftpd.dhcp.wire import Message

SERVER, GATEWAY, CLIENT, TFTP = 0x0A000001, 0x0A0000FE, 0x0A000009, 0x0A000002
PARAMETERS = Parameters(SERVER, 0xFFFFFF00, 0x0A0000FF, routers=(GATEWAY,), name_servers=(SERVER, TFTP))
BOOT = pxe.Boot(TFTP, "boot.efi", "[pxe] boot_file")
EFI = b"PXEClient:Arch:00007:UNDI:003000"
EDK2 = {60: EFI, 93: b"\0\7", 97: b"\0" + bytes(range(16)), 55: bytes([1, 3, 6, 28, 66, 67])}
IPXE = {60: EFI, 77: b"iPXE", 61: b"\1mac", 175: b"\1\1\1", 55: bytes([1, 3, 6, 66, 67, 150, 175])}


def offer(said: dict[int, bytes], boot: pxe.Boot | None = BOOT, **fields: int) -> Message:
    """Return the offer to a client, as that decodes it."""
    asked = request.parse(Message(options={53: b"\1"} | said, **fields), False)
    made = reply.offer_or_ack(asked, options.OFFER, CLIENT, 3600, PARAMETERS, boot)
    return wire.decode(wire.encode(made))


def test_edk2() -> None:
    """Option 67 counts; option 60 would make it ask port 4011; without option 1 it declines."""
    made = offer(EDK2, flags=wire.BROADCAST)
    assert made.options[options.BOOT_FILE] == b"boot.efi\0"
    assert made.options[options.TFTP_SERVER_NAME] == b"10.0.0.2"
    assert made.options[options.SUBNET_MASK] == b"\xff\xff\xff\0"
    assert made.options[options.GUID] == EDK2[97]
    assert not {options.VENDOR_CLASS, 43, options.TFTP_SERVER_ADDRESS, options.CLIENT_ID} & set(made.options)
    assert made.flags == wire.BROADCAST


def test_ipxe() -> None:
    """siaddr and file count; it need not wait 3 s for a proxyDHCP server; option 61 is echoed (RFC 6842)."""
    made = offer(IPXE)
    assert (made.siaddr, made.sname, made.file) == (TFTP, b"10.0.0.2", b"boot.efi")
    assert made.options[options.BOOT_FILE] == b"boot.efi"
    assert made.options[options.TFTP_SERVER_ADDRESS] == wire.addresses(TFTP)
    assert made.options[options.IPXE] == b"\xb0\x01\x01"
    assert made.options[options.CLIENT_ID] == b"\1mac"


def test_a_client_that_lists_nothing_gets_everything() -> None:
    made = offer({})
    assert {1, 3, 6, 28, 51, 53, 54, 58, 59, 66, 67, 150} == set(made.options)


def test_options_that_were_not_asked_for_are_left_out() -> None:
    made = offer({55: bytes([12, 6])})
    assert list(made.options) == [53, 54, 51, 58, 59, 1, 6]
    assert made.options[options.NAME_SERVER] == wire.addresses(SERVER, TFTP)


def test_mask_before_router_whatever_the_order_asked_for() -> None:
    """RFC 2132 §3.3."""
    order = list(offer({55: bytes([28, 3, 1])}).options)
    assert order.index(options.SUBNET_MASK) < order.index(options.BROADCAST_ADDRESS) < order.index(3)


def test_no_empty_options() -> None:
    asked = request.parse(Message(options={53: b"\1"}), False)
    made = reply.offer_or_ack(asked, options.OFFER, CLIENT, 60, Parameters(SERVER, 0, 0xFFFFFFFF), None)
    assert all(made.options.values())
    assert not {options.ROUTER, options.NAME_SERVER} & set(made.options)


def test_without_a_boot_file_there_are_no_boot_fields() -> None:
    made = offer(IPXE, None)
    assert (made.siaddr, made.sname, made.file) == (0, b"", b"")
    assert not {66, 67, 150, 175} & set(made.options)


@pytest.mark.parametrize(("length", "in_file"), [(127, True), (128, False), (300, False)])
def test_a_long_boot_file_is_in_option_67_alone(length: int, in_file: bool) -> None:
    """The file field holds 127 octets and its NUL."""
    name = "x" * length
    made = offer({55: b"\1"}, pxe.Boot(TFTP, name, ""))
    assert made.file == (name.encode() if in_file else b"")
    assert made.options.get(options.BOOT_FILE) == (None if in_file else name.encode())


def test_only_the_broadcast_flag_is_copied() -> None:
    """RFC 2131 §2: the others must be zero."""
    assert offer({}, flags=0xFFFF).flags == wire.BROADCAST


def nak(**fields: int) -> Message:
    """Return a refusal."""
    return reply.nak(request.parse(Message(options={53: b"\3", 97: b"\0id"}, **fields), False), "no", SERVER)


def test_nak() -> None:
    """RFC 2131 table 3."""
    made = nak(ciaddr=CLIENT)
    assert made.options == {53: b"\6", 54: wire.addresses(SERVER), 56: b"no", 97: b"\0id"}
    assert (made.ciaddr, made.yiaddr, made.siaddr, made.flags) == (0, 0, 0, 0)


def to(kind: int, **fields: int) -> tuple[str, int]:
    """Return where a reply is sent."""
    return reply.destination(Message(options={53: bytes([kind])}, **fields))


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        (to(options.OFFER, yiaddr=CLIENT), ("255.255.255.255", 68)),
        (to(options.OFFER, yiaddr=CLIENT, giaddr=GATEWAY), ("10.0.0.254", 67)),
        (to(options.ACK, yiaddr=CLIENT), ("255.255.255.255", 68)),
        (to(options.ACK, yiaddr=CLIENT, ciaddr=CLIENT), ("10.0.0.9", 68)),
        (to(options.ACK, yiaddr=CLIENT, ciaddr=CLIENT, giaddr=GATEWAY), ("10.0.0.254", 67)),
        (to(options.ACK, ciaddr=CLIENT), ("10.0.0.9", 68)),
        (to(options.ACK, ciaddr=CLIENT, giaddr=GATEWAY), ("10.0.0.9", 68)),  # RFC 2131 §4.3.5
        (to(options.NAK), ("255.255.255.255", 68)),
        (to(options.NAK, ciaddr=CLIENT), ("255.255.255.255", 68)),
        (to(options.NAK, giaddr=GATEWAY), ("10.0.0.254", 67)),
    ],
)
def test_destination(destination: tuple[str, int], expected: tuple[str, int]) -> None:
    """RFC 2131 §4.1."""
    assert destination == expected
