"""ptftpd.socket and ptftpd.service on a booted system, as an administrator uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ptftpd.log import MESSAGE_IDS
from tests.lab import LabError, wait_until
from tests.netns.tftp_site import Peer, ack, data, error, rrq, wrq
from tests.system.machine import ADDRESS, BOOT_FILE, CLIENT, OTHER_ADDRESS, Machine


class Download:
    """A lock-step transfer under way: its first block was received, its second is not asked for yet."""

    def __init__(self, machine: Machine, name: str = "pxelinux.0") -> None:
        self._peer = Peer(machine, ADDRESS)
        self._peer.ask(rrq(name))
        self._received = self._peer.receive()[4:]

    def finish(self) -> bytes:
        """Return the whole file."""
        block = 1
        with self._peer:
            while len(self._received) == block * 512:
                self._peer.answer(ack(block))
                datagram = self._peer.receive()
                if datagram[2:4] == (block + 1).to_bytes(2, "big"):
                    self._received += datagram[4:]
                    block += 1
            self._peer.answer(ack(block))
        return self._received


@pytest.fixture
def socket(machine: Machine) -> Machine:
    """Return the machine with the socket enabled and a file to get."""
    machine.serve()
    machine.systemctl("enable", "--now", "ptftpd.socket")
    return machine


def test_nothing_listens_because_it_was_installed(machine: Machine) -> None:
    """Neither now nor after a reboot, although Debian's preset enables what is installed."""
    assert machine.listening() == ""
    units = (
        "ptftpd.socket",
        "ptftpd.service",
        "ptftpd@eth0.socket",
        "pxed@eth0",
        "pdhcpd@eth0",
        "pbootpd@eth0",
    )
    answers = machine.systemctl("is-enabled", *units, check=False).split()
    assert answers == ["disabled"] * len(units)


def test_the_first_request_starts_the_service(socket: Machine) -> None:
    assert socket.state("ptftpd.socket", "ptftpd.service") == "active inactive"
    assert socket.get() == BOOT_FILE
    assert socket.state("ptftpd.service") == "active"
    assert socket.get(server=OTHER_ADDRESS, client=socket.other) == BOOT_FILE
    [status] = [line for line in socket.systemctl("status", "ptftpd").splitlines() if "Status:" in line]
    assert "transfers running" in status


def test_it_ends_when_idle_and_the_socket_stays(socket: Machine) -> None:
    """[daemon] idle_timeout: a transfer that takes longer is not cut off."""
    socket.configure("[daemon]\nidle_timeout = 1\n[tftp]\ntimeout = 20\n")
    download = Download(socket)
    with pytest.raises(LabError):
        socket.wait_state("ptftpd.service", "inactive", timeout=2)
    assert download.finish() == BOOT_FILE
    socket.wait_state("ptftpd.service", "inactive")
    assert socket.show("ptftpd.service", "Result") == "success"
    assert socket.state("ptftpd.socket") == "active"
    assert socket.get() == BOOT_FILE


INTERRUPTIONS: dict[str, Callable[[Machine], Any]] = {
    "reload": lambda machine: machine.systemctl("reload", "ptftpd"),
    "daemon-reload": lambda machine: machine.systemctl("daemon-reload"),
    "restart": lambda machine: machine.systemctl("--no-block", "restart", "ptftpd"),
    "stop": lambda machine: machine.systemctl("--no-block", "stop", "ptftpd"),
}


@pytest.mark.parametrize("how", INTERRUPTIONS)
def test_running_transfers_are_finished(socket: Machine, how: str) -> None:
    """Whatever happens meanwhile; and new ones are served afterwards."""
    download = Download(socket)
    INTERRUPTIONS[how](socket)
    assert download.finish() == BOOT_FILE
    assert socket.get() == BOOT_FILE


def test_it_comes_back_when_it_is_killed(socket: Machine) -> None:
    """SIGKILL: the socket is systemd's, so a request in between only waits."""
    assert socket.get() == BOOT_FILE
    before = socket.pid("ptftpd")
    socket.systemctl("kill", "--signal=KILL", "ptftpd")
    assert socket.get() == BOOT_FILE
    assert socket.pid("ptftpd") not in {0, before}


def test_reload_takes_a_change_over(socket: Machine) -> None:
    socket.serve("other", b"another")
    assert socket.get() == BOOT_FILE
    socket.configure("[remap a]\nmatch = ^pxelinux.0$\nreplace = other\n")
    socket.systemctl("reload", "ptftpd")
    socket.wait_message("configuration read again")
    assert socket.get() == b"another"


def test_reload_of_a_bad_file_changes_nothing(socket: Machine) -> None:
    """It is reported with file and line, and the service goes on."""
    assert socket.get() == BOOT_FILE
    before = socket.pid("ptftpd")
    socket.configure("[tftp]\n\nblksize = 7\n")
    assert "failed" in socket.systemctl("reload", "ptftpd", check=False)
    record = socket.wait_message(
        r"/etc/ptftpd/ptftpd.conf.d/test.conf:3: \[tftp\] blksize = 7: must be 8..65464"
    )
    assert record["PRIORITY"] == "3"
    assert socket.get() == BOOT_FILE
    assert socket.pid("ptftpd") == before


def test_a_wrong_line_at_the_start(socket: Machine) -> None:
    """systemctl status says file, line and reason; there is no loop of restarts; mended, it serves."""
    socket.configure("[tftp]\nblksize = 7\n")
    assert socket.get(wait=1) == b""
    socket.wait_state("ptftpd.service", "failed")
    said = "/etc/ptftpd/ptftpd.conf.d/test.conf:2: [tftp] blksize = 7: must be 8..65464"
    assert said in socket.systemctl("status", "ptftpd", check=False)
    assert socket.show("ptftpd", "StatusText") == said
    assert (socket.show("ptftpd", "NRestarts"), socket.show("ptftpd", "ExecMainStatus")) == ("0", "78")
    assert socket.state("ptftpd.socket") == "active"
    socket.configure("")
    assert socket.get() == BOOT_FILE


def test_one_interface(machine: Machine) -> None:
    """systemctl start ptftpd@eth0: what comes in elsewhere is not answered."""
    machine.serve()
    machine.systemctl("start", "ptftpd@eth0")
    assert machine.get() == BOOT_FILE
    assert "%eth0:69" in machine.listening()
    assert machine.get(server=OTHER_ADDRESS, client=machine.other, wait=1) == b""
    machine.systemctl("stop", "ptftpd@eth0")
    machine.wait_closed()


def test_one_interface_when_idle(machine: Machine) -> None:
    """It stays: nobody else would see that the interface was replaced, and the socket has to be, too."""
    machine.serve()
    machine.configure("[daemon]\nidle_timeout = 1\n")
    machine.systemctl("start", "ptftpd@eth0.socket")
    assert machine.get() == BOOT_FILE
    with pytest.raises(LabError):
        machine.wait_state("ptftpd@eth0.service", "inactive", timeout=2.5)
    assert machine.get() == BOOT_FILE


def test_one_interface_and_all_of_them(socket: Machine) -> None:
    """ptftpd@eth0 answers on eth0, ptftpd everywhere else; either may end without the other."""
    socket.configure("[remap a]\nmatch = ^which$\nreplace = all\n")
    socket.configure("[remap a]\nmatch = ^which$\nreplace = one\n", "ptftpd@eth0.conf")
    socket.serve("all", b"all")
    socket.serve("one", b"one")
    socket.systemctl("start", "ptftpd@eth0")
    assert socket.get("which") == b"one"
    assert socket.get("which", server=OTHER_ADDRESS, client=socket.other) == b"all"
    socket.systemctl("stop", "ptftpd@eth0")
    assert socket.get("which") == b"all"


def test_uploads_by_the_example(socket: Machine) -> None:
    """/usr/share/doc/ptftpd/examples/uploads.conf; without it the files cannot be written."""
    socket.configure("[directory incoming]\nuploads = create\n")
    socket.run("install", "-d", "-o", "ptftpd", "-g", "ptftpd", "/srv/tftp/incoming")
    assert put(socket, "incoming/one") is False
    socket.wait_message(
        r"\[directory incoming\] uploads = create: /srv/tftp/incoming: is read-only; a service"
    )
    socket.run(
        "install", "-D", "-m", "644", "/usr/share/doc/ptftpd/examples/uploads.conf",
        "/etc/systemd/system/ptftpd.service.d/uploads.conf",
    )  # fmt: skip
    socket.systemctl("daemon-reload")
    socket.systemctl("try-restart", "ptftpd")
    assert put(socket, "incoming/one") is True
    assert socket.path("/srv/tftp/incoming/one").read_bytes() == b"uploaded"


def test_a_replaced_upload_keeps_mode_and_group(socket: Machine) -> None:
    """By the same example, which alone allows fchown(2), with the lines for another group taken in."""
    socket.configure("[directory incoming]\nuploads = overwrite\n")
    socket.run("install", "-d", "-o", "ptftpd", "-g", "ptftpd", "/srv/tftp/incoming")
    socket.run("install", "-m", "664", "-g", "adm", "/dev/null", "/srv/tftp/incoming/one")
    drop_in = "/etc/systemd/system/ptftpd.service.d/uploads.conf"
    example = socket.path("/usr/share/doc/ptftpd/examples/uploads.conf").read_text()
    for filtered, shared in ((True, "644 ptftpd ptftpd"), (False, "664 ptftpd adm")):
        text = example.replace("SystemCallFilter=fchown\n", "") if filtered else example
        socket.write(drop_in, text.replace("#SupplementaryGroups=GROUP\n#", "SupplementaryGroups=adm\n"))
        socket.systemctl("daemon-reload")
        socket.systemctl("try-restart", "ptftpd")
        assert put(socket, "incoming/one") is True
        assert socket.run("stat", "-c", "%a %U %G", "/srv/tftp/incoming/one").stdout.strip() == shared
        socket.run("install", "-m", "664", "-g", "adm", "/dev/null", "/srv/tftp/incoming/one")


def put(machine: Machine, name: str) -> bool:
    """Return whether a file of one block was taken."""
    with Peer(machine, ADDRESS) as peer:
        peer.ask(wrq(name))
        reply = peer.receive()
        if reply != ack(0):
            assert reply[:2] == error(0)[:2]
            return False
        peer.answer(data(1, b"uploaded"))
        return peer.receive() == ack(1)


def test_only_some_clients_by_the_example(socket: Machine) -> None:
    """/usr/share/doc/ptftpd/examples/clients.conf, with this network in it."""
    example = socket.path("/usr/share/doc/ptftpd/examples/clients.conf").read_text()
    assert "192.0.2.0/24" in example
    socket.write(
        "/etc/systemd/system/ptftpd.socket.d/clients.conf", example.replace("192.0.2.0/24", f"{CLIENT}/32")
    )
    socket.systemctl("daemon-reload")
    socket.systemctl("restart", "ptftpd.socket")
    assert socket.get() == BOOT_FILE
    assert socket.get(server=OTHER_ADDRESS, client=socket.other, wait=1) == b""


def test_the_command_tftp(socket: Machine) -> None:
    """tftp in a shell is ours, where tftp-hpa is not installed."""
    socket.run("sh", "-c", "cd /root && tftp 127.0.0.1 -c get pxelinux.0")
    assert socket.path("/root/pxelinux.0").read_bytes() == BOOT_FILE
    assert "ptftpd" in socket.run("tftp", "--version").stdout


def test_records(socket: Machine) -> None:
    """A transfer is one record with its fields, and journalctl -x explains it."""
    assert socket.get() == BOOT_FILE
    record = socket.wait_message("^sent pxelinux.0 to", "_SYSTEMD_UNIT=ptftpd.service")
    assert record["TFTP_FILE"] == "pxelinux.0"
    assert record["TFTP_CLIENT"] == CLIENT
    assert record["TFTP_BYTES"] == str(len(BOOT_FILE))
    explained = socket.run(
        "journalctl", "--catalog", "--lines=1", f"MESSAGE_ID={record['MESSAGE_ID']}"
    ).stdout
    assert f"{CLIENT} has all of pxelinux.0" in " ".join(explained.split())


def test_the_catalog_is_complete(machine: Machine) -> None:
    for kind, number in MESSAGE_IDS.items():
        entry = machine.run("journalctl", "--dump-catalog", number).stdout
        assert "Subject: " in entry, kind
    assert set(MESSAGE_IDS.values()) == {
        line.split()[0]
        for line in machine.run("journalctl", "--list-catalog").stdout.splitlines()
        if line.startswith("3b1f52b8a3c14f0f9c5d0e3a6a7d1e")
    }


def test_a_storm_waits_in_the_socket(socket: Machine) -> None:
    """ReceiveBuffer=: requests that come at once while the service starts are all answered."""
    peers = [Peer(socket, ADDRESS) for _ in range(64)]
    for peer in peers:
        peer.ask(rrq("pxelinux.0"))
    for peer in peers:
        with peer:
            assert peer.receive(15)[:4] == data(1)
            peer.answer(error(0))
    wait_until(lambda: "rb8388608" in socket.run("ss", "-Huamn", "sport", "=", ":69").stdout, 1, "the buffer")
