"""Ten thousand requests that nobody follows up, from many addresses and ports: a real client is served."""

from __future__ import annotations

import re
import socket
import struct
from pathlib import Path

import pytest

from tests.lab import program, wait_until
from tests.netns.tftp_site import SERVER, Peer, Site, content, rrq

FORGED = 10_000
ADDRESSES = 200  # the limits count by address
ETH_IP = 0x0800


def forged(server: bytes, client: bytes, number: int) -> bytes:
    """Return the frame of a request from an address and port that nobody has."""
    payload = rrq("file", blksize=1428)
    source = socket.inet_aton(f"10.0.0.{20 + number % ADDRESSES}")
    port = 1024 + number // ADDRESSES
    udp = struct.pack("!4H", port, 69, 8 + len(payload), 0) + payload  # no checksum: RFC 768 allows that
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number, 0, 64, socket.IPPROTO_UDP, 0,
                         source, socket.inet_aton(SERVER))  # fmt: skip
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:]
    return server + client + struct.pack("!H", ETH_IP) + header + udp


def hardware(site: Site, end: str) -> bytes:
    """Return the hardware address of one end's interface."""
    text = getattr(site, end).run("ip", "-o", "link", "show", "eth0").stdout
    return bytes.fromhex(re.findall(r"link/ether ([0-9a-f:]+)", text)[0].replace(":", ""))


def flood(site: Site, count: int) -> None:
    """Send that many forged requests, as fast as they are taken."""
    ends = hardware(site, "server"), hardware(site, "client")
    with site.client.entered():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind(("eth0", 0))
    with raw:
        for number in range(count):
            raw.send(forged(*ends, number))


@pytest.mark.timeout(120)
def test_half_open_requests(tmp_path: Path) -> None:
    """Served at once amid them; and once they are given up nothing is left, neither descriptor nor memory."""
    with Site(tmp_path) as site:
        root = site.directory()
        (root / "file").write_bytes(content(100_000))
        for number in range(ADDRESSES):  # where the answers go: the kernel there drops them, and says nothing
            address, mac = f"10.0.0.{20 + number}", hardware(site, "client").hex(":")
            site.server.run("ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0")
        with site.serving(root, "--max-transfers", 1000, "--opening-retries", 2) as server:
            with Peer(site) as peer:
                assert peer.get(rrq("file")) == content(100_000)
            before = server.descriptors()
            real_client = (*program("tftp"), "get", f"tftp://{SERVER}/file", "-o")
            flood(site, FORGED)
            site.client.run(*real_client, tmp_path / "amid")  # like firmware it asks again for what is lost
            assert (tmp_path / "amid").read_bytes() == content(100_000)
            assert server.descriptors() > before + 500, "the flood did not arrive"
            wait_until(lambda: server.descriptors() <= before, 30, "the end of the half-open transfers")
            level = server.memory()
            flood(site, FORGED)
            wait_until(lambda: server.descriptors() <= before, 30, "the end of the half-open transfers")
            assert server.memory() < level + 3_000_000
            site.client.run(*real_client, tmp_path / "afterwards")
            assert server.text().count("\n") < 3 * FORGED
