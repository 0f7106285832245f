"""The boot decision: what firmware says of itself, a row a quirk, and which rule wins."""

from __future__ import annotations

import itertools
import re
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.dhcp import pxe, registry
from ptftpd.dhcp.boot import Rule, Rules
from ptftpd.dhcp.pxe import Client
from ptftpd.dhcp.rules import circular, unresolvable
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Class, Dhcp, Host, Pxe, Settings

MAC = bytes.fromhex("525400123456")
GUID = bytes(range(16))
EFI = b"PXEClient:Arch:00007:UNDI:003000"


def client(**fields: object) -> Client:
    """Return a client, by default a UEFI machine's firmware."""
    facts: dict[str, object] = {
        "hardware": MAC,
        "architectures": ("x86_64-efi",),
        "vendor_class": EFI.decode(),
        "ipxe": False,
    }
    return Client(**(facts | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quirk", "options", "architectures", "is_pxe", "ipxe"),
    [
        ("edk2", {93: b"\0\7", 60: EFI}, ("x86_64-efi",), True, False),
        ("7 and 9 are both x86-64", {93: b"\0\x09", 60: EFI}, ("x86_64-efi",), True, False),
        ("bios", {93: b"\0\0", 60: b"PXEClient:Arch:00000:UNDI:002001"}, ("bios",), True, False),
        ("93 is a list", {93: b"\0\7\0\0\0\x09", 60: EFI}, ("x86_64-efi", "bios"), True, False),
        ("no 93, but Arch in 60", {60: EFI}, ("x86_64-efi",), True, False),
        ("Arch at the end of 60", {60: b"PXEClient:Arch:00006"}, ("i386-efi",), True, False),
        ("60 ends with NUL", {60: b"PXEClient\0"}, (), True, False),
        ("93 is half a number", {93: b"\7", 60: EFI}, ("x86_64-efi",), True, False),
        ("unknown number", {93: b"\1\2", 60: b"PXEClient"}, ("258",), True, False),
        ("ipxe with user class", {93: b"\0\0", 77: b"iPXE", 60: b"PXEClient"}, ("bios",), True, True),
        ("RFC 3004 user class", {77: b"\4iPXE"}, (), True, True),
        ("flexboot: 175 only", {93: b"\0\0", 175: b"\1\1\1", 60: b"PXEClient"}, ("bios",), True, True),
        ("http boot", {93: b"\0\x10", 60: b"HTTPClient:Arch:00016"}, ("x86_64-efi-http",), False, False),
        ("u-boot", {93: b"\0\x16", 60: b"U-Boot.armv8"}, ("arm64-uboot",), False, False),
        ("an installed system", {60: b"dhcpcd-9.4.1"}, (), False, False),
        ("nothing at all", {}, (), False, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_firmware(
    quirk: str, options: dict[int, bytes], architectures: tuple[str, ...], is_pxe: bool, ipxe: bool
) -> None:
    found = pxe.identify(Message(options=options))
    assert (found.architectures, found.is_pxe, found.ipxe) == (architectures, is_pxe, ipxe)


@pytest.mark.parametrize("maker", ["b827eb", "dca632", "e45f01", "d83add", "28cdc1", "2ccf67", "88a29e"])
def test_raspberry_pi(maker: str) -> None:
    """Its boot ROM says 0 or 41, with option 60 or without; EDK2, U-Boot and Linux on it are others."""
    board = bytes.fromhex(maker + "000001")
    for number, found in ((0, True), (41, True), (11, False), (22, False)):
        said = Message(chaddr=board.ljust(16, b"\0"), options={93: bytes([0, number])})
        assert pxe.identify(said).is_raspberry_pi == found
    assert not pxe.identify(Message(chaddr=board.ljust(16, b"\0"))).is_raspberry_pi
    other = Message(chaddr=MAC.ljust(16, b"\0"), options={93: b"\0\0"})
    assert not pxe.identify(other).is_raspberry_pi


def test_hardware() -> None:
    assert pxe.identify(Message(chaddr=MAC.ljust(16, b"\0"))).hardware == MAC
    assert pxe.identify(Message(htype=32, chaddr=MAC.ljust(16, b"\0"))).hardware == b""


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "x86_64-efi, PXEClient"),
        ({"ipxe": True}, "x86_64-efi, iPXE"),
        ({"architectures": ()}, "PXEClient"),
        ({"vendor_class": "", "architectures": ()}, ""),
    ],
)
def test_description(fields: dict[str, object], text: str) -> None:
    assert client(**fields).description == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("7", "x86_64-efi"),
        ("9", "x86_64-efi"),
        ("0", "bios"),
        ("X86_64-EFI", "x86_64-efi"),
        (" ipxe ", "ipxe"),
        ("6", "i386-efi"),
        ("10", "arm-efi"),
        ("11", "arm64-efi"),
        ("15", "i386-efi-http"),
        ("16", "x86_64-efi-http"),
        ("18", "arm-efi-http"),
        ("19", "arm64-efi-http"),
        ("20", "bios-http"),
        ("21", "arm-uboot"),
        ("22", "arm64-uboot"),
        ("25", "riscv32-efi"),
        ("27", "riscv64-efi"),
        ("37", "loongarch32-efi"),
        ("39", "loongarch64-efi"),
        ("41", "arm-rpiboot"),
        ("0099", "99"),
        ("65535", "65535"),
    ],
)
def test_architecture_names(text: str, name: str) -> None:
    """P6: the numbers of the IANA registry "Processor Architecture Types"; 7 and 9 as firmware has them."""
    assert pxe.architecture_name(text) == name


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "ptftpd.conf(5) has them all"),
        ("65536", "ptftpd.conf(5) has them all"),
        ("-1", "ptftpd.conf(5) has them all"),
        ("\u00b2", "ptftpd.conf(5) has them all"),
        ("x64-efi", "did you mean x86_64-efi"),
        ("bois", "did you mean bios?"),
    ],
)
def test_unknown_architecture_names(text: str, hint: str) -> None:
    """One sentence with what it may have been, not forty names."""
    reason = "must be an architecture, such as bios, x86_64-efi or ipxe, or a number of DHCP option 93; "
    with pytest.raises(ValueError, match=re.escape(reason + hint)):
        pxe.architecture_name(text)


@pytest.mark.parametrize("name", pxe.ALSO_CALLED)
def test_what_others_call_an_architecture(name: str) -> None:
    """In either case of letters; it is said what is meant, and not taken for it: some mean several."""
    for text in (name, name.upper()):
        with pytest.raises(ValueError, match=f"did you mean {pxe.ALSO_CALLED[name]}?"):
            pxe.architecture_name(text)
    assert pxe.ALSO_CALLED[name] in pxe.NAMES
    assert name not in (*pxe.NAMES, pxe.IPXE)


@pytest.mark.parametrize("name", [*pxe.NAMES, pxe.IPXE])
def test_names_in_upper_case(name: str) -> None:
    assert pxe.architecture_name(name.upper()) == name


def test_a_number_without_a_name() -> None:
    """It is matched by the rule that says the same number."""
    assert pxe.identify(Message(options={93: b"\0\x63"})).architectures == ("99",)


# From the most general on; each client below is matched by several. Their names, which count last, would
# often have it otherwise.
DEFAULT = Rule("default", "pxelinux.0")
TWO = Rule("a pair", "efi.efi", architectures=("x86_64-efi", "i386-efi"))
ONE = Rule("one", "x64.efi", architectures=("x86_64-efi",))
VENDOR = Rule("vendor", "vendor.efi", vendor_class="PXEClient")
LONGER = Rule("longer", "longer.efi", vendor_class="PXEClient:Arch:00007")
NOT_IPXE = Rule("not ipxe", "ipxe.efi", ipxe=False, architectures=("x86_64-efi",))
BIOS = Rule("bios", "pxelinux.0", architectures=("bios",))
IPXE = Rule("ipxe", "menu.ipxe", architectures=(pxe.IPXE,))
IPXE_TOO = Rule("ipxe too", "both.ipxe", architectures=(pxe.IPXE, "bios"))
HOST = Rule("host", "special.efi", mac=MAC)


@pytest.mark.parametrize(
    ("rules", "asks", "winner"),
    [
        ([DEFAULT], client(), DEFAULT),
        ([DEFAULT, TWO], client(), TWO),
        ([DEFAULT, TWO, ONE], client(), ONE),
        ([DEFAULT, TWO, ONE], client(architectures=("i386-efi",)), TWO),
        ([DEFAULT, TWO, ONE], client(architectures=("bios",)), DEFAULT),
        ([DEFAULT, TWO, ONE], client(architectures=()), DEFAULT),
        ([DEFAULT, ONE, VENDOR], client(), VENDOR),
        ([DEFAULT, ONE, VENDOR, LONGER], client(), LONGER),
        ([DEFAULT, ONE, VENDOR, LONGER], client(vendor_class="PXEClient"), VENDOR),
        ([DEFAULT, ONE, VENDOR, IPXE], client(), VENDOR),
        ([DEFAULT, ONE, VENDOR, IPXE], client(ipxe=True), IPXE),
        ([DEFAULT, ONE, LONGER, NOT_IPXE, IPXE], client(), NOT_IPXE),
        ([DEFAULT, ONE, LONGER, NOT_IPXE, IPXE], client(ipxe=True), IPXE),
        ([DEFAULT, ONE, IPXE, HOST], client(ipxe=True), IPXE),
        ([DEFAULT, ONE, IPXE, HOST], client(hardware=bytes(6)), ONE),
        ([DEFAULT, BIOS, ONE], client(architectures=("x86_64-efi", "bios")), ONE),
        ([DEFAULT, BIOS, ONE], client(architectures=("bios", "x86_64-efi")), BIOS),
        ([DEFAULT, BIOS, TWO], client(architectures=("x86_64-efi", "bios")), TWO),
        ([DEFAULT, BIOS, TWO], client(architectures=("arm64-efi", "bios")), BIOS),
        ([DEFAULT, ONE, IPXE_TOO], client(ipxe=True), IPXE_TOO),
        ([ONE], client(architectures=("bios",)), None),
        ([], client(), None),
    ],
)
def test_the_most_specific_rule_wins_in_any_order(
    rules: list[Rule], asks: Client, winner: Rule | None
) -> None:
    """P1, RFC 4578 §2.1: a client may name several architectures; the one that it names first counts more."""
    for order in itertools.permutations(rules):
        assert Rules(order).choose(asks) == winner


@pytest.mark.parametrize(
    ("boot_file", "named", "found"),
    [
        ("http://boot.example.com/x.efi", {}, True),
        ("http://192.0.2.1/x.efi", {}, False),
        ("http://[2001:db8::1]:80/x.efi", {}, False),
        ("http://${next-server}/x.ipxe", {}, False),
        ("http://[${net0/ip6}]/x.ipxe", {}, False),
        ("http://[2001:db8::1/x.efi", {}, False),
        ("grub:x.efi", {}, False),
        ("http://boot.example.com/x.efi", {"name_server": (IPv4Address("192.0.2.1"),)}, False),
    ],
)
def test_a_url_with_a_host_name_takes_a_dns_server(
    boot_file: str, named: dict[str, Any], found: bool
) -> None:
    """H2: HTTP Boot resolves it with option 6 alone."""
    settings = Settings(pxe=Pxe(boot_file=boot_file, **named))
    assert [rule.boot_file for rule in unresolvable(settings)] == ([boot_file] if found else [])
    told = Dhcp(option=(registry.option("domain-name-servers=192.0.2.1"),))
    assert unresolvable(Settings(pxe=settings.pxe, dhcp=told)) == []


@pytest.mark.parametrize(
    "boot_file", ["undionly.kpxe", "boot/ipxe.efi", "ipxe-x86_64.efi", "snponly.efi", "IPXE.PXE", "ipxe.lkrn"]
)
def test_ipxe_that_would_load_itself_for_ever(boot_file: str) -> None:
    """It asks again once it runs, and gets the same file, unless some rule has another one for it."""
    one, other = ("x86_64-efi", boot_file), ("ipxe", "menu.ipxe")
    assert origins(pxe=Pxe(boot=(one,))) == ["[pxe] boot x86_64-efi"]
    assert origins(pxe=Pxe(boot=(one, other))) == []
    assert origins(pxe=Pxe(boot=(one,)), classes={"x": Class(boot_file="x.ipxe", ipxe=True)}) == []
    assert origins(pxe=Pxe(boot_file=boot_file)) == ["[pxe] boot_file"]
    assert origins(pxe=Pxe(boot=(("ipxe", boot_file),))) == ["[pxe] boot ipxe"]


def origins(**sections: Any) -> list[str]:
    """Return which rules send iPXE to itself."""
    return [rule.origin for rule in circular(Settings(**sections))]


def test_a_host_that_loads_ipxe() -> None:
    """Its own ipxe_file is a way out for it alone."""
    hosts = {
        "in": Host(mac=MAC, boot_file="ipxe.efi"),
        "out": Host(mac=MAC[::-1], boot_file="ipxe.efi", ipxe_file="x.ipxe"),
    }
    assert origins(hosts=hosts) == ["[host in] boot_file"]
    assert origins(hosts=hosts, pxe=Pxe(boot=(("ipxe", "menu.ipxe"),))) == []


@pytest.mark.parametrize(
    "pxe_",
    [
        Pxe(boot_file="pxelinux.0"),
        Pxe(boot_file="menu.ipxe"),
        Pxe(boot_file="ipxe/grubx64.efi"),
        Pxe(boot=(("x86_64-efi-http", "http://192.0.2.1/ipxe.efi"),)),  # iPXE says x86_64-efi
    ],
)
def test_files_that_do_not_go_in_circles(pxe_: Pxe) -> None:
    """What iPXE runs may be called after it, or lie beside it."""
    assert origins(pxe=pxe_) == []


@given(
    st.lists(
        st.builds(
            Rule,
            origin=st.text(max_size=2),
            boot_file=st.sampled_from("ab"),
            mac=st.sampled_from([b"", MAC]),
            guid=st.sampled_from([b"", GUID]),
            client_id=st.sampled_from([b"", b"\1me"]),
            ipxe=st.sampled_from([None, True, False]),
            vendor_class=st.sampled_from(["", "PXE", "PXEClient"]),
            architectures=st.sampled_from([(), ("bios",), ("bios", "x86_64-efi"), ("ipxe",)]),
        ),
        max_size=5,
        unique_by=lambda rule: rule.origin,
    ),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_order_never_matters(rules: list[Rule], random: object, ipxe: bool) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    asks = client(ipxe=ipxe, guid=GUID, client_id=b"\1me")
    chosen = Rules(rules).choose(asks)
    assert chosen == Rules(shuffled).choose(asks)
    assert (chosen is None) == (not any(rule.matches(asks) for rule in rules))
    assert sorted(map(repr, Rules(rules).matching(asks))) == sorted(
        repr(rule) for rule in rules if rule.matches(asks)
    )


def test_the_rules_of_other_machines_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site may list thousands, by hardware address, by GUID, by client identifier."""
    rules = [DEFAULT]
    for number in range(100):
        octets = number.to_bytes(6, "big")
        rules += [
            Rule(f"a{number}", "file", mac=octets), Rule(f"b{number}", "file", guid=octets),
            Rule(f"c{number}", "file", client_id=octets),
        ]  # fmt: skip
    looked_at, matches = [], Rule.matches
    monkeypatch.setattr(Rule, "matches", lambda rule, asks: looked_at.append(rule) or matches(rule, asks))
    known = Rules(rules)
    for facts, origin in (({}, "default"), ({"guid": bytes(6)}, "b0"), ({"client_id": bytes(6)}, "c0")):
        rule = known.choose(client(**facts))
        assert rule
        assert rule.origin == origin
        assert known.matching(client(**facts))[0] == rule
    assert len(looked_at) < 20
