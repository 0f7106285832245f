"""BOOTP on messages alone (RFC 951, 1497, 1542)."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.bootp import Bootp, destination
from ptftpd.dhcp.machine import Machine
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.pool import FOREVER
from ptftpd.dhcp.registry import Option, option
from ptftpd.dhcp.wire import Message
from ptftpd.settings import Bootp as Choices
from ptftpd.settings import Dhcp, Host, Pxe, Settings
from tests.machine.dhcp_site import MAC, NETWORK, OWN, answer, ip, mac, message, ranges

NOW = 1000.0


class Site:
    """A BOOTP machine on 10.0.0.1/24; MAC has 10.0.0.70, and .10 to .12 are free for others."""

    def __init__(
        self,
        *,
        dynamic: bool = False,
        always_rfc1048: bool = False,
        trust_option_82: bool = False,
        option: tuple[Option, ...] = (),
        **pxe: Any,
    ) -> None:
        self.settings = settings = Settings(
            pxe=Pxe(**({"boot_file": "kernel.img"} | pxe)),
            dhcp=Dhcp(range=ranges(".10-.12"), trust_option_82=trust_option_82, option=option),
            bootp=Choices(dynamic=dynamic, always_rfc1048=always_rfc1048),
            hosts={"one": Host(mac=MAC, address=IPv4Address("10.0.0.70"))},
        )
        self.networks = Networks(plans(settings, "eth0", OWN, NETWORK))
        self.machine = Bootp(settings, "eth0", int(OWN), self.networks, frozenset({"bootserver"}))

    def ask(self, hardware: bytes = MAC, now: float = NOW, **fields: Any) -> Outcome:
        """Return what comes of a BOOTREQUEST."""
        message = Message(**({"xid": 7, "chaddr": hardware.ljust(16, b"\0")} | fields))
        return self.machine.receive(message, now, source=message.giaddr or message.ciaddr)


def test_the_reply() -> None:
    """B2, B6: what identifies the request is copied, hops are 0, and nothing of DHCP is in it."""
    outcome = Site().ask(flags=0xFFFF, secs=9, hops=3, giaddr=ip(".200"))
    reply = answer(outcome)
    assert (reply.op, reply.xid, reply.secs, reply.hops) == (wire.BOOTREPLY, 7, 9, 0)
    assert (reply.yiaddr, reply.siaddr, reply.giaddr) == (ip(".70"), ip(".1"), ip(".200"))
    assert (reply.flags, reply.chaddr[:6], reply.file) == (wire.BROADCAST, MAC, b"kernel.img")
    assert set(reply.options) == {options.SUBNET_MASK, options.SERVER_ID}
    about = "on 10.0.0.70 to 52:54:00:12:34:56 via eth0, boot file kernel.img from 10.0.0.1"
    assert (outcome.done, outcome.warning) == (f"BOOTREPLY {about}", False)
    assert outcome.fields["DHCP_BOOT_FILE"] == "kernel.img"


def test_another_tftp_server() -> None:
    """It is where the file is to be had; who has answered is told in sname."""
    reply = answer(Site(tftp_server=OWN + 4).ask())
    assert (reply.siaddr, reply.sname) == (ip(".5"), b"10.0.0.1")


def test_other_hardware_than_ethernet() -> None:
    """B6: type, length and all 16 octets of the hardware address come back as they were."""
    reply = answer(Site(dynamic=True).ask(bytes(range(16)), htype=6, hlen=16))
    assert (reply.htype, reply.hlen, reply.chaddr) == (6, 16, bytes(range(16)))


def test_options_come_with_the_cookie_only() -> None:
    """B1: klibc's client sends no vend field, and would not know what to do with one."""
    outcome = Site(gateway=IPv4Address("10.0.0.254")).ask(cookie=False)
    reply = answer(outcome)
    assert not reply.cookie
    assert reply.options == {}
    assert reply.yiaddr == ip(".70")
    assert len(outcome.data) == 300


def test_always_rfc1048() -> None:
    """B1: by choice, for clients that read the options without asking by a cookie."""
    reply = answer(Site(always_rfc1048=True).ask(cookie=False))
    assert reply.cookie
    assert set(reply.options) == {options.SUBNET_MASK, options.SERVER_ID}


def test_vend_stays_within_its_64_octets() -> None:
    """B3: 300 octets in all; what finds no room is left out, the router is kept."""
    servers = tuple(IPv4Address(f"10.0.0.{number}") for number in range(20, 40))
    outcome = Site(gateway=IPv4Address("10.0.0.254"), name_server=servers).ask()
    assert len(outcome.data) == 300
    assert set(answer(outcome).options) == {options.SUBNET_MASK, options.ROUTER, options.SERVER_ID}
    few = Site(gateway=IPv4Address("10.0.0.254"), name_server=servers[:2]).ask()
    assert list(answer(few).options)[:3] == [options.SUBNET_MASK, options.ROUTER, options.NAME_SERVER]


@pytest.mark.parametrize(("count", "fits"), [(11, True), (12, False)])
def test_the_server_identifier_where_there_is_room(count: int, *, fits: bool) -> None:
    """systemd-networkd takes no BOOTP reply without option 54; RFC 1534 §2 allows it. The rest goes first."""
    servers = tuple(IPv4Address(f"10.0.0.{20 + number}") for number in range(count))
    found = answer(Site(name_server=servers).ask()).options
    assert options.NAME_SERVER in found
    assert found.get(options.SERVER_ID) == (wire.addresses(int(OWN)) if fits else None)


def test_options_of_dhcp_alone_are_not_sent() -> None:
    """B2, RFC 2132 §9: what renews a lease or names a class is nothing to a BOOTP client; others are sent."""
    set_ = tuple(map(option, ("always 58=100", "always 59=200", "60=x", "56=x", "12=one")))
    assert set(answer(Site(option=set_).ask()).options) == {options.SUBNET_MASK, 12, options.SERVER_ID}


def test_a_boot_file_with_too_long_a_name() -> None:
    """RFC 951 §3: file holds 127 octets and a NUL; the client gets its address, and the record says so."""
    name = "x" * 128
    outcome = Site(boot_file=name).ask()
    assert (answer(outcome).yiaddr, answer(outcome).file) == (ip(".70"), b"")
    assert outcome.warning
    assert outcome.done.endswith(f"via eth0, without boot file {name}: BOOTP has room for 127 octets of name")
    assert "DHCP_BOOT_FILE" not in outcome.fields
    assert answer(Site(boot_file=name[:127]).ask()).file == name[:127].encode()


@pytest.mark.parametrize(("count", "fits"), [(12, True), (13, False)])
def test_the_last_octet_of_vend(count: int, *, fits: bool) -> None:
    """B3: 4 for the cookie, 6 for the mask and 1 for END leave 53; 13 name servers would take 54."""
    servers = tuple(IPv4Address(f"10.0.0.{20 + number}") for number in range(count))
    outcome = Site(name_server=servers).ask()
    assert (options.NAME_SERVER in answer(outcome).options) == fits
    assert len(outcome.data) == 300


@pytest.mark.parametrize("name", [b"", b"bootserver", b"BootServer", b"10.0.0.1"])
def test_called_by_its_name(name: bytes) -> None:
    """B4: it answers to its names."""
    assert Site().ask(sname=name).data


def test_another_server_is_called() -> None:
    """B4 (RFC 951 §7.3): silence."""
    assert Site().ask(sname=b"elsewhere").ignored == "BOOTREQUEST for another server"


def test_option_82_goes_back_to_the_relay_agent() -> None:
    """D7, RFC 3046 §2.1, §2.2: agents add it to BOOTP too, and it is echoed in all replies, last.

    The agent takes it off again, so that it takes no room from what the client is told.
    """
    agent = bytes([1, 60]) + b"p" * 60
    gateway = IPv4Address("10.0.0.254")
    outcome = Site(gateway=gateway).ask(giaddr=ip(".200"), options={options.RELAY_AGENT: agent})
    reply = answer(outcome)
    assert list(reply.options) == [
        options.SUBNET_MASK,
        options.ROUTER,
        options.SERVER_ID,
        options.RELAY_AGENT,
    ]
    assert reply.options[options.RELAY_AGENT] == agent
    assert outcome.data.endswith(bytes([options.RELAY_AGENT, len(agent)]) + agent + bytes([wire.END]))


@pytest.mark.parametrize("trusted", [False, True])
def test_option_82_of_a_switch(trusted: bool) -> None:
    """D7, RFC 3046 §2.1: without a relay agent only where the switches are trusted, as in DHCP."""
    outcome = Site(trust_option_82=trusted).ask(options={options.RELAY_AGENT: b"\1\1x"})
    if trusted:
        assert answer(outcome).options[options.RELAY_AGENT] == b"\1\1x"
    else:
        assert outcome.ignored == "option 82 without a relay agent"
        assert not outcome.data


def test_the_file_name_of_a_request_is_not_refused() -> None:
    """SLOF asks for 'bla' whatever it wants; the configured file is what it gets."""
    assert answer(Site().ask(file=b"bla")).file == b"kernel.img"


def test_one_address_for_ever() -> None:
    """B7: stored before the reply leaves, and the same after any time."""
    site = Site(dynamic=True)
    first = site.ask(mac(1))
    assert [(lease.seconds, lease.hardware) for lease in first.commit] == [(FOREVER, b"\1" + mac(1))]
    site.ask(mac(2))
    later = NOW + 10 * 365 * 86400
    assert answer(site.ask(mac(1), now=later)).yiaddr == answer(first).yiaddr == ip(".10")
    assert answer(site.ask(mac(3), now=later)).yiaddr == ip(".12")
    assert site.ask(mac(4), now=later).ignored == "no free address"


def test_one_address_for_ever_though_the_machine_speaks_dhcp_too() -> None:
    """B7: its installer and its system lease and release the address; the firmware still finds it its own."""
    site = Site(dynamic=True)
    address = answer(site.ask(mac(1))).yiaddr
    dhcp = Machine(site.settings, "eth0", int(OWN), site.networks)

    def says(kind: int, now: float, **fields: Any) -> Outcome:
        said = message(kind, mac(1), vendor=b"", **fields)
        return dhcp.receive(said, now, direct=True, source=said.ciaddr)

    ack = says(options.REQUEST, NOW, ciaddr=address)
    assert options.number(answer(ack), options.LEASE_TIME, 4) == 3600
    assert [lease.seconds for lease in ack.commit] == [FOREVER]
    released = says(options.RELEASE, NOW + 10, ciaddr=address, o54=wire.addresses(int(OWN)))
    assert released.done == "10.0.0.10 stays its BOOTP client's"
    for number in range(2, 4):
        site.ask(mac(number))
    assert site.ask(mac(4), now=NOW + 9000).ignored == "no free address"
    assert answer(site.ask(mac(1), now=NOW + 9000)).yiaddr == address


def test_strangers_get_an_address_by_choice_only() -> None:
    """B7: dynamic is off by default."""
    assert Site().ask(mac(1)).ignored == "no address is reserved for this BOOTP client (dynamic is off)"


def test_no_stranger_by_an_address_that_is_taken() -> None:
    """B7: whose reservation cannot be given gets no other address for ever, unless dynamic is on."""
    site = Site()
    site.networks.own.pool.quarantine(ip(".70"), 900, NOW)
    assert site.ask().ignored == "the address reserved for this BOOTP client is in use by another"
    assert answer(site.ask(now=NOW + 900)).yiaddr == ip(".70")


def test_a_client_that_knows_its_address_gets_the_rest() -> None:
    """RFC 951 §7.3: with ciaddr set, yiaddr stays 0, and the reply goes to that address."""
    outcome = Site().ask(mac(9), ciaddr=ip(".99"))
    reply = answer(outcome)
    assert (reply.yiaddr, reply.ciaddr, reply.file) == (0, ip(".99"), b"kernel.img")
    assert outcome.destination == ("10.0.0.99", 68)
    assert outcome.commit == ()


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"ciaddr": ip(".9"), "giaddr": ip(".8")}, ("10.0.0.9", 68)),
        ({"giaddr": ip(".8")}, ("10.0.0.8", 67)),
        ({"flags": wire.BROADCAST}, ("255.255.255.255", 68)),
        ({}, ("255.255.255.255", 68)),
    ],
)
def test_where_the_reply_goes(fields: dict[str, int], to: tuple[str, int]) -> None:
    """B5 (RFC 1542 §4.1.2, 5.4): ciaddr, else the relay, else broadcast, which is always allowed."""
    assert destination(Message(**fields)) == to


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"op": wire.BOOTREPLY}, "a server's message"),
        ({"hlen": 0}, "BOOTREQUEST without hardware address"),
        (
            {"giaddr": ip("10.9.0.1")},
            "relayed from a network that is not configured: describe it in a [subnet]",
        ),
    ],
)
def test_what_is_not_answered(fields: dict[str, int], why: str) -> None:
    """Counted, not answered."""
    outcome = Site().ask(**fields)
    assert outcome.ignored == why
    assert not outcome.data
