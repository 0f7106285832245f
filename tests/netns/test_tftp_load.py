"""A thousand TFTP clients at once: every one is served, and the server is as it was before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench import generator
from tests.lab import wait_until
from tests.netns.tftp_site import SERVER, Site

CLIENTS, OCTETS = 1000, 65_536
# They all have one address.
WITHOUT_BOUNDS = (
    *("--max-transfers", 2 * CLIENTS, "--max-client-transfers", 2 * CLIENTS),
    *("--request-rate", 100_000),
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("windowsize", [1, 8])
def test_a_thousand_clients(tmp_path: Path, windowsize: int) -> None:
    """Each gets the whole file, then each has sent one, and no descriptor is left open."""
    with Site(tmp_path) as site:
        root = site.directory()
        (root / "file").write_bytes(os.urandom(OCTETS))
        clients = generator.Generator(generator.build(tmp_path), site.client)
        with site.serving(root, "--uploads", "create", *WITHOUT_BOUNDS) as server:
            before = server.descriptors()
            got = clients.get((SERVER, 69), "file", CLIENTS, 1428, windowsize)
            assert (got.failed, got.octets) == (0, CLIENTS * OCTETS), got
            put = clients.put((SERVER, 69), "new", CLIENTS, 1428, windowsize, OCTETS)
            assert (put.failed, put.octets) == (0, CLIENTS * OCTETS), put
            assert [path.stat().st_size for path in root.glob("new.*")] == [OCTETS] * CLIENTS
            wait_until(lambda: server.descriptors() == before, 10, "the end of all transfers")
