"""Room for uploads: all of them together leave the reserve, in one process and in several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ptftpd.errors import FileError
from ptftpd.tftp import space as spaces
from ptftpd.tftp.space import FILE_SYSTEMS, Space
from ptftpd.tftp.uploads import CHUNK, STEP, Policy, Upload

RESERVE = 64 << 20


@dataclass
class Disk:
    """A disk of a known size, that the uploads of a test fill."""

    path: Path
    free: int = RESERVE + (100 << 20)
    inodes: int = 3000
    made: list[Upload] = field(default_factory=list)
    space: Space = field(default_factory=Space)

    def statvfs(self, fd: int) -> os.statvfs_result:
        """Return what the disk has left."""
        return os.statvfs_result((512, 512, 1 << 30, 0, self.free // 512, 3000, 0, self.inodes, 0, 255))

    def upload(self, name: str, announced: int | None = None) -> Upload:
        """Begin an upload."""
        fd = os.open(self.path, os.O_RDONLY)
        policy = Policy("create", 1 << 30, RESERVE, 0o022)
        upload = Upload(fd, str(self.path), name, policy, announced, self.space)
        self.inodes -= 1
        self.made.append(upload)
        return upload

    def write(self, upload: Upload, octets: int) -> None:
        """Write so many octets, which the disk then has less; FileError when there is no room."""
        for _ in range(0, octets, CHUNK):
            upload.write(memoryview(bytes(CHUNK)))
            self.free -= CHUNK


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(tmp_path)
    monkeypatch.setattr(spaces.os, "fstatvfs", made.statvfs)
    yield made
    for upload in made.made:
        upload.close()
    assert made.space.promised(os.stat(tmp_path).st_dev) == (0, 0)


@pytest.mark.parametrize("announced", [None, 15 << 20], ids=["unannounced", "announced"])
def test_twenty_at_once_leave_the_reserve(disk: Disk, announced: int | None) -> None:
    """Each of them alone would fit: it is their sum that counts, whenever each of them looks."""
    running = [disk.upload(f"{number}", announced) for number in range(20)]
    for _ in range(15):
        for upload in list(running):
            try:
                disk.write(upload, 1 << 20)
            except FileError as error:
                assert error.kind == FileError.FULL  # noqa: PT017
                upload.close()
                disk.free += upload.size // (1 << 20) << 20
                running.remove(upload)
            assert disk.free >= RESERVE
    assert len(running) >= 5
    assert disk.free >= RESERVE


def test_what_is_announced_is_kept_for_who_began(disk: Disk) -> None:
    """From its first octets on: a request alone, which may be forged, keeps nobody out."""
    first = disk.upload("first", 60 << 20)
    second = disk.upload("second", 60 << 20)
    disk.write(first, 2 * CHUNK)
    with pytest.raises(FileError, match="the disk is full"):
        disk.write(second, 2 * CHUNK)
    with pytest.raises(FileError, match="the disk is full"):
        disk.upload("third", 60 << 20)
    first.close()
    disk.upload("fourth", 60 << 20)


def test_forged_requests_keep_little(disk: Disk) -> None:
    for number in range(50):
        disk.upload(f"{number}", 90 << 20 if number < 10 else None)
    assert disk.space.promised(os.stat(disk.path).st_dev)[0] <= 10 * STEP


def test_inodes(disk: Disk) -> None:
    """Empty uploads take no octets, but other programs need files, too: one in a hundred stays free."""
    count = 0
    while disk.inodes > 0:
        try:
            disk.upload(f"{count}").close()
        except FileError as error:
            assert error.kind == FileError.FULL  # noqa: PT017
            break
        count += 1
    assert disk.inodes == 3000 // 100


def test_workers_see_each_others_promises(tmp_path: Path) -> None:
    """One table for all: a row for each process, which is free again when the process has ended."""
    space, device = Space(2), os.stat(tmp_path).st_dev
    ready, go = os.pipe(), os.pipe()
    space.add(device, 5, 1)
    child = os.fork()
    if not child:
        space.add(device, 100, 2)
        os.write(ready[1], b"!")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    assert space.promised(device) == (105, 3)
    os.write(go[1], b"!")
    os.waitpid(child, 0)
    successor = os.fork()
    if not successor:
        space.add(device, 1, 0)
        os.write(ready[1], b"!")
        os._exit(0)
    os.read(ready[0], 1)
    os.waitpid(successor, 0)
    assert space.promised(device) == (6, 1), "what the first one had promised ended with it"
    for fd in (*ready, *go):
        os.close(fd)


def test_a_row_is_bounded() -> None:
    space = Space()
    for device in range(1, FILE_SYSTEMS + 1):
        space.add(device, 1, 0)
    with pytest.raises(FileError) as caught:
        space.add(99, 1, 0)
    assert caught.value.kind == FileError.BUSY
    space.add(3, -1, 0)
    space.add(99, 1, 0)
    assert space.promised(99) == (1, 0)
    assert space.promised(3) == (0, 0)
