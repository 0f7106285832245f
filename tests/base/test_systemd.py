"""The environment that systemd gives a service, and what anybody else may put there."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from ptftpd import systemd
from ptftpd.errors import ConfigError
from tests.base.running import PATIENCE, Daemon
from tests.base.tftp_peer import get
from tests.lab import CHECKOUT

RUBBISH = ("", "abc", "-1", "0x10", "1.5", " 3", "²", "1" * 5000, "\udcff")


def udp() -> int:
    """Return a bound UDP socket."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock.detach()


def unbound() -> int:
    """Return a UDP socket without a port."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()


def tcp() -> int:
    """Return a socket of ListenStream=."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock.detach()


def unix() -> int:
    """Return a socket of ListenDatagram=/path."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()


def file() -> int:
    """Return no socket at all."""
    return os.open("/dev/null", os.O_RDWR)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let variables be for this process."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.delenv("LISTEN_FDNAMES", raising=False)
    return monkeypatch


def hand(handed: pytest.MonkeyPatch, fd: int, name: str = "tftp") -> None:
    """Hand over one descriptor."""
    handed.setattr(systemd, "FIRST", fd)
    handed.setenv("LISTEN_FDS", "1")
    handed.setenv("LISTEN_FDNAMES", name)


class TestSockets:
    """sd_listen_fds(3)."""

    def test_taken(self, handed: pytest.MonkeyPatch) -> None:
        """By name, once, and not by the programs that we start."""
        fd = udp()
        hand(handed, fd)
        found = systemd.sockets()
        [sock] = found["tftp"]
        assert (list(found), sock.fileno(), sock.get_inheritable()) == (["tftp"], fd, False)
        assert not any(name.startswith("LISTEN_") for name in os.environ)
        assert systemd.sockets() == {}
        sock.close()

    @pytest.mark.parametrize("pid", ["1", "0", *RUBBISH])
    def test_of_another_process(self, handed: pytest.MonkeyPatch, pid: str) -> None:
        """Whatever the rest says."""
        handed.setenv("LISTEN_PID", pid)
        handed.setenv("LISTEN_FDS", "abc")
        assert systemd.sockets() == {}

    @pytest.mark.parametrize("count", [*RUBBISH, "1001"])
    def test_how_many(self, handed: pytest.MonkeyPatch, count: str) -> None:
        handed.setenv("LISTEN_FDS", count)
        with pytest.raises(ConfigError, match=r"^LISTEN_FDS=.*: must be the number of sockets"):
            systemd.sockets()

    def test_none(self, handed: pytest.MonkeyPatch) -> None:
        handed.setenv("LISTEN_FDS", "0")
        assert systemd.sockets() == {}

    def test_more_than_there_are(self, handed: pytest.MonkeyPatch) -> None:
        handed.setattr(systemd, "FIRST", 1_000_000)
        handed.setenv("LISTEN_FDS", "1")
        with pytest.raises(ConfigError, match="is not open"):
            systemd.sockets()

    @pytest.mark.parametrize("names", ["tftp:tftp", "tftp:", ":"])
    def test_names_of_other_sockets(self, handed: pytest.MonkeyPatch, names: str) -> None:
        fd = udp()
        hand(handed, fd, names)
        with pytest.raises(ConfigError, match="must name as many sockets as LISTEN_FDS says, 1"):
            systemd.sockets()
        os.close(fd)

    @pytest.mark.parametrize("name", ["", "unknown", "ptftpd.socket", "http"])
    def test_a_name_that_is_nobodys(self, handed: pytest.MonkeyPatch, name: str) -> None:
        """It would wait for a server for ever, and systemd start one for it again and again."""
        fd = udp()
        hand(handed, fd, name)
        with pytest.raises(ConfigError, match="must be called one of tftp, dhcp, pxe"):
            systemd.sockets()
        os.close(fd)  # it is still systemd's

    @pytest.mark.parametrize("make", [unbound, tcp, unix, file], ids=lambda make: make.__name__)
    def test_other_descriptors(self, handed: pytest.MonkeyPatch, make: type[int]) -> None:
        fd = make()
        hand(handed, fd)
        with pytest.raises(ConfigError, match=f"descriptor {fd} from systemd, tftp: is not a "):
            systemd.sockets()
        os.close(fd)


class TestPulse:
    """sd_watchdog_enabled(3)."""

    @pytest.mark.parametrize("text", [*RUBBISH, "0", "1" * 21])
    def test_no_watchdog(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("WATCHDOG_USEC", text)
        assert systemd.pulse() == systemd.PULSE

    @pytest.mark.parametrize(
        ("text", "seconds"), [("400000", 0.2), ("1", systemd.SHORTEST), ("9" * 20, systemd.PULSE)]
    )
    def test_watchdog(self, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
        """Never so often that nothing else is done, never so seldom that the status is old."""
        monkeypatch.setenv("WATCHDOG_USEC", text)
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        assert systemd.pulse() == pytest.approx(seconds)

    def test_of_another_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        monkeypatch.setenv("WATCHDOG_PID", "1")
        assert systemd.pulse() == systemd.PULSE


class TestNotify:
    """sd_notify(3)."""

    @pytest.mark.parametrize("abstract", [True, False])
    def test_heard(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, abstract: bool) -> None:
        """A line break in a status would start another variable."""
        name = f"@ptftpd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(name.replace("@", "\0"))
            monkeypatch.setenv("NOTIFY_SOCKET", name)
            systemd.notify("READY=1\nSTATUS=all is well\nMAINPID=1")
            assert manager.recv(100) == b"READY=1\nSTATUS=all is well; MAINPID=1"

    @pytest.mark.parametrize(
        "name", [*RUBBISH, "@", "/", "/dev/null", "relative", "@" + "x" * 200, "/" + "x" * 5000, "vsock:2:1"]
    )
    def test_nobody(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        systemd.notify("READY=1")

    def test_a_manager_that_does_not_read(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A sign of life is not worth a wait, and that the service is ready is worth a short one."""
        monkeypatch.setattr(systemd, "PATIENCE", 0.05)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            began = time.process_time()
            for _ in range(2000):
                systemd.notify("WATCHDOG=1\nSTATUS=READY=1 says a client")
            systemd.notify("READY=1")
            assert time.process_time() - began < 2


WHOLE = [  # (variables, exit code: None when it serves, what is said)
    ({"LISTEN_FDS": "abc"}, 78, "LISTEN_FDS=abc: must be the number of sockets"),
    ({"LISTEN_FDS": "-1"}, 78, "LISTEN_FDS=-1: must be the number of sockets"),
    ({"LISTEN_FDS": "7", "LISTEN_FDNAMES": "tftp"}, 78, "must name as many sockets as LISTEN_FDS says, 7"),
    ({"WATCHDOG_USEC": "0"}, None, "serving"),
    ({"WATCHDOG_USEC": "1"}, None, "serving"),
    ({"WATCHDOG_USEC": "²"}, None, "serving"),
    ({"WATCHDOG_USEC": "9" * 40}, None, "serving"),
    ({"NOTIFY_SOCKET": "rubbish"}, None, "serving"),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "code", "told"), WHOLE)
def test_a_server_by_itself(tmp_path: Path, variables: dict[str, str], code: int | None, told: str) -> None:
    """A sentence and an exit code, or it serves; never a traceback, a hang or a busy loop."""
    (tmp_path / "conf").touch()
    words = ["/usr/bin/python3", "-m", "ptftpd.programs.tftpd", "-c", str(tmp_path / "conf"),
             "-u", getpass.getuser(), "-a", "127.0.0.1", "-p", str(free_port()), str(tmp_path)]  # fmt: skip
    with subprocess.Popen(
        ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *words],
        cwd=CHECKOUT, env=os.environ | variables, text=True, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            assert told in process.stderr.readline()
            if code is None:
                before = cpu(process.pid)
                time.sleep(0.3)
                assert process.poll() is None
                assert cpu(process.pid) - before < 0.15
                process.terminate()
            assert process.wait(PATIENCE) == (code or 0)
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_a_server_with_a_tcp_socket(tmp_path: Path) -> None:
    """As of ListenStream= where it should have been ListenDatagram=: it said that it served."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with Daemon(tmp_path, "tftpd", "-u", getpass.getuser(), tmp_path, sockets=[("tftp", sock)]) as daemon:
            assert daemon.end() == 78
            told = (
                "ptftpd: error: descriptor 3 from systemd, tftp: is not a UDP socket with a port: its .socket"
            )
            assert daemon.log().startswith(told)


def cpu(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_the_status_is_fresh(tmp_path: Path) -> None:
    """It tells within a second or so what a client got, not at the next pulse of ten."""
    (tmp_path / "conf").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_bytes(b"x" * 1000)
    number = free_port()
    words = ["-c", tmp_path / "conf", "-u", getpass.getuser(), "-a", "127.0.0.1", "-p", number]
    with Daemon(tmp_path, "tftpd", *words, tmp_path / "root") as daemon:
        daemon.manager.wait("READY=1")
        assert get(number, "file") == b"x" * 1000
        daemon.manager.wait("STATUS=0 transfers running, 1 files sent", within=systemd.PULSE / 3)
