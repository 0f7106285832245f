"""Firmware quirks, a row each, named after them: what the firmware says, and what it must find in the reply.

Quirks that are no matter of one reply are shown elsewhere:

    rubbish behind a file name, serial numbers       tests/tftp/test_names.py
    who takes which reply                            test_firmware_replies.py
    several identities of one machine                test_dhcp_networks.py
    leases through a crash, DECLINE, quarantine      tests/netns/test_dhcp_crash.py, test_dhcp_pool.py
    an address that is probed while a ROM waits      test_dhcp_prober.py, tests/netns/test_dhcp_probe.py
    interfaces and ports that come later             tests/system/test_pxed.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.bootp import Bootp
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.proxy import Proxy
from ptftpd.dhcp.reply import RASPBERRY_PI
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Bootp as Choices
from ptftpd.settings import Class, Dhcp, Host, Menu, Pxe, Settings
from tests.machine.dhcp_site import BIOS, EFI, MAC, NETWORK, OWN, Site, answer, ip, message, ranges

URL = "http://10.0.0.1/boot.efi"
BOOT = Pxe(
    boot_file="default.0",
    boot=(("x86_64-efi", "x64.efi"), ("bios", "bios.0"), ("ipxe", "menu.ipxe"), ("x86_64-efi-http", URL)),
)
GUID = b"\0" + bytes(range(16))
PI_3, PI_4 = bytes.fromhex("b827eb000003"), bytes.fromhex("aabbcc000004")
OLD_ROM = {"vendor": b"PXEClient:Arch:00000:UNDI:002001", "o55": bytes([1, 3, 43, 60, 66, 67])}
SELECTS = {"o50": wire.addresses(ip(".10")), "o54": wire.addresses(int(OWN))}


@dataclass(frozen=True)
class Quirk:
    """What a client says (kind: 0 for BOOTP), and what is then in the reply and what is not."""

    name: str
    says: Mapping[str, Any]
    has: Mapping[str, Any] = field(default_factory=dict)  # header fields
    told: Mapping[int, bytes] = field(default_factory=dict)  # options
    not_told: frozenset[int] = frozenset()
    kind: int = options.DISCOVER
    settings: Mapping[str, Any] = field(default_factory=dict)
    to: str = "255.255.255.255"


QUIRKS = [
    # What sends it to port 4011 in vain
    Quirk(
        "EDK2 asks port 4011 when option 60 comes without 43",
        {"vendor": EFI, "o93": b"\0\7", "o55": bytes([43, 60, 67])},
        {"file": b"x64.efi"}, not_told=frozenset({43, 60}),
    ),
    Quirk(
        "EDK2 asks port 4011 of a proxy unless 43 {6=8} says that the file is here",
        {"vendor": EFI, "o93": b"\0\7"},
        {"yiaddr": 0, "file": b"x64.efi"}, {43: b"\6\1\x08\xff", 60: b"PXEClient"},
        settings={"dhcp": Dhcp(mode="proxy")},
    ),
    # File names
    Quirk("old ROMs read option 67 as a C string", OLD_ROM, told={67: b"bios.0\0"}),
    Quirk("iPXE takes the NUL for part of the name", OLD_ROM | {"o77": b"iPXE"}, told={67: b"menu.ipxe"}),
    Quirk("iPXE knows no server without siaddr", {"o77": b"iPXE"}, {"siaddr": int(OWN)}),
    Quirk("GRUB before 2.04 takes its prefix from file", {"o93": b"\0\7"}, {"file": b"x64.efi"}),
    Quirk(
        "U-Boot reads file and siaddr alone, and says what it is in option 60 alone",
        {"vendor": b"U-Boot.armv8"}, {"siaddr": int(OWN), "file": b"default.0"}, not_told=frozenset({60}),
    ),
    Quirk(
        "telephones and switches read 66 or 150",
        {"vendor": b"PXEClient", "o55": bytes([66, 150])}, told={66: b"10.0.0.1", 150: b"\x0a\0\0\1"},
    ),
    # Relays and addresses
    Quirk("EDK2 hears no unicast before it has an address", {"flags": 0}, to="255.255.255.255"),
    Quirk("a relay gets the reply itself", {"giaddr": ip(".200"), "flags": 0}, to="10.0.0.200"),
    Quirk(
        "a relay cannot send on a proxy's offer without the broadcast flag",
        {"giaddr": ip("10.5.0.1"), "flags": 0}, {"flags": wire.BROADCAST},
        settings={"dhcp": Dhcp(mode="proxy")}, to="10.5.0.1",
    ),
    Quirk("EDK2 declines an offer without mask", {"o55": b"\x43"}, told={1: b"\xff\xff\xff\0"}),
    # iPXE's loop
    Quirk("FlexBoot sends no user class, but option 175", {"o175": b"\1\1\1"}, {"file": b"menu.ipxe"}),
    Quirk("iPXE sends a bare user class", {"o77": b"iPXE"}, {"file": b"menu.ipxe"}),
    Quirk("others send the user class of RFC 3004", {"o77": b"\4iPXE"}, {"file": b"menu.ipxe"}),
    Quirk(
        "iPXE must not be handed the host's own boot file",
        {"o77": b"iPXE"}, {"file": b"menu.ipxe"},
        settings={"hosts": {"one": Host(mac=MAC, boot_file="ipxe.efi")}},
    ),
    # Architectures
    Quirk("EDK2 says 7 for x86-64", {"o93": b"\0\7"}, {"file": b"x64.efi"}),
    Quirk("RFC 4578 says 9 for x86-64", {"o93": b"\0\x09"}, {"file": b"x64.efi"}),
    Quirk("no option 93, but Arch in 60", {"vendor": EFI}, {"file": b"x64.efi"}),
    Quirk("neither", {"vendor": b"PXEClient"}, {"file": b"default.0"}),
    Quirk("an unknown number", {"vendor": b"PXEClient", "o93": b"\1\0"}, {"file": b"default.0"}),
    # GUIDs
    Quirk("no option 97", {"vendor": BIOS}, {"file": b"bios.0"}, not_told=frozenset({97})),
    Quirk("97 comes back as it is", {"vendor": BIOS, "o97": GUID}, told={97: GUID}),
    # Raspberry Pi
    Quirk(
        "the Raspberry Pi 3 wants its text in option 43",
        {"hardware": PI_3, "vendor": BIOS, "o93": b"\0\0"}, told={43: RASPBERRY_PI, 60: b"PXEClient"},
    ),
    Quirk(
        "the Raspberry Pi leaves option 60 out of its REQUEST",
        {"hardware": PI_3, "vendor": b"", "o93": b"\0\0"} | SELECTS,
        {"siaddr": int(OWN)}, {43: RASPBERRY_PI}, kind=options.REQUEST,
    ),
    Quirk(
        "the Raspberry Pi 4 may have any hardware address, but says RPi4 in its GUID",
        {"hardware": PI_4, "vendor": b"", "o93": b"\0\0", "o97": b"\0RPi4" + bytes(12)},
        told={43: RASPBERRY_PI},
    ),
    Quirk(
        "the Raspberry Pi wants its text from a proxy too",
        {"hardware": PI_3, "vendor": BIOS, "o93": b"\0\0"}, told={43: RASPBERRY_PI, 60: b"PXEClient"},
        settings={"dhcp": Dhcp(mode="proxy")},
    ),
    Quirk(
        "the Raspberry Pi compares option 43, and knows no menus",
        {"hardware": PI_3, "vendor": BIOS, "o93": b"\0\0"}, told={43: RASPBERRY_PI},
        settings={"menus": {"Debian": Menu(boot_file="x")}},
    ),
    # HTTP Boot
    Quirk(
        "HTTP Boot discards an offer that does not say HTTPClient",
        {"vendor": b"HTTPClient:Arch:00016:UNDI:003000", "o93": b"\0\x10"},
        {"file": URL.encode()}, {60: b"HTTPClient"},
    ),
    Quirk(
        "HTTP Boot has no use for the TFTP name of its host",
        {"vendor": b"HTTPClient:Arch:00016:UNDI:003000", "o93": b"\0\x10"}, {"file": URL.encode()},
        settings={"hosts": {"one": Host(mac=MAC, boot_file="bios.0")}},
    ),
    # BOOTP
    Quirk("SLOF asks for a file called bla", {"file": b"bla"}, {"file": b"default.0"}, kind=0),
    Quirk("klibc's ipconfig sends no vend field", {"cookie": False}, {"cookie": False}, kind=0),
]  # fmt: skip


def replied(quirk: Quirk) -> Outcome:
    """Return what comes of what the client says."""
    named = {"dhcp": Dhcp(range=ranges(".10-.12")), "pxe": BOOT} | quirk.settings
    settings = Settings(bootp=Choices(dynamic=True), **named)
    says = {"vendor": EFI} | quirk.says
    if not quirk.kind:
        networks = Networks(plans(Settings(), "eth0", OWN, NETWORK))
        machine = Bootp(settings, "eth0", int(OWN), networks, frozenset())
        return machine.receive(Message(chaddr=MAC.ljust(16, b"\0"), **quirk.says), 0.0)
    asked = message(quirk.kind, says.pop("hardware", MAC), **says)
    if settings.dhcp.mode == "proxy":
        return Proxy(settings, "eth0", int(OWN)).receive(asked, direct=False, source=asked.giaddr)
    site = Site(**named)
    site.networks.began = 0.0  # a REQUEST is of an offer from before
    return site.machine.receive(asked, 0.0, direct=False)


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_quirk(quirk: Quirk) -> None:
    outcome = replied(quirk)
    reply = answer(outcome)
    assert {name: getattr(reply, name) for name in quirk.has} == quirk.has
    assert {code: reply.options.get(code) for code in quirk.told} == quirk.told
    assert not quirk.not_told & set(reply.options)
    assert outcome.destination[0] == quirk.to


def test_no_quirk_rubs_off_on_another_client() -> None:
    """What replies have in common is made once: no client gets what was made for one of another kind."""
    plain = [quirk for quirk in QUIRKS if not quirk.settings and quirk.kind == options.DISCOVER]
    many = Site(Dhcp(range=ranges(".10-.99")), BOOT)
    for number, quirk in enumerate([*plain, *reversed(plain)]):
        says = {"vendor": EFI} | quirk.says
        prefix = says.pop("hardware", MAC)[:3]
        asked = message(options.DISCOVER, prefix + number.to_bytes(3, "big"), **says)
        alone = Site(Dhcp(range=ranges(".10-.99")), BOOT).machine
        replies = [answer(each.receive(asked, 0.0, direct=False)) for each in (many.machine, alone)]
        assert replies[0].options == replies[1].options, quirk.name
        assert replies[0].file == replies[1].file, quirk.name


def test_syslinux_forgets_what_it_is() -> None:
    """syslinux.efi repeats DHCP without 60 and 93: the lease remembers the architecture."""
    site = Site(pxe=BOOT)
    site.lease(o93=b"\0\7")
    assert answer(site.discover(vendor=b"")).file == b"x64.efi"


def test_raspberry_pi_3_misses_a_reply_that_comes_at_once() -> None:
    """[class] reply_delay, for its ROM alone; of a proxy too, and at port 4011."""
    site = Site(pxe=BOOT, classes={"pi": Class(mac=(PI_3[:3],), reply_delay=0.3)})
    assert site.discover(PI_3, vendor=BIOS, o93=b"\0\0").delay == 0.3
    assert site.discover().delay == 0
    proxy = Proxy(site.settings, "eth0", int(OWN))
    for hardware, delay in ((PI_3, 0.3), (MAC, 0)):
        asked = message(options.DISCOVER, hardware, vendor=BIOS, o93=b"\0\0")
        assert proxy.receive(asked, direct=False).delay == delay
        asked = message(options.REQUEST, hardware, vendor=BIOS, o93=b"\0\0")
        assert proxy.receive_boot_request(asked, ("10.0.0.9", 4011)).delay == delay
