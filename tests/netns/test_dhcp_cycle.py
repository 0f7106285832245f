"""The whole life of a lease, with dhclient, dhcpcd and systemd-networkd side by side on one network.

The server says when they are to renew and to rebind (options 58 and 59), which is seconds here. None of them
is a PXE client: the server answers everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, Namespace, Process, program, reachable, wait_until

SETTINGS = """
[dhcp]
answer_all = yes
probe = no
range = 10.9.0.50-10.9.0.60
option = always dhcp-renewal-time=2
    always dhcp-rebinding-time=5
"""
# Sets the address, as the distributions' scripts do; dhclient's reasons and dhcpcd's are the same words.
SCRIPT = """#!/bin/sh
case $reason in
BOUND | REBOOT) ip address replace "$new_ip_address/24" dev eth0 ;;
esac
"""
NETWORKD = """[Match]
Name=eth0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
# It must not see this machine's configuration and state, nor wait for a udev, as it does unless /sys is
# read-only.
UNSHARED = """
mount --make-rprivate /
for place in /run/systemd /run/dhcpcd /var/lib/dhcpcd /etc/systemd/network; do
    mkdir -p $place
    mount -t tmpfs tmpfs $place
done
mount -o remount,bind,ro /sys
"""


class Network:
    """A server's namespace, whose bridge the clients are on."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        self.server: Namespace = lab.namespace("server")
        self.server.bridge()
        self.script = directory / "script"
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        self.settings = directory / "pdhcpd.conf"
        self.settings.write_text(SETTINGS)

    def serve(self, address: str = "10.9.0.1") -> Process:
        """Return pdhcpd, ready to answer at an address, which is the only one."""
        self.server.run("ip", "address", "flush", "dev", "br0")
        self.server.address(f"{address}/24", "br0")
        daemon = self.server.start(
            *program("dhcpd"), "br0", "--config", self.settings, "--user", "nobody",
            "--state-dir", self.directory / "state",
        )  # fmt: skip
        daemon.wait_listening(67)
        return daemon

    def machine(self, name: str) -> Namespace:
        """Return a machine on the network."""
        made: Namespace = self.lab.namespace(name)
        self.lab.cable(made, self.server, "eth0", name)
        self.server.plug(name)
        return made

    def start(self, client: str, machine: Namespace) -> Process:
        """Return a client that is running on a machine; what it remembers is on the machine's disk."""
        disk = self.directory / client
        disk.mkdir(exist_ok=True)
        return machine.start(
            "unshare", "--mount", "sh", "-ec", UNSHARED + self._command(client, disk), name=client
        )

    def _command(self, client: str, disk: Path) -> str:
        if client == "dhclient":
            files = f"-cf /dev/null -lf {disk}/leases -pf {disk}/pid -sf {self.script}"
            return f"exec dhclient -4 -d -v {files} eth0"
        if client.startswith("dhcpcd"):
            (disk / "conf").write_text(f"script {self.script}\nduid\nrelease\n")
            keep = f"mount --bind {disk} /var/lib/dhcpcd"
            looks = "" if client == "dhcpcd-arp" else "--noarp"
            return f"{keep}; exec dhcpcd -f {disk}/conf -4 --nobackground --debug {looks} eth0"
        if client == "udhcpc":
            return "exec busybox udhcpc -i eth0 -f -a -A 1 -s /bin/true"
        (disk / "eth0.network").write_text(NETWORKD)
        keep = f"cp {disk}/eth0.network /etc/systemd/network"
        return f"{keep}; SYSTEMD_LOG_LEVEL=debug exec /lib/systemd/systemd-networkd"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Return a network that is gone after the test."""
    with Lab(reachable(tmp_path)) as lab:
        yield Network(lab, tmp_path)


def leased(daemon: Process) -> dict[str, list[str]]:
    """Return {hardware address: the addresses acknowledged to it, in order}."""
    found: dict[str, list[str]] = {}
    for address, hardware in re.findall(r"DHCPACK on (\S+) to (\S+) via", daemon.text()):
        found.setdefault(hardware, []).append(address)
    return found


def wait_leases(daemon: Process, machines: int, times: int = 1) -> dict[str, str]:
    """Return {hardware address: address} once each machine had its lease acknowledged so many times."""

    def enough() -> bool:
        found = leased(daemon)
        return len(found) == machines and all(len(addresses) >= times for addresses in found.values())

    wait_until(enough, 40, f"{times} acknowledgements for {machines} machines")
    found = leased(daemon)
    assert all(len(set(addresses)) == 1 for addresses in found.values()), found
    return {hardware: addresses[0] for hardware, addresses in found.items()}


@pytest.mark.timeout(180)
def test_from_discover_to_release_and_again(network: Network) -> None:
    """RFC 2131 §3.1, §3.2, §4.4.5, §4.4.6: bound, renewed, rebound by another server, released, rebooted.

    The second server has the first one's leases, but another address: only a broadcast can have reached it.
    """
    machines = {client: network.machine(client) for client in ("dhclient", "dhcpcd", "networkd")}
    daemon = network.serve()
    running = [network.start(client, machine) for client, machine in machines.items()]
    bound = wait_leases(daemon, len(machines))
    assert set(bound.values()) == {"10.9.0.50", "10.9.0.51", "10.9.0.52"}
    assert wait_leases(daemon, len(machines), times=2) == bound
    daemon.stop()
    second = network.serve("10.9.0.2")
    assert wait_leases(second, len(machines)) == bound
    assert "DHCPOFFER" not in second.text()
    for process in running:
        process.stop()
    for client in ("dhcpcd", "networkd"):  # dhclient goes on with its lease at the next start
        second.wait_for(f"{bound[hardware(machines[client])]} is free again")
    second.stop()
    third = network.serve("10.9.0.2")
    for client, machine in machines.items():
        network.start(client, machine)
    assert wait_leases(third, len(machines)) == bound
    assert f"to {hardware(machines['dhclient'])}" not in "".join(re.findall("DHCPOFFER .*", third.text()))


@pytest.mark.timeout(120)
def test_an_address_that_is_in_use_is_declined(network: Network) -> None:
    """RFC 2131 §3.1 (5), §4.4.4: clients that look first get the next address that is free."""
    squatter = network.machine("squatter")
    squatter.address("10.9.0.50/24")
    squatter.address("10.9.0.51/24")
    daemon = network.serve()
    for client in ("udhcpc", "dhcpcd-arp"):
        network.start(client, network.machine(client))
    for address in ("10.9.0.50", "10.9.0.51"):
        daemon.wait_for(f"{address} is in use by another machine, says .*: not leased for 900 s", timeout=40)
    for address in ("10.9.0.52", "10.9.0.53"):
        daemon.wait_for(f"DHCPACK on {address} to", timeout=40)


def hardware(machine: Namespace) -> str:
    """Return the Ethernet address of a machine."""
    found = re.search(r"link/ether (\S+)", machine.run("ip", "link", "show", "eth0").stdout)
    assert found
    return found[1]
