"""What may hang is done in threads: nobody else waits, a few jobs hang at most, and nothing is left."""

from __future__ import annotations

import copy
import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptftpd.errors import FileError
from ptftpd.log import ERROR
from ptftpd.loop import Loop
from ptftpd.settings import Pxe, Settings
from ptftpd.tftp import mounts, openings, wire
from ptftpd.tftp.files import Source, Tree
from ptftpd.tftp.mounts import ElsewhereError, Mounts, permitted
from ptftpd.tftp.outcome import Backoff
from ptftpd.tftp.pools import STUCK, THREADS, WAITING, Pools
from ptftpd.tftp.sender import Sender
from tests.descriptors import open_descriptors
from tests.netns.tftp_site import ack, content, data, error_code, rrq, wrq
from tests.tftp.serving import Serving

OCTETS = content(3000)


class Bench:
    """Pools, and jobs that hang until they are let go."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.pools = Pools(self.loop)
        self.go, self.began = threading.Event(), threading.Semaphore(0)
        self.done: list[Any] = []
        self.loop.every_wakeup(lambda now: self.loop.stop())

    def hang(self, root: str = "/root", count: int = THREADS) -> None:
        """Begin jobs that hang."""

        def job() -> str:
            self.began.release()
            assert self.go.wait(10)
            return "late"

        for _ in range(count):
            self.pools.submit(root, job, self.done.append)
        for _ in range(min(count, THREADS)):
            assert self.began.acquire(timeout=10)

    def take(self, count: int) -> None:
        """Run the loop until so many jobs are done."""
        while len(self.done) < count:
            assert select.select([self.loop._epoll], [], [], 10)[0]
            self.loop.run()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.go.set()
    made.pools.close()
    made.loop.close()


class TestPools:
    def test_results_come_to_the_loop(self, bench: Bench) -> None:
        """What a job returns, or raises."""
        bench.pools.submit(
            "/a", lambda: threading.current_thread() is threading.main_thread(), bench.done.append
        )
        bench.take(1)
        assert bench.done == [False]
        bench.pools.submit("/a", lambda: 1 // 0, bench.done.append)
        bench.take(2)
        assert isinstance(bench.done[1], ZeroDivisionError)

    def test_a_root_that_hangs_is_busy_at_once(self, bench: Bench) -> None:
        """Others are not; it is named; when it answers again it takes jobs again."""
        bench.hang()
        bench.loop.now += STUCK + 0.1
        with pytest.raises(FileError) as caught:
            bench.pools.submit("/root", lambda: None, bench.done.append)
        assert caught.value.kind == FileError.BUSY
        assert bench.pools.hanging() == ["/root"]
        bench.pools.submit("/other", lambda: "other", bench.done.append)
        bench.take(1)
        assert bench.done == ["other"]
        bench.go.set()
        bench.take(1 + THREADS)
        assert bench.pools.hanging() == []
        bench.pools.submit("/root", lambda: "again", bench.done.append)
        bench.take(2 + THREADS)
        assert bench.done[-1] == "again"

    def test_what_waits_is_bounded(self, bench: Bench) -> None:
        bench.hang(count=THREADS + WAITING)
        with pytest.raises(FileError):
            bench.pools.submit("/root", lambda: None, bench.done.append)
        bench.pools.release("/root", lambda: None, may_hang=True)
        assert threading.active_count() <= 1 + THREADS + 2, "what waits has no thread"

    def test_an_idle_root_has_no_thread_more_than_it_needs(self, bench: Bench) -> None:
        before = threading.active_count()
        for count in range(1, 20):
            bench.pools.submit("/quiet", lambda: None, bench.done.append)
            bench.take(count)
        assert threading.active_count() <= before + THREADS


class TestMounts:
    TABLE = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:5 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n"
    )

    @pytest.mark.parametrize(("line", "hangs"), [
        ("", False), ("40 22 0:40 / /mnt rw shared:1 - nfs4 server:/x rw\n", True),
        ("40 22 0:40 / /srv/tftp/iso rw - fuse.bindfs x rw\n", True),
        ("40 22 0:40 / /run/user/1000/gvfs rw - fuse.gvfsd-fuse x rw\n", False),
        ("40 22 0:40 / /srv/tftp rw - iso9660 /dev/loop0 rw\n", False),
        ("40 22 0:40 / /new rw - nobodyknows x rw\n", True),
        ("40 22 0:40 / /processes rw - cifs x rw\n", True),
    ])  # fmt: skip
    def test_kinds(self, tmp_path: Path, line: str, hangs: bool) -> None:
        """Disks and memory do not hang; servers and daemons may, and what is not known."""
        (tmp_path / "mountinfo").write_text(self.TABLE + line)
        made = Mounts(str(tmp_path / "mountinfo"))
        assert made.may_hang() is hangs
        made.close()

    def test_this_machine(self, tmp_path: Path) -> None:
        made = Mounts()
        assert made._kinds
        with (tmp_path / "file").open("wb") as file:
            assert made.file_may_hang(file.fileno()) is False
        made.close()
        assert made.may_hang() in (True, False)

    def test_many_threads_ask_at_once(self) -> None:
        """Those of all roots, and the loop's."""
        made, failed = Mounts(), []

        def ask() -> None:
            try:
                for _ in range(2000):
                    made.may_hang()
            except RuntimeError as error:
                failed.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made.close()
        assert failed == []

    def test_not_known(self) -> None:
        """What cannot be read may hang."""
        assert Mounts("/nowhere").may_hang()

    def test_only_a_permitted_thread_waits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        tree = Tree([str(tmp_path)])
        monkeypatch.setattr(Mounts, "may_hang", lambda self: True)
        with permitted(frozenset()), pytest.raises(ElsewhereError) as caught:
            tree.open("file")
        assert caught.value.root == str(tmp_path)
        with permitted(frozenset({str(tmp_path)})):
            tree.open("file").close()
        tree.close()


@pytest.mark.parametrize("windowsize", [1, 4, 100])
@pytest.mark.parametrize("oack", [b"", b"\0\6"])
def test_what_is_at_hand_is_not_read(windowsize: int, oack: bytes) -> None:
    """Sender.at_hand: no ACK whatever, and no timeout, makes it read."""
    reads = 0

    def read(views: Any, offset: int) -> int:
        nonlocal reads
        reads += 1
        return min(sum(map(len, views)), 200_000 - offset)

    sender = Sender(read, 200_000, Backoff(1.0, 3), blksize=100, windowsize=windowsize, oack=oack)
    sender.start(0.0)
    seen = set()
    for last in range(0 if oack else windowsize, 1400, windowsize):
        seen.add(sender.at_hand)
        if sender.at_hand:
            before = reads
            for number in range(max(0, last - 2 * windowsize), last + 2):
                copy.copy(sender).receive(bytearray(wire.make_ack(number)), 4, 0.0)
            copy.copy(sender).tick(100.0)
            assert reads == before
        sender.receive(bytearray(wire.make_ack(last)), 4, 0.0)
    assert seen == {True, False}


class TestServer:
    """A whole server, on a fake clock."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "file").write_bytes(OCTETS)
        return tmp_path

    def wait(self, condition: Callable[[], bool], serving: Serving) -> None:
        for _ in range(1000):
            serving.turn()
            if condition():
                return
        raise AssertionError("it never came")

    def test_a_slow_fsync_keeps_nobody(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        """And makes nothing go out a second time; the client's own copies wait in the socket."""
        real, go = os.fsync, threading.Event()

        def slow(fd: int) -> None:
            assert go.wait(10)
            real(fd)

        with Serving(monkeypatch, root, uploads="create") as serving:
            monkeypatch.setattr(Mounts, "may_hang", lambda self: False)
            serving.wait = False
            monkeypatch.setattr(os, "fsync", slow)
            writer = serving.peer()
            writer.ask(wrq("new"))
            writer.expect(ack(0))
            writer.answer(data(1, b"x"))
            for _ in range(6):
                assert writer.listen() is None
                writer.answer(data(1, b"x"))
                assert serving.peer().get(rrq("file")) == OCTETS
                serving.turn(1.0)
            go.set()
            serving.wait = True
            writer.expect(ack(1))
            assert (root / "new").read_bytes() == b"x"
            assert serving.log.only("received")

    @pytest.mark.parametrize(("seconds", "kept"), [(12.0, True), (55.0, True), (61.0, False)])
    def test_an_upload_is_acknowledged_if_and_only_if_it_is_published(
        self, monkeypatch: pytest.MonkeyPatch, root: Path, seconds: float, kept: bool
    ) -> None:
        """However long the disk takes; one that was given up is not published later."""
        real, go = os.fsync, threading.Event()

        def slow(fd: int) -> None:
            assert go.wait(10)
            real(fd)

        with Serving(monkeypatch, root, uploads="create") as serving:
            monkeypatch.setattr(Mounts, "may_hang", lambda self: False)
            serving.wait = False
            monkeypatch.setattr(os, "fsync", slow)
            writer = serving.peer()
            writer.ask(wrq("new"))
            writer.expect(ack(0))
            writer.answer(data(1, b"x"))
            serving.turn()
            serving.turn(seconds)
            go.set()
            serving.wait = True
            serving.turn()
            if kept:
                writer.expect(ack(1))
            else:
                assert error_code(writer.receive()) == wire.UNDEFINED
            assert (root / "new").exists() is kept
            assert len(serving.log.of("received")) == kept

    def test_an_upload_whose_client_starts_over_is_not_published(
        self, monkeypatch: pytest.MonkeyPatch, root: Path
    ) -> None:
        """Whatever ends a transfer while a thread finishes its file keeps it from being published."""
        real, go = os.fsync, threading.Event()

        def slow(fd: int) -> None:
            assert go.wait(10)
            real(fd)

        with Serving(monkeypatch, root, uploads="create") as serving:
            monkeypatch.setattr(Mounts, "may_hang", lambda self: False)
            serving.wait = False
            monkeypatch.setattr(os, "fsync", slow)
            writer = serving.peer()
            writer.ask(wrq("new"))
            writer.expect(ack(0))
            writer.answer(data(1, b"x"))
            serving.turn()
            [transfer] = serving.server.transfers
            transfer.abandon("the client started over", serving.now)
            go.set()
            serving.wait = True
            serving.turn()
            assert not (root / "new").exists()

    def test_slow_disks_keep_no_upload_out(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        """A local disk on which several fsyncs take long is no file system that does not answer."""
        real, go = os.fsync, threading.Event()

        def slow(fd: int) -> None:
            assert go.wait(10)
            real(fd)

        with Serving(monkeypatch, root, uploads="create") as serving:
            monkeypatch.setattr(Mounts, "may_hang", lambda self: False)
            serving.wait = False
            monkeypatch.setattr(os, "fsync", slow)
            writers = [serving.peer() for _ in range(THREADS + 2)]
            for number, writer in enumerate(writers):
                writer.ask(wrq(f"new{number}"))
                writer.expect(ack(0))
                writer.answer(data(1, b"x"))
                serving.turn(STUCK)
            assert serving.server.pools.hanging() == []
            monkeypatch.setattr(Mounts, "may_hang", lambda self: True)  # now opened in a thread: one is free
            serving.wait = True
            reader = serving.peer()
            reader.ask(rrq("file"))
            select.select([serving.loop._epoll], [], [], 5)
            reader.expect(data(1, OCTETS[:512]))
            go.set()
            for writer in writers:
                writer.expect(ack(1))

    def test_a_file_that_never_comes(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        """After ten seconds the client is told, and the file is closed when the thread comes back."""
        monkeypatch.setattr(Mounts, "may_hang", lambda self: True)
        monkeypatch.setattr(Mounts, "file_may_hang", lambda self, fd: True)
        began, go, real = threading.Event(), threading.Event(), os.preadv

        def slow(fd: int, views: Any, offset: int) -> int:
            began.set()
            assert go.wait(10)
            return real(fd, views, offset)

        with Serving(monkeypatch, root) as serving:
            peer = serving.peer()
            peer.ask(rrq("file", blksize=1000))
            peer.receive()
            monkeypatch.setattr(os, "preadv", slow)
            serving.wait = False
            peer.answer(ack(0))
            assert peer.listen() is None
            assert began.wait(10)
            serving.turn(9.0)
            assert peer.listen() is None
            assert serving.server.status().endswith(f"{root}: the file system does not answer")
            serving.turn(1.1)
            assert error_code(peer.receive()) == wire.UNDEFINED
            assert serving.server.limits.running == 0
            go.set()
            serving.wait = True
            serving.turn()
            assert serving.log.only("send-failed").message.endswith("the file system does not answer")
        assert not [fd for fd in open_descriptors() if leads_to(fd, root / "file")]

    def test_netascii_uploads_and_windows(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        """All of it through threads: octet for octet what it is without them."""
        monkeypatch.setattr(Mounts, "may_hang", lambda self: True)
        monkeypatch.setattr(Mounts, "file_may_hang", lambda self, fd: True)
        with Serving(monkeypatch, root, uploads="create") as serving:
            assert serving.peer().get(rrq("file")) == OCTETS
            serving.peer().put(wrq("new"), OCTETS)
            assert (root / "new").read_bytes() == OCTETS
            (root / "text").write_bytes(b"a\nb\n")
            assert serving.peer().get(rrq("text", "netascii")) == b"a\r\nb\r\n"
            reader = serving.peer()
            reader.ask(rrq("file", windowsize=2))
            reader.receive()
            reader.answer(ack(0))
            for block in range(1, 7):
                reader.expect(data(block, OCTETS[512 * block - 512 : 512 * block]))
                if block % 2 == 0:
                    reader.answer(ack(block))
            assert error_code_of(serving, rrq("absent")) == wire.NOT_FOUND

    def test_a_reload_while_files_are_being_opened(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        """What was asked before it is answered by the settings of then, though most of it begins after it."""
        monkeypatch.setattr(Mounts, "may_hang", lambda self: True)
        monkeypatch.setattr(Mounts, "file_may_hang", lambda self, fd: True)
        go, real = threading.Event(), os.open

        def slow(path: Any, flags: int, *more: Any, **kinds: Any) -> int:
            if threading.current_thread() is not threading.main_thread():
                assert go.wait(10)
            return real(path, flags, *more, **kinds)

        with Serving(monkeypatch, root, uploads="create") as serving:
            before = len(open_descriptors())
            (root / "other").mkdir()
            monkeypatch.setattr(os, "open", slow)
            serving.wait = False
            readers, writers = ([serving.peer() for _ in range(count)] for count in (5, 4))
            for number, writer in enumerate(writers):
                writer.ask(wrq(f"new{number}"))
            for reader in readers:
                reader.ask(rrq("file"))
            serving.turn()
            for _ in range(3):
                serving.server.reload(serving.settings)
            serving.server.reload(Settings(pxe=Pxe(root=(str(root / "other"),))))
            go.set()
            serving.wait = True
            for number, writer in enumerate(writers):
                writer.expect(ack(0))
                writer.answer(data(1, b"x"))
                writer.expect(ack(1))
                assert (root / f"new{number}").read_bytes() == b"x"
            for reader in readers:
                reader.expect(data(1, OCTETS[:512]))
                reader.answer(wire.make_error(0, "enough"))
            serving.turn(60.0)
            assert error_code_of(serving, rrq("file")) == wire.NOT_FOUND
            peers = 1 + len(readers) + len(writers)
            assert len(open_descriptors()) <= before + peers, "the old roots are closed"

    @pytest.mark.parametrize("threads", [False, True])
    def test_an_error_of_our_own_ends_one_request(
        self, monkeypatch: pytest.MonkeyPatch, root: Path, threads: bool
    ) -> None:
        """Its client is told, the record has the traceback, and the server goes on."""
        monkeypatch.setattr(Mounts, "may_hang", lambda self: threads)

        def broken(tree: Tree, name: str, **more: Any) -> Source:
            if name == "file":
                raise AssertionError("a fault")
            return real(tree, name, **more)

        real = Tree.open
        (root / "good").write_bytes(b"good")
        with Serving(monkeypatch, root) as serving:
            monkeypatch.setattr(Tree, "open", broken)
            assert asked(serving, rrq("file")).endswith(b"the server failed\0")
            assert serving.peer().get(rrq("good")) == b"good"
            told = [record.message for record in serving.log.kept if record.priority == ERROR]
            assert any("AssertionError: a fault" in line for line in told)
            assert any("in broken" in line for line in told)

    def test_an_error_of_our_own_ends_one_transfer(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        """That of a thread, too."""
        monkeypatch.setattr(Mounts, "may_hang", lambda self: True)
        monkeypatch.setattr(Mounts, "file_may_hang", lambda self, fd: True)

        def broken(source: Source, views: Any, offset: int) -> int:
            raise AssertionError("a fault")

        with Serving(monkeypatch, root) as serving:
            with monkeypatch.context() as patch:
                patch.setattr(Source, "read", broken)
                assert asked(serving, rrq("file")).endswith(b"the server failed\0")
            assert serving.server.transfers == {}
            assert serving.log.only("send-failed").message.endswith("the server failed")
            assert any("AssertionError: a fault" in record.message for record in serving.log.kept)
            assert serving.peer().get(rrq("file")) == OCTETS

    def test_one_client_opens_few_at_once(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        """Those of others need threads, too; the same request again is not one more."""
        monkeypatch.setattr(Mounts, "may_hang", lambda self: True)
        go, real = threading.Event(), os.stat

        def slow(path: Any, **more: Any) -> os.stat_result:
            if path == "file":
                assert go.wait(10)
            return real(path, **more)

        with Serving(monkeypatch, root) as serving:
            monkeypatch.setattr(os, "stat", slow)
            serving.wait = False
            peers = [serving.peer() for _ in range(openings.PER_CLIENT)]
            for peer in peers:
                for _ in range(3):
                    peer.ask(rrq("file"))
                assert peer.listen() is None
            assert b"for this address" in asked(serving, rrq("file"))
            serving.turn(openings.ANSWER_WITHIN + 0.1)
            for peer in peers:
                assert b"busy" in peer.receive()
                assert peer.listen() is None
            go.set()
            serving.wait = True
            serving.turn()
            assert serving.server.transfers == {}


def leads_to(fd: str, path: Path) -> bool:
    """Return whether a descriptor of this process is that of a file."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == str(path)
    except OSError:
        return False


def asked(serving: Serving, request: bytes) -> bytes:
    """Return the first answer to a request."""
    peer = serving.peer()
    peer.ask(request)
    return peer.receive()


def error_code_of(serving: Serving, request: bytes) -> int:
    """Return the code that a request is refused with."""
    return error_code(asked(serving, request))


def test_kinds_are_known() -> None:
    """The file systems of Debian's own installations are among those that do not hang."""
    assert {"ext4", "xfs", "btrfs", "tmpfs", "overlay", "iso9660", "squashfs", "vfat"} <= mounts.LOCAL
    assert not {"nfs", "nfs4", "cifs", "fuse", "autofs", "ceph", "9p", "virtiofs"} & mounts.LOCAL
