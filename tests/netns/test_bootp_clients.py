"""Real BOOTP clients that no one here wrote: bootpc, klibc's ipconfig and dhcpcd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, Namespace, Process, program, reachable

MAC = "52:54:00:00:00:06"


class Network:
    """pbootpd on 10.9.0.1, which has 10.9.0.70 for the client on the same cable."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.directory = directory
        self.server: Namespace = lab.namespace("server")
        self.client: Namespace = lab.namespace("client")
        lab.cable(self.server, self.client)
        self.server.address("10.9.0.1/24")
        self.client.run("ip", "link", "set", "eth0", "address", MAC)

    def serve(self, name: str, *arguments: str) -> Process:
        """Return a program, ready to answer."""
        daemon = self.server.start(
            *program(name), "eth0", *arguments, "--reserve", f"{MAC}=10.9.0.70",
            "--state-dir", self.directory / "state", "--user", "nobody",
        )  # fmt: skip
        daemon.wait_listening(67)
        return daemon


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Return a network that is gone after the test."""
    with Lab(reachable(tmp_path)) as lab:
        yield Network(lab, tmp_path)


def check_bootpc(network: Network) -> None:
    """See bootpc get the reserved address and the boot file."""
    network.client.run("ip", "route", "add", "default", "dev", "eth0")
    done = network.client.run(
        "bootpc", "--dev", "eth0", "--serverbcast", "--returniffail", "--timeoutwait", "5", check=False
    )
    assert "IPADDR='10.9.0.70'" in done.stdout
    assert "kernel.img" in done.stdout


def test_bootpc(network: Network) -> None:
    """RFC 951, 1497: address, mask and boot file."""
    network.serve("bootpd", "kernel.img")
    check_bootpc(network)


def test_klibc_ipconfig(network: Network) -> None:
    """RFC 951: a request of 236 octets, without any vend field."""
    daemon = network.serve("bootpd", "kernel.img")
    script = (
        "mount -t tmpfs t /run; /usr/lib/klibc/bin/ipconfig -t 8 -c bootp -d eth0; cat /run/net-eth0.conf"
    )
    done = network.client.run("unshare", "-m", "sh", "-c", script)
    assert "IPV4ADDR='10.9.0.70'" in done.stdout
    assert "filename='kernel.img'" in done.stdout
    daemon.wait_for(f"BOOTREPLY on 10.9.0.70 to {MAC} via eth0, boot file kernel.img from 10.9.0.1")


def test_dhcpcd(network: Network) -> None:
    """RFC 1497: dhcpcd as a BOOTP client."""
    network.serve("bootpd", "kernel.img")
    config = network.directory / "dhcpcd.conf"
    config.write_text("bootp\nscript /bin/true\n")
    script = (
        "mkdir -p /run/dhcpcd /var/lib/dhcpcd;"
        "mount -t tmpfs t /run/dhcpcd; mount -t tmpfs t /var/lib/dhcpcd;"
        f"exec dhcpcd -f {config} -4 -B -1 -d -t 15 eth0"
    )
    done = network.client.run("unshare", "-m", "timeout", 20, "sh", "-c", script, check=False)
    assert "leased 10.9.0.70" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["dhcpd", "pxed"])
def test_dhcp_programs_answer_bootp_when_told(network: Network, name: str, tmp_path: Path) -> None:
    """One port 67 serves both: pdhcpd --bootp, and pxed --bootp."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "kernel.img").write_bytes(b"kernel")
    network.serve(name, *([str(root)] if name == "pxed" else []), "kernel.img", "--bootp")
    check_bootpc(network)


def test_without_a_reservation_there_is_no_answer(network: Network) -> None:
    """Unless dynamic is on."""
    network.client.run("ip", "link", "set", "eth0", "address", "52:54:00:00:00:07")
    network.client.run("ip", "route", "add", "default", "dev", "eth0")
    daemon = network.serve("bootpd", "kernel.img")
    ask = ("bootpc", "--dev", "eth0", "--serverbcast", "--returniffail", "--timeoutwait", "2")
    assert "IPADDR" not in network.client.run(*ask, check=False).stdout
    daemon.wait_for("no address is reserved for this BOOTP client")
    daemon.stop()
    network.serve("bootpd", "kernel.img", "--dynamic", "--range", "10.9.0.50-10.9.0.60")
    assert "IPADDR='10.9.0.50'" in network.client.run(*ask, check=False).stdout
