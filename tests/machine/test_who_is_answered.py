"""Whom DHCP and proxyDHCP answer: what says that it boots over the network, and what a rule names.

A client that names its architecture (option 93), or whose vendor class is known as a boot program's, is
answered; so is one that a rule narrower than the architecture tells something.
"""

from __future__ import annotations

from typing import Any

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.proxy import Proxy
from ptftpd.dhcp.pxe import ARCHITECTURES, FIRMWARE
from ptftpd.dhcp.registry import option
from ptftpd.settings import Class, Dhcp, Host, Menu, Pxe, Settings
from tests.machine.dhcp_site import BIOS, EFI, MAC, OWN, Site, answer, message, ranges

BOOT = Pxe(boot_file="boot.file", boot=(("x86_64-efi-http", "http://10.0.0.1/x.efi"),))
PI = bytes.fromhex("dca632000001")
STRANGER: dict[str, Any] = {"vendor": b"dhcpcd-9.4.1"}

# What each boot program says: (row of FIRMWARE, message, whether a proxy has an offer for it).
SAYS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "EDK2": ("PXE", {"vendor": EFI, "o93": b"\0\7"}, True),
    "a BIOS ROM": ("PXE", {"vendor": BIOS, "o93": b"\0\0"}, True),
    "UEFI HTTP Boot": ("HTTP Boot", {"vendor": b"HTTPClient:Arch:00016", "o93": b"\0\x10"}, True),
    "BlueField": ("BlueField UEFI", {"vendor": b"NVIDIA/BF/PXE", "o93": b"\0\x0b"}, True),
    "U-Boot": ("U-Boot", {"vendor": b"U-Boot.armv8", "o93": b"\0\x16"}, True),
    "U-Boot of old": ("U-Boot", {"vendor": b"U-Boot.armv7"}, True),
    "AM335x SPL": ("U-Boot SPL", {"vendor": b"AM335x U-Boot SPL"}, True),
    "AM64x SPL": ("U-Boot SPL", {"vendor": b"AM64X U-Boot R5 SPL"}, True),
    "AM335x ROM": ("TI boot ROM", {"vendor": b"AM335x ROM"}, True),
    "u-root": ("u-root", {"vendor": b"PXE UROOT", "o55": bytes([1, 66, 67])}, False),
    "ONIE": ("ONIE", {"vendor": b"onie_vendor:x86_64-dell_s6100-r0"}, False),
    "Petitboot": ("Petitboot", {"vendor": b"udhcp 1.36.1", "o93": b"\0\x0e"}, False),
    "s390-ccw": (
        "SLOF, s390-ccw", {"vendor": b"", "o55": bytes.fromhex("0103064243"), "o93": b"\0\x1f"}, False,
    ),
    "iPXE without class": ("SLOF, s390-ccw", {"vendor": b"", "o77": b"iPXE"}, True),
    "Raspberry Pi": ("SLOF, s390-ccw", {"hardware": PI, "vendor": b"", "o93": b"\0\0"}, True),
    "what nobody knows yet": ("", {"vendor": b"Contoso boot", "o93": b"\0\x63"}, True),
}  # fmt: skip


def full(settings: dict[str, Any], says: dict[str, Any]) -> Outcome:
    """Return what comes of a DISCOVER where this server leases addresses."""
    return Site(**({"dhcp": Dhcp(range=ranges(".10-.12")), "pxe": BOOT} | settings)).discover(**says)


def proxied(settings: dict[str, Any], says: dict[str, Any]) -> Outcome:
    """Return what comes of a DISCOVER where this server is a proxy."""
    proxy = Proxy(Settings(**({"pxe": BOOT} | settings)), "eth0", int(OWN))
    return proxy.receive(message(options.DISCOVER, **says), direct=False)


@pytest.mark.parametrize("name", SAYS)
def test_every_boot_program_is_answered(name: str) -> None:
    """In full mode each of them, with the boot file; by a proxy all but those that would take it for more."""
    row, says, by_proxy = SAYS[name]
    outcome = full({}, says)
    reply = answer(outcome)
    file = b"http://10.0.0.1/x.efi" if row == "HTTP Boot" else b"boot.file"
    assert (reply.siaddr, reply.file) == (int(OWN), file)
    assert outcome.boots
    beside = proxied({}, says)
    if by_proxy:
        assert (answer(beside).yiaddr, answer(beside).file) == (0, file)
    else:
        assert beside.ignored == "takes no proxy's offer"
    client = outcome.request and outcome.request.client
    assert client
    assert (client.firmware.name if client.firmware else "") == row


def test_every_row_of_the_table_is_shown() -> None:
    assert {row.name for row in FIRMWARE} == {row for row, _, _ in SAYS.values()} - {""}


@pytest.mark.parametrize("number", ARCHITECTURES)
def test_an_architecture_is_enough(number: int) -> None:
    """RFC 4578 §2.1: only what boots over the network has one to name; whatever it calls itself."""
    assert full({}, {"vendor": b"Contoso", "o93": wire.octets(number, 2)}).data
    assert proxied({}, {"vendor": b"Contoso", "o93": wire.octets(number, 2)}).data


@pytest.mark.parametrize(
    "vendor", [b"", b"udhcp 1.36.1", b"MSFT 5.0", b"dhcpcd", b"d-i", b"Linux ipconfig", b"ROM"]
)
@pytest.mark.parametrize("ask", [full, proxied])
def test_others_are_not(vendor: bytes, ask: Any) -> None:
    assert ask({}, {"vendor": vendor}).ignored.startswith("not a PXE client")


def test_an_architecture_that_a_lease_remembers_is_not_said_by_the_client() -> None:
    """The system that was installed is a stranger again once its lease has ended."""
    site = Site()
    site.lease(o93=b"\0\7")
    assert site.discover(vendor=b"").data
    site.now += 7200
    assert site.discover(vendor=b"").ignored == "not a PXE client (answer_all is off)"


RELAYED = {"giaddr": int(OWN) + 99, "o82": b"\1\4port"}
SOMETHING = {
    "a boot file": {"boot_file": "special"},
    "options": {"option": (option("always domain-name=example.com"),)},
    "a file for iPXE": {"ipxe_file": "special"},
}
NAMED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # what a [class] has, and what a client says
    "vendor class": ({"vendor_class": "Contoso SPL"}, {"vendor": b"Contoso SPL 2"}),
    "maker": ({"mac": (MAC[:3],)}, STRANGER),
    "switch port": ({"circuit_id": (b"port",)}, STRANGER | RELAYED),
}


@pytest.mark.parametrize("tells", [*SOMETHING, "a delay"])
@pytest.mark.parametrize("by", NAMED)
def test_whom_a_class_names_is_answered(by: str, tells: str) -> None:
    """ONIE's options, a board's second stage: to tell it something is to want it answered."""
    conditions, says = NAMED[by]
    told = SOMETHING.get(tells, {"reply_delay": 0.1})
    assert full({"classes": {"x": Class(**conditions, **told)}}, says).data
    assert not full({"classes": {"x": Class(**conditions)}}, says).data, "a name alone tells nothing"


@pytest.mark.parametrize("tells", SOMETHING)
@pytest.mark.parametrize("known_by", ["mac", "guid", "client_id"])
def test_whom_a_host_names_is_answered(known_by: str, tells: str) -> None:
    who = {"mac": MAC, "guid": bytes(range(16)), "client_id": b"\xff\1\2"}[known_by]
    says = STRANGER | {"o61": b"\xff\1\2", "o97": b"\0" + bytes(range(16))}
    hosts = {"x": Host(**{known_by: who}, **SOMETHING[tells])}  # type: ignore[arg-type]
    assert full({"hosts": hosts}, says).data
    assert not full({"hosts": {"x": Host(**{known_by: who})}}, says).data  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "group",
    [
        Class(boot_file="x"),
        Class(ipxe=False, boot_file="x"),
        Class(ipxe=False, option=(option("domain-name=example.com"),)),
        Class(arch=("bios",), boot_file="x"),
    ],
    ids=["all", "anything but iPXE", "options", "an architecture"],
)
def test_a_class_of_no_client_in_particular_names_nobody(group: Class) -> None:
    assert not full({"classes": {"x": group}}, STRANGER).data
    assert not proxied({"classes": {"x": group}}, STRANGER).data


def test_a_menu_is_for_those_that_boot() -> None:
    assert not full({"menus": {"Debian": Menu(boot_file="x")}}, STRANGER).data


@pytest.mark.parametrize("by", NAMED)
def test_a_proxy_answers_whom_a_class_names_by_vendor_class_alone(by: str) -> None:
    """All that runs on a machine has its address, and some of it takes an offer without one for its own."""
    conditions, says = NAMED[by]
    outcome = proxied({"classes": {"x": Class(**conditions, boot_file="special")}}, says)
    assert bool(outcome.data) == (by == "vendor class")
    assert not proxied({"hosts": {"x": Host(mac=MAC, boot_file="x")}}, STRANGER).data


def test_a_class_wins_over_the_doubt_about_what_takes_a_proxys_offer() -> None:
    """Whoever writes the vendor class down knows the firmware better than the table."""
    _, says, _ = SAYS["Petitboot"]
    classes = {"openpower": Class(vendor_class="udhcp", boot_file="special")}
    assert answer(proxied({"classes": classes}, says)).file == b"special"


# As it was reported


def test_a_ti_boards_second_stage_by_dhcp() -> None:
    """Its ROM asks by BOOTP for MLO, which asks by DHCP as another class for U-Boot."""
    classes = {"spl": Class(vendor_class="AM335x U-Boot SPL", boot_file="u-boot.img")}
    assert answer(full({"classes": classes}, {"vendor": b"AM335x U-Boot SPL"})).file == b"u-boot.img"


def test_onie_is_told_its_options() -> None:
    url = b"http://10.0.0.1/onie"
    classes = {"onie": Class(vendor_class="onie_vendor", option=(option("114=" + url.decode()),))}
    reply = answer(
        full({"classes": classes, "pxe": Pxe()}, {"vendor": b"onie_vendor:x86", "o55": bytes([114])})
    )
    assert reply.options[114] == url


def test_u_boot_asks_a_proxy() -> None:
    """It reads the boot file of an offer without address, if it was built to, and else passes over it."""
    reply = answer(proxied({}, {"vendor": b"U-Boot.armv8", "o93": b"\0\x16"}))
    assert (reply.yiaddr, reply.siaddr, reply.file) == (0, int(OWN), b"boot.file")
