"""The lease database in trouble: nothing is promised that is not stored, and nothing that is stored is lost.

The whole DHCP server meets each fault, in one process and without a network.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd import net
from ptftpd.dhcp import wire
from ptftpd.dhcp.store import Store
from ptftpd.errors import Error
from tests.faults.disks import fill, small_disk
from tests.machine.test_dhcp_server import Bench, select

ACK = "DHCPACK to 255.255.255.255"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a small disk for the database."""
    with small_disk(tmp_path / "disk", 1 << 21) as path:
        yield path


@pytest.fixture
def bench(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Return a server whose leases are on the small disk."""
    made = Bench(disk, monkeypatch)
    monkeypatch.setattr(net, "receive", made.wire.receive)
    monkeypatch.setattr(net, "send_from", made.wire.send_from)
    yield made
    made.server.close()
    made.loop.close()


def stored(path: Path) -> list[str]:
    """Return the addresses that the next run finds leased."""
    store = Store(str(path))
    try:
        return sorted(wire.dotted(lease.address) for lease in store.load(0.0))
    finally:
        store.close()


def test_the_disk_is_full(bench: Bench, disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No acknowledgement leaves, it is said once; with room again everything goes on by itself."""
    assert ACK in bench.hear(select(10))
    ballast = fill(disk)
    for number in range(11, 14):
        assert bench.hear(select(number)) == []
    ballast.unlink()
    assert ACK in bench.hear(select(11))
    assert stored(disk / "leases.sqlite") == ["10.0.0.10", "10.0.0.11"]
    said = capsys.readouterr().err
    told = "disk is full: make room on that disk; no address is leased until it can be written"
    assert said.count(told) == 1
    assert said.count("the lease database can be written again") == 1


def test_another_program_holds_it(bench: Bench, disk: Path) -> None:
    """As when somebody looks at it with sqlite3 and leaves a transaction open."""
    assert bench.disk._database is not None
    bench.disk._database.execute("PRAGMA busy_timeout = 10")
    holder = sqlite3.connect(disk / "leases.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert bench.hear(select(10)) == []
    holder.execute("ROLLBACK")
    holder.close()
    assert ACK in bench.hear(select(10))


def test_a_disk_that_is_read_only(disk: Path) -> None:
    """Said at the start, with the name of the file; the leases that are there are not touched."""
    path = disk / "leases.sqlite"
    assert stored(path) == []
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(Error, match=f"cannot use the lease database {path}: unable to open"):
        stored(path)


def test_cut_off_anywhere(bench: Bench, disk: Path, tmp_path: Path) -> None:
    """Power fails while it is written: every lease acknowledged before is there, and no half one.

    The log is cut at every 500th octet. SQLite finds by its checksums where the last whole commit ends.
    """
    path, log = disk / "leases.sqlite", disk / "leases.sqlite-wal"
    sizes = []
    for number in range(10, 14):
        assert ACK in bench.hear(select(number))
        sizes.append(log.stat().st_size)
    copy = tmp_path / "copy"
    copy.mkdir()
    for cut in range(sizes[0], sizes[-1] + 1, 500):
        shutil.copy(path, copy)
        (copy / log.name).write_bytes(log.read_bytes()[:cut])
        acknowledged = sum(size <= cut for size in sizes)
        assert stored(copy / path.name) == [f"10.0.0.{10 + n}" for n in range(acknowledged)]
        for file in copy.iterdir():
            file.unlink()


def test_rubbish_behind_the_last_commit(bench: Bench, disk: Path) -> None:
    """As a disk may leave it that had begun to write."""
    assert ACK in bench.hear(select(10))
    with (disk / "leases.sqlite-wal").open("ab") as log:
        log.write(b"\xa5" * 5000)
    shutil.copytree(disk, disk / "copy")
    assert stored(disk / "copy/leases.sqlite") == ["10.0.0.10"]


@pytest.mark.parametrize("kept", [0.3, 0.6])
def test_a_damaged_database_is_not_served_from(bench: Bench, disk: Path, kept: float) -> None:
    """It is named, and left as it is: somebody may be able to mend it."""
    for number in range(10, 80):
        assert ACK in bench.hear(select(number))
    bench.server.close()
    path = disk / "leases.sqlite"
    octets = path.read_bytes()
    damaged = octets[: int(len(octets) * kept)]
    path.write_bytes(damaged)
    with pytest.raises(Error, match=f"cannot use the lease database {path}: "):
        stored(path)
    assert path.read_bytes() == damaged
