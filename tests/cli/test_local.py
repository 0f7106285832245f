"""Files got and put: a name keeps what it stood for until the new file is whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from ptftpd.client import local
from ptftpd.client.local import RESERVE, Download, Stream, Target
from ptftpd.errors import Error, TransferError
from ptftpd.tftp import wire
from ptftpd.tftp.uploads import LOOK, Upload
from tests.descriptors import open_descriptors

OLD, NEW = b"what was there before", b"what came"
WRONG = "0" * 64


def write(target: Target, octets: bytes = NEW) -> None:
    """Write a whole file."""
    target.begin(len(octets))
    target.write(memoryview(octets))
    target.finish()
    target.close()


def test_a_new_file(tmp_path: Path) -> None:
    write(local.target(str(tmp_path / "a")))
    assert (tmp_path / "a").read_bytes() == NEW
    assert os.listdir(tmp_path) == ["a"]


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(local.target(str(tmp_path / "a")))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_an_old_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(OLD)
    with pytest.raises(Error, match="exists already: use -f"):
        local.target(str(tmp_path / "a"))


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = local.target(str(tmp_path / "a"))
    target.begin(None)
    target.write(memoryview(NEW))
    (tmp_path / "a").write_bytes(OLD)
    with pytest.raises(TransferError) as caught:
        target.finish()
    target.close()
    assert caught.value.code == wire.EXISTS
    assert target.trouble is caught.value
    assert (tmp_path / "a").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a"]


def test_force_replaces_and_keeps_the_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(OLD)
    (tmp_path / "a").chmod(0o600)
    write(local.target(str(tmp_path / "a"), force=True))
    assert (tmp_path / "a").read_bytes() == NEW
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a").write_bytes(OLD)
    (tmp_path / "link").symlink_to("there/a")
    write(local.target(str(tmp_path / "link"), force=True))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there/a").read_bytes() == NEW


@pytest.mark.parametrize("force", [False, True])
def test_a_broken_transfer_leaves_everything(tmp_path: Path, *, force: bool) -> None:
    if force:
        (tmp_path / "a").write_bytes(OLD)
    target = local.target(str(tmp_path / "a"), force=force)
    target.begin(1000)
    target.write(memoryview(NEW))
    target.close()
    assert os.listdir(tmp_path) == (["a"] if force else [])
    assert not force or (tmp_path / "a").read_bytes() == OLD


def test_starting_over(tmp_path: Path) -> None:
    """The request may be sent again without options after the first one was answered."""
    before = open_descriptors()
    target = local.target(str(tmp_path / "a"))
    target.begin(5)
    write(target)
    assert open_descriptors() == before
    assert (tmp_path / "a").read_bytes() == NEW
    assert target.size == len(NEW)


def test_sha256(tmp_path: Path) -> None:
    write(local.target(str(tmp_path / "a"), hashlib.sha256(NEW).hexdigest().upper()))
    assert (tmp_path / "a").read_bytes() == NEW


def test_another_sha256(tmp_path: Path) -> None:
    target = local.target(str(tmp_path / "a"), WRONG)
    with pytest.raises(TransferError, match=f"its SHA-256 is {hashlib.sha256(NEW).hexdigest()}"):
        write(target)
    target.close()
    assert os.listdir(tmp_path) == []


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"there is no directory .*/nowhere: create it first"):
        local.target(str(tmp_path / "nowhere/a"))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Error, match="is a directory: name a file in it"):
        local.target(str(tmp_path))


def test_a_device_is_written_not_replaced() -> None:
    target = local.target("/dev/null")
    assert isinstance(target, Stream)
    write(target)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_full_device() -> None:
    target = local.target("/dev/full")
    with pytest.raises(TransferError) as caught:
        write(target)
    target.close()
    assert caught.value.code == wire.DISK_FULL
    assert target.trouble is caught.value


def test_more_than_the_disk_has(tmp_path: Path) -> None:
    """The announced size is looked at before anything is got."""
    target = Download(str(tmp_path / "a"))
    with pytest.raises(TransferError) as caught:
        target.begin(1 << 60)
    target.close()
    assert caught.value.code == wire.DISK_FULL


@pytest.mark.parametrize("announced", [None, 100, 3 * LOOK])
@pytest.mark.parametrize("free", [RESERVE, RESERVE - 1])
def test_endless_data_leave_room_on_the_disk(
    announced: int | None, free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not announced never takes the last RESERVE octets; what was announced is not stopped."""
    target = Download(str(tmp_path / "a"))
    target.begin(announced)
    monkeypatch.setattr(Download, "_free", lambda self: free)
    monkeypatch.setattr(Upload, "write", lambda self, payload: None)  # there is no need to fill a disk
    block, came = memoryview(bytes(1 << 16)), 0
    bound = (announced or 0) + LOOK + local.BUFFER
    with contextlib.closing(target), contextlib.suppress(TransferError):
        while came < bound:
            target.write(block)
            target.idle()
            came += len(block)
    assert (target.trouble is not None) == (free < RESERVE)
    assert came >= (announced or 0)
    assert came <= bound + len(block)


TEXT = "plain text,\twith tabs, lines\r\n and \N{LATIN SMALL LETTER E WITH ACUTE}\n".encode()
BINARY = [b"\x1b]0;title\x07", b"\0", b"\x7f", b"\x08", "\x9b2J".encode()]


def on_a_terminal(blocks: list[bytes], *, force: bool = False) -> tuple[Target, bytes]:
    """Return what became of blocks that were to be shown on a terminal, and what it got."""
    end, terminal = os.openpty()
    os.set_blocking(end, False)
    with open(end, "rb", buffering=0) as screen, open(terminal, "rb", buffering=0):
        with contextlib.closing(local.target(os.ttyname(terminal), force=force)) as target:
            target.begin(None)
            with contextlib.suppress(TransferError):
                for block in blocks:
                    target.write(memoryview(block))
                    target._store()
        return target, screen.read(1000) or b""


def test_a_terminal_shows_text() -> None:
    target, shown = on_a_terminal([TEXT])
    assert target.trouble is None
    assert shown == TEXT.replace(b"\n", b"\r\n")  # as terminals have it


@pytest.mark.parametrize("octets", BINARY)
def test_a_terminal_shows_nothing_binary(octets: bytes) -> None:
    """Wherever it comes, and however it is cut; -f shows it."""
    for cut in range(len(octets)):
        target, shown = on_a_terminal([b"text", octets[:cut], octets[cut:]])
        assert target.trouble is not None, cut
        assert octets not in shown
    assert on_a_terminal([octets], force=True)[0].trouble is None


def read(path: str) -> bytes:
    """Return all of a source."""
    source = local.source(path)
    octets = bytearray(source.size)
    try:
        assert source.read([memoryview(octets)], 0) == source.size
    finally:
        source.close()
    return bytes(octets)


def test_a_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(OLD)
    assert read(str(tmp_path / "a")) == OLD


def test_an_empty_source(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert read(str(tmp_path / "a")) == b""


def test_a_source_that_has_more_than_its_size_says() -> None:
    """As the files of /proc, which are made when they are read."""
    assert os.stat("/proc/version").st_size == 0
    assert read("/proc/version") == Path("/proc/version").read_bytes() != b""


def test_a_pipe_is_a_source() -> None:
    end, other = os.pipe()
    os.write(other, NEW)
    os.close(other)
    assert read(f"/proc/self/fd/{end}") == NEW
    os.close(end)


@pytest.mark.parametrize(
    ("name", "reason"), [("a", "there is no such file here"), (".", "is a directory: name the files in it")]
)
def test_no_source(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(Error, match=reason):
        local.source(str(tmp_path / name))


def test_octets_wait_for_an_idle_moment(tmp_path: Path) -> None:
    """write() waits for no disk: idle() does, when there is enough to do, and finish()."""
    with (tmp_path / "a").open("wb+") as file:
        target = Stream(f"/dev/fd/{file.fileno()}")
        target.begin(None)
        chunk = bytes(local.CHUNK)
        target.write(memoryview(chunk)[1:])
        target.idle()
        assert os.stat(file.fileno()).st_size == 0
        target.write(memoryview(b"x"))
        assert os.stat(file.fileno()).st_size == 0
        target.idle()
        assert os.stat(file.fileno()).st_size == local.CHUNK
        target.write(memoryview(b"end"))
        target.finish()
        target.close()
        assert os.stat(file.fileno()).st_size == target.size == local.CHUNK + 3


def test_more_octets_than_may_wait(tmp_path: Path) -> None:
    """A large window is longer than the time to the next idle moment."""
    target = local.target(str(tmp_path / "a"))
    target.begin(None)
    blocks = [bytes([number]) * 60_000 for number in range(12)]
    for block in blocks:
        target.write(memoryview(block))
    target.finish()
    target.close()
    assert (tmp_path / "a").read_bytes() == b"".join(blocks)


@pytest.mark.parametrize("whole", [True, False])
def test_where_files_must_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> None:
    """NFS and FUSE know no O_TMPFILE: the part has a name of its own, and goes away with the transfer."""

    def without_tmpfile(path: str, flags: int, *more: int, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return os_open(path, flags, *more, dir_fd=dir_fd)

    os_open = os.open
    (tmp_path / "a").write_bytes(OLD)
    target = local.target(str(tmp_path / "a"), force=True)
    monkeypatch.setattr(os, "open", without_tmpfile)
    target.begin(None)
    target.write(memoryview(NEW))
    assert sorted(os.listdir(tmp_path)) == [".tftp.1.part", "a"]
    assert (tmp_path / "a").read_bytes() == OLD
    if whole:
        target.finish()
    target.close()
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == (NEW if whole else OLD)
