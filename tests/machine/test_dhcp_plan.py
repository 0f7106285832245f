"""The networks that the settings describe, and what is wrong with others."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.plan import Plans, plans
from ptftpd.dhcp.registry import option
from ptftpd.dhcp.subnet import Subnet
from ptftpd.errors import ConfigError
from ptftpd.settings import Dhcp, Host, Pxe, Settings
from ptftpd.settings import Subnet as Section
from tests.machine.dhcp_site import MAC, OWN, ip, mac, ranges


def planned(dhcp: Dhcp | None = None, network: str = "10.0.0.0/24", **fields: object) -> Plans:
    """Return the networks of an interface with the address 10.0.0.1."""
    settings = Settings(dhcp=dhcp or Dhcp(), **fields)  # type: ignore[arg-type]
    return plans(settings, "eth0", OWN, IPv4Network(network))


def plan(dhcp: Dhcp | None = None, network: str = "10.0.0.0/24", **fields: object) -> Subnet:
    """Return the interface's own addresses."""
    return planned(dhcp, network, **fields).networks[0].subnet


def test_the_whole_network_but_network_broadcast_and_own_address() -> None:
    addresses = list(plan().dynamic())
    assert (addresses[0], addresses[-1], len(addresses)) == (ip(".2"), ip(".254"), 253)
    assert plan().size() == 253


def test_servers_are_not_leased() -> None:
    pxe = Pxe(gateway=OWN + 1, name_server=(OWN + 2, IPv4Address("8.8.8.8")), tftp_server=OWN + 3)
    assert next(plan(pxe=pxe).dynamic()) == ip(".5")
    assert plan(pxe=pxe).size() == 250


def test_ranges_are_put_in_order_and_joined() -> None:
    found = plan(Dhcp(range=ranges(".30-.35", ".1-.3", ".34-.40", ".41-.41")))
    assert found.ranges == ((ip(".1"), ip(".3")), (ip(".30"), ip(".41")))
    assert found.size() == 14  # not our own address


@pytest.mark.parametrize(("network", "addresses"), [("10.0.0.0/31", [".0"]), ("10.0.0.0/30", [".2"])])
def test_small_networks(network: str, addresses: list[str]) -> None:
    """RFC 3021: a /31 has no network and no broadcast address."""
    assert list(plan(network=network).dynamic()) == [ip(text) for text in addresses]


def test_size_counts_reservations_outside_the_ranges() -> None:
    reserve = ((mac(1), OWN + 9), (mac(2), OWN + 99))
    assert plan(Dhcp(range=ranges(".10-.12"), reserve=reserve)).size() == 4


OUTSIDE = IPv4Address("10.0.1.9")


@pytest.mark.parametrize(
    ("dhcp", "hosts", "error"),
    [
        (
            Dhcp(range=((OWN, OUTSIDE),)),
            {},
            "[dhcp] range = 10.0.0.1-10.0.1.9: must be in 10.0.0.0/24, the network of eth0",
        ),
        (
            Dhcp(reserve=((MAC, OUTSIDE),)),
            {},
            "[dhcp] reserve = 10.0.1.9: must be an address for a client in 10.0.0.0/24, the network of eth0",
        ),
        (Dhcp(reserve=((MAC, OWN),)), {}, "[dhcp] reserve = 10.0.0.1: is this server's own address"),
        (
            Dhcp(reserve=((mac(1), OWN + 9), (mac(2), OWN + 9))),
            {},
            "[dhcp] reserve = 10.0.0.10: is already reserved for 52:54:00:00:00:01",
        ),
        (
            Dhcp(reserve=((mac(1), OWN + 9),)),
            {"web": Host(mac=mac(1), address=OWN + 10)},
            "[host web] address = 10.0.0.11: 52:54:00:00:00:01 has 10.0.0.10 already, by [dhcp] reserve",
        ),
        (
            Dhcp(),
            {"web": Host(mac=mac(1), boot_file="a"), "mail": Host(mac=mac(1), boot_file="b")},
            "[host mail] mac = 52:54:00:00:00:01: is already that of [host web]",
        ),
        (
            Dhcp(),
            {"web": Host(client_id=b"\1\2"), "mail": Host(mac=mac(1), client_id=b"\1\2")},
            "[host mail] client_id = 01:02: is already that of [host web]",
        ),
        (
            Dhcp(),
            {"web": Host(address=OWN + 9, boot_file="a")},
            "[host web] boot_file = a: needs mac, client_id or guid, to identify the host",
        ),
        (
            Dhcp(),
            {"web": Host(option=(option("domain-name=example.com"),))},
            "[host web] option = domain-name=example.com: needs mac",
        ),
    ],
)
def test_what_does_not_fit(dhcp: Dhcp, hosts: dict[str, Host], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(dhcp, hosts=hosts)
    assert str(caught.value).startswith(error)


# Lease times


@pytest.mark.parametrize(
    ("dhcp", "asked", "given"),
    [
        (Dhcp(), 0, 3600),
        (Dhcp(), 600, 600),
        (Dhcp(), 1, 60),
        (Dhcp(), 0xFFFFFFFF, 3600),
        (Dhcp(max_lease_time=86400), 7200, 7200),
        (Dhcp(max_lease_time=86400), 0xFFFFFFFF, 86400),
        (Dhcp(min_lease_time=1800), 600, 1800),
    ],
)
def test_the_client_may_ask_for_a_lease_time(dhcp: Dhcp, asked: int, given: int) -> None:
    """RFC 2131 §4.3.1: within the bounds that are set."""
    assert planned(dhcp).networks[0].seconds(asked) == given


def test_bounds_in_the_wrong_order() -> None:
    with pytest.raises(
        ConfigError,
        match=r"\[dhcp\] min_lease_time = 7200: must not be more than \[dhcp\] lease_time, 3600 s",
    ):
        planned(Dhcp(min_lease_time=7200))
    longest = r"must not be more than \[dhcp\] max_lease_time, 60 s"
    with pytest.raises(ConfigError, match=longest):
        planned(Dhcp(min_lease_time=7200, max_lease_time=60))
    far = {"far": Section(network=REMOTE, lease_time=600)}
    with pytest.raises(ConfigError, match=r"must not be more than \[subnet far\] lease_time, 600 s"):
        planned(Dhcp(min_lease_time=1800), subnets=far)


# Exclusions


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ((".12-.13",), [".10", ".11", ".14", ".15"]),
        ((".1-.10", ".15-.99"), [".11", ".12", ".13", ".14"]),
        ((".10-.15",), []),
        ((".12-.12", ".13-.13"), [".10", ".11", ".14", ".15"]),
        ((".77-.77",), [".10", ".11", ".12", ".13", ".14", ".15"]),
    ],
)
def test_exclusions(exclude: tuple[str, ...], left: list[str]) -> None:
    found = plan(Dhcp(range=ranges(".10-.15"), exclude=ranges(*exclude)))
    assert list(found.dynamic()) == [ip(text) for text in left]
    assert found.size() == len(left)


# Other networks


REMOTE = IPv4Network("192.168.7.0/24")
FAR = (IPv4Address("192.168.7.10"), IPv4Address("192.168.7.20"))


def test_a_network_behind_a_relay_agent() -> None:
    section = Section(
        network=REMOTE, range=(FAR,), gateway=IPv4Address("192.168.7.10"), lease_time=120.0,
        option=(option("ntp-servers=192.0.2.1"),),
    )  # fmt: skip
    dhcp = Dhcp(option=(option("ntp-servers=192.0.2.9"), option("domain-name=example.com")))
    own, other = planned(dhcp, pxe=Pxe(name_server=(OWN + 1,)), subnets={"far": section}).networks
    assert (other.section, other.lease_time) == ("subnet far", 120)
    assert list(other.subnet.dynamic()) == list(range(int(FAR[0]) + 1, int(FAR[1]) + 1))  # not the router's
    values = {code: told.value for code, told in other.sheet.items()}
    assert values[options.ROUTER] == wire.addresses(int(FAR[0]))
    assert values[options.NAME_SERVER] == wire.addresses(ip(".2"))
    assert values[options.BROADCAST_ADDRESS] == wire.addresses(ip("192.168.7.255"))
    assert (values[42], values[15]) == (wire.addresses(ip("192.0.2.1")), b"example.com")
    assert own.sheet[42].value == wire.addresses(ip("192.0.2.9"))
    assert options.ROUTER not in own.sheet


def test_no_servers_address_is_leased_in_any_network() -> None:
    """Whichever section names it, and whichever network it is in."""
    first = FAR[0]
    pxe = Pxe(name_server=(first + 1,), tftp_server=first, gateway=OWN + 10)
    far = Section(network=REMOTE, range=(FAR,), gateway=first + 2, name_server=(OWN + 9, first + 3))
    own, other = planned(Dhcp(range=ranges(".10-.12")), pxe=pxe, subnets={"far": far}).networks
    assert list(own.subnet.dynamic()) == [ip(".12")]
    assert next(other.subnet.dynamic()) == int(first + 4)


def test_the_address_of_a_host_without_a_name_is_leased_to_nobody() -> None:
    """It has it by itself; TFTP knows it by that address."""
    hosts = {"printer": Host(address=OWN + 1, boot_file=""), "web": Host(mac=MAC, address=OWN + 2)}
    found = plan(Dhcp(range=ranges(".2-.4")), hosts=hosts)
    assert not found.is_dynamic(ip(".2"))
    assert found.size() == 2
    assert found.reserved == {b"\1" + MAC: ip(".3")}


def test_reservations_by_any_name_and_in_any_network() -> None:
    host = Host(mac=MAC, client_id=b"\xff\1", guid=bytes(16), address=FAR[0])
    found = planned(hosts={"web": host}, subnets={"far": Section(network=REMOTE)})
    assert found.networks[1].subnet.reserved == {b"\1" + MAC: int(FAR[0])}
    assert found.names == dict.fromkeys([b"\1" + MAC, b"\0\xff\1", b"\xff" + bytes(16)], b"\1" + MAC)


@pytest.mark.parametrize(
    ("subnets", "error"),
    [
        ({"far": Section(range=(FAR,))}, "[subnet far] network: must be set, such as 192.0.2.0/24"),
        (
            {"far": Section(network=IPv4Network("10.0.0.0/8"))},
            "[subnet far] network = 10.0.0.0/8: must not overlap 10.0.0.0/24 of eth0, which [dhcp] describes",
        ),
        (
            {"far": Section(network=REMOTE), "near": Section(network=IPv4Network("192.168.0.0/16"))},
            "[subnet near] network = 192.168.0.0/16: must not overlap 192.168.7.0/24 of [subnet far]",
        ),
        (
            {"far": Section(network=REMOTE, range=((OWN, OWN),))},
            "[subnet far] range = 10.0.0.1-10.0.0.1: must be in 192.168.7.0/24, the network of [subnet far]",
        ),
    ],
)
def test_networks_that_cannot_be(subnets: dict[str, Section], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(subnets=subnets)
    assert str(caught.value) == error
