"""Records on their way to a reader who may not read: nothing waits, order is kept, gaps are told."""

from __future__ import annotations

import errno
import os
import pty
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd import sinks
from ptftpd.log import Log
from ptftpd.loop import Loop
from ptftpd.sinks import LIMIT, Queue, Retry, Sink


class Reader:
    """What takes as many octets as it has room for, whole records or any part of them."""

    def __init__(self, *, whole: bool = True) -> None:
        self.whole, self.room, self.got, self.error = whole, 0, b"", 0

    def write(self, octets: bytes) -> int:
        """Take what there is room for."""
        if self.error:
            raise OSError(self.error, "")
        taken = min(self.room, len(octets))
        if not taken or (self.whole and taken < len(octets)):
            raise BlockingIOError(errno.EAGAIN, "")
        self.room -= taken
        self.got += octets[:taken]
        return taken


def gap(lost: int) -> bytes:
    """Return the record of a gap."""
    return f"{lost} lost\n".encode()


def numbered(number: int, size: int) -> bytes:
    """Return a record of about that size."""
    return f"{number}{'x' * size}\n".encode()


@given(
    whole=st.booleans(),
    steps=st.lists(st.one_of(st.just(0), st.integers(1, 60_000), st.just(1_000_000)), max_size=60),
)
def test_what_arrives_is_in_order_and_complete_but_for_the_gaps_it_tells(
    steps: list[int], *, whole: bool
) -> None:
    """Each step is a record of 6 kB, after the reader has made room for so many octets."""
    reader = Reader(whole=whole)
    queue = Queue(Sink(reader.write), gap)
    for number, room in enumerate(steps):
        reader.room += room
        queue.put(numbered(number, 6000))
        assert queue._octets <= LIMIT
        assert sum(map(len, queue._records)) <= LIMIT
        assert queue.blocked >= bool(queue._records or queue._lost)
    reader.room = 10_000_000
    queue.flush()
    assert (queue.blocked, len(queue._records), queue._lost) == (False, 0, 0)
    number = 0
    for line in reader.got.decode().splitlines():
        if line.endswith(" lost"):
            number += int(line.split()[0])
        else:
            assert line == numbered(number, 6000).decode().rstrip()
            number += 1
    assert number == len(steps)


def test_a_reader_that_comes_back_is_told_what_it_missed() -> None:
    """The count stands where the records are missing, and records go on behind it."""
    reader = Reader()
    queue = Queue(Sink(reader.write), gap)
    for number in range(1000):
        queue.put(numbered(number, 1000))
    reader.room = 10_000_000
    queue.put(b"after\n")
    lines = reader.got.decode().splitlines()
    kept = len(lines) - 2
    assert 100 < kept < LIMIT / 1000
    assert lines[-2:] == [f"{1000 - kept} lost", "after"]


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ECONNREFUSED, errno.ENOENT])
def test_nobody_reads_any_more(number: int) -> None:
    """Nothing is kept, nothing retried by a timer; somebody who reads again is told."""
    reader = Reader()
    queue = Queue(Sink(reader.write), gap)
    queue.put(b"a\n")
    reader.error = number
    queue.put(b"b\n")
    queue.put(b"c\n")
    assert (queue.blocked, len(queue._records)) == (False, 0)
    reader.error, reader.room = 0, 1000
    queue.put(b"d\n")
    assert reader.got == b"3 lost\nd\n"


def test_a_fork_does_not_write_twice() -> None:
    reader = Reader()
    queue = Queue(Sink(reader.write), gap)
    queue.put(b"a\n")
    queue.forget()
    reader.room = 100
    queue.put(b"b\n")
    assert reader.got == b"b\n"


def test_the_loop_writes_it_when_there_are_no_new_records() -> None:
    """And no timer is left once it is written."""
    reader = Reader()
    queue = Queue(Sink(reader.write), gap)
    loop = Loop()
    retry = Retry(loop, queue)
    queue.put(b"a\n")
    assert retry.deadline == pytest.approx(loop.now + sinks.RETRY)
    retry.tick(loop.now + sinks.RETRY)
    assert retry.deadline == pytest.approx(loop.now + 2 * sinks.RETRY)
    reader.room = 100
    retry.tick(loop.now + 2 * sinks.RETRY)
    assert (reader.got, retry.deadline) == (b"a\n", float("inf"))
    loop.close()


def test_the_end_waits_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it was told, and not longer."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    closed = []
    queue = Queue(Sink(Reader().write, lambda: closed.append(now[0])), gap)
    queue.put(b"a\n")
    queue.close(1.0)
    assert closed == [pytest.approx(1.0, abs=sinks.RETRY)]


class TestDescriptors:
    """Descriptors whose readers do not read; a write that waited would hang these tests."""

    def fill(self, sink: Sink) -> int:
        """Write until there is no room; return how many octets there was room for."""
        taken = 0
        try:
            while True:
                taken += sink.write(b"x" * 999 + b"\n")
        except BlockingIOError:
            return taken

    @pytest.mark.parametrize("mine", [True, False], ids=["opened again", "asked for room"])
    def test_pipe(self, monkeypatch: pytest.MonkeyPatch, *, mine: bool) -> None:
        """Its flags, which the shell that started us has too, stay as they are."""
        read, write = os.pipe()
        if not mine:
            monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError()))
        sink = sinks.stream(write)
        assert self.fill(sink) >= 60_000
        assert os.get_blocking(write)
        os.read(read, 65536)
        assert sink.write(b"y\n") == 2
        sink.close()
        os.write(write, b"still open")
        os.close(read)
        os.close(write)

    def test_terminal(self) -> None:
        """One that is stopped with Ctrl-S, or that nobody looks at."""
        master, slave = pty.openpty()
        sink = sinks.stream(slave)
        assert self.fill(sink) > 0
        assert os.get_blocking(slave)
        sink.close()
        os.close(master)
        os.close(slave)

    def test_socket(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sink = sinks.stream(theirs.fileno())
            assert self.fill(sink) > 0
            assert theirs.getblocking()
            sink.close()

    def test_file(self, tmp_path: Path) -> None:
        """It is written where the shell's own output ended."""
        with (tmp_path / "file").open("wb", buffering=0) as file:
            file.write(b"before\n")
            assert sinks.stream(file.fileno()).write(b"after\n") == 6
        assert (tmp_path / "file").read_text() == "before\nafter\n"

    def test_journal(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its socket is full, is replaced by another, is gone."""
        path = tmp_path / "journal"
        monkeypatch.setattr(sinks, "JOURNAL", str(path))
        sink = sinks.journal()
        for _ in range(2):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
                reader.bind(str(path))
                assert self.fill(sink) >= 1000
            with pytest.raises(ConnectionRefusedError):
                sink.write(b"MESSAGE=x\n")
            path.unlink()
        with pytest.raises(FileNotFoundError):
            sink.write(b"MESSAGE=x\n")
        sink.close()

    def test_lines_of_several_processes_stay_whole(self) -> None:
        """On a pipe that is nearly full, too: no record is longer than a pipe takes at once."""
        read, write = os.pipe()
        queues = [Queue(sinks.stream(write), gap) for _ in range(4)]
        lines: list[bytes] = []

        def consume() -> None:
            with os.fdopen(read, "rb") as file:
                lines.extend(file)

        reader = threading.Thread(target=consume)
        reader.start()
        for turn in range(200):
            for number, queue in enumerate(queues):
                queue.put(f"{number} {turn} {chr(97 + number) * (turn * 20 % 4000)}\n".encode())
        for queue in queues:
            queue.close(10)
        os.close(write)
        reader.join()
        lost = [int(line.split()[0]) for line in lines if line.endswith(b" lost\n")]
        whole = [line for line in lines if re.fullmatch(rb"\d \d+ (?:a*|b*|c*|d*)\n", line)]
        assert len(whole) + len(lost) == len(lines)
        assert len(whole) + sum(lost) == 800


def test_the_record_of_lost_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a warning of a kind of its own, in the journal and on stderr."""
    log = Log("ptftpd")
    assert log._gap(7) == b"ptftpd: warning: 7 records lost: they came faster than they were read\n"
    kept = Log("ptftpd", journal=True)
    assert b"\nMESSAGE_ID=3b1f52b8a3c14f0f9c5d0e3a6a7d1e06\n" in kept._gap(7)
