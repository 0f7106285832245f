"""Another server on the port of one of ours that systemd has opened: found by the kernel's own account."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ptftpd import net, rivals
from tests.base.running import Daemon
from tests.lab import Lab, Namespace, Process

USER = "nobody"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """Return a machine with two interfaces."""
    with Lab(tmp_path_factory.mktemp("rivals")) as lab:
        machine, client = lab.namespace("server"), lab.namespace("client")
        lab.cable(machine, client)
        lab.cable(machine, client, "eth1", "eth1")
        machine.address("10.0.0.1/24")
        machine.address("10.0.1.1/24", "eth1")
        yield machine


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that every user may use, with a root in it."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o777)
    (made / "root").mkdir()
    (made / "conf").touch()
    yield made
    shutil.rmtree(made)


@contextmanager
def dnsmasq(machine: Namespace, *arguments: str) -> Iterator[Process]:
    """Run dnsmasq, which shares its port too."""
    running = machine.start(
        "dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--port=0", "--user=root", "--pid-file",
        "--log-facility=-", "--dhcp-leasefile=/dev/null", *arguments,
    )  # fmt: skip
    try:
        running.wait_for("started, version")  # by then it has bound its sockets
        yield running
    finally:
        running.stop()


def opened_by_systemd(port: int) -> socket.socket:
    """Return a socket as systemd opens it: of every interface, for sharing."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", port))
    return sock


@contextmanager
def daemon(machine: Namespace, place: Path, sock: socket.socket, module: str, *argv: str) -> Iterator[Daemon]:
    """Run one of ours on such a socket."""
    name = "dhcp" if module == "dhcpd" else "tftp"
    words = [*argv, "-u", USER, "-c", f"{place}/conf"]
    words += ["--state-dir", f"{place}/state"] if module == "dhcpd" else [f"{place}/root"]
    with Daemon(place, module, *words, sockets=[(name, sock)], command=machine.command()) as running:
        yield running


LEASES = ("--dhcp-range=10.0.0.50,10.0.0.60", "--interface=eth0", "--bind-interfaces")
LEASES_ELSEWHERE = ("--dhcp-range=10.0.1.50,10.0.1.60", "--interface=eth1", "--bind-interfaces")
# With two interfaces dnsmasq binds its socket to neither.
LEASES_UNBOUND = (*LEASES_ELSEWHERE, *LEASES)


def test_a_dhcp_server_of_the_same_interface(server: Namespace, place: Path) -> None:
    """It would answer each request as well: ours does not start, and is not started again and again."""
    with (
        server.entered(),
        opened_by_systemd(67) as sock,
        dnsmasq(server, *LEASES),
        daemon(server, place, sock, "dhcpd", "eth0") as running,
    ):
        assert running.end() == 78
        assert running.log().startswith("pdhcpd: error: UDP port 67 on eth0 is taken by another program")


@pytest.mark.parametrize(("arguments", "told"), [(LEASES_ELSEWHERE, False), (LEASES_UNBOUND, True)])
def test_a_dhcp_server_of_other_interfaces(
    server: Namespace, place: Path, arguments: tuple[str, ...], told: bool
) -> None:
    """Bound to another one it is in nobody's way; bound to none, it hears ours, whatever it makes of it."""
    with (
        server.entered(),
        opened_by_systemd(67) as sock,
        dnsmasq(server, *arguments),
        daemon(server, place, sock, "dhcpd", "eth0") as running,
    ):
        running.manager.wait("READY=1")
        running.wait_for("serving DHCP on eth0")
        if told:
            running.wait_for("warning: UDP port 67 on eth0 is open in another program")
        else:
            running.manager.wait("STATUS=")
            assert "another program" not in running.log()


def test_a_tftp_server(server: Namespace, place: Path) -> None:
    """A running server of ours goes on; that it hears nothing is said."""
    files = ("--enable-tftp", f"--tftp-root={place}/root")
    with (
        server.entered(),
        opened_by_systemd(69) as sock,
        dnsmasq(server, *files),
        daemon(server, place, sock, "tftpd") as running,
    ):
        running.manager.wait("READY=1")
        running.wait_for("warning: UDP port 69 is taken by another program")


def test_one_that_comes_later(server: Namespace) -> None:
    """What is asked once a minute finds it."""
    with server.entered(), opened_by_systemd(67) as sock:
        net.confine(sock, "eth0")
        own = {os.fstat(sock.fileno()).st_ino}
        link = net.link("eth0")
        assert rivals.find(67, link, own=own, address="0.0.0.0") == []
        with dnsmasq(server, *LEASES):
            [rival] = rivals.find(67, link, own=own, address="0.0.0.0")
            assert rival.takes_all
        assert rivals.find(67, link, own=own, address="0.0.0.0") == []
