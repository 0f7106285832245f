"""What an administrator sees of a lease database that cannot be used: pdhcpd as systemd starts it.

One sentence that names the file and says what to do. Exit code 78 where another start would end the same way:
the units do not try again then. Another code where the trouble may pass by itself.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ptftpd.dhcp.store import Store
from ptftpd.errors import EX_CONFIG
from tests.base.running import Daemon
from tests.faults.disks import fill, small_disk
from tests.lab import Lab, Namespace, reachable

USER = "nobody"  # the service's: not root, for whom everything may be written
DATABASE = "leases-eth0.sqlite"
MOVE_AWAY = "restore a backup of it, or move it away together with its -wal and -shm files"
WRITABLE = (
    f"its directory must exist, and user {USER} must be able to write both; a service also needs systemd's "
    "ReadWritePaths="
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """Return a machine with an interface and an address."""
    with Lab(tmp_path_factory.mktemp("machine")) as lab:
        made = lab.namespace("machine")
        made.bridge("eth0")
        made.address("10.0.0.1/24")
        yield made


class Place:
    """A disk of its own with the directory of the database, as the last run has left it."""

    def __init__(self, disk: Path) -> None:
        self.disk, self.state = disk, disk / "state"
        self.database = self.state / DATABASE
        self.state.mkdir()
        store = Store(str(self.database))
        store.load(0.0)
        store.close()
        for path in (self.state, self.database):
            shutil.chown(path, USER)

    def sql(self, *statements: str) -> None:
        """Change the database."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as database:
            for statement in statements:
                database.execute(statement)

    def files(self) -> dict[str, bytes]:
        """Return what is in the directory, but for the index that SQLite makes for whoever reads."""
        found = self.state.iterdir() if self.state.is_dir() else ()
        return {path.name: path.read_bytes() for path in found if not path.name.endswith(("-shm", "-wal"))}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with small_disk(reachable(tmp_path) / "disk", 1 << 20) as disk:
        yield Place(disk)


@contextmanager
def started(machine: Namespace, place: Place, run: str = "run") -> Iterator[Daemon]:
    """Run pdhcpd as its unit does: with a socket, without root. It may read any checkout."""
    with machine.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reads = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    become = ("setpriv", f"--reuid={USER}", "--clear-groups", *reads)
    words = ("dhcpd", "eth0", "--state-dir", place.state)
    directory = place.disk.parent / run
    directory.mkdir()
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("0.0.0.0", 67))
        command = [*machine.command(), *become]
        with Daemon(directory, *words, sockets=[("dhcp", sock)], command=command) as daemon:
            yield daemon


def damage(place: Place) -> None:
    """Lose the beginning, as a disk may."""
    octets = place.database.read_bytes()
    place.database.write_bytes(bytes(100) + octets[100:])


def cut(place: Place) -> None:
    """Lose the end."""
    leases = ", ".join(f"('10.0.0.{number}', '', '', '', '', 0, 0)" for number in range(2, 250))
    place.sql(f"INSERT INTO lease VALUES {leases}")
    os.truncate(place.database, place.database.stat().st_size // 2)


def mistype(place: Place) -> None:
    """Write into it by hand."""
    place.sql("INSERT INTO lease VALUES ('10.0.0.2', 17, '', '', '', 'tomorrow', 'long')")


def of_another_version(place: Place) -> None:
    """Go back to an older version of ptftpd."""
    place.sql("PRAGMA user_version = 9")


def of_another_program(place: Place) -> None:
    """Let it be a database, but not ours."""
    place.database.unlink()
    place.sql("CREATE TABLE holidays (day TEXT)")


def of_roots(place: Place) -> None:
    """Restore a backup as root, and forget about the owner."""
    shutil.chown(place.database, "root")


def of_roots_directory(place: Place) -> None:
    """Make a new state directory as root, and forget about the owner."""
    place.database.unlink()
    shutil.chown(place.state, "root")


def read_only(place: Place) -> None:
    """Let the kernel find errors on the disk."""
    subprocess.run(["mount", "-o", "remount,ro", place.disk], check=True)


def missing(place: Place) -> None:
    """Name a directory that is not there."""
    shutil.rmtree(place.state)


def a_directory(place: Place) -> None:
    """Put a directory in its place."""
    place.database.unlink()
    place.database.mkdir()


LASTING = {
    damage: f"file is not a database: {MOVE_AWAY}",
    cut: f"database disk image is malformed: {MOVE_AWAY}",
    mistype: MOVE_AWAY,
    of_another_version: f"was written by another version .*: {MOVE_AWAY}",
    of_another_program: f"was written by .* another program: {MOVE_AWAY}",
    of_roots: f"attempt to write a readonly database: {WRITABLE}",
    of_roots_directory: f"unable to open database file: {WRITABLE}",
    read_only: WRITABLE,
    missing: f"unable to open database file: {WRITABLE}",
    a_directory: f"unable to open database file: {WRITABLE}",
}


@pytest.mark.parametrize("fault", LASTING, ids=lambda fault: fault.__name__)
def test_a_lasting_fault(machine: Namespace, place: Place, fault: Callable[[Place], None]) -> None:
    """It ends with a sentence, status 78, and the database as it was."""
    fault(place)
    before = {} if fault is a_directory else place.files()
    with started(machine, place) as daemon:
        assert daemon.end() == EX_CONFIG, daemon.log()
        [said] = daemon.log().splitlines()
        assert re.fullmatch(rf"pdhcpd: error: .*{place.database}.*{LASTING[fault]}.*", said)
        assert said == f"pdhcpd: error: {daemon.manager.wait('STATUS=')['STATUS']}"
    assert fault is a_directory or place.files() == before


def test_a_full_disk(machine: Namespace, place: Place) -> None:
    """Another start will do once there is room: systemd tries again after status 1."""
    place.database.unlink()
    ballast = fill(place.disk)
    with started(machine, place) as daemon:
        assert daemon.end() == 1
        [said] = daemon.log().splitlines()
        assert re.fullmatch(rf"pdhcpd: error: .*{place.database}: .*: .* that disk.*", said)
    ballast.unlink()
    with started(machine, place, "again") as daemon:
        daemon.wait_for("serving DHCP")


def test_another_program_holds_it(machine: Namespace, place: Place) -> None:
    """So it is when another program is done with it."""
    with closing(sqlite3.connect(place.database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with started(machine, place) as daemon:
            assert daemon.end() == 1
            [said] = daemon.log().splitlines()
            assert f"{place.database}: database is locked: another program uses it" in said
    with started(machine, place, "again") as daemon:
        daemon.wait_for("serving DHCP")
