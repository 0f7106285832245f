"""Asking a server until it answers: patience goes round the guesses of how it is to be reached.

A guess is an address of the server and a set of options. Each has its turn of a few seconds, all with options
first, and is heard for as long as the asking lasts, from a port of its own; the first answer ends it. Before
each request the route is looked at: a port whose source address the route would not choose any more (a cable
that is plugged in, an address that comes late) is given up for a new one.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from time import monotonic, sleep

from ptftpd import net
from ptftpd.client.attempt import OPENING, Attempt, wishes
from ptftpd.client.channel import TICK, Channel
from ptftpd.client.job import Job, Result, Watch
from ptftpd.client.settings import Settings
from ptftpd.tftp import wire
from ptftpd.tftp.outcome import DEFAULT_TIMEOUT, MAX_WAIT, Backoff, Failure

TURN = 3.0  # seconds for a guess with options, about: RFC 8305 has the next address asked after 2, at most
REQUESTS = 2  # in a turn: one may be lost. Without options, which seldom helps, it is one
_UNREACHABLE = {
    errno.ECONNREFUSED: "no TFTP server listens on that port: is it running, and is the port right?",
    errno.EHOSTUNREACH: "no machine answers at that address: is it on, and is the address right?",
    errno.ENETUNREACH: "there is no route to it from here: check this machine's network",
    errno.EINVAL: "a link-local address needs its interface: write fe80::1%eth0",
    errno.EACCES: "that is a broadcast address: name one machine; or only root may send from these ports",
    errno.EPERM: "a firewall on this machine forbids it",
    errno.EADDRINUSE: "the ports to send from are all in use: give a wider range, or wait",
}
_HOPELESS = {errno.EINVAL, errno.EACCES, errno.EADDRINUSE}  # not to be mended by waiting for the server


def unreachable(error: OSError) -> Failure:
    """Return what an error of the socket tells of the server."""
    return Failure(wire.UNDEFINED, _UNREACHABLE.get(error.errno or 0, error.strerror or str(error)))


def source(address: str) -> str:
    """Return the address that the route to another would have as its source; OSError without a route."""
    with net.connected("", (address, 0)) as probe:
        return str(probe.getsockname()[0])


class Guess:
    """An address, the options to ask for, and the port that asks while there is one."""

    def __init__(self, address: str, asked: dict[str, str] | None = None) -> None:
        """asked: None for those that the settings and the route suggest."""
        self.address, self.asked = address, asked
        self.channel: Channel | None = None
        self.attempt: Attempt | None = None
        self.result = Result(address)
        self.requests = 0

    def close(self) -> None:
        """Give the port up."""
        if self.channel:
            self.channel.close()
        self.channel = self.attempt = None


class Asking:
    """Asks by several guesses until one is answered, and runs the transfer."""

    def __init__(
        self, guesses: Sequence[Guess], name: str, port: int, settings: Settings, watch: Watch, job: Job
    ) -> None:
        """guesses: in the order of their turns. name: of the server, for the user."""
        self._guesses = list(guesses)
        self._name, self._port = name, port
        self._settings, self._watch, self._job = settings, watch, job
        self._last = guesses[0]  # that was asked
        self._trouble: OSError | None = None  # what became of the last request, if that is known
        retries = OPENING if settings.retries is None else settings.retries
        self._backoff = (settings.timeout or DEFAULT_TIMEOUT, retries, settings.timeout is not None)

    def run(self) -> Result:
        """Return how the asking went, and the transfer after it. A signal's end is told the server."""
        guesses = tuple(self._guesses)
        try:
            answered = self._ask()
            for guess in guesses:
                if guess is not answered:
                    guess.close()
            if answered and answered.attempt:
                answered.attempt.run()
            return answered.result if answered else self._unanswered()
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or another signal that ends the program
            for guess in guesses:
                if guess.attempt:
                    guess.attempt.stop()
            raise
        finally:
            for guess in guesses:
                guess.close()

    def patience(self) -> float:
        """Return how long to ask, in seconds: as long as one request takes to be repeated and given up.

        Without a number of retries each set of options has that much.
        """
        initial, retries, fixed = self._backoff
        backoff = Backoff(initial, retries, fixed=fixed)
        total = backoff.wait
        while backoff.again():
            total += backoff.wait
        forms = {guess.asked is not None and not guess.asked for guess in self._guesses}
        return total * (len(forms) if self._settings.retries is None else 1)

    def _unanswered(self) -> Result:
        result = Result(self._last.address, misread=self._trouble is None)
        silence = Failure(wire.UNDEFINED, "there is no answer")
        result.outcome = unreachable(self._trouble) if self._trouble else silence
        return result

    def _ask(self) -> Guess | None:
        """Return the guess that was answered, by an ERROR too; None when patience is at its end."""
        end = monotonic() + self.patience()
        last: Guess | None = None
        for guess, wait in self._turns():
            if monotonic() >= end and all(guess.requests for guess in self._guesses):
                return None
            if last:
                self._say(last, guess)
            self._last = last = guess
            self._send(guess)
            if answered := self._listen(guess, wait):
                return answered
            if guess not in self._guesses:
                last = None  # what became of it was said
        return None

    def _turns(self) -> Iterator[tuple[Guess, float]]:
        """Yield whom to ask next and how many seconds to wait for it, while there is any guess left."""
        initial, retries, fixed = self._backoff
        if len(self._guesses) == 1:
            backoff = Backoff(initial, retries, fixed=fixed)
            while self._guesses:
                yield self._guesses[0], backoff.wait
                backoff.again()
        while self._guesses:
            for guess in tuple(self._guesses):
                wait, left = initial, TURN
                for _ in range(1 if guess.asked == {} else min(REQUESTS, retries + 1)):
                    if guess in self._guesses and left > 0:
                        yield guess, wait
                    left -= wait
                    wait = wait if fixed else min(2 * wait, MAX_WAIT)

    def _say(self, last: Guess, guess: Guess) -> None:
        if guess.address != last.address:
            what = f"trying another address of {self._name}"
        elif guess is last:
            what = "asking again"
        else:
            what = f"asking again with{'' if guess.asked != {} else 'out'} options"
        self._watch.note(f"{last.address}: no answer yet; {what}")

    def _send(self, guess: Guess) -> None:
        """Send a request by a guess, from a new port where the route has changed."""
        guess.requests += 1
        self._trouble = None
        try:
            if guess.channel and guess.channel.source != source(guess.address):
                guess.close()
            if not guess.channel:
                self._open(guess)
            if guess.attempt:
                guess.attempt.ask()
        except OSError as error:
            self._fail(guess, error)

    def _open(self, guess: Guess) -> None:
        """Give a guess a port; those of a narrow port range are taken back from the others."""
        ports, trace = self._settings.port_range, self._watch.trace
        try:
            guess.channel = Channel(guess.address, self._port, ports=ports, trace=trace)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            for other in self._guesses:
                other.close()
            guess.channel = Channel(guess.address, self._port, ports=ports, trace=trace)
        asked = wishes(self._settings, guess.channel, self._job) if guess.asked is None else guess.asked
        if not asked and guess.asked is None:  # then there is one guess for the address, not two
            self._guesses = [g for g in self._guesses if g.address != guess.address or g.asked is None]
        guess.result = Result(guess.address, asked)
        guess.attempt = Attempt(guess.channel, self._settings, self._watch, self._job, guess.result)

    def _fail(self, guess: Guess, error: OSError) -> None:
        """Take what the network says of an address: it is given up unless a server is waited for."""
        self._trouble = error
        if self._settings.retries is not None and error.errno not in _HOPELESS:
            return
        for other in tuple(self._guesses):
            if other.address == guess.address:
                self._guesses.remove(other)
                other.close()
        if self._guesses:
            reason = unreachable(error).reason
            self._watch.note(f"{guess.address}: {reason}; trying another address of {self._name}")

    def _listen(self, asked: Guess, wait: float) -> Guess | None:
        """Return the guess that is answered within so many seconds of the last request, None for none."""
        until = monotonic() + wait
        while asked in self._guesses and monotonic() < until:
            if not asked.channel:
                sleep(TICK)
            for guess in tuple(self._guesses):
                if guess.channel and self._hear(guess, at_once=guess is not asked):
                    return guess
            self._watch.progress(0, None)
        return None

    def _hear(self, guess: Guess, *, at_once: bool) -> bool:
        """Return whether there is an answer to a guess."""
        assert guess.channel
        assert guess.attempt
        try:
            size, segment = guess.channel.receive_at_once() if at_once else guess.channel.receive()
        except OSError as error:
            self._fail(guess, error)
            return False
        try:
            return size > 0 and guess.attempt.hear(size, segment)
        except OSError as error:
            guess.result.outcome = unreachable(error)
            return True
