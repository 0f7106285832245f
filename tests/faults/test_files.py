"""Files that change while they are sent, disks that are full, descriptors that run out: TFTP's side of it.

Everything happens in one process, on a fake clock.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.descriptors import open_descriptors
from tests.faults.disks import fill, small_disk
from tests.netns.tftp_site import ack, content, data, error_code, rrq, wrq
from tests.tftp.serving import LocalPeer, Serving

SIZE = 200_000  # octets: what is read ahead is less
OCTETS = content(SIZE)


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serving]:
    """Return a running server."""
    (tmp_path / "file").write_bytes(OCTETS)
    with Serving(monkeypatch, tmp_path, uploads="overwrite") as serving:
        yield serving


def encoded(octets: bytes) -> bytes:
    """Return octets in netascii."""
    return octets.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


def begin(serving: Serving, mode: str = "octet") -> tuple[LocalPeer, bytes]:
    """Return a client that has the first block, and the block."""
    peer = serving.peer()
    peer.ask(rrq("file", mode))
    return peer, peer.receive()[4:]


def replace(path: Path) -> None:
    """Put another file in the place of one, as package managers and careful people do."""
    path.with_name("new").write_bytes(bytes(SIZE))
    path.with_name("new").rename(path)


def grow(path: Path) -> None:
    """Add to a file."""
    with path.open("ab") as file:
        file.write(bytes(1000))


@pytest.mark.parametrize("mode", ["octet", "netascii"])
@pytest.mark.parametrize("change", [Path.unlink, replace, grow])
def test_deleted_replaced_grown(serving: Serving, change: Callable[[Path], None], mode: str) -> None:
    """What was asked for is sent, whole and as it was."""
    peer, first = begin(serving, mode)
    change(serving.root / "file")
    peer.answer(ack(1))
    assert peer.rest(first, 2) == (OCTETS if mode == "octet" else encoded(OCTETS))


@pytest.mark.parametrize("mode", ["octet", "netascii"])
@pytest.mark.parametrize("left", [0, 1000, 100_000, 199_999])
def test_truncated(serving: Serving, left: int, mode: str) -> None:
    """Ends with an ERROR: no block is the short one that would make the client take a part for the whole."""
    expected = OCTETS if mode == "octet" else encoded(OCTETS)
    peer, got = begin(serving, mode)
    os.truncate(serving.root / "file", left)
    for block in range(2, len(expected) // 512 + 2):
        peer.answer(ack(block - 1))
        answer = peer.receive()
        if answer[:2] == b"\0\5":
            break
        assert answer[:4] == data(block)[:4]
        assert len(answer) == 4 + 512
        got += answer[4:]
    assert error_code(answer) == 0
    assert b"became shorter" in answer
    assert expected.startswith(got)
    assert serving.server.transfers == {}


def test_the_disk_is_full_during_an_upload(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ERROR 3, and what was there before is there still: the old file, and the room on the disk."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        (disk / "file").write_bytes(b"as it was")
        free = os.statvfs(disk).f_bavail
        with Serving(monkeypatch, disk, uploads="overwrite", upload_reserve=0) as serving:
            peer = serving.peer()
            peer.ask(wrq("file"))
            peer.expect(ack(0))
            for block in range(1, 4000):
                peer.answer(data(block, bytes(512)))
                answer = peer.receive()
                if answer != ack(block):
                    break
            assert error_code(answer) == 3
            assert block > 1000
            assert (disk / "file").read_bytes() == b"as it was"
            assert os.statvfs(disk).f_bavail == free
            fill(disk).unlink()
            serving.peer().put(wrq("file"), content(5000))
        assert (disk / "file").read_bytes() == content(5000)


def test_no_room_for_the_last_octets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are written when the last block comes: it is not acknowledged then."""
    with (
        small_disk(tmp_path / "disk", 1 << 20) as disk,
        Serving(monkeypatch, disk, uploads="create", upload_reserve=0) as serving,
    ):
        peer = serving.peer()
        peer.ask(wrq("file"))
        peer.expect(ack(0))
        ballast = fill(disk)
        peer.answer(data(1, b"x" * 100))
        assert error_code(peer.receive()) == 3
        assert list(disk.iterdir()) == [ballast]


def test_out_of_descriptors(serving: Serving) -> None:
    """Some clients are turned away or not answered; those that are served are served to the end.

    Once there are descriptors again, everybody is.
    """
    peers = [serving.peer() for _ in range(30)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = set(map(int, open_descriptors()))
    free = [number for number in range(1000) if number not in used]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[15], limits[1]))
        answers = []
        for peer in peers:
            peer.ask(rrq("file"))
            answers.append(peer.listen())
        served = [(peer, said) for peer, said in zip(peers, answers, strict=True) if said and said[1] == 3]
        assert 3 < len(served) < 10
        refused = [said for said in answers if said and said[1] != 3]
        assert all(b"no file descriptor left" in said for said in refused)
        for peer, said in served:
            peer.answer(ack(1))
            assert peer.rest(said[4:], 2) == OCTETS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    serving.turn()
    assert serving.server.transfers == {}
    for peer in peers[-3:]:
        assert peer.get(rrq("file")) == OCTETS


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Return what mounts a release over the root; nothing stays mounted."""
    root = tmp_path / "root"
    for name in ("one", "two", "root"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)

    def mount(release: str) -> None:
        subprocess.run(["mount", "--bind", tmp_path / release, root], check=True)

    yield mount
    while os.path.ismount(root):
        subprocess.run(["umount", "-l", root], check=True)


def test_what_is_mounted_on_the_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mounted: Callable[[str], None]
) -> None:
    """A disk mounted after the start, or the next one after 'umount -l': what is there now is sent."""
    root = tmp_path / "root"
    with Serving(monkeypatch, root) as serving:
        assert serving.peer().get(rrq("file")) == b"root"
        mounted("one")
        assert serving.peer().get(rrq("file")) == b"one"
        subprocess.run(["umount", "-l", root], check=True)
        mounted("two")
        assert serving.peer().get(rrq("file")) == b"two"
