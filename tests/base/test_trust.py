"""Which files are read as configuration, and what is said when others can change them."""

from __future__ import annotations

import errno
import getpass
import os
import pwd
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptftpd import config, ini, trust
from ptftpd.errors import ConfigError
from ptftpd.programs import dhcpd, tftpd
from tests.base.running import Daemon
from tests.descriptors import open_descriptors


def fifo(path: Path) -> None:
    """Make a pipe that nobody writes to: to open it would wait for ever."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def device(path: Path) -> None:
    """Lead to a device that never ends."""
    path.symlink_to("/dev/zero")


def terminal(path: Path) -> None:
    """Lead to a device that waits for a person, and would become our terminal."""
    path.symlink_to("/dev/ptmx")


def directory(path: Path) -> None:
    """Make a directory."""
    path.mkdir()


def huge(path: Path) -> None:
    """Make a file without end, as far as anybody's memory goes."""
    path.touch()
    os.truncate(path, 1 << 40)


def binary(path: Path) -> None:
    """Make a file that is no text."""
    path.write_bytes(bytes(range(256)) * 100)


NO_CONFIGURATION = [
    (fifo, "is not a regular file"),
    (unix_socket, "cannot be read"),
    (device, "is not a regular file"),
    (terminal, "is not a regular file"),
    (directory, "is not a regular file"),
    (huge, "is larger than 16 MB"),
    (binary, "is not UTF-8 text"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("make", "told"), NO_CONFIGURATION, ids=[make.__name__ for make, _ in NO_CONFIGURATION]
)
@pytest.mark.parametrize("drop_in", [True, False])
def test_what_is_no_configuration(
    tmp_path: Path, make: Callable[[Path], None], told: str, *, drop_in: bool
) -> None:
    """A sentence with its name, at once."""
    path = tmp_path / "ptftpd.conf.d/x.conf" if drop_in else tmp_path / "x.conf"
    path.parent.mkdir(exist_ok=True)
    make(path)
    with pytest.raises(ConfigError, match=f"^{path}.*: {told}"):
        config.load(tftpd.PROGRAM, [] if drop_in else ["-c", str(path)], str(tmp_path))


def test_no_configuration_at_all() -> None:
    """/dev/null is a device, but one that says nothing, and at once."""
    loaded = config.load(tftpd.PROGRAM, ["-c", os.devnull, "/"])
    assert (loaded.settings.sources, loaded.doubts) == ({("pxe", "root"): "ROOT"}, ())


def test_as_large_as_may_be(tmp_path: Path) -> None:
    text = "[tftp]\nport = 6969\n"
    (tmp_path / "conf").write_text(text + "#" * (ini.MAX_FILE - len(text)))
    assert config.load(tftpd.PROGRAM, ["-c", str(tmp_path / "conf")]).settings.tftp.port == 6969


def test_a_reload_of_a_pipe(tmp_path: Path) -> None:
    """A running server refuses it, and serves on: it waited, and its watchdog ended it."""
    path = tmp_path / "conf"
    path.touch()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        words = ["-c", path, "-u", getpass.getuser(), tmp_path]
        with Daemon(tmp_path, "tftpd", *words, sockets=[("tftp", sock)]) as daemon:
            daemon.manager.wait("READY=1")
            path.unlink()
            fifo(path)
            daemon.send(signal.SIGHUP)
            daemon.manager.wait("READY=1", within=5)
            daemon.wait_for(f"stays as it was: {path}: is not a regular file")


def doubts(path: Path, *argv: str) -> list[str]:
    """Return what is said of a configuration file."""
    return [
        doubt.removeprefix(f"{path.parent}")
        for doubt in config.load(tftpd.PROGRAM, ["-c", str(path), *argv]).doubts
    ]


@pytest.mark.parametrize(
    ("mode", "above", "told"),
    [
        (0o644, 0o755, []),
        (0o600, 0o700, []),
        (0o664, 0o755, []),
        (0o646, 0o755, ["/conf: everybody on this machine can change it: use chmod o-w"]),
        (0o644, 0o777, [": everybody on this machine can put files there: use chmod o-w"]),
        (0o644, 0o1777, []),
        (0o666, 0o777, ["/conf: everybody on this machine can change it: use chmod o-w",
                        ": everybody on this machine can put files there: use chmod o-w"]),
    ],
)  # fmt: skip
def test_modes(tmp_path: Path, mode: int, above: int, told: list[str]) -> None:
    """Of the file, and of its directory, where it could be replaced."""
    path, root = tmp_path / "etc/conf", tmp_path / "root"
    path.parent.mkdir()
    root.mkdir()
    path.touch()
    path.chmod(mode)
    path.parent.chmod(above)
    assert doubts(path, str(root)) == told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owners(tmp_path: Path) -> None:
    """Root, who runs this, and the server's user may; another may not."""
    path, root = tmp_path / "conf", tmp_path / "root"
    root.mkdir()
    path.write_text("[daemon]\nuser = daemon\n")
    for user, told in (("root", 0), ("daemon", 0), ("bin", 1), ("nobody", 0)):
        os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        found = doubts(path, str(root))
        assert found == ["/conf: belongs to bin, who can change it: use chown root"] * told


def test_roots(tmp_path: Path) -> None:
    """Whoever puts a file there decides what is booted. Nothing is said of one that is not served."""
    (tmp_path / "conf").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root").chmod(0o1777)
    argv = ["-c", str(tmp_path / "conf")]
    told = (f"{tmp_path}/root: everybody on this machine can put files there: use chmod o-w",)
    assert config.load(tftpd.PROGRAM, [*argv, str(tmp_path / "root")]).doubts == told
    assert config.load(tftpd.PROGRAM, [*argv, str(tmp_path / "absent")]).doubts == ()
    assert config.load(dhcpd.PROGRAM, [*argv, "lo"]).doubts == ()


def test_it_is_told_by_a_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conf").touch()
    (tmp_path / "conf").chmod(0o666)
    argv = ["--check", "-c", str(tmp_path / "conf"), "-a", "127.0.0.1", str(tmp_path)]
    tftpd.main(argv)
    told = f"ptftpd: warning: {tmp_path}/conf: everybody on this machine can change it"
    assert told in capsys.readouterr().err


def test_no_such_user() -> None:
    assert trust._number("no such user") == 0


class Tree:
    """A directory of root's, and one of somebody else's; both are what a test makes of them."""

    def __init__(self, top: Path) -> None:
        self.top, self.user = top, pwd.getpwnam("daemon").pw_uid
        (top / "roots/below").mkdir(parents=True)
        (top / "theirs").mkdir()
        os.chown(top / "theirs", self.user, -1)
        (top / "theirs/of root").mkdir()
        (top / "open").mkdir()
        (top / "open").chmod(0o777)
        (top / "tmp").mkdir()
        (top / "tmp").chmod(0o1777)
        (top / "tmp/link").symlink_to(top / "roots")
        os.chown(top / "tmp/link", self.user, -1, follow_symlinks=False)
        (top / "link").symlink_to("roots/../roots/below")
        (top / "chain").symlink_to(top / "link")
        (top / "loop").symlink_to("loop")
        (top / "theirs/link").symlink_to(top / "roots")
        (top / "theirs/up").symlink_to("..")
        (top / "to theirs").symlink_to("theirs")
        (top / "file").touch()


@pytest.fixture
def tree() -> Iterator[Tree]:
    """Return one below directories of root's: pytest's own are so only where root runs it."""
    if os.geteuid():
        pytest.skip("only root can make directories of others")
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        yield Tree(Path(top))


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("roots/below", "roots/below"),
        ("roots//./below/", "roots/below"),
        ("roots/below/../below", "roots/below"),
        ("link", "roots/below"),
        ("chain", "roots/below"),
        ("roots/new/newer", "roots/new/newer"),
        ("theirs", "theirs"),  # it is in a directory of root's
        ("tmp/new", "tmp/new"),
        ("theirs/of root", None),
        ("theirs/new", None),
        ("theirs/link", None),
        ("theirs/link/below", None),
        ("theirs/up/roots", None),
        ("to theirs/of root", None),
        ("open/new", None),
        ("tmp/link", None),
        ("tmp/link/below", None),
    ],
)
def test_what_only_root_can_replace(tree: Tree, path: str, leads: str | None) -> None:
    """However it is written; the rule holds for each part of the path, and for each link on the way."""
    fd = trust.open_of_root(f"{tree.top}/{path}", make=True)
    assert (fd is None) == (leads is None)
    if fd is not None:
        assert os.readlink(f"/proc/self/fd/{fd}") == f"{tree.top}/{leads}"
        os.close(fd)
    else:
        assert sorted(each.name for each in (tree.top / "theirs").iterdir()) == ["link", "of root", "up"]


@pytest.mark.parametrize(
    ("path", "number"),
    [("file", errno.ENOTDIR), ("file/x", errno.ENOTDIR), ("loop", errno.ELOOP), ("x", errno.ENOENT)],
)
def test_no_directory(tree: Tree, path: str, number: int) -> None:
    before = len(open_descriptors())
    with pytest.raises(OSError) as raised:  # noqa: PT011 - the number is what matters
        trust.open_of_root(f"{tree.top}/{path}")
    assert raised.value.errno == number
    assert len(open_descriptors()) == before
