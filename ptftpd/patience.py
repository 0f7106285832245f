"""A call that a file system may never answer, and that nobody is to wait for without end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

SECONDS = 1.0  # that a start or a reload waits for a file system: a local disk takes milliseconds

T = TypeVar("T")

_unanswered: set[str] = set()  # paths for which a thread waits: one each, however often they are looked at


def within(seconds: float, path: str, call: Callable[[], T]) -> T:
    """Return what call(), which looks at a path, returns, or raise the OSError that it raises.

    TimeoutError when it takes longer; it then goes on in a thread that keeps no program from ending. Until
    that comes back, TimeoutError at once for the same path.
    """
    if path in _unanswered:
        raise TimeoutError
    answers: SimpleQueue[T | OSError] = SimpleQueue()

    def attempt() -> None:
        answer: T | OSError
        try:
            answer = call()
        except OSError as error:
            answer = error
        finally:
            _unanswered.discard(path)  # before anybody can look again
        answers.put(answer)

    _unanswered.add(path)
    threading.Thread(target=attempt, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return answer
