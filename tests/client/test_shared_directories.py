"""Directories that other users write: the kernel's protections act, and no link leads the client astray."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.conftest import NOBODY, URL, Desk
from tests.netns.tftp_site import content

pytestmark = pytest.mark.usefixtures("served")

USER, OTHER = 65534, 4321  # who runs the client, and somebody else
MINE = b"what the user has in his own directory"


@contextlib.contextmanager
def sysctl(name: str, value: str) -> Iterator[None]:
    """Set a protection of the kernel meanwhile."""
    file = Path("/proc/sys/fs") / name
    before = file.read_text()
    file.write_text(value)
    try:
        yield
    finally:
        file.write_text(before)


@pytest.fixture(params=["1", "0"], ids=["protected", "unprotected"])
def protected(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Have the kernel refuse to follow links of others, as Debian has it, or not."""
    with sysctl("protected_symlinks", request.param):
        yield request.param == "1"


@pytest.fixture
def home(desk: Desk) -> Path:
    """Return the user's own directory; the one he works in is sticky, and everybody may write there."""
    home = desk.site.directory()
    (home / "kept").write_bytes(MINE)
    for path in (home, home / "kept"):
        os.chown(path, USER, USER)
    desk.directory.chmod(0o1777)
    return home


def link(path: Path, to: Path, owner: int) -> None:
    """Make a link that belongs to somebody."""
    path.symlink_to(to)
    os.lchown(path, owner, -1)


@pytest.mark.parametrize("force", [(), ("-f",)], ids=["", "force"])
@pytest.mark.parametrize("name", ["kept", "absent"])
def test_the_link_of_another_user(
    name: str, force: tuple[str, ...], protected: bool, desk: Desk, home: Path
) -> None:
    """Nothing is written through it unless it was asked for and the kernel allows it; nor is it replaced."""
    link(desk.directory / "f5", home / name, OTHER)
    done = desk.tftp(*force, "get", f"{URL}/f5", wrap=NOBODY)
    through = name == "kept" and bool(force) and not protected
    assert done.returncode == (0 if through else 1)
    assert b"Traceback" not in done.stderr
    assert sorted(os.listdir(home)) == ["kept"]
    assert (home / "kept").read_bytes() == (content(5) if through else MINE)
    assert os.listdir(desk.directory) == ["f5"]
    assert (desk.directory / "f5").is_symlink()
    if protected:
        sentence = "f5 is a link that may not be followed (Permission denied): name another file"
        assert done.stderr.decode() == f"tftp: {sentence}\n"


@pytest.mark.parametrize("path", ["d/f5", "d/"])
def test_a_linked_directory_of_another_user(path: str, desk: Desk, home: Path) -> None:
    """Nothing is put into it."""
    with sysctl("protected_symlinks", "1"):
        link(desk.directory / "d", home, OTHER)
        done = desk.tftp("get", f"{URL}/f5", "-o", path, wrap=NOBODY)
    assert done.returncode == 1
    assert os.listdir(home) == ["kept"]


def test_the_link_of_the_user(protected: bool, desk: Desk, home: Path) -> None:
    """His own link is followed, stays one, and the file that it leads to keeps its mode."""
    (home / "kept").chmod(0o640)
    link(desk.directory / "f5", home / "kept", USER)
    assert desk.tftp("get", f"{URL}/f5", wrap=NOBODY).returncode == 1
    assert (home / "kept").read_bytes() == MINE
    assert desk.tftp("-f", "get", f"{URL}/f5", wrap=NOBODY).returncode == 0
    assert (desk.directory / "f5").is_symlink()
    assert (home / "kept").read_bytes() == content(5)
    assert stat.S_IMODE((home / "kept").stat().st_mode) == 0o640


def test_the_fifo_of_another_user(desk: Desk, home: Path) -> None:
    """What is got does not go to whoever reads it."""
    os.mkfifo(desk.directory / "f5", 0o666)
    (desk.directory / "f5").chmod(0o666)
    os.chown(desk.directory / "f5", OTHER, -1)
    with sysctl("protected_fifos", "1"):
        done = desk.tftp("get", f"{URL}/f5", wrap=NOBODY, timeout=10)
    assert done.stderr == b"tftp: f5 cannot be written: Permission denied\n"


def test_root_replaces_the_file_of_another(desk: Desk) -> None:
    """Its mode is kept, but for the right of others to write."""
    (desk.directory / "f5").write_bytes(MINE)
    (desk.directory / "f5").chmod(0o666)
    os.chown(desk.directory / "f5", OTHER, -1)
    assert desk.tftp("-f", "get", f"{URL}/f5").returncode == 0
    status = (desk.directory / "f5").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o644)
