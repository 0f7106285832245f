"""What a server can do: the options it takes, and how fast which block and window size is."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from ptftpd.client.asking import Asking, Guess
from ptftpd.client.attempt import MAX_BLKSIZE
from ptftpd.client.channel import Channel
from ptftpd.client.job import Job, Machine, Result, Watch
from ptftpd.client.settings import Settings
from ptftpd.client.transfer import Server
from ptftpd.errors import TransferError
from ptftpd.tftp import options, wire
from ptftpd.tftp.outcome import INF, Backoff, Failure
from ptftpd.tftp.receiver import Receiver

LARGEST = {
    options.BLKSIZE: str(MAX_BLKSIZE),
    options.WINDOWSIZE: "65535",
    options.TSIZE: "0",
    options.TIMEOUT: "1",
}
WINDOWS = (4, 16, 64)  # blocks: what firmware asks for, and what gains no more
SECONDS, OCTETS = 1.0, 64 << 20  # for each rate, whichever is over first
ENOUGH = TransferError(wire.OPTIONS, "only probing")  # servers take code 8 for a client's right
STARTED = Failure(ENOUGH.code, ENOUGH.reason)  # the outcome of a request that was answered well


@dataclass(frozen=True)
class Answer:
    """What came of asking for one option alone: granted is its value, '' when it was left out or refused."""

    name: str
    asked: str
    granted: str
    refusal: str = ""


@dataclass(frozen=True)
class Rate:
    """The start of a transfer by these sizes: octets in seconds. failed: why it broke off, or ''."""

    blksize: int
    windowsize: int
    octets: int
    seconds: float
    failed: str = ""
    resent: int = 0


@dataclass
class Report:
    """What probing found. round_trip in seconds; outcome: the Failure that left nothing to probe, if any."""

    outcome: Failure | None = None
    round_trip: float | None = None
    carried: int = 0  # the largest block that the route takes in one piece
    answers: list[Answer] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)


class Opening(Job):
    """Sees how the server answers, and wants nothing of the file."""

    opcode = wire.RRQ

    def __init__(self, name: str) -> None:
        """name: of the file, on the server."""
        super().__init__(name, "octet", None)

    def machine(self, terms: options.Terms, backoff: Backoff) -> Machine:
        """Never return: STARTED is the outcome."""
        raise ENOUGH


class Metering(Opening):
    """Throws away what comes, and stops the transfer when that was enough of it."""

    enough = False
    _left = OCTETS
    _until = INF

    def machine(self, terms: options.Terms, backoff: Backoff) -> Machine:
        """Return a Receiver; its time begins."""
        self._until = monotonic() + SECONDS
        return Receiver(
            self._write, self._finish, backoff, blksize=terms.blksize, windowsize=terms.windowsize
        )

    def _write(self, payload: memoryview) -> None:
        first = self._left == OCTETS  # it counts even when it comes late: the server does send
        self._left -= len(payload)
        if self._left <= 0 or (monotonic() >= self._until and not first):
            self.enough = True
            raise ENOUGH

    def _finish(self) -> None:
        self.enough = True  # of a small file all is enough


def probe(server: Server, name: str, settings: Settings, watch: Watch) -> Report:
    """Return what can be told from requests to read name; nothing is written on either side."""
    report = Report()
    result = _first(server, name, settings, watch)
    prober = _Prober(result.address, server.port, name, settings, watch)
    report.round_trip = result.round_trip
    if result.outcome != STARTED:
        assert isinstance(result.outcome, Failure)
        report.outcome = result.outcome
        return report
    report.carried = prober.carried
    for option, value in LARGEST.items():
        result = prober.ask({option: value})
        refused = isinstance(result.outcome, Failure) and result.outcome != STARTED
        report.answers.append(
            Answer(
                option, value, dict(result.terms.granted).get(option, ""), _reason(result) if refused else ""
            )
        )
    for blksize, windowsize in _sizes(report):
        rate = prober.rate(blksize, windowsize)
        if (rate.blksize, rate.windowsize) in [(had.blksize, had.windowsize) for had in report.rates]:
            break  # the server grants no larger window of such blocks
        report.rates.append(rate)
        if rate.failed and windowsize > 1:
            break  # a larger window is lost all the more
    return report


def _first(server: Server, name: str, settings: Settings, watch: Watch) -> Result:
    """Return what comes of a plain request to any of the server's addresses."""
    guesses = [Guess(address, {}) for address in server.addresses]
    return Asking(guesses, server.name, server.port, settings, watch, Opening(name)).run()


class _Prober:
    """Sends requests for one file."""

    def __init__(self, address: str, port: int, name: str, settings: Settings, watch: Watch) -> None:
        self._address, self._port, self._name = address, port, name
        self._settings, self._watch = settings, watch

    @property
    def carried(self) -> int:
        """The largest block that the route takes in one piece."""
        try:
            with Channel(self._address, self._port, ports=self._settings.port_range) as channel:
                return max(channel.carried - wire.HEADER, options.DEFAULT_BLKSIZE)
        except OSError:
            return options.DEFAULT_BLKSIZE  # the route is gone, which the next request will tell

    def ask(self, asked: dict[str, str]) -> Result:
        """Return the server's answer to a request with these options; the outcome STARTED is a good one."""

        return self._attempt(asked, Opening(self._name))

    def rate(self, blksize: int, windowsize: int) -> Rate:
        """Return how fast the file comes."""
        meter = Metering(self._name)
        began = monotonic()
        asked = {options.BLKSIZE: str(blksize)} if blksize != options.DEFAULT_BLKSIZE else {}
        asked |= {options.WINDOWSIZE: str(windowsize)} if windowsize > 1 else {}
        result = self._attempt(asked, meter)
        failed = "" if meter.enough else _reason(result)
        terms, seconds = result.terms, monotonic() - began
        return Rate(terms.blksize, terms.windowsize, result.octets, seconds, failed, result.resent)

    def _attempt(self, asked: dict[str, str], job: Job) -> Result:
        guess = Guess(self._address, asked)
        return Asking([guess], self._address, self._port, self._settings, self._watch, job).run()


def _sizes(report: Report) -> list[tuple[int, int]]:
    """Return the (blksize, windowsize) to try: each larger than those before, as far as the server grants."""
    granted = {answer.name: int(answer.granted) for answer in report.answers if answer.granted}
    largest, window = (
        granted.get(options.BLKSIZE, options.DEFAULT_BLKSIZE),
        granted.get(options.WINDOWSIZE, 1),
    )
    block = min(largest, report.carried)
    sizes = [(options.DEFAULT_BLKSIZE, 1), (block, 1), (largest, 1)]
    sizes += [(block, size) for size in WINDOWS if size < window] + [(block, min(window, WINDOWS[-1]))]
    return list(dict.fromkeys(sizes))


def _reason(result: Result) -> str:
    assert isinstance(result.outcome, Failure)
    return result.outcome.reason or f"error {result.outcome.code}"
