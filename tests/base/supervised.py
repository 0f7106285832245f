"""A supervisor whose workers do as they are told, which prints what it would notify: supervised.py DEED...

Deeds: exit=CODE, raise, late (slow to begin), crash (it is killed, at first); any other word is just the
worker's name. The forks for one that was killed fail until another worker has heard of SIGHUP.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time

from ptftpd import workers
from ptftpd.log import Log
from ptftpd.workers import SIGNALS, Notify, Supervisor

COUNT = len(sys.argv) - 1  # of the workers
PAUSE = 0.1  # seconds between two forks that fail
DELAY = 0.2  # seconds that a worker takes before it catches signals


def work(number: int, notify: Notify, parent: int) -> int:
    """Do the deed of worker number; return its exit code."""
    deed, _, value = sys.argv[1 + number].partition("=")
    if deed == "raise":
        raise ZeroDivisionError("what no one foresaw")
    if deed == "exit":
        return int(value)
    if deed == "crash" and forks <= COUNT:
        os.kill(os.getpid(), signal.SIGKILL)
    caught: list[int] = []
    wakeup, poke = os.pipe2(os.O_NONBLOCK)
    if deed == "late":
        notify("STATUS=late")
        time.sleep(DELAY)
    signal.set_wakeup_fd(poke)
    for each in SIGNALS:
        signal.signal(each, lambda number, frame: caught.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    notify(f"READY=1\nSTATUS={deed} is ready")
    while True:
        readable, _, _ = select.select([wakeup, parent], [], [])
        if parent in readable:
            return 0
        os.read(wakeup, 64)
        while caught:
            if caught[0] != signal.SIGHUP:
                return 0
            notify(f"READY=1\nSTATUS={deed} heard of {signal.Signals(caught.pop(0)).name}")


def fork() -> int:
    """Be os.fork(), as long as no worker is to be replaced, and when one of them has heard of SIGHUP."""
    global forks
    forks += 1
    if forks > COUNT and not heard:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real_fork()


def show(state: str) -> None:
    """Print a notification in one line."""
    global heard
    heard = heard or "SIGHUP" in state
    print(state.replace("\n", " | "), flush=True)


if __name__ == "__main__":
    forks, heard = 0, False
    real_fork, os.fork, workers.PAUSE = os.fork, fork, PAUSE
    sys.exit(Supervisor(Log("test"), COUNT, work, show).run())
