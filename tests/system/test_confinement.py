"""What the servers may do on a booted system: next to nothing, unless a drop-in says otherwise."""

from __future__ import annotations

import pytest

from tests.system.machine import ADDRESS, BOOT_FILE, OTHER_ADDRESS, Machine

EXPOSURE = {
    "ptftpd.service": 10,
    "ptftpd@eth0.service": 10,
    "pdhcpd@eth0.service": 13,
    "pbootpd@eth0.service": 13,
}


@pytest.mark.parametrize("unit", EXPOSURE)
def test_exposure(machine: Machine, unit: str) -> None:
    """systemd-analyze security, in tenths; 100 is a service without any confinement."""
    shown = machine.run("systemd-analyze", "security", f"--threshold={EXPOSURE[unit]}", unit, check=False)
    assert shown.returncode == 0, shown.stdout[-200:]


@pytest.fixture
def process(machine: Machine) -> dict[str, str]:
    """Return the lines of /proc/PID/status of a server that has sent a file, by name."""
    machine.serve()
    machine.systemctl("start", "ptftpd.socket")
    assert machine.get() == BOOT_FILE
    lines = machine.path(f"/proc/{machine.pid('ptftpd')}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_process(process: dict[str, str]) -> None:
    """No capability, not even one to regain; a filter on system calls; no way to other users."""
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(process[name], 16) == 0, name
    assert process["NoNewPrivs"] == "1"
    assert process["Seccomp"] == "2"


def test_the_user(machine: Machine, process: dict[str, str]) -> None:
    """One of our own, without a shell."""
    account = machine.run("getent", "passwd", "ptftpd").stdout.strip().split(":")
    assert process["Uid"].split() == [account[2]] * 4
    assert account[6] == "/usr/sbin/nologin"


def test_directories(machine: Machine) -> None:
    """The state is the user's alone, the configuration stays root's; both are known to the unit."""
    machine.systemctl("start", "pdhcpd@eth0")
    facts = machine.run("stat", "--format=%U %a", "/etc/ptftpd", "/var/lib/ptftpd").stdout.splitlines()
    assert facts == ["root 755", "ptftpd 750"]
    environment = machine.path(f"/proc/{machine.pid('pdhcpd@eth0')}/environ").read_text().split("\0")
    assert {"CONFIGURATION_DIRECTORY=/etc/ptftpd", "STATE_DIRECTORY=/var/lib/ptftpd"} <= set(environment)


ATTEMPTS = {
    "write a file": 'open("/srv/open/file", "w")',
    "see home directories": 'open("/root/.bashrc")',
    "open a raw socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "listen on TCP": 'socket.create_server(("", 8080))',
    "become root": "os.setuid(0)",
    "map memory to write and execute": "mmap.mmap(-1, 4096, prot=7)",
    "make a namespace": 'subprocess.run(["unshare", "--user", "true"], check=True)',
    "look at other processes": 'open("/proc/1/status")',
}
ATTEMPT = """
try:
    {code}
except Exception:
    print("failed: {what}")
else:
    print("done: {what}")
"""


def test_what_a_server_cannot_do(machine: Machine) -> None:
    """All of it fails in the place of ptftpd.service, though not by itself."""
    attempts = "".join(ATTEMPT.format(what=what, code=code) for what, code in ATTEMPTS.items())
    machine.write("/usr/local/lib/attempts.py", f"import mmap, os, socket, subprocess\n{attempts}")
    machine.run("install", "--directory", "--mode=777", "/srv/open")
    outside = machine.run("/usr/bin/python3", "/usr/local/lib/attempts.py").stdout
    assert "failed" not in outside
    machine.drop_in(
        "ptftpd.service",
        "[Service]\nType=oneshot\nStandardOutput=file:/run/attempts\nStandardError=null\n"
        "ExecStart=\nExecStart=/usr/bin/python3 /usr/local/lib/attempts.py\n",
    )
    machine.systemctl("start", "ptftpd.service")
    said = machine.path("/run/attempts").read_text().splitlines()
    expected = [f"failed: {what}" for what in ATTEMPTS]
    if "+BPF_FRAMEWORK" not in machine.systemctl("--version"):  # Debian 12's systemd has no SocketBindDeny=
        expected = [line.replace("failed: listen on TCP", "done: listen on TCP") for line in expected]
    assert said == expected


def test_raw_sockets_by_the_example(machine: Machine) -> None:
    """/usr/share/doc/ptftpd/examples/raw-sockets.conf gives the DHCP server CAP_NET_RAW and nothing else."""
    machine.run(
        "install", "-D", "-m", "644", "/usr/share/doc/ptftpd/examples/raw-sockets.conf",
        "/etc/systemd/system/pdhcpd@.service.d/raw-sockets.conf",
    )  # fmt: skip
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "pdhcpd@eth0")
    status = machine.path(f"/proc/{machine.pid('pdhcpd@eth0')}/status").read_text()
    assert f"CapEff:\t{1 << 13:016x}\n" in status  # CAP_NET_RAW


def test_home_by_the_example(machine: Machine) -> None:
    """/usr/share/doc/ptftpd/examples/home.conf; without it files below /home are hidden, which is said."""
    machine.write("/home/somebody/file", "at home")
    machine.configure("[pxe]\nroot = /home/somebody\nboot_file = file\n", "pxed.conf.d/test.conf")
    machine.systemctl("start", "ptftpd.socket")
    assert machine.get("file", wait=1) == b""
    machine.wait_state("ptftpd.service", "failed")
    machine.systemctl("start", "pxed@eth0", check=False)
    for unit in ("ptftpd", "pxed@eth0"):
        assert machine.show(unit, "StatusText") == (
            "/etc/ptftpd/pxed.conf.d/test.conf:2: root directory /home/somebody: Permission denied: systemd "
            "hides /home from services; name another, or see home.conf in /usr/share/doc/ptftpd/examples"
        )
    for unit in ("ptftpd.service", "ptftpd@.service", "pxed@.service"):
        machine.run(
            "install", "-D", "-m", "644", "/usr/share/doc/ptftpd/examples/home.conf",
            f"/etc/systemd/system/{unit}.d/home.conf",
        )  # fmt: skip
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "pxed@eth0")
    for server, client in ((ADDRESS, machine.client), (OTHER_ADDRESS, machine.other)):
        assert machine.get("file", server=server, client=client) == b"at home"
