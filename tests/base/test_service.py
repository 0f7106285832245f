"""A daemon as a process: sockets from systemd, notifications, signals, workers. All of it on 127.0.0.1."""

from __future__ import annotations

import getpass
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd.process import STOP_TIMEOUT
from tests.base.running import PATIENCE, Daemon, gone
from tests.base.tftp_peer import Client, get
from tests.lab import LabError, wait_until

WORKERS = 2
LARGE = 102_400  # octets: 200 blocks


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    """Return a bound socket, to hand over."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory to serve: 'file' of two blocks, 'large' of 200."""
    made = tmp_path / "root"
    made.mkdir()
    (made / "file").write_bytes(b"x" * 1000)
    (made / "large").write_bytes(b"y" * LARGE)
    return made


def serve(tmp_path: Path, root: Path, sock: socket.socket, *argv: str, **environment: str) -> Daemon:
    """Return a ptftpd that was handed a socket. Run by root, it stays root."""
    (tmp_path / "notify").unlink(missing_ok=True)
    (tmp_path / "conf").touch()
    arguments = ["-c", tmp_path / "conf", "-u", getpass.getuser(), *argv, root]
    return Daemon(tmp_path, "tftpd", *arguments, sockets=[("tftp", sock)], environment=environment)


def port(sock: socket.socket) -> int:
    """Return the port that a socket is bound to."""
    return int(sock.getsockname()[1])


class TestActivation:
    """sd_listen_fds(3)."""

    def test_a_socket_is_taken_over(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """What came before the service was there is answered."""
        with Client(port(sock)) as client:
            client.ask("file")
            with serve(tmp_path, root, sock) as daemon:
                assert client.rest() == b"x" * 1000
                daemon.manager.wait("READY=1")
                assert f"serving {root} by TFTP at 127.0.0.1:{port(sock)}" in daemon.log()

    def test_settings_that_systemd_decides(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """Port, address and user are said to have no effect, instead of having none."""
        (tmp_path / "conf").write_text("[tftp]\nport = 6969\naddress = 127.0.0.1\n")
        unprivileged = os.geteuid() != 0
        user = ("-u", "root") if unprivileged else ()
        with serve(tmp_path, root, sock, *user) as daemon:
            daemon.manager.wait("READY=1")
            lines = [line for line in daemon.log().splitlines() if "warning" in line]
        decided = f"systemd opened the socket, at 127.0.0.1:{port(sock)}: use systemctl edit ptftpd.socket"
        told = [f"ptftpd: warning: {tmp_path}/conf:2: [tftp] port = 6969: {decided}"]
        if unprivileged:
            told.insert(0, "ptftpd: warning: --user: [daemon] user = root: only root can become another user")
        assert [line.partition(";")[0] for line in lines] == told

    @pytest.mark.parametrize("address", ["", "::"])
    def test_all_addresses(self, tmp_path: Path, root: Path, address: str) -> None:
        """Nothing behind 'address =', as in a dump, means all of them: it is what systemd's socket has."""
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 0))
            (tmp_path / "conf").write_text(f"[tftp]\naddress = {address}\nport = {port(sock)}\n")
            with serve(tmp_path, root, sock) as daemon:
                daemon.manager.wait("READY=1")
                assert "warning" not in daemon.log()

    def test_sockets_of_its_own(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """They are as the settings are, and nothing is said of systemd."""
        (tmp_path / "conf").write_text(f"[tftp]\naddress =\nport = {port(sock)}\n")
        sock.close()
        with Daemon(tmp_path, "tftpd", "-c", tmp_path / "conf", "-u", getpass.getuser(), root) as daemon:
            daemon.manager.wait("READY=1")
            assert "warning" not in daemon.log()

    def test_several_sockets(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            with Daemon(
                tmp_path, "tftpd", "-u", getpass.getuser(), root, sockets=[("tftp", sock), ("tftp", other)]
            ) as daemon:
                daemon.manager.wait("READY=1")
                for each in (sock, other):
                    assert get(port(each), "file") == b"x" * 1000

    def test_sockets_of_another_process(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """LISTEN_PID says whose they are: a child must not take its parent's."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            number = port(probe)
        stale = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "tftp"}
        arguments = ["-u", getpass.getuser(), "-a", "127.0.0.1", "-p", str(number), root]
        with Daemon(tmp_path, "tftpd", *arguments, environment=stale) as daemon:
            daemon.manager.wait("READY=1")
            assert get(number, "file") == b"x" * 1000


def test_a_locale_that_is_not_utf8(tmp_path: Path, root: Path, sock: socket.socket) -> None:
    """Names are octets to Linux, and UTF-8 to TFTP's clients, whatever the server's own language is."""
    (root / "grün").write_bytes(b"green")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with serve(tmp_path, root, sock, "--ignore-case", **plain) as daemon:
        daemon.manager.wait("READY=1")
        assert get(port(sock), "grün") == get(port(sock), "GRün") == b"green"
        with pytest.raises(AssertionError, match="not DATA"):
            get(port(sock), "blau\U0001f535")
        assert get(port(sock), "file") == b"x" * 1000


class TestNotifications:
    """sd_notify(3)."""

    def test_the_whole_life(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        with serve(tmp_path, root, sock) as daemon:
            ready = daemon.manager.wait("READY=1")
            assert ready["STATUS"] == "0 transfers running, 0 files sent"
            before = time.monotonic()
            daemon.send(signal.SIGHUP)
            reloading = daemon.manager.wait("RELOADING=1")
            assert before <= int(reloading["MONOTONIC_USEC"]) / 1e6 + 0.001 <= time.monotonic() + 0.001
            daemon.manager.wait("READY=1")
            get(port(sock), "file")
            daemon.send(signal.SIGTERM)
            daemon.manager.wait("STOPPING=1")
            assert daemon.end() == 0
            lines = daemon.log().splitlines()
        assert [line.split(" ")[1] for line in lines] == ["serving", "configuration", "sent", "stopped"]

    def test_watchdog(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """It is told at least twice in the time that systemd waits for it."""
        with serve(tmp_path, root, sock, WATCHDOG_USEC="400000") as daemon:
            daemon.manager.wait("READY=1")
            get(port(sock), "file")
            start = time.monotonic()
            status = [daemon.manager.wait("WATCHDOG=1")["STATUS"] for _ in range(4)]
            assert time.monotonic() - start < 10, "as without a watchdog"
            assert status[-1] == "0 transfers running, 1 files sent"

    def test_without_a_service_manager(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        for nobody in ("", "/nonexistent/notify"):
            with serve(tmp_path, root, sock, NOTIFY_SOCKET=nobody) as daemon:
                assert get(port(sock), "file") == b"x" * 1000
                assert "READY=1" not in daemon.log()

    def test_a_bad_configuration(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """EX_CONFIG, and the whole of it in the status: systemctl status shows it."""
        (tmp_path / "conf").write_text("[tftp]\nport = 0\nblksize = 7\n")
        with Client(port(sock)) as client:
            client.ask("file")
            with serve(tmp_path, root, sock) as daemon:
                status = daemon.manager.wait("STATUS=")["STATUS"]
                assert daemon.end() == 78
        assert not select.select([sock], [], [], 0)[0], "systemd would start it again for what is left here"
        assert status == (
            f"{tmp_path}/conf:2: [tftp] port = 0: must be 1..65535; "
            f"{tmp_path}/conf:3: [tftp] blksize = 7: must be 8..65464"
        )

    def test_what_keeps_it_from_serving(self, tmp_path: Path, sock: socket.socket) -> None:
        with serve(tmp_path, tmp_path / "absent", sock) as daemon:
            status = daemon.manager.wait("STATUS=")["STATUS"]
            assert daemon.end() in {1, 78}
            assert f"{tmp_path}/absent: No such file or directory" in status
            assert status in daemon.log()


class TestReload:
    """SIGHUP."""

    def test_a_good_file(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        (tmp_path / "conf").write_text("[remap a]\nmatch = ^alias$\nreplace = file\n")
        with serve(tmp_path, root, sock) as daemon:
            daemon.manager.wait("READY=1")
            assert get(port(sock), "alias") == b"x" * 1000
            (tmp_path / "conf").write_text("[remap a]\nmatch = ^other$\nreplace = file\n")
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("READY=1")
            assert get(port(sock), "other") == b"x" * 1000
            with pytest.raises(AssertionError, match="not DATA"):
                get(port(sock), "alias")

    def test_a_bad_file(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """It is reported, and the old configuration goes on serving."""
        with serve(tmp_path, root, sock) as daemon:
            daemon.manager.wait("READY=1")
            (tmp_path / "conf").write_text("[tftp]\nport = 0\nx = 1\n")
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("RELOADING=1")
            daemon.manager.wait("READY=1")
            for fault in ("2: [tftp] port = 0: must be 1..65535", "3: [tftp] x: unknown setting"):
                said = f"ptftpd: error: the configuration stays as it was: {tmp_path}/conf:{fault}"
                assert daemon.log().count(said) == 1
            assert get(port(sock), "file") == b"x" * 1000

    def test_what_takes_a_restart(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """Sockets and processes stay as they are: it is said of each setting that it had no effect."""
        (tmp_path / "conf").write_text("[daemon]\nidle_timeout = 1000\n")
        with serve(tmp_path, root, sock) as daemon:
            daemon.manager.wait("READY=1")
            changed = "[tftp]\nport = 6969\nsingle_port = yes\nignore_case = yes\n"
            (tmp_path / "conf").write_text(changed)
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("READY=1")
            assert daemon.log().splitlines()[1:] == [
                "ptftpd: configuration read again",
                "ptftpd: warning: [daemon] idle_timeout: changed, which only a restart takes over",
                f"ptftpd: warning: {tmp_path}/conf:2: [tftp] port: changed, which only a restart takes over",
                f"ptftpd: warning: {tmp_path}/conf:3: [tftp] single_port: changed, "
                "which only a restart takes over",
            ]
            assert get(port(sock), "FILE") == b"x" * 1000, "what a reload can take over it has"
            (tmp_path / "conf").write_text("[daemon]\nidle_timeout = 1000\n")
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("READY=1")
            assert daemon.log().count("only a restart") == 3, "as it was at the start"

    def test_running_transfers_go_on(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        with serve(tmp_path, root, sock) as daemon, Client(port(sock)) as client:
            client.ask("large")
            assert client.block()[0] == 1
            daemon.manager.wait("READY=1")
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("READY=1")
            client.acknowledge(1)
            assert client.rest() == b"y" * (LARGE - 512)


class TestStop:
    """SIGTERM and SIGINT."""

    def test_a_running_transfer_is_finished(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """And no other one begins."""
        with serve(tmp_path, root, sock) as daemon, Client(port(sock)) as client:
            client.ask("large")
            assert client.block()[0] == 1
            daemon.manager.wait("READY=1")
            daemon.send(signal.SIGTERM)
            daemon.manager.wait("STOPPING=1")
            with pytest.raises(TimeoutError):
                get(port(sock), "file", timeout=0.2)
            assert daemon.process.poll() is None
            client.acknowledge(1)
            assert client.rest() == b"y" * (LARGE - 512)
            assert daemon.end() == 0

    @pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT]])
    def test_at_once(self, tmp_path: Path, root: Path, sock: socket.socket, signals: list[int]) -> None:
        with serve(tmp_path, root, sock) as daemon, Client(port(sock)) as client:
            client.ask("large")
            client.block()
            daemon.manager.wait("READY=1")
            for number in signals[:-1]:
                daemon.send(number)
                daemon.manager.wait("STOPPING=1")
            daemon.send(signals[-1])
            assert daemon.end(STOP_TIMEOUT / 2) == 0
            assert "the server was stopped" in daemon.log()


class TestIdle:
    """idle_timeout: the socket stays with systemd."""

    def test_it_ends(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """But not while a client is served."""
        with serve(tmp_path, root, sock, "--idle-timeout", "1") as daemon, Client(port(sock)) as client:
            client.ask("large")
            daemon.manager.wait("READY=1")
            for _ in range(2):
                number, _ = client.block()
                time.sleep(0.6)
                client.acknowledge(number)
            start = time.monotonic()
            assert client.rest()
            assert daemon.end() == 0
            assert time.monotonic() - start > 0.9
            assert daemon.log().splitlines()[-1] == "ptftpd: stopped"

    def test_several_workers(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """They stay: one that is idle says nothing about the others."""
        words = ("--idle-timeout", "1", "--workers", str(WORKERS))
        with serve(tmp_path, root, sock, *words, WATCHDOG_USEC="200000") as daemon:
            daemon.manager.wait("READY=1")
            workers = daemon.children()
            for _ in range(16):  # one in a tenth of a second
                daemon.manager.wait("WATCHDOG=1")
            assert daemon.children() == workers
            assert "died" not in daemon.log()


class TestWorkers:
    """Several processes on one socket."""

    def serve(
        self, tmp_path: Path, root: Path, sock: socket.socket, *argv: str, **environment: str
    ) -> Daemon:
        """Return a ptftpd with workers."""
        return serve(tmp_path, root, sock, "--workers", str(WORKERS), *argv, **environment)

    def test_one_is_killed(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """It is noticed, told and replaced; the others serve on."""
        with self.serve(tmp_path, root, sock) as daemon:
            daemon.manager.wait("READY=1")
            first, second = daemon.children()
            os.kill(first, signal.SIGKILL)
            daemon.wait_for("ptftpd: warning: worker 1 died (-9)")
            assert get(port(sock), "file") == b"x" * 1000
            wait_until(lambda: len(daemon.children()) == WORKERS, PATIENCE, "a new worker")
            assert second in daemon.children()
            daemon.send(signal.SIGTERM)
            assert daemon.end() == 0
            assert daemon.log().count(": serving ") == 2

    def test_one_of_them_gives_advice(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """What the settings lack is said once, at the start and when they are read again."""
        (tmp_path / "conf").write_text("[directory incoming]\nuploads = create\n")
        with self.serve(tmp_path, root, sock, "-p", "6969") as daemon:
            daemon.manager.wait("READY=1")
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("RELOADING=1")
            daemon.manager.wait("READY=1")
            log = daemon.log()
        assert log.count("systemd opened the socket") == 1
        assert log.count("there is no such directory") == 2

    def test_the_supervisor_is_killed(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        with self.serve(tmp_path, root, sock) as daemon:
            daemon.manager.wait("READY=1")
            workers = daemon.children()
            daemon.send(signal.SIGKILL)
            assert daemon.end() == -signal.SIGKILL
            for pid in workers:
                wait_until(gone(pid), PATIENCE, f"the end of worker {pid}")

    def test_reload(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """Every worker reads the new settings before systemd is told; good and bad are recorded once."""
        with self.serve(tmp_path, root, sock) as daemon:
            daemon.manager.wait("READY=1")
            (tmp_path / "conf").write_text("[remap a]\nmatch = ^other$\nreplace = file\n")
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("RELOADING=1")
            daemon.manager.wait("READY=1")
            stopped = []
            try:
                for pid in daemon.children():  # leave it to the last one
                    assert get(port(sock), "other") == b"x" * 1000
                    if len(stopped) < WORKERS - 1:
                        os.kill(pid, signal.SIGSTOP)
                        stopped.append(pid)
            finally:
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
            (tmp_path / "conf").write_text("[tftp]\nx = 1\n")
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("READY=1")
            daemon.wait_for("the configuration stays as it was")
            log = daemon.log()
        assert log.count("configuration read again") == 1
        assert log.count("stays as it was") == 1

    def test_one_that_hangs_stops_the_watchdog(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        with self.serve(tmp_path, root, sock, WATCHDOG_USEC="200000") as daemon:
            daemon.manager.wait("READY=1")
            daemon.manager.wait("WATCHDOG=1")
            os.kill(daemon.children()[1], signal.SIGSTOP)
            for _ in range(3):  # one may be on its way, and one was due from the other worker
                try:
                    daemon.manager.wait("WATCHDOG=1", within=0.6)
                except LabError:
                    return
            pytest.fail(f"the watchdog is told that all is well: {daemon.manager.seen}")

    def test_what_an_administrator_should_know(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """Each worker finds it out, and one says it, at the start and when it reads other settings."""
        (tmp_path / "conf").write_text("[tftp]\nport = 6969\n[directory absent]\nuploads = create\n")
        with self.serve(tmp_path, root, sock) as daemon:
            for times in (1, 2):
                daemon.manager.wait("READY=1")
                assert daemon.log().count("there is no such directory") == times
                daemon.send(signal.SIGHUP)
            assert daemon.log().count("systemd opened the socket") == 1

    def test_stop(self, tmp_path: Path, root: Path, sock: socket.socket) -> None:
        """Transfers of all workers are finished."""
        with self.serve(tmp_path, root, sock) as daemon, Client(port(sock)) as client:
            client.ask("large")
            client.block()
            daemon.manager.wait("READY=1")
            daemon.send(signal.SIGTERM)
            daemon.manager.wait("STOPPING=1")
            wait_until(lambda: len(daemon.children()) == 1, PATIENCE, "the end of the idle worker")
            client.acknowledge(1)
            assert client.rest() == b"y" * (LARGE - 512)
            assert daemon.end() == 0

    def test_what_none_can_do(self, tmp_path: Path, sock: socket.socket) -> None:
        """A failure that has a sentence is no crash: it would only come again."""
        with self.serve(tmp_path, tmp_path / "absent", sock) as daemon:
            assert daemon.end() in {1, 78}
            assert "No such file or directory" in daemon.log()
            assert "died" not in daemon.log()
