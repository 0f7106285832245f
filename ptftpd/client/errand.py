"""What a command line asks of the client, done: at a prompt or for one errand."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from ptftpd.client import arguments
from ptftpd.client.arguments import Invocation
from ptftpd.client.display import Display
from ptftpd.client.locations import Location, remote
from ptftpd.client.prompt import LeaveError, Prompt, put_all
from ptftpd.client.session import Session
from ptftpd.errors import Error


def run(argv: Sequence[str], program: str) -> int:
    """Do what argv asks; return the exit code: 0 done, 1 a transfer failed. Mistakes in argv exit with 2."""
    display = Display(program)
    try:
        try:
            return 0 if _run(arguments.read(argv, program), program) else 1
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Nothing is to be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):  # of 'tftp -c help | head'
            display.error(f"cannot use standard input or output: {error.strerror}")
        return 1
    except Error as error:
        display.error(str(error))
        return 1
    except KeyboardInterrupt:
        # End by the signal itself, so that a script that called us stops too.
        display.error("stopped")
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return 1


def _run(invocation: Invocation, program: str) -> bool:
    """Do what the command line asks for; return whether it went well."""
    display = Display(program, verbose=invocation.verbose, trace=invocation.trace, records=invocation.records)
    session = Session(invocation.settings, display, family=invocation.family)
    session.literal = invocation.literal
    for option, value in invocation.options:
        session.change_option(option, value)
    if invocation.host:
        session.connect(invocation.host, invocation.port)
    return _carry_out(session, invocation)


def _carry_out(session: Session, invocation: Invocation) -> bool:
    words, force = invocation.words, invocation.force
    match invocation.verb:
        case "":
            return Prompt(session).run()
        case "command":
            return _command(session, words)
        case "get":
            output = invocation.output
            if len(words) > 1 and output and output != "-":
                output = os.path.join(output, "")  # a directory
            sha256 = invocation.sha256
            went_well = [session.get(remote(word), output, force=force, sha256=sha256) for word in words]
            return all(went_well)
        case "put":
            return put_all(session, words[:-1], remote(words[-1]))
        case "probe":
            return session.probe(_to_probe(session, *words))
        case "atftp-get":
            return session.get(Location(words[0]), words[1], force=force, sha256=invocation.sha256)
        case _:
            return session.put(words[0], Location(words[1]))


def _command(session: Session, words: Sequence[str]) -> bool:
    """Carry out the command of -c: several words, or one with blanks."""
    try:
        return Prompt(session).execute(words if len(words) > 1 else words[0])
    except LeaveError:
        return True


def _to_probe(session: Session, host: str, name: str = "") -> Location:
    """Return what 'probe HOST NAME' or 'probe URL' means."""
    if not name:
        at = remote(host)
        return at if at.host else Location("", host)
    session.connect(host)
    return Location(name)
