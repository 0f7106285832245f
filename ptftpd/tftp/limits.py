"""How much one client, and all of them together, may ask of the server.

The rule: what proves nothing takes nothing from others. A request may be forged, so its transfer gives way to
any newer one until its client has answered; of those that did, the one that stands still with the least done
goes before a newcomer is turned away. A client's own requests are not lost among forged ones in its name.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, Protocol, TypeVar

from ptftpd.tftp.rates import Rates, Repetitions

STALLED = 1.0  # seconds without a datagram after which a transfer stands still
HINDMOST = 64  # transfers found standing still in one look at all of them,
LOOK_EVERY = 0.1  # seconds, so that a flood of requests does not look at thousands of transfers for each

# What is said to a request: no; only the first datagram, not again without an answer; all that is served.
REFUSED, ONCE, ADMITTED = range(3)
# Requests above the rate that are served nevertheless, as they were asked before: so many times the rate. Of
# thousands of forged ones in a client's name some are alike by chance; its own has to be among those. Each is
# sent one datagram; an ordinary request that nobody answers as many as opening_retries says.
RESERVE = 3
SOON, LATE = 0.1, 6.0  # seconds after which firmware asks again: later than a copy of the network's comes


class Counted(Protocol):
    """A transfer as it is counted."""

    @property
    def answered(self) -> bool:
        """Whether the client has acknowledged anything, which shows that it gets what is sent."""

    @property
    def heard(self) -> float:
        """When the client was heard last."""

    @property
    def octets(self) -> int:
        """How much of the file is done."""


T = TypeVar("T", bound=Counted)


class Limits(Generic[T]):
    """Counts transfers and requests by client."""

    def __init__(self, total: int, per_client: int, rate: int) -> None:
        """total, per_client: transfers at once. rate: requests a second of one client, as many in a burst."""
        self._running: dict[T, str] = {}  # all that run, with their clients, oldest first
        self._clients: dict[str, dict[T, None]] = {}  # what each client has running, oldest first
        self._opening: dict[T, None] = {}  # what may not have been answered yet, oldest first
        self._hindmost: list[T] = []  # what stood still at the last look, the one with the least done last
        self._looked = 0.0
        self._repetitions = Repetitions(SOON, LATE)
        self.change(total, per_client, rate)

    def change(self, total: int, per_client: int, rate: int) -> None:
        """Go on with other bounds."""
        self.total, self.per_client = total, per_client
        self._requests, self._reserve = Rates(rate, rate), Rates(RESERVE * rate, RESERVE * rate)

    @property
    def running(self) -> int:
        """The number of transfers that run."""
        return len(self._running)

    def too_fast(self, client: str, now: float) -> bool:
        """Return whether a datagram comes above the client's rate; count it when it does not."""
        return self._requests.wait(client, 1, now) > 0

    def admit(self, client: str, request: Hashable, now: float) -> int:
        """Return REFUSED, ONCE or ADMITTED for a request.

        What comes above the rate is dropped, and served when it comes again.
        """
        if not self.too_fast(client, now):
            return ADMITTED
        if self._repetitions.again((client, request), now) and not self._reserve.wait(client, 1, now):
            return ONCE
        return REFUSED

    def busy(self, client: str) -> str:
        """Return the sentence to turn a client away with, '' when it may have one transfer more."""
        if self.running >= self.total:
            return "the server is busy, try again later"
        if self._full(client):
            return f"the server is busy: {self.per_client} transfers to this address are running already"
        return ""

    def in_the_way(self, client: str, now: float) -> T | None:
        """Return the transfer that is to end before this client may have one more, None for none.

        It is the oldest whose client has never answered, else the one least done of those that stand still.
        """
        if self._full(client):
            own = self._clients.get(client, {})
            silent = next((each for each in own if not each.answered), None)
            return silent or least_done(own, now)
        if self.running < self.total:
            return None
        while self._opening:
            oldest = next(iter(self._opening))
            if not oldest.answered:
                return oldest
            del self._opening[oldest]
        return self._standing_still(now)

    def begin(self, client: str, transfer: T) -> None:
        """Count a transfer that starts."""
        self._running[transfer] = client
        self._clients.setdefault(client, {})[transfer] = self._opening[transfer] = None

    def end(self, transfer: T) -> None:
        """Count a transfer that ended."""
        client = self._running.pop(transfer)
        self._opening.pop(transfer, None)
        running = self._clients[client]
        del running[transfer]
        if not running:
            del self._clients[client]

    def _full(self, client: str) -> bool:
        return len(self._clients.get(client, ())) >= self.per_client

    def _standing_still(self, now: float) -> T | None:
        """Return the transfer least done of those that stand still, about: all are looked at now and then."""
        while self._hindmost:
            last = self._hindmost[-1]
            if last in self._running and now - last.heard >= STALLED:
                return last
            self._hindmost.pop()
        if now - self._looked < LOOK_EVERY:
            return None
        self._looked = now
        still = [each for each in self._running if now - each.heard >= STALLED]
        self._hindmost = sorted(still, key=_octets)[HINDMOST - 1 :: -1]
        return self._hindmost[-1] if self._hindmost else None


def least_done(transfers: Iterable[T], now: float) -> T | None:
    """Return the transfer with the least done of those that stand still, None when all of them go on."""
    return min((each for each in transfers if now - each.heard >= STALLED), key=_octets, default=None)


def _octets(transfer: Counted) -> int:
    return transfer.octets
