"""A hostile wire: datagrams lost, doubled, late and damaged, and a cable that is out for a while."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.lab import Process, program, wait_until
from tests.netns.tftp_site import SERVER, Site, content

WORST = (
    "--loss", 20, "--duplicate", 5, "--reorder", 10, "--corrupt", 3, "--delay", 0.001, "--jitter", 0.199,
)  # fmt: skip
BLKSIZE = 1428
SIZE = 12 * BLKSIZE + 100
TERMS = [(verb, windowsize) for verb in ("get", "put") for windowsize in (1, 4)]
EACH = 3  # transfers of each kind
AMPLIFICATION = 8  # datagrams on the wire for one that a perfect wire would need


@pytest.mark.timeout(200)
def test_the_worst_wire(tmp_path: Path) -> None:
    """RFC 1123 §4.2.3.2: 20 % lost, 5 % doubled, 3 % damaged, 1 to 200 ms late, in any order.

    Every transfer ends: with each octet right, or with a sentence and no file. The datagrams are bounded: no
    storm of answers to answers (RFC 1123 §4.2.3.1).
    """
    octets = content(SIZE)
    with Site(tmp_path, *WORST, "--seed", 3) as site:
        root, local = site.directory(), site.directory()
        (root / "file").write_bytes(octets)
        (local / "file").write_bytes(octets)
        with site.serving(root, "--uploads", "create") as server:
            running = []
            for verb, windowsize in TERMS:
                for number in range(EACH):
                    name = f"{verb}-{windowsize}-{number}"
                    url = f"tftp://{SERVER}/"
                    tail = ("get", f"{url}file", "-o", local / name)
                    if verb == "put":
                        tail = ("put", local / "file", f"{url}{name}")
                    words = (*program("tftp"), "-b", BLKSIZE, "-w", windowsize, "--retries", 8, *tail)
                    arrives = (local if verb == "get" else root) / name
                    running.append((site.client.start(*words, name=name), arrives))
            finished = 0
            for process, arrives in running:
                if process.wait(150) == 0:
                    finished += 1
                    assert arrives.read_bytes() == octets
                else:
                    assert re.search(r"tftp: .*\w", process.text()), process.text()
                    assert not arrives.exists() or arrives.read_bytes() == octets
            assert finished >= len(running) * 3 // 4
            said = server.text()
        assert len(re.findall("resent", said)) > len(running) // 2, "the wire was too kind"
        site.relay.stop()
        fates = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", site.relay.text())}
        assert min(fates[name] for name in ("loss", "duplicate", "reorder", "corrupt")) > 3
        needed = len(running) * (2 * (SIZE // BLKSIZE + 1) + 2)
        assert sum(fates.values()) < needed * AMPLIFICATION


def busy(server: Process) -> bool:
    """Return whether a server has the file open."""
    links = [os.readlink(f"/proc/{server.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{server.pid}/fd")]
    return any(link.startswith("/") and link.endswith("/file") for link in links)


def test_the_cable_is_out_for_a_while(tmp_path: Path) -> None:
    """A transfer goes on where it was once the interface is up again, and new ones begin."""
    octets = content(20_000_000)
    with Site(tmp_path) as site:
        root, local = site.directory(), site.directory()
        (root / "file").write_bytes(octets)
        with site.serving(root) as server:
            words = (*program("tftp"), "-r", "get", f"tftp://{SERVER}/file", "-o")
            client = site.client.start(*words, local / "one")
            wait_until(lambda: busy(server), 10, "a transfer that runs")
            site.server.run("ip", "link", "set", "eth0", "down")
            assert client.running()
            time.sleep(1.5)  # longer than a retransmission takes
            site.server.run("ip", "link", "set", "eth0", "up")
            assert client.wait(60) == 0, client.text()
            assert (local / "one").read_bytes() == octets
            site.client.run(*words, local / "two")
            assert "failed" not in server.text()


def test_the_interface_is_removed_and_comes_back(tmp_path: Path) -> None:
    """The server on all interfaces goes on; its interface may be another one with the same name."""
    with Site(tmp_path) as site:
        root, local = site.directory(), site.directory()
        (root / "file").write_bytes(content(5000))
        with site.serving(root):
            site.server.run("ip", "link", "delete", "eth0")
            site.lab.cable(site.server, site.client)
            site.server.address(f"{SERVER}/24")
            site.client.address("10.0.0.2/24")
            site.client.run(*program("tftp"), "get", f"tftp://{SERVER}/file", "-o", local / "file")
            assert (local / "file").read_bytes() == content(5000)
