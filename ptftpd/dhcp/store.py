"""The lease database: SQLite, written before any acknowledgement leaves.

Times in it are wall-clock seconds since 1970, so that they mean something after a restart; in memory they are
monotonic. One row an address; addresses and hardware addresses as text, for people to read.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from ipaddress import IPv4Address
from math import inf

from ptftpd import account
from ptftpd.dhcp import wire
from ptftpd.dhcp.pool import Lease
from ptftpd.errors import Error, StateError

Row = tuple[str, str | None, str, str, str, float, float]  # in the order of the columns
_COLUMNS = "address, client, hardware, client_id, architecture, expires, seconds"
# What SQLite raises, and what comes of rows that it did not write for us.
_UNUSABLE = (sqlite3.Error, ValueError, TypeError, AttributeError)

VERSION = 1  # of the tables; PRAGMA user_version
ADJUSTED = 1.0  # seconds by which a clock that is right may be put right
BUSY_TIMEOUT = 1.0  # seconds to wait for another program that has the database locked

_MOVE_AWAY = (
    "restore a backup of it, or move it away together with its -wal and -shm files, and the next start "
    "begins without leases"
)
_WRITABLE = (
    "its directory must exist, and user {user} must be able to write both; a service also needs systemd's "
    "ReadWritePaths="
)
_REMEDIES = {  # by SQLite's primary result code: what the administrator is to do
    sqlite3.SQLITE_NOTADB: _MOVE_AWAY,
    sqlite3.SQLITE_CORRUPT: _MOVE_AWAY,
    sqlite3.SQLITE_ERROR: _MOVE_AWAY,  # it has not the tables that it says it has
    sqlite3.SQLITE_CANTOPEN: _WRITABLE,
    sqlite3.SQLITE_READONLY: _WRITABLE,
    sqlite3.SQLITE_FULL: "make room on that disk",
    sqlite3.SQLITE_BUSY: "another program uses it: it has to end, or finish its transaction",
    sqlite3.SQLITE_IOERR: "check whether that disk is full, and what the kernel log says about it",
}
_READABLE = "look as root, or as the user that the server runs as"
_READING = dict.fromkeys((sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY), _READABLE)  # for who only looks
_PASSES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR}  # worth another start

_CREATE = """
CREATE TABLE lease (
    address TEXT PRIMARY KEY,
    client TEXT,              -- what tells the machine apart, in hex; NULL: in quarantine
    hardware TEXT NOT NULL,   -- hardware type and address, in hex
    client_id TEXT NOT NULL,  -- option 61, in hex
    architecture TEXT NOT NULL,
    expires REAL NOT NULL,
    seconds REAL NOT NULL     -- the lease time that was granted
) WITHOUT ROWID
"""


class Store:
    """The leases on disk. Nothing is opened before load()."""

    def __init__(self, path: str, wall: Callable[[], float] = time.time) -> None:
        """wall returns the time of day, seconds since 1970."""
        self.path = path
        self._wall = wall
        self._database: sqlite3.Connection | None = None
        # The leases that this run has stored, and how far monotonic time was before the time of day then.
        self._written: dict[int, Lease] = {}
        self._ahead = 0.0

    def peek(self, now: float) -> list[Lease]:
        """Return the leases as they are now, without ever writing; none when there is no database yet.

        Error says why it cannot be read.
        """
        from urllib.parse import quote  # here and not at the top: serving does without

        try:
            if not os.stat(self.path).st_size:
                return []
            with closing(sqlite3.connect(f"file:{quote(self.path)}?mode=ro", uri=True)) as database:
                ahead = now - self._wall()
                return [_lease(row, now, ahead) for row in database.execute(f"SELECT {_COLUMNS} FROM lease")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Error(
                f"cannot read the lease database {self.path}: {error.strerror}: {_READABLE}"
            ) from None
        except _UNUSABLE as error:
            raise self._failure("read", error, _REMEDIES | _READING) from None

    def load(self, now: float) -> list[Lease]:
        """Open or create the database and return its leases; Error when it cannot be used.

        StateError when it never can be before somebody has seen to it: it is left as it is then.
        No lease lasts longer from now on than it was granted for, however the clock was set meanwhile.
        """
        try:
            database = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None)
            self._database = database
            version, tables = database.execute(
                "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
            ).fetchone()
            if version != VERSION and (version or tables):
                raise StateError(
                    f"the lease database {self.path} was written by another version of this program, or by "
                    f"another program: {_MOVE_AWAY}"
                )
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
            database.execute("BEGIN IMMEDIATE")
            if version != VERSION:
                database.execute(_CREATE)
            # In any case: a file that may not be written is found now, and not by a client.
            database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("ROLLBACK" if version == VERSION else "COMMIT")
            self._ahead = ahead = now - self._wall()
            return [_lease(row, now, ahead) for row in database.execute(f"SELECT {_COLUMNS} FROM lease")]
        except _UNUSABLE as error:
            raise self._failure("use", error) from None

    def commit(self, leases: Iterable[Lease], now: float) -> None:
        """Store the leases as they are at this moment, all or none; Error when they are not on the disk.

        When the clock was set, those that were stored by the old time are stored anew.
        """
        assert self._database is not None, "load() comes first"
        ahead = now - self._wall()
        once = {lease.address: lease for lease in leases}
        was_set = abs(ahead - self._ahead) > ADJUSTED
        changed = (self._written | once if was_set else once).values()
        gone = [(wire.dotted(lease.address),) for lease in changed if lease.expires == -inf]
        kept = [_row(lease, ahead) for lease in changed if lease.expires > -inf]
        try:
            with self._database:  # commits, or rolls back after an exception
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("DELETE FROM lease WHERE address = ?", gone)
                self._database.executemany("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?, ?, ?)", kept)
        except sqlite3.Error as error:
            raise self._failure("write", error) from None
        self._written |= once
        if was_set:
            self._ahead = ahead

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _failure(self, do: str, error: Exception, remedies: dict[int, str] = _REMEDIES) -> Error:
        """Return what to raise when something cannot be done with the database."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        remedy = remedies.get(code, "").format(user=account.name())
        sentence = f"cannot {do} the lease database {self.path}: {error}{remedy and f': {remedy}'}"
        return Error(sentence) if code in _PASSES else StateError(sentence)


def _row(lease: Lease, ahead: float) -> Row:
    """Return the row of a lease; ahead is how far monotonic time is before wall-clock time, seconds."""
    client = lease.key.hex(":") or None
    expires = lease.expires - ahead
    return (
        wire.dotted(lease.address),
        client,
        lease.hardware.hex(":"),
        lease.client_id.hex(":"),
        lease.architecture,
        expires,
        lease.seconds,
    )


def _lease(row: Row, now: float, ahead: float) -> Lease:
    address, client, hardware, client_id, architecture, expires, seconds = row
    return Lease(
        address=int(IPv4Address(address)),
        key=_octets(client or ""),
        expires=min(expires + ahead, now + seconds),
        seconds=seconds,
        hardware=_octets(hardware),
        client_id=_octets(client_id),
        architecture=architecture,
    )


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
