"""What a client asks: the state of a DHCPREQUEST, and who the client is."""

from __future__ import annotations

import pytest

from ptftpd.dhcp import options, request, wire
from ptftpd.dhcp.request import INIT_REBOOT, REBINDING, RENEWING, SELECTING
from ptftpd.dhcp.wire import Message
from ptftpd.errors import WireError

NINE, SERVER = wire.addresses(0x0A000009), wire.addresses(0x0A000001)
ETHERNET = bytes.fromhex("525400123456")


def asks(**fields: object) -> Message:
    """Return a DHCPREQUEST with these header fields; options by oNUMBER."""
    said = {int(name[1:]): value for name, value in fields.items() if name[1:].isdigit()}
    header = {name: value for name, value in fields.items() if not name[1:].isdigit()}
    return Message(**header, options={options.MESSAGE_TYPE: bytes([options.REQUEST])} | said)  # type: ignore[arg-type, operator]


@pytest.mark.parametrize(
    ("message", "direct", "state"),
    [
        (asks(o54=SERVER, o50=NINE), False, SELECTING),
        (asks(o54=SERVER, ciaddr=9), False, SELECTING),
        (asks(o50=NINE), False, INIT_REBOOT),
        (asks(), False, INIT_REBOOT),
        (asks(ciaddr=9), True, RENEWING),
        (asks(ciaddr=9), False, REBINDING),
        (asks(ciaddr=9, giaddr=1), True, REBINDING),
    ],
)
def test_states(message: Message, direct: bool, state: str) -> None:
    """RFC 2131 §4.3.2, table 4; a relay sends what it forwards to the server's address."""
    assert request.parse(message, direct).state == state


def test_only_requests_have_a_state() -> None:
    message = asks()
    message.options[options.MESSAGE_TYPE] = bytes([options.DISCOVER])
    assert request.parse(message, False).state == ""


def test_bootp_has_no_kind() -> None:
    assert request.parse(Message(cookie=False), False).kind == 0


EVERYTHING = {"o50": NINE, "o54": SERVER, "o51": wire.octets(77, 4), "ciaddr": 7}


@pytest.mark.parametrize(
    ("kind", "said", "address", "ciaddr", "server"),
    [
        (options.DISCOVER, EVERYTHING, 0x0A000009, 0, 0),
        (options.DISCOVER, {"ciaddr": 7}, 0, 0, 0),
        (options.REQUEST, EVERYTHING, 0x0A000009, 0, 0x0A000001),  # SELECTING
        (options.REQUEST, {"o54": SERVER, "ciaddr": 7}, 7, 0, 0x0A000001),  # SELECTING by RFC 1541
        (options.REQUEST, {"o50": NINE}, 0x0A000009, 0, 0),  # INIT-REBOOT
        (options.REQUEST, {"o50": NINE, "ciaddr": 7}, 7, 7, 0),  # RENEWING or REBINDING
        (options.DECLINE, EVERYTHING, 0x0A000009, 0, 0x0A000001),
        (options.DECLINE, {"o54": SERVER, "ciaddr": 7}, 0, 0, 0x0A000001),
        (options.RELEASE, EVERYTHING, 7, 7, 0x0A000001),
        (options.RELEASE, {"o50": NINE}, 0, 0, 0),
        (options.INFORM, EVERYTHING, 7, 7, 0),
        (options.INFORM, {"o50": NINE}, 5, 5, 0),  # where it came from
    ],
)
def test_a_field_counts_only_in_the_state_that_has_it(
    kind: int, said: dict[str, object], address: int, ciaddr: int, server: int
) -> None:
    """RFC 2131 table 5: the address it is about, the one an answer may go to, the server it names."""
    message = asks(**said)
    message.options[options.MESSAGE_TYPE] = bytes([kind])
    asked = request.parse(message, False, source=5)
    assert (asked.address, asked.ciaddr, asked.server_id) == (address, ciaddr, server)


def test_a_malformed_option_is_named_with_its_place() -> None:
    message = wire.decode(wire.encode(asks(o54=b"\1\2\3")))
    with pytest.raises(WireError, match=r"option 54 must have 4 octets, not 3 \(at octet 243\)"):
        request.parse(message, False)


def test_parameters_in_their_order() -> None:
    asked = request.parse(asks(o55=bytes([3, 1, 6])), False)
    assert asked.parameters == bytes([3, 1, 6])


@pytest.mark.parametrize(
    ("message", "key", "text"),
    [
        (Message(chaddr=ETHERNET.ljust(16, b"\0")), b"\1" + ETHERNET, "52:54:00:12:34:56"),
        (asks(chaddr=ETHERNET.ljust(16, b"\0"), o61=b"\xffduid"), b"\1" + ETHERNET, "52:54:00:12:34:56"),
        (Message(htype=6, chaddr=ETHERNET.ljust(16, b"\0")), b"\6" + ETHERNET, "6/52:54:00:12:34:56"),
        (asks(htype=32, hlen=0, o61=b"\xff\1"), b"\0\xff\1", "client-id ff:01"),
        (Message(), b"", "unknown"),
    ],
)
def test_identity(message: Message, key: bytes, text: str) -> None:
    """One machine's programs give different client identifiers but have one hardware address."""
    assert request.identity(message) == key
    assert request.hardware_text(message) == text


def test_the_identity_of_a_reservation() -> None:
    assert request.ethernet_key(ETHERNET) == request.identity(Message(chaddr=ETHERNET.ljust(16, b"\0")))


def test_text_without_nuls() -> None:
    assert options.text(b"PXEClient\0\0") == "PXEClient"
    assert options.text(b"a\xff") == "a\udcff"
