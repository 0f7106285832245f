"""Who gets which address, and that no two clients ever have the same."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ptftpd.dhcp import pool as pool_module
from ptftpd.dhcp.pool import FIRM, MAX_QUARANTINE, OFFER_TIME, Lease, Pool
from ptftpd.dhcp.subnet import Subnet
from tests.machine.dhcp_site import ip, mac

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


def test_reservations_do_not_count_towards_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be more records than that, and nobody else is offered a fresh address then."""
    monkeypatch.setattr(pool_module, "MAX_LEASES", 1)
    pool = Pool(small(2, reserved={KEYS[0]: ip(".50")}))
    assert [lease(pool, key, 0) for key in (KEYS[1], KEYS[0])] == [ip(".10"), ip(".50")]
    assert pool.offer(KEYS[2], 0, 0) is None


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


def test_quarantine_backs_off() -> None:
    """An address that is in use whenever it is given out is tried less and less often, once a day at last."""
    pool, now = Pool(small(1)), 0.0
    times = []
    for _ in range(12):
        lease(pool, KEYS[0], now)
        times.append(pool.quarantine(ip(".10"), 900, now).seconds)
        assert pool.offer(KEYS[1], 0, now + times[-1] - 1) is None
        now += times[-1]
    assert times == [900, 1800, 3600, 7200, 14400, 28800, 57600, *[MAX_QUARANTINE] * 5]


def test_quarantine_begins_anew_once_a_client_could_stay() -> None:
    """A renewal shows that nobody else uses the address."""
    pool = Pool(small(1))
    lease(pool, KEYS[0], 0)
    pool.quarantine(ip(".10"), 10, 0)
    lease(pool, KEYS[0], 100)
    pool.grant(KEYS[0], ip(".10"), 100, 150)
    assert pool.quarantine(ip(".10"), 10, 160).seconds == 10


def test_an_address_nobody_has_can_be_quarantined() -> None:
    """Somebody was found to use it before it was given to anyone."""
    pool = Pool(small(2))
    pool.quarantine(ip(".10"), 10, 0)
    assert lease(pool, KEYS[0], 0) == ip(".11")
    assert pool.offer(KEYS[1], 0, 0) is None
    assert lease(pool, KEYS[1], 10) == ip(".10")


def test_upcoming_are_those_that_new_clients_get() -> None:
    pool = Pool(small(3))
    assert pool.upcoming(5, 0) == [ip(".10"), ip(".11"), ip(".12")]
    assert pool.upcoming(2, 0) == [ip(".10"), ip(".11")]
    first = lease(pool, KEYS[0], 0)
    assert pool.upcoming(2, 0) == [ip(".11"), ip(".12")]
    assert first == ip(".10")
    lease(pool, KEYS[1], 1)
    assert pool.upcoming(5, 1) == [ip(".12")]
    assert pool.upcoming(5, 500) == [ip(".12"), ip(".10"), ip(".11")]
    assert [lease(pool, key, 500) for key in KEYS[2:5]] == [ip(".12"), ip(".10"), ip(".11")]


def test_nothing_of_a_client_stays_with_an_address() -> None:
    """Whoever has it next would else be taken for it: its boot file, its directory, its lease time."""
    pool = Pool(small(1))
    lease(pool, KEYS[0], 0)
    record = pool.holder(ip(".10"))
    assert record is not None
    record.hardware, record.client_id, record.architecture = KEYS[0], b"\1id", "x86_64-efi"
    pool.offer(KEYS[1], 0, 500)
    assert (record.key, record.hardware, record.client_id, record.architecture) == (KEYS[1], b"", b"", "")
    assert (record.expires, record.seconds) == (-inf, 0.0)


def test_an_address_in_quarantine_identifies_nobody() -> None:
    """It is another machine that has it: TFTP would else send that one the first one's files."""
    pool = Pool(small(1))
    lease(pool, KEYS[0], 0)
    record = pool.holder(ip(".10"))
    assert record is not None
    record.hardware, record.client_id, record.architecture = KEYS[0], b"\1id", "x86_64-efi"
    assert pool.quarantine(ip(".10"), 900, 1) is record
    assert (record.key, record.hardware, record.client_id, record.architecture) == (b"", b"", b"", "")
    assert pool.find(KEYS[0]) is None


@pytest.mark.parametrize("reverse", [False, True])
def test_the_later_of_two_leases_of_one_client_counts(reverse: bool) -> None:
    """In whatever order the database has them."""
    known = [
        Lease(ip(".10"), KEYS[0], expires=50, seconds=9),
        Lease(ip(".11"), KEYS[0], expires=70, seconds=9),
    ]
    found = Pool(small(3), known[::-1] if reverse else known).find(KEYS[0])
    assert found is known[1]


def test_a_lease_that_is_over_is_not_made_newer_by_its_release() -> None:
    """Addresses go to others in the order in which they became free."""
    pool = Pool(small(2))
    first, second = (lease(pool, key, now) for key, now in zip(KEYS[:2], [0, 10], strict=True))
    record = pool.find(KEYS[0])
    assert record is not None
    pool.release(record, 500)
    assert record.expires == 100
    assert [lease(pool, key, 501) for key in KEYS[2:4]] == [first, second]


def test_the_oldest_offer_gives_way_also_after_a_reload() -> None:
    pool = Pool(small(3))
    for number, key in enumerate(KEYS[:3]):
        pool.offer(key, 0, number)
    again = Pool(small(3), pool.leases())
    taken = [again.offer(key, 0, 6) for key in KEYS[3:6]]
    assert [found.address for found in taken if found] == [ip(".10"), ip(".11"), ip(".12")]


def test_an_offer_is_firm_for_two_seconds() -> None:
    """Firmware takes its time, and offers were taken back before. To ask again prolongs nothing."""
    pool = Pool(small(2))
    for key in KEYS[:2]:
        assert pool.offer(key, 0, 0)
    for now in (1.0, FIRM - 0.01):
        assert pool.offer(KEYS[2], 0, now) is None
        assert pool.is_firm(now)
        assert pool.offer(KEYS[0], 0, now)
    taken = pool.offer(KEYS[2], 0, FIRM)
    assert taken
    assert taken.address == ip(".10")


@pytest.mark.parametrize(
    ("before", "gives_way"),
    [
        ("nothing", True),
        ("its offer", False),
        ("its lease, which ended", False),
        ("another's lease, which ended", True),
        ("a reservation", False),
    ],
)
@pytest.mark.parametrize("is_dry", [False, True])
def test_what_a_lease_is_worth(before: str, gives_way: bool, is_dry: bool) -> None:
    """One that was granted on its client's word alone gives way, but only when nothing else is free."""
    mine, other, newcomer = KEYS[:3]
    reserved = {mine: ip(".10")} if before == "a reservation" else {}
    pool = Pool(small(1 if is_dry else 2, reserved=reserved))
    if before == "its offer":
        pool.offer(mine, ip(".10"), 900)
    elif "lease" in before:
        whose = other if "another" in before else mine
        pool.offer(whose, ip(".10"), 0)
        pool.grant(whose, ip(".10"), 100, 0)
    assert pool.suits(mine, ip(".10"), 910)
    pool.grant(mine, ip(".10"), 1000, 910)
    pool = Pool(pool.subnet, pool.leases())  # a reload makes no difference
    found = pool.offer(newcomer, ip(".10"), 920)
    assert (found.address if found else 0) == (ip(".11") if not is_dry else ip(".10") if gives_way else 0)


@pytest.mark.parametrize(
    ("after", "offered", "proven"), [(10, False, False), (500, False, True), (10, True, True)]
)
def test_what_proves_a_lease_later(after: float, offered: bool, proven: bool) -> None:
    """A renewal in its own time, or an offer since; to say it once more does not."""
    pool = Pool(small(1))
    pool.grant(KEYS[0], ip(".10"), 1000, 0)
    if offered:
        pool.offer(KEYS[0], 0, after)
    pool.grant(KEYS[0], ip(".10"), 1000, after)
    assert (pool.offer(KEYS[1], 0, after + 100) is None) == proven


def test_leases_on_a_clients_word_give_way_after_offers_and_the_oldest_first() -> None:
    pool = Pool(small(3))
    for number in (1, 0):
        pool.grant(KEYS[number], ip(".10") + number, 1000, 0)
    pool.offer(KEYS[2], 0, 0)
    taken = [pool.offer(key, 0, FIRM) for key in KEYS[3:6]]
    assert [found.address for found in taken if found] == [ip(".12"), ip(".11"), ip(".10")]


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
        self.on_word: set[int] = set()  # those of them that nothing but the client's word says

    @rule(seconds=st.floats(0, 150))
    def time(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=clients, wanted=addresses)
    def discover(self, key: bytes, wanted: int) -> None:
        found = self.pool.offer(key, wanted, self.now)
        if found is not None:
            if found.address in self.on_word and self.promised.get(found.address, (key, 0))[0] != key:
                self.promised.pop(found.address)
            self.check(key, found.address)
            again = self.pool.offer(key, 0, self.now)
            assert again is found
        else:  # offers are taken back, but firm ones, and what clients only say they have
            for address in range(ip(".10"), ip(".13")):
                holder, until = self.promised.get(address, (b"", 0.0))
                leased = until > self.now and holder != key and address not in self.on_word
                assert leased or self.now - self.pool._offered[address] < FIRM

    @rule(key=clients, address=addresses, seconds=st.sampled_from([20, 100]))
    def request(self, key: bytes, address: int, seconds: float) -> None:
        if self.pool.suits(key, address, self.now):
            self.check(key, address)
            changed = self.pool.grant(key, address, seconds, self.now)
            assert changed[-1].address == address
            self.on_word.discard(address)
            self.on_word |= {address} if changed[-1].on_word else set()
            until = [self.promised.pop(record.address, (b"", 0.0)) for record in changed][-1]
            self.promised[address] = key, max(self.now + seconds, until[1] if until[0] == key else 0.0)
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
            seconds = self.pool.quarantine(found.address, 50, self.now).seconds
            assert seconds >= 50
            self.promised[found.address] = b"quarantine", self.now + seconds
            self.on_word.discard(found.address)

    @rule(key=clients)
    def withdraw(self, key: bytes) -> None:
        self.pool.withdraw(key)

    @rule(count=st.integers(1, 4))
    def look_ahead(self, count: int) -> None:
        for address in self.pool.upcoming(count, self.now):
            assert self.holder(address) is None

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
