"""The interface that a server is for: only that one, and whatever becomes of it while the server runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.lab import Namespace, wait_until
from tests.system.machine import ADDRESS, OTHER_ADDRESS, Machine

LATE_ADDRESS, LATE_CLIENT = "10.7.0.1", "10.7.0.2"


def test_only_that_interface(server: Machine) -> None:
    """Even where systemd ignores BindToDevice=%i: each socket is bound once its service runs."""
    server.systemctl("start", "pxed@eth0")
    server.boots()
    assert server.silent(server.other)
    assert server.get(server=OTHER_ADDRESS, client=server.other, wait=1) == b""
    assert [line for line in server.listening().splitlines() if "%eth0:" not in line] == []


def test_two_interfaces(server: Machine) -> None:
    """Each with its own settings and its own leases."""
    server.configure("[dhcp]\nrange = 10.8.0.99\n", "pxed@eth1.conf")
    server.systemctl("start", "pxed@eth0", "pxed@eth1")
    server.boots()
    assert server.boots(server.other, OTHER_ADDRESS).address == "10.8.0.99"
    server.systemctl("stop", "pxed@eth1")
    server.boots()
    assert server.silent(server.other)


def test_an_interface_that_is_not_there(server: Machine) -> None:
    """It fails at once, says why in one sentence, and leaves nothing behind that tries again."""
    assert server.systemctl("start", "pxed@nosuch0", check=False) != ""
    assert server.state("pxed@nosuch0") == "failed"
    said = "there is no network interface nosuch0 here (there are: eth0, eth1)"
    assert f'Status: "{said}"' in server.systemctl("status", "pxed@nosuch0", check=False)
    server.wait_closed()


class Late:
    """An interface, late0, which the machine does not have at first, and the client beyond it."""

    def __init__(self, machine: Machine, client: Namespace) -> None:
        self._net, self.client, self.name = machine.net, client, "late0"

    def plug(self) -> None:
        """Make it, a new one each time."""
        self._net.lab.cable(self._net, self.client, self.name)

    def address(self) -> None:
        """Give it an address, and the client one of the same network."""
        self._net.address(f"{LATE_ADDRESS}/24", self.name)
        self.client.address(f"{LATE_CLIENT}/24")

    def unplug(self) -> None:
        """Remove it."""
        self._net.run("ip", "link", "delete", self.name, check=False)


@pytest.fixture(scope="module")
def beyond(fresh: Machine) -> Namespace:
    """Return where late0's other end is."""
    return fresh.net.lab.namespace("late", ipv6=True)


@pytest.fixture
def late(server: Machine, beyond: Namespace) -> Iterator[Late]:
    """Return the interface, which is not there yet; pxed@ looks for its address often."""
    server.drop_in("pxed@.service", "[Service]\nRestartSec=1s\n")
    interface = Late(server, beyond)
    yield interface
    server.systemctl("stop", f"pxed@{interface.name}")
    interface.unplug()


def test_one_that_comes_later(server: Machine, late: Late) -> None:
    """First there is none, then it has no address, then it is served without anybody doing anything."""
    server.systemctl("start", "pxed@late0", check=False)
    assert server.state("pxed@late0") == "failed"
    late.plug()
    server.systemctl("start", "pxed@late0", check=False)
    assert server.show("pxed@late0", "StatusText").startswith("interface late0 has no IPv4 address")
    late.address()
    server.wait_state("pxed@late0", "active")
    server.boots(late.client, LATE_ADDRESS)


@pytest.fixture
def udev(server: Machine) -> Iterator[None]:
    """Let the kernel's devices be units of systemd, as on hardware; a container does without."""
    server.run("mount", "-o", "remount,rw", "/sys")
    server.systemctl("start", "systemd-udevd")
    server.systemctl("daemon-reexec")  # systemd looks for udev when it starts
    yield
    server.systemctl("stop", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket", "systemd-udevd")
    server.run("mount", "-o", "remount,ro", "/sys")
    server.systemctl("daemon-reexec")


@pytest.mark.usefixtures("udev")
@pytest.mark.parametrize("name", ["late0", "br-late", "late.7", r"br\x2dlate"])
def test_one_that_is_plugged_in(server: Machine, late: Late, name: str) -> None:
    """Enabled, pxed@ is started by the device itself, whenever that comes; nothing alarms before it does.

    Its name may be written as ip(8) has it, or as systemd-escape(1) would.
    """
    late.name = name.replace(r"\x2d", "-")
    said = server.systemctl("enable", f"pxed@{name}")
    assert [line for line in said.splitlines() if not line.startswith("Created symlink")] == []
    late.plug()
    late.address()
    server.wait_state(f"pxed@{name}", "active")
    server.boots(late.client, LATE_ADDRESS)
    server.systemctl("stop", f"pxed@{name}")


def test_one_that_is_replaced(server: Machine, late: Late) -> None:
    """By another of its name, as when a bridge is made anew: all of it goes on, with new sockets."""
    late.plug()
    late.address()
    server.systemctl("start", "pxed@late0")
    server.boots(late.client, LATE_ADDRESS)
    units = ("pdhcpd@late0", "ptftpd@late0")
    before = {unit: server.pid(unit) for unit in units}
    late.unplug()
    server.wait_message("there is no network interface late0 here .*; nothing can be served until then")
    late.plug()
    late.address()
    server.wait_message("interface late0 was replaced by a new one of that name")
    wait_until(lambda: server.pid(units[0]) not in {0, before[units[0]]}, 10, "the new DHCP server")
    server.wait_state("pdhcpd@late0", "active")
    server.boots(late.client, LATE_ADDRESS)
    assert server.pid(units[1]) not in {0, before[units[1]]}
    assert server.state("pxed@late0") == "active"
    server.systemctl("stop", "pxed@late0")
    server.wait_closed()


def test_an_address_that_goes_and_changes(server: Machine) -> None:
    """The DHCP server follows it, and says so."""
    server.systemctl("start", "pxed@eth0")
    server.boots()
    before = server.pid("pdhcpd@eth0")
    try:
        server.net.run("ip", "address", "delete", f"{ADDRESS}/24", "dev", "eth0")
        server.wait_message("interface eth0 has no IPv4 address")
        server.net.address("10.6.0.1/24")
        server.client.address("10.6.0.2/24")
        server.wait_message(re.escape("interface eth0 has the address 10.6.0.1/24 now"))
        server.boots(server="10.6.0.1")
        assert server.pid("pdhcpd@eth0") == before
    finally:
        server.client.run("ip", "address", "delete", "10.6.0.2/24", "dev", "eth0")
        server.net.run("ip", "address", "flush", "dev", "eth0")
        server.net.address(f"{ADDRESS}/24")
