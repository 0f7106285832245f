"""Who a client is, which network it is in, and what it is told there."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.plan import Plans
from ptftpd.dhcp.pool import SHORTEST_QUARANTINE, Lease
from ptftpd.dhcp.registry import option
from ptftpd.settings import Class, Dhcp, Host, Subnet
from tests.machine.dhcp_site import BIOS, EFI, MAC, OWN, Site, answer, ip, kind, mac, ranges
from tests.machine.test_dhcp_machine import OTHER, refused, silent

DUID, GUID = b"\xff\x12\x34\x56\x78\x00\x04duid", bytes(range(16))
FAR, RELAY = IPv4Network("192.168.7.0/24"), ip("192.168.7.1")


def far(**fields: object) -> dict[str, Subnet]:
    """Return a network behind a relay agent, which leases 192.168.7.10 to .12."""
    span = (IPv4Address("192.168.7.10"), IPv4Address("192.168.7.12"))
    return {"far": Subnet(network=FAR, range=(span,), gateway=IPv4Address(RELAY), **fields)}  # type: ignore[arg-type]


# Identity


def test_one_machine_keeps_one_address_by_its_hardware_address() -> None:
    """D5: the ROM, iPXE, the installer and the installed system give other client identifiers each."""
    site = Site()
    first = site.lease(vendor=BIOS, o61=b"\0" + GUID, o97=b"\0" + GUID)
    assert site.lease(o77=b"iPXE", o61=b"\1" + MAC) == first
    assert site.lease(vendor=b"d-i", o61=DUID) == first
    assert site.lease(vendor=b"", o61=DUID[:-1]) == first


@pytest.mark.parametrize("identity", ["auto", "mac"])
def test_two_machines_with_one_client_identifier(identity: str) -> None:
    """As cloned systems have it: the hardware address tells them apart."""
    site = Site(Dhcp(range=ranges(".10-.12"), identity=identity))
    assert site.lease(MAC, o61=DUID) != site.lease(OTHER, o61=DUID)


def test_identity_by_client_identifier() -> None:
    """D5, RFC 2131 §4.2, RFC 4361: option 61 as opaque octets when it is there, whatever the hardware."""
    site = Site(Dhcp(range=ranges(".10-.19"), identity="client-id"))
    first = site.lease(o61=DUID)
    assert site.lease(OTHER, o61=DUID) == first
    assert site.lease(o61=DUID + b"x") != first
    assert site.lease() not in {first, 0}
    assert site.lease() == site.lease()
    assert site.lease(OTHER) != site.lease(), "machines that send none are told apart all the same"


def test_hardware_without_address() -> None:
    """RFC 4390: InfiniBand has hlen 0; option 61 tells who it is, unless only hardware addresses count."""
    fields = {"htype": 32, "hlen": 0, "o61": DUID}
    assert answer(Site().discover(bytes(6), **fields)).yiaddr == ip(".10")
    refused_ = Site(Dhcp(identity="mac")).discover(bytes(6), **fields)
    assert silent(refused_) == "neither hardware address nor client identifier"


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (Host(client_id=DUID), {"o61": DUID}),
        (Host(guid=GUID), {"o97": b"\0" + GUID}),
        (Host(mac=MAC, client_id=DUID), {"o61": b"\1" + MAC}),
        (Host(mac=OTHER, guid=GUID), {"o97": b"\0" + GUID}),
    ],
)
@pytest.mark.parametrize("identity", ["auto", "mac", "client-id"])
def test_reservation_by_any_name(host: Host, said: dict[str, bytes], identity: str) -> None:
    host = Host(host.mac, OWN + 49, host.guid, host.client_id)
    site = Site(Dhcp(range=ranges(".10-.12"), identity=identity), hosts={"web": host})
    assert site.lease(**said) == ip(".50")
    assert site.lease(mac(5)) == ip(".10")


def test_the_installed_system_has_the_reservation_of_the_firmwares_guid() -> None:
    """It does not tell the GUID itself; the hardware address is remembered, over a restart too."""
    host = Host(address=OWN + 49, guid=GUID)
    site = Site(Dhcp(range=ranges(".10-.12"), answer_all=True), hosts={"web": host})
    assert site.lease(o97=b"\0" + GUID) == ip(".50")
    assert site.lease(vendor=b"", o61=DUID) == ip(".50")
    again = Site(
        Dhcp(range=ranges(".10-.12"), answer_all=True), hosts={"web": host}, leases=site.pool.leases()
    )
    assert again.lease(vendor=b"") == ip(".50")
    assert again.lease(OTHER, o97=b"\0" + GUID) == ip(".50")  # with another network card
    assert again.lease(vendor=b"") == ip(".10")


# Relay agents and networks


def test_the_relay_agents_address_chooses_the_network() -> None:
    """D4, RFC 2131 §4.3.1: its addresses, mask, router and lease time; the reply goes to giaddr, port 67."""
    site = Site(subnets=far(lease_time=120.0))
    outcome = site.discover(giaddr=RELAY)
    offer = answer(outcome)
    assert outcome.destination == ("192.168.7.1", 67)
    assert offer.yiaddr == ip("192.168.7.10")
    assert offer.options[options.SUBNET_MASK] == wire.addresses(ip("255.255.255.0"))
    assert offer.options[options.ROUTER] == wire.addresses(RELAY)
    assert options.number(offer, options.LEASE_TIME, 4) == 120
    assert answer(site.discover()).yiaddr == ip(".10")


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ({"giaddr": ip(".200"), "o118": wire.addresses(ip("192.168.7.0"))}, "192.168.7.10"),
        ({"giaddr": ip(".200"), "o82": b"\1\1x\5\4" + wire.addresses(RELAY)}, "192.168.7.10"),
        (
            {"giaddr": ip(".200"), "o82": b"\5\4" + wire.addresses(RELAY), "o118": wire.addresses(int(OWN))},
            "192.168.7.10",
        ),
        ({"giaddr": ip(".200"), "o82": b"\5\2xx"}, "10.0.0.10"),
        ({"giaddr": RELAY, "o82": b"\5\4\0\0\0\0"}, "192.168.7.10"),
        ({"giaddr": RELAY, "o118": bytes(4)}, "192.168.7.10"),
        ({"giaddr": RELAY, "o118": wire.addresses(ip(".0"))}, "10.0.0.10"),
    ],
)
def test_link_and_subnet_selection(said: dict[str, Any], address: str) -> None:
    """D4: RFC 3527 (option 82.5) before RFC 3011 (option 118) before giaddr; the reply goes to giaddr."""
    outcome = Site(subnets=far()).discover(**said)
    assert answer(outcome).yiaddr == ip(address)
    assert outcome.destination == (wire.dotted(said["giaddr"]), 67)
    assert answer(outcome).options.get(118) == said.get("o118")  # RFC 3011: it is sent back


def test_the_relay_agent_stands_for_the_server() -> None:
    """RFC 5107: the address in option 82.11 is this server's to the client, from its offer to its release."""
    site, known = Site(subnets=far()), wire.addresses(RELAY)
    behind: dict[str, Any] = {"giaddr": RELAY, "o82": b"\x0b\4" + known}
    offer = answer(site.discover(**behind))
    assert offer.options[options.SERVER_ID] == known
    ack = answer(site.select(offer.yiaddr, server=RELAY, **behind))
    assert (kind(ack), ack.options[options.SERVER_ID]) == (options.ACK, known)
    assert kind(answer(site.renew(offer.yiaddr, **behind))) == options.ACK
    nak = answer(site.select(ip("192.168.9.9"), server=RELAY, **behind))
    assert (kind(nak), nak.options[options.SERVER_ID]) == (options.NAK, known)
    assert answer(site.discover(giaddr=RELAY)).options[options.SERVER_ID] == wire.addresses(int(OWN))
    assert kind(answer(site.select(offer.yiaddr, **behind))) == options.ACK, "its own address is right too"
    assert silent(site.select(offer.yiaddr, server=RELAY)) == "took another server's offer"
    assert site.say(options.RELEASE, ciaddr=offer.yiaddr, o54=known, **behind).commit


def test_a_network_that_is_not_configured() -> None:
    why = "relayed from a network that is not configured: describe it in a [subnet]"
    assert silent(Site(subnets=far()).discover(giaddr=ip("192.168.8.1"))) == why
    assert silent(Site(subnets=far()).discover(giaddr=RELAY, o118=wire.addresses(ip("192.168.8.1")))) == why


def test_a_client_behind_a_router_renews_and_releases_by_itself() -> None:
    """RFC 2131 §4.3.2: in RENEWING it asks this server directly, without the relay agent."""
    site = Site(subnets=far())
    address = site.lease(giaddr=RELAY)
    outcome = site.renew(address)
    assert kind(answer(outcome)) == options.ACK
    assert outcome.destination == ("192.168.7.10", 68)
    assert site.say(options.RELEASE, ciaddr=address, o54=wire.addresses(int(OWN)), direct=True).commit
    assert kind(answer(site.renew(address, giaddr=RELAY))) == options.ACK


def test_a_client_that_moved_to_another_network_is_told_so() -> None:
    """D2: its old address does not work there, so the refusal is immediate."""
    site = Site(subnets=far())
    address = site.lease(giaddr=RELAY)
    assert refused(site.reboot(address))
    assert refused(site.renew(address, direct=False))
    assert site.lease() == ip(".10")
    assert site.lease(giaddr=RELAY) == address  # both are its own now


def test_leases_of_every_network_are_taken_over() -> None:
    site = Site(subnets=far())
    addresses = {site.lease(giaddr=RELAY), site.lease(OTHER)}
    again = Site(subnets=far(), leases=list(site.networks.leases()))
    assert {lease.address for lease in again.networks.leases()} == addresses
    assert (again.networks.leased(site.now), again.networks.size()) == (2, 6)
    assert Site(leases=[Lease(ip("192.168.7.10"), b"\1" + MAC, 5000, 3600)]).networks.leased(0) == 0


def test_the_reservations_are_listed_once_for_all_leases() -> None:
    """Thousands of both took half a minute at each start and reload."""

    class Names(dict[bytes, bytes]):
        listed = 0

        def values(self) -> Any:
            self.listed += 1
            return super().values()

    site, names = Site(), Names({b"\1" + MAC: b"\1" + MAC})
    leases = [Lease(ip(f".{number}"), b"\1" + mac(number)) for number in range(10, 13)]
    Networks(Plans((site.networks.own.plan,), names), leases)
    assert names.listed <= 1


def test_quarantine_does_not_take_a_network_down_that_cannot_be_looked_at() -> None:
    """Behind a relay agent nobody can tell whether an address is still in use: the oldest is tried again."""
    site = Site(subnets=far())
    for number in range(3):
        address = site.lease(mac(number), giaddr=RELAY)
        said = {"o50": wire.addresses(address), "o54": wire.addresses(int(OWN)), "giaddr": RELAY}
        assert site.say(options.DECLINE, mac(number), **said).commit
        site.now += 1
    assert silent(site.discover(mac(9), giaddr=RELAY)) == "no free address", "not at once: it was in use"
    site.now += SHORTEST_QUARANTINE
    assert site.lease(mac(9), giaddr=RELAY) == ip("192.168.7.10")
    assert site.lease(mac(8), giaddr=RELAY) == ip("192.168.7.11")


def test_quarantine_on_the_cable_ends_when_nobody_answers() -> None:
    """There the addresses are looked at, unless that is off."""
    for probe, offered in ((True, False), (False, True)):
        site = Site(Dhcp(range=ranges(".10-.10"), probe=probe))
        said = {"o50": wire.addresses(site.lease()), "o54": wire.addresses(int(OWN))}
        site.say(options.DECLINE, **said)
        site.now += SHORTEST_QUARANTINE
        assert bool(site.discover(OTHER).data) == offered


def test_a_full_network_is_named() -> None:
    site = Site(subnets=far())
    for number in range(3):
        site.lease(mac(number), giaddr=RELAY)
    full = site.discover(mac(9), giaddr=RELAY)
    assert full.done.startswith("no free address on [subnet far]: all 3 are taken (widen range or shorten")
    assert not site.discover(mac(8), giaddr=RELAY).done
    assert site.discover(mac(9)).data


@pytest.mark.parametrize("trusted", [True, False])
def test_option_82_of_a_switch(trusted: bool) -> None:
    """D7, RFC 3046 §2.1: dropped without relay agent unless the switch is trusted; else echoed, last."""
    site = Site(Dhcp(range=ranges(".10-.12"), trust_option_82=trusted))
    agent = b"\1\4port\2\6\0\1\2\3\4\5"
    outcome = site.discover(o82=agent, o97=b"\0" + GUID)
    if not trusted:
        assert silent(outcome) == "option 82 without a relay agent"
        return
    offer = answer(outcome)
    assert (list(offer.options)[-1], offer.options[options.RELAY_AGENT]) == (options.RELAY_AGENT, agent)
    assert outcome.destination == ("255.255.255.255", 68)


def test_option_82_in_every_kind_of_reply() -> None:
    """D7: OFFER, ACK and NAK alike."""
    site = Site(Dhcp(range=ranges(".10-.12")))
    relayed = {"giaddr": ip(".200"), "o82": b"\1\4port"}
    replies = [
        answer(site.discover(**relayed)),
        answer(site.select(ip(".10"), **relayed)),
        answer(site.select(ip("192.168.1.1"), **relayed)),
    ]
    assert [kind(reply) for reply in replies] == [options.OFFER, options.ACK, options.NAK]
    assert all(list(reply.options.items())[-1] == (82, b"\1\4port") for reply in replies)


def test_client_identifier_in_every_kind_of_reply() -> None:
    """D6, RFC 6842 §3: whatever the client sent, if it sent one."""
    site = Site(Dhcp(range=ranges(".10-.12")))
    replies = [
        answer(site.discover(o61=DUID)),
        answer(site.select(ip(".10"), o61=DUID)),
        answer(site.select(ip("192.168.1.1"), o61=DUID)),
        answer(site.say(options.INFORM, ciaddr=ip(".10"), o61=DUID)),
    ]
    assert [reply.options[61] for reply in replies] == [DUID] * 4
    assert 61 not in answer(site.discover(OTHER)).options


# What is told


def test_options_by_network_class_and_host() -> None:
    """The most specific place wins, each option for itself; the order of the sections never matters."""

    def chosen(*texts: str) -> dict[str, object]:
        return {"option": tuple(option(text) for text in texts)}

    classes = {
        "efi": Class(arch=("x86_64-efi",), **chosen("domain-name=efi", "root-path=efi", "host-name=efi")),  # type: ignore[arg-type]
        "edk2": Class(vendor_class="PXEClient:Arch:00007", **chosen("root-path=edk2", "host-name=edk2")),  # type: ignore[arg-type]
        "phones": Class(vendor_class="phone", **chosen("150=192.0.2.9")),  # type: ignore[arg-type]
    }
    hosts = {"web": Host(mac=MAC, **chosen("host-name=web"))}  # type: ignore[arg-type]
    dhcp = Dhcp(
        range=ranges(".10-.12"), answer_all=True, **chosen("17=all", "12=all", "15=all", "42=192.0.2.1")
    )  # type: ignore[arg-type]
    site = Site(
        dhcp, hosts=hosts, classes=classes, subnets=far(**chosen("domain-name=far", "17=far", "12=far"))
    )

    def told(*arguments: object, **fields: object) -> list[bytes]:
        offer = answer(site.discover(*arguments, **fields))  # type: ignore[arg-type]
        return [offer.options.get(code, b"") for code in (15, 17, 12)]

    assert told(mac(7), vendor=b"") == [b"all", b"all", b"all"]
    assert told(mac(7), vendor=b"", giaddr=RELAY) == [b"far", b"far", b"far"]
    assert told(mac(7), vendor=EFI) == [b"efi", b"edk2", b"edk2"]
    assert told(MAC, vendor=EFI, giaddr=RELAY) == [b"efi", b"edk2", b"web"]
    assert answer(site.discover(mac(8), vendor=b"phone")).options[150] == wire.addresses(ip("192.0.2.9"))
    assert 42 in answer(site.discover(mac(8), vendor=b"phone", o55=bytes([42]))).options


def test_the_lease_time_that_the_client_asks_for() -> None:
    """RFC 2131 §4.3.1, D10: within the bounds; T1 is half of it, T2 seven eighths."""
    site = Site(Dhcp(range=ranges(".10-.12"), max_lease_time=86400.0))
    offer = answer(site.discover(o51=wire.octets(7200, 4)))
    times = [options.number(offer, code, 4) for code in (51, 58, 59)]
    assert times == [7200, 3600, 6300]
    outcome = site.select(ip(".10"), o51=wire.octets(0xFFFFFFFF, 4))
    assert outcome.commit[0].expires == site.now + 86400
    assert options.number(answer(outcome), 51, 4) == 86400


def test_renewal_times_that_were_set() -> None:
    """D10: options 58 and 59 like any other."""
    site = Site(Dhcp(range=ranges(".10-.12"), option=(option("always 58=100"), option("always 59=200"))))
    offer = answer(site.discover())
    assert [options.number(offer, code, 4) for code in (51, 58, 59)] == [3600, 100, 200]


def test_declined_addresses_come_back_later_and_later() -> None:
    """D9: quarantine with back-off, so that a machine that is in the way does not cost a client each time."""
    site = Site(Dhcp(range=ranges(".10-.10"), quarantine=100.0))
    for seconds in (100, 200, 400):
        site.lease()
        outcome = site.say(options.DECLINE, o50=wire.addresses(ip(".10")), o54=wire.addresses(int(OWN)))
        assert outcome.commit[0].expires == site.now + seconds
        assert f"not leased for {seconds} s" in outcome.done
        site.now += seconds
