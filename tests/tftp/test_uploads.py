"""Uploads: who may write what, visible only when whole, bounded, and nothing left of one that failed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptftpd.errors import FileError
from ptftpd.tftp import uploads
from ptftpd.tftp.uploads import CHUNK, LOOK, Policy, Upload
from tests.descriptors import open_descriptors


@pytest.fixture(params=["O_TMPFILE", "a name aside", "without links", "without a word for links"])
def directory(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory, on a file system with O_TMPFILE, one without (NFS), ones without links too.

    FAT has none, and many a FUSE does not know what they are.
    """
    if request.param != "O_TMPFILE":
        real = os.open

        def without(path: str, flags: int, *more: int, **kinds: int) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "not supported")
            return real(path, flags, *more, **kinds)

        monkeypatch.setattr(uploads.os, "open", without)
    number = {"without links": errno.EPERM, "without a word for links": errno.ENOSYS}.get(request.param)
    if number:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(uploads.os, "link", refuse)
    return tmp_path


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """No descriptor is left open by any test."""
    before = len(open_descriptors())
    yield
    assert len(open_descriptors()) == before


def upload(
    directory: Path, name: str = "new", allowed: str = "create", announced: int | None = None, **policy: int
) -> Upload:
    """Return an upload that was admitted."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    bounds = {"limit": 1 << 30, "reserve": 0, "umask": 0o022} | policy
    return Upload(fd, str(directory), name, Policy(allowed, **bounds), announced)


def refused(directory: Path, name: str = "new", allowed: str = "create", **more: int) -> tuple[str, str]:
    """Return kind and reason of an upload that was not."""
    with pytest.raises(FileError) as caught:
        upload(directory, name, allowed, **more)
    return caught.value.kind, caught.value.reason


def put(directory: Path, octets: bytes, name: str = "new", allowed: str = "create", **policy: int) -> None:
    """Upload a file."""
    made = upload(directory, name, allowed, **policy)
    made.write(memoryview(octets))
    made.finish()
    made.close()


def names(directory: Path) -> set[str]:
    """Return what an administrator sees in a directory."""
    return {path.name for path in directory.iterdir() if not path.name.startswith(".")}


class TestPolicy:
    def test_none(self, directory: Path) -> None:
        assert refused(directory, allowed="none") == (FileError.DENIED, "uploads are off here")

    def test_create(self, directory: Path) -> None:
        put(directory, b"first")
        assert refused(directory) == (FileError.EXISTS, "the file exists already")
        assert (directory / "new").read_bytes() == b"first"

    def test_overwrite(self, directory: Path) -> None:
        for octets in (b"first", b"second"):
            put(directory, octets, allowed="overwrite")
        assert (directory / "new").read_bytes() == b"second"
        assert names(directory) == {"new"}

    def test_version(self, directory: Path) -> None:
        """Each file that was there is kept under the next free number."""
        for octets in (b"first", b"second", b"third"):
            put(directory, octets, allowed="version")
        contents = {path.name: path.read_bytes() for path in directory.iterdir()}
        assert contents == {"new": b"third", "new.~1~": b"first", "new.~2~": b"second"}

    @pytest.mark.parametrize("sticky", [False, True])
    def test_version_of_somebody_elses_file(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, sticky: bool
    ) -> None:
        """Linux lets only its owner link it (fs.protected_hardlinks): it is kept all the same.

        In a sticky directory, where it cannot be renamed either, it stays as it is, and nothing beside it.
        """
        (directory / "new").write_bytes(b"of root")
        (directory / "new.~1~").touch()
        owned = (directory / "new").stat().st_ino

        def protect(call: str) -> None:
            real = getattr(os, call)

            def protected(source: str, target: str, **kinds: Any) -> None:
                if os.stat(source, dir_fd=kinds.get("src_dir_fd")).st_ino == owned:
                    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
                real(source, target, **kinds)

            monkeypatch.setattr(uploads.os, call, protected)

        protect("link")
        if sticky:
            protect("rename")
            made = upload(directory, allowed="version")
            with pytest.raises(FileError, match="permission"):
                made.finish()
            made.close()
        else:
            put(directory, b"x", allowed="version")
        kept = {"new": b"of root"} if sticky else {"new": b"x", "new.~2~": b"of root"}
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == kept | {"new.~1~": b""}

    @pytest.mark.parametrize("allowed", ["create", "overwrite", "version"])
    def test_only_regular_files(self, directory: Path, allowed: str) -> None:
        """Neither is a directory replaced, nor written where a symbolic link leads to."""
        (directory / "directory").mkdir()
        (directory / "link").symlink_to("elsewhere")
        os.mkfifo(directory / "fifo")
        for name in ("directory", "link", "fifo"):
            assert refused(directory, name, allowed)[0] == FileError.DENIED
        assert names(directory) == {"directory", "link", "fifo"}


class TestWhole:
    def test_seen_when_it_is_whole(self, directory: Path) -> None:
        made = upload(directory)
        made.write(memoryview(b"x" * 3 * CHUNK))
        assert names(directory) == set()
        made.finish()
        assert (directory / "new").read_bytes() == b"x" * 3 * CHUNK
        made.close()

    def test_nothing_is_left(self, directory: Path) -> None:
        made = upload(directory)
        made.write(memoryview(b"x" * 3 * CHUNK))
        made.close()
        assert list(directory.iterdir()) == []

    @pytest.mark.parametrize("allowed", ["overwrite", "version"])
    def test_the_old_one_stays_until_then(self, directory: Path, allowed: str) -> None:
        (directory / "new").write_bytes(b"old")
        made = upload(directory, allowed=allowed)
        made.write(memoryview(b"x" * CHUNK))
        assert (directory / "new").read_bytes() == b"old"
        made.close()
        assert [path.read_bytes() for path in directory.iterdir()] == [b"old"]

    @pytest.mark.parametrize(("allowed", "left"), [
        ("create", {"new": b"2"}), ("overwrite", {"new": b"1"}), ("version", {"new": b"1", "new.~1~": b"2"}),
    ])  # fmt: skip
    def test_two_at_once(self, directory: Path, allowed: str, left: dict[str, bytes]) -> None:
        """Whole files only, whoever is first; with create the second is told that the file exists."""
        one, two = (upload(directory, allowed=allowed) for _ in range(2))
        for _ in range(2):
            one.write(memoryview(b"1" * CHUNK))
            two.write(memoryview(b"2" * CHUNK))
        two.finish()
        if allowed == "create":
            with pytest.raises(FileError) as caught:
                one.finish()
            assert caught.value.kind == FileError.EXISTS
        else:
            one.finish()
        for each in (one, two):
            each.close()
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == {
            name: octet * 2 * CHUNK for name, octet in left.items()
        }

    def test_a_link_put_there_meanwhile(self, directory: Path, tmp_path: Path) -> None:
        """It is replaced or in the way, never followed."""
        for allowed in ("overwrite", "create"):
            made = upload(directory, allowed, allowed)
            made.write(memoryview(b"x"))
            (directory / allowed).symlink_to("target")
            if allowed == "create":
                with pytest.raises(FileError):
                    made.finish()
            else:
                made.finish()
                assert not (directory / allowed).is_symlink()
            made.close()
        assert not (directory / "target").exists()

    @pytest.mark.parametrize("allowed", ["create", "overwrite", "version"])
    def test_a_directory_put_there_meanwhile(self, directory: Path, allowed: str) -> None:
        """It stays, and nothing is left beside it."""
        made = upload(directory, allowed=allowed)
        made.write(memoryview(b"x"))
        (directory / "new").mkdir()
        with pytest.raises(FileError):
            made.finish()
        made.close()
        assert [path.name for path in directory.iterdir()] == ["new"]

    @pytest.mark.parametrize("allowed", ["create", "overwrite", "version"])
    def test_the_next_one_under_the_same_number(self, directory: Path, allowed: str) -> None:
        """An upload that is published takes away nothing any more, as other workers number there too."""
        first = upload(directory, "first", allowed)
        first.finish()
        second = upload(directory, "second", allowed)
        first.close()
        second.finish()
        second.close()
        assert sorted(path.name for path in directory.iterdir()) == ["first", "second"]

    def test_numbers_that_are_taken(self, directory: Path) -> None:
        """Taking a number and finding it free are one step, as workers number side by side."""
        (directory / "new").write_bytes(b"old")
        made = upload(directory, allowed="version")
        made.write(memoryview(b"x"))
        (directory / "new.~1~").write_bytes(b"older")
        (directory / ".tftp.1.part").touch()
        made.finish()
        made.close()
        assert (directory / "new.~1~").read_bytes() == b"older"
        assert (directory / "new.~2~").read_bytes() == b"old"
        assert (directory / "new").read_bytes() == b"x"

    @pytest.mark.parametrize("allowed", ["create", "overwrite", "version"])
    def test_the_longest_name(self, directory: Path, allowed: str) -> None:
        """NAME_MAX: what a file is called meanwhile is no longer than that."""
        put(directory, b"x", "n" * 255, allowed)
        assert [path.name for path in directory.iterdir()] == ["n" * 255]

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
    def test_the_umask(self, directory: Path, umask: int, mode: int) -> None:
        """Of the setting, whatever that of the process is."""
        before = os.umask(0o777)
        try:
            put(directory, b"x", umask=umask)
        finally:
            os.umask(before)
        assert stat.S_IMODE((directory / "new").stat().st_mode) == mode


class TestReplacing:
    """What replaces a file has its mode and group, by which others share it."""

    @pytest.mark.parametrize("allowed", ["overwrite", "version"])
    @pytest.mark.parametrize("mode", [0o666, 0o640, 0o600, 0o664])
    def test_mode(self, directory: Path, allowed: str, mode: int) -> None:
        (directory / "new").touch()
        (directory / "new").chmod(mode)
        put(directory, b"x", allowed=allowed, umask=0o077)
        assert (directory / "new").read_bytes() == b"x"
        assert stat.S_IMODE((directory / "new").stat().st_mode) == mode

    def test_group(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is asked for; the owner stays the server's user."""
        asked: list[tuple[int, int]] = []
        monkeypatch.setattr(uploads.os, "fchown", lambda fd, uid, gid: asked.append((uid, gid)))
        (directory / "new").touch()
        put(directory, b"x", allowed="overwrite")
        assert asked == [(-1, (directory / "new").stat().st_gid)]

    def test_a_group_that_may_not_be_given(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in a sandbox that has no fchown: what was for that group is not for another one, 666 stays."""

        def refuses(fd: int, uid: int, gid: int) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        real = os.stat

        def other_group(path: object, **more: Any) -> os.stat_result:
            status = real(path, **more)  # type: ignore[call-overload]
            return os.stat_result((*status[:5], status.st_gid + 1, *status[6:])) if path == "new" else status

        monkeypatch.setattr(uploads.os, "fchown", refuses)
        monkeypatch.setattr(uploads.os, "stat", other_group)
        for before, after in ((0o666, 0o666), (0o660, 0o600), (0o664, 0o644)):
            (directory / "new").touch()
            (directory / "new").chmod(before)
            put(directory, b"x", allowed="overwrite")
            assert stat.S_IMODE((directory / "new").stat().st_mode) == after


class TestVersions:
    def test_a_number_is_found_without_counting(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By doubling and halving: 3,000 versions take some 30 looks, not 3,000."""
        for number in range(1, 3001):
            (directory / f"new.~{number}~").touch()
        (directory / "new").write_bytes(b"last")
        calls = 0
        real_stat, real_link = os.stat, os.link

        def counted(real: Any) -> Any:
            def call(*args: Any, **kinds: Any) -> Any:
                nonlocal calls
                calls += 1
                return real(*args, **kinds)

            return call

        monkeypatch.setattr(uploads.os, "stat", counted(real_stat))
        monkeypatch.setattr(uploads.os, "link", counted(real_link))
        put(directory, b"x", allowed="version")
        monkeypatch.undo()
        assert (directory / "new.~3001~").read_bytes() == b"last"
        assert calls < 50

    def test_as_many_as_are_kept(self, directory: Path) -> None:
        """The oldest give way; numbers go on."""
        for octet in b"abcdefg":
            put(directory, bytes([octet]), allowed="version", versions=3)
        contents = {path.name: path.read_bytes() for path in directory.iterdir()}
        assert contents == {"new": b"g", "new.~4~": b"d", "new.~5~": b"e", "new.~6~": b"f"}
        put(directory, b"h", allowed="version", versions=1)
        assert names(directory) == {"new", "new.~7~"}

    def test_other_names_stay(self, directory: Path) -> None:
        for name in ("newer.~1~", "new.~x~", "new.~0~", "new.~1~.bak", "new"):
            (directory / name).touch()
        put(directory, b"x", allowed="version", versions=1)
        assert names(directory) == {"newer.~1~", "new.~x~", "new.~0~", "new.~1~.bak", "new.~1~", "new"}


class TestBounds:
    """RFC 1350 error 3 for every want of room."""

    def test_announced(self, directory: Path) -> None:
        """RFC 2349: a tsize above the limit is refused before any data."""
        assert refused(directory, announced=101, limit=100)[0] == FileError.FULL
        upload(directory, announced=100, limit=100).close()

    def test_the_limit(self, directory: Path) -> None:
        made = upload(directory, limit=100)
        made.write(memoryview(b"x" * 100))
        with pytest.raises(FileError, match="uploads are limited to 100 octets") as caught:
            made.write(memoryview(b"x"))
        assert caught.value.kind == FileError.FULL
        made.close()
        assert list(directory.iterdir()) == []

    def test_a_file_system_that_does_not_tell(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has no blocks, by its own account, as some of FUSE: that is not a full disk."""
        real = os.fstatvfs
        monkeypatch.setattr(
            uploads.os, "fstatvfs", lambda fd: os.statvfs_result((*real(fd)[:2], 0, 0, 0, *real(fd)[5:]))
        )
        made = upload(directory, announced=5, reserve=1 << 20)
        made.write(memoryview(b"there"))
        made.finish()
        made.close()
        assert [path.read_bytes() for path in directory.iterdir()] == [b"there"]

    def test_the_reserve(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Free space is looked at before and, as others use the disk too, again and again meanwhile."""
        free = 10 << 20
        real = os.fstatvfs
        monkeypatch.setattr(
            uploads.os, "fstatvfs",
            lambda fd: os.statvfs_result((512, 512, *real(fd)[2:4], free // 512, *real(fd)[5:])),
        )  # fmt: skip
        assert refused(directory, reserve=free + 1)[0] == FileError.FULL
        assert refused(directory, announced=free, reserve=1)[0] == FileError.FULL
        made = upload(directory, reserve=1 << 20)
        free = 1 << 10
        with pytest.raises(FileError, match="the disk is full"):
            made.write(memoryview(bytes(LOOK)))
        made.close()
        assert list(directory.iterdir()) == []

    @pytest.mark.parametrize(("call", "number", "kind"), [
        ("write", errno.ENOSPC, FileError.FULL), ("write", errno.EIO, FileError.UNDEFINED),
        ("fsync", errno.ENOSPC, FileError.FULL), ("link", errno.EDQUOT, FileError.FULL),
    ])  # fmt: skip
    def test_a_disk_that_fails(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, kind: str
    ) -> None:
        """Whenever it fails, nothing stays behind."""

        def fails(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        made = upload(directory)
        made.write(memoryview(b"x" * 100))
        with monkeypatch.context() as patch:
            patch.setattr(uploads.os, call, fails)
            with pytest.raises(FileError) as caught:
                made.finish()
        assert caught.value.kind == kind
        made.close()
        assert list(directory.iterdir()) == []

    def test_where_it_may_not_be(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """ProtectSystem=strict without a drop-in: the sentence names the setting that lacks."""

        def fails(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        fd = os.open(directory, os.O_RDONLY)
        monkeypatch.setattr(uploads.os, "open", fails)
        with pytest.raises(FileError, match=r"read-only.*ReadWritePaths="):
            Upload(fd, "x", "new", Policy("create", 1, 0, 0), None)
