"""A daemon as root starts it: privileges, state directories, detaching, the sockets of one interface."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.base.running import PATIENCE, Daemon, Manager, gone
from tests.base.tftp_peer import get
from tests.lab import Argument, Lab, Namespace, program, wait_until

SERVER, CLIENT, OTHER = "10.0.0.1", "10.0.0.9", "10.0.1.1"
USER = "nobody"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Namespace, Namespace]]:
    """Return a machine with two interfaces, and the client beyond the first."""
    with Lab(tmp_path_factory.mktemp("service")) as lab:
        server, client, other = (lab.namespace(name) for name in ("server", "client", "other"))
        lab.cable(server, client)
        lab.cable(server, other, one_device="eth1")
        server.address(f"{SERVER}/24")
        server.address(f"{OTHER}/24", "eth1")
        client.address(f"{CLIENT}/24")
        yield server, client


@pytest.fixture
def server(machines: tuple[Namespace, Namespace]) -> Namespace:
    """Return the machine with two interfaces."""
    return machines[0]


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that every user may enter, with 'root' in it, which holds 'file'."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    (made / "root").mkdir()
    (made / "root/file").write_bytes(b"x" * 1000)
    (made / "conf").touch()
    yield made
    shutil.rmtree(made)


def start(server: Namespace, place: Path, *argv: Argument) -> Daemon:
    """Return a program that root started there."""
    return Daemon(place, *map(str, argv), command=server.command())


def fetch(server: Namespace, name: str = "file") -> bytes:
    """Return a file from the server, asked from its own machine."""
    with server.entered():
        return get(69, name)


def status(pid: int) -> dict[str, list[str]]:
    """Return /proc/PID/status."""
    lines = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: value.split() for name, value in lines}


def run(server: Namespace, place: Path, *argv: Argument) -> subprocess.CompletedProcess[str]:
    """Return a program that has ended, run in place."""
    return subprocess.run(
        server.command(*program(str(argv[0])), *map(str, argv[1:])),
        cwd=place,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


class TestPrivileges:
    """Bind as root, then give it up for good."""

    def assert_dropped(self, pid: int) -> None:
        """Fail unless a process is USER's and nothing more."""
        account, facts = pwd.getpwnam(USER), status(pid)
        assert facts["Uid"] == [str(account.pw_uid)] * 4
        assert facts["Gid"] == [str(account.pw_gid)] * 4
        assert set(facts["Groups"]) == {str(group) for group in os.getgrouplist(USER, account.pw_gid)}
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(facts[kind][0], 16) == 0

    def test_dropped(self, server: Namespace, place: Path) -> None:
        """And with them every way back: all ids are the user's and no capability is left."""
        with start(server, place, "tftpd", "-u", USER, place / "root") as daemon:
            daemon.manager.wait("READY=1")
            self.assert_dropped(daemon.process.pid)
            assert fetch(server) == b"x" * 1000

    def test_workers(self, server: Namespace, place: Path) -> None:
        with start(server, place, "tftpd", "-u", USER, "--workers", 2, place / "root") as daemon:
            daemon.manager.wait("READY=1")
            children = daemon.children()
            assert len(children) == 2
            for pid in (daemon.process.pid, *children):
                self.assert_dropped(pid)

    def test_a_file_of_roots_is_not_served(self, server: Namespace, place: Path) -> None:
        (place / "root/file").chmod(0o600)
        with start(server, place, "tftpd", "-u", USER, place / "root") as daemon:
            daemon.manager.wait("READY=1")
            with pytest.raises(AssertionError, match="not DATA"):
                fetch(server)

    def test_no_such_user(self, server: Namespace, place: Path) -> None:
        with start(server, place, "tftpd", "-u", "nosuchuser", place / "root") as daemon:
            assert daemon.end() == 1
            assert daemon.log() == (
                "ptftpd: error: there is no user nosuchuser here: create it, or name another with --user\n"
            )

    def test_not_allowed_to(self, server: Namespace, place: Path) -> None:
        """Root without CAP_SETUID, as in some containers: it does not go on as root."""
        command = server.command("setpriv", "--bounding-set", "-setuid,-setgid", "--")
        with Daemon(place, "tftpd", "-u", USER, place / "root", command=command) as daemon:
            assert daemon.end() == 1
            assert (
                "ptftpd: error: cannot become user nobody: Operation not permitted; --user root"
                in daemon.log()
            )
            assert "Traceback" not in daemon.log()

    def test_workers_take_a_reload_together_or_not_at_all(
        self, machines: tuple[Namespace, Namespace], place: Path
    ) -> None:
        """DHCP, which one process serves, cannot use the new settings: TFTP keeps the old ones in each."""
        server, client = machines
        good = "[daemon]\nuser = root\n[tftp]\nworkers = 3\n"
        (place / "conf").write_text(good)
        words = ("-c", place / "conf", "--state-dir", place / "state", "eth0", place / "root")
        with start(server, place, "pxed", *words) as daemon:
            daemon.manager.wait("READY=1")
            renamed = "[remap a]\nmatch = ^other$\nreplace = file\n"
            (place / "conf").write_text(good + renamed + "[dhcp]\nrange = 192.0.2.1-192.0.2.9\n")
            daemon.send(signal.SIGHUP)
            daemon.wait_for("stays as it was")
            daemon.manager.wait("READY=1")
            for _ in range(12):  # whichever worker takes it
                with client.entered(), pytest.raises(AssertionError, match="not DATA"):
                    get(69, "other", SERVER)
            (place / "conf").write_text(good + renamed)
            daemon.send(signal.SIGHUP)
            daemon.wait_for("configuration read again")
            daemon.manager.wait("READY=1")
            with client.entered():
                assert {get(69, "other", SERVER) for _ in range(12)} == {b"x" * 1000}
            assert daemon.log().count("stays as it was") == daemon.log().count("read again") == 1

    def test_the_state_directory(self, server: Namespace, place: Path) -> None:
        """Made with its parents, given to the user, closed to others."""
        state = place / "var/lib/leases"
        with start(server, place, "dhcpd", "eth0", "--state-dir", state, "-u", USER) as daemon:
            daemon.manager.wait("READY=1")
            self.assert_dropped(daemon.process.pid)
        facts = state.stat()
        assert facts.st_uid == pwd.getpwnam(USER).pw_uid
        assert stat.S_IMODE(facts.st_mode) == 0o750
        assert {path.stat().st_uid for path in state.iterdir()} == {facts.st_uid}
        assert (state / "leases-eth0.sqlite").exists()

    def test_a_state_directory_that_its_user_replaced(self, server: Namespace, place: Path) -> None:
        """By a link to a directory of root's, which became the user's: whoever broke in became root."""
        account, theirs, roots = pwd.getpwnam(USER), place / "theirs", place / "roots"
        roots.mkdir(mode=0o755)
        theirs.mkdir()
        (theirs / "state").symlink_to(roots)
        os.chown(theirs, account.pw_uid, account.pw_gid)
        words = ("eth0", "--state-dir", theirs / "state", "-u", USER)
        with start(server, place, "dhcpd", *words) as daemon:
            assert daemon.end() == 1
            told = f"state directory {theirs}/state: user {USER} cannot write to it: use chown"
            assert told in daemon.log()
        assert roots.stat().st_uid == 0
        (theirs / "state").unlink()
        (place / "notify").unlink()
        with start(server, place, "dhcpd", *words) as daemon:  # it is the user who makes it then
            daemon.manager.wait("READY=1")
        assert (theirs / "state").stat().st_uid == account.pw_uid

    def test_a_pid_file_where_others_can_lead(self, server: Namespace, place: Path) -> None:
        """Root would write it, and remove one of that name, wherever the link leads."""
        theirs, roots = place / "theirs", place / "roots"
        theirs.mkdir()
        roots.mkdir()
        (theirs / "run").symlink_to(roots)
        os.chown(theirs, pwd.getpwnam(USER).pw_uid, -1)
        words = ("--daemon", "--pidfile", theirs / "run/pid", "-u", USER, place / "root")
        with start(server, place, "tftpd", *words) as daemon:
            assert daemon.end() == 1
            told = "run/pid: others than root can lead its directory elsewhere: use one below /run"
            assert told in daemon.log()
        assert list(roots.iterdir()) == []

    def test_a_state_directory_that_cannot_be(self, server: Namespace, place: Path) -> None:
        with start(server, place, "dhcpd", "eth0", "--state-dir", place / "conf/x", "-u", USER) as daemon:
            assert daemon.end() == 1
            assert daemon.log() == f"pdhcpd: error: state directory {place}/conf/x: Not a directory\n"

    def test_a_port_that_is_taken(self, server: Namespace, place: Path) -> None:
        with server.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("", 67))
            with start(server, place, "dhcpd", "eth0", "-u", USER) as daemon:
                assert daemon.end() == 1
                assert "UDP port 67 on eth0 is taken by another program: stop that one" in daemon.log()


class TestConfinement:
    """Sockets that systemd did not bind to the interface."""

    @pytest.mark.parametrize(("module", "name", "port", "argv"), [
        ("dhcpd", "dhcp", 67, ["eth0"]), ("tftpd", "tftp", 69, ["-i", "eth0"]),
    ])  # fmt: skip
    def test_each_is_bound(
        self, server: Namespace, place: Path, module: str, name: str, port: int, argv: list[str]
    ) -> None:
        with server.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handed:
            handed.bind(("", port))
            (place / "state").mkdir()
            arguments = [*argv, "-u", USER, "-c", place / "conf"]
            arguments += [place / "root"] if module == "tftpd" else ["--state-dir", place / "state"]
            with Daemon(
                place, module, *arguments, sockets=[(name, handed)], command=server.command()
            ) as daemon:
                daemon.manager.wait("READY=1")
                bound = handed.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
                assert bound.rstrip(b"\0") == b"eth0"


class TestInterface:
    """The one interface that is served changes under the server."""

    @pytest.mark.parametrize("argv", [
        ("dhcpd", "br0", "--state-dir", "state"),
        ("tftpd", "-i", "br0"),
        ("tftpd", "-i", "br0", "--workers", 2),
    ])  # fmt: skip
    def test_replaced(self, server: Namespace, place: Path, argv: tuple[Argument, ...]) -> None:
        """By another one of its name, which unprivileged nobody can bind to: it ends, to be started anew."""
        words = [place / word if word == "state" else word for word in argv]
        make_bridge(server)
        try:
            with start(server, place, *words, "-u", USER, "-c", place / "conf") as daemon:
                daemon.manager.wait("READY=1")
                server.run("ip", "link", "delete", "br0")
                make_bridge(server)
                assert daemon.end() == 75
                assert "error: interface br0 was replaced by a new one of that name\n" in daemon.log()
        finally:
            server.run("ip", "link", "delete", "br0")


def make_bridge(server: Namespace) -> None:
    """Make br0, with an address."""
    server.bridge()
    server.address("10.0.2.1/24", "br0")


class TestDaemon:
    """--daemon and --pidfile, outside systemd."""

    @pytest.fixture
    def directory(self, place: Path) -> Path:
        """Return a directory of the user's, for the pid file."""
        made = place / "run"
        made.mkdir()
        shutil.chown(made, USER)
        return made

    def launch(self, server: Namespace, place: Path, directory: Path, *argv: Argument) -> Manager:
        """Start a ptftpd that detaches, from place, and return who it reports to, once it is ready."""
        (place / "notify").unlink(missing_ok=True)
        manager = Manager(place)
        words = ["tftpd", "-c", "conf", "-u", USER, "--daemon", "--pidfile", directory / "pid", *argv, "root"]
        started = subprocess.run(
            server.command(*program(str(words[0])), *map(str, words[1:])),
            cwd=place,
            env=os.environ | {"PYTHONPATH": os.getcwd(), "NOTIFY_SOCKET": str(manager.path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
        manager.wait("READY=1")
        return manager

    def stop(self, directory: Path, manager: Manager) -> None:
        """End it."""
        manager.close()
        pid = int((directory / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(gone(pid), PATIENCE, f"the end of {pid}")

    def test_detached(self, server: Namespace, place: Path, directory: Path) -> None:
        """No terminal, no parent, a session of its own; the pid file says which process, and goes with it."""
        manager = self.launch(server, place, directory)
        pid = int((directory / "pid").read_text())
        facts = status(pid)
        assert facts["Uid"][0] == str(pwd.getpwnam(USER).pw_uid)
        assert os.getsid(pid) != os.getsid(0)
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] == "0"  # tty_nr
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
        assert fetch(server) == b"x" * 1000
        self.stop(directory, manager)
        assert not (directory / "pid").exists()

    def test_a_second_one(self, server: Namespace, place: Path, directory: Path) -> None:
        manager = self.launch(server, place, directory)
        pid = int((directory / "pid").read_text())
        arguments = ["-p", 6969, "-u", USER, "--daemon", "--pidfile", directory / "pid", place / "root"]
        second = run(server, place, "tftpd", *arguments)
        assert second.returncode == 1
        assert second.stderr == f"ptftpd: error: {directory}/pid: already running as process {pid}\n"
        assert fetch(server) == b"x" * 1000
        self.stop(directory, manager)

    @pytest.mark.parametrize("stale", ["999999999\n", "nonsense", ""])
    def test_a_stale_pid_file(self, server: Namespace, place: Path, directory: Path, stale: str) -> None:
        (directory / "pid").write_text(stale)
        manager = self.launch(server, place, directory)
        assert Path(f"/proc/{int((directory / 'pid').read_text())}").exists()
        self.stop(directory, manager)

    def test_a_pid_file_of_roots(self, server: Namespace, place: Path) -> None:
        """As in /run: it cannot be removed without privileges, and the next start replaces it."""
        for _ in range(2):
            self.stop(place, self.launch(server, place, place))
            assert (place / "pid").exists()

    @pytest.mark.parametrize("name", ["absent/pid", "conf/pid"])
    def test_no_place_for_the_pid_file(self, server: Namespace, place: Path, name: str) -> None:
        """Said before it detaches, when somebody still listens."""
        done = run(server, place, "tftpd", "-u", USER, "--daemon", "--pidfile", place / name, place / "root")
        assert done.returncode == 1
        assert done.stderr == (
            f"ptftpd: error: pid file {place}/{name}: its directory is missing or not writable\n"
        )

    def test_reload(self, server: Namespace, place: Path, directory: Path) -> None:
        """The names on its command line are relative to where it was started, for ever."""
        manager = self.launch(server, place, directory)
        (place / "conf").write_text("[remap a]\nmatch = ^alias$\nreplace = file\n")
        os.kill(int((directory / "pid").read_text()), signal.SIGHUP)
        manager.wait("READY=1")
        assert fetch(server, "alias") == b"x" * 1000
        self.stop(directory, manager)

    def test_workers(self, server: Namespace, place: Path, directory: Path) -> None:
        manager = self.launch(server, place, directory, "--workers", 2)
        pid = int((directory / "pid").read_text())
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == 2
        assert fetch(server) == b"x" * 1000
        self.stop(directory, manager)
        for child in children:
            wait_until(gone(int(child)), PATIENCE, f"the end of {child}")

    def test_what_is_wrong_is_said_before_it_detaches(self, server: Namespace, place: Path) -> None:
        (place / "conf").write_text("[tftp]\nport = 0\n")
        done = run(server, place, "tftpd", "-c", "conf", "--daemon")
        assert done.returncode == 78
        assert done.stderr == "ptftpd: error: conf:2: [tftp] port = 0: must be 1..65535\n"
