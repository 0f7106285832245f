"""A program as a service: its command line, its questions and its errors, its sockets from systemd.

A program gives main() a Daemon; what is the same for all of them is here and in process.py.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Sequence

from ptftpd import config, net, systemd
from ptftpd.errors import ConfigError, Error
from ptftpd.log import DEBUG, ERROR, INFO, Log
from ptftpd.process import Daemon, Process
from ptftpd.program import Loaded, Program
from ptftpd.systemd import Sockets
from ptftpd.values import dump


def main(program: Program, argv: Sequence[str] | None, make: Callable[[Loaded], Daemon]) -> int:
    """Run a program; return its exit code: 0 done, 1 failed, else that of the Error, see errors.py."""
    sockets: Sockets = {}
    try:
        sockets = activated()
        loaded = config.load(program, argv)
    except ConfigError as error:
        with Log(program.name) as log:
            log.lines(ERROR, "", str(error))
        return _decline(sockets, error)
    if loaded.action == "dump":
        _show(dump(program, loaded.settings))
        return 0
    with Log(program.name, DEBUG if loaded.debug else INFO, fields=loaded.verbose) as log:
        return _run(program, argv, make, loaded, sockets, log)


def _run(
    program: Program,
    argv: Sequence[str] | None,
    make: Callable[[Loaded], Daemon],
    loaded: Loaded,
    sockets: Sockets,
    log: Log,
) -> int:
    """Answer a question, check or serve; return the exit code."""
    try:
        if loaded.answer is not None:
            _show(f"{loaded.answer()}\n")
            return 0
        daemon = make(loaded)
        if loaded.action == "check":
            try:
                daemon.check(log)
            finally:
                for doubt in loaded.doubts:
                    log.warning("", doubt)
            print("the configuration is good")
            return 0
        return Process(program, argv, loaded, daemon, log).run(sockets)
    except Error as error:
        log.lines(ERROR, "", str(error))
        return _decline(sockets, error)


def _show(text: str) -> None:
    """Print the answer to a question, as far as anybody reads it."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # of 'pxed eth0 --dump-config | head'
        # Nothing is to be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def activated() -> Sockets:
    """Return the sockets that systemd handed over, ready to be served; ConfigError when one cannot be."""
    sockets = systemd.sockets()
    for sock in itertools.chain.from_iterable(sockets.values()):
        net.prepare(sock)
    return sockets


def _decline(sockets: Sockets, error: Error) -> int:
    """Return the exit code for an error, which systemd shows as status; let go of what was asked of us.

    A datagram left on a socket of systemd's would start the program at once again, to fail again.
    """
    systemd.notify(f"STATUS={error}")
    for sock in itertools.chain.from_iterable(sockets.values()):
        with contextlib.suppress(OSError):  # nothing more to read, or closed by now
            while True:
                sock.recv(1)
    return error.exit_code
