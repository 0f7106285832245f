"""Which replies firmware takes: 41 shapes that were shown to two of them, and all that we reply with.

The first table is what iPXE and EDK2 were seen to do with a reply of each shape. It holds the models of them
in firmware.py to that; these then judge our replies: each must boot, from the file that was meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.machine import Machine
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.proxy import Proxy
from ptftpd.dhcp.registry import option
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Dhcp, Menu, Pxe, Settings
from tests.machine import firmware
from tests.machine.dhcp_site import BIOS, EFI, MAC, NETWORK, OWN, message, ranges
from tests.machine.firmware import Booted, Heard, LocalDiskError, RefusedError

A, B, CLIENT = 0x0A4D0001, 0x0A4D0002, 0x0A4D0063  # the server, a proxy beside it, the client
FILE = b"bootA.bin"
SERVER_ID, MASK, LEASE = {54: wire.addresses(A)}, {1: b"\xff\xff\xff\0"}, {51: b"\0\0\2\x58"}
COMMON = SERVER_ID | LEASE | MASK
PXE = {60: b"PXEClient"}
USE_FILE = {43: b"\6\1\x08\xff"}
MENU = {43: b"\6\1\3\x0a\4\0PXE\x08\7\x80\0\1" + wire.addresses(B) + b"\x09\7\x80\0\4Boot\xff"}
FROM_PROXY = {54: wire.addresses(B)}


def shape(
    said: dict[int, bytes], *, siaddr: int = A, file: bytes = FILE, sname: bytes = b"", **how: Any
) -> Heard:
    """Return an offer with these options, and with an address unless how says otherwise."""
    fields = {name: how.pop(name) for name in ("cookie", "yiaddr") if name in how}
    kind = {} if how.pop("bootp", False) else {53: b"\2"}
    made = Message(
        op=2, siaddr=siaddr, file=file, sname=sname, options=kind | said, **({"yiaddr": CLIENT} | fields)
    )
    return Heard(made, **how)


def proxied(
    said: dict[int, bytes], *, siaddr: int = B, file: bytes = FILE, yiaddr: int = 0
) -> Sequence[Heard]:
    """Return the offer of a server that knows no boot files, and that of a proxy."""
    return shape(COMMON, siaddr=0, file=b""), shape(said, siaddr=siaddr, file=file, yiaddr=yiaddr)


@dataclass(frozen=True)
class Case:
    """What firmware hears, and what it boots then, from where; None for nothing."""

    name: str
    replies: Sequence[Heard]
    ipxe: Booted | None
    edk2: Booted | None
    answer: Heard | None = None  # of port 4011


def alone(
    name: str, reply: Heard, ipxe: bytes | None = FILE, edk2: bytes | None = FILE, server: int = A
) -> Case:
    """Return a case of one reply."""
    return Case(
        name, (reply,), Booted(ipxe, server) if ipxe else None, Booted(edk2, server) if edk2 else None
    )


AT_ONCE, AFTER_4011 = Booted(FILE, B), Booted(FILE, B, asked=True)
NONE: Booted | None = None


def answer(said: dict[int, bytes] = PXE, **how: int) -> Heard:
    """Return an answer of port 4011, to where it was asked from."""
    made = Message(op=2, siaddr=B, file=FILE, options={53: b"\5"} | FROM_PROXY | said)
    return Heard(made, **({"source_port": 4011, "to_port": 4011} | how))


def beside(
    name: str,
    replies: Sequence[Heard],
    ipxe: Booted | None,
    edk2: Booted | None,
    acknowledged: Heard | None = None,
) -> Case:
    """Return a case of two replies."""
    return Case(name, replies, ipxe, edk2, acknowledged or answer())


ECHO = {43: b"\x47\4\x80\0\0\0\xff"}
NOWHERE = {"siaddr": 0, "file": b""}
SHAPES = [
    alone("siaddr and file", shape(COMMON)),
    alone("siaddr and 67", shape(COMMON | {67: FILE}, file=b"")),
    alone("66 and 67, no siaddr", shape(COMMON | {66: b"10.77.0.1", 67: FILE}, **NOWHERE), ipxe=None),
    alone("67 only, no siaddr", shape(COMMON | {67: FILE}, **NOWHERE), ipxe=None),
    alone("sname and file, no siaddr", shape(COMMON, siaddr=0, sname=b"10.77.0.1"), ipxe=None),
    alone("60, no 43, nobody at 4011", shape(COMMON | PXE), edk2=None),
    alone("60 and 43 {6=8}", shape(COMMON | PXE | USE_FILE)),
    alone("no 54", shape(LEASE | MASK), edk2=None),
    alone("no 51", shape(SERVER_ID | MASK)),
    alone("not padded", shape(COMMON)),
    alone(
        "file overloaded",
        shape(COMMON | {67: FILE}, file=b"", raw_file=b"C\x09" + FILE + b"\xff"),
        ipxe=b"C\x09" + FILE + b"\xff",
    ),
    alone("file and another 67", shape(COMMON | {67: b"bootB.bin"}), edk2=b"bootB.bin"),
    alone("no mask", shape(SERVER_ID | LEASE), edk2=None),
    alone("unicast", shape(COMMON, unicast=True), edk2=None),
    alone("BOOTP with cookie", shape(MASK, bootp=True)),
    alone("BOOTP without cookie", shape({}, bootp=True, cookie=False), edk2=None),
    alone("67 ends with NUL", shape(COMMON | {67: FILE + b"\0"}, file=b"")),
    alone("no checksum", shape(COMMON)),
    alone("siaddr and another 66", shape(COMMON | {66: b"10.77.0.2"})),
    alone("67 with a slash", shape(COMMON | {67: b"/d/x"}, file=b""), ipxe=b"/d/x", edk2=b"/d/x"),
    alone("67 with a backslash", shape(COMMON | {67: b"d\\x"}, file=b""), ipxe=b"d\\x", edk2=b"d\\x"),
    alone("175.176", shape(COMMON | {175: b"\xb0\1\1"})),
    alone("66 is a name, no DNS", shape(COMMON | {66: b"tftp.example", 67: FILE}, **NOWHERE), ipxe=None),
    beside("60, siaddr, file", proxied(FROM_PROXY | PXE), AT_ONCE, AFTER_4011),
    beside("60, siaddr, 67", proxied(FROM_PROXY | PXE | {67: FILE}, file=b""), AT_ONCE, AFTER_4011),
    beside("60, 43 {6=8}, siaddr, file", proxied(FROM_PROXY | PXE | USE_FILE), AT_ONCE, AT_ONCE),
    beside("60 only", proxied(FROM_PROXY | PXE, file=b""), AFTER_4011, AFTER_4011),
    beside(
        "60, 43 menu", proxied(FROM_PROXY | PXE | MENU, **NOWHERE), AFTER_4011, AFTER_4011, answer(PXE | ECHO)
    ),
    beside("no 60", proxied(FROM_PROXY), NONE, NONE),
    beside("no 54 of the proxy", proxied(PXE), AT_ONCE, NONE),
    beside("97 echoed", proxied(FROM_PROXY | PXE | {97: bytes(17)}), AT_ONCE, AFTER_4011),
    beside("answer without 60", proxied(FROM_PROXY | PXE, file=b""), AFTER_4011, AFTER_4011, answer({})),
    beside("answer to 68", proxied(FROM_PROXY | PXE, file=b""), AFTER_4011, NONE, answer(to_port=68)),
    beside("1 s late", proxied(FROM_PROXY | PXE), AT_ONCE, AFTER_4011),
    beside("1.8 s late", proxied(FROM_PROXY | PXE), AT_ONCE, AFTER_4011),
    beside("3 s late", proxied(FROM_PROXY | PXE), AT_ONCE, AFTER_4011),
    beside("60, no siaddr", proxied(FROM_PROXY | PXE, **NOWHERE), AFTER_4011, AFTER_4011),
    beside(
        "60, 43 {6=8}, 67, no siaddr", proxied(FROM_PROXY | PXE | USE_FILE | {67: FILE}, **NOWHERE),
        AFTER_4011, AT_ONCE,
    ),
    beside("60, yiaddr set", proxied(FROM_PROXY | PXE, yiaddr=CLIENT), AT_ONCE, NONE),
    beside("answer is an OFFER", proxied(FROM_PROXY | PXE, file=b""), AFTER_4011, AFTER_4011,
           answer(PXE | {53: b"\2"})),
    beside("60, 43 menu, answer without 43", proxied(FROM_PROXY | PXE | MENU, **NOWHERE), NONE, AFTER_4011),
    beside("answer from 67", proxied(FROM_PROXY | PXE, file=b""), NONE, AFTER_4011, answer(source_port=67)),
]  # fmt: skip


def outcome(model: firmware.Firmware, case: Case) -> Booted | None:
    """Return what a firmware does, None when it boots nothing."""
    try:
        return model(case.replies, lambda _: case.answer)
    except RefusedError:
        return None


@pytest.mark.parametrize("case", SHAPES, ids=lambda case: case.name)
def test_the_models_do_what_the_firmware_was_seen_to_do(case: Case) -> None:
    assert outcome(firmware.ipxe, case) == case.ipxe
    assert outcome(firmware.edk2, case) == case.edk2


def test_there_are_all_shapes() -> None:
    assert len(SHAPES) == 42


# Our replies -----------------------------------------------------------------------------------

GUID = b"\0" + bytes(range(16))
EDK2_LIST = bytes(
    [1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97]
)
IPXE_LIST = bytes(
    [1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175, 203]
)
FEATURES = b"\xb1\5\1\x1a\xf4\x10\0\xeb\3\1\0\0"
SAYS: dict[str, dict[str, Any]] = {
    "ipxe": {
        "vendor": BIOS, "o93": b"\0\0", "o94": b"\1\2\1", "o77": b"iPXE", "o175": FEATURES, "o97": GUID,
        "o61": b"\1" + MAC, "o57": b"\5\xc0", "o55": IPXE_LIST,
    },
    "edk2": {
        "vendor": EFI, "o93": b"\0\7", "o94": b"\1\3\0", "o97": GUID, "o57": b"\5\xc0", "o55": EDK2_LIST,
        "flags": wire.BROADCAST,
    },
    "edk2-http": {
        "vendor": b"HTTPClient:Arch:00016:UNDI:003000", "o93": b"\0\x10", "o94": b"\1\3\0", "o97": GUID,
        "o57": b"\5\xc0", "o55": EDK2_LIST + b"\xeb", "flags": wire.BROADCAST,
    },
    "u-boot": {
        "vendor": b"U-Boot.armv8", "o93": b"\0\x16", "o57": b"\2\x40", "o55": bytes([1, 3, 6, 12, 15, 17]),
    },
    "petitboot": {"vendor": b"udhcp 1.36.1", "o93": b"\0\x0e", "o55": bytes([1, 3, 6, 66, 67, 209, 210])},
    "s390-ccw": {"vendor": b"", "o93": b"\0\x1f", "o55": bytes([1, 3, 6, 66, 67])},
    "u-root": {"vendor": b"PXE UROOT", "o55": bytes([1, 66, 67])},
}  # fmt: skip
MODELS = {
    "ipxe": firmware.ipxe, "edk2": firmware.edk2, "edk2-http": firmware.edk2_http, "u-boot": firmware.uboot,
    "petitboot": firmware.first_offer, "s390-ccw": firmware.first_offer, "u-root": firmware.first_offer,
}  # fmt: skip
URL = "http://10.0.0.1/boot.efi"
PXE_SETTINGS = Pxe(
    boot_file="any.img",
    boot=(
        ("bios", "bios.0"),
        ("x86_64-efi", "efi.efi"),
        ("x86_64-efi-http", URL),
        ("arm64-uboot", "arm.img"),
    ),
)
FILES = {"ipxe": b"bios.0", "edk2": b"efi.efi", "edk2-http": URL.encode(), "u-boot": b"arm.img"}
FILES |= dict.fromkeys(("petitboot", "s390-ccw", "u-root"), b"any.img")
MENUS = {"First": Menu(boot=PXE_SETTINGS.boot), "Disk": Menu(local=True)}
LARGE = tuple(option(f"always {code}=text:{'x' * 120}") for code in range(224, 236))


def boots(name: str, settings: Settings, **said: Any) -> Booted:
    """Return what a firmware does with the reply to what it says; RefusedError when it does not boot."""
    said = SAYS[name] | said
    proxy = Proxy(settings, "eth0", int(OWN))

    def ask(item: bytes) -> Heard | None:
        chosen = {"o43": b"\x47\4" + item + b"\xff"} if item else {}
        port = 68 if name == "ipxe" else 4011
        outcome = proxy.receive_boot_request(message(options.REQUEST, **(said | chosen)), ("10.0.0.9", port))
        return firmware.heard(outcome.data, source_port=4011, to_port=outcome.destination[1])

    asked = message(options.DISCOVER, **said)
    if settings.dhcp.mode == "proxy":
        outcome = proxy.receive(asked, direct=False)
        replies = [proxied({}, siaddr=0, file=b"")[0]]
    else:
        networks = Networks(plans(settings, "eth0", OWN, NETWORK))
        outcome = Machine(settings, "eth0", int(OWN), networks).receive(asked, 0, direct=False)
        replies = []
    assert outcome.data, outcome.ignored
    unicast = outcome.destination[0] != "255.255.255.255"
    replies.append(firmware.heard(outcome.data, unicast=unicast))
    return MODELS[name](replies, ask)


FULL, PROXY = Dhcp(range=ranges(".10-.99")), Dhcp(mode="proxy")
SERVICES = {
    "full": Settings(dhcp=FULL, pxe=PXE_SETTINGS),
    "full, much to tell": Settings(dhcp=replace(FULL, option=LARGE), pxe=PXE_SETTINGS),
    "full, router and DNS": Settings(
        dhcp=FULL, pxe=replace(PXE_SETTINGS, gateway=OWN + 253, name_server=(OWN + 1,))
    ),
    "full, menu": Settings(dhcp=FULL, pxe=PXE_SETTINGS, menus=MENUS),
    "proxy": Settings(dhcp=PROXY, pxe=PXE_SETTINGS),
    "proxy, menu": Settings(dhcp=PROXY, pxe=PXE_SETTINGS, menus=MENUS),
}


FIRST_OFFER = {name for name, model in MODELS.items() if model is firmware.first_offer}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", MODELS)
def test_every_firmware_boots_its_file_by_our_replies(name: str, service: str) -> None:
    settings = SERVICES[service]
    if settings.dhcp.mode == "proxy" and name in FIRST_OFFER:
        asked = message(options.DISCOVER, **SAYS[name])
        assert not Proxy(settings, "eth0", int(OWN)).receive(asked, direct=False).data
        return
    booted = boots(name, settings)
    assert (booted.file, booted.server) == (FILES[name], int(OWN))
    assert booted.asked == (bool(settings.menus) and name in {"ipxe", "edk2"})


@pytest.mark.parametrize("mode", ["full", "proxy"])
@pytest.mark.parametrize("name", ["ipxe", "edk2"])
@pytest.mark.parametrize("menus", [{"Disk": Menu(local=True)}, {"Disk": Menu(local=True)} | MENUS])
def test_a_menu_sends_them_to_the_local_disk(menus: dict[str, Menu], name: str, mode: str) -> None:
    """As the first entry, alone or before others: neither waits for what does not come."""
    settings = Settings(dhcp=replace(FULL, mode=mode), pxe=Pxe(), menus=menus)
    with pytest.raises(LocalDiskError):
        boots(name, settings)


@pytest.mark.parametrize("service", ["full", "full, much to tell", "proxy"])
@pytest.mark.parametrize("name", ["ipxe", "edk2"])
def test_they_boot_from_another_tftp_server_too(name: str, service: str) -> None:
    """siaddr, sname, 66, 67 and 150 all say the same: whichever the firmware reads, it is the right one."""
    settings = SERVICES[service]
    elsewhere = replace(settings, pxe=replace(PXE_SETTINGS, tftp_server=OWN + 7))
    assert boots(name, elsewhere).server == int(OWN) + 7


@pytest.mark.parametrize("length", [127, 128, 200])
def test_a_long_name(length: int) -> None:
    """EDK2 takes it from option 67 whether the file field has room for it or not; iPXE too."""
    file = "x" * length
    settings = Settings(dhcp=FULL, pxe=Pxe(boot_file=file))
    for name in ("ipxe", "edk2"):
        assert boots(name, settings).file == file.encode()


def test_the_smallest_reply_a_client_may_ask_for() -> None:
    """Option 57 of 576: file stays what it is, for iPXE reads no overloaded one."""
    settings = SERVICES["full, much to tell"]
    assert boots("ipxe", settings, o57=b"\2\x40").file == FILES["ipxe"]
    assert boots("edk2", settings, o57=b"\2\x40").file == FILES["edk2"]
