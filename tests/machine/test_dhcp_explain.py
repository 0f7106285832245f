"""--explain: every field of the reply, and the place that put it there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from ptftpd import config
from ptftpd.dhcp import wire
from ptftpd.dhcp.explain import Explainer
from ptftpd.dhcp.registry import option
from ptftpd.dhcp.wire import Message
from ptftpd.errors import Error
from ptftpd.programs import dhcpd
from ptftpd.programs.explaining import EXPLAIN, bootrequest, discover
from ptftpd.settings import Class, Dhcp, Host, Menu, Pxe, Subnet
from tests.machine.dhcp_site import MAC, OWN, Site, answer, ip, mac, ranges

NOTHING = {name: "" for name, _, _ in EXPLAIN.parameters}
RELAY = ip("192.168.7.1")
FAR = Subnet(
    network=IPv4Network("192.168.7.0/24"), range=((IPv4Address("192.168.7.10"),) * 2,), lease_time=600.0
)
SOURCES = {
    ("pxe", "boot_file"): "pxed.conf:3",
    ("dhcp", "option"): "pdhcpd.conf:9",
    ("dhcp", "range"): "--range",
}


RULES = ["boot rules that fit this client, the most specific first:"]


def site(**fields: Any) -> Site:
    """Return a site with something set in every kind of section."""
    pxe = Pxe(boot_file="boot.efi", gateway=OWN + 253, boot=(("bios", "pxelinux.0"),))
    dhcp = Dhcp(range=ranges(".10-.12"), option=(option("ntp-servers=192.0.2.1"),), **fields)
    hosts = {"web": Host(mac=mac(80), address=OWN + 79)}
    classes = {"uefi": Class(arch=("x86_64-efi",), option=(option("root-path=/x"),))}
    made = Site(dhcp, pxe, hosts, classes=classes, subnets={"far": FAR})
    made.settings = replace(made.settings, sources=SOURCES)
    return made


def explained(made: Site, hardware: bytes = MAC, **parameters: str) -> list[list[str]]:
    """Return the lines of an explanation, each as its columns; of firmware if it has an architecture."""
    if "arch" in parameters:
        parameters = {"vendor_class": "PXEClient"} | parameters
    message = discover(
        hardware.hex(":"), NOTHING | {name.replace("_", "-"): text for name, text in parameters.items()}
    )
    return explained_message(made, message)


def explained_message(made: Site, message: Message) -> list[list[str]]:
    """Return the lines of the explanation of a message, each as its columns."""
    text = Explainer(made.settings, "eth0", int(OWN), made.networks).explain(message, made.now).text()
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def test_every_field_has_its_origin() -> None:
    lines = explained(site(), arch="7", guid="00112233-4455-6677-8899-aabbccddeeff")
    says = "x86_64-efi, PXEClient, GUID 00112233-4455-6677-8899-aabbccddeeff"
    assert lines[0] == [f"DHCPDISCOVER from 52:54:00:12:34:56 via eth0 ({says})"]
    assert lines[1] == ["is answered: it names an architecture (option 93)"]
    assert lines[2][0].startswith("DHCPOFFER of ")
    assert lines[3:] == [
        ["yiaddr", "10.0.0.10", "free, of [dhcp] range (--range)"],
        ["siaddr", "10.0.0.1", "this server's address"],
        ["sname", "10.0.0.1", "the server's address as text"],
        ["file", "boot.efi", "[pxe] boot_file (pxed.conf:3)"],
        ["53 dhcp-message-type", "DHCPOFFER", "what answers this message"],
        ["54 dhcp-server-identifier", "10.0.0.1", "this server's address"],
        ["51 dhcp-lease-time", "3600", "[dhcp] lease_time (default)"],
        ["58 dhcp-renewal-time", "1800", "half of the lease time"],
        ["59 dhcp-rebinding-time", "3150", "seven eighths of the lease time"],
        ["1 subnet-mask", "255.255.255.0", "the network of eth0"],
        ["66 tftp-server-name", "10.0.0.1", "[pxe] boot_file (pxed.conf:3)"],
        ["150 tftp-server-address", "10.0.0.1", "[pxe] boot_file (pxed.conf:3)"],
        ["67 boot-file-name", "boot.efi", "[pxe] boot_file (pxed.conf:3)"],
        ["3 routers", "10.0.0.254", "[pxe] gateway (default)"],
        ["28 broadcast-address", "10.0.0.255", "the network of eth0"],
        ["42 ntp-servers", "192.0.2.1", "[dhcp] option ntp-servers=192.0.2.1 (pdhcpd.conf:9)"],
        ["17 root-path", "/x", "[class uefi] option root-path=/x (default)"],
        ["97 uuid-guid", "0x0033221100554477668899aabbccddeeff", "as the client or its relay agent sent it"],
    ]


def test_it_is_the_reply_that_is_sent() -> None:
    """The same machine makes both."""
    message = discover(MAC.hex(":"), NOTHING | {"arch": "bios", "vendor-class": "PXEClient"})
    sent = answer(site().machine.receive(message, 1000, direct=False))
    lines = explained(site(), arch="bios")
    shown = {line[0]: line[1] for line in lines[3 : lines.index(RULES)]}
    assert (shown["yiaddr"], shown["file"]) == (wire.dotted(sent.yiaddr), "pxelinux.0")
    assert {int(name.split()[0]) for name in shown if name[0].isdigit()} == set(sent.options)


@pytest.mark.parametrize(
    ("hardware", "parameters", "line"),
    [
        (mac(80), {}, ["yiaddr", "10.0.0.80", "[host web] address (default)"]),
        (MAC, {"relay": "192.168.7.1"}, ["yiaddr", "192.168.7.10", "free, of [subnet far] range (default)"]),
        (MAC, {"relay": "192.168.7.1"}, ["51 dhcp-lease-time", "600", "[subnet far] lease_time (default)"]),
        (MAC, {"relay": "192.168.7.1"}, ["giaddr", "192.168.7.1", "the relay agent"]),
        (
            MAC,
            {"user_class": "iPXE"},
            ["175 ipxe-encapsulated-options", "0xb00101", "[pxe] boot bios (default)"],
        ),
        (
            MAC,
            {"client_id": "ff:01", "vendor_class": "PXEClient"},
            ["61 dhcp-client-identifier", "0xff01", "as the client or its relay agent sent it"],
        ),
        (
            MAC,
            {"relay": "192.168.7.1", "circuit_id": "p3", "remote_id": "0x00ff"},
            ["82 relay-agent-information", "0x01027033020200ff", "as the client or its relay agent sent it"],
        ),
    ],
)
def test_what_the_question_may_say(hardware: bytes, parameters: dict[str, str], line: list[str]) -> None:
    assert line in explained(site(), hardware, **({"arch": "0"} | parameters))


def test_a_lease_and_an_address_that_was_had() -> None:
    made = site()
    made.lease()
    assert ["yiaddr", "10.0.0.10", "its lease, of [dhcp] range (--range)"] in explained(made, arch="7")
    made.now += 5000
    assert ["yiaddr", "10.0.0.10", "the address that it had before, of [dhcp] range (--range)"] in explained(
        made, arch="7"
    )


def test_why_there_is_no_reply() -> None:
    assert explained(site())[-2:] == [
        ["is not answered: not a PXE client (answer_all is off)"],
        ["it did not say what it is: firmware does, as with --arch x86_64-efi --vendor-class PXEClient"],
    ]
    why = explained(site(), arch="7", relay="192.168.9.9")[-1]
    assert why == [
        "is not answered: relayed from a network that is not configured: describe it in a [subnet]"
    ]
    full = site()
    for number in range(3):
        full.lease(mac(number))
    assert explained(full, arch="7")[-1][0].startswith(
        "is not answered: no free address on eth0: all 4 are taken"
    )


def test_of_a_proxy() -> None:
    lines = explained(site(mode="proxy"), arch="7")
    assert ["60 vendor-class-identifier", "PXEClient", "[pxe] boot_file (pxed.conf:3)"] in lines
    assert not [line for line in lines if line[0] in {"yiaddr", "51 dhcp-lease-time"}]


def test_of_a_proxy_to_a_network_that_has_no_section() -> None:
    """It needs none: it gives no addresses, and the options that are set are not for its replies."""
    made = site(mode="proxy")
    set_here = (option("always vendor-class-identifier=x"),)
    made.settings = replace(made.settings, dhcp=replace(made.settings.dhcp, option=set_here))
    lines = explained(made, arch="7", relay="192.168.9.9")
    assert lines[2][0].startswith("DHCPOFFER of ")
    assert ["60 vendor-class-identifier", "PXEClient", "[pxe] boot_file (pxed.conf:3)"] in lines


def test_of_auto_mode() -> None:
    """Which of the two answers it is depends on the network, which is not asked."""
    lines = explained(site(mode="auto"), arch="7")
    assert lines[1] == ["as long as no other DHCP server answers; for the other case add --mode proxy"]
    assert lines[3][0].startswith("DHCPOFFER")


def test_of_a_menu() -> None:
    made = site()
    menus = {"Debian": Menu(boot_file="pxelinux.0"), "Disk": Menu(local=True)}
    made.settings = replace(
        made.settings, menus=menus, sources=SOURCES | {("menu Debian", "boot_file"): "pxed.conf:7"}
    )
    where = "[menu Debian] boot_file (pxed.conf:7)"
    lines = explained(made, arch="7")
    assert ["43 vendor-encapsulated-options", "menu of Debian, Disk; the first after 10 s", where] in lines
    assert ["60 vendor-class-identifier", "PXEClient", where] in lines
    assert ["file", "pxelinux.0", where] in lines


def test_of_a_menu_that_begins_with_the_local_disk() -> None:
    made = site()
    menus = {"The disk": Menu(local=True), "Debian": Menu(boot_file="pxelinux.0")}
    local = {("menu The disk", "local"): "pxed.conf:8"}
    made.settings = replace(made.settings, menus=menus, sources=SOURCES | local)
    assert ["60 vendor-class-identifier", "PXEClient", "[menu The disk] local (pxed.conf:8)"] in explained(
        made, arch="7"
    )


def test_of_bootp() -> None:
    """RFC 951: what pbootpd, or pdhcpd with bootp, would answer."""
    made = site()
    lines = explained_message(made, bootrequest(mac(80).hex(":"), {}))
    assert lines[0] == ["BOOTREQUEST from 52:54:00:00:00:50 via eth0"]
    assert lines[1] == ["BOOTREPLY of 300 octets to 255.255.255.255, port 68"]
    assert ["yiaddr", "10.0.0.80", "[host web] address (default)"] in lines
    assert ["file", "boot.efi", "[pxe] boot_file (pxed.conf:3)"] in lines
    assert ["3 routers", "10.0.0.254", "[pxe] gateway (default)"] in lines
    stranger = explained_message(site(), bootrequest(MAC.hex(":"), {"relay": "10.0.0.9"}))
    assert stranger == [
        ["BOOTREQUEST from 52:54:00:12:34:56 via eth0 through 10.0.0.9"],
        ["is not answered: no address is reserved for this BOOTP client (dynamic is off)"],
    ]


def test_the_rules_that_fit() -> None:
    """Why it is not another file: the first of these decided."""
    lines = explained(site(), arch="bios")
    assert lines[lines.index(RULES) + 1 :] == [
        ["pxelinux.0", "[pxe] boot bios (default)"],
        ["boot.efi", "[pxe] boot_file (pxed.conf:3)"],
    ]


@pytest.mark.parametrize(
    ("hardware", "parameters", "error"),
    [
        ("nonsense", {}, "--explain nonsense: must be a hardware address"),
        ("525400123456", {"arch": "pdp11"}, "--arch pdp11: must be an architecture,"),
        (
            "525400123456",
            {"arch": "ipxe"},
            "--arch ipxe: must be an architecture; for iPXE use --user-class",
        ),
        ("525400123456", {"relay": "here"}, "--relay here: must be an IPv4 address"),
        ("525400123456", {"guid": "1"}, "--guid 1: must be a GUID"),
        ("525400123456", {"circuit-id": "0x0"}, "--circuit-id 0x0: must be text, or octets in hexadecimal"),
        ("525400123456", {"client-id": "x"}, "--client-id x: must be octets in hexadecimal"),
    ],
)
def test_questions_that_make_no_sense(hardware: str, parameters: dict[str, str], error: str) -> None:
    with pytest.raises(Error, match=f"^{re.escape(error)}"):
        discover(hardware, NOTHING | parameters)


def test_the_message_of_the_question() -> None:
    """Nothing is assumed that was not given: what calls itself PXEClient is asked as such."""
    message = discover(MAC.hex(":"), NOTHING | {"arch": "x86_64-efi-http"})
    assert message.options == {53: b"\1", 93: b"\0\x10"}
    message = discover("52-54-00-12-34-56", NOTHING | {"arch": "x86_64-efi", "user-class": "iPXE"})
    assert message == Message(
        chaddr=MAC.ljust(16, b"\0"), options={53: b"\1", 93: b"\0\7", 77: b"iPXE"},
    )  # fmt: skip
    message = discover(MAC.hex(), NOTHING | {"vendor-class": "0x4d53ff"})
    assert message.options == {53: b"\1", 60: b"MS\xff"}


WHY = {
    "an architecture": ({"arch": "bios", "vendor_class": "x"}, "it names an architecture (option 93)"),
    "a vendor class": ({"vendor_class": "PXE UROOT"}, "its vendor class is that of u-root"),
    "iPXE": ({"user_class": "iPXE"}, "it is iPXE"),
    "a class": ({"vendor_class": "Contoso"}, "[class contoso]"),
}


@pytest.mark.parametrize("name", WHY)
def test_what_made_it_a_client(name: str) -> None:
    """The rule that has it answered, which is not always that which has its boot file."""
    said, why = WHY[name]
    made = site()
    classes = made.settings.classes | {"contoso": Class(vendor_class="Contoso", boot_file="x")}
    made.settings = replace(made.settings, classes=classes)
    assert explained(made, **said)[1] == [f"is answered: {why}"]


def test_what_made_a_stranger_a_client() -> None:
    assert explained(site(), mac(80))[1] == ["is answered: an address is reserved for it"]
    assert explained(site(answer_all=True))[1] == ["is answered: [dhcp] answer_all"]
    made = site()
    made.lease()
    assert explained(made)[1] == ["is answered: it has a lease here"]


def test_firmware_without_a_vendor_class() -> None:
    """An OpenPOWER machine has one of its own; without any, all that is PXEClient's is left out."""
    hint = ["it was given no vendor class: firmware has one, as with --vendor-class PXEClient"]
    assert hint in explained(site(), arch="powerpc-opal", vendor_class="")
    assert hint not in explained(site(), arch="powerpc-opal", vendor_class="udhcp 1.36.1")
    beside = explained(site(mode="proxy"), arch="powerpc-opal", vendor_class="udhcp 1.36.1")
    assert beside[-1] == ["is not answered: takes no proxy's offer"]


def test_a_file_that_the_firmware_cannot_start() -> None:
    asked = discover(MAC.hex(), NOTHING | {"arch": "x86_64-efi", "vendor-class": "PXEClient"})
    explainer = Explainer(site().settings, "eth0", int(OWN), site().networks)
    told = explainer.explain(asked, 1000.0, lambda *of: f"is no match: {of}").text()
    assert told.endswith("\nthis machine cannot start it: boot.efi is no match: ('x86_64-efi', 'boot.efi')")
    ipxe = discover(MAC.hex(), NOTHING | {"arch": "x86_64-efi", "user-class": "iPXE"})
    assert "('', 'boot.efi')" in explainer.explain(ipxe, 1000.0, lambda *of: str(of)).text()


def test_the_octets_of_a_question_are_those_of_the_command_line() -> None:
    """Whatever they are: a vendor class need not be UTF-8."""
    said = {"vendor-class": "PXEClient\udcff", "user-class": "\udcfe", "circuit-id": "p\udcfd"}
    found = discover(MAC.hex(), NOTHING | said).options
    assert (found[60], found[77], found[82]) == (b"PXEClient\xff", b"\xfe", b"\1\2p\xfd")


def test_leases_that_cannot_be_read(tmp_path: Path) -> None:
    """The reply is explained all the same, with what it lacks said first. Loopback has a network, too."""
    (tmp_path / "leases-lo.sqlite").write_bytes(b"no database")
    loaded = config.load(dhcpd.PROGRAM, ["lo", "--state-dir", str(tmp_path)], str(tmp_path))
    first, second, *_ = EXPLAIN.answer(loaded, MAC.hex(":"), NOTHING | {"arch": "bios"}).splitlines()
    assert first.startswith(f"cannot read the lease database {tmp_path}/leases-lo.sqlite: file is not a ")
    assert first.endswith("; this is as if nobody had a lease")
    assert second.startswith("DHCPDISCOVER from 52:54:00:12:34:56 via lo")


def test_as_json(tmp_path: Path) -> None:
    """The same for programs; its keys are an interface."""
    loaded = config.load(dhcpd.PROGRAM, ["lo", "--state-dir", str(tmp_path), "boot.efi"], str(tmp_path))
    said = {"arch": "bios", "vendor-class": "PXEClient"}
    found = json.loads(EXPLAIN.answer(loaded, MAC.hex(":"), NOTHING | said | {"json": "yes"}))
    assert set(found) == {
        "asked", "answered", "why", "reply", "mode", "hints", "warning", "fields", "boot_rules",
    }  # fmt: skip
    assert (found["answered"], found["why"]) == (True, "it names an architecture (option 93)")
    assert {"name": "file", "value": "boot.efi", "origin": "[pxe] boot_file (BOOTFILE)"} in found["fields"]
    assert found["boot_rules"] == [{"file": "boot.efi", "origin": "[pxe] boot_file (BOOTFILE)"}]
    stranger = json.loads(EXPLAIN.answer(loaded, MAC.hex(":"), NOTHING | {"json": "yes"}))
    assert (stranger["answered"], stranger["why"]) == (False, "not a PXE client (answer_all is off)")
    assert stranger["hints"]


def test_the_line_of_the_section_that_made_it_a_client() -> None:
    made = site()
    classes = {"contoso": Class(vendor_class="Contoso", boot_file="x")}
    sources = {("class contoso", "vendor_class"): "pxed.conf:12"}
    made.settings = replace(made.settings, classes=classes, sources=sources)
    assert explained(made, vendor_class="Contoso")[1] == ["is answered: [class contoso] (pxed.conf:12)"]
