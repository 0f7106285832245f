"""The network layer on real sockets: which address was asked, one interface only, runs of datagrams."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from ptftpd import net, runs
from ptftpd.errors import ConfigError, Error, InterfaceReplacedError
from tests.lab import Lab, Namespace

PORT = 6969
NOBODY = 65534
SECOND = 1.0

SERVER, SERVER_TOO, CLIENT, BROADCAST = "10.0.0.1", "10.0.0.9", "10.0.0.2", "10.0.0.255"
SERVER6, CLIENT6 = "fd00::1", "fd00::2"
SERVER6_LINK, CLIENT6_LINK = "fe80::1", "fe80::2"
OTHER_SERVER, OTHER_CLIENT = "10.0.1.1", "10.0.1.2"


class Networks:
    """A server with two interfaces; on eth0 one client, on eth1 another. Both families on eth0."""

    def __init__(self, lab: Lab) -> None:
        self.server, self.client, self.other = (
            lab.namespace(x, ipv6=True) for x in ("server", "client", "other")
        )
        lab.cable(self.server, self.client)
        lab.cable(self.server, self.other, one_device="eth1")
        for address in (f"{SERVER}/24", f"{SERVER_TOO}/24", f"{SERVER6}/64", f"{SERVER6_LINK}/64"):
            self.server.address(address)
        self.server.address(f"{OTHER_SERVER}/24", "eth1")
        for address in (f"{CLIENT}/24", f"{CLIENT6}/64", f"{CLIENT6_LINK}/64"):
            self.client.address(address)
        self.other.address(f"{OTHER_CLIENT}/24")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Networks]:
    """Return the namespaces of this module's tests."""
    with Lab(tmp_path_factory.mktemp("net")) as lab:
        yield Networks(lab)


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """Return what closes a test's sockets."""
    with ExitStack() as stack:
        yield stack


def plain(namespace: Namespace, address: str, port: int = 0) -> socket.socket:
    """Return a bound UDP socket of a namespace that may broadcast."""
    with namespace.entered():
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.setsockopt(socket.SOL_SOCKET, net.SO_RCVBUFFORCE, 8 << 20)
        host, _, zone = address.partition("%")
        made.bind((host, port, 0, socket.if_nametoindex(zone)) if zone else (host, port))
        made.settimeout(SECOND)
    return made


def listen(namespace: Namespace, address: str, **more: Any) -> socket.socket:
    """Return what net.listen() makes of PORT in a namespace."""
    with namespace.entered():
        return net.listen(address, PORT, **more)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Let the process be nobody, without a capability, within the with block."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def index(namespace: Namespace, device: str) -> int:
    """Return the number of an interface."""
    with namespace.entered():
        return socket.if_nametoindex(device)


def readable(sock: socket.socket, seconds: float = SECOND) -> bool:
    """Return whether a datagram comes."""
    return bool(select.select([sock], [], [], seconds)[0])


class TestAddresses:
    """The facts of an interface: the address to serve from, and each of its names."""

    def test_the_first_address_is_not_always_the_best(self, networks: Networks) -> None:
        """A link-local address goes behind any other, and so does a virtual one without a network."""
        with networks.server.entered():
            networks.server.run("ip", "link", "add", "lan0", "type", "bridge")
            for address in ("169.254.7.7/16", "10.91.0.100/32", "10.91.0.1/24", "10.42.0.2/24"):
                networks.server.run("ip", "address", "add", address, "dev", "lan0")
            found = net.link("lan0")
        assert (str(found.address), str(found.network)) == ("10.91.0.1", "10.91.0.0/24")
        shown = [str(each) for each in found.addresses]
        assert shown == ["10.91.0.1/24", "10.42.0.2/24", "10.91.0.100/32", "169.254.7.7/16"]
        second = found.using(found.addresses[1])
        assert (str(second.address), str(second.network)) == ("10.42.0.2", "10.42.0.0/24")

    def test_a_link_local_address_that_is_all_there_is(self, networks: Networks) -> None:
        with networks.server.entered():
            networks.server.run("ip", "link", "add", "lan1", "type", "bridge")
            networks.server.run("ip", "address", "add", "169.254.7.7/16", "dev", "lan1")
            assert str(net.link("lan1").address) == "169.254.7.7"

    def test_the_mtu(self, networks: Networks) -> None:
        with networks.server.entered():
            networks.server.run("ip", "link", "add", "lan2", "type", "bridge")
            networks.server.run("ip", "link", "set", "lan2", "mtu", 1280)
            networks.server.run("ip", "address", "add", "10.92.0.1/24", "dev", "lan2")
            assert net.link("lan2").mtu == 1280

    def test_an_alternative_name(self, networks: Networks) -> None:
        """As udev gives them to a network card: eth0 may be enp3s0, too."""
        with networks.server.entered():
            networks.server.run("ip", "link", "property", "add", "dev", "eth0", "altname", "enp3s0")
            found, known = net.link("enp3s0"), net.link("eth0")
            with pytest.raises(ConfigError, match="there is no network interface eth0:1 here"):
                net.link("eth0:1")
        assert (found.name, found.index, found.addresses) == ("enp3s0", known.index, known.addresses)
        with closing(listen(networks.server, "0.0.0.0", interface="enp3s0")) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") in {
                b"eth0", b"enp3s0",
            }  # fmt: skip


class TestReceive:
    """Which local address was asked, through which interface, and whether it alone was meant."""

    @pytest.mark.parametrize(("listening", "source", "target", "asked", "direct"), [
        ("0.0.0.0", CLIENT, SERVER, SERVER, True),
        ("0.0.0.0", CLIENT, SERVER_TOO, SERVER_TOO, True),
        ("0.0.0.0", CLIENT, BROADCAST, SERVER, False),
        ("0.0.0.0", CLIENT, "255.255.255.255", SERVER, False),
        ("::", CLIENT, SERVER, SERVER, True),
        ("::", CLIENT, SERVER_TOO, SERVER_TOO, True),
        ("::", CLIENT, BROADCAST, SERVER, False),
        ("::", CLIENT, "255.255.255.255", SERVER, False),
        ("::", CLIENT6, SERVER6, SERVER6, True),
        ("::", f"{CLIENT6_LINK}%eth0", f"{SERVER6_LINK}%eth0", SERVER6_LINK, True),
        ("::", f"{CLIENT6_LINK}%eth0", "ff02::1%eth0", "ff02::1", False),
        (SERVER, CLIENT, SERVER, SERVER, True),
        (SERVER6, CLIENT6, SERVER6, SERVER6, True),
        (f"{SERVER6_LINK}%eth0", f"{CLIENT6_LINK}%eth0", f"{SERVER6_LINK}%eth0", SERVER6_LINK, True),
    ])  # fmt: skip
    def test_where_it_was_sent(
        self,
        networks: Networks,
        sockets: ExitStack,
        listening: str,
        source: str,
        target: str,
        asked: str,
        direct: bool,
    ) -> None:
        sock = sockets.enter_context(listen(networks.server, listening))
        client = sockets.enter_context(plain(networks.client, source))
        with networks.client.entered():
            host, _, zone = target.partition("%")
            client.sendto(b"hello", (host, PORT, 0, socket.if_nametoindex(zone)) if zone else (host, PORT))
        buffer = bytearray(100)
        assert readable(sock)
        received = net.receive(sock, buffer)
        peer = (source.replace("%eth0", f"%{index(networks.server, 'eth0')}"), client.getsockname()[1])
        assert received == (5, peer, asked, index(networks.server, "eth0"), direct)
        assert buffer[:5] == b"hello"

    def test_nothing_there(self, networks: Networks, sockets: ExitStack) -> None:
        assert net.receive(sockets.enter_context(listen(networks.server, "::")), bytearray(9)) is None

    def test_an_empty_datagram(self, networks: Networks, sockets: ExitStack) -> None:
        sock = sockets.enter_context(listen(networks.server, "0.0.0.0"))
        sockets.enter_context(plain(networks.client, CLIENT)).sendto(b"", (SERVER, PORT))
        assert readable(sock)
        received = net.receive(sock, bytearray(9))
        assert received is not None
        assert received[0] == 0

    @pytest.mark.parametrize("listening", ["0.0.0.0", "::"])
    def test_queued_before_it_was_prepared(
        self, networks: Networks, sockets: ExitStack, listening: str
    ) -> None:
        """A socket of systemd's without PassPacketInfo=: the address is known, the interface is not."""
        sock = sockets.enter_context(plain(networks.server, listening, PORT))
        client = sockets.enter_context(plain(networks.client, CLIENT))
        client.sendto(b"1", (SERVER_TOO, PORT))
        client.sendto(b"2", ("255.255.255.255", PORT))
        assert readable(sock)
        net.prepare(sock)
        first, second = (net.receive(sock, bytearray(9)) for _ in range(2))
        assert first is not None
        assert second is not None
        assert first[1:] == (client.getsockname(), SERVER_TOO, first[3], True)
        assert second[4] is False

    def test_an_icmp_error_is_no_datagram(self, networks: Networks, sockets: ExitStack) -> None:
        with networks.server.entered():
            sock = sockets.enter_context(net.connected(SERVER, (CLIENT, 9)))
        sock.send(b"x")
        assert readable(sock)
        assert net.receive(sock, bytearray(9)) is None


class TestListen:
    """A bound socket, or a sentence that says why there is none."""

    @pytest.mark.parametrize(("first", "second", "place"), [
        (SERVER, SERVER, f"of {SERVER}"), ("0.0.0.0", SERVER, f"of {SERVER}"),
        ("::", "0.0.0.0", "of 0.0.0.0"), ("::", SERVER, f"of {SERVER}"), ("::", SERVER6, f"of {SERVER6}"),
        (SERVER6, "::", "of ::"),
    ])  # fmt: skip
    def test_taken(self, networks: Networks, sockets: ExitStack, first: str, second: str, place: str) -> None:
        sockets.enter_context(listen(networks.server, first))
        with pytest.raises(Error) as caught:
            listen(networks.server, second)
        assert str(caught.value) == (
            f"UDP port {PORT} {place} is taken by another program: "
            f"stop that one (ss -ulpn 'sport = {PORT}' shows it, systemctl list-sockets if it is systemd's)"
        )

    def test_taken_on_the_interface(self, networks: Networks, sockets: ExitStack) -> None:
        """Another interface's is another socket."""
        sockets.enter_context(listen(networks.server, "0.0.0.0", interface="eth0"))
        sockets.enter_context(listen(networks.server, "0.0.0.0", interface="eth1"))
        with pytest.raises(
            Error, match=f"^UDP port {PORT} on eth0 is taken by another program: stop that one"
        ):
            listen(networks.server, "0.0.0.0", interface="eth0")

    @pytest.mark.parametrize(("address", "more", "reason"), [
        ("192.0.2.1", {}, "192.0.2.1 is not an address of this machine"),
        ("2001:db8::1", {}, "2001:db8::1 is not an address of this machine"),
        ("0.0.0.0", {"interface": "nosuch0"}, f"cannot open UDP port {PORT} on nosuch0: No such device"),
    ])  # fmt: skip
    def test_impossible(self, networks: Networks, address: str, more: dict[str, str], reason: str) -> None:
        with pytest.raises(Error) as caught:
            listen(networks.server, address, **more)
        assert str(caught.value) == reason

    def test_a_port_for_root(self, networks: Networks) -> None:
        with networks.server.entered(), unprivileged(), pytest.raises(Error) as caught:
            net.listen("0.0.0.0", 69)
        assert str(caught.value) == (
            "UDP port 69 of 0.0.0.0 may be opened by root only: start as root or through systemd"
        )

    def test_one_of_ipv6_does_not_take_ipv4(self, networks: Networks, sockets: ExitStack) -> None:
        """Only '::' stands for both."""
        sockets.enter_context(listen(networks.server, SERVER6))
        sockets.enter_context(listen(networks.server, SERVER))

    def test_only_its_interface_is_heard(self, networks: Networks, sockets: ExitStack) -> None:
        sock = sockets.enter_context(listen(networks.server, "0.0.0.0", interface="eth0", broadcast=True))
        sockets.enter_context(plain(networks.other, OTHER_CLIENT)).sendto(b"other", (OTHER_SERVER, PORT))
        sockets.enter_context(plain(networks.client, CLIENT)).sendto(b"own", (BROADCAST, PORT))
        assert readable(sock)
        buffer = bytearray(9)
        assert net.receive(sock, buffer) is not None
        assert bytes(buffer[:3]) == b"own"
        assert net.receive(sock, buffer) is None

    def test_broadcast(self, networks: Networks, sockets: ExitStack) -> None:
        client = sockets.enter_context(plain(networks.client, "0.0.0.0", PORT))
        for broadcast in (True, False):
            with closing(listen(networks.server, SERVER, broadcast=broadcast)) as sock:
                if broadcast:
                    sock.sendto(b"all", (BROADCAST, PORT))
                    assert client.recv(9) == b"all"
                else:
                    with pytest.raises(PermissionError):
                        sock.sendto(b"all", (BROADCAST, PORT))


class TestConfine:
    """A socket from systemd hears its own interface only, or is not served."""

    def bound(self, sock: socket.socket) -> str:
        """Return the interface that a socket is bound to."""
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode()

    def test_without_privilege(self, networks: Networks, sockets: ExitStack) -> None:
        sock = sockets.enter_context(plain(networks.server, "0.0.0.0", PORT))
        with unprivileged():
            net.confine(sock, "eth0")
        net.prepare(sock)
        assert self.bound(sock) == "eth0"
        sockets.enter_context(plain(networks.other, OTHER_CLIENT)).sendto(b"other", (OTHER_SERVER, PORT))
        assert not readable(sock, 0.1)
        sockets.enter_context(plain(networks.client, CLIENT)).sendto(b"own", (SERVER, PORT))
        assert readable(sock)

    def test_what_came_before_names_its_interface(self, networks: Networks, sockets: ExitStack) -> None:
        """Binding leaves the queue as it is: by the index the server tells what is not for it."""
        sock = sockets.enter_context(listen(networks.server, "0.0.0.0"))
        sockets.enter_context(plain(networks.other, OTHER_CLIENT)).sendto(b"other", (OTHER_SERVER, PORT))
        assert readable(sock)
        net.confine(sock, "eth0")
        received = net.receive(sock, bytearray(9))
        assert received is not None
        assert received[3] == index(networks.server, "eth1")

    def test_twice(self, networks: Networks, sockets: ExitStack) -> None:
        """As when systemd has done it already."""
        sock = sockets.enter_context(plain(networks.server, "0.0.0.0", PORT))
        with unprivileged():
            net.confine(sock, "eth0")
            net.confine(sock, "eth0")
        assert self.bound(sock) == "eth0"

    def test_bound_to_another(self, networks: Networks, sockets: ExitStack) -> None:
        sock = sockets.enter_context(listen(networks.server, "0.0.0.0", interface="eth1"))
        with unprivileged(), pytest.raises(Error) as caught:
            net.confine(sock, "eth0")
        assert str(caught.value) == (
            "cannot bind the socket from systemd to eth0: Operation not permitted (it is bound to eth1)"
        )
        assert self.bound(sock) == "eth1"

    def test_bound_to_one_that_is_gone(self, networks: Networks, sockets: ExitStack) -> None:
        """Its successor has the same name and another index."""
        networks.server.bridge("br0")
        sock = sockets.enter_context(listen(networks.server, "0.0.0.0", interface="br0"))
        networks.server.run("ip", "link", "delete", "br0")
        networks.server.bridge("br0")
        with unprivileged(), pytest.raises(InterfaceReplacedError) as caught:
            net.confine(sock, "br0")
        assert str(caught.value) == "interface br0 was replaced by a new one of that name"

    def test_no_such_interface(self, networks: Networks, sockets: ExitStack) -> None:
        sock = sockets.enter_context(plain(networks.server, "0.0.0.0", PORT))
        with pytest.raises(Error, match=r"^cannot bind the socket from systemd to nosuch0: No such device$"):
            net.confine(sock, "nosuch0")


class TestLink:
    """The facts of an interface."""

    def test_facts(self, networks: Networks) -> None:
        with networks.server.entered():
            link = net.link("eth0")
        assert (link.name, link.index) == ("eth0", index(networks.server, "eth0"))
        assert link.address == IPv4Address(SERVER)
        assert link.network == IPv4Network("10.0.0.0/24")
        assert link.mac.hex(":") in networks.server.run("ip", "link", "show", "eth0").stdout

    @pytest.mark.parametrize("name", ["nosuch0", "eth0:1", "", "x" * 99])
    def test_absent(self, networks: Networks, name: str) -> None:
        with networks.server.entered(), pytest.raises(Error) as caught:
            net.link(name)
        assert str(caught.value).startswith(f"there is no network interface {name} here (there are: ")
        assert "eth0, eth1" in str(caught.value)

    def test_without_an_address(self, networks: Networks) -> None:
        networks.client.bridge("empty0")
        with networks.client.entered(), pytest.raises(Error) as caught:
            net.link("empty0")
        assert str(caught.value) == (
            "interface empty0 has no IPv4 address: give it one (ip addr add ADDRESS/LEN dev empty0)"
        )
        with networks.client.entered():
            found = net.link("empty0", ipv4=False)
        assert (found.addresses, found.index) == ((), index(networks.client, "empty0"))


def test_any_address(networks: Networks) -> None:
    with networks.server.entered():
        assert net.any_address() == "::"


def test_send_from(networks: Networks, sockets: ExitStack) -> None:
    """From the address and through the interface that are named, whatever the route says."""
    sock = sockets.enter_context(listen(networks.server, "0.0.0.0", broadcast=True))
    for namespace, source, device in [
        (networks.client, SERVER_TOO, "eth0"),
        (networks.other, OTHER_SERVER, "eth1"),
    ]:
        client = sockets.enter_context(plain(namespace, "0.0.0.0", PORT))
        target = ("255.255.255.255", PORT)
        net.send_from(sock, b"hello", target, source=source, ifindex=index(networks.server, device))
        assert client.recvfrom(9) == (b"hello", (source, PORT))


class TestConnected:
    """A transfer's own socket."""

    @pytest.mark.parametrize(("local", "peer"), [
        (SERVER, CLIENT), (SERVER_TOO, CLIENT), (SERVER6, CLIENT6), (SERVER6_LINK, f"{CLIENT6_LINK}%eth0"),
        ("", CLIENT), ("", CLIENT6), ("", f"{CLIENT6_LINK}%eth0"),
    ])  # fmt: skip
    def test_there_and_back(self, networks: Networks, sockets: ExitStack, local: str, peer: str) -> None:
        client = sockets.enter_context(plain(networks.client, peer))
        with networks.server.entered():
            sock = sockets.enter_context(net.connected(local, (peer, client.getsockname()[1])))
        assert not sock.getblocking()
        sock.send(b"hello")
        octets, source = client.recvfrom(9)
        assert octets == b"hello"
        assert not local or source[0].partition("%")[0] == local
        client.sendto(b"hi", source)
        assert readable(sock)
        assert sock.recv(9) == b"hi"

    def test_strangers_are_kept_out(self, networks: Networks, sockets: ExitStack) -> None:
        client, stranger = (sockets.enter_context(plain(networks.client, CLIENT)) for _ in range(2))
        with networks.server.entered():
            sock = sockets.enter_context(net.connected(SERVER, client.getsockname()))
        stranger.sendto(b"x", sock.getsockname())
        assert not readable(sock, 0.1)

    def test_a_range_of_ports(self, networks: Networks, sockets: ExitStack) -> None:
        """Each is used, in no order that could be guessed, and when all are taken it is an OSError."""
        orders = set()
        with networks.server.entered():
            for _ in range(20):
                with ExitStack() as round:
                    made = [
                        round.enter_context(net.connected(SERVER, (CLIENT, 9), ports=(50000, 50004)))
                        for _ in range(5)
                    ]
                    order = tuple(sock.getsockname()[1] for sock in made)
                    assert sorted(order) == [50000, 50001, 50002, 50003, 50004]
                    orders.add(order)
                    with pytest.raises(OSError, match="Address already in use") as caught:
                        net.connected(SERVER, (CLIENT, 9), ports=(50000, 50004))
                    assert caught.value.errno == errno.EADDRINUSE
        assert len(orders) > 1

    def test_the_same_port_for_another_address(self, networks: Networks, sockets: ExitStack) -> None:
        with networks.server.entered():
            for local in (SERVER, SERVER_TOO, SERVER6):
                peer = CLIENT6 if ":" in local else CLIENT
                sock = sockets.enter_context(net.connected(local, (peer, 9), ports=(50000, 50000)))
                assert sock.getsockname()[:2] == (local, 50000)

    def test_no_route(self, networks: Networks) -> None:
        with networks.server.entered(), pytest.raises(OSError, match="Network is unreachable"):
            net.connected(SERVER, ("192.0.2.1", 9))

    def test_an_address_that_went_away(self, networks: Networks) -> None:
        with networks.server.entered(), pytest.raises(OSError, match="Cannot assign requested address"):
            net.connected("10.0.0.77", (CLIENT, 9))

    def test_on_an_interface(self, networks: Networks, sockets: ExitStack) -> None:
        with networks.server.entered():
            sock = sockets.enter_context(net.connected("", (CLIENT, 9), interface="eth0"))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"eth0"


@pytest.mark.parametrize("peer", [CLIENT, CLIENT6])
def test_route_mtu(networks: Networks, sockets: ExitStack, peer: str) -> None:
    """Of the route, which may be less than the interface's; connected or not, it is the same."""
    with networks.server.entered():
        one = sockets.enter_context(net.connected("", (peer, 9)))
        shared = sockets.enter_context(listen(networks.server, "::"))
        assert net.route_mtu(one, (peer, 9)) == net.route_mtu(shared, (peer, 9)) == 1500
        networks.server.run("ip", "route", "add", peer, "dev", "eth0", "mtu", 1400)
        try:
            one = sockets.enter_context(net.connected("", (peer, 9)))
            assert net.route_mtu(one, (peer, 9)) == net.route_mtu(shared, (peer, 9)) == 1400
        finally:
            networks.server.run("ip", "route", "del", peer, "dev", "eth0")


class Faulty:
    """A socket whose calls are counted, and fail as they are told."""

    def __init__(self, sock: socket.socket, faults: Sequence[int] = ()) -> None:
        """faults: the errno of each call, 0 for none, the first call's first."""
        self._sock, self._faults = sock, list(faults)
        self.family = sock.family
        self.calls: list[int] = []  # octets of each call that was let through

    def _next(self, octets: int) -> None:
        fault = self._faults.pop(0) if self._faults else 0
        if fault:
            raise OSError(fault, os.strerror(fault))
        self.calls.append(octets)

    def send(self, piece: bytes) -> int:
        """Send one datagram."""
        self._next(len(piece))
        return self._sock.send(piece)

    def sendmsg(self, pieces: Sequence[bytes], *more: Any) -> int:
        """Send one or several datagrams."""
        self._next(sum(map(len, pieces)))
        return self._sock.sendmsg(pieces, *more)


class TestBurst:
    """A run is cut into the same datagrams, however it is sent."""

    SEGMENT = 1000
    RUN = memoryview(random.Random(1).randbytes(200_000))

    def pair(
        self, networks: Networks, sockets: ExitStack, family: str, faults: Sequence[int] = ()
    ) -> tuple[Faulty, dict[str, Any], socket.socket]:
        """Return a server's socket, what else Burst is to know, and the client's socket."""
        local, remote = (SERVER6, CLIENT6) if "6" in family else (SERVER_TOO, CLIENT)
        client = sockets.enter_context(plain(networks.client, remote))
        peer = client.getsockname()[:2]
        if "shared" in family:
            sock = listen(networks.server, "0.0.0.0" if family == "shared 4" else "::")
            more: dict[str, Any] = {"peer": peer, "local": local}
        else:
            with networks.server.entered():
                sock = net.connected(local, peer)
            more = {}
        return Faulty(sockets.enter_context(sock), faults), more, client

    def received(self, client: socket.socket) -> list[bytes]:
        """Return the datagrams that came."""
        found = []
        while readable(client, 0.05):
            found.append(client.recv(65536))
        return found

    def cut(self, run: memoryview, segment: int = SEGMENT) -> list[bytes]:
        """Return the datagrams that a run consists of."""
        return [bytes(run[start : start + segment]) for start in range(0, len(run), segment)]

    @pytest.mark.parametrize("family", ["4", "6", "shared 4", "shared 6", "shared mapped"])
    @pytest.mark.parametrize(("size", "calls"), [
        (1, 1), (999, 1), (1000, 1), (1001, 1), (2000, 1), (63_001, 1), (64_000, 1), (64_001, 2), (64_999, 2),
        (128_000, 2), (130_001, 3),
    ])  # fmt: skip
    def test_the_same_datagrams(
        self, networks: Networks, sockets: ExitStack, family: str, size: int, calls: int
    ) -> None:
        """The last one is shorter; at most 64 of them go in one call."""
        sock, more, client = self.pair(networks, sockets, family)
        run = self.RUN[:size]
        runs.Burst(sock, self.SEGMENT, **more).send(run)  # type: ignore[arg-type]
        assert self.received(client) == self.cut(run)
        assert len(sock.calls) == calls

    @pytest.mark.parametrize("family", ["4", "6", "shared 4", "shared 6", "shared mapped"])
    @pytest.mark.parametrize("size", [11, 12, 13, 40, 1000])
    def test_octets_are_one_datagram(
        self, networks: Networks, sockets: ExitStack, family: str, size: int
    ) -> None:
        """RFC 2348: with blksize 8 an OACK or an ERROR is longer than a segment, and must not be cut."""
        sock, more, client = self.pair(networks, sockets, family)
        answer = bytes(self.RUN[:size])
        runs.Burst(sock, 12, **more).send(answer)  # type: ignore[arg-type]
        assert self.received(client) == [answer]

    @pytest.mark.parametrize("segment", [12, 516, 1432, 1468])
    def test_segments(self, networks: Networks, sockets: ExitStack, segment: int) -> None:
        """At most 64 of them and at most one datagram's octets, 65507, go in one call."""
        sock, more, client = self.pair(networks, sockets, "4")
        run = self.RUN[: segment * 130 + 5]
        runs.Burst(sock, segment, **more).send(run)  # type: ignore[arg-type]
        assert self.received(client) == self.cut(run, segment)
        assert max(sock.calls) == min(64, 65507 // segment) * segment

    @pytest.mark.parametrize("segment", [32754, 60000, 65468])
    def test_datagrams_too_large_for_two_in_a_call(
        self, networks: Networks, sockets: ExitStack, segment: int
    ) -> None:
        sock, more, client = self.pair(networks, sockets, "4")
        run = self.RUN[: segment * 2 + 7]
        runs.Burst(sock, segment, **more).send(run)  # type: ignore[arg-type]
        assert self.received(client) == self.cut(run, segment)
        assert sock.calls == [segment, segment, 7]

    @pytest.mark.parametrize("family", ["4", "shared 4", "shared mapped"])
    @pytest.mark.parametrize("fault", [errno.EIO, errno.EMSGSIZE, errno.EINVAL])
    @pytest.mark.parametrize("good", [0, 1])
    def test_a_route_that_takes_no_runs(
        self, networks: Networks, sockets: ExitStack, family: str, fault: int, good: int
    ) -> None:
        """The rest is sent singly, and so is everything after it."""
        sock, more, client = self.pair(networks, sockets, family, [0] * good + [fault])
        burst = runs.Burst(sock, self.SEGMENT, **more)  # type: ignore[arg-type]
        run = self.RUN[:100_500]
        burst.send(run)
        assert self.received(client) == self.cut(run)
        assert sock.calls == [64_000] * good + [1000] * (100 - 64 * good) + [500]
        burst.send(run[:2000])
        assert self.received(client) == self.cut(run[:2000])
        assert sock.calls[-2:] == [1000, 1000]

    @pytest.mark.parametrize("fault", [errno.EAGAIN, errno.ENOBUFS])
    def test_no_room(self, networks: Networks, sockets: ExitStack, fault: int) -> None:
        """What the kernel has no room for is lost, and the rest of the run with it."""
        sock, more, client = self.pair(networks, sockets, "4", [0, fault])
        burst = runs.Burst(sock, self.SEGMENT, **more)  # type: ignore[arg-type]
        burst.send(self.RUN)
        assert self.received(client) == self.cut(self.RUN[:64_000])
        burst.send(self.RUN[:2000])
        assert self.received(client) == self.cut(self.RUN[:2000])

    @pytest.mark.parametrize("fault", [errno.EPERM, errno.ENETUNREACH, errno.EHOSTUNREACH])
    def test_other_errors_are_like_loss(self, networks: Networks, sockets: ExitStack, fault: int) -> None:
        sock, more, client = self.pair(networks, sockets, "4", [fault])
        runs.Burst(sock, self.SEGMENT, **more).send(self.RUN[:65_000])  # type: ignore[arg-type]
        assert self.received(client) == self.cut(self.RUN[64_000:65_000])

    def test_a_peer_that_closed_its_port(self, networks: Networks, sockets: ExitStack) -> None:
        sock, more, client = self.pair(networks, sockets, "4")
        client.close()
        burst = runs.Burst(sock, self.SEGMENT, **more)  # type: ignore[arg-type]
        burst.send(b"x")
        assert readable(sock._sock)  # the ICMP error
        with pytest.raises(ConnectionRefusedError):
            burst.send(self.RUN[:2000])

    def test_the_address_it_comes_from(self, networks: Networks, sockets: ExitStack) -> None:
        """Over a shared socket the answer comes from the address that was asked."""
        for family, local in [("shared 4", SERVER_TOO), ("shared mapped", SERVER_TOO), ("shared 6", SERVER6)]:
            with ExitStack() as round:
                sock, more, client = self.pair(networks, round, family)
                burst = runs.Burst(sock, self.SEGMENT, **more)  # type: ignore[arg-type]
                for run in (b"x", self.RUN[:2000]):
                    burst.send(run)
                    assert client.recvfrom(2000)[1][:2] == (local, PORT)

    def test_link_local(self, networks: Networks, sockets: ExitStack) -> None:
        """A shared socket and a peer with a zone."""
        client = sockets.enter_context(plain(networks.client, f"{CLIENT6_LINK}%eth0"))
        sock = sockets.enter_context(listen(networks.server, "::"))
        with networks.server.entered():
            peer = (f"{CLIENT6_LINK}%eth0", client.getsockname()[1])
            burst = runs.Burst(sock, self.SEGMENT, peer=peer, local=SERVER6_LINK)
        for run in (b"x", self.RUN[:2000]):
            burst.send(run)
            assert self.received(client) == self.cut(run)


def test_what_systemd_lets_wait_in_a_socket_is_not_taken_away(sockets: ExitStack) -> None:
    """Without privilege no more than net.core.rmem_max can be had, and ReceiveBuffer= may have been more."""
    sock = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.setsockopt(socket.SOL_SOCKET, net.SO_RCVBUFFORCE, 64 << 20)
    given = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    child = os.fork()
    if not child:
        os.setuid(NOBODY)
        net.prepare(sock)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == given
