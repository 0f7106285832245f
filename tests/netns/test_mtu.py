"""A tunnel between server and client: blocks larger than it carries arrive at once all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd import net
from tests.lab import Lab, Namespace, program
from tests.netns.tftp_site import Peer, ack, content, data, options, rrq

SERVER, CLIENT = "10.1.0.1", "10.2.0.2"
TUNNEL = 1400  # octets; the server's own interface has 1500


class Tunnelled:
    """Server, router and client in a row; the router's far side carries less."""

    def __init__(self, lab: Lab, *, icmp: bool) -> None:
        """icmp: whether the router's messages reach the server."""
        self.server, self.router, self.client = (lab.namespace(n) for n in ("server", "router", "client"))
        lab.cable(self.server, self.router, "eth0", "near")
        lab.cable(self.router, self.client, "far", "eth0")
        self.server.address(f"{SERVER}/24")
        self.client.address(f"{CLIENT}/24")
        self.router.address("10.1.0.254/24", "near")
        self.router.address("10.2.0.254/24", "far")
        self.router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.router.run("ip", "link", "set", "far", "mtu", TUNNEL)
        for end, gateway in ((self.server, "10.1.0.254"), (self.client, "10.2.0.254")):
            end.run("ip", "route", "add", "default", "via", gateway)
        if not icmp:
            self.router.run("ip", "rule", "add", "iif", "lo", "to", SERVER, "blackhole")


@pytest.fixture(params=[True, False], ids=["ICMP passes", "ICMP is filtered"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tunnelled]:
    """Return the three, without or with a filter of ICMP."""
    with Lab(tmp_path) as lab:
        yield Tunnelled(lab, icmp=request.param)


def serve(way: Tunnelled, root: Path, *arguments: str) -> None:
    """Start a server of a directory, which ends with the namespace."""
    root.chmod(0o755)
    words = (*program("tftpd"), "--user", "root", *arguments, root)
    way.server.start(*words, name="ptftpd").wait_for("serving ")


@pytest.mark.parametrize("arguments", [(), ("--single-port", "--windowsize", "8")], ids=" ".join)
@pytest.mark.parametrize("windowsize", [1, 8])
def test_large_blocks(way: Tunnelled, tmp_path: Path, windowsize: int, arguments: tuple[str, ...]) -> None:
    """blksize 1468, as PXE firmware and curl ask: every block arrives in fragments, none is waited for."""
    octets, blksize = content(20 * 1468 + 100), 1468
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(octets)
    serve(way, root, *arguments)
    with Peer(way, SERVER) as peer:
        began = time.monotonic()
        peer.ask(rrq("file", blksize=blksize, windowsize=windowsize, timeout=5))
        assert options(peer.receive())["blksize"] == str(blksize)
        for base in range(0, 21, windowsize):
            peer.answer(ack(base))
            for block in range(base + 1, min(base + windowsize, 21) + 1):
                peer.expect(data(block, octets[blksize * (block - 1) : blksize * block]))
        peer.answer(ack(21))
        assert time.monotonic() - began < 2, "a timeout was needed"


def test_our_client_sends(way: Tunnelled, tmp_path: Path) -> None:
    """It uses the same sockets: a file is put through the tunnel at once."""
    root = tmp_path / "root"
    root.mkdir()
    serve(way, root, "--uploads", "create")
    (tmp_path / "file").write_bytes(content(100_000))
    began = time.monotonic()
    arguments = ("put", tmp_path / "file", f"tftp://{SERVER}/new", "--blksize", "1468")
    way.client.run(*program("tftp"), *arguments)
    assert time.monotonic() - began < 2.5
    assert (root / "new").read_bytes() == content(100_000)


@pytest.mark.parametrize("kind", ["a transfer's own", "shared", "shared by both families"])
def test_the_option_itself(way: Tunnelled, kind: str) -> None:
    """IP_MTU_DISCOVER of every socket that sends DATA, to IPv4 clients of one for both families too."""
    place: Namespace = way.server
    with place.entered():
        if kind == "a transfer's own":
            sock = net.connected(SERVER, (CLIENT, 9))
        else:
            sock = net.listen("::" if "both" in kind else SERVER, 6969)
    with sock:
        assert sock.getsockopt(0, net.IP_MTU_DISCOVER) == net.IP_PMTUDISC_OMIT
