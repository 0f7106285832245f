"""Processes that are told to end, or are killed, while many clients are being served."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Process, program, wait_until
from tests.netns.tftp_site import SERVER, Site, content

CLIENTS = 12
OCTETS = content(16_000_000)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


class Crowd:
    """Clients that get a file and put it elsewhere, all at once."""

    def __init__(self, site: Site, root: Path) -> None:
        """Start them; each takes longer than all of them need to begin."""
        self._site, self._root, self._local = site, root, site.directory()
        (root / "file").write_bytes(OCTETS)
        (self._local / "file").write_bytes(OCTETS)
        self.clients: list[tuple[Process, Path]] = []
        for number in range(CLIENTS):
            put = number % 3 == 0
            name, url = f"crowd-{number}", f"tftp://{SERVER}/"
            what = ("put", self._local / "file", url + name) if put else ("get", url + "file")
            where = () if put else ("-o", self._local / name)
            words = (*program("tftp"), "-b", 1428, "-w", 1, *what, *where)
            arrives = (root if put else self._local) / name
            self.clients.append((site.client.start(*words, name=name), arrives))

    def finish(self) -> int:
        """Return how many succeeded; a file that has arrived is right, whatever the client thinks."""
        done = 0
        for client, arrives in self.clients:
            done += client.wait(100) == 0
            if arrives.exists():
                assert arrives.read_bytes() == OCTETS
            else:
                assert client.wait(0)
                assert "tftp: " in client.text()
        return done


def sockets(pid: int) -> int:
    """Return how many sockets a process has: one for each transfer, and a few."""
    links = (f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd"))
    return sum(os.readlink(link).startswith("socket:") for link in links)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load(site: Site, workers: int) -> None:
    """What runs is finished, whole; then it ends with status 0."""
    root = site.directory()
    with site.serving(root, "--uploads", "create", "--workers", workers) as server:
        children = _children(server)
        idle = sum(map(sockets, children))
        crowd = Crowd(site, root)
        wait_until(lambda: sum(map(sockets, children)) == idle + CLIENTS, 20, "transfers that run")
        os.kill(server.pid, signal.SIGTERM)
        assert crowd.finish() == CLIENTS
        assert server.wait(40) == 0
        assert "failed" not in server.text()


@pytest.mark.timeout(150)
def test_a_worker_is_killed_under_load(site: Site) -> None:
    """Those of the other worker notice nothing; those of the killed one fail with a sentence and no file.

    An upload that had not ended is nowhere to be seen. A new worker serves in the place of the killed one.
    """
    root = site.directory()
    with site.serving(root, "--uploads", "create", "--workers", 2) as server:
        first, other = _children(server)
        wait_until(lambda: sockets(first) == sockets(other) > 0, 10, "both workers")
        idle = sockets(first)
        crowd = Crowd(site, root)
        wait_until(lambda: min(sockets(first), sockets(other)) > idle + 1, 20, "transfers of both workers")
        os.kill(first, signal.SIGKILL)
        server.wait_for("worker . died .-9. with its transfers: starting it again")
        assert 0 < crowd.finish() < CLIENTS, server.text()
        wait_until(lambda: len(_children(server)) == 2, 20, "a new worker")
        names = {path.name for path in root.iterdir()}
        assert names <= {"file", *(arrives.name for _, arrives in crowd.clients)}
        local = site.directory() / "again"
        site.client.run(*program("tftp"), "get", f"tftp://{SERVER}/file", "-o", local)
        assert local.read_bytes() == OCTETS


def _children(server: Process) -> list[int]:
    """Return the processes that serve: the workers, or the one that there is."""
    pids = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [int(pid) for pid in pids] or [server.pid]
