"""The settings: each can be written as it is shown, and refuses with a reason what it does not take."""

from __future__ import annotations

import dataclasses
import re
import warnings
from ipaddress import IPv4Address
from typing import Any

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptftpd import settings, syntax
from ptftpd.option import options
from ptftpd.values import parse, split, written
from tests.base.setting_texts import ALL, TEXTS, identity, takes

Field = dataclasses.Field[Any]
every_setting = pytest.mark.parametrize(("section", "key", "item"), ALL, ids=identity)


def read(item: Field, shown: str) -> object:
    """Return the value that a setting has when a file says what is shown."""
    if not shown:
        return item.default
    values = tuple(item.metadata["parse"](part) for part in split(item, shown))
    return values if item.metadata["many"] else values[0]


@every_setting
def test_the_default_is_read_as_it_is_shown(section: str, key: str, item: Field) -> None:
    assert read(item, written(item, item.default)) == item.default


@every_setting
def test_each_value_is_read_as_it_is_shown(section: str, key: str, item: Field) -> None:
    taken = [text for text in TEXTS if takes(item, text)]
    assert taken, "no text of setting_texts.TEXTS is right for this setting: add one"
    for text in taken:
        value = read(item, text)
        assert read(item, written(item, value)) == value, text


@every_setting
def test_several_values_are_read_as_they_are_shown(section: str, key: str, item: Field) -> None:
    parse = item.metadata["parse"]
    several = tuple(parse(text) for text in TEXTS if takes(item, text) and "," not in text)
    if item.metadata["many"]:
        assert read(item, written(item, several)) == several
    else:
        assert written(item, several[0])


@pytest.mark.parametrize(("parse", "value", "shown"), [
    (syntax.seconds(0, 1e9), 0.0, "0"), (syntax.seconds(0, 1e9), 0.25, "0.25s"),
    (syntax.seconds(0, 1e9), 1.0, "1s"), (syntax.seconds(0, 1e9), 90.5, "90.5s"),
    (syntax.seconds(0, 1e9), 900.0, "15m"), (syntax.seconds(0, 1e9), 5400.0, "90m"),
    (syntax.seconds(0, 1e9), 3600.0, "1h"), (syntax.seconds(0, 1e9), 604_800.0, "7d"),
    (syntax.seconds(0, 1e10), 4_294_967_294.0, "4294967294s"),
    (syntax.octets(0, 1 << 50), 0, "0"), (syntax.octets(0, 1 << 50), 1000, "1000"),
    (syntax.octets(0, 1 << 50), 1536, "1536"), (syntax.octets(0, 1 << 50), 64 << 10, "64K"),
    (syntax.octets(0, 1 << 50), 1536 << 20, "1536M"), (syntax.octets(0, 1 << 50), 1 << 40, "1024G"),
    (syntax.umask, 0o022, "022"), (syntax.umask, 0, "000"),
])  # fmt: skip
def test_units_are_those_that_a_person_would_write(parse: Any, value: float, shown: str) -> None:
    """The largest of which the value is a whole number."""
    assert parse.write(value) == shown
    assert parse(shown) == value


@every_setting
def test_the_help_is_a_sentence(section: str, key: str, item: Field) -> None:
    help = item.metadata["help"]
    assert len(help.split()) >= 2
    assert help == help.strip()
    assert not help.endswith(".")
    assert item.metadata["metavar"]


@every_setting
@hypothesis.settings(max_examples=25)
@given(text=st.text(max_size=40))
@example(text="9" * 5000)
@example(text="(" * 5000)
@example(text="a{" + "9" * 30 + "}")
def test_any_text_is_a_value_or_a_reason(section: str, key: str, item: Field, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Python thinks of a regular expression
        try:
            value = item.metadata["parse"](text)
        except ValueError as error:
            reason = str(error)
        else:
            assert value == item.metadata["parse"](text)
            return
    assert reason.startswith("must ")
    assert len(reason) < 800


def reason(parse: Any, text: str) -> str:
    """Return why a text is refused."""
    with pytest.raises(ValueError, match=r"^must ") as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(("section", "key", "low", "high"), [
    ("tftp", "port", 1, 65535),
    ("tftp", "blksize", 8, 65464),
    ("tftp", "windowsize", 1, 65535),
    ("tftp", "retries", 1, 50),
    ("tftp", "opening_retries", 0, 50),
    ("tftp", "max_transfers", 1, 1_000_000),
    ("tftp", "workers", 1, 256),
    ("tftp", "upload_limit", 1, 1 << 50),
    ("tftp", "upload_reserve", 0, 1 << 50),
    ("tftp", "timeout", 0.05, 255),
    ("dhcp", "lease_time", 60, 4_294_967_294),
    ("dhcp", "quarantine", 0, 604_800),
])  # fmt: skip
def test_bounds(section: str, key: str, low: float, high: float) -> None:
    parse = options(settings.SECTIONS[section])[key].metadata["parse"]
    assert parse(f"{low:.10g}" if low < 1 else str(low)) == low
    assert parse(str(high)) == high
    for beyond in (low - 1, low - 0.01, high + 1, high * 1000):
        text = str(round(beyond, 2)) if isinstance(beyond, float) else str(beyond)
        told = reason(parse, text)
        assert f"{low:.10g}..{high}" in told


@pytest.mark.parametrize(
    "text", ["", "yes", "1e3", "+1", "-1", "1_0", "0x10", "1.0", " 1", "1 ", "²", "٣", "1\n"]
)
def test_integer_refuses(text: str) -> None:
    assert reason(syntax.integer(0, 99), text) == "must be 0..99"


@pytest.mark.parametrize(("text", "value"), [
    ("0.5", 0.5), ("1", 1.0), ("1s", 1.0), ("2 m", 120.0), ("1h", 3600.0), ("1.5h", 5400.0), ("1d", 86400.0),
    ("0.000001", 1e-06), ("0.1m", 6.0),
])  # fmt: skip
def test_seconds(text: str, value: float) -> None:
    assert syntax.seconds(0, 1_000_000)(text) == value


@pytest.mark.parametrize(
    "text", ["", "s", "1w", "1 second", "1e3", "inf", "nan", "-1", ".5", "1.", "0.1234567"]
)
def test_seconds_refuses(text: str) -> None:
    assert reason(syntax.seconds(0.5, 90), text) == "must be 0.5..90 seconds (or a number with s, m, h or d)"


@pytest.mark.parametrize(("text", "value"), [
    ("0", 0), ("1", 1), ("1K", 1 << 10), ("2 M", 2 << 20), ("3G", 3 << 30),
])  # fmt: skip
def test_octets(text: str, value: int) -> None:
    assert syntax.octets(0, 1 << 40)(text) == value


@pytest.mark.parametrize("text", ["", "K", "1T", "1KB", "1.5M", "-1", "1k"])
def test_octets_refuses(text: str) -> None:
    assert reason(syntax.octets(0, 9), text) == "must be a size of 0..9 octets (or a number with K, M or G)"


@pytest.mark.parametrize(("text", "value"), [
    ("yes", True), ("True", True), ("ON", True), ("1", True),
    ("no", False), ("False", False), ("OFF", False), ("0", False),
])  # fmt: skip
def test_flag(text: str, value: bool) -> None:
    assert syntax.flag(text) is value


@pytest.mark.parametrize("text", ["", "y", "2", "maybe", "yes no"])
def test_flag_refuses(text: str) -> None:
    assert reason(syntax.flag, text) == "must be yes or no"


@pytest.mark.parametrize(("text", "value"), [
    ("1-1", (1, 1)), ("1-65535", (1, 65535)), ("50000:50999", (50000, 50999)),
])  # fmt: skip
def test_port_range(text: str, value: tuple[int, int]) -> None:
    assert syntax.port_range(text) == value


@pytest.mark.parametrize("text", ["", "5", "0-5", "6-5", "1-65536", "1-2-3", "-", "a-b"])
def test_port_range_refuses(text: str) -> None:
    assert reason(syntax.port_range, text).startswith("must be FIRST-LAST")


@pytest.mark.parametrize("text", ["::1", "[::1]", "192.0.2.1"])
def test_addresses(text: str) -> None:
    """Brackets are how an IPv6 address is shown beside a port; nothing else may stand in them."""
    assert str(syntax.address(text)) == text.strip("[]")
    for wrong in (f"[{text}", f"{text}]", f"[{text}]:69", "[192.0.2.1]", "[]"):
        assert reason(syntax.address, wrong) == "must be an IPv4 or IPv6 address"


def test_address_range() -> None:
    """One address is a range too."""
    first, last = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.9")
    assert syntax.address_range("192.0.2.1-192.0.2.9") == (first, last)
    assert syntax.address_range("192.0.2.1") == (first, first)


@pytest.mark.parametrize(
    "text", ["", "-", "192.0.2.9-192.0.2.1", "192.0.2.1-", "-192.0.2.1", "192.0.2.0/24", "1-2"]
)
def test_address_range_refuses(text: str) -> None:
    assert reason(syntax.address_range, text) == "must be FIRST-LAST, such as 192.0.2.10-192.0.2.99"


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        (["10.9.0.50", "10.9.0.99"], "must be FIRST-LAST; did you mean 10.9.0.50-10.9.0.99?"),
        (["10.9.0.1-10.9.0.9", "10.9.0.50", "10.9.0.99"], "did you mean 10.9.0.50-10.9.0.99?"),
        (["10.9.0.5", "10.9.0.6", "10.9.0.7"], "did you mean 10.9.0.5-10.9.0.6?"),
        (["10.9.0.50"], ""),
        (["10.9.0.99", "10.9.0.50"], ""),
        (["10.9.0.50-10.9.0.50", "10.9.0.99-10.9.0.99"], ""),
        (["10.9.0.50", "10.9.0.60-10.9.0.99", "10.9.0.110"], ""),
    ],
)
@pytest.mark.parametrize("section", [settings.Dhcp, settings.Subnet])
def test_a_range_with_a_comma_in_it(section: type, texts: list[str], error: str) -> None:
    """dnsmasq writes FIRST,LAST; here those would be two addresses, which somebody may want elsewhere."""
    known = options(section)
    assert len(parse(known["exclude"], texts)) == len(texts)
    if not error:
        assert len(parse(known["range"], texts)) == len(texts)
        return
    with pytest.raises(ValueError, match=re.escape(error)):
        parse(known["range"], texts)


@pytest.mark.parametrize("text", ["52:54:00:12:34:56", "52-54-00-12-34-56", "5254.0012.3456", "525400123456"])
def test_mac(text: str) -> None:
    assert syntax.mac(text) == bytes.fromhex("525400123456")


@pytest.mark.parametrize(
    "text", ["", "52:54:00:12:34", "52:54:00:12:34:5g", "52:54:00:12:34:56:78", "5254001234 56"]
)
def test_mac_refuses(text: str) -> None:
    assert reason(syntax.mac, text) == "must be a hardware address such as 52:54:00:12:34:56"


def test_a_guid_and_a_client_identifier_of_as_many_octets_are_written_each_in_its_way() -> None:
    octets = bytes(range(16))
    host = options(settings.Host)
    assert written(host["guid"], octets) == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert written(host["client_id"], octets) == octets.hex(":")
    assert written(host["guid"], b"") == ""


@pytest.mark.parametrize(
    ("text", "octets", "shown"),
    [
        ("ge-0/0/7", b"ge-0/0/7", "ge-0/0/7"),
        ("0x000400010105", b"\0\4\0\1\1\5", "0x000400010105"),
        ("0X00:04:00:01", b"\0\4\0\1", "0x00040001"),
        ("0x67652d30", b"ge-0", "ge-0"),
        ("0x3078", b"0x", "0x3078"),
        ("0x612c62", b"a,b", "0x612c62"),
        ("0x20", b" ", "0x20"),
        ("Größe", "Größe".encode(), "Größe"),
        ("0xff", b"\xff", "0xff"),
    ],
)
def test_what_devices_call_each_other(text: str, octets: bytes, shown: str) -> None:
    """0x means octets, here as in every option; what is no plain text is shown so."""
    assert syntax.identifier(text) == octets
    assert syntax.identifier.write((octets, octets)) == f"{shown}, {shown}"  # type: ignore[attr-defined]
    said = octets.decode("ascii", "surrogateescape")
    assert syntax.vendor_class(text) == said
    assert syntax.vendor_class.write(said) == shown  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "0x", "0x0", "0xgg", "0x00 0g", "x" * 256, "0x" + "00" * 256])
def test_an_identifier_that_could_never_match_is_refused(text: str) -> None:
    """A sub-option has 1 to 255 octets (RFC 3046 §2.0)."""
    assert reason(syntax.identifier, text)


@pytest.mark.parametrize("text", ["", "a/b", "a b", "x" * 16, "eth0\n"])
def test_interface_refuses(text: str) -> None:
    assert reason(syntax.interface, text) == "must be a network interface name such as eth0"


@pytest.mark.parametrize("text", ["", "99", "8", "0o22", "01000", "00022", "-022"])
def test_umask_refuses(text: str) -> None:
    assert reason(syntax.umask, text) == "must be an octal number such as 022"


@pytest.mark.parametrize("text", ["", "=", "bios", "bios=", "=file", "nonsense=file"])
def test_boot_choice_refuses(text: str) -> None:
    assert reason(syntax.boot_choice, text)


def test_a_comma_in_a_boot_file() -> None:
    """It is between two files of boot; of a URL like http://x/?a=1,2 the rest is none."""
    assert "a name with a comma in it goes into boot_file of a [class]" in reason(syntax.boot_choice, "2")


@pytest.mark.parametrize("text", ["", "=", "52:54:00:12:34:56", "52:54:00:12:34:56=", "=192.0.2.1", "a=b"])
def test_reservation_refuses(text: str) -> None:
    assert reason(syntax.reservation, text)


@pytest.mark.parametrize("text", ["(", "[", "a{99999999999999999999}", "*", "(?P<n>"])
def test_pattern_refuses(text: str) -> None:
    assert reason(syntax.pattern, text).startswith("must be a regular expression: ")
