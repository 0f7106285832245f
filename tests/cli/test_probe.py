"""How tftp probe measures a rate, without a server."""

from __future__ import annotations

import pytest

from ptftpd.client.probe import SECONDS, Answer, Metering, Report, _sizes
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
