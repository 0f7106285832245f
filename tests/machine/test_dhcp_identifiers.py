"""What identifies a machine or its place, in each of the ways in which it is sent and written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd import syntax
from ptftpd.dhcp import pxe
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.pool import Lease
from ptftpd.settings import Class, Dhcp, Host
from tests.machine.dhcp_site import MAC, NETWORK, OWN, Site, answer, ip, mac, ranges
from tests.machine.test_dhcp_machine import OTHER


def agent(circuit: bytes = b"", remote: bytes = b"") -> dict[str, Any]:
    """Return what a relay agent adds."""
    parts = [bytes([code, len(value)]) + value for code, value in ((1, circuit), (2, remote)) if value]
    return {"giaddr": ip(".200"), "o82": b"".join(parts)}


def file(site: Site, **says: Any) -> bytes:
    return answer(site.discover(**says)).file


@pytest.mark.parametrize("key", ["circuit_id", "remote_id"])
@pytest.mark.parametrize(
    ("written", "sent", "matches"),
    [
        ("0x000400010105", bytes.fromhex("000400010105"), True),
        ("0x000400010105", b"0x000400010105", False),
        ("0x000400010105", bytes.fromhex("00040001010500"), False),
        ("ge-0/0/7", b"ge-0/0/7", True),
        ("ge-0/0/7", b"ge-0/0/7\0", True),
        ("ge-0/0/7", b"ge-0/0/70", False),
        ("0x67652d302f302f37", b"ge-0/0/7", True),
        ("0x00", b"\0", True),
        ("Büro", "Büro".encode(), True),
        ("x", b"", False),
    ],
)
def test_the_names_that_relay_agents_give(key: str, written: str, sent: bytes, matches: bool) -> None:
    """RFC 3046 §2: opaque octets, which most switches fill with numbers, and some with text."""
    classes = {"port": Class(**{key: (syntax.identifier(written),)}, boot_file="port")}
    site = Site(classes=classes)
    said = agent(**{key.removesuffix("_id"): sent})
    assert file(site, **said) == (b"port" if matches else b"boot.efi")


def test_a_port_and_its_switch() -> None:
    """Both conditions of one class have to be met; a port is narrower than a switch, that than a maker."""
    classes = {
        "port 5 of a": Class(circuit_id=(b"5",), remote_id=(b"a",), boot_file="both"),
        "port 5": Class(circuit_id=(b"5",), boot_file="port"),
        "switch a": Class(remote_id=(b"a",), boot_file="switch"),
        "maker": Class(mac=(MAC[:3],), boot_file="maker"),
    }
    site = Site(classes=classes)
    found = [
        file(site, **agent(*names)) for names in ((b"5", b"a"), (b"5", b"b"), (b"6", b"a"), (b"6", b"b"))
    ]
    assert found == [b"both", b"port", b"switch", b"maker"]


def test_a_vendor_class_outside_ascii() -> None:
    """As text in UTF-8, or as octets: both are what the client sends."""
    for written in ("Größe", "0x" + "Größe".encode().hex()):
        classes = {"x": Class(vendor_class=syntax.vendor_class(written), boot_file="x")}
        assert file(Site(classes=classes), vendor="Größe 2".encode()) == b"x"


# GUIDs: the same in either order

SHOWN = "00112233-4455-6677-8899-aabbccddeeff"  # by dmidecode, BMCs, hypervisors
SENT = bytes.fromhex("33221100554477668899aabbccddeeff")
ORDERS = [SHOWN, "33221100-5544-7766-8899-aabbccddeeff"]


@given(st.binary(min_size=16, max_size=16))
def test_both_orders_are_one_guid(guid: bytes) -> None:
    assert pxe.swapped(pxe.swapped(guid)) == guid
    assert pxe.any_order(guid) == pxe.any_order(pxe.swapped(guid)) in {guid, pxe.swapped(guid)}


@pytest.mark.parametrize("written", ORDERS)
@pytest.mark.parametrize("sent", [SENT, pxe.swapped(SENT)])
def test_a_guid_in_either_order(written: str, sent: bytes) -> None:
    """Its boot file and its reservation: nobody has to know what is on the wire."""
    host = Host(guid=syntax.guid(written), address=OWN + 49, boot_file="host")
    site = Site(Dhcp(range=ranges(".10-.12")), hosts={"web": host})
    assert site.lease(o97=b"\0" + sent) == ip(".50")
    assert file(site, o97=b"\0" + sent) == b"host"
    assert answer(site.discover(OTHER, o97=bytes(17))).yiaddr == ip(".10")


@pytest.mark.parametrize("kept", [SENT, pxe.swapped(SENT)])
def test_a_lease_that_was_stored_in_the_other_order(kept: bytes) -> None:
    host = Host(guid=syntax.guid(SHOWN), address=OWN + 49)
    lease = Lease(ip(".50"), b"\xff" + kept, 5000.0, 3600.0)
    site = Site(hosts={"web": host}, leases=[lease])
    assert answer(site.discover(mac(7), o97=b"\0" + SENT)).yiaddr == ip(".50")
    again = Networks(plans(site.settings, "eth0", OWN, NETWORK), list(site.networks.leases()))
    assert [each.key for each in again.leases()] == [each.key for each in site.networks.leases()]


def test_an_unknown_machines_guid_is_recorded_as_it_is_to_be_written() -> None:
    outcome = Site().discover(o97=b"\0" + SENT)
    assert f"GUID {SHOWN}" in outcome.asked
    assert outcome.fields["DHCP_GUID"] == SHOWN
    assert "GUID" not in Site().discover().asked


@pytest.mark.parametrize("octets", [b"", b"x", b"\0", bytes(15), bytes(17), b"\0" * 255])
def test_a_guid_of_another_length_breaks_nothing(octets: bytes) -> None:
    host = Host(guid=syntax.guid(SHOWN), boot_file="host")
    site = Site(hosts={"web": host})
    assert file(site, o97=octets) == b"boot.efi"
    assert site.discover(o97=octets).asked
