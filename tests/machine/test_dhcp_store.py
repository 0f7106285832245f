"""The lease database: what was committed is there after a restart, and means the same."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.store import Store
from ptftpd.errors import Error
from tests.lab import reachable
from tests.machine.dhcp_site import ip, mac

ONE, OTHER = b"\1" + mac(1), b"\1" + mac(2)


class Clock:
    """The time of day, as the test sets it."""

    def __init__(self) -> None:
        """It is some day in 2023."""
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    opened = Store(str(tmp_path / "leases.sqlite"), clock)
    opened.load(0)
    yield opened
    opened.close()


def reloaded(store: Store, now: float) -> list[Lease]:
    """Return the leases as the next run finds them."""
    other = Store(store.path, store._wall)
    try:
        return other.load(now)
    finally:
        other.close()


def test_a_new_database_is_empty(store: Store) -> None:
    assert reloaded(store, 0) == []


def test_leases_are_found_again(store: Store, clock: Clock) -> None:
    """Monotonic time starts anew with the machine; the wall clock goes on."""
    leases = [
        Lease(ip(".10"), ONE, 100 + 3600, 3600, hardware=OTHER, client_id=b"\1x", architecture="bios"),
        Lease(ip(".11"), b"", expires=100 + 900, seconds=900),  # in quarantine
        Lease(ip(".12"), OTHER, expires=100 - 50, seconds=3600),  # expired, kept for its client
    ]
    store.commit(leases, now=100)
    clock.time += 10
    found = reloaded(store, now=5)
    assert [lease.expires for lease in found] == [5 + 3590, 5 + 890, 5 - 60]
    for before, after in zip(leases, found, strict=True):
        after.expires = before.expires
    assert found == leases


@pytest.mark.parametrize(("shift", "left"), [(-1e9, 3600), (-10, 3600), (10, 3590), (1e9, 3600 - 1e9)])
def test_no_lease_outlasts_its_time_when_the_clock_was_set(
    store: Store, clock: Clock, shift: float, left: float
) -> None:
    store.commit([Lease(ip(".10"), ONE, expires=3600, seconds=3600)], now=0)
    clock.time += shift
    assert reloaded(store, now=0)[0].expires == left


@pytest.mark.parametrize("shift", [-1e9, -10, 0, 10, 1e9])
def test_leases_last_as_long_as_granted_when_the_clock_is_set_while_they_do(
    store: Store, clock: Clock, shift: float
) -> None:
    """A machine without a clock of its own hears what time it is when it has leased addresses already."""
    store.commit([Lease(ip(".10"), ONE, expires=3600, seconds=3600)], now=0)
    clock.time += shift + 100
    store.commit([Lease(ip(".11"), OTHER, expires=3700, seconds=3600)], now=100)
    clock.time += 100
    assert [round(lease.expires, 3) for lease in reloaded(store, now=200)] == [3600, 3700]


def test_what_an_earlier_run_stored_stays_as_it_is_when_the_clock_is_set(store: Store, clock: Clock) -> None:
    """That clock was right: only the one of this run began wrong."""
    store.commit([Lease(ip(".10"), ONE, expires=3600, seconds=3600)], now=0)
    right, clock.time = clock.time, 0.0
    again = Store(store.path, clock)
    again.load(0)
    clock.time = right + 5000
    again.commit([Lease(ip(".11"), OTHER, expires=3600, seconds=3600)], now=0)
    again.close()
    assert [lease.expires for lease in reloaded(store, now=0)] == [3600 - 5000, 3600]


def test_one_row_an_address(store: Store) -> None:
    """A client may have a lease in each of several networks."""
    store.commit([Lease(ip(".10"), ONE, expires=100, seconds=100)], now=0)
    store.commit([Lease(ip(".11"), ONE, expires=100, seconds=100)], now=0)
    assert [(lease.address, lease.key) for lease in reloaded(store, 0)] == [
        (ip(".10"), ONE),
        (ip(".11"), ONE),
    ]
    store.commit([Lease(ip(".11"), OTHER, expires=100, seconds=100)], now=0)
    assert [(lease.address, lease.key) for lease in reloaded(store, 0)] == [
        (ip(".10"), ONE),
        (ip(".11"), OTHER),
    ]


def test_many_addresses_in_quarantine(store: Store) -> None:
    store.commit([Lease(ip(end), b"", expires=100, seconds=100) for end in (".10", ".11")], now=0)
    assert len(reloaded(store, 0)) == 2


def test_nobodys_record_is_removed(store: Store) -> None:
    store.commit([Lease(ip(".10"), ONE, expires=100, seconds=100)], now=0)
    store.commit([Lease(ip(".10"))], now=0)
    assert reloaded(store, 0) == []


def test_a_lease_that_came_up_twice_in_a_batch_is_stored_as_it_is_now(store: Store) -> None:
    lease = Lease(ip(".10"), ONE, expires=100, seconds=100)
    store.commit([lease, Lease(ip(".11"), OTHER, expires=1, seconds=1), lease], now=0)
    assert len(reloaded(store, 0)) == 2


def test_all_or_nothing(store: Store) -> None:
    """Another program holds the database: nothing is stored, Error says so, and later it works again."""
    holder = sqlite3.connect(store.path, isolation_level=None)
    store._database.execute("PRAGMA busy_timeout = 10")  # type: ignore[union-attr]
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            Error, match=r"cannot write the lease database .*/leases.sqlite: database is locked"
        ):
            store.commit([Lease(ip(".10"), ONE, expires=100, seconds=100)], now=0)
        holder.execute("ROLLBACK")
    finally:
        holder.close()
    assert reloaded(store, 0) == []
    store.commit([Lease(ip(".10"), ONE, expires=100, seconds=100)], now=0)
    assert len(reloaded(store, 0)) == 1


def test_a_commit_is_on_the_disk_when_it_returns(store: Store) -> None:
    database = store._database
    assert database is not None
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_people_can_read_it(store: Store) -> None:
    store.commit([Lease(ip(".10"), ONE, 100, 100, hardware=ONE, architecture="bios")], now=0)
    assert store._database is not None
    assert store._database.execute("SELECT * FROM lease").fetchall() == [
        ("10.0.0.10", "01:52:54:00:00:00:01", "01:52:54:00:00:00:01", "", "bios", 1_700_000_100.0, 100.0)
    ]


def test_a_look_at_the_leases(store: Store, tmp_path: Path) -> None:
    """As --explain takes it, while the server runs and before it ever did; it makes no database."""
    lease = Lease(ip(".10"), ONE, expires=100, seconds=100)
    store.commit([lease], now=0)
    assert Store(store.path, store._wall).peek(0) == [lease]
    assert Store(str(tmp_path / "other.sqlite")).peek(0) == []
    assert Store(str(tmp_path / "missing" / "leases.sqlite")).peek(0) == []
    (tmp_path / "empty.sqlite").touch()
    assert Store(str(tmp_path / "empty.sqlite")).peek(0) == []
    assert not list(tmp_path.glob("other*"))


@pytest.mark.parametrize(
    ("mode", "reason"), [(0, "Permission denied"), (0o555, "attempt to write a readonly database")]
)
def test_leases_that_nobody_else_may_look_at(store: Store, tmp_path: Path, mode: int, reason: str) -> None:
    """That is no reason to say that there are none. SQLite has to write beside a database to read it."""
    store.close()
    reachable(tmp_path).chmod(mode)
    try:
        with unprivileged(), pytest.raises(Error) as caught:
            Store(store.path).peek(0)
    finally:
        tmp_path.chmod(0o700)
    remedy = "look as root, or as the user that the server runs as"
    assert str(caught.value) == f"cannot read the lease database {store.path}: {reason}: {remedy}"


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for a while, if this is root, who may read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_damaged_database_cannot_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "leases.sqlite"
    path.write_bytes(b"short")
    with pytest.raises(
        Error, match=f"^cannot read the lease database {path}: file is not a database: restore"
    ):
        Store(str(path)).peek(0)


@pytest.mark.parametrize("content", [b"no database at all, but longer than a header" * 30, b"short"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "leases.sqlite"
    path.write_bytes(content)
    store = Store(str(path))
    with pytest.raises(Error, match=f"cannot use the lease database {path}: file is not a database"):
        store.load(0)
    store.close()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "missing" / "leases.sqlite"))
    with pytest.raises(Error, match="unable to open database file"):
        store.load(0)


def test_another_versions_database(store: Store) -> None:
    assert store._database is not None
    store._database.execute("PRAGMA user_version = 9")
    with pytest.raises(Error, match="was written by another version of this program"):
        reloaded(store, 0)


def test_rows_that_mean_nothing(store: Store) -> None:
    assert store._database is not None
    store._database.execute("INSERT INTO lease VALUES ('10.0.0.999', '01', '', '', '', 0, 0)")
    with pytest.raises(Error, match="cannot use the lease database"):
        reloaded(store, 0)
