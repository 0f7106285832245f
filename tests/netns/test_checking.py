"""--check and --map-test, run by root: they decide as the servers will, which are not root."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd import account
from ptftpd.errors import ConfigError, Faults
from ptftpd.program import DIRECTORY
from ptftpd.programs import checking, pxed, tftpd
from ptftpd.settings import Pxe, Settings
from tests.lab import CHECKOUT

USER = "nobody"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that every user may enter, with 'root' in it, which holds 'boot/file'."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    (made / "root/boot").mkdir(parents=True)
    (made / "root/boot/file").write_bytes(b"x" * 1000)
    yield made
    shutil.rmtree(made)


def check(place: Path, *argv: str) -> int:
    """Return the exit code of pxed --check on a port that is free."""
    return pxed.main(["lo", str(place / "root"), "boot/file", "--check", "-u", USER, "-p", "6970", *argv])


@pytest.mark.parametrize(("path", "mode"), [
    ("root/boot/file", 0o600), ("root/boot/file", 0o640), ("root/boot", 0o700), ("root", 0o700), (".", 0o700),
])  # fmt: skip
def test_what_only_root_may_read(place: Path, capsys: Output, path: str, mode: int) -> None:
    """A file, its directory, a root, the one above it: each is as good as not there, and said to be."""
    assert check(place) == 0
    assert tftpd.main([str(place / "root"), "-u", USER, "--map-test", "boot/file"]) == 0
    assert "boot/file, 1 kB" in capsys.readouterr().out
    (place / path).chmod(mode)
    assert check(place) == 78
    tftpd.main([str(place / "root"), "-u", USER, "--map-test", "boot/file"])
    output = capsys.readouterr()
    assert "boot/file, 1 kB" not in output.out
    assert any(word in output.out + output.err for word in ("refused", "Permission denied"))


def test_root_is_root_again(place: Path) -> None:
    """Ids and groups, whatever ends the block: the port is tried next."""
    before = os.getresuid(), os.getresgid(), os.getgroups()
    entry, seen = pwd.getpwnam(USER), []
    with contextlib.suppress(ZeroDivisionError), account.acting_as(USER, default=False) as lacking:
        seen += [lacking, os.geteuid(), os.getegid(), set(os.getgroups())]
        raise ZeroDivisionError
    assert seen == ["", entry.pw_uid, entry.pw_gid, set(os.getgrouplist(USER, entry.pw_gid))]
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


def test_a_user_that_is_not_there(place: Path, capsys: Output) -> None:
    """The default one may be missing in a checkout, where the server becomes nobody; another is told."""
    with account.acting_as("nosuchuser", default=True) as lacking:
        assert (account.name(), lacking) == (account.FALLBACK_USER, "")
    with account.acting_as("nosuchuser", default=False) as lacking:
        assert account.name() == "root"
    assert check(place, "-u", "nosuchuser") == 0
    assert (
        "warning: checked as root, not as nosuchuser: there is no such user here" in capsys.readouterr().err
    )


def test_root_that_cannot_become_anybody(place: Path) -> None:
    """Without CAP_SETUID, as in some containers: it says that it was root who looked."""
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-setuid,-setgid", sys.executable, "-m", "ptftpd.programs.tftpd",
         "--check", "-u", USER, "-p", "6970", place / "root"],
        cwd=CHECKOUT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert "warning: checked as root, not as nobody: Operation not permitted" in done.stderr


@pytest.mark.parametrize("name", ["pxed.conf", "pxed.conf.d/local.conf", "ptftpd@lo.conf", "pxed.conf.d"])
def test_configuration_that_only_root_may_read(
    place: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Wherever it is: the service could not start."""
    monkeypatch.setattr(checking, "DIRECTORY", str(place))
    path = place / name
    if path.suffix == ".d":
        path.mkdir(mode=0o700)
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text("# nothing\n")
        path.chmod(0o600)
    assert check(place) == 78
    assert f"{path}: cannot be read by user nobody: Permission denied" in capsys.readouterr().err


HOME = {"ProtectHome": "yes", "PrivateTmp": "yes"}
UNIT = "ptftpd@eth0.service"


@pytest.mark.parametrize(("root", "shown", "said"), [
    ("/home/x", HOME, f"systemd hides /home from {UNIT}: name another, or see home.conf in "),
    ("/root/x", HOME, f"systemd hides /root from {UNIT}: name another, or see home.conf in "),
    ("/var/tmp/x", HOME, f"systemd hides /var/tmp from {UNIT}: name another; the service has one of its own"),
    ("/home/x", {"ProtectHome": "read-only"}, ""),
    ("/home/x", {}, ""),
    ("/homes/x", HOME, ""),
    ("/srv/tftp", HOME, ""),
])  # fmt: skip
def test_what_systemd_hides(
    monkeypatch: pytest.MonkeyPatch, root: str, shown: dict[str, str], said: str
) -> None:
    """Where the files of the service say so; what is on a command line is for no service."""
    monkeypatch.setattr("os.path.exists", lambda path: True)
    monkeypatch.setattr(
        "ptftpd.units.properties", lambda unit, *names: shown if unit == UNIT else pytest.fail(unit)
    )
    by_hand = Settings(pxe=Pxe(root=(root,)), sources={("pxe", "root"): "ROOT"})
    checking.check_hidden(by_hand, "eth0")
    settings = Settings(pxe=Pxe(root=(root,)), sources={("pxe", "root"): f"{DIRECTORY}/pxed.conf:2"})
    faults = Faults()
    with faults.noted():
        checking.check_hidden(settings, "eth0")
    if said:
        whole = f"{DIRECTORY}/pxed.conf:2: root directory {root}: {said}"
        with pytest.raises(ConfigError, match=re.escape(whole)):
            faults.check()
    else:
        faults.check()


def test_each_root_that_systemd_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once."""
    monkeypatch.setattr("os.path.exists", lambda path: True)
    monkeypatch.setattr("ptftpd.units.properties", lambda unit, *names: HOME)
    settings = Settings(
        pxe=Pxe(root=("/home/x", "/srv/tftp", "/root/y")),
        sources={("pxe", "root"): f"{DIRECTORY}/pxed.conf:2"},
    )
    with pytest.raises(ConfigError) as caught:
        checking.check_hidden(settings, "eth0")
    told = str(caught.value).splitlines()
    assert [re.findall("root directory (.*?):", line) for line in told] == [["/home/x"], ["/root/y"]]
