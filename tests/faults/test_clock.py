"""The time of day is set back between two runs of the whole DHCP server."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.faults.patched import patched
from tests.netns.dhcp_load import Load

DAY, LEASE = 86400, 60  # seconds
AHEAD = f"""
import time

right = time.time
time.time = lambda: right() + {DAY}
"""
FAST = """
import time

slow = time.monotonic
time.monotonic = lambda: slow() * 30
"""


def test_the_clock_is_set_back(tmp_path: Path) -> None:
    """RFC 2131 §3.3: a lease lasts as long as was granted, although by the clock it ends a day later.

    The range has one address only. Once the lease of the first client is over, the second one gets it; for
    the server a minute passes in two seconds.
    """
    terms, pool = ("--lease-time", LEASE), "10.64.1.7"
    with Load(tmp_path) as load:
        server = load.pdhcpd(*terms, pool=pool, wrap=patched(tmp_path / "ahead", AHEAD))
        assert load.perfdhcp(1, 1, batch=1, clients=1).acknowledged
        assert server.stop() == 0
        with closing(sqlite3.connect(load.directory / "state/leases-eth0.sqlite")) as database:
            [(expires,)] = database.execute("SELECT expires FROM lease").fetchall()
        assert expires > time.time() + DAY / 2
        server = load.pdhcpd(*terms, pool=pool, wrap=patched(tmp_path / "fast", FAST))
        assert load.perfdhcp(2, 8, batch=2, clients=1).acknowledged
        assert server.stop() == 0
