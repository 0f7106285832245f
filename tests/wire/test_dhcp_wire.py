"""BOOTP and DHCP messages: the vectors, and what holds for all octets and all messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptftpd.dhcp import wire
from ptftpd.dhcp.wire import Message
from ptftpd.errors import WireError

VECTORS = sorted((Path(__file__).parent.parent / "vectors" / "dhcp").glob("*.json"))

ADDRESSES = st.integers(0, 0xFFFFFFFF)
NAMES = st.binary(max_size=63).map(lambda name: name.partition(b"\0")[0])
CODES = st.integers(1, 254).filter(lambda code: code != wire.OVERLOAD)
MESSAGES = st.builds(
    Message,
    op=st.integers(0, 255),
    htype=st.integers(0, 255),
    hlen=st.integers(0, 16),
    hops=st.integers(0, 255),
    xid=ADDRESSES,
    secs=st.integers(0, 65535),
    flags=st.integers(0, 65535),
    ciaddr=ADDRESSES,
    yiaddr=ADDRESSES,
    siaddr=ADDRESSES,
    giaddr=ADDRESSES,
    chaddr=st.binary(min_size=16, max_size=16),
    sname=NAMES,
    file=NAMES,
    options=st.dictionaries(CODES, st.binary(max_size=600), max_size=8),
)


def load(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the octets of a vector, written as [what, hex] or [what, hex, padded size], and all of it."""
    vector = json.loads(path.read_text())
    parts = [bytes.fromhex(octets).ljust(*(size or [0]), b"\0") for _, octets, *size in vector["octets"]]
    return b"".join(parts), vector


def expected(fields: dict[str, Any]) -> Message:
    """Return the message that a vector describes; octets are in hex there, what is not named is empty."""
    octets = {name: bytes.fromhex(fields.pop(name)) for name in ("chaddr", "sname", "file") if name in fields}
    options = {int(code): bytes.fromhex(value) for code, value in fields.pop("options", {}).items()}
    return Message(**octets, options=options, **fields)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector(path: Path) -> None:
    data, vector = load(path)
    if "error" in vector:
        with pytest.raises(WireError) as caught:
            wire.decode(data)
        assert [caught.value.reason, caught.value.offset] == vector["error"]
    else:
        assert wire.decode(data) == expected(vector["message"])


def test_there_are_vectors() -> None:
    assert len(VECTORS) > 15


def decoded(data: bytes) -> Message | WireError:
    """Return the message in the octets, or what is wrong with them; anything else that is raised is a bug."""
    try:
        return wire.decode(data)
    except WireError as error:
        return error


@given(st.binary(max_size=700))
@example(bytes(236) + wire.COOKIE + bytes([wire.OVERLOAD, 1, 3]))
def test_any_octets_give_a_message_or_a_wire_error(data: bytes) -> None:
    found = decoded(data)
    assert isinstance(found, Message) or 0 <= found.offset <= len(data)


@given(st.binary(max_size=400), st.binary(min_size=192, max_size=192), st.integers(0, 4))
def test_any_options_give_a_message_or_a_wire_error(vend: bytes, fields: bytes, overload: int) -> None:
    """The same behind a sound header, where random octets hardly ever get; file and sname overloaded too."""
    head = bytes([1, 1, 6, 0]) + bytes(40) + fields
    data = head + wire.COOKIE + bytes([wire.OVERLOAD, 1, overload]) + vend
    found = decoded(data)
    if isinstance(found, Message):
        assert wire.OVERLOAD not in found.options
        assert set(found.offsets) >= set(found.options)
    else:
        assert 44 <= found.offset < len(data)


@given(MESSAGES)
def test_what_is_encoded_is_decoded_again(message: Message) -> None:
    data = wire.encode(message)
    assert len(data) >= 300
    assert wire.decode(data) == message


@given(MESSAGES)
def test_a_message_without_options_is_decoded_again(message: Message) -> None:
    message.cookie, message.options = False, {}
    assert wire.decode(wire.encode(message)) == message


@given(MESSAGES)
def test_option_82_is_last_and_end_follows(message: Message) -> None:
    """RFC 3046 §2.2: the relay agent information option is the last but END."""
    message.options[wire.RELAY_AGENT] = b"\x01\x01x"
    data = wire.encode(message, minimum=0)
    assert data.endswith(bytes([wire.RELAY_AGENT, 3, 1, 1]) + b"x" + bytes([wire.END]))


def test_end_is_always_there() -> None:
    """RFC 2131 §3: the last option is always END."""
    assert wire.encode(Message(), minimum=0)[-1] == wire.END


@pytest.mark.parametrize("fields", [{"sname": bytes(64)}, {"file": bytes(128)}])
def test_too_long_a_name_is_refused(fields: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="sname holds 63 octets"):
        wire.encode(Message(**fields))


@given(ADDRESSES, ADDRESSES)
def test_addresses(one: int, other: int) -> None:
    octets = wire.addresses(one, other)
    assert (wire.number(octets[:4]), wire.number(octets[4:])) == (one, other)
    assert wire.dotted(one) == ".".join(map(str, octets[:4]))


def test_numbers16_leaves_an_odd_octet_out() -> None:
    assert wire.numbers16(b"\x00\x07\x00\x10\x05") == (7, 16)
    assert wire.numbers16(b"\x07") == ()


def test_two_relay_agent_options() -> None:
    """A switch and a relay agent may both have added one (82): each comes back as it came, last, in order.

    Joined, as other options are (RFC 3396), neither would find its own; what is looked for is in either.
    """
    switch, relay = b"\x01\x04port", b"\x02\x02id"
    octets = b"".join(bytes([wire.RELAY_AGENT, len(agent)]) + agent for agent in (switch, relay))
    sent = wire.decode(
        bytes([1, 1, 6]).ljust(236, b"\0") + wire.COOKIE + bytes([53, 1, 1]) + octets + b"\xff"
    )
    assert sent.options[wire.RELAY_AGENT] == switch + relay
    assert wire.encode(sent, minimum=0).endswith(bytes([53, 1, 1]) + octets + b"\xff")
