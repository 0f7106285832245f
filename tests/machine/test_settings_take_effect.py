"""What is accepted has an effect: each setting of DHCP changes something, or it is told that it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from ptftpd.dhcp import advice, options, wire
from ptftpd.dhcp.bootp import Bootp as BootpMachine
from ptftpd.dhcp.machine import Machine
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.proxy import Proxy
from ptftpd.dhcp.registry import option
from ptftpd.dhcp.served import choose
from ptftpd.option import options as keys
from ptftpd.settings import Bootp, Class, Dhcp, Host, Menu, Pxe, Settings, Subnet
from tests.machine.dhcp_site import BIOS, EFI, MAC, OWN, ip, mac, message, ranges

GUID, CLIENT_ID = bytes(range(16)), b"\xff\1\2\3"
FAR, RELAY = IPv4Network("192.168.7.0/24"), ip("192.168.7.1")
SPAN = (IPv4Address("192.168.7.10"), IPv4Address("192.168.7.12"))
ADDRESSES = [IPv4Interface("10.0.0.1/24"), IPv4Interface("10.9.0.1/24")]
ALL_OPTIONS = bytes([1, 3, 6, 15, 42, 43, 60, 66, 67, 150])
AT_PORT = {"giaddr": RELAY, "source": RELAY, "o82": b"\1\4port\2\6switch"}
URL = "http://10.0.0.1/x"
# Clients of every kind; each DISCOVERs, and what is offered is taken, renewed and declined.
CLIENTS: list[dict[str, Any]] = [
    {"vendor": EFI, "o93": b"\0\7"},
    {"hardware": mac(1), "vendor": BIOS, "o93": b"\0\0"},
    {"hardware": mac(2), "vendor": EFI, "o93": b"\0\7", "o77": b"iPXE"},
    {"hardware": mac(3), "vendor": b"HTTPClient:Arch:00016", "o93": b"\0\x10"},
    {"hardware": mac(4), "vendor": b"dhcpcd"},
    {"hardware": mac(5), "vendor": EFI, "o61": CLIENT_ID, "o97": b"\0" + GUID, "o51": b"\0\0\0\1"},
    {"hardware": mac(6), "vendor": EFI, "o61": CLIENT_ID, "o51": b"\xff\xff\xff\xff"},
    {"hardware": mac(7), "vendor": EFI, "o93": b"\0\7"} | AT_PORT,
    {"hardware": mac(8), "vendor": EFI, "o82": b"\1\4port"},
    {"hardware": mac(9), "vendor": EFI, "giaddr": ip("172.16.0.1"), "o118": wire.addresses(RELAY)},
]


def behaviour(settings: Settings) -> list[object]:
    """Return all that comes of the messages of all clients."""
    return [
        (outcome.data, outcome.delay, outcome.destination, bool(outcome.ignored), outcome.done,
         [(lease.address, lease.expires, lease.seconds) for lease in outcome.commit])
        for outcome in _outcomes(settings)
    ]  # fmt: skip


def _outcomes(settings: Settings) -> Iterator[Outcome]:
    own = choose(settings, "eth0", ADDRESSES)
    networks = Networks(plans(settings, "eth0", own.ip, own.network, ADDRESSES))
    machine = Machine(settings, "eth0", int(own.ip), networks)
    proxy, bootp = (
        Proxy(settings, "eth0", int(own.ip)),
        BootpMachine(settings, "eth0", int(own.ip), networks, frozenset()),
    )
    for client in CLIENTS:
        says = {"o55": ALL_OPTIONS} | client
        say = partial(_say, machine, proxy if settings.dhcp.mode == "proxy" else None, says)
        yield (offered := say(options.DISCOVER))
        yield say(options.REQUEST, o50=wire.addresses(ip(".77")))
        chosen = {each: value for each, value in says.items() if each not in {"hardware", "source"}}
        asked = message(options.REQUEST, **(chosen | {"o43": b"\x47\4\x80\0\0\0\xff"}))
        yield proxy.receive_boot_request(asked, ("10.0.0.9", 4011))
        if not offered.data:
            continue
        reply = wire.decode(offered.data)
        taken = {"o50": wire.addresses(reply.yiaddr), "o54": reply.options[options.SERVER_ID]}
        yield say(options.REQUEST, **taken)
        if client is CLIENTS[0]:
            yield say(options.DECLINE, **taken)
    for cookie in (True, False):
        asked = message(0, mac(20), cookie=cookie)
        asked.options = {} if not cookie else {60: BIOS}
        yield bootp.receive(asked, 0.0)


def _say(machine: Machine, proxy: Proxy | None, says: dict[str, Any], kind: int, **more: Any) -> Outcome:
    said = says | more
    source, name = said.pop("source", 0), said.pop("hardware", MAC)
    asked = message(kind, name, **said)
    if proxy:
        return proxy.receive(asked, direct=False)
    return machine.receive(asked, 0.0, direct=False, source=source)


BASE: dict[str, Any] = {
    "dhcp": Dhcp(range=ranges(".10-.40"), quarantine=100.0),
    "pxe": Pxe(boot_file="base.0", boot=(("x86_64-efi-http", URL),)),
    "subnets": {"far": Subnet(network=FAR, range=(SPAN,))},
    "hosts": {"bootp": Host(mac=mac(20), address=OWN + 19)},
}
OPTION = (option("always domain-name=example.com"),)
SERVER = IPv4Address("10.0.0.5")
SHOWN_ELSEWHERE = {  # what is no matter of a machine, and the test that shows it
    ("dhcp", "mode"): "tests/machine/test_dhcp_server.py",
    ("dhcp", "probe"): "tests/machine/test_dhcp_prober.py",
    ("dhcp", "bootp"): "tests/machine/test_dhcp_server.py",
    ("dhcp", "state_dir"): "tests/faults/test_database.py",
    ("pxe", "root"): "tests/tftp/test_catalog.py",
    ("class", "rollover"): "tests/tftp/test_clients.py",
}
Change = Callable[[dict[str, Any]], dict[str, Any]]


def of(section: str, **values: Any) -> Change:
    """Return what sets keys of a section."""
    return lambda base: base | {section: replace(base[section], **values)}


def named(kind: str, section: Any) -> Change:
    """Return what adds a section with a name."""
    return lambda base: base | {kind: base.get(kind, {}) | {"x": section}}


def of_class(**values: Any) -> Change:
    return named("classes", Class(**({"boot_file": "class.0"} | values)))


def of_host(**values: Any) -> Change:
    return named("hosts", Host(**({"boot_file": "host.0"} | values)))


def of_far(**values: Any) -> Change:
    return lambda base: base | {"subnets": {"far": replace(base["subnets"]["far"], **values)}}


def of_menu(**values: Any) -> Change:
    return named("menus", Menu(**values))


def without_hosts(base: dict[str, Any]) -> dict[str, Any]:
    """Take the reservation of BASE out."""
    return base | {"hosts": {}}


WITH_MENU = of_menu(boot_file="menu.0")
EFFECTS: dict[tuple[str, str], tuple[Change, Change | None]] = {  # the setting; what else is set
    ("dhcp", "address"): (
        lambda base: without_hosts(of("dhcp", address=IPv4Address("10.9.0.1"), range=())(base)),
        lambda base: without_hosts(of("dhcp", range=())(base)),
    ),
    ("dhcp", "range"): (of("dhcp", range=ranges(".20-.40")), None),
    ("dhcp", "exclude"): (of("dhcp", exclude=ranges(".10-.11")), None),
    ("dhcp", "lease_time"): (of("dhcp", lease_time=7200.0), None),
    ("dhcp", "min_lease_time"): (of("dhcp", min_lease_time=600.0), None),
    ("dhcp", "max_lease_time"): (of("dhcp", max_lease_time=7200.0), None),
    ("dhcp", "answer_all"): (of("dhcp", answer_all=True), None),
    ("dhcp", "authoritative"): (of("dhcp", authoritative=True), None),
    ("dhcp", "identity"): (of("dhcp", identity="client-id"), None),
    ("dhcp", "trust_option_82"): (of("dhcp", trust_option_82=True), None),
    ("dhcp", "relays"): (of("dhcp", relays=(IPv4Address("172.16.0.1"),)), None),
    ("dhcp", "reserve"): (of("dhcp", reserve=((MAC, OWN + 77),)), None),
    ("dhcp", "quarantine"): (of("dhcp", quarantine=200.0), None),
    ("dhcp", "option"): (of("dhcp", option=OPTION), None),
    ("bootp", "dynamic"): (lambda base: without_hosts(base | {"bootp": Bootp(dynamic=True)}), without_hosts),
    ("bootp", "always_rfc1048"): (lambda base: base | {"bootp": Bootp(always_rfc1048=True)}, None),
    ("pxe", "boot_file"): (of("pxe", boot_file="other.0"), None),
    ("pxe", "boot"): (of("pxe", boot=(("bios", "bios.0"),)), None),
    ("pxe", "tftp_server"): (of("pxe", tftp_server=SERVER), None),
    ("pxe", "gateway"): (of("pxe", gateway=SERVER), None),
    ("pxe", "name_server"): (of("pxe", name_server=(SERVER,)), None),
    ("pxe", "menu_prompt"): (of("pxe", menu_prompt="F8!"), WITH_MENU),
    ("pxe", "menu_timeout"): (of("pxe", menu_timeout=3), WITH_MENU),
    ("class", "arch"): (of_class(arch=("bios",)), None),
    ("class", "ipxe"): (of_class(ipxe=True), None),
    ("class", "vendor_class"): (of_class(vendor_class="dhcpcd"), None),
    ("class", "mac"): (of_class(mac=(mac(1),)), None),
    ("class", "circuit_id"): (of_class(circuit_id=(b"port",)), None),
    ("class", "remote_id"): (of_class(remote_id=(b"switch",)), None),
    ("class", "boot_file"): (of_class(arch=("bios",)), None),
    ("class", "ipxe_file"): (of_class(arch=("x86_64-efi",), boot_file="", ipxe_file="x.ipxe"), None),
    ("class", "reply_delay"): (of_class(arch=("bios",), boot_file="", reply_delay=0.5), None),
    ("class", "option"): (of_class(arch=("bios",), boot_file="", option=OPTION), None),
    ("host", "mac"): (of_host(mac=mac(1)), None),
    ("host", "address"): (of_host(mac=mac(1), address=OWN + 50), of_host(mac=mac(1))),
    ("host", "guid"): (of_host(guid=GUID), None),
    ("host", "client_id"): (of_host(client_id=CLIENT_ID), None),
    ("host", "boot_file"): (of_host(mac=mac(1)), None),
    ("host", "ipxe_file"): (of_host(mac=mac(2), boot_file="", ipxe_file="x.ipxe"), None),
    ("host", "option"): (of_host(mac=mac(1), boot_file="", option=OPTION), None),
    ("subnet", "network"): (of_far(network=IPv4Network("192.168.6.0/23")), None),
    ("subnet", "range"): (of_far(range=(SPAN[1:] * 2,)), None),
    ("subnet", "exclude"): (of_far(exclude=(SPAN[:1] * 2,)), None),
    ("subnet", "gateway"): (of_far(gateway=IPv4Address(RELAY)), None),
    ("subnet", "name_server"): (of_far(name_server=(SERVER,)), None),
    ("subnet", "lease_time"): (of_far(lease_time=600.0), None),
    ("subnet", "option"): (of_far(option=OPTION), None),
    ("menu", "boot_file"): (of_menu(boot_file="menu.0"), None),
    ("menu", "boot"): (of_menu(boot=(("bios", "menu.0"),)), None),
    ("menu", "local"): (of_menu(local=True), None),
}  # fmt: skip


def told(settings: Settings, mode: str = "full", **more: Any) -> list[str]:
    """Return what is said of the settings."""
    own = choose(settings, "eth0", ADDRESSES)
    return list(
        advice.doubts(settings, plans(settings, "eth0", own.ip, own.network, ADDRESSES), mode, **more)
    )


@pytest.mark.parametrize(("section", "key"), EFFECTS)
def test_each_setting_changes_something(section: str, key: str) -> None:
    """And then nothing is said of it."""
    change, besides = EFFECTS[section, key]
    base = besides(BASE) if besides else BASE
    with_it = Settings(**change(base))
    assert behaviour(with_it) != behaviour(Settings(**base))
    assert not [sentence for sentence in told(with_it) if f"] {key}" in sentence and section != "bootp"]


def test_no_setting_is_left_out() -> None:
    """A new one has a row, or a test elsewhere."""
    kinds = {
        "dhcp": Dhcp,
        "pxe": Pxe,
        "bootp": Bootp,
        "class": Class,
        "host": Host,
        "subnet": Subnet,
        "menu": Menu,
    }
    every = {(section, key) for section, kind in kinds.items() for key in keys(kind)}
    assert every == set(EFFECTS) | set(SHOWN_ELSEWHERE)


WITHOUT: list[tuple[str, dict[str, Any], str]] = [  # what does nothing there, and how that is told
    ("a host of no name", {"hosts": {"x": Host(address=SERVER)}}, "[host x]: matches no DHCP client"),
    ("an empty host", {"hosts": {"x": Host()}}, "[host x]: matches no DHCP client"),
    ("a class without condition", {"classes": {"x": Class(boot_file="x")}}, "[class x]: has no condition"),
    (
        "a class of iPXE that is not iPXE",
        {"classes": {"x": Class(arch=("ipxe",), ipxe=False, boot_file="x")}},
        "[class x] ipxe = no: matches nobody",
    ),
    (
        "a second file for iPXE",
        {"classes": {"x": Class(ipxe=True, boot_file="x", ipxe_file="y")}},
        "[class x] ipxe_file = y: has no effect",
    ),
    (
        "two classes of the same clients",
        {"classes": {"b": Class(arch=("bios",), boot_file="x"), "a": Class(arch=("bios",), boot_file="y")}},
        "[class b] boot_file = x: has no effect: [class a] has the same conditions",
    ),
    ("a range that is excluded", {"subnets": {"far": Subnet(network=FAR, range=(SPAN,), exclude=(SPAN,))}},
     "[subnet far] exclude: no address can be leased there"),
    ("a subnet without range", {"subnets": {"far": Subnet(network=FAR)}}, "[subnet far] range: no address"),
    (
        "an exclusion beside the ranges",
        {"dhcp": Dhcp(range=ranges(".10-.20"), exclude=ranges(".30-.40"))},
        "[dhcp] exclude = 10.0.0.30-10.0.0.40: has no effect",
    ),
    ("a router elsewhere", {"pxe": Pxe(gateway=IPv4Address("10.9.9.9"))}, "[pxe] gateway = 10.9.9.9: is not"),
    (
        "a subnet's router elsewhere",
        {"subnets": {"far": Subnet(network=FAR, range=(SPAN,), gateway=SERVER)}},
        "[subnet far] gateway = 10.0.0.5: is not in",
    ),
    ("a bound below the time", {"dhcp": Dhcp(max_lease_time=600.0)}, "[dhcp] max_lease_time = 600: is less"),
    ("BOOTP that is off", {"bootp": Bootp(dynamic=True)}, "[bootp] dynamic: has no effect: BOOTP is off"),
    ("a prompt without menu", {"pxe": Pxe(menu_prompt="F8!")}, "[pxe] menu_prompt = F8!: has no effect"),
    ("a timeout without menu", {"pxe": Pxe(menu_timeout=3)}, "[pxe] menu_timeout = 3: has no effect"),
    (
        "a file by TFTP for HTTP Boot",
        {"pxe": Pxe(boot=(("x86_64-efi-http", "x.efi"),))},
        "[pxe] boot = x86_64-efi-http=x.efi: has no effect: HTTP Boot takes only a URL",
    ),
    (
        "a menu for HTTP Boot",
        {"menus": {"x": Menu(boot=(("x86_64-efi-http", URL),))}},
        "[menu x] boot = x86_64-efi-http=http://10.0.0.1/x: has no effect: HTTP Boot shows no menus",
    ),
    (
        "two files for one architecture",
        {"pxe": Pxe(boot=(("x86_64-efi", "a"), ("x86_64-efi", "b")))},
        "[pxe] boot = x86_64-efi=b: has no effect: another file for x86_64-efi",
    ),
    (
        "an option twice",
        {"dhcp": Dhcp(option=(option("domain-name=a"), option("15=b")))},
        "[dhcp] option = domain-name=a: has no effect: 15=b comes after it",
    ),
    ("a server 0.0.0.0", {"pxe": Pxe(name_server=(IPv4Address(0),))}, "[pxe] name_server = 0.0.0.0: 0.0.0.0"),
    (
        "a server 0.0.0.0 in an option",
        {"dhcp": Dhcp(option=(option("ntp-servers=10.0.0.9 0.0.0.0"),))},
        "[dhcp] option = ntp-servers=10.0.0.9 0.0.0.0: 0.0.0.0 is the address of no server",
    ),
    (
        "a class's server 0.0.0.0",
        {"classes": {"x": Class(arch=("bios",), option=(option("150=0.0.0.0"),))}},
        "[class x] option = 150=0.0.0.0: 0.0.0.0 is the address of no server",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("named_", "sentence"), [row[1:] for row in WITHOUT], ids=[row[0] for row in WITHOUT]
)
def test_what_does_nothing_is_told(named_: dict[str, Any], sentence: str) -> None:
    found = told(Settings(**named_))
    assert [each for each in found if each.startswith(sentence)], found


def test_the_file_and_line_are_named() -> None:
    settings = Settings(
        hosts={"x": Host(address=SERVER)}, pxe=Pxe(menu_timeout=3),
        sources={("host x", "address"): "x.conf:7", ("pxe", "menu_timeout"): "x.conf:2"},
    )  # fmt: skip
    assert [sentence.split(": ")[0] for sentence in told(settings)] == ["x.conf:7", "x.conf:2"]


def test_what_a_proxy_has_no_use_for() -> None:
    """All at once: a file for several interfaces may well have it."""
    settings = Settings(
        dhcp=Dhcp(mode="proxy", range=ranges(".10-.20"), answer_all=True), pxe=Pxe(gateway=SERVER),
        hosts={"x": Host(mac=MAC, address=OWN + 9)}, sources={("dhcp", "range"): "x.conf:3"},
    )  # fmt: skip
    assert told(settings, "proxy") == [
        "as a proxy this server leases no address, so it has no use for [dhcp] range (x.conf:3), "
        "[dhcp] answer_all (default), [pxe] gateway (default), [host x] address (default)"
    ]
    for section, unused in advice.ADDRESSES_ONLY.items():
        for key in unused - {"probe", "bootp"}:
            change, besides = EFFECTS[section, key]
            base = (besides or dict)(BASE) | {}  # type: ignore[operator]
            made = change(base) | {}
            made["dhcp"], base["dhcp"] = (
                replace(made["dhcp"], mode="proxy"),
                replace(base["dhcp"], mode="proxy"),
            )
            proxied = [behaviour(Settings(**each))[:-2] for each in (made, base)]
            assert _offers(proxied[0]) == _offers(proxied[1]), (section, key)


def _offers(found: list[object]) -> list[object]:
    """Return what a proxy says, without the machines' own answers."""
    return [each[0] for each in found]  # type: ignore[index]


def test_what_only_bootp_needs_not_know() -> None:
    """pbootpd reads the files of the others as well."""
    settings = Settings(
        bootp=Bootp(dynamic=True), pxe=Pxe(menu_timeout=3), classes={"x": Class(boot_file="x")}
    )
    assert told(settings, only_bootp=True) == []


def test_what_is_plain_is_not_remarked_on() -> None:
    assert told(Settings(**BASE)) == []
    assert told(Settings()) == []
