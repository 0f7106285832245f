"""How tftp probe measures a rate, without a server."""

from __future__ import annotations

from typing import ClassVar

import pytest

from ptftpd.client.job import Result, Watch
from ptftpd.client.probe import SECONDS, STARTED, Answer, Metering, Rate, Report, _sizes, probe
from ptftpd.client.settings import Settings
from ptftpd.client.transfer import Server
from ptftpd.errors import TransferError
from ptftpd.tftp import options
from ptftpd.tftp.outcome import Backoff
from ptftpd.tftp.receiver import Receiver


def test_a_first_block_that_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts: a server that works is not said to send nothing."""
    now = 0.0
    monkeypatch.setattr("ptftpd.client.probe.monotonic", lambda: now)
    meter = Metering("a")
    machine = meter.machine(options.Terms(), Backoff(1.0, 3))
    assert isinstance(machine, Receiver)
    now = SECONDS + 1
    assert machine.receive(bytearray(b"\0\3\0\1" + bytes(512)), 516, now) == b"\0\4\0\1"
    assert not meter.enough
    machine.receive(bytearray(b"\0\3\0\2" + bytes(512)), 516, now)
    assert (meter.enough, machine.octets) == (True, 512)


@pytest.mark.parametrize(
    ("blksize", "windowsize", "sizes"),
    [
        ("", "", [(512, 1)]),
        ("1468", "", [(512, 1), (1468, 1)]),
        ("65464", "65535", [(512, 1), (1468, 1), (65464, 1), (1468, 4), (1468, 16), (1468, 64)]),
        ("1024", "16", [(512, 1), (1024, 1), (1024, 4), (1024, 16)]),
        ("", "8", [(512, 1), (512, 4), (512, 8)]),
    ],
)
def test_the_sizes_that_are_tried(blksize: str, windowsize: str, sizes: list[tuple[int, int]]) -> None:
    """As far as the server grants, windows of blocks that the route carries in one piece."""
    answers = [Answer("blksize", "65464", blksize), Answer("windowsize", "65535", windowsize)]
    assert _sizes(Report(carried=1468, answers=answers)) == sizes


def test_enough_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind SECONDS nothing more is kept, which ends the transfer."""
    now = 0.0
    monkeypatch.setattr("ptftpd.client.probe.monotonic", lambda: now)
    meter = Metering("a")
    meter.machine(options.Terms(), Backoff(1.0, 3))
    meter._write(memoryview(bytes(512)))
    now = SECONDS
    with pytest.raises(TransferError):
        meter._write(memoryview(bytes(512)))


class Prober:
    """Stands for a server that grants everything, of which windows of 16 blocks and more are lost."""

    carried = 1468
    tried: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, *about: object) -> None:
        self.tried.clear()

    def ask(self, asked: dict[str, str]) -> Result:
        """Grant what is asked."""
        return Result(outcome=STARTED, answered=True, terms=options.Terms(granted=tuple(asked.items())))

    def rate(self, blksize: int, windowsize: int) -> Rate:
        """Fail with large windows."""
        self.tried.append((blksize, windowsize))
        return Rate(blksize, windowsize, 1000, 1.0, "lost" if windowsize >= 16 else "")


def test_no_larger_window_than_one_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be lost all the more, and takes its time."""
    monkeypatch.setattr("ptftpd.client.probe._Prober", Prober)
    monkeypatch.setattr("ptftpd.client.probe._first", lambda *about: Prober().ask({}))
    report = probe(Server("a", 69, ("10.0.0.1",)), "a", Settings(), Watch())
    assert Prober.tried == [(512, 1), (1468, 1), (65464, 1), (1468, 4), (1468, 16)]
    assert [rate.failed for rate in report.rates] == ["", "", "", "", "lost"]


def test_no_larger_window_than_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 4 blocks, whatever the first answer said: the same rate is not measured twice."""

    def rate(self: Prober, blksize: int, windowsize: int) -> Rate:
        self.tried.append((blksize, windowsize))
        return Rate(blksize, min(windowsize, 4), 1000, 1.0)

    monkeypatch.setattr(Prober, "rate", rate)
    monkeypatch.setattr("ptftpd.client.probe._Prober", Prober)
    monkeypatch.setattr("ptftpd.client.probe._first", lambda *about: Prober().ask({}))
    report = probe(Server("a", 69, ("10.0.0.1",)), "a", Settings(), Watch())
    assert Prober.tried[-2:] == [(1468, 4), (1468, 16)]
    assert (report.rates[-1].blksize, report.rates[-1].windowsize) == (1468, 4)
