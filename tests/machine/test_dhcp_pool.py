"""Who gets which address, and that no two clients ever have the same."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ptftpd.dhcp import pool as pool_module
from ptftpd.dhcp.pool import OFFER_TIME, Lease, Pool, Subnet, subnet
from ptftpd.errors import ConfigError
from ptftpd.settings import Dhcp, Host, Pxe, Settings
from tests.machine.dhcp_site import MAC, OWN, ip, mac, ranges

KEYS = [bytes([1]) + mac(number) for number in range(6)]


def small(count: int = 3, **fields: object) -> Subnet:
    """Return a subnet that leases count addresses from 10.0.0.10 on."""
    return Subnet(ip(".0"), ip("255.255.255.0"), ((ip(".10"), ip(".10") + count - 1),), **fields)  # type: ignore[arg-type]


def lease(pool: Pool, key: bytes, now: float, seconds: float = 100) -> int:
    """Return the address leased to a client."""
    offered = pool.offer(key, 0, now)
    assert offered is not None
    assert pool.suits(key, offered.address, now)
    return pool.grant(key, offered.address, seconds, now)[-1].address


# The subnet that the settings describe


def plan(dhcp: Dhcp | None = None, network: str = "10.0.0.0/24", **fields: object) -> Subnet:
    """Return the subnet of an interface with the address 10.0.0.1."""
    settings = Settings(dhcp=dhcp or Dhcp(), **fields)  # type: ignore[arg-type]
    return subnet(settings, "eth0", OWN, IPv4Network(network))


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
        (Dhcp(reserve=((MAC, OWN),)), {}, "[dhcp] reserve = 10.0.0.1: must be an address for a client"),
        (
            Dhcp(reserve=((mac(1), OWN + 9), (mac(2), OWN + 9))),
            {},
            "[dhcp] reserve = 10.0.0.10: is kept for 52:54:00:00:00:01 already",
        ),
        (
            Dhcp(reserve=((mac(1), OWN + 9),)),
            {"web": Host(mac=mac(1), address=OWN + 10)},
            "[host web] address = 10.0.0.11: 52:54:00:00:00:01 has another address already",
        ),
    ],
)
def test_what_does_not_fit(dhcp: Dhcp, hosts: dict[str, Host], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(dhcp, hosts=hosts)
    assert str(caught.value).startswith(error)


# Preference


def test_expired_leases_are_reused_oldest_first() -> None:
    pool = Pool(small(3))
    first, second, third = (lease(pool, key, now) for key, now in zip(KEYS, [0, 1, 2], strict=False))
    pool.grant(KEYS[0], first, 100, 50)  # renewed: free after the other two
    assert [lease(pool, key, 500) for key in KEYS[3:6]] == [second, third, first]


def test_fresh_addresses_go_first() -> None:
    pool = Pool(small(2))
    assert lease(pool, KEYS[0], 0) == ip(".10")
    assert lease(pool, KEYS[1], 1000) == ip(".11")
    assert lease(pool, KEYS[0], 1000) == ip(".10")


def test_a_released_address_is_free_at_once() -> None:
    pool = Pool(small(2))
    addresses = [lease(pool, key, 0) for key in KEYS[:2]]
    found = pool.find(KEYS[1])
    assert found is not None
    pool.release(found, 5)
    assert lease(pool, KEYS[2], 6) == addresses[1]
    assert pool.find(KEYS[1]) is None


def test_release_and_renewal_for_ever_do_not_fill_the_queue() -> None:
    pool = Pool(small(2))
    for now in range(1000):
        lease(pool, KEYS[0], now)
        found = pool.find(KEYS[0])
        assert found is not None
        pool.release(found, now + 0.5)
    assert len(pool._queue) < 5


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More clients than records: the one that was served first makes room, though addresses are left."""
    monkeypatch.setattr(pool_module, "MAX_LEASES", 2)
    pool = Pool(small(200))
    for number in range(50):
        assert pool.offer(bytes([1]) + mac(number), 0, number * OFFER_TIME) is not None
    assert len(list(pool.leases())) == 2
    assert not pool.suits(KEYS[0], ip(".99"), 0)


def test_known_leases_are_taken_over() -> None:
    known = [
        Lease(ip(".10"), KEYS[0], expires=500, seconds=100),
        Lease(ip(".11"), b"", expires=500, seconds=100),  # in quarantine
        Lease(ip(".99"), KEYS[1], expires=500, seconds=100),  # no longer in the ranges
    ]
    pool = Pool(small(3), known)
    assert pool.leased(0) == 1
    assert not pool.suits(KEYS[1], ip(".10"), 0)
    assert not pool.suits(KEYS[1], ip(".11"), 0)
    assert not pool.suits(KEYS[1], ip(".99"), 0)
    assert lease(pool, KEYS[0], 0) == ip(".10")
    assert lease(pool, KEYS[1], 0) == ip(".12")


class AnyOrder(RuleBasedStateMachine):
    """Clients that ask, take, release and decline in any order, at any speed."""

    clients = st.sampled_from(KEYS)
    addresses = st.integers(ip(".9"), ip(".15"))

    def __init__(self) -> None:
        """Four addresses for six clients, one of them reserved."""
        super().__init__()
        self.pool = Pool(small(4, reserved={KEYS[5]: ip(".13")}))
        self.now = 0.0
        self.promised: dict[int, tuple[bytes, float]] = {}  # what clients rest on: address -> (key, until)

    @rule(seconds=st.floats(0, 150))
    def time(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=clients, wanted=addresses)
    def discover(self, key: bytes, wanted: int) -> None:
        found = self.pool.offer(key, wanted, self.now)
        if found is not None:
            self.check(key, found.address)
            again = self.pool.offer(key, 0, self.now)
            assert again is found
        else:
            assert all(self.holder(address) not in {None, key} for address in range(ip(".10"), ip(".13")))

    @rule(key=clients, address=addresses)
    def request(self, key: bytes, address: int) -> None:
        if self.pool.suits(key, address, self.now):
            self.check(key, address)
            changed = self.pool.grant(key, address, 100, self.now)
            assert changed[-1].address == address
            for record in changed:
                self.promised.pop(record.address, None)
            self.promised[address] = key, self.now + 100
        elif self.holder(address) == key:
            assert address != ip(".13")  # only its reservation may keep a client from its own address
            assert key == KEYS[5]

    @rule(key=clients)
    def release(self, key: bytes) -> None:
        found = self.pool.find(key)
        if found is not None:
            self.pool.release(found, self.now)
            self.promised.pop(found.address, None)

    @rule(key=clients)
    def decline(self, key: bytes) -> None:
        found = self.pool.find(key)
        if found is not None:
            self.pool.quarantine(found, 50, self.now)
            self.promised[found.address] = b"quarantine", self.now + 50

    @rule(key=clients)
    def withdraw(self, key: bytes) -> None:
        self.pool.withdraw(key)

    @rule()
    def reload(self) -> None:
        self.pool = Pool(self.pool.subnet, self.pool.leases())

    def holder(self, address: int) -> bytes | None:
        """Return who rests on an address at this moment."""
        key, until = self.promised.get(address, (None, 0))
        if until > self.now:
            return key
        record = self.pool.holder(address)
        return record.key if record is not None and record.held > self.now else None

    def check(self, key: bytes, address: int) -> None:
        """See that a client may be given an address."""
        assert ip(".10") <= address <= ip(".13")
        assert (address == ip(".13")) <= (key == KEYS[5])
        promised, until = self.promised.get(address, (key, 0))
        assert promised == key or until <= self.now

    @invariant()
    def promises_are_kept(self) -> None:
        """What was acknowledged is recorded, and one client has one address."""
        for address, (key, until) in self.promised.items():
            record = self.pool.holder(address)
            if until > self.now:
                assert record is not None
                assert record.expires == until
                assert record.key == (b"" if key == b"quarantine" else key)
        active = [r.key for r in self.pool.leases() if r.key and r.expires > self.now]
        assert len(active) == len(set(active))


TestAnyOrder = AnyOrder.TestCase
