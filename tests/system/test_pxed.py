"""pxed@, pdhcpd@ and pbootpd@ on a booted system, as an administrator and PXE clients meet them."""

from __future__ import annotations

import re
import socket as sockets
import struct
from collections.abc import Iterator

import pytest

from tests.lab import wait_until
from tests.system.machine import BOOT_FILE, OTHER_ADDRESS, Machine

ALL = (
    "pxed@eth0.service",
    "pxed@eth0.target",
    "ptftpd@eth0.socket",
    "pdhcpd@eth0.socket",
    "pdhcpd@eth0.service",
)


def test_a_client_boots(server: Machine) -> None:
    """systemctl start pxed@eth0 returns when all of it serves; stop, when nothing does."""
    server.systemctl("start", "pxed@eth0")
    assert server.state(*ALL) == " ".join(["active"] * len(ALL))
    server.boots()
    assert "addresses leased" in server.show("pdhcpd@eth0", "StatusText")
    assert [r["MESSAGE"] for r in server.records() if int(r["PRIORITY"]) <= 4] == [], "nothing to worry about"
    server.systemctl("stop", "pxed@eth0")
    server.wait_closed()
    assert server.state(*ALL, "ptftpd@eth0.service") == " ".join(["inactive"] * (len(ALL) + 1))


def test_beside_the_socket_of_all_interfaces(server: Machine) -> None:
    """In either order, and neither takes the other along when it is stopped."""
    for first, second in (("ptftpd.socket", "pxed@eth0"), ("pxed@eth0", "ptftpd.socket")):
        server.systemctl("start", first)
        server.systemctl("start", second)
        server.boots()
        assert server.get(server=OTHER_ADDRESS, client=server.other) == BOOT_FILE
        server.systemctl("stop", "pxed@eth0")
        assert server.get() == BOOT_FILE
        server.systemctl("stop", "ptftpd.socket", "ptftpd.service")


def test_enabled_it_survives_a_reboot(server: Machine) -> None:
    server.systemctl("enable", "pxed@eth0")
    server.systemctl("enable", "ptftpd@eth1.socket")
    server.reboot()
    server.wait_state("pxed@eth0", "active")
    server.boots()
    assert server.get(server=OTHER_ADDRESS, client=server.other) == BOOT_FILE
    server.mark()  # the journal began anew


@pytest.mark.parametrize(("unit", "port"), [("pdhcpd", 67), ("pbootpd", 67), ("ptftpd", 69)])
def test_one_server_alone(server: Machine, unit: str, port: int) -> None:
    """systemctl start UNIT@eth0, and stop, without the others; on an interface that is not there it fails."""
    server.systemctl("start", f"{unit}@eth0")
    assert f"%eth0:{port} " in server.listening()
    server.systemctl("stop", f"{unit}@eth0")
    server.wait_closed()
    assert "failed" in server.systemctl("start", f"{unit}@nosuch0", check=False)
    said = "there is no network interface nosuch0 here (there are: eth0, eth1)"
    assert server.show(f"{unit}@nosuch0", "StatusText") == said
    assert server.state(f"{unit}@nosuch0") == "failed"
    server.wait_closed()  # or each request would start it again


def test_the_socket_brings_its_service(server: Machine) -> None:
    """pdhcpd@eth0.socket alone would hear every interface until the first packet."""
    server.systemctl("start", "pdhcpd@eth0.socket")
    server.wait_state("pdhcpd@eth0.service", "active")
    wait_until(lambda: "0.0.0.0%eth0:67" in server.listening(), 5, "the socket bound to eth0")


def test_bootp(server: Machine) -> None:
    """RFC 951: pbootpd@eth0 answers a machine that has a reservation."""
    server.configure(
        "[host a]\nmac = 02:00:00:00:00:01\naddress = 10.9.0.77\nboot_file = pxelinux.0\n",
        "pbootpd.conf.d/a.conf",
    )
    server.systemctl("start", "pbootpd@eth0")
    request = struct.pack("!4B4s20x", 1, 1, 6, 0, b"BOOT") + bytes.fromhex("020000000001")
    with server.client.entered():
        asking = sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM)
    with asking:
        asking.setsockopt(sockets.SOL_SOCKET, sockets.SO_BROADCAST, 1)
        asking.setsockopt(sockets.SOL_SOCKET, sockets.SO_BINDTODEVICE, b"eth0")
        asking.bind(("", 68))
        asking.settimeout(10)
        asking.sendto(request.ljust(300, b"\0"), ("255.255.255.255", 67))
        reply = asking.recv(1500)
    assert reply[4:8] == b"BOOT"
    assert sockets.inet_ntoa(reply[16:20]) == "10.9.0.77"
    assert reply[108:236].rstrip(b"\0") == b"pxelinux.0"


def test_dhcp_and_bootp_exclude_each_other(server: Machine) -> None:
    """Port 67 of an interface has one server: starting the other one stops it."""
    server.systemctl("start", "pdhcpd@eth0")
    server.systemctl("start", "pbootpd@eth0")
    assert server.state("pdhcpd@eth0.service", "pdhcpd@eth0.socket") == "inactive inactive"
    server.systemctl("start", "pdhcpd@eth0")
    assert server.state("pbootpd@eth0.service", "pbootpd@eth0.socket") == "inactive inactive"


def test_leases_survive_a_kill(server: Machine) -> None:
    """SIGKILL: it is started again, without a client that asks, and the client has the same address."""
    server.systemctl("start", "pxed@eth0")
    before = server.boots()
    pids = {0, server.pid("pdhcpd@eth0")}
    server.systemctl("kill", "--signal=KILL", "pdhcpd@eth0.service")
    wait_until(lambda: server.pid("pdhcpd@eth0") not in pids, 10, "the restart")
    server.wait_state("pdhcpd@eth0.service", "active")
    assert server.boots().address == before.address
    server.systemctl("restart", "pxed@eth0")
    assert server.boots().address == before.address


def test_a_damaged_lease_database(server: Machine) -> None:
    """systemctl status says what to do, and nothing is tried again and again; done, it serves."""
    database = "/var/lib/ptftpd/leases-eth0.sqlite"
    server.write(database, "not what SQLite wrote")
    server.systemctl("start", "pdhcpd@eth0", check=False)
    server.wait_state("pdhcpd@eth0", "failed")
    said = f"cannot use the lease database {database}: file is not a database: restore a backup"
    assert server.show("pdhcpd@eth0", "StatusText").startswith(said)
    results = [server.show("pdhcpd@eth0", name) for name in ("NRestarts", "ExecMainStatus")]
    assert results == ["0", "78"]
    server.wait_closed()
    server.run("mv", database, "/var/tmp/")
    server.systemctl("start", "pxed@eth0")
    server.boots()


def test_a_server_that_hangs(server: Machine) -> None:
    """systemd misses its sign of life and starts it anew."""
    server.drop_in("pdhcpd@.service", "[Service]\nWatchdogSec=1s\n")
    server.systemctl("start", "pdhcpd@eth0")
    pids = {0, server.pid("pdhcpd@eth0")}
    server.systemctl("kill", "--signal=STOP", "pdhcpd@eth0.service")
    wait_until(lambda: server.pid("pdhcpd@eth0") not in pids, 15, "the restart")
    server.wait_message("Watchdog timeout")
    server.wait_state("pdhcpd@eth0", "active")
    assert server.boot() is not None


def test_a_boot_file_that_is_missing(server: Machine) -> None:
    """It is found before anything is started, with the line that names it."""
    server.path("/srv/tftp/pxelinux.0").unlink()
    server.systemctl("start", "pxed@eth0", check=False)
    assert server.state("pxed@eth0") == "failed"
    assert server.show("pxed@eth0", "StatusText") == (
        "/etc/ptftpd/pxed.conf.d/test.conf:2: boot file pxelinux.0 below /srv/tftp: no such file"
    )
    server.wait_closed()


def test_a_wrong_line(server: Machine) -> None:
    """In any file of the servers: pxed@ says so, and pdhcpd@ once it is reloaded."""
    server.configure("[dhcp]\nlease_time = soon\n", "pdhcpd.conf.d/a.conf")
    server.systemctl("start", "pxed@eth0", check=False)
    said = server.show("pxed@eth0", "StatusText")
    assert said.startswith("/etc/ptftpd/pdhcpd.conf.d/a.conf:2: [dhcp] lease_time = soon: must be ")
    server.configure("", "pdhcpd.conf.d/a.conf")
    server.systemctl("start", "pxed@eth0")
    server.configure("[dhcp]\nlease_time = later\n", "pdhcpd.conf.d/a.conf")
    assert "failed" in server.systemctl("reload", "pdhcpd@eth0", check=False)
    server.wait_message(re.escape("/etc/ptftpd/pdhcpd.conf.d/a.conf:2: [dhcp] lease_time = later"))
    server.boots()


def test_reload(server: Machine) -> None:
    """systemctl reload pxed@eth0 reloads all of it."""
    server.systemctl("start", "pxed@eth0")
    server.boots()
    server.serve("other", b"another")
    server.configure("[pxe]\nboot_file = other\n", "pxed.conf.d/z.conf")
    server.systemctl("reload", "pxed@eth0")
    server.wait_message("configuration read again", "_SYSTEMD_UNIT=pdhcpd@eth0.service")
    told = server.boot()
    assert told is not None
    assert told.file == "other"


def test_a_reload_that_is_refused(server: Machine) -> None:
    """Whatever the check finds, none of the servers takes anything over."""
    server.systemctl("start", "pxed@eth0")
    server.boots()
    for text in (
        "[pxe]\nboot_file = nosuch.0\n",
        "[pxe]\nroot = /srv/nosuch\n",
        "[dhcp]\nlease_time = soon\n",
    ):
        server.mark()
        server.configure(text, "pxed.conf.d/z.conf")
        assert "failed" in server.systemctl("reload", "pxed@eth0", check=False)
        server.boots()
        told = [str(record.get("MESSAGE")) for record in server.records()]
        assert any("/etc/ptftpd/pxed.conf.d/z.conf:2: " in message for message in told)
        assert not any("configuration read again" in message for message in told)
    assert server.state("pxed@eth0", "pdhcpd@eth0", "ptftpd@eth0") == "active active active"


@pytest.mark.parametrize("part", ["ptftpd@eth0", "pdhcpd@eth0"])
def test_a_good_reload_starts_what_should_run(server: Machine, part: str) -> None:
    """A server that read a bad file when it was started fails; what starts pxed@ says so, and mends it."""
    server.systemctl("start", "pxed@eth0")
    server.configure("[pxe]\nroot = /srv/nosuch\n[dhcp]\nrange = 10.1.0.1\n", "pxed.conf.d/z.conf")
    server.systemctl("restart", part, check=False)
    server.wait_state(f"{part}.service", "failed")
    said = f"{part} has failed: systemctl status {part} says why"
    wait_until(lambda: said in server.systemctl("status", "pxed@eth0"), 5, said)
    server.configure("", "pxed.conf.d/z.conf")
    server.systemctl("reload", "pxed@eth0")
    assert server.state(*ALL) == " ".join(["active"] * len(ALL))
    server.boots()


def test_status(server: Machine) -> None:
    """What was checked, and where to look: pxed@ itself has no process."""
    server.systemctl("start", "pxed@eth0")
    assert server.show("pxed@eth0", "StatusText") == (
        "checked for eth0 (10.9.0.1/24): ptftpd@eth0 and pdhcpd@eth0 do the serving, "
        "see systemctl status 'p*@eth0.*'"
    )


def test_a_port_that_is_taken(server: Machine) -> None:
    """By a server that does not share it; as soon as that is gone, ours starts."""
    server.drop_in("pxed@.service", "[Service]\nRestartSec=1s\n")
    with server.net.entered():
        taken = sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM)
        taken.bind(("", 67))
    server.systemctl("start", "pxed@eth0", check=False)
    assert server.show("pxed@eth0", "StatusText").startswith(
        "UDP port 67 on eth0 is taken by another program"
    )
    assert server.state("pdhcpd@eth0.socket", "ptftpd@eth0.socket") == "inactive inactive"
    taken.close()
    server.wait_state("pxed@eth0", "active")
    server.boots()


def test_a_port_that_is_shared(server: Machine) -> None:
    """SO_REUSEADDR, as with dnsmasq's TFTP: requests would go there. Our own sockets do no harm."""
    with server.net.entered():
        shared = sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM)
        shared.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        shared.bind(("", 69))
    server.systemctl("start", "pxed@eth0", check=False)
    assert server.show("pxed@eth0", "StatusText").startswith(
        "UDP port 69 on eth0 is taken by another program"
    )
    shared.close()
    server.systemctl("start", "ptftpd.socket", "pdhcpd@eth0")
    server.systemctl("restart", "pxed@eth0")
    server.systemctl("reload", "pxed@eth0")
    server.boots()


SHARING = """
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"{interface}")
sock.bind(("", {port}))
time.sleep(600)
"""


def rival(server: Machine, port: int, interface: str = "") -> None:
    """Start another server, a service of its own, that shares a port, as dnsmasq does."""
    code = SHARING.format(port=port, interface=interface)
    server.run("systemd-run", "--unit=rival", "/usr/bin/python3", "-c", code)
    wait_until(lambda: f":{port} " in server.listening(), 5, "the rival")


@pytest.fixture
def rivals_end(server: Machine) -> Iterator[None]:
    """End the other server, whatever becomes of the test."""
    yield
    server.systemctl("stop", "rival", check=False)


@pytest.mark.usefixtures("rivals_end")
@pytest.mark.parametrize("unit", ["pdhcpd@eth0", "pbootpd@eth0"])
def test_another_dhcp_server_on_this_machine(server: Machine, unit: str) -> None:
    """Started alone, beside another of the same interface, it fails, and names that one; nothing loops."""
    rival(server, 67, "eth0")
    assert "failed" in server.systemctl("start", unit, check=False)
    said = "UDP port 67 on eth0 is taken by another program, rival.service: stop that one"
    assert server.show(unit, "StatusText").startswith(said)
    assert [server.show(unit, name) for name in ("NRestarts", "ExecMainStatus")] == ["0", "78"]
    server.systemctl("stop", "rival")
    server.systemctl("start", unit)
    assert server.state(unit) == "active"


@pytest.mark.usefixtures("rivals_end")
@pytest.mark.parametrize("interface", ["", "eth0"])
def test_another_tftp_server_on_this_machine(server: Machine, interface: str) -> None:
    """Its socket is not opened beside one that would get every request; nor is it in its own way."""
    unit = f"ptftpd@{interface}.socket" if interface else "ptftpd.socket"
    rival(server, 69, interface)
    assert "failed" in server.systemctl("start", unit, check=False)
    server.wait_message(r"UDP port 69.* is taken by another program, rival\.service: stop that one")
    server.systemctl("stop", "rival")
    server.systemctl("start", unit)
    assert server.get() == BOOT_FILE


@pytest.mark.usefixtures("rivals_end")
def test_another_server_of_every_interface(server: Machine) -> None:
    """It may leave this interface alone: that is told, and ours serves."""
    rival(server, 67)
    server.systemctl("start", "pdhcpd@eth0")
    server.wait_message("UDP port 67 on eth0 is open in another program, rival.service, too")
    assert server.boot() is not None


SERVERS = ("pxed@eth0", "pdhcpd@eth0", "ptftpd@eth0", "pbootpd@eth0", "ptftpd.socket")


@pytest.mark.parametrize("unit", SERVERS)
def test_it_may_be_restarted_often(server: Machine, unit: str) -> None:
    """Neither a service nor its sockets, which restart with it, give up when that happens time and again."""
    for _ in range(7):
        server.systemctl("restart", unit)
    server.wait_state(unit, "active")


def test_it_may_die_often(server: Machine) -> None:
    """SIGKILL after SIGKILL: a DHCP server comes back each time."""
    server.drop_in("pdhcpd@.service", "[Service]\nRestartSec=100ms\n")
    server.systemctl("start", "pdhcpd@eth0")
    for _ in range(7):
        pids = {0, server.pid("pdhcpd@eth0")}
        server.systemctl("kill", "--signal=KILL", "pdhcpd@eth0.service")
        wait_until(lambda pids=pids: server.pid("pdhcpd@eth0") not in pids, 10, "the restart")  # type: ignore[misc]
        server.wait_state("pdhcpd@eth0.service", "active")
    assert server.boot() is not None


SOCKETS = {
    "ptftpd.socket": "tftp no yes 4194304",
    "ptftpd@eth0.socket": "tftp no yes 4194304",
    "pdhcpd@eth0.socket": "dhcp yes yes 4194304",
    "pdhcpd-pxe@eth0.socket": "pxe no yes 0",
    "pbootpd@eth0.socket": "dhcp yes yes 4194304",
}


@pytest.mark.parametrize("unit", SOCKETS)
def test_what_systemd_makes_of_a_socket(machine: Machine, unit: str) -> None:
    """No line of the unit is one that this systemd does not know: all are in force."""
    names = ("FileDescriptorName", "Broadcast", "PassPacketInfo", "ReceiveBuffer")
    assert " ".join(machine.show(unit, name) for name in names) == SOCKETS[unit]


def test_records(server: Machine) -> None:
    """A lease is a record with its fields."""
    server.systemctl("start", "pxed@eth0")
    told = server.boots()
    record = server.wait_message("^DHCPACK on ", "_SYSTEMD_UNIT=pdhcpd@eth0.service")
    assert re.fullmatch(rf"DHCPACK on {told.address} to \S+ via eth0.*", record["MESSAGE"])
    assert (record["DHCP_ADDRESS"], record["DHCP_INTERFACE"]) == (told.address, "eth0")
    assert record["DHCP_CLIENT"] in record["MESSAGE"]
