"""Real DHCP clients that no one here wrote, dhclient and udhcpc, against the real programs in namespaces."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, Namespace, Process, program, reachable

PXE = "PXEClient:Arch:00000:UNDI:002001"
SCRIPT = """#!/bin/sh
# What a client got, one line an event, and the address set, as a real script would.
echo "$1$reason address=${ip:-$new_ip_address} file=${boot_file:-$new_filename} server=${siaddr}" >>"%s"
address=${ip:-$new_ip_address}
case "$1$reason" in
bound | BOUND | REBOOT) ip address replace "$address/24" dev eth0 ;;
esac
exit 0
"""


class Network:
    """pdhcpd or pxed on 10.9.0.1 and a client machine on the same cable."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.server, self.client = lab.namespace("server"), lab.namespace("client")
        lab.cable(self.server, self.client)
        self.server.address("10.9.0.1/24")
        self.directory = directory
        self.events = directory / "events"
        self.events.touch()
        self.script = directory / "script"
        self.script.write_text(SCRIPT % self.events)
        self.script.chmod(0o755)

    def serve(self, *arguments: str) -> Process:
        """Return pdhcpd, ready to answer."""
        daemon = self.server.start(
            *program("dhcpd"), "eth0", "pxelinux.0", "--range", "10.9.0.50-10.9.0.60",
            "--state-dir", self.directory / "state", "--user", "nobody", *arguments,
        )  # fmt: skip
        daemon.wait_listening(67)
        return daemon

    def udhcpc(self, *arguments: str, vendor: str = PXE) -> str:
        """Return the address that udhcpc gets, '' when it gives up after two tries."""
        done = self.client.run(
            "busybox", "udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", "2", "-T", "1", "-A", "1",
            "-s", self.script, "-V", vendor, *arguments, check=False,
        )  # fmt: skip
        leased = re.search(r"lease of (\S+) obtained", done.stdout + done.stderr)
        return leased[1] if leased else ""

    def dhclient(self, *arguments: str | Path, check: bool = True) -> str:
        """Return what dhclient says; its lease file is kept between calls."""
        config = self.directory / "dhclient.conf"
        config.write_text(f'send vendor-class-identifier "{PXE}";\nrequest subnet-mask, routers;\n'
                          "timeout 5;\nretry 1;\nbackoff-cutoff 1;\ninitial-interval 1;\n")  # fmt: skip
        done = self.client.run(
            "dhclient", "-4", "-v", "-cf", config, "-lf", self.directory / "dhclient.leases",
            "-pf", self.directory / "dhclient.pid", "-sf", self.script, *arguments, "eth0", check=check,
        )  # fmt: skip
        return done.stdout + done.stderr


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Return a network that is gone after the test."""
    with Lab(reachable(tmp_path)) as lab:
        yield Network(lab, tmp_path)


def test_udhcpc_gets_an_address_and_a_boot_file(network: Network) -> None:
    """RFC 2131 §3.1: DISCOVER, OFFER, REQUEST, ACK."""
    daemon = network.serve()
    assert network.udhcpc() == "10.9.0.50"
    assert "bound address=10.9.0.50 file=pxelinux.0 server=10.9.0.1" in network.events.read_text()
    daemon.wait_for("DHCPACK on 10.9.0.50 to .* via eth0, boot file pxelinux.0 from 10.9.0.1")


def test_only_pxe_clients_are_answered(network: Network) -> None:
    """Unless it was told otherwise, the server leaves the network's other machines alone."""
    daemon = network.serve()
    assert network.udhcpc(vendor="udhcp 1.35") == ""
    daemon.wait_for("not a PXE client")


def test_all_clients_are_answered_when_told_so(network: Network) -> None:
    """-a answers everybody."""
    network.serve("-a")
    assert network.udhcpc(vendor="udhcp 1.35") == "10.9.0.50"


def test_the_installed_system_keeps_the_address_of_its_firmware(network: Network) -> None:
    """Another client identifier and no PXE class: the same machine by its hardware address."""
    network.serve()
    assert network.udhcpc() == "10.9.0.50"
    assert network.udhcpc("-x", "0x3d:ff00112233", vendor="installed") == "10.9.0.50"


def test_dhclient_reboots_into_its_lease(network: Network) -> None:
    """RFC 2131 §3.2: INIT-REBOOT asks for the old address, and gets it from a restarted server."""
    daemon = network.serve()
    assert "bound to 10.9.0.50" in network.dhclient("-1")
    network.dhclient("-x")
    daemon.signal(signal.SIGKILL)
    daemon.wait(5)
    daemon = network.serve()
    said = network.dhclient("-1")
    assert "DHCPREQUEST for 10.9.0.50" in said
    assert "DHCPDISCOVER" not in said, "the old lease was not known any more"
    assert "bound to 10.9.0.50" in said


def test_dhclient_releases(network: Network) -> None:
    """RFC 2131 §4.4.6: what is released is free, and its holder gets it back while nobody else has it."""
    daemon = network.serve()
    network.dhclient("-1")
    network.dhclient("-r")
    daemon.wait_for("10.9.0.50 is free again")
    assert "bound to 10.9.0.50" in network.dhclient("-1")


def test_an_address_of_another_network_is_refused(network: Network) -> None:
    """RFC 2131 §4.3.2: a client that moved hears DHCPNAK at once and starts over."""
    daemon = network.serve()
    network.dhclient("-1")
    network.dhclient("-x")
    leases = network.directory / "dhclient.leases"
    leases.write_text(leases.read_text().replace("10.9.0.50", "10.8.0.50"))
    said = network.dhclient("-1")
    assert "DHCPNAK" in said
    assert "bound to 10.9.0.50" in said
    daemon.wait_for("DHCPNAK on 10.8.0.50")


def test_a_second_server_on_the_port_is_refused(network: Network) -> None:
    """The port is not stolen from the one that runs; the sentence says what to do."""
    network.serve()
    second = network.server.run(*program("dhcpd"), "eth0", "--state-dir", network.directory, check=False)
    assert second.returncode == 1
    assert "UDP port 67 on eth0 is taken by another program: stop that one" in second.stderr


def test_settings_that_do_not_fit_the_network(network: Network) -> None:
    """--check says it before the server is needed: exit code 78 and a sentence with the place."""
    check = (*program("dhcpd"), "eth0", "--check", "--range")
    assert network.server.run(*check, "10.9.0.50-10.9.0.60").returncode == 0
    refused = network.server.run(*check, "10.8.0.50-10.8.0.60", check=False)
    assert refused.returncode == 78
    assert "--range: [dhcp] range = 10.8.0.50-10.8.0.60: must be in 10.9.0.0/24" in refused.stderr


def test_a_host_name_without_a_dns_server_is_said(network: Network) -> None:
    """HTTP Boot could not find the host. So is iPXE that would be sent to itself."""
    daemon = network.serve(
        "--boot", "x86_64-efi-http=http://boot.example.com/x.efi", "--boot", "bios=undionly.kpxe"
    )
    daemon.wait_for("warning: .pxe. boot x86_64-efi-http = http://boot.example.com/x.efi: clients get no")
    daemon.wait_for("warning: .pxe. boot bios = undionly.kpxe: iPXE asks again once it runs")


def test_a_menu_takes_port_4011(network: Network) -> None:
    """PXE 2.1: without the port there would be no boot file behind the menu, so a reload cannot bring one."""
    settings = network.directory / "menu.conf"
    settings.write_text("[menu Install]\n")
    broken = network.server.run(*program("dhcpd"), "eth0", "--check", "-c", settings, check=False)
    assert "[menu Install]: must have boot_file or boot, or else local = yes" in broken.stderr
    settings.write_text("")
    daemon = network.serve("--config", str(settings))
    daemon.wait_for("serving DHCP")
    settings.write_text("[menu Install]\nboot_file = pxelinux.0\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("the configuration stays as it was: a .menu. needs UDP port 4011, which is not open yet")
    daemon.stop()
    network.serve("--config", str(settings)).wait_listening(4011)


def test_no_such_interface(network: Network) -> None:
    """The sentence names those that there are."""
    server: Namespace = network.server
    refused = server.run(*program("dhcpd"), "nosuch0", check=False)
    assert refused.returncode == 78
    assert "there is no network interface nosuch0 here (there are: eth0)" in refused.stderr
