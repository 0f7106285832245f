"""A call that a file system may never answer, and that nobody is to wait for without end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

SECONDS = 1.0  # that a start or a reload waits for a file system: a local disk takes milliseconds

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what call() returns, or raise the OSError that it raises.

    TimeoutError when it takes longer; it then goes on in a thread that keeps no program from ending.
    """
    answers: SimpleQueue[T | OSError] = SimpleQueue()

    def attempt() -> None:
        try:
            answers.put(call())
        except OSError as error:
            answers.put(error)

    threading.Thread(target=attempt, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return answer
