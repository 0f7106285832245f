"""The reply: what firmware finds in which field, and where the reply is sent."""

from __future__ import annotations

from typing import Any

import pytest

from ptftpd.dhcp import options, registry, reply, request, wire
from ptftpd.dhcp.boot import Boot
from ptftpd.dhcp.sheet import Sheet, Told, told, with_default_route
from ptftpd.dhcp.wire import Message

SERVER, GATEWAY, CLIENT, TFTP = 0x0A000001, 0x0A0000FE, 0x0A000009, 0x0A000002
MASK = Told(b"\xff\xff\xff\0", "", always=True)
SHEET = {
    1: MASK,
    3: Told(wire.addresses(GATEWAY), ""),
    6: Told(wire.addresses(SERVER, TFTP), ""),
    28: Told(wire.addresses(0x0A0000FF), ""),
}
BOOT = Boot(TFTP, "boot.efi", "[pxe] boot_file")
EFI = b"PXEClient:Arch:00007:UNDI:003000"
EDK2 = {60: EFI, 93: b"\0\7", 97: b"\0" + bytes(range(16)), 55: bytes([1, 3, 6, 28, 66, 67])}
IPXE = {60: EFI, 77: b"iPXE", 61: b"\1mac", 175: b"\1\1\1", 55: bytes([1, 3, 6, 66, 67, 150, 175])}


def offer(said: dict[int, bytes], boot: Boot | None = BOOT, sheet: Sheet = SHEET, **fields: Any) -> Message:
    """Return the offer to a client, as that decodes it."""
    return wire.decode(datagram(said, boot, sheet, **fields))


def datagram(said: dict[int, bytes], boot: Boot | None = BOOT, sheet: Sheet = SHEET, **fields: Any) -> bytes:
    """Return the octets of the offer to a client."""
    asked = request.parse(Message(options={53: b"\1"} | said, **fields), False)
    made = reply.offer_or_ack(asked, options.OFFER, CLIENT, reply.body(asked, 3600, sheet, boot, SERVER))
    return reply.datagram(asked, made)


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


def test_what_is_not_known_is_not_told() -> None:
    made = offer({}, None, {1: MASK})
    assert set(made.options) == {1, 51, 53, 54, 58, 59}


def test_options_that_are_always_sent() -> None:
    """They go to clients that did not ask, behind those asked for; the mask stays first."""
    sheet = SHEET | {42: Told(b"\1\2\3\4", "", always=True)}
    assert list(offer({55: bytes([28, 3])}, None, sheet).options) == [53, 54, 51, 58, 59, 1, 28, 3, 42]


def test_an_option_that_was_set_wins_over_the_boot_decision() -> None:
    """A telephone's own TFTP servers (option 150), say."""
    sheet = SHEET | {150: Told(b"\1\2\3\4", "")}
    assert offer(IPXE, sheet=sheet).options[150] == b"\1\2\3\4"


def test_order_of_the_parameter_request_list() -> None:
    """D1, D8 (RFC 2131 §4.3.1, RFC 2132 §9.8): 53 is first, the rest in the client's order."""
    made = offer({55: bytes([67, 6, 66, 3, 150, 28])}, sheet=SHEET)
    assert list(made.options) == [53, 54, 51, 58, 59, 1, 67, 6, 66, 3, 150, 28]


ROUTES = {121: Told(wire.route(0x0A010000, 16, GATEWAY), "")}


def test_classless_routes_instead_of_the_router() -> None:
    """D11, RFC 3442: with 121 the client ignores 3 and 33, so they are not sent; else they are."""
    sheet = SHEET | ROUTES | {33: Told(bytes(8), "")}
    assert {121, 3, 33} & set(offer({55: bytes([1, 121, 3, 33])}, None, sheet).options) == {121}
    assert {121, 3, 33} & set(offer({55: bytes([1, 3, 33])}, None, sheet).options) == {3, 33}


def test_the_default_route_is_among_the_classless_routes() -> None:
    """RFC 3442: a client that takes 121 has no other way to learn it."""
    sheet = with_default_route(SHEET | ROUTES)
    assert sheet[121].value == ROUTES[121].value + wire.route(0, 0, GATEWAY)
    assert with_default_route(sheet) == sheet
    assert with_default_route(ROUTES) == ROUTES


def test_pxelinux_options_come_with_their_magic() -> None:
    """P7, RFC 5071 §3: PXELINUX ignores 209, 210 and 211 without option 208; one that was set stays."""
    sheet = told("x", [registry.option("always pxelinux-pathprefix=http://x/"), registry.option("17=/")])
    assert sheet[208] == Told(bytes.fromhex("f100747e"), "x always pxelinux-pathprefix=http://x/", True)
    assert 208 in offer({55: b"\1"}, None, SHEET | sheet).options
    assert 208 not in told("x", [registry.option("17=/")])
    assert told("x", [registry.option("208=0x00"), registry.option("209=x")])[208].value == b"\0"


# What fits


@pytest.mark.parametrize(
    ("wanted", "room"), [(None, 548), (300, 548), (576, 548), (1260, 1232), (9000, 1472)]
)
def test_no_reply_is_longer_than_the_client_takes(wanted: int | None, room: int) -> None:
    """D8, RFC 2132 §9.10: option 57 counts the headers of IP and UDP, and is at least 576."""
    said = {55: bytes([1, *range(200, 240)])} | ({57: wire.octets(wanted, 2)} if wanted else {})
    sheet = SHEET | {code: Told(b"x" * 60, "") for code in range(200, 240)}
    data = datagram(said, None, sheet)
    assert room - 62 < len(data) <= room
    assert 200 + (room - 300) // 62 in wire.decode(data).options


@pytest.mark.parametrize(("mtu", "room"), [(9000, 1472), (1500, 1472), (1280, 1252), (400, 548)])
def test_no_reply_is_longer_than_a_frame(mtu: int, room: int) -> None:
    """In fragments it is of no use to many clients. 576 octets of a datagram every host takes (RFC 791)."""
    asked = request.parse(Message(options={53: b"\1", 57: wire.octets(9000, 2)}), False)
    asked.mtu = mtu
    assert asked.room == room
    sheet = SHEET | {code: Told(b"x" * 60, "") for code in range(200, 240)}
    asked.parameters = bytes([1, *range(200, 240)])
    made = reply.offer_or_ack(asked, options.OFFER, CLIENT, reply.body(asked, 3600, sheet, None, SERVER))
    assert room - 62 < len(reply.datagram(asked, made)) <= room


def test_options_go_into_file_and_sname_when_there_is_no_other_room() -> None:
    """D8, RFC 2132 §9.3: overloaded only when it must be; the client finds them all."""
    codes = range(200, 208)
    said = {55: bytes([1, *codes]), 82: b"\1\1x"}
    sheet = SHEET | {code: Told(bytes([code]) * 50, "") for code in codes}
    made = offer(said, None, sheet)
    assert [made.options.get(code) for code in codes] == [bytes([code]) * 50 for code in codes]
    assert wire.OVERLOAD not in made.options
    assert b"\x34\1" not in datagram({55: bytes([1, 200])}, None, sheet)[240:]
    assert bytes([wire.OVERLOAD, 1, 3]) in datagram(said, None, sheet)[240:]


def test_sname_makes_room_and_the_boot_file_stays() -> None:
    """iPXE finds siaddr and file where they always are; sname said no more than siaddr."""
    said = IPXE | {55: bytes([1, 200, 201, 202, 203, 66])}
    sheet = SHEET | {
        code: Told(b"x" * size, "") for code, size in ((200, 100), (201, 90), (202, 50), (203, 50))
    }
    made = offer(said, sheet=sheet)
    assert (made.file, made.siaddr, made.sname) == (b"boot.efi", TFTP, b"")
    assert {200, 201, 202} <= set(made.options)


def test_option_82_is_last_though_little_fits() -> None:
    """D7, RFC 3046 §2.2: byte for byte, and never left out."""
    agent = b"\1\4port\x09\3abc"
    sheet = SHEET | {code: Told(b"x" * 200, "") for code in range(200, 210)}
    data = datagram({82: agent, 55: bytes([1, *range(200, 210)])}, None, sheet)
    assert data.rstrip(b"\0").endswith(bytes([82, len(agent)]) + agent + bytes([wire.END]))


def test_what_must_come_back_is_never_left_out() -> None:
    """D6, RFC 6842 §3: what is optional gives way to the client's identifiers."""
    identifiers = {61: b"i" * 64, 97: b"\0" + bytes(range(16)), 118: wire.addresses(CLIENT)}
    sheet = SHEET | {code: Told(b"x" * 100, "") for code in range(200, 210)}
    said = {82: b"\1\x60" + b"c" * 96, 55: bytes([1, 3, *range(200, 210)])} | identifiers
    made = offer(IPXE | said, sheet=sheet)
    assert {code: made.options.get(code) for code in identifiers} == identifiers
    assert next(iter(made.options)) == options.MESSAGE_TYPE
    assert {51, 54, 1} <= set(made.options)
    assert len(datagram(IPXE | said, sheet=sheet)) <= 548


@pytest.mark.parametrize("size", [255, 256, 510, 511, 600])
def test_a_long_option_is_split(size: int) -> None:
    """D8, RFC 3396: 255 octets at a time, and one value for who joins them."""
    value = bytes(number % 251 for number in range(size))
    made = offer({55: bytes([200]), 57: wire.octets(1500, 2)}, None, SHEET | {200: Told(value, "")})
    assert made.options[200] == value


@pytest.mark.parametrize(
    ("size", "pieces"), [(255, [255]), (256, [255, 1]), (510, [255] * 2), (511, [255, 255, 1])]
)
def test_where_a_long_option_is_split(size: int, pieces: list[int]) -> None:
    """RFC 3396 §5: the length is one octet; all pieces but the last are full."""
    data = datagram(
        {55: bytes([200]), 57: wire.octets(1500, 2)}, None, {1: MASK, 200: Told(b"\xc9" * size, "")}
    )
    at, found = data.index(b"\xc8"), []
    while data[at] == 200:
        found.append(data[at + 1])
        at += 2 + data[at + 1]
    assert found == pieces


def test_without_a_boot_file_there_are_no_boot_fields() -> None:
    made = offer(IPXE, None)
    assert (made.siaddr, made.sname, made.file) == (0, b"", b"")
    assert not {66, 67, 150, 175} & set(made.options)


@pytest.mark.parametrize(("length", "in_file"), [(127, True), (128, False), (300, False)])
def test_a_long_boot_file_is_in_option_67_alone(length: int, in_file: bool) -> None:
    """The file field holds 127 octets and its NUL."""
    name = "x" * length
    made = offer({55: b"\1", 57: wire.octets(1500, 2)}, Boot(TFTP, name, ""))
    assert made.file == (name.encode() if in_file else b"")
    assert made.options.get(options.BOOT_FILE) == (None if in_file else name.encode())


def test_only_the_broadcast_flag_is_copied() -> None:
    """RFC 2131 §2: the others must be zero."""
    assert offer({}, flags=0xFFFF).flags == wire.BROADCAST


def nak(**fields: Any) -> Message:
    """Return a refusal."""
    return reply.nak(request.parse(Message(options={53: b"\3", 97: b"\0id"}, **fields), False), "no", SERVER)


def test_nak() -> None:
    """RFC 2131 table 3."""
    made = nak(ciaddr=CLIENT)
    assert made.options == {53: b"\6", 54: wire.addresses(SERVER), 56: b"no", 97: b"\0id"}
    assert (made.ciaddr, made.yiaddr, made.siaddr, made.flags) == (0, 0, 0, 0)


def test_other_hardware_than_ethernet() -> None:
    """B6, RFC 2131 table 3: type, length and all 16 octets of the hardware address come back as they were."""
    fields = {"htype": 32, "hlen": 16, "chaddr": bytes(range(16))}
    for made in (offer({}, **fields), nak(**fields)):
        assert (made.htype, made.hlen, made.chaddr) == (32, 16, bytes(range(16)))


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
