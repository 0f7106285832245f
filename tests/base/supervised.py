"""A supervisor whose workers do as they are told, which prints what it would notify: supervised.py DEED...

Deeds: exit=CODE, raise, late (slow to begin), crash (it is killed, at first), refuse (no reload suits it),
fail (a reload kills it), deaf (it does not answer when it is to prepare one; deaf=SECONDS: for which it has
so long); any other word is just the worker's name. The settings are a number: each SIGHUP brings the next,
but "bad" for the third. Every worker tells which it has. The forks for one that was killed fail until another
worker has other settings.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time

from ptftpd import workers
from ptftpd.change import Change
from ptftpd.errors import Error
from ptftpd.log import Log
from ptftpd.orders import COMMIT, PREPARE, Orders
from ptftpd.workers import SIGNALS, Supervisor

COUNT = len(sys.argv) - 1  # of the workers
PAUSE = 0.1  # seconds between two forks that fail
PATIENCE = 0.3  # seconds that a worker may take to prepare a reload
DELAY = 0.2  # seconds that a worker takes before it catches signals
BAD = 3  # no settings


def work(number: int, orders: Orders) -> int:
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
        orders.say("STATUS=late")
        time.sleep(DELAY)
    signal.set_wakeup_fd(poke)
    for each in SIGNALS:
        signal.signal(each, lambda number, frame: caught.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    mine = prepared = settings
    orders.say(f"READY=1\nSTATUS={deed} is ready with {mine}")
    while True:
        readable, _, _ = select.select([wakeup, orders], [], [])
        if wakeup in readable:
            return 0
        order = orders.take()
        if order is None:
            return 0
        if order.name == PREPARE:
            if deed == "fail":
                os.kill(os.getpid(), signal.SIGKILL)
            prepared = int(order.settings)
            if deed != "deaf":
                orders.say("REFUSED=not those" if deed == "refuse" else "PREPARED=1")
            continue
        if order.name == COMMIT:
            mine = prepared
            orders.say(f"READY=1\nSTATUS={deed} has {mine}")


def prepare() -> tuple[bytes, Change]:
    """Read the next settings."""
    global read
    read += 1
    if read == BAD:
        raise Error("this line is bad\nand that one")

    def commit() -> None:
        global settings
        settings = read

    return str(read).encode(), Change(commit, lambda: print("discarded", flush=True))


def fork() -> int:
    """Be os.fork(), as long as no worker is to be replaced, and once the settings are others."""
    global forks
    forks += 1
    if forks > COUNT and not settings:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real_fork()


def show(state: str) -> None:
    """Print a notification in one line."""
    print(state.replace("\n", " | "), flush=True)


if __name__ == "__main__":
    forks, settings, read = 0, 0, 0
    real_fork, os.fork = os.fork, fork
    patience = max((float(deed[5:]) for deed in sys.argv[1:] if deed.startswith("deaf=")), default=PATIENCE)
    workers.PAUSE, workers.PREPARE_TIMEOUT = PAUSE, patience
    sys.exit(Supervisor(Log("test"), COUNT, work, show, prepare).run())
