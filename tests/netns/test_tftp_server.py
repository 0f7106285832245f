"""ptftpd over real cables: addresses, interfaces, ports, MTUs, strangers, a disk that fills, who is who."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import Namespace, program
from tests.netns.tftp_site import (
    CLIENT,
    CLIENT6,
    CLIENT_TOO,
    SERVER,
    SERVER6,
    SERVER6_TOO,
    SERVER_TOO,
    Peer,
    Site,
    ack,
    content,
    data,
    error,
    error_code,
    options,
    rrq,
    wrq,
)  # fmt: skip

BROADCASTS = ["10.0.0.255", "255.255.255.255"]
OTHER_SERVER = "10.0.1.1"
OCTETS = content(9000)
PORTS = (50000, 50002)
SMALL_MTU = 1300


class Other:
    """A machine at another interface of the server, where a Peer may ask from."""

    def __init__(self, site: Site) -> None:
        self.client = site.lab.namespace("other", ipv6=True)
        site.lab.cable(site.server, self.client, one_device="eth1")
        site.server.address(f"{OTHER_SERVER}/24", "eth1")
        self.client.address("10.0.1.2/24")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a clean network."""
    with Site(tmp_path_factory.mktemp("server")) as site:
        yield site


@pytest.fixture(scope="module")
def other(site: Site) -> Other:
    """Return a machine beyond the server's second interface."""
    return Other(site)


@pytest.fixture(scope="module")
def root(site: Site) -> Path:
    """Return a root with one file."""
    root = site.directory()
    (root / "file").write_bytes(OCTETS)
    return root


@pytest.fixture(params=["a port each", "single_port"])
def running(request: pytest.FixtureRequest, site: Site, root: Path) -> Iterator[str]:
    """Return which kind of server is running, on every address."""
    with site.serving(root, *(["--single-port"] if request.param == "single_port" else [])):
        yield request.param


class TestAddresses:
    """RFC 1123 §4.2.3, RFC 1350 §4: a client takes an answer only from the address that it asked."""

    @pytest.mark.parametrize("server", [SERVER, SERVER_TOO, SERVER6, SERVER6_TOO, "link-local", OTHER_SERVER])
    def test_the_address_asked_answers(self, site: Site, other: Other, running: str, server: str) -> None:
        """Several of both families, link-local, and that of another interface."""
        asked = site.link_local() if server == "link-local" else server
        with Peer(other if server == OTHER_SERVER else site, asked) as peer:
            assert peer.get(rrq("file")) == OCTETS
            assert peer.tid[0] == asked.partition("%")[0]
            assert (peer.tid[1] == 69) == (running == "single_port")
            peer.ask(rrq("absent"))
            assert error_code(peer.receive()) == 1
            assert peer.tid[0] == asked.partition("%")[0], "a refusal too"

    @pytest.mark.parametrize("broadcast", BROADCASTS)
    def test_broadcast(self, site: Site, running: str, broadcast: str) -> None:
        """RFC 1123 §4.2.3.5: a request to a broadcast address is ignored silently."""
        with Peer(site, broadcast) as peer:
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            peer.ask(rrq("file"))
            peer.expect_silence()

    def test_multicast(self, site: Site, running: str) -> None:
        """All nodes of IPv6 are as many as a broadcast address means."""
        with Peer(site, "ff02::1%eth0") as peer:
            peer.ask(rrq("file"))
            peer.expect_silence()

    def test_one_address(self, site: Site, root: Path) -> None:
        """-a: what is asked elsewhere is not answered."""
        with site.serving(root, "-a", SERVER_TOO, "-a", SERVER6_TOO):
            for server in (SERVER_TOO, SERVER6_TOO):
                with Peer(site, server) as peer:
                    assert peer.get(rrq("file")) == OCTETS
            for server in (SERVER, SERVER6):
                with Peer(site, server) as peer:
                    peer.ask(rrq("file"))
                    peer.expect_silence()

    def test_one_interface(self, site: Site, other: Other, root: Path) -> None:
        """-i: what comes in through another one is not answered, whichever address it asks."""
        with site.serving(root, "-i", "eth0"):
            for server in (SERVER, SERVER6, site.link_local()):
                with Peer(site, server) as peer:
                    assert peer.get(rrq("file")) == OCTETS
            with Peer(other, OTHER_SERVER) as peer:
                peer.ask(rrq("file"))
                peer.expect_silence()


@contextmanager
def raw_sender(site: Site) -> Iterator[socket.socket]:
    """Return a socket that sends UDP datagrams with any source address from the client's machine."""
    with site.client.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with sock:
        yield sock


def forge(sock: socket.socket, source: tuple[str, int], target: tuple[str, int], payload: bytes) -> None:
    """Send a UDP datagram that seems to come from source."""
    udp = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    ends = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    sock.sendto(head + udp, (target[0], 0))


class TestStrangers:
    """RFC 1350 §4: what does not come from the client's TID is not part of the transfer."""

    def test_packets_to_a_transfer(self, site: Site, running: str) -> None:
        """From another port, and from another address with the client's port: the transfer goes on."""
        with Peer(site, SERVER, CLIENT) as peer, raw_sender(site) as raw:
            peer.ask(rrq("file", timeout=60))
            assert options(peer.receive()) == {"timeout": "60"}
            peer.answer(ack(0))
            peer.expect(data(1, OCTETS[:512]))
            for source in ((CLIENT, peer.port ^ 1), (CLIENT_TOO, peer.port)):
                for datagram in (ack(1), error(0, "die"), data(1, b"x"), b"", b"\0\6", rrq("absent")[:9]):
                    forge(raw, source, peer.tid[:2], datagram)
            peer.expect_silence()
            peer.answer(ack(1))
            assert peer.rest(OCTETS[:512], 2) == OCTETS

    def test_forged_duplicates(self, site: Site, running: str) -> None:
        """RFC 1123 §4.2.3.1: old ACKs in any number, as if from the client, make no DATA go out."""
        with Peer(site, SERVER, CLIENT) as peer, raw_sender(site) as raw:
            peer.ask(rrq("file", timeout=60))
            peer.receive()
            peer.answer(ack(0))
            peer.receive()
            peer.answer(ack(1))
            peer.expect(data(2, OCTETS[512:1024]))
            for datagram in [ack(1)] * 50 + [ack(0), ack(9), ack(65535)]:
                forge(raw, (CLIENT, peer.port), peer.tid[:2], datagram)
            peer.expect_silence()
            peer.answer(ack(2))
            assert peer.rest(OCTETS[:1024], 3) == OCTETS

    def test_no_way_back(self, site: Site, running: str) -> None:
        """A forged address that no route leads to costs its request, and nobody else's."""
        with raw_sender(site) as raw, Peer(site) as peer:
            for asked in (rrq("file"), rrq("file", blksize=1000), wrq("new", blksize=1000), ack(1)):
                forge(raw, ("192.0.2.1", 1234), (SERVER, 69), asked)
            assert peer.get(rrq("file")) == OCTETS

    def test_a_client_that_is_none(self, site: Site, root: Path) -> None:
        """opening_retries: a forged request provokes one datagram to its victim and two more, and no file."""
        with (
            site.serving(root, "--opening-retries", 2, "--timeout", 0.1) as server,
            Peer(site, SERVER, CLIENT_TOO) as victim,
            raw_sender(site) as raw,
        ):
            asked = rrq("file", blksize=1400, windowsize=64)
            forge(raw, (CLIENT_TOO, victim.port), (SERVER, 69), asked)
            assert [victim.receive()[:2] for _ in range(3)] == [b"\0\6"] * 3
            server.wait_for("failed after 0 B: no answer to the OACK after 2 retries")
            victim.expect_silence()


class TestPorts:
    """--port-range, for a firewall."""

    def test_all_of_them_and_then_busy(self, site: Site, root: Path) -> None:
        """TIDs are of the range; when all are in use, the next client is told so (error 0)."""
        with site.serving(root, "--port-range", "{}-{}".format(*PORTS), "--timeout", 60):
            peers = [Peer(site) for _ in range(4)]
            for peer in peers[:3]:  # they answer: one that does not gives way to the next
                peer.ask(rrq("file"))
                peer.expect(data(1, OCTETS[:512]))
                peer.answer(ack(1))
                peer.expect(data(2, OCTETS[512:1024]))
            assert {peer.tid[1] for peer in peers[:3]} == {*range(PORTS[0], PORTS[1] + 1)}
            peers[3].ask(rrq("file"))
            refusal = peers[3].receive()
            assert error_code(refusal) == 0
            assert b"busy" in refusal
            peers[0].answer(ack(2))
            assert peers[0].rest(OCTETS[:1024], 3) == OCTETS
            assert peers[3].get(rrq("file")) == OCTETS
            for peer in peers:
                peer.socket.close()


class TestFirewalls:
    """The rules that the pages show, as they have them, where all that they do not let in is dropped."""

    PAGES = Path(__file__).parents[2] / "man"

    def rules(self, start: str, page: str = "ptftpd.8") -> str:
        """Return the rules shown that begin with a word or two."""
        [found] = re.findall(rf"\.EX\n(    {start} .*?)\.EE", (self.PAGES / page).read_text(), re.DOTALL)
        return str(found).replace("\\-", "-")

    @contextmanager
    def only(self, machine: Namespace, rules: str) -> Iterator[None]:
        """Let in what these rules accept, and ARP."""
        chain = f"chain input {{\ntype filter hook input priority filter; policy drop\n{rules}\n}}"
        machine.run("nft", f"table ip firewall {{\n{chain}\n}}")
        try:
            yield
        finally:
            machine.run("nft", "delete table ip firewall")

    @pytest.mark.parametrize("page", ["ptftpd.8", "pxed.8"])
    def test_on_the_server(self, site: Site, root: Path, page: str) -> None:
        """Requests are let in, and what belongs to what was answered."""
        with site.serving(root), Peer(site) as peer:
            rules = self.rules("ct state", page)
            with self.only(site.server, rules.replace(" 69", " 70")):
                peer.ask(rrq("file"))
                peer.expect_silence()
            with self.only(site.server, rules):
                assert peer.get(rrq("file")) == OCTETS

    @pytest.mark.parametrize("way", ["--single-port", "--port-range"])
    def test_on_the_clients_side(self, site: Site, root: Path, way: str) -> None:
        """The firewall knows whom the client asked, and drops an answer from elsewhere; either way is one."""
        known, let_in = "ct state established,related accept", self.rules("udp sport")
        ports = let_in.split()[2]
        with site.serving(root), Peer(site) as peer, self.only(site.client, known):
            peer.ask(rrq("file"))
            peer.expect_silence()
        options = ("--port-range", ports) if way == "--port-range" else (way,)
        rules = f"{known}\n{let_in}" if way == "--port-range" else known
        with site.serving(root, *options), Peer(site) as peer, self.only(site.client, rules):
            assert peer.get(rrq("file")) == OCTETS


class TestMtu:
    """RFC 2348 §Examples: a block is to fit into one packet of the route; IP and UDP headers go off."""

    @pytest.fixture
    def narrow(self, site: Site) -> Iterator[None]:
        """Let the cable carry less."""
        for end in (site.server, site.client):
            end.run("ip", "link", "set", "eth0", "mtu", SMALL_MTU)
        yield
        for end in (site.server, site.client):
            end.run("ip", "link", "set", "eth0", "mtu", 1500)

    @pytest.mark.parametrize(("server", "headers"), [(SERVER, 20 + 8 + 4), (SERVER6, 40 + 8 + 4)])
    def test_a_narrow_cable(self, site: Site, running: str, narrow: None, server: str, headers: int) -> None:
        """blksize is capped to it; what was asked below is granted as it is."""
        with Peer(site, server) as peer:
            peer.ask(rrq("file", blksize=65464))
            largest = SMALL_MTU - headers
            assert options(peer.receive()) == {"blksize": str(largest)}
            peer.answer(ack(0))
            assert peer.rest(b"", 1, blksize=largest) == OCTETS
            peer.ask(rrq("file", blksize=1000))
            assert options(peer.receive()) == {"blksize": "1000"}

    def test_a_narrow_route(self, site: Site, running: str) -> None:
        """The route to one client carries less than the interface."""
        site.server.run("ip", "route", "add", CLIENT_TOO, "dev", "eth0", "mtu", 700)
        try:
            for source, largest in ((CLIENT_TOO, 700 - 32), (CLIENT, 1500 - 32)):
                with Peer(site, SERVER, source) as peer:
                    peer.ask(rrq("file", blksize=9000))
                    assert options(peer.receive()) == {"blksize": str(largest)}
        finally:
            site.server.run("ip", "route", "del", CLIENT_TOO, "dev", "eth0")

    def test_an_upload(self, site: Site) -> None:
        """A WRQ is capped alike."""
        with site.serving(site.directory(), "--uploads", "create"), Peer(site, SERVER6) as peer:
            peer.ask(wrq("new", blksize=65464))
            assert options(peer.receive()) == {"blksize": str(1500 - 52)}


class TestDisk:
    """Uploads to a file system of one megabyte."""

    @pytest.fixture
    def small(self, site: Site) -> Iterator[Path]:
        """Return a directory on it."""
        root = site.directory()
        site.server.run("mount", "-t", "tmpfs", "-o", "size=1M,mode=777", "tmpfs", root)
        yield root
        site.server.run("umount", root)

    def send(self, peer: Peer, octets: int) -> bytes:
        """Return the last answer to an upload of zeros in blocks of 1024 octets."""
        peer.ask(wrq("new", blksize=1024))
        peer.receive()
        for block in range(1, octets // 1024 + 2):
            peer.answer(data(block, bytes(min(1024, octets - 1024 * (block - 1)))))
            answer = peer.receive()
            if answer != ack(block):
                return answer
        return answer

    def test_full(self, site: Site, small: Path) -> None:
        """RFC 1350 error 3, nothing stays behind, and the next one that fits is taken."""
        with site.serving(small, "--uploads", "create", "--upload-reserve", 0) as server, Peer(site) as peer:
            refusal = self.send(peer, 2 << 20)
            assert error_code(refusal) == 3
            server.wait_for("new from 10.0.0.2 failed after .*: the disk is full")
            assert list(small.iterdir()) == []
            assert self.send(peer, 500_000) == ack(500_000 // 1024 + 1)
            assert (small / "new").read_bytes() == bytes(500_000)

    def test_the_floor(self, site: Site, small: Path) -> None:
        """upload_reserve: what is announced as too large is refused before any data."""
        with site.serving(small, "--uploads", "create", "--upload-reserve", "512K"), Peer(site) as peer:
            peer.ask(wrq("new", tsize=600_000))
            assert error_code(peer.receive()) == 3
            peer.ask(wrq("new", tsize=400_000))
            assert options(peer.receive()) == {"tsize": "400000"}


class TestWhoIsWho:
    """client_directory by what the neighbour table tells, without any lease."""

    CONFIG = """
[tftp]
client_directory = {{mac}}, {{host}}, {{class}}
[host desk]
mac = {mac}
[class lab]
mac = {maker}
"""

    @pytest.mark.parametrize("server", [SERVER, SERVER6])
    @pytest.mark.parametrize("place", ["mac", "desk", "lab"])
    def test_by_hardware_address(self, site: Site, server: str, place: str) -> None:
        """Of IPv4 and IPv6 neighbours; [host] and [class] are those that DHCP uses."""
        shown = site.client.run("ip", "-oneline", "link", "show", "eth0").stdout
        mac = shown.partition("link/ether ")[2].split()[0]
        root = site.directory()
        own = root / (mac if place == "mac" else place)
        own.mkdir()
        (own / "file").write_bytes(b"own")
        (root / "file").write_bytes(b"common")
        config = self.CONFIG.format(mac=mac, maker=mac[:8])
        with site.serving(root, config=config), Peer(site, server) as peer:
            assert peer.get(rrq("file")) == b"own"
            for more in (
                ("-i", "eth0"),
                (),
            ):  # what is asked without an interface looks where the route leads
                asked = "--config", peer_config(site, config), *more, root, "--map-test", "file"
                client = CLIENT6 if ":" in server else CLIENT
                said = site.server.run(*program("tftpd"), *asked, "--client", client).stdout
                assert said.startswith(f"file: {own}/file"), said


def peer_config(site: Site, config: str) -> Path:
    """Return a configuration file."""
    file = site.directory() / "conf"
    file.write_text(config)
    return file


class TestAnInterfaceWithoutIPv4:
    """TFTP is served by IPv6 too: only what needs an IPv4 address fails without one."""

    def test_it_is_served(self, site: Site) -> None:
        """The address goes, and the server goes on and starts again; then it comes back."""
        root = site.directory()
        (root / "file").write_bytes(b"six")
        with site.serving(root, "-i", "eth0") as server:
            site.server.run("ip", "-4", "address", "flush", "dev", "eth0")
            try:
                server.wait_for("interface eth0 has no IPv4 address now")
                with Peer(site, SERVER6) as peer:
                    assert peer.get(rrq("file")) == b"six"
                server.stop()
                with site.serving(root, "-i", "eth0"), Peer(site, SERVER6) as peer:
                    assert peer.get(rrq("file")) == b"six"
                site.server.run(*program("tftpd"), "-i", "eth0", "--check", root)
            finally:
                for address in (f"{SERVER}/24", f"{SERVER_TOO}/24"):
                    site.server.address(address)
        with site.serving(root, "-i", "eth0"), Peer(site) as peer:
            assert peer.get(rrq("file")) == b"six"
