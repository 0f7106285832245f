"""An interface with several addresses: which of them is the server's, and which network a client is in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.bootp import Bootp
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.served import choose
from ptftpd.errors import ConfigError
from ptftpd.settings import Bootp as Choices
from ptftpd.settings import Dhcp, Host, Pxe, Settings, Subnet
from tests.machine.dhcp_site import EFI, MAC, NETWORK, OWN, Site, answer, ip, kind, mac, message, ranges

Span = tuple[IPv4Address, IPv4Address]


def span(first: str, last: str) -> Span:
    """Return a range as settings have it."""
    return IPv4Address(first), IPv4Address(last)


# Which address is the server's


@pytest.mark.parametrize(
    ("addresses", "dhcp", "chosen"),
    [
        ("10.0.0.1/24", Dhcp(), "10.0.0.1"),
        ("10.0.0.1/24 10.42.0.2/24", Dhcp(), "10.0.0.1"),
        ("10.0.0.1/24 10.42.0.2/24", Dhcp(range=(span("10.42.0.50", "10.42.0.99"),)), "10.42.0.2"),
        ("10.0.0.1/24 10.0.0.9/24", Dhcp(range=ranges(".50-.99")), "10.0.0.1"),
        ("10.0.0.1/24 10.42.0.2/24", Dhcp(address=IPv4Address("10.42.0.2")), "10.42.0.2"),
        ("10.0.0.1/24 10.0.0.9/24", Dhcp(address=OWN + 8, range=ranges(".50-.99")), "10.0.0.9"),
        ("10.0.0.1/24", Dhcp(range=(span("10.99.0.1", "10.99.0.9"),)), "10.0.0.1"),
        ("169.254.7.7/16", Dhcp(), "169.254.7.7"),
    ],
)
def test_the_servers_address(addresses: str, dhcp: Dhcp, chosen: str) -> None:
    """The one that is set; else the first in the network of the first range; else the first."""
    found = [IPv4Interface(text) for text in addresses.split()]
    assert str(choose(Settings(dhcp=dhcp), "eth0", found).ip) == chosen


def test_an_address_that_the_interface_does_not_have() -> None:
    settings = Settings(dhcp=Dhcp(address=OWN + 4), sources={("dhcp", "address"): "x.conf:3"})
    found = [IPv4Interface("10.0.0.1/24"), IPv4Interface("10.42.0.2/24")]
    error = r"x.conf:3: \[dhcp\] address = 10.0.0.5: is not an address of eth0 \(10.0.0.1/24, 10.42.0.2/24\)"
    with pytest.raises(ConfigError, match=error):
        choose(settings, "eth0", found)


def test_none_of_its_addresses_is_leased_or_reserved() -> None:
    """keepalived's virtual address too, which another machine may have next."""
    addresses = [IPv4Interface("10.0.0.1/24"), IPv4Interface("10.0.0.2/32")]
    settings = Settings(dhcp=Dhcp(range=ranges(".1-.3")))
    found = plans(settings, "eth0", OWN, NETWORK, addresses).networks[0].subnet
    assert list(found.dynamic()) == [ip(".3")]
    with pytest.raises(ConfigError, match="is this server's own address"):
        plans(Settings(dhcp=Dhcp(reserve=((MAC, OWN + 1),))), "eth0", OWN, NETWORK, addresses)


# Which network a client is in

SECOND, THERE = IPv4Network("10.42.0.0/24"), IPv4Address("10.42.0.2")
BOTH = (IPv4Interface("10.0.0.1/24"), IPv4Interface("10.42.0.2/24"))
NODE = mac(42)


def cable(subnet: Subnet | None = None, dhcp: Dhcp | None = None, **named: Any) -> Site:
    """Return a site whose interface has a second address, and a reservation in its network."""
    subnets = {"infra": subnet or Subnet(network=SECOND, gateway=THERE + 252)}
    hosts = {"node": Host(mac=NODE, address=THERE + 48)}
    return Site(dhcp or Dhcp(range=ranges(".10-.11")), hosts=hosts, subnets=subnets, addresses=BOTH, **named)


def test_a_reservation_in_a_second_network_of_the_interface() -> None:
    """It gets that address, all that network's options, and the server by its address there."""
    site = cable()
    outcome = site.discover(NODE, o55=bytes([1, 3, 28, 66, 150]))
    reply = answer(outcome)
    assert reply.yiaddr == ip("10.42.0.50")
    assert reply.siaddr == int(THERE)
    assert {code: wire.dotted(wire.number(reply.options[code])) for code in (1, 3, 28, 54, 150)} == {
        1: "255.255.255.0", 3: "10.42.0.254", 28: "10.42.0.255", 54: "10.42.0.2", 150: "10.42.0.2",
    }  # fmt: skip
    assert reply.options[66] == reply.sname == b"10.42.0.2"
    assert (outcome.source, outcome.destination) == ("10.42.0.2", ("255.255.255.255", 68))
    stranger = site.discover()
    assert (answer(stranger).yiaddr, stranger.source) == (ip(".10"), "10.0.0.1")


@pytest.mark.parametrize("direct", [True, False])
def test_a_client_of_the_second_network_keeps_its_address(direct: bool) -> None:
    """SELECTING, RENEWING, REBINDING, INIT-REBOOT and RELEASE are all about that network."""
    site = cable(
        Subnet(network=SECOND, range=(span("10.42.0.60", "10.42.0.61"),)), Dhcp(exclude=ranges(".0-.255"))
    )
    offered = answer(site.discover()).yiaddr
    assert offered == ip("10.42.0.60")
    assert kind(answer(site.select(offered, server=int(THERE)))) == options.ACK
    assert kind(answer(site.renew(offered, direct=direct, source=offered))) == options.ACK
    assert kind(answer(site.reboot(offered))) == options.ACK
    assert kind(answer(site.reboot(ip("10.99.0.1")))) == options.NAK
    released = site.say(options.RELEASE, ciaddr=offered, o54=wire.addresses(int(THERE)), source=offered)
    assert released.commit


def test_the_first_network_with_room() -> None:
    """Whoever has nothing yet: the interface's own network goes first, the others as they are written."""
    site = cable(Subnet(network=SECOND, range=(span("10.42.0.60", "10.42.0.60"),)))
    found = [wire.dotted(site.lease(mac(number))) for number in range(2)]
    assert found == ["10.0.0.10", "10.0.0.11"]
    offer = answer(site.discover(mac(3)))
    assert wire.dotted(offer.yiaddr) == "10.42.0.60"
    assert kind(answer(site.select(offer.yiaddr, mac(3), server=int(THERE)))) == options.ACK
    assert answer(site.discover(mac(3))).yiaddr == ip("10.42.0.60"), "it goes on with what it has"
    assert site.discover(mac(4)).ignored == "no free address"


def test_another_subnet_is_behind_a_relay_agent_still() -> None:
    subnets = {
        "far": Subnet(network=IPv4Network("192.168.7.0/24"), range=(span("192.168.7.10", "192.168.7.12"),)),
        "infra": Subnet(network=SECOND),
    }
    site = Site(subnets=subnets, addresses=BOTH)
    assert [network.plan.section for network in site.networks.local] == ["dhcp", "subnet infra"]
    relayed = answer(site.discover(giaddr=ip("192.168.7.1"), source=ip("192.168.7.1")))
    assert relayed.yiaddr == ip("192.168.7.10")
    assert relayed.options[options.SERVER_ID] == wire.addresses(int(OWN))
    assert answer(site.discover(mac(2))).yiaddr == ip(".10")


def test_bootp_on_the_second_network() -> None:
    site = cable()
    settings = Settings(pxe=Pxe(boot_file="x"), bootp=Choices())
    machine = Bootp(settings, "eth0", int(OWN), site.networks, frozenset())
    asked = message(0, NODE)
    del asked.options[options.MESSAGE_TYPE]
    outcome = machine.receive(asked, site.now)
    reply = answer(outcome)
    assert (reply.yiaddr, reply.siaddr, reply.sname) == (ip("10.42.0.50"), int(THERE), b"10.42.0.2")
    assert outcome.source == "10.42.0.2"


def test_one_kind_of_client_in_two_networks() -> None:
    """What replies have in common is made once, and for each network anew."""
    site = cable(Subnet(network=SECOND, range=(span("10.42.0.60", "10.42.0.60"),)))
    asked = {"vendor": EFI, "o55": bytes([1, 3, 67])}
    names = [answer(site.discover(each, **asked)).options[54] for each in (MAC, NODE, mac(9))]
    assert names == [wire.addresses(int(OWN)), wire.addresses(int(THERE)), wire.addresses(int(OWN))]
