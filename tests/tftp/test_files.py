"""Files below the roots: an overlay, nothing outside of it, regular files only, whatever moves meanwhile."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import pwd
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ptftpd.errors import ConfigError, FileError
from ptftpd.tftp import wire
from ptftpd.tftp.codes import transfer_error
from ptftpd.tftp.files import IOV_MAX, Source, Tree, failure
from tests.descriptors import open_descriptors

MAX_PATH = 4096  # Linux, <linux/limits.h>
SECRET = b"nobody gets this"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with a file in a directory; beside it lies what must not be served."""
    made = tmp_path / "root"
    (made / "directory").mkdir(parents=True)
    (made / "directory/file").write_bytes(b"inside")
    for outside in ("root-private", "elsewhere"):
        (tmp_path / outside).mkdir()
        (tmp_path / outside / "file").write_bytes(SECRET)
    return made


@pytest.fixture
def tree(root: Path) -> Iterator[Tree]:
    """Return the tree of that root."""
    with closing(Tree([str(root)])) as made:
        yield made


def read(source: Source) -> bytes:
    """Return the whole file, and close it."""
    buffer = bytearray(source.size)
    assert source.read([memoryview(buffer)], 0) == source.size
    source.close()
    return bytes(buffer)


def descriptors() -> int:
    """Return how many descriptors this process has open that something needs."""
    gc.collect()  # a failed test keeps what it has seen
    return len(open_descriptors())


def refusal(tree: Tree, name: str, *, ignore_case: bool = False) -> str:
    """Return the kind of error with which a name is refused."""
    with pytest.raises(FileError) as caught:
        tree.open(name, ignore_case=ignore_case)
    assert caught.value.reason
    return caught.value.kind


class TestOverlay:
    """Several roots: the site's own files over those of Debian's packages."""

    @pytest.fixture
    def roots(self, tmp_path: Path) -> list[Path]:
        """Return three of them."""
        made = [tmp_path / name for name in ("site", "shim", "grub")]
        for each in made:
            each.mkdir()
        return made

    def test_the_first_wins(self, roots: list[Path]) -> None:
        for place in roots[1:]:
            (place / "both").write_text(place.name)
        (roots[2] / "only").write_text("grub")
        with closing(Tree([*map(str, roots)])) as tree:
            assert (read(tree.open("both")), read(tree.open("only"))) == (b"shim", b"grub")
            (roots[0] / "both").write_text("site")
            assert read(tree.open("both")) == b"site"

    def test_a_link_into_another_root(self, roots: list[Path]) -> None:
        """Each root is confined by itself: what leaves one is not served, what another has is."""
        (roots[1] / "file").write_text("shim")
        (roots[0] / "link").symlink_to(roots[1] / "file")
        with closing(Tree([*map(str, roots)])) as tree:
            assert refusal(tree, "link") == FileError.DENIED

    def test_what_the_later_root_has_is_served(self, roots: list[Path]) -> None:
        """A directory, or a file out of bounds, of that name in an earlier root does not hide it."""
        (roots[0] / "name").mkdir()
        (roots[1] / "name").write_text("file")
        with closing(Tree([*map(str, roots)])) as tree:
            assert read(tree.open("name")) == b"file"

    def test_the_reason_that_tells_most(self, roots: list[Path]) -> None:
        """'it is a directory' in one root counts more than 'no such file' in the others."""
        (roots[1] / "name").mkdir()
        with closing(Tree([*map(str, roots)])) as tree:
            assert refusal(tree, "name") == FileError.DENIED
            assert refusal(tree, "absent") == FileError.NOT_FOUND

    @pytest.mark.parametrize(("name", "told"), [
        ("absent", "No such file or directory: create it or name another"),
        ("file", "Not a directory: name a directory"),
    ])  # fmt: skip
    def test_a_root_that_is_none(self, tmp_path: Path, name: str, told: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError) as caught:
            Tree([str(tmp_path), str(tmp_path / name)], "a.conf:2")
        assert str(caught.value) == f"a.conf:2: root directory {tmp_path}/{name}: {told}"

    def test_a_root_below_what_is_hidden_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A container may be without /run/user."""
        monkeypatch.setattr("ptftpd.tftp.permissions.HIDDEN", (f"{tmp_path}/absent",))
        with pytest.raises(ConfigError, match=r"/absent/root: No such file or directory: create it or"):
            Tree([f"{tmp_path}/absent/root"])

    def test_a_root_of_somebody_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*args: object, **kwargs: object) -> int:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr("os.open", refused)
        with pytest.raises(ConfigError) as caught:
            Tree([str(tmp_path)])
        user = pwd.getpwuid(os.geteuid()).pw_name
        assert str(caught.value) == (
            f"root directory {tmp_path}: Permission denied: let user {user} enter it and those above"
        )


class TestConfinement:
    """No way out of the root."""

    @pytest.mark.parametrize(
        "target",
        ["../root-private/file", "../elsewhere/file", "{root}-private/file", "/etc/passwd", "/proc/self/exe",
         "/proc/self/environ", "directory/../../elsewhere/file"],
    )  # fmt: skip
    def test_links_out(self, root: Path, tree: Tree, target: str) -> None:
        (root / "link").symlink_to(target.format(root=root))
        assert refusal(tree, "link") == FileError.DENIED

    def test_a_directory_that_is_a_link_out(self, root: Path, tree: Tree) -> None:
        """The sibling whose name begins as the root's is as far outside as any other."""
        (root / "out").symlink_to("../root-private")
        assert refusal(tree, "out/file") == FileError.DENIED

    @pytest.mark.parametrize("target", ["directory/file", "{root}/directory/file", "../root/directory/file"])
    def test_links_within(self, root: Path, tree: Tree, target: str) -> None:
        """They are served, relative and absolute."""
        (root / "link").symlink_to(target.format(root=root))
        assert read(tree.open("link")) == b"inside"

    def test_a_root_that_is_a_link(self, root: Path, tmp_path: Path) -> None:
        """It may lead anywhere: an administrator named it."""
        (tmp_path / "named").symlink_to(root)
        with closing(Tree([str(tmp_path / "named")])) as tree:
            assert read(tree.open("directory/file")) == b"inside"

    def test_a_root_that_is_removed_and_made_anew(self, root: Path, tree: Tree) -> None:
        """What is there by its name now is served, as if it had been there all the time."""
        before = descriptors()
        shutil.rmtree(root)
        for _ in range(2):
            assert refusal(tree, "file") == FileError.NOT_FOUND
            with pytest.raises(FileError, match="no such file"):
                tree.directory("")
        root.mkdir()
        (root / "File").write_bytes(b"anew")
        (root / "out").symlink_to("../elsewhere")
        assert read(tree.open("File")) == read(tree.open("FILE", ignore_case=True)) == b"anew"
        assert refusal(tree, "out/file") == FileError.DENIED
        made = tree.directory("")
        os.close(made.fd)
        assert (made.path.rstrip("/"), made.below) == (str(root), "")
        assert descriptors() == before

    def test_the_root_of_the_file_system(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"somewhere")
        with closing(Tree(["/"])) as tree:
            assert read(tree.open(str(tmp_path / "file").removeprefix("/"))) == b"somewhere"

    def test_links_in_a_circle(self, root: Path, tree: Tree) -> None:
        (root / "a").symlink_to("b")
        (root / "b").symlink_to("a")
        assert refusal(tree, "a") == FileError.DENIED

    def test_a_race(self, root: Path, tree: Tree, tmp_path: Path) -> None:
        """What was checked is what is read, whoever moves files, links and directories meanwhile."""
        inside, outside = root / "directory", tmp_path / "elsewhere"
        (root / "real").mkdir()
        (root / "real/file").write_bytes(b"inside")
        stop = threading.Event()

        def swap() -> None:
            spare = root / "spare"
            while not stop.is_set():
                for target in (outside, root / "real"):
                    spare.symlink_to(target)
                    if inside.is_symlink():
                        os.replace(spare, inside)
                    else:
                        inside.rename(root / "away")
                        spare.rename(inside)
                inside.unlink()
                (root / "away").rename(inside)

        thread = threading.Thread(target=swap)
        thread.start()
        served = refused = 0
        kinds = set()
        try:
            for _ in range(20_000):
                if min(served, refused) >= 300:
                    break
                try:
                    assert read(tree.open("directory/file")) == b"inside"
                    served += 1
                except FileError as error:
                    kinds.add(error.kind)
                    refused += 1
        finally:
            stop.set()
            thread.join()
        assert min(served, refused) > 0, "both were tried"
        assert kinds <= {FileError.DENIED, FileError.NOT_FOUND}


class TestKinds:
    """RFC 1350 error 2: only regular files are read."""

    def test_a_directory(self, tree: Tree) -> None:
        assert refusal(tree, "directory") == FileError.DENIED
        assert refusal(tree, ".") == FileError.DENIED

    def test_a_fifo(self, root: Path, tree: Tree) -> None:
        """It is not even opened: nobody writes to it, and the server would wait for ever."""
        os.mkfifo(root / "fifo")
        assert refusal(tree, "fifo") == FileError.DENIED

    def test_a_socket(self, root: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(root)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind("socket")
            assert refusal(tree, "socket") == FileError.DENIED

    def test_a_device(self) -> None:
        with closing(Tree(["/dev"])) as tree:
            assert refusal(tree, "zero") == FileError.DENIED

    def test_below_a_file(self, tree: Tree) -> None:
        """As if there were no such file: there is none."""
        assert refusal(tree, "directory/file/x") == FileError.NOT_FOUND

    def test_a_path_that_is_too_long_to_be_told(self, tree: Tree, root: Path) -> None:
        """The kernel does not tell one of more than 4096 octets, nor so whether it is below the root."""
        before = descriptors()
        below = (MAX_PATH - len(str(root))) // 201
        with contextlib.ExitStack() as stack:
            at = os.open(root, os.O_RDONLY)
            stack.callback(os.close, at)
            for _ in range(below + 1):
                os.mkdir("d" * 200, dir_fd=at)
                at = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
                stack.callback(os.close, at)
            os.close(os.open("file", os.O_CREAT, dir_fd=at))
        half = "/".join(["d" * 200] * (below // 2))
        (root / "link").symlink_to(half)
        deep = f"link/{'/'.join(['d' * 200] * (below + 1 - below // 2))}"
        assert refusal(tree, f"{deep}/file") == FileError.NOT_FOUND
        with pytest.raises(FileError, match="too long"):
            tree.directory(deep)
        assert descriptors() == before

    def test_nothing_is_left_open(self, root: Path, tree: Tree) -> None:
        (root / "link").symlink_to("/etc/passwd")
        before = descriptors()
        for name in ("link", "directory", "absent", "directory/file/x"):
            refusal(tree, name)
            refusal(tree, name, ignore_case=True)
        assert descriptors() == before


class TestCase:
    """ignore_case."""

    @pytest.mark.parametrize("name", ["DIRECTORY/FILE", "Directory/file", "directory/file"])
    def test_found(self, tree: Tree, name: str) -> None:
        assert read(tree.open(name, ignore_case=True)) == b"inside"

    def test_two_directories_alike(self, root: Path, tree: Tree) -> None:
        """Windows loaders ask for \\Boot and \\boot alike: where one lacks the file, the other counts."""
        for name in ("Boot/BCD", "Boot/Fonts/WGL4_Boot.ttf", "boot/grub/grub.cfg", "BOOT/Grub/other"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        for asked, found in {
            "boot/bcd": "Boot/BCD", "BOOT/FONTS/wgl4_boot.ttf": "Boot/Fonts/WGL4_Boot.ttf",
            "Boot/Grub/grub.cfg": "boot/grub/grub.cfg", "boot/grub/OTHER": "BOOT/Grub/other",
        }.items():  # fmt: skip
            assert read(tree.open(asked, ignore_case=True)).decode() == found
        assert refusal(tree, "boot/nothing", ignore_case=True) == FileError.NOT_FOUND

    def test_the_exact_name_first(self, root: Path, tree: Tree) -> None:
        for name in ("NAME", "Name", "name"):
            (root / name).write_text(name)
        assert read(tree.open("Name", ignore_case=True)) == b"Name"
        assert read(tree.open("nAME", ignore_case=True)) == b"NAME", "else the first in the order of names"

    def test_not_asked_for(self, tree: Tree) -> None:
        assert refusal(tree, "DIRECTORY/FILE") == FileError.NOT_FOUND

    def test_a_directory_that_cannot_be_read(self, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk or a file server that fails costs the request, not the server."""

        def fails(_: int) -> list[str]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "scandir", fails)
        assert refusal(tree, "DIRECTORY/FILE", ignore_case=True) == FileError.UNDEFINED

    def test_it_leads_nowhere_else(self, root: Path, tree: Tree) -> None:
        (root / "Link").symlink_to("../elsewhere")
        assert refusal(tree, "link/file", ignore_case=True) == FileError.DENIED


class TestRead:
    def test_a_network_file_system(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """preadv(2) may return less than there is: it is asked again until the end of the file."""
        (tmp_path / "file").write_bytes(bytes(range(250)) * 4)
        real = os.preadv
        monkeypatch.setattr(os, "preadv", lambda fd, views, at: real(fd, [views[0][:7]], at))
        with closing(Tree([str(tmp_path)])) as tree:
            source = tree.open("file")
            buffer = bytearray(1000)
            views = [memoryview(buffer)[at : at + 30] for at in range(0, 1000, 30)]
            assert source.read(views, 0) == 1000
            assert buffer == bytes(range(250)) * 4
            source.close()

    def test_more_views_than_one_call_takes(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(bytes(range(256)) * 64)
        with closing(Tree([str(tmp_path)])) as tree:
            source = tree.open("file")
            buffer = bytearray(source.size)
            views = [memoryview(buffer)[at : at + 8] for at in range(0, source.size, 8)]
            assert len(views) > IOV_MAX
            assert source.read(views, 0) == source.size
            assert buffer == bytes(range(256)) * 64
            source.close()


@pytest.mark.parametrize(("number", "kind"), [
    (errno.ENOENT, FileError.NOT_FOUND), (errno.ENOTDIR, FileError.NOT_FOUND),
    (errno.ENAMETOOLONG, FileError.NOT_FOUND), (errno.EACCES, FileError.DENIED),
    (errno.EPERM, FileError.DENIED), (errno.ELOOP, FileError.DENIED), (errno.EROFS, FileError.DENIED),
    (errno.ENOSPC, FileError.FULL), (errno.EDQUOT, FileError.FULL), (errno.EFBIG, FileError.FULL),
    (errno.EEXIST, FileError.EXISTS), (errno.EMFILE, FileError.BUSY), (errno.ENFILE, FileError.BUSY),
    (errno.EIO, FileError.UNDEFINED), (99999, FileError.UNDEFINED),
], ids=str)  # fmt: skip
def test_errno(number: int, kind: str) -> None:
    """Each failure is of the kind that fits, and has a reason in words."""
    made = failure(OSError(number, os.strerror(number)))
    assert made.kind == kind
    assert made.reason


@pytest.mark.parametrize(("kind", "code"), [
    (FileError.NOT_FOUND, wire.NOT_FOUND), (FileError.DENIED, wire.ACCESS), (FileError.EXISTS, wire.EXISTS),
    (FileError.FULL, wire.DISK_FULL), (FileError.BUSY, wire.UNDEFINED), (FileError.UNDEFINED, wire.UNDEFINED),
])  # fmt: skip
def test_codes(kind: str, code: int) -> None:
    """RFC 1350, appendix: each kind of failure has the code that fits; the reason stays."""
    made = transfer_error(FileError(kind, "because"))
    assert (made.code, made.reason) == (code, "because")
