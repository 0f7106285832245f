"""proxyDHCP and the look-out for other DHCP servers, on messages alone (PXE 2.1 §2.2, RFC 4578)."""

from __future__ import annotations

from typing import Any

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.proxy import Proxy
from ptftpd.dhcp.reply import RASPBERRY_PI
from ptftpd.settings import Class, Dhcp, Host, Pxe, Settings
from tests.machine.dhcp_site import BIOS, EFI, MAC, OWN, Site, answer, ip, kind, message

GUID = b"\0" + bytes(range(16))
PEER = ("10.0.0.99", 4011)


def proxy(pxe: Pxe | None = None) -> Proxy:
    """Return a proxy on 10.0.0.1."""
    return Proxy(Settings(pxe=pxe or Pxe(boot_file="pxelinux.0")), "eth0", int(OWN))


def offer(vendor: bytes = EFI, **fields: object) -> Outcome:
    """Return what comes of a DISCOVER."""
    asked = message(options.DISCOVER, vendor=vendor, **fields)
    return proxy().receive(asked, direct=False, source=asked.giaddr)


@pytest.mark.parametrize("vendor", [BIOS, EFI], ids=["BIOS", "EFI"])
def test_the_offer_is_one_that_firmware_takes(vendor: bytes) -> None:
    """P3: yiaddr 0, 54 own, 60 PXEClient without NUL, 97 echoed, no lease; {6=8}, or EDK2 asks port 4011."""
    outcome = offer(vendor, o97=GUID)
    reply = answer(outcome)
    assert kind(reply) == options.OFFER
    assert (reply.yiaddr, reply.siaddr, reply.file) == (0, ip(".1"), b"pxelinux.0")
    assert reply.options[options.SERVER_ID] == wire.addresses(ip(".1"))
    assert reply.options[options.VENDOR_CLASS] == b"PXEClient"
    assert reply.options[options.GUID] == GUID
    assert reply.options[options.VENDOR] == b"\x06\x01\x08\xff"
    assert options.LEASE_TIME not in reply.options
    assert options.SUBNET_MASK not in reply.options
    assert outcome.destination == ("255.255.255.255", 68)
    assert outcome.commit == ()


def test_the_offer_goes_back_through_the_relay() -> None:
    """RFC 2131 §4.1: to the relay agent's port 67, which must broadcast it: there is no yiaddr."""
    outcome = offer(giaddr=ip("10.5.0.1"))
    assert outcome.destination == ("10.5.0.1", 67)
    assert answer(outcome).flags == wire.BROADCAST
    assert answer(offer()).flags == 0


@pytest.mark.parametrize("trusted", [False, True])
def test_option_82_of_a_switch(trusted: bool) -> None:
    """RFC 3046 §2.1: without a relay agent only where the switches are trusted, as in full service."""
    settings = Settings(pxe=Pxe(boot_file="pxelinux.0"), dhcp=Dhcp(trust_option_82=trusted))
    asked = message(options.DISCOVER, o82=b"\1\4port")
    outcome = Proxy(settings, "eth0", int(OWN)).receive(asked, direct=False)
    if trusted:
        assert answer(outcome).options[options.RELAY_AGENT] == b"\1\4port"
    else:
        assert outcome.ignored == "option 82 without a relay agent"


def test_what_identifies_the_client_comes_back() -> None:
    """D6, D7, RFC 6842 §3, RFC 3046 §2.2: in a proxy's offer and in its answer from port 4011 too."""
    said = {"o61": b"\1" + MAC, "o97": GUID, "o82": b"\1\4port", "giaddr": ip("10.5.0.1")}
    acknowledged = proxy().receive_boot_request(message(options.REQUEST, **said), PEER)
    for outcome in (offer(**said), acknowledged):
        assert list(answer(outcome).options.items())[-3:] == [
            (options.CLIENT_ID, b"\1" + MAC), (options.GUID, GUID), (options.RELAY_AGENT, b"\1\4port"),
        ]  # fmt: skip


def test_only_pxe_clients_get_an_offer() -> None:
    """P3: only to clients with option 60 PXEClient."""
    assert offer(b"udhcp 1.35").ignored == "not a PXE client"
    assert offer(b"").ignored == "not a PXE client"


@pytest.mark.parametrize("number", [options.REQUEST, options.INFORM, options.RELEASE, options.DECLINE])
def test_what_is_for_the_dhcp_server_is_passed_over(number: int) -> None:
    """P3: a proxy never answers a REQUEST on port 67, and never says NAK."""
    outcome = proxy().receive(message(number, o50=wire.addresses(ip("10.9.9.9"))), direct=False)
    assert not outcome.data
    assert outcome.ignored


@pytest.mark.parametrize("number", [options.REQUEST, options.INFORM])
def test_port_4011_acknowledges_to_where_it_was_asked_from(number: int) -> None:
    """P5: EDK2 asks from port 4011 and wants the answer there, iPXE from 68."""
    outcome = proxy().receive_boot_request(message(number, o97=GUID, ciaddr=ip(".99")), PEER)
    reply = answer(outcome)
    assert kind(reply) == options.ACK
    assert (reply.yiaddr, reply.siaddr, reply.file) == (0, ip(".1"), b"pxelinux.0")
    assert reply.options[options.VENDOR_CLASS] == b"PXEClient"
    assert reply.options[options.GUID] == GUID
    assert outcome.destination == PEER


def test_port_4011_is_silent_to_an_unknown_boot_server_type() -> None:
    """P5: another boot server on the network may be of that type."""
    asked = message(options.REQUEST, o43=b"\x47\x04\x80\x00\x00\x00\xff")
    assert not proxy().receive_boot_request(asked, PEER).data
    bootstrap = message(options.REQUEST, o43=b"\x47\x04\x00\x00\x00\x00\xff")
    assert proxy().receive_boot_request(bootstrap, PEER).data


@pytest.mark.parametrize("vendor", [b"", b"udhcp 1.35"])
def test_port_4011_is_silent_to_others_than_pxe_clients(vendor: bytes) -> None:
    """P5: what boots no machine has no business there."""
    outcome = proxy().receive_boot_request(message(options.REQUEST, vendor=vendor), PEER)
    assert outcome.ignored == "not a PXE client"
    assert not outcome.data


@pytest.mark.parametrize(
    "asked",
    [message(options.DISCOVER), message(options.RELEASE), message(options.REQUEST, op=wire.BOOTREPLY)],
)
def test_port_4011_answers_requests_alone(asked: wire.Message) -> None:
    """P5: who looks for an address asks port 67."""
    outcome = proxy().receive_boot_request(asked, PEER)
    assert outcome.ignored == "not a request for a boot file"
    assert not outcome.data


def test_the_options_that_are_asked_for() -> None:
    """EDK2 reads option 67 before file; a proxy tells what says the same in each of its places."""
    reply = answer(offer(o55=bytes([67, 66, 150, 1, 3])))
    told = {code: reply.options.get(code) for code in (67, 66, 150, 1, 3)}
    assert told == {67: b"pxelinux.0\0", 66: b"10.0.0.1", 150: wire.addresses(ip(".1")), 1: None, 3: None}
    assert not {66, 67, 150} & set(answer(offer()).options)


def test_port_4011_is_silent_without_a_boot_file() -> None:
    """Another proxy may have one."""
    nothing = proxy(Pxe(boot=(("bios", "pxelinux.0"),)))
    assert nothing.receive_boot_request(message(options.REQUEST, o93=b"\0\x07"), PEER).ignored


# What the firmware is --------------------------------------------------------------------------


def test_raspberry_pi() -> None:
    """Its ROM wants option 43 with the text 'Raspberry Pi Boot', and may leave option 60 out."""
    board = bytes.fromhex("dca632000001")
    reply = answer(Site().discover(board, vendor=b"", o93=b"\0\0"))
    assert reply.options[options.VENDOR] == RASPBERRY_PI
    assert reply.options[options.VENDOR_CLASS] == b"PXEClient"
    assert reply.siaddr == ip(".1")
    without_rule = Site(pxe=Pxe(boot=(("x86_64-efi", "grubx64.efi"),)))
    assert (
        answer(without_rule.discover(board, vendor=BIOS, o93=b"\0\0")).options[options.VENDOR] == RASPBERRY_PI
    )


def test_raspberry_pi_option_is_what_its_rom_compares() -> None:
    """The octets that the board was seen to accept."""
    assert RASPBERRY_PI.hex() == "0601030a04005058450914000011" + b"Raspberry Pi Boot".hex() + "ff"


URL = "http://10.0.0.1/boot.efi"
HTTP = {"vendor": b"HTTPClient:Arch:00016:UNDI:003001", "o93": b"\0\x10"}


def test_http_boot_gets_its_url() -> None:
    """H1: EDK2 discards an offer to HTTPClient that does not name that class and a URL."""
    site = Site(pxe=Pxe(boot_file="pxelinux.0", boot=(("x86_64-efi-http", URL),)))
    reply = answer(site.discover(**HTTP))
    assert reply.options[options.VENDOR_CLASS] == b"HTTPClient"
    assert reply.file == URL.encode()
    assert site.discover(MAC, vendor=EFI, o93=b"\0\x07").fields["DHCP_BOOT_FILE"] == "pxelinux.0"
    assert not Site().discover(**HTTP).data, "a file to be had by TFTP is of no use to it"


def test_http_boot_gets_its_url_from_a_proxy() -> None:
    """H1, H3: without address; option 43 is none of PXE's in the class HTTPClient (RFC 2132 §8.4, §9.13)."""
    settings = Settings(pxe=Pxe(boot=(("x86_64-efi-http", URL),)))
    asked = message(options.DISCOVER, o97=GUID, **HTTP)
    reply = answer(Proxy(settings, "eth0", int(OWN)).receive(asked, direct=False))
    assert (reply.yiaddr, reply.file) == (0, URL.encode())
    assert set(reply.options) == {
        options.MESSAGE_TYPE, options.SERVER_ID, options.VENDOR_CLASS, options.GUID,
    }  # fmt: skip
    assert reply.options[options.VENDOR_CLASS] == b"HTTPClient"


def test_full_dhcp_never_says_pxeclient() -> None:
    """An offer with class PXEClient and without option 43 sends EDK2 to port 4011."""
    reply = answer(Site().discover(o93=b"\0\x07"))
    assert options.VENDOR_CLASS not in reply.options
    assert options.VENDOR not in reply.options


def files(settings: Settings, **fields: object) -> object:
    """Return the boot file that a proxy with these settings offers."""
    asked = message(options.DISCOVER, **fields)
    found = Proxy(settings, "eth0", int(OWN)).receive(asked, direct=False, source=asked.giaddr)
    return found.fields.get("DHCP_BOOT_FILE")


def test_conditions_of_classes_and_hosts() -> None:
    """Maker of the card, switch port, GUID, and the file for the time when iPXE runs."""
    settings = Settings(
        pxe=Pxe(boot_file="default"),
        classes={
            "maker": Class(mac=(b"\x52\x54", b"\xaa"), boot_file="maker"),
            "port": Class(circuit_id=(b"ge-0/0/7",), boot_file="port"),
        },
        hosts={"guid": Host(guid=bytes(range(16)), boot_file="guid", ipxe_file="guid.ipxe")},
    )
    other = b"\x02\0\0\0\0\x01"
    at_port = b"\x01\x08ge-0/0/7\x02\x01x"
    assert files(settings) == "maker"
    assert files(settings, hardware=other) == "default"
    assert files(settings, hardware=other, o82=at_port, giaddr=ip("10.5.0.1")) == "port"
    assert files(settings, o82=at_port, giaddr=ip("10.5.0.1"), o97=GUID) == "guid"
    assert files(settings, o97=GUID, o77=b"iPXE") == "guid.ipxe"


@pytest.mark.parametrize(
    ("host", "said", "file"),
    [
        ("rescue.0", {}, "rescue.0"),
        ("rescue.0", HTTP, URL),
        ("http://x/rescue.efi", HTTP, "http://x/rescue.efi"),
        ("http://x/rescue.efi", {}, "pxelinux.0"),
        ("http://x/rescue.efi", {"o77": b"iPXE"}, "http://x/rescue.efi"),
    ],
)
def test_a_file_that_the_firmware_cannot_load_is_passed_over(
    host: str, said: dict[str, Any], file: str
) -> None:
    """One machine may boot by TFTP and by HTTP: what is named for the one is of no use to the other."""
    settings = Settings(
        pxe=Pxe(boot_file="pxelinux.0", boot=(("x86_64-efi-http", URL),)),
        hosts={"one": Host(mac=MAC, boot_file=host)},
    )
    assert files(settings, **said) == file


def test_a_host_cannot_send_ipxe_in_circles() -> None:
    """The file of a host may be iPXE itself: the rule for iPXE wins once it runs."""
    settings = Settings(
        pxe=Pxe(boot=(("ipxe", "menu.ipxe"),)), hosts={"one": Host(mac=MAC, boot_file="undionly.kpxe")}
    )
    assert files(settings) == "undionly.kpxe"
    assert files(settings, o175=b"\xb0\x01\x01") == "menu.ipxe"
