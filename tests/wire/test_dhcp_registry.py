"""Options as they are written in the settings, and the octets that they stand for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.dhcp import registry, wire


def test_all_of_rfc_2132() -> None:
    """Each of its options has a name of its own, or is the server's alone to fill in."""
    assert set(range(1, 77)) <= registry.REGISTRY.keys() | registry.FILLED_IN.keys()
    names = [name for name, _ in registry.REGISTRY.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("text", "code", "octets"),
    [
        ("ntp-servers=192.0.2.1", 42, "c0000201"),
        ("ntp-servers = 192.0.2.1, 192.0.2.2 10.0.0.1", 42, "c0000201 c0000202 0a000001"),
        ("42=192.0.2.1", 42, "c0000201"),
        ("time-offset=-3600", 2, "fffff1f0"),
        ("time-offset=3600", 2, "00000e10"),
        ("default-ip-ttl=64", 23, "40"),
        ("interface-mtu=9000", 26, "2328"),
        ("boot-size=1024", 13, "0400"),
        ("dhcp-renewal-time=0x10", 58, "10"),
        ("dhcp-renewal-time=16", 58, "00000010"),
        ("path-mtu-plateau-table=68 1500", 25, "0044 05dc"),
        ("ip-forwarding=no", 19, "00"),
        ("ip-forwarding=yes", 19, "01"),
        ("ip-forwarding=On", 19, "01"),
        ("ip-forwarding=off", 19, "00"),
        ("domain-name=example.com", 15, b"example.com".hex()),
        ("root-path=nfs:192.0.2.1:/root,vers=4", 17, b"nfs:192.0.2.1:/root,vers=4".hex()),
        ("static-routes=10.1.0.0 192.0.2.1", 33, "0a010000 c0000201"),
        ("150=192.0.2.1 192.0.2.2", 150, "c0000201 c0000202"),
        ("vendor-encapsulated-options=0x0601:08ff", 43, "060108ff"),
        ("43=1=address:192.0.2.1; 2=text:menu; 3=0xff", 43, "0104 c0000201 0204 6d656e75 0301 ff"),
        ("vivso-suboptions=3561 1=text:0A; 2=u8:7", 125, "00000de9 07 0102 3041 0201 07"),
        ("vivco-suboptions=3561 text:abc", 124, "00000de9 03 616263"),
        ("224=address:10.0.0.1", 224, "0a000001"),
        ("224=text:a:b=c", 224, b"a:b=c".hex()),
        ("224=u32:7", 224, "00000007"),
        ("224=0xdead", 224, "dead"),
    ],
)
def test_values(text: str, code: int, octets: str) -> None:
    found = registry.option(text)
    assert (found.code, found.value, found.always) == (code, bytes.fromhex(octets), False)
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("0.0.0.0/0 10.0.0.1", "00 0a000001"),
        ("10.0.0.0/8 10.0.0.1", "08 0a 0a000001"),
        ("10.17.0.0/16 10.0.0.1", "10 0a11 0a000001"),
        ("10.27.129.0/24, 10.0.0.1", "18 0a1b81 0a000001"),
        ("10.229.0.128/25 10.0.0.1", "19 0ae50080 0a000001"),
        ("10.198.122.47/32 10.0.0.1", "20 0ac67a2f 0a000001"),
        ("10.0.0.0/17 10.0.0.1 0.0.0.0/0 10.0.0.2", "11 0a0000 0a000001 00 0a000002"),
    ],
)
def test_classless_routes_have_their_significant_octets(text: str, octets: str) -> None:
    """D11, RFC 3442: the examples of the RFC."""
    assert registry.option(f"classless-static-route={text}").value == bytes.fromhex(octets)


def test_domain_search_is_compressed() -> None:
    """D11, RFC 3397 §2: the example of the RFC, endings repeated as pointers."""
    found = registry.option("domain-search=eng.apple.com, marketing.apple.com")
    assert found.value == b"\3eng\5apple\3com\0\x09marketing\xc0\x04"


NAMES = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4)


def decoded(octets: bytes) -> list[str]:
    """Return the domain names in octets, pointers followed."""
    names, position = [], 0
    while position < len(octets):
        labels, at, behind = [], position, 0
        while octets[at]:
            if octets[at] >= 0xC0:
                behind = behind or at + 2
                at = wire.number(octets[at : at + 2]) & 0x3FFF
                continue
            labels.append(octets[at + 1 : at + 1 + octets[at]].decode())
            at += 1 + octets[at]
        names.append(".".join(labels))
        position = behind or at + 1
    return names


@given(st.lists(NAMES.map(".".join), min_size=1, max_size=6))
def test_any_domain_names_are_found_again(names: list[str]) -> None:
    assert decoded(registry.option(f"119={' '.join(names)}").value) == names


@pytest.mark.parametrize("text", ["224=u16:01500", "224=u16:0x05DC", "interface-mtu=001500"])
def test_a_number_may_begin_with_zeros(text: str) -> None:
    assert wire.number(registry.option(text).value) == 1500


def test_a_domain_name_of_any_octets() -> None:
    """The command line may hold what is no UTF-8."""
    assert registry.option("domain-search=\udcff").value == b"\1\xff\0"


def test_always() -> None:
    found = registry.option("always tftp-server-address=192.0.2.1")
    assert (found.code, found.always, str(found)) == (150, True, "always tftp-server-address=192.0.2.1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ntp-servers", "must be NAME=VALUE"),
        ("=1", "must be NAME=VALUE"),
        ("ntp-servers=", "must be NAME=VALUE"),
        ("ntp-server=192.0.2.1", "must be a known option; ntp-server is not one (did you mean ntp-servers?)"),
        ("xyzzy=1", "must be a known option; xyzzy is not one (or give its number)"),
        ("0=0x00", "must have a number from 1 to 254"),
        ("255=0x00", "must have a number from 1 to 254"),
        ("53=1", "must be another option: 53 is the kind of message"),
        ("subnet-mask=255.0.0.0", "must be another option: 1 is the mask"),
        ("ntp-servers=here", "must be IPv4 addresses"),
        ("swap-server=1.2.3.4 1.2.3.5", "must be an IPv4 address"),
        ("static-routes=10.0.0.0", "must be pairs"),
        ("121=10.0.0.1/8 10.0.0.1", "must be pairs of NETWORK/LENGTH and router"),
        ("121=10.0.0.0/8", "must be pairs of NETWORK/LENGTH and router"),
        ("default-ip-ttl=256", "must be a number from 0 to 255"),
        ("time-offset=1h", "must be a number from"),
        ("ip-forwarding=maybe", "must be yes or no"),
        ("domain-search=a..b", "must be domain names"),
        (f"domain-search={'x' * 64}.com", "must be domain names"),
        (f"domain-search={'ä' * 32}.com", "must be domain names"),  # 64 octets, more than one octet can tell
        (f"domain-search={'.'.join(['ä' * 31] * 5)}", "must be domain names"),
        ("interface-mtu=0x", "must be octets in hexadecimal"),
        ("224=u16:0x1ffff", "must be a number from 0 to 65535"),
        ("43=hello", "must be octets, or NUMBER=TYPE:VALUE"),
        ("43=1=hello", "must be TYPE:VALUE"),
        (f"43=1=text:{'x' * 256}", "must be at most 255 octets in each suboption"),
        ("125=x 1=u8:1", "must be a number from 0 to 4294967295"),
        ("224=7", "must be TYPE:VALUE with a type of hex, text,"),
        ("224=0x123", "must be octets in hexadecimal"),
        (f"15={'x' * 5000}", "must be at most 4096 octets long"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}"):
        registry.option(text)


def test_names_are_unique_and_can_be_written() -> None:
    assert len(registry.NUMBERS) == len(registry.REGISTRY)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]+", name) for name in registry.NUMBERS)


@pytest.mark.parametrize(
    ("code", "octets", "shown"),
    [
        (1, "ffffff00", "255.255.255.0"),
        (6, "0a000001 0a000002", "10.0.0.1, 10.0.0.2"),
        (51, "00000e10", "3600"),
        (26, "05dc", "1500"),
        (67, b"boot.efi\0".hex(), "boot.efi"),
        (67, "ff00ff", "0xff00ff"),
        (61, "0152540000", "0x0152540000"),
        (54, "0a000001", "10.0.0.1"),
    ],
)
def test_shown_to_people(code: int, octets: str, shown: str) -> None:
    assert registry.show(code, bytes.fromhex(octets)) == shown


@given(st.integers(1, 254), st.binary(max_size=40))
def test_anything_can_be_shown(code: int, value: bytes) -> None:
    assert registry.show(code, value).isprintable()
    assert registry.name(code)
