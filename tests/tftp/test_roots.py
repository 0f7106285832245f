"""A root is what its path leads to now, for files that are found as for those that are not."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ptftpd import account
from ptftpd.errors import FileError
from ptftpd.tftp.files import Tree
from ptftpd.tftp.roots import OpenRoot


@pytest.fixture
def told() -> list[str]:
    """Return what the administrator was told."""
    return []


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a directory with two releases, and a root that is a copy of the first."""
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "file").write_text(release)
        (tmp_path / release / release).write_text(release)
    shutil.copytree(tmp_path / "one", tmp_path / "root")
    return tmp_path


def content(tree: Tree, name: str = "file") -> str:
    """Return the text of a file, '' when there is none."""
    try:
        source = tree.open(name)
    except FileError as error:
        return "" if error.kind == FileError.NOT_FOUND else error.reason
    buffer = bytearray(source.size)
    source.read([memoryview(buffer)], 0)
    source.close()
    return buffer.decode()


def switch_link(site: Path) -> None:
    (site / "new").symlink_to("two")
    os.replace(site / "new", site / "link")


def rename(site: Path) -> None:
    (site / "root").rename(site / "old")
    (site / "two").rename(site / "root")


def make_anew(site: Path) -> None:
    shutil.rmtree(site / "root")
    shutil.copytree(site / "two", site / "root")


@pytest.mark.parametrize("change", [rename, make_anew], ids=lambda change: change.__name__)
def test_what_the_path_leads_to_now(site: Path, change: Callable[[Path], None], told: list[str]) -> None:
    """A tree renamed, or removed and made anew: the old one is not served to anybody any more."""
    with closing(Tree([str(site / "root")], tell=told.append)) as tree:
        assert (content(tree), content(tree, "one"), content(tree, "two")) == ("one", "one", "")
        change(site)
        assert (content(tree), content(tree, "one"), content(tree, "two")) == ("two", "", "two")
        assert told == []


def test_a_link_that_is_switched(site: Path) -> None:
    """Worst of all: machines would be installed with the old release, and nobody be told."""
    (site / "link").symlink_to("one")
    with closing(Tree([str(site / "link")])) as tree:
        assert content(tree) == "one"
        switch_link(site)
        assert (content(tree), content(tree, "one")) == ("two", "")
        directory = tree.directory("")
        os.close(directory.fd)
        assert directory.path.rstrip("/") == str(site / "two"), "uploads go there, too"


def test_a_root_that_is_gone(site: Path, told: list[str]) -> None:
    """Nothing is served from where it went, it is recorded once, and later roots are served on."""
    roots = [str(site / "root"), str(site / "two")]
    with closing(Tree(roots, tell=told.append)) as tree:
        (site / "root").rename(site / "away")
        for _ in range(3):
            assert (content(tree), content(tree, "one")) == ("two", "")
        assert told == [f"root directory {site}/root: No such file or directory: nothing below it is served"]
        with pytest.raises(FileError) as caught:
            tree.open("one")
        assert caught.value.explained == f"no such file: root directory {site}/root is gone"
        (site / "away").rename(site / "root")
        assert content(tree, "one") == "one"
        assert told[1:] == [f"root directory {site}/root is there again"]


def test_a_handle_that_went_stale(site: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    """NFS: the file server has forgotten the directory. What its path leads to then is asked each time."""
    with closing(Tree([str(site / "root")], tell=told.append)) as tree:
        real = os.stat

        def stale(path: str, **more: int) -> os.stat_result:
            if path == str(site / "root"):
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return real(path, **more)

        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", stale)
            with pytest.raises(FileError) as caught:
                tree.open("file")
        assert caught.value.kind == FileError.BUSY
        assert len(told) == 1
        assert content(tree) == "one"


class TestChrootLinks:
    """Links made for a server in a chroot, where '/x' is below the root: tftpd-hpa -s serves them."""

    @pytest.mark.parametrize(("target", "name"), [
        ("/two", "latest/file"), ("/two/file", "latest"), ("/two/../two/./file", "latest"),
        ("../../two/file", "latest"), ("/two/deep", "latest/file"), ("/../../two", "latest/file"),
    ])  # fmt: skip
    def test_served(self, site: Path, target: str, name: str) -> None:
        (site / "two/deep").symlink_to("/two")
        (site / "latest").symlink_to(target)
        with closing(Tree([str(site)])) as tree:
            assert content(tree, name) == "two"

    @pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "/proc/self/environ", "/latest", "/.."])
    def test_nothing_leaves_the_root(self, site: Path, target: str) -> None:
        (site / "outside").write_text("secret")
        (site / "root/latest").symlink_to(target)
        with closing(Tree([str(site / "root")])) as tree, pytest.raises(FileError) as caught:
            tree.open("latest")
        assert caught.value.kind in (FileError.DENIED, FileError.NOT_FOUND)

    def test_the_link_is_named(self, site: Path) -> None:
        """To the administrator; a client is not told what there is outside."""
        (site / "root/a").symlink_to("one")
        (site / "root/out").symlink_to("/etc")
        with closing(Tree([str(site / "root")])) as tree, pytest.raises(FileError) as caught:
            tree.open("out/passwd")
        assert caught.value.reason == "a symbolic link leads out of the root directory"
        assert caught.value.detail == f"{site}/root/out -> /etc"


@pytest.mark.parametrize("name", ["a.key", "a.key (deleted)", "dir/a.key"])
@pytest.mark.parametrize("links", [1, 2])
def test_what_is_unlinked_meanwhile_keeps_its_name(site: Path, name: str, links: int) -> None:
    """The kernel then puts ' (deleted)' behind it, and a rule for how names end would not match."""
    (site / "root/dir").mkdir()
    path = site / "root" / name
    path.touch()
    if links > 1:
        (site / "root/other").hardlink_to(path)
    here = OpenRoot(str(site / "root"))
    with path.open() as file:
        assert here.below(file.fileno()) == name
        path.unlink()
        assert here.below(file.fileno()) == name


@pytest.mark.parametrize("closed", ["dir", "dir/file"])
def test_what_is_in_the_way_is_named(site: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """'lacks permission' says which part of the path lacks it, with its mode and owner."""
    (site / "root/dir").mkdir()
    (site / "root/dir/file").touch()
    real_open, real_access, path = os.open, os.access, f"{site}/root/{closed}"

    def opens(name: str, *more: int, **kinds: int) -> int:
        if name == "dir/file":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real_open(name, *more, **kinds)

    def access(name: str, mode: int, **kinds: bool) -> bool:
        return name != path and real_access(name, mode, **kinds)

    (site / "root" / closed).chmod(0o640)
    with closing(Tree([str(site / "root")])) as tree:
        monkeypatch.setattr(os, "open", opens)
        monkeypatch.setattr(os, "access", access)
        with pytest.raises(FileError) as caught:
            tree.open("dir/file")
    owner = f"{account.name()}:{account.group(os.stat(path).st_gid)}"
    assert caught.value.detail == f"{path} has mode 0640 and belongs to {owner}"
    assert str(site) not in caught.value.reason
