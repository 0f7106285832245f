"""A look at a file system that may not answer: given up in time, and taken by one thread at most."""

from __future__ import annotations

import threading

import pytest

from ptftpd.patience import within

SOON, LONG = 0.02, 30.0  # seconds: to give up, and that nothing here takes


def test_what_answers() -> None:
    assert [within(LONG, "/there", lambda: 7) for _ in range(100)] == [7] * 100

    def absent() -> int:
        raise FileNotFoundError(2, "")

    for _ in range(100):
        with pytest.raises(FileNotFoundError):
            within(LONG, "/absent", absent)


def test_what_does_not_answer() -> None:
    """It is waited for once; other paths are looked at, and it is, too, when it has answered."""
    answer = threading.Event()
    threads = []

    def hanging() -> int:
        threads.append(threading.current_thread())
        answer.wait(LONG)
        return 7

    before = threading.active_count()
    for _ in range(10):
        with pytest.raises(TimeoutError):
            within(SOON, "/hangs", hanging)
    assert (len(threads), threading.active_count()) == (1, before + 1)
    assert within(LONG, "/there", lambda: 8) == 8
    answer.set()
    threads[0].join(LONG)
    assert within(LONG, "/hangs", lambda: 9) == 9
