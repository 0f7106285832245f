"""Where messages can come from: nobody off the cable has replies sent to others, or ends what they have."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.bootp import Bootp
from ptftpd.dhcp.origin import FOREIGN, FOREIGN_RELEASE, UNKNOWN_RELAY
from ptftpd.dhcp.origin import NOBODYS as NOBODYS_FAULT
from ptftpd.dhcp.proxy import Proxy
from ptftpd.settings import Bootp as BootpSettings
from ptftpd.settings import Dhcp, Pxe, Settings, Subnet
from tests.machine.dhcp_site import MAC, OWN, Site, answer, ip, kind, message, ranges

FAR = Subnet(network=IPv4Network("192.168.7.0/24"), range=((IPv4Address("192.168.7.10"),) * 2,))
RELAY, VICTIM, STRANGER = ip("192.168.7.1"), ip("203.0.113.9"), ip("192.0.2.7")
IN_FAR = {"o82": b"\5\4" + wire.addresses(RELAY)}  # RFC 3527: the network is told by option 82.5


def site(*relays: int, **dhcp: Any) -> Site:
    """Return a server that knows its own network, another one, and those relay agents."""
    listed = tuple(map(IPv4Address, relays))
    return Site(Dhcp(range=ranges(".10-.12"), answer_all=True, relays=listed, **dhcp), subnets={"far": FAR})


@pytest.mark.parametrize(
    ("giaddr", "source", "relays", "known"),
    [
        (RELAY, RELAY, (), True),  # in a configured network
        (RELAY, STRANGER, (), True),  # whichever of its addresses the relay agent sends from
        (ip(".2"), ip(".2"), (), True),
        (ip("10.99.0.1"), ip("10.99.0.1"), (), True),  # a loopback address, and it sends from there
        (ip("10.99.0.1"), RELAY, (), False),
        (ip("10.99.0.1"), RELAY, (ip("10.99.0.1"),), True),  # or it is listed
        (VICTIM, STRANGER, (), False),
        (ip("192.168.7.255"), STRANGER, (), False),  # everybody there would get the reply
        (ip("192.168.7.0"), STRANGER, (), False),
    ],
)
def test_relay_agents(giaddr: int, source: int, relays: tuple[int, ...], known: bool) -> None:
    """A reply goes to giaddr: only where a relay agent can be, whatever network option 82.5 selects."""
    served = site(*relays)
    outcome = served.discover(giaddr=giaddr, source=source, **IN_FAR)
    proxied = Proxy(served.settings, "eth0", int(OWN), served.networks.origins).receive(
        message(options.DISCOVER, giaddr=giaddr, **IN_FAR), direct=False, source=source
    )
    for each in (outcome, proxied):
        assert each.ignored == ("" if known else UNKNOWN_RELAY)
        assert bool(each.data) == known
    if known:
        assert outcome.destination == (wire.dotted(giaddr), 67)
        assert answer(outcome).yiaddr == ip("192.168.7.10")


NOBODYS = (
    ip(".0"), ip(".255"), int(OWN), ip("192.168.7.0"), ip("192.168.7.255"), ip("224.0.0.1"),
    ip("239.255.255.250"), ip("240.0.0.1"), ip("255.255.255.255"), ip("127.0.0.1"), ip("0.0.0.1"),
)  # fmt: skip


@pytest.mark.parametrize("address", NOBODYS)
@pytest.mark.parametrize("field", ["giaddr", "ciaddr", "source"])
@pytest.mark.parametrize("kind", [options.DISCOVER, options.REQUEST, options.INFORM])
def test_nobody_is_answered_where_no_host_can_be(address: int, field: str, kind: int) -> None:
    """A DHCPINFORM from the network's broadcast address was answered to it, so by all its hosts."""
    served = site()
    served.lease()
    said: dict[str, Any] = {field: address}
    if field == "source" and kind == options.DISCOVER:
        said["giaddr"] = address
    said.setdefault("source", address)
    proxy = Proxy(served.settings, "eth0", int(OWN), served.networks.origins)
    fields = {name: value for name, value in said.items() if name != "source"}
    for direct in (False, True):
        outcome = served.say(kind, direct=direct, **said)
        assert not outcome.data or outcome.destination[0] == "255.255.255.255"
        told = proxy.receive(message(kind, **fields), direct=direct, source=address)
        assert not told.data or told.destination[0] == "255.255.255.255"
    menu = proxy.receive_boot_request(message(options.REQUEST), (wire.dotted(address), 4011))
    assert menu.ignored == NOBODYS_FAULT


KINDS = [options.DISCOVER, options.REQUEST, options.DECLINE, options.INFORM, options.RELEASE]


@pytest.mark.parametrize("kind_", KINDS)
@pytest.mark.parametrize("ciaddr", [0, ip(".10"), VICTIM])
@pytest.mark.parametrize("said", [{}, {"o54": wire.addresses(int(OWN))}], ids=["", "names the server"])
def test_a_stranger_beyond_a_router_changes_nothing(kind_: int, ciaddr: int, said: dict[str, bytes]) -> None:
    """Unicast from another network: no answer but to its own source, and no lease or offer is touched."""
    served = site()
    served.lease()
    before = [(each.address, each.key, each.free_at) for each in served.networks.leases()]
    asked = {"ciaddr": ciaddr, "o50": wire.addresses(ip(".10")), **said}
    outcome = served.say(kind_, MAC, direct=True, source=STRANGER, **asked)
    assert not outcome.commit
    assert not outcome.data
    assert [(each.address, each.key, each.free_at) for each in served.networks.leases()] == before


def test_a_newcomer_by_unicast_from_another_network() -> None:
    served = site()
    assert served.discover(direct=True, source=STRANGER).ignored == FOREIGN
    assert served.discover(source=STRANGER).data, "by broadcast it is a client that made its source up"
    assert served.discover(direct=True, source=ip(".200")).data


def test_release_comes_from_the_address() -> None:
    """RFC 2131 §4.4.6: it is sent by unicast, from the address that is given back."""
    served = site()
    address = served.lease()
    for source in (STRANGER, ip(".200"), 0):
        assert (
            served.say(options.RELEASE, ciaddr=address, direct=True, source=source).ignored == FOREIGN_RELEASE
        )
    assert served.say(options.RELEASE, ciaddr=address, direct=True, source=address).commit


def test_a_client_beyond_a_router_renews_from_its_address() -> None:
    served = site()
    address = served.lease(giaddr=RELAY)
    assert served.renew(address, source=STRANGER).ignored == FOREIGN
    ack = served.renew(address, source=address)
    assert (kind(answer(ack)), ack.destination) == (options.ACK, (wire.dotted(address), 68))


def test_bootp_from_another_network() -> None:
    """An address for ever is nothing to give to whoever can reach this server."""
    settings = Settings(
        pxe=Pxe(boot_file="x"), dhcp=Dhcp(range=ranges(".10-.12")), bootp=BootpSettings(dynamic=True)
    )
    bootp = Bootp(settings, "eth0", int(OWN), Site().networks, frozenset())
    asked = wire.Message(chaddr=MAC.ljust(16, b"\0"))
    assert bootp.receive(asked, 0.0, direct=True, source=STRANGER).ignored == FOREIGN
    relayed = wire.Message(chaddr=MAC.ljust(16, b"\0"), giaddr=ip(".255"))
    assert bootp.receive(relayed, 0.0, source=STRANGER).ignored == UNKNOWN_RELAY
    assert bootp.receive(asked, 0.0).data
