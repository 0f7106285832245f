"""How a transfer ended, and when to try again: shared by the Sender, the Receiver and the client."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

INF = inf

MIN_WAIT = 0.1  # seconds: below it the timer would race firmware that polls its network card
PATIENCE = 60.0  # seconds of silence at most that a server endures at an interval its peer chose (RFC 2349)
MAX_WAIT = 8.0  # seconds: long enough for a switch port that comes up, short enough to notice the end

DEFAULT_TIMEOUT = 1.0  # seconds, until the round trip is measured
DEFAULT_RETRIES = 6


@dataclass(frozen=True)
class Failure:
    """A transfer that ended early: code of RFC 1350, a reason, and whether the peer said so."""

    code: int
    reason: str
    from_peer: bool = False


class Success:
    """The type of OK, the outcome of a whole transfer."""


OK = Success()

Outcome = Success | Failure | None


class Backoff:
    """The retransmission timer of RFC 1123 §4.2.3.2: measured round trip, exponential back-off, bounded.

    wait is the time in seconds to wait for an answer to what is sent now; retries is how often it is sent
    again without one, as things stand.
    """

    __slots__ = ("_fixed", "_once_answered", "_rto", "_srtt", "_var", "initial", "retries", "tries", "wait")

    def __init__(
        self,
        initial: float,
        retries: int,
        *,
        fixed: bool = False,
        opening: int | None = None,
        patience: float = INF,
    ) -> None:
        """initial: seconds, until measured. fixed: the peer chose it (RFC 2349), nothing changes it.

        opening: retries until the peer has answered for the first time, when other than retries. patience:
        seconds that a fixed time and its retries last at most; an interval above the half of it is cut, so
        that one retry is left.
        """
        if fixed:
            initial = min(initial, patience / 2)
            retries = int(min(retries, patience // initial - 1)) if patience < INF else retries
            opening = None if opening is None else min(opening, retries)
        self.initial = self.wait = self._rto = initial
        self._once_answered = retries
        self.retries = retries if opening is None else opening
        self.tries = 0
        self._fixed = fixed
        self._srtt = 0.0
        self._var = 0.0

    def answered(self, rtt: float | None) -> None:
        """Start anew after an answer; rtt in seconds, None when it may answer an earlier copy (Karn)."""
        self.tries = 0
        self.retries = self._once_answered
        if rtt is not None and not self._fixed:
            srtt = self._srtt
            if srtt:
                error = rtt - srtt
                self._srtt = srtt = srtt + error / 8
                self._var = var = self._var + ((error if error > 0 else -error) - self._var) / 4
            else:
                self._srtt = srtt = rtt
                self._var = var = rtt / 2
            rto = srtt + 4 * var
            self._rto = MIN_WAIT if rto < MIN_WAIT else min(rto, MAX_WAIT)
        self.wait = self._rto

    def again(self) -> bool:
        """Lengthen wait for one more try; False when the retries are used up.

        The first retransmission comes after the measured time; the following ones start from the
        initial time at least, so that a burst of tries does not end within a second.
        """
        self.tries += 1
        if self.tries > self.retries:
            return False
        if not self._fixed:
            self.wait = min(MAX_WAIT, max(2 * self.wait, self.initial))
        return True
