"""PXE menus: what is offered, and what who chooses an entry gets (PXE 2.1 §2.2, §2.4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.menu import FIRST_TYPE
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.proxy import Proxy
from ptftpd.errors import ConfigError
from ptftpd.settings import Class, Host, Menu, Pxe, Settings
from tests.machine.dhcp_site import BIOS, EFI, MAC, OWN, Site, answer, ip, kind, message

MENU = {
    "Install Debian": Menu(boot=(("bios", "pxelinux.0"), ("x86_64-efi", "grubx64.efi"))),
    "Memory test": Menu(boot=(("bios", "memtest.0"),)),
    "Local disk": Menu(local=True),
    "Rescue": Menu(boot_file="rescue", boot=(("ipxe", "rescue.ipxe"),)),
}
PEER = ("10.0.0.99", 4011)
AT_BIOS = {"vendor": BIOS, "o93": b"\0\0"}
AT_UEFI = {"vendor": EFI, "o93": b"\0\7"}


def settings(menus: dict[str, Menu] = MENU, **named: Any) -> Settings:
    """Return settings with a menu that waits for three seconds."""
    pxe = named.pop("pxe", Pxe(boot_file="default.0", menu_prompt="F8!", menu_timeout=3))
    return Settings(pxe=pxe, menus=menus, **named)


def proxy(menus: dict[str, Menu] = MENU, **named: Any) -> Proxy:
    """Return a proxy with a menu."""
    return Proxy(settings(menus, **named), "eth0", int(OWN))


def offer(made: Proxy, **fields: Any) -> wire.Message:
    """Return a proxy's offer to a client."""
    return answer(made.receive(message(options.DISCOVER, **fields), direct=False))


def choose(entry_type: int, number: int = options.REQUEST, **fields: Any) -> Outcome:
    """Return what comes of choosing an entry, on port 4011."""
    item = b"\x47\4" + wire.octets(entry_type, 2) + b"\0\0\xff"
    return proxy().receive_boot_request(message(number, o43=item, **fields), PEER)


def suboptions(value: bytes) -> dict[int, bytes]:
    """Return what is encapsulated in an option 43."""
    found = {}
    while value[0] != wire.END:
        found[value[0]] = value[2 : 2 + value[1]]
        value = value[2 + value[1] :]
    return found


def texts(reply: wire.Message) -> list[bytes]:
    """Return the texts of the menu in a reply."""
    lines, found = suboptions(reply.options[options.VENDOR])[9], []
    while lines:
        found.append(lines[3 : 3 + lines[2]])
        lines = lines[3 + lines[2] :]
    return found


def test_the_octets_of_an_offer() -> None:
    """P4: no search but at the server listed for each type (6=7, 8), texts (9), prompt and timeout (10)."""
    reply = offer(proxy(), **AT_BIOS)
    own = wire.addresses(ip(".1"))
    assert suboptions(reply.options[options.VENDOR]) == {
        6: b"\7",
        8: b"\x80\0\1" + own + b"\x80\1\1" + own + b"\x80\3\1" + own,
        9: b"\x80\0\x0eInstall Debian\x80\1\x0bMemory test\0\0\x0aLocal disk\x80\3\6Rescue",
        10: b"\3F8!",
    }
    assert reply.options[options.VENDOR].endswith(b"\xff")
    assert reply.options[options.VENDOR_CLASS] == b"PXEClient"


def test_who_shows_no_menu_boots_the_first_entry() -> None:
    """siaddr and file say so beside the menu: GRUB takes its server from there too."""
    reply = offer(proxy(), **AT_UEFI)
    assert (reply.siaddr, reply.file) == (ip(".1"), b"grubx64.efi")
    local_first = offer(proxy({"Disk": Menu(local=True)} | MENU), **AT_UEFI, o55=b"\x43")
    assert (local_first.siaddr, local_first.file) == (ip(".1"), b"")
    assert options.BOOT_FILE not in local_first.options


def test_entries_that_the_architecture_has_a_file_for() -> None:
    assert texts(offer(proxy(), **AT_UEFI)) == [b"Install Debian", b"Local disk", b"Rescue"]
    only_bios = proxy({"Memory test": MENU["Memory test"], "Local disk": Menu(local=True)})
    reply = offer(only_bios, **AT_UEFI)
    assert reply.file == b"default.0", "with nothing but the local disk to choose, it is no menu"
    assert reply.options[options.VENDOR] == b"\x06\x01\x08\xff"


DISK = {"Local disk": Menu(local=True)}


@pytest.mark.parametrize("pxe", [Pxe(menu_timeout=10), Pxe(boot_file="default.0", menu_timeout=10)])
@pytest.mark.parametrize("client", [AT_BIOS, AT_UEFI], ids=["bios", "uefi"])
def test_a_menu_of_the_local_disk_alone(client: dict[str, Any], pxe: Pxe) -> None:
    """Item 0, at once: EDK2 turns to its disk after 4 s, and after 62 s without an option 43."""
    made = proxy(DISK, pxe=pxe)
    full = answer(Site(pxe=pxe, menus=DISK).discover(**client))
    for reply in (offer(made, **client), full):
        assert suboptions(reply.options[options.VENDOR]) == {
            6: b"\7", 9: b"\0\0\x0aLocal disk", 10: b"\0Press F8 for the boot menu",
        }  # fmt: skip
        assert reply.options[options.VENDOR_CLASS] == b"PXEClient"
        assert reply.file == b""


def test_the_local_disk_where_nothing_else_is_for_the_architecture() -> None:
    """No rule has a file for it, so it is told that the disk is all there is; without [menu], nothing."""
    menus = {"Memory test": MENU["Memory test"], "Local disk": Menu(local=True)}
    nothing = Pxe(boot=(("bios", "pxelinux.0"),))
    assert texts(offer(proxy(menus, pxe=nothing), **AT_UEFI)) == [b"Local disk"]
    without = Proxy(Settings(pxe=nothing), "eth0", int(OWN))
    assert (
        without.receive(message(options.DISCOVER, **AT_UEFI), direct=False).ignored
        == "no boot file for this client"
    )
    alone = answer(Site(pxe=nothing).discover(**AT_UEFI))
    assert not {options.VENDOR, options.VENDOR_CLASS} & set(alone.options)


def test_in_full_mode_the_menu_comes_with_the_address() -> None:
    """Option 60 as well, or the firmware would not look into 43; both in offer and acknowledgement."""
    site = Site(menus=MENU)
    offered = answer(site.discover(**AT_BIOS))
    for reply in (offered, answer(site.select(offered.yiaddr, **AT_BIOS))):
        assert reply.yiaddr == ip(".10")
        assert reply.options[options.VENDOR_CLASS] == b"PXEClient"
        assert texts(reply)[0] == b"Install Debian"
        assert reply.file == b"pxelinux.0"


@pytest.mark.parametrize("number", [options.REQUEST, options.INFORM])
@pytest.mark.parametrize(
    ("entry", "client", "file"),
    [(0, AT_BIOS, b"pxelinux.0"), (0, AT_UEFI, b"grubx64.efi"), (3, AT_UEFI, b"rescue")],
)
def test_the_chosen_entry(number: int, entry: int, client: dict[str, Any], file: bytes) -> None:
    """P5: ACK with siaddr and file, type and layer echoed in 71, to where the request came from."""
    outcome = choose(FIRST_TYPE + entry, number, **client)
    reply = answer(outcome)
    assert kind(reply) == options.ACK
    assert (reply.yiaddr, reply.siaddr, reply.file) == (0, ip(".1"), file)
    assert reply.options[options.VENDOR] == b"\x47\4\x80" + bytes([entry]) + b"\0\0\xff"
    assert outcome.destination == PEER
    assert f"boot file {file.decode()} from 10.0.0.1" in outcome.done


def test_the_layer_comes_back() -> None:
    """P5, PXE 2.1 §2.4.5: type and layer as they were asked for; there is one file for every layer."""
    asked = message(options.REQUEST, o43=b"\x47\4\x80\0\0\7\xff", **AT_BIOS)
    reply = answer(proxy().receive_boot_request(asked, PEER))
    assert (reply.file, reply.options[options.VENDOR]) == (b"pxelinux.0", b"\x47\4\x80\0\0\7\xff")


@pytest.mark.parametrize("entry", [1, 2, 4])
def test_an_entry_that_is_not_served(entry: int) -> None:
    """P5: silence when there is no such entry, or none for this architecture, or it is the local disk's."""
    outcome = choose(FIRST_TYPE + entry, **AT_UEFI)
    assert outcome.ignored == "asks for a boot file that is not served here"
    assert not outcome.data


def test_who_asks_4011_without_a_choice_gets_the_menu() -> None:
    """A client to which another proxy, or an old offer, said no more than PXEClient."""
    asked = message(options.REQUEST, **AT_BIOS)
    assert texts(answer(proxy().receive_boot_request(asked, PEER)))[0] == b"Install Debian"


@given(st.binary(max_size=12), st.sampled_from([options.REQUEST, options.INFORM]))
def test_no_option_43_breaks_it(value: bytes, number: int) -> None:
    """Whatever is asked for: the menu, an entry, or silence."""
    outcome = proxy().receive_boot_request(message(number, o43=value, **AT_BIOS), PEER)
    assert bool(outcome.data) != bool(outcome.ignored)


@pytest.mark.parametrize(
    ("named", "said", "file"),
    [
        ({"hosts": {"one": Host(mac=MAC, boot_file="host.0")}}, AT_BIOS, b"host.0"),
        ({"classes": {"some": Class(mac=(MAC[:3],), boot_file="class.0")}}, AT_BIOS, b"class.0"),
        ({"pxe": Pxe(boot=(("ipxe", "menu.ipxe"),))}, AT_BIOS | {"o77": b"iPXE"}, b"menu.ipxe"),
    ],
    ids=["host", "class", "ipxe"],
)
def test_a_more_specific_rule_wins_over_the_menu(
    named: dict[str, Any], said: dict[str, Any], file: bytes
) -> None:
    """One decision: the menu stands in the place of what the architecture alone would choose."""
    reply = offer(proxy(**named), **said)
    assert reply.file == file
    assert reply.options[options.VENDOR] == b"\x06\x01\x08\xff"


@pytest.mark.parametrize(
    "said",
    [
        {"vendor": b"HTTPClient:Arch:00016:UNDI:003001", "o93": b"\0\x10"},
        {"vendor": b"U-Boot.armv8", "o93": b"\0\x16"},
        {"vendor": b"", "o77": b"iPXE"},
    ],
    ids=["http", "u-boot", "ipxe without class"],
)
def test_who_is_no_pxe_firmware_sees_no_menu(said: dict[str, Any]) -> None:
    site = Site(pxe=Pxe(boot_file="http://x/y"), menus=MENU)
    site.lease()  # so that it answers whoever this machine is later
    reply = answer(site.discover(**said))
    assert reply.file == b"http://x/y"
    assert options.VENDOR not in reply.options


def test_a_raspberry_pi_sees_its_own_text_only() -> None:
    """Its ROM compares option 43 with one text."""
    reply = offer(proxy(), hardware=bytes.fromhex("dca632000001"), **AT_BIOS)
    assert b"Raspberry Pi Boot" in reply.options[options.VENDOR]
    assert b"Install" not in reply.options[options.VENDOR]


@pytest.mark.parametrize(
    ("menus", "error"),
    [
        ({"Nothing": Menu()}, r"\[menu Nothing\]: must have boot_file or boot, or else local = yes"),
        ({"Both": Menu(local=True, boot_file="x")}, r"\[menu Both\]: must have boot_file or boot, or else"),
        ({"Größe": Menu(local=True)}, r"\[menu Größe\]: must be ASCII"),
        (
            {f"{n} {'long' * 20}": Menu(boot_file="x") for n in range(3)},
            r"\[menu 2 (long)+\]: makes the menu \d+ octets too long: shorten texts or the prompt",
        ),
    ],
)
def test_a_menu_that_firmware_could_not_show(menus: dict[str, Menu], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        proxy(menus)


def test_as_long_a_menu_as_there_may_be() -> None:
    """Option 43 of 255 octets; one more is refused."""
    menus = {"x" * 100: Menu(boot_file="x"), "y" * 121: Menu(boot_file="y")}
    assert len(offer(proxy(menus)).options[options.VENDOR]) == 255
    with pytest.raises(ConfigError, match="makes the menu 1 octets too long"):
        proxy({"x" * 101: Menu(boot_file="x"), "y" * 121: Menu(boot_file="y")})
