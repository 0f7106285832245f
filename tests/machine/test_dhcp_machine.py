"""The DHCP server, message by message (RFC 2131 §4.3), on a clock that only the tests move."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.dhcp import machine as machine_module
from ptftpd.dhcp import options, wire
from ptftpd.dhcp.machine import RELEASED, Machine, Outcome
from ptftpd.dhcp.origin import NOBODYS
from ptftpd.dhcp.pool import FIRM, FOREVER, OFFER_TIME
from ptftpd.dhcp.wire import Message
from ptftpd.errors import WireError
from ptftpd.settings import Dhcp, Host, Pxe
from tests.machine.dhcp_site import MAC, OWN, Site, answer, ip, kind, mac, message, ranges

OTHER = mac(99)


def silent(outcome: Outcome) -> str:
    """Return why nothing is answered, having seen that nothing is."""
    assert not outcome.data
    assert not outcome.commit
    return outcome.ignored


def refused(outcome: Outcome) -> bool:
    """Return whether the outcome is a DHCPNAK."""
    return kind(answer(outcome)) == options.NAK


# DISCOVER and SELECTING


def test_offer() -> None:
    """RFC 2131 table 3: an offer has an address and a lease time, this server's identifier and no ciaddr."""
    outcome = Site().discover()
    offer = answer(outcome)
    assert kind(offer) == options.OFFER
    assert (offer.op, offer.xid, offer.chaddr[:6], offer.hops) == (wire.BOOTREPLY, 1, MAC, 0)
    assert (offer.yiaddr, offer.ciaddr) == (ip(".10"), 0)
    assert options.address(offer, options.SERVER_ID) == int(OWN)
    assert options.address(offer, options.SUBNET_MASK) == ip("255.255.255.0")
    times = [
        options.number(offer, code, 4)
        for code in (options.LEASE_TIME, options.RENEWAL_TIME, options.REBINDING_TIME)
    ]
    assert times == [3600, 1800, 3150]
    assert not outcome.commit
    assert len(outcome.data) >= 300


def test_acknowledgement_is_to_be_stored_first() -> None:
    site = Site()
    site.discover()
    outcome = site.select(ip(".10"))
    assert kind(answer(outcome)) == options.ACK
    (lease,) = outcome.commit
    assert (lease.address, lease.key, lease.expires) == (ip(".10"), b"\1" + MAC, site.now + 3600)
    assert lease.architecture == "x86_64-efi"


def test_records_for_the_log() -> None:
    site = Site()
    offer = site.discover()
    assert offer.asked == "DHCPDISCOVER from 52:54:00:12:34:56 via eth0 (x86_64-efi, PXEClient)"
    about = "on 10.0.0.10 to 52:54:00:12:34:56 via eth0, boot file boot.efi from 10.0.0.1"
    assert offer.done == f"DHCPOFFER {about}"
    ack = site.select(ip(".10"))
    assert ack.asked.startswith("DHCPREQUEST for 10.0.0.10 from 52:54:00:12:34:56 via eth0")
    assert ack.done == f"DHCPACK {about}"
    assert ack.fields == {
        "DHCP_CLIENT": "52:54:00:12:34:56",
        "DHCP_ADDRESS": "10.0.0.10",
        "DHCP_INTERFACE": "eth0",
        "DHCP_ARCH": "x86_64-efi",
        "DHCP_BOOT_FILE": "boot.efi",
        "DHCP_BOOT_RULE": "[pxe] boot_file",
    }


def test_the_record_without_a_boot_file() -> None:
    """A machine that boots over the network and is told nothing to boot is why somebody reads the log."""
    site = Site(pxe=Pxe(boot=(("bios", "pxelinux.0"),)))
    done = "DHCPOFFER on 10.0.0.10 to 52:54:00:12:34:56 via eth0, no boot file is set for it"
    assert site.discover().done == done


def test_repeated_discover_gets_the_same_offer() -> None:
    """RFC 2131 §4.3.1; also when the client waited for longer than the offer was kept."""
    site = Site()
    first = answer(site.discover()).yiaddr
    site.now += 30
    assert answer(site.discover()).yiaddr == first
    site.now += 500
    assert answer(site.discover()).yiaddr == first


def test_an_offer_is_kept_for_its_client_only_so_long() -> None:
    site = Site(Dhcp(range=ranges(".10-.11")))
    assert answer(site.discover()).yiaddr == ip(".10")
    assert answer(site.discover(OTHER, o50=wire.addresses(ip(".10")))).yiaddr == ip(".11")
    site.now += 61
    assert answer(site.discover(mac(3), o50=wire.addresses(ip(".10")))).yiaddr == ip(".10")


def test_a_dry_pool_takes_back_its_oldest_offer() -> None:
    """A DISCOVER proves nothing: a hundred of them keep no client from an address. No lease is taken."""
    site = Site(Dhcp(range=ranges(".10-.12")))
    address = site.lease()
    for number in range(100, 200):
        site.now += FIRM / 2
        assert answer(site.discover(mac(number))).yiaddr != address
    site.now += FIRM / 2
    assert site.lease(OTHER) != address
    assert kind(answer(site.renew(address))) == options.ACK
    assert silent(site.discover(mac(198))) == "every free address was offered just now"
    refusal = answer(site.select(address + 1, mac(198)))
    assert (kind(refusal), refusal.options[options.MESSAGE]) == (
        options.NAK,
        b"this address is not available",
    )
    site.now += FIRM
    site.lease(mac(198))
    assert silent(site.discover(mac(5))) == "no free address", "all three are leased"


def test_the_address_asked_for_is_offered_when_it_is_free() -> None:
    """RFC 2131 §4.3.1."""
    site = Site()
    assert answer(site.discover(o50=wire.addresses(ip(".12")))).yiaddr == ip(".12")
    assert answer(site.discover(OTHER, o50=wire.addresses(ip(".12")))).yiaddr == ip(".10")
    assert answer(site.discover(mac(3), o50=wire.addresses(ip(".77")))).yiaddr == ip(".11")


def test_an_address_that_is_never_leased_is_not_had_by_asking() -> None:
    """D4: this server's own, the network's and the broadcast address, and what is excluded."""
    site = Site(Dhcp(exclude=ranges(".20-.29"), answer_all=True))
    for never in (".0", ".1", ".25", ".255"):
        assert answer(site.discover(o50=wire.addresses(ip(never)))).yiaddr == ip(".2")
        assert refused(site.select(ip(never)))
        renewed = site.renew(ip(never))
        assert refused(renewed) if never == ".25" else renewed.ignored == NOBODYS


def test_another_servers_offer_was_taken() -> None:
    """RFC 2131 §3.1: the message counts as a notification that our offer is declined."""
    site = Site(Dhcp(range=ranges(".10-.10")))
    site.discover()
    taken = site.select(ip(".10"), server=ip(".2"))
    assert silent(taken) == "took another server's offer"
    assert taken.asked.startswith("DHCPREQUEST for 10.0.0.10, offered by 10.0.0.2, from 52:54:00:12:34:56")
    assert answer(site.discover(OTHER)).yiaddr == ip(".10")


def test_an_address_of_somebody_else_is_refused() -> None:
    site = Site()
    address = site.lease()
    site.discover(OTHER)
    outcome = site.select(address, OTHER)
    assert refused(outcome)
    assert outcome.destination == ("255.255.255.255", 68)
    nak = answer(outcome)
    assert (nak.yiaddr, nak.ciaddr, nak.siaddr) == (0, 0, 0)
    assert options.LEASE_TIME not in nak.options
    assert nak.options[options.MESSAGE] == b"this address is not available"


def test_an_offer_from_before_a_restart_is_honoured() -> None:
    """Offers are in memory only: a client that takes one while it may still be kept gets its address."""
    site = Site()
    site.networks.began = site.now - OFFER_TIME + 1
    assert kind(answer(site.select(ip(".11")))) == options.ACK


def test_what_was_not_offered_is_not_taken() -> None:
    """A REQUEST in SELECTING answers an offer; a client whose offer was lost begins anew, and gets one."""
    site = Site()
    site.networks.began = site.now - OFFER_TIME
    for number in range(10, 13):
        assert refused(site.select(ip(f".{number}"), mac(number)))
    assert not list(site.pool.leases())
    assert kind(answer(site.select(site.lease()))) == options.ACK
    site.now += 5000
    assert kind(answer(site.select(ip(".10")))) == options.ACK, "it had this address before"
    hosts = {"web": Host(mac=MAC, address=OWN + 49)}
    assert kind(answer(Site(hosts=hosts).select(ip(".50")))) == options.ACK, "it is kept for it"


def test_a_renewal_that_is_not_sent_from_the_address_brings_no_lease_back() -> None:
    site = Site()
    assert silent(site.renew(ip(".11"), source=ip(".200"))) == "asks for a lease that is not known here"


def test_a_full_pool_is_said_once() -> None:
    site = Site(Dhcp(range=ranges(".10-.10")))
    site.lease()
    first, second = site.discover(OTHER), site.discover(OTHER)
    assert silent(first) == silent(second) == "no free address"
    assert (first.kind, first.warning) == ("no-lease", True)
    assert first.done.startswith("no free address on eth0: all 1 are taken")
    assert not second.done
    nothing = Site(Dhcp(range=ranges(".1-.1"))).discover()
    assert nothing.done == ("no free address on eth0: range and exclude in [dhcp] leave only reserved ones")
    site.now += 4000
    site.lease(OTHER)
    assert site.discover(mac(3)).done  # full again, said again


# INIT-REBOOT, RENEWING, REBINDING


def test_init_reboot() -> None:
    """RFC 2131 §4.3.2: ACK for its own, NAK for another's or a wrong network's, silence when unknown."""
    site = Site()
    address = site.lease()
    assert kind(answer(site.reboot(address))) == options.ACK
    assert refused(site.reboot(address + 1))
    assert refused(site.reboot(address, OTHER))
    assert refused(site.reboot(ip("192.168.1.9"), OTHER))
    assert silent(site.reboot(ip(".12"), OTHER)) == "asks for a lease that is not known here"


def test_init_reboot_of_a_client_that_was_only_offered_an_address() -> None:
    """It may have another server's lease, which is none of ours."""
    site = Site()
    site.discover()
    assert silent(site.reboot(ip(".12"))) == "asks for a lease that is not known here"


def test_authoritative_refuses_what_it_does_not_know() -> None:
    site = Site(Dhcp(range=ranges(".10-.12"), authoritative=True))
    assert refused(site.reboot(ip(".12")))
    assert refused(site.renew(ip(".12"), direct=False))


def test_an_expired_lease_is_given_again_while_nobody_has_it() -> None:
    site = Site(Dhcp(range=ranges(".10-.10"), answer_all=True))
    address = site.lease()
    site.now += 5000
    assert kind(answer(site.reboot(address))) == options.ACK
    site.now += 5000
    assert site.lease(OTHER) == address
    assert refused(site.reboot(address))


@pytest.mark.parametrize("direct", [True, False])
def test_renewing_and_rebinding(direct: bool) -> None:
    """RFC 2131 §4.3.2: the answer goes to ciaddr, which the acknowledgement repeats."""
    site = Site()
    address = site.lease()
    site.now += 1800
    outcome = site.renew(address, direct=direct)
    ack = answer(outcome)
    assert (kind(ack), ack.yiaddr, ack.ciaddr) == (options.ACK, address, address)
    assert outcome.destination == ("10.0.0.10", 68)
    assert outcome.commit[0].expires == site.now + 3600


def test_a_renewal_outlives_the_loss_of_the_leases() -> None:
    """RENEWING is sent to the server that gave the lease alone; REBINDING is everybody's."""
    site = Site()
    assert silent(site.renew(ip(".11"), direct=False)) == "asks for a lease that is not known here"
    assert kind(answer(site.renew(ip(".11")))) == options.ACK


def test_a_renewal_of_an_address_outside_the_ranges_is_refused() -> None:
    assert refused(Site().renew(ip(".77")))


def test_a_renewal_is_of_ciaddr_whatever_else_it_asks_for() -> None:
    """RFC 2131 §4.3.2: option 50 must not be there. The answer would else tell one address of another."""
    site = Site()
    address = site.lease()
    ack = answer(site.renew(address, o50=wire.addresses(ip(".12"))))
    assert (kind(ack), ack.yiaddr, ack.ciaddr) == (options.ACK, address, address)


@pytest.mark.parametrize("server", [{}, {"o54": wire.addresses(int(OWN))}])
def test_no_answer_goes_where_a_request_says_and_this_server_does_not(server: dict[str, Any]) -> None:
    """RFC 2131 table 5: ciaddr is 0 in SELECTING. Who may forge it has replies sent to anyone else."""
    site = Site()
    site.lease()
    outcome = site.say(options.REQUEST, o50=wire.addresses(ip(".10")), ciaddr=ip("8.8.8.8"), **server)
    assert outcome.destination == ("255.255.255.255", 68)
    assert answer(outcome).ciaddr == 0


def test_a_client_that_puts_the_offered_address_into_ciaddr_too() -> None:
    """RFC 1541 had it so, and VPCS does it: nobody answers ARP for that address yet, so unicast is lost."""
    site = Site()
    address = answer(site.discover()).yiaddr
    outcome = site.select(address, ciaddr=address)
    assert (kind(answer(outcome)), answer(outcome).yiaddr) == (options.ACK, address)
    assert outcome.destination == ("255.255.255.255", 68)
    assert answer(outcome).ciaddr == 0


# RELEASE, DECLINE, INFORM


def test_release() -> None:
    """RFC 2131 §4.3.4: no answer; the address is free, but its client gets it again."""
    site = Site(Dhcp(range=ranges(".10-.12")))
    address = site.lease()
    outcome = site.say(options.RELEASE, ciaddr=address, o54=wire.addresses(int(OWN)), direct=True)
    assert not outcome.data
    assert not outcome.ignored
    assert outcome.commit[0].expires == site.now
    assert outcome.done == "10.0.0.10 is free again, once nobody answers for it"
    assert site.lease() == address


@pytest.mark.parametrize(("probe", "seconds"), [(True, RELEASED), (False, 0)])
def test_who_else_gets_a_released_address(probe: bool, seconds: float) -> None:
    """The release may be forged: the kernel has that long to find out whether the client is still there."""
    site = Site(Dhcp(range=ranges(".10-.10"), probe=probe))
    address = site.lease()
    site.say(options.RELEASE, ciaddr=address, direct=True)
    if seconds:
        site.now += seconds - 1
        assert silent(site.discover(OTHER)) == "no free address"
        site.now += 1
    assert site.lease(OTHER) == address


@pytest.mark.parametrize(("hardware", "server"), [(OTHER, ".1"), (MAC, ".2")])
def test_release_by_a_stranger_or_to_another_server(hardware: bytes, server: str) -> None:
    """D9, RFC 2131 §4.3.4, table 5: only its client can give a lease back, and to who gave it."""
    site = Site()
    address = site.lease()
    outcome = site.say(options.RELEASE, hardware, ciaddr=address, o54=wire.addresses(ip(server)))
    assert silent(outcome) == "DHCPRELEASE of an address that the client does not hold"
    assert kind(answer(site.renew(address))) == options.ACK


def test_decline_by_the_holder() -> None:
    """RFC 2131 §4.3.3: the address is not leased to anyone, for the time set; the client gets another."""
    site = Site(Dhcp(range=ranges(".10-.11")))
    address = site.lease()
    outcome = site.say(options.DECLINE, o50=wire.addresses(address), o54=wire.addresses(int(OWN)))
    assert not outcome.data
    assert outcome.warning
    assert outcome.commit[0].expires == site.now + 900
    assert site.lease() != address
    assert silent(site.discover(OTHER)) == "no free address"
    site.now += 901
    assert answer(site.discover(OTHER)).yiaddr == address


def test_decline_of_what_was_only_offered() -> None:
    """Nothing was acknowledged, so no client tried the address: a pair of datagrams costs none."""
    site = Site()
    for number in range(100):
        site.now += FIRM
        address = answer(site.discover(mac(number))).yiaddr
        said = {"o50": wire.addresses(address), "o54": wire.addresses(int(OWN))}
        assert silent(site.say(options.DECLINE, mac(number), **said)) == (
            "DHCPDECLINE of an address that the client does not hold"
        )
    address = site.lease()
    site.now += 3601
    expired = site.say(options.DECLINE, o50=wire.addresses(address), o54=wire.addresses(int(OWN)))
    assert silent(expired) == "DHCPDECLINE of an address that the client does not hold"
    assert site.lease(OTHER)


def test_a_renewal_does_not_shorten_what_was_promised() -> None:
    """Who asks for less is told less; the address stays its client's for as long as it was told before."""
    site = Site()
    address = site.lease()
    site.now += 10
    outcome = site.renew(address, o51=wire.octets(1, 4))
    assert options.number(answer(outcome), options.LEASE_TIME, 4) == 60
    assert outcome.commit[0].expires == site.now + 3590
    site.now += 3580
    assert refused(site.reboot(address, OTHER))


@pytest.mark.parametrize(("hardware", "server"), [(OTHER, ".1"), (MAC, ".2"), (MAC, "0.0.0.0")])
def test_decline_by_a_stranger_or_to_another_server(hardware: bytes, server: str) -> None:
    """D9, RFC 2131 table 5: it names the address and this server; 0.0.0.0 is like no option 54."""
    site = Site()
    address = site.lease()
    outcome = site.say(options.DECLINE, hardware, o50=wire.addresses(address), o54=wire.addresses(ip(server)))
    assert silent(outcome) == "DHCPDECLINE of an address that the client does not hold"
    assert kind(answer(site.renew(address))) == options.ACK


def test_inform() -> None:
    """RFC 2131 §4.3.5: to ciaddr, without an address and without lease times."""
    outcome = Site().say(options.INFORM, ciaddr=ip(".200"))
    ack = answer(outcome)
    assert (kind(ack), ack.yiaddr, ack.ciaddr) == (options.ACK, 0, ip(".200"))
    assert outcome.destination == ("10.0.0.200", 68)
    assert not outcome.commit
    assert not {options.LEASE_TIME, options.RENEWAL_TIME, options.REBINDING_TIME} & set(ack.options)
    assert ack.file == b"boot.efi"


def test_inform_without_ciaddr() -> None:
    """What it was sent from is its address, if that is one of the network."""
    outcome = Site().say(options.INFORM, source=ip(".77"))
    assert (kind(answer(outcome)), answer(outcome).ciaddr) == (options.ACK, ip(".77"))
    assert outcome.destination == ("10.0.0.77", 68)
    assert silent(Site().say(options.INFORM, source=ip("8.8.8.8"))) == "DHCPINFORM from another network"
    assert silent(Site().say(options.INFORM)) == "DHCPINFORM from another network"


def test_inform_does_not_send_to_other_networks() -> None:
    assert silent(Site().say(options.INFORM, ciaddr=ip("8.8.8.8"))) == "DHCPINFORM from another network"


def test_two_machines_with_one_hardware_address(capsys: pytest.CaptureFixture[str]) -> None:
    """ipvlan, or virtual machines behind Wi-Fi: with identity = auto they get one address. It is said once.

    The programs of one machine have identifiers of their own as well, but none goes on with a lease after
    the next one has taken it: firmware, boot loader, installer and system are no two machines.
    """
    site = Site(Dhcp(range=ranges(".10-.12"), answer_all=True))
    one, other = ({"o61": b"\xff" + name, "vendor": b""} for name in (b"one", b"other"))
    firmware = site.lease(o61=b"\0" + bytes(16))
    address = site.lease(**one)
    assert address == firmware
    quiet = [site.renew(address, **one), site.discover(**other), site.select(address, **other)]
    assert not any(outcome.warning for outcome in quiet)
    told = [site.renew(address, **which) for which in (one, other, one)]
    assert [outcome.warning for outcome in told] == [True, False, False]
    assert told[0].done.endswith("set identity = client-id in [dhcp] to give each one its own")
    apart = Site(Dhcp(range=ranges(".10-.12"), answer_all=True, identity="client-id"))
    assert apart.lease(**one) != apart.lease(**other)
    assert not apart.renew(ip(".10"), **one).warning


def test_what_is_said_of_two_machines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "MAX_SHARED", 1)
    site = Site(Dhcp(range=ranges(".10-.12"), answer_all=True))
    for number in range(2):
        site.lease(mac(number), o61=b"\xffone")
    told = [site.renew(ip(f".{10 + number}"), mac(number), o61=b"\xfftwo").warning for number in range(2)]
    assert told == [True, False]


# Whom it answers


def test_only_pxe_clients_are_answered() -> None:
    why = "not a PXE client (answer_all is off)"
    assert silent(Site().discover(vendor=b"udhcp 1.35.0")) == why
    assert silent(Site().discover(vendor=b"")) == why
    assert silent(Site().discover(vendor=b"HTTPClient:Arch:00016:UNDI:003001")) == why
    assert Site().discover(vendor=b"", o77=b"iPXE").data
    assert Site().discover(vendor=b"", o175=b"\x01\x01\x01").data


def test_answer_all() -> None:
    assert Site(Dhcp(answer_all=True)).lease(vendor=b"") == ip(".2")


def test_the_installer_and_the_installed_system_go_on_with_the_lease() -> None:
    """They are no PXE clients and give other client identifiers, but it is the same machine."""
    site = Site()
    address = site.lease()
    assert site.lease(vendor=b"d-i", o61=b"\xff\x01\x02\x03\x04duid") == address
    assert kind(answer(site.renew(address, vendor=b""))) == options.ACK
    site.now += 4000
    assert silent(site.discover(vendor=b"d-i")) == "not a PXE client (answer_all is off)"


def test_a_machine_with_a_reservation_is_answered() -> None:
    site = Site(hosts={"web": Host(mac=MAC, address=OWN + 49)})
    assert site.lease(vendor=b"") == ip(".50")


def test_a_later_program_gets_the_boot_file_of_the_architecture_given_before() -> None:
    """syslinux.efi repeats DHCP without options 60 and 93."""
    site = Site(pxe=Pxe(boot_file="pxelinux.0", boot=(("x86_64-efi", "syslinux.efi"),)))
    site.lease()
    assert answer(site.discover(vendor=b"")).file == b"syslinux.efi"


def test_reservations() -> None:
    kept, taken = OWN + 49, OWN + 9
    site = Site(Dhcp(range=ranges(".10-.11"), reserve=((MAC, kept), (OTHER, taken))))
    assert site.lease(mac(3)) == ip(".11")  # .10 is kept for another
    assert silent(site.discover(mac(4))) == "no free address"
    assert site.lease() == ip(".50")
    assert site.lease(OTHER) == ip(".10")
    assert refused(site.reboot(ip(".11")))


def test_a_new_reservation_moves_the_client() -> None:
    site = Site()
    before = site.lease()
    moved = Site(Dhcp(range=ranges(".10-.12"), reserve=((MAC, OWN + 49),)), leases=site.pool.leases())
    assert refused(moved.renew(before))
    outcome = moved.select(answer(moved.discover()).yiaddr)
    assert answer(outcome).yiaddr == ip(".50")
    assert [(lease.address, lease.key) for lease in outcome.commit] == [
        (before, b""),
        (ip(".50"), b"\1" + MAC),
    ]


def test_a_lease_outlives_a_reload_that_had_no_place_for_it() -> None:
    """Its client goes by it still, when the range is widened again."""
    site = Site()
    address = site.lease()
    narrow = Site(Dhcp(range=ranges(".11-.12")), leases=site.networks.leases())
    assert refused(narrow.renew(address))
    again = Site(leases=narrow.networks.leases())
    assert again.lease(OTHER) != address
    assert kind(answer(again.renew(address))) == options.ACK


@pytest.mark.parametrize("address", [".10", ".50"])
def test_an_address_that_is_kept_for_another_by_now(address: str) -> None:
    """Its client has to leave it, and until then nobody gets it, be it of the range or not."""
    kept = IPv4Address(ip(address))
    site = Site(hosts={"old": Host(mac=MAC, address=kept)})
    site.lease()
    moved = Site(hosts={"new": Host(mac=OTHER, address=kept)}, leases=site.networks.leases())
    assert moved.lease(OTHER) != ip(address)
    assert refused(moved.renew(ip(address)))
    moved.now += 3600
    assert moved.lease(OTHER) == ip(address)


def test_it_is_said_why_a_machine_has_not_the_address_that_is_kept_for_it() -> None:
    """An administrator who gave the reservation to a new network card would look for the reason elsewhere."""
    site = Site(hosts={"old": Host(mac=MAC, address=OWN + 49)})
    site.lease()
    hosts = {"new": Host(mac=OTHER, address=OWN + 49)}
    why = "; 10.0.0.50, which is reserved for it, is leased to 52:54:00:12:34:56 for another 3600 s"
    moved = Site(hosts=hosts, leases=site.networks.leases())
    offer = moved.discover(OTHER)
    assert offer.done.startswith("DHCPOFFER on 10.0.0.10 to 52:54:00:00:00:63")
    assert offer.done.endswith(why)
    assert offer.warning
    full = Site(Dhcp(range=ranges(".1-.1")), hosts=hosts, leases=site.networks.leases())
    assert full.discover(OTHER).done.endswith(why)
    [kept] = full.networks.leases()
    kept.seconds = FOREVER
    always = Site(Dhcp(range=ranges(".1-.1")), hosts=hosts, leases=full.networks.leases())
    assert always.discover(OTHER).done.endswith("is leased to 52:54:00:12:34:56 for ever")
    full.pool.quarantine(ip(".50"), 900, full.now)
    other = Site(Dhcp(range=ranges(".1-.1")), hosts=hosts, leases=full.networks.leases())
    why = "; 10.0.0.50, which is reserved for it, is in use by another machine: not leased for another 900 s"
    assert other.discover(OTHER).done.endswith(why)


def test_who_has_to_leave_an_address_is_offered_one_other() -> None:
    """RFC 2131 §4.3.1: the same each time."""
    site = Site()
    kept = IPv4Address(site.lease())
    moved = Site(hosts={"new": Host(mac=OTHER, address=kept)}, leases=site.networks.leases())
    offered = [answer(moved.discover()).yiaddr for _ in range(3)]
    assert len(set(offered)) == 1
    moved.select(offered[0])
    assert moved.lease(OTHER) == int(kept), "it is free as soon as its client has the other"


# Relays


def test_relayed() -> None:
    """RFC 2131 §4.1, RFC 3046 §2.2: to the relay's port 67, option 82 as it came."""
    site = Site()
    outcome = site.discover(giaddr=ip(".2"), o82=b"\x01\x01x", hops=1)
    offer = answer(outcome)
    assert outcome.destination == ("10.0.0.2", 67)
    assert (offer.giaddr, offer.hops, list(offer.options)[-1]) == (ip(".2"), 0, options.RELAY_AGENT)
    assert offer.options[options.RELAY_AGENT] == b"\x01\x01x"
    assert outcome.asked.startswith("DHCPDISCOVER from 52:54:00:12:34:56 via eth0 through 10.0.0.2")


def test_two_relay_agent_options_come_back_apart() -> None:
    """In a refusal as well as in an offer."""
    agents = (b"\x01\x04port", b"\x02\x02id")
    octets = b"".join(bytes([82, len(agent)]) + agent for agent in agents) + b"\xff"
    for kind_, address in ((options.DISCOVER, ip(".10")), (options.REQUEST, ip("192.168.1.9"))):
        asked = message(kind_, giaddr=ip(".2"), o50=wire.addresses(address), o82=b"".join(agents))
        asked.agents = agents
        outcome = Site().machine.receive(asked, 0.0, direct=False, source=ip(".2"))
        assert outcome.data.rstrip(b"\0").endswith(octets)


def test_a_relayed_refusal_is_broadcast_by_the_relay() -> None:
    """RFC 2131 §4.1: the server sets the broadcast bit."""
    outcome = Site().select(ip("192.168.1.9"), giaddr=ip(".2"))
    assert outcome.destination == ("10.0.0.2", 67)
    assert answer(outcome).flags == wire.BROADCAST


def test_what_relays_must_not_do() -> None:
    why = "relayed from a network that is not configured: describe it in a [subnet]"
    assert silent(Site().discover(giaddr=ip("192.168.1.1"))) == why
    assert silent(Site().discover(o82=b"\x01\x01x")) == "option 82 without a relay agent"


# What is not for a DHCP server


def test_messages_that_are_passed_over() -> None:
    site = Site()
    assert silent(site.discover(op=wire.BOOTREPLY)) == "a server's message"
    assert silent(site.say(options.OFFER)) == "not a message of a DHCP client"
    assert silent(site.say(200)) == "not a message of a DHCP client"
    assert silent(site.discover(bytes(6))) == "neither hardware address nor client identifier"
    assert silent(site.machine.receive(Message(cookie=False), 0, direct=False)) == "BOOTP, not DHCP"
    assert silent(site.say(options.REQUEST)) == "DHCPREQUEST for no address"


@pytest.mark.parametrize("code", [options.MESSAGE_TYPE, options.SERVER_ID])
def test_options_of_a_wrong_length(code: int) -> None:
    asked = message(options.REQUEST)
    asked.options[code] = b"\x01\x02\x03"
    with pytest.raises(WireError, match=f"option {code} must have"):
        Site().machine.receive(asked, 0, direct=False)


KINDS = st.sampled_from([*range(1, 9)])
ODD_OPTIONS = st.dictionaries(
    st.sampled_from([43, 50, 51, 54, 55, 57, 60, 61, 66, 67, 77, 82, 93, 94, 97, 118, 150, 175]),
    st.binary(max_size=20),
)


@given(KINDS, ODD_OPTIONS, st.booleans(), st.sampled_from([0, ip(".10"), ip(".1"), ip("8.8.8.8")]))
def test_no_option_breaks_it(kind: int, said: dict[int, bytes], direct: bool, address: int) -> None:
    site = Site(Dhcp(range=ranges(".10-.12"), answer_all=True, authoritative=True))
    asked = message(kind, ciaddr=address)
    asked.options |= said
    try:
        outcome = site.machine.receive(asked, 0, direct=direct)
    except WireError:
        return
    assert bool(outcome.data) != bool(outcome.ignored or kind in {options.RELEASE, options.DECLINE})
    if outcome.data:
        reply = answer(outcome)
        assert reply.yiaddr in {0, ip(".10"), ip(".11"), ip(".12")}
        assert reply.options.get(options.CLIENT_ID) == said.get(options.CLIENT_ID)


NOTHING_TO_BOOT = Pxe()


@pytest.mark.parametrize(
    ("pxe", "with_tftp", "siaddr"),
    [
        (NOTHING_TO_BOOT, False, 0),
        (NOTHING_TO_BOOT, True, int(OWN)),
        (Pxe(tftp_server=OWN + 7), False, int(OWN) + 7),
        (Pxe(tftp_server=OWN + 7), True, int(OWN) + 7),
        (Pxe(boot_file="x"), False, int(OWN)),
    ],
)
def test_the_next_server_of_a_client_without_a_boot_file(pxe: Pxe, with_tftp: bool, siaddr: int) -> None:
    """U-Boot's distro boot asks the next server for a script, and ends without one; no option is sent."""
    site = Site(pxe=pxe)
    site.machine = Machine(site.settings, "eth0", int(OWN), site.networks, with_tftp=with_tftp)
    says = {"vendor": b"U-Boot.armv8", "o93": b"\0\x16", "o55": bytes([1, 3, 43, 60, 66, 67, 150])}
    offered = answer(site.discover(**says))
    for reply in (offered, answer(site.select(offered.yiaddr, **says))):
        assert reply.siaddr == siaddr
        if not pxe.boot_file:
            assert not reply.sname + reply.file
            assert not {43, 60, 66, 67, 150} & set(reply.options)
