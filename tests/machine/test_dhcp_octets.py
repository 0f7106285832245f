"""What a client has this server keep is bounded in octets, and not only in number."""

from __future__ import annotations

import gc
import random
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from ptftpd.dhcp import machine, options, request, sheets, wire
from ptftpd.dhcp.pool import Pool
from ptftpd.dhcp.registry import option
from ptftpd.dhcp.request import MAX_CLIENT_ID, MAX_TEXT
from ptftpd.dhcp.server import MAX_DATAGRAM
from ptftpd.dhcp.store import Store
from ptftpd.dhcp.subnet import Subnet
from ptftpd.log import Log
from ptftpd.settings import Class, Dhcp
from tests.machine.dhcp_site import Site, answer, ip, mac, message, ranges

CHANCE = random.Random(1)
LONG = [
    options.VENDOR_CLASS,
    options.CLIENT_ID,
    options.USER_CLASS,
    options.ARCHITECTURE,
    options.GUID,
    55,
    82,
]


def longest(number: int) -> wire.Message:
    """Return a DISCOVER whose octets are all its own, in whichever option they have most room."""
    code = LONG[number % len(LONG)]
    said = {code: CHANCE.randbytes(1100), options.USER_CLASS: b"iPXE" + CHANCE.randbytes(60)}
    asked = message(options.DISCOVER, mac(number), giaddr=ip(".2"))
    asked.options |= said
    return sent(asked)


def sent(asked: wire.Message) -> wire.Message:
    """Return a message as the server reads it."""
    return wire.decode(wire.encode(asked)[:MAX_DATAGRAM])


@pytest.mark.parametrize("identity", ["auto", "client-id"])
def test_memory_of_messages_of_any_kind(identity: str) -> None:
    """Each with as many octets as are read; a pool of ten, so that it is no matter of leases."""
    site = Site(Dhcp(range=ranges(".10-.19"), answer_all=True, identity=identity))

    def some(count: int) -> int:
        for number in range(count):
            site.now += 0.01
            site.machine.receive(longest(number), site.now, direct=False, source=ip(".2"))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        level = some(100)
        grown = some(1500) - level
    finally:
        tracemalloc.stop()
    assert grown < 3_000_000


@pytest.mark.parametrize("identity", ["auto", "client-id"])
@pytest.mark.parametrize("size", [MAX_CLIENT_ID, MAX_TEXT, 1100])
def test_a_lease_takes_a_kilobyte(tmp_path: Path, identity: str, size: int) -> None:
    """On the disk and in memory, whatever the client sends: 182 and 119 kB it was."""
    count = 1000
    pool, now = Pool(Subnet(0, 0xFFFF0000, ((1, count),))), 1000.0
    tracemalloc.start()
    try:
        for _ in range(count):
            said = {
                "o61": CHANCE.randbytes(size),
                "o97": b"\0" + CHANCE.randbytes(30),
                "htype": 6,
                "hlen": 16,
            }
            asked = sent(message(options.REQUEST, CHANCE.randbytes(16), o60=CHANCE.randbytes(90), **said))
            found = request.parse(asked, False, identity)
            offered = pool.offer(found.key, 0, now)
            assert offered is not None
            (lease,) = pool.grant(found.key, offered.address, 3600.0, now)
            lease.hardware, lease.client_id = request.hardware_key(asked), found.stored_client_id
            lease.architecture = next(iter(found.client.architectures), "")
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1000 * count
    leases = list(pool.leases())
    path = tmp_path / "leases.sqlite"
    with closing(Store(str(path))) as store:
        store.load(now)
        CHANCE.shuffle(leases)
        store.commit(leases, now)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size < 1000 * count


@pytest.mark.parametrize(
    ("size", "identifies", "comes_back"), [(MAX_CLIENT_ID, True, True), (MAX_CLIENT_ID + 1, False, True),
                                           (MAX_TEXT, False, True), (MAX_TEXT + 1, False, False)]
)  # fmt: skip
def test_a_client_identifier_that_is_too_long(size: int, identifies: bool, comes_back: bool) -> None:
    """It identifies nobody: half of it would be another machine's. One that fits an option goes back."""
    site = Site(Dhcp(range=ranges(".10-.19"), identity="client-id"))
    asked = sent(message(options.DISCOVER, o61=b"\xff" * size))
    outcome = site.machine.receive(asked, site.now, direct=False)
    key = b"\0" + b"\xff" * size if identifies else b"\1" + asked.chaddr[:6]
    assert outcome.request is not None
    assert outcome.request.key == key
    assert (options.CLIENT_ID in answer(outcome).options) == comes_back


def test_the_identifier_is_stored_once() -> None:
    """As the key of the lease, or beside one that is something else."""
    for identity, stored in (("client-id", b""), ("auto", b"\xff\1\2")):
        site = Site(Dhcp(range=ranges(".10-.19"), identity=identity))
        site.lease(o61=b"\xff\1\2")
        (lease,) = site.pool.leases()
        assert lease.client_id == stored


def test_the_cache_of_reply_bodies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients choose what it is looked up by; the replies stay right when it is emptied."""
    monkeypatch.setattr(machine, "MAX_BODIES", 8)
    site = Site(Dhcp(range=ranges(".10-.209"), answer_all=True))
    for number in range(100):
        offer = answer(site.discover(mac(number), o55=bytes([1, 3, 1 + number])))
        assert options.SUBNET_MASK in offer.options
        assert len(site.machine._bodies) <= 8


def test_the_cache_of_option_sets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which classes a client is of is its own choice, and so are their combinations."""
    monkeypatch.setattr(sheets, "MAX_MIXTURES", 8)
    classes = {
        f"c{n}": Class(vendor_class="x" * n, option=(option(f"{224 + n}=text:{n}"),)) for n in range(1, 20)
    }
    site = Site(Dhcp(range=ranges(".10-.209"), answer_all=True), classes=classes)
    for number in range(1, 20):
        offer = answer(site.discover(mac(number), vendor=b"x" * number, o55=bytes(range(224, 244))))
        assert offer.options[224 + number] == str(number).encode()
        assert len(site.machine._sheets._mixtures) <= 8


def test_a_text_in_a_record_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    """A machine without hardware address is named by its option 61: 360 kB a DISCOVER it was."""
    site = Site(Dhcp(range=ranges(".10-.19"), answer_all=True))
    said = {"o61": b"\xff" * MAX_CLIENT_ID, "o60": b"\xff" * 900, "o97": b"\0" + b"\xff" * 200, "hlen": 0}
    outcome = site.machine.receive(sent(message(options.DISCOVER, bytes(6), **said)), site.now, direct=False)
    Log("pdhcpd").info("lease", outcome.done, **outcome.fields)
    Log("pdhcpd").info("lease", outcome.asked)
    assert outcome.data
    assert all(len(line) < 2000 for line in capsys.readouterr().err.splitlines())
