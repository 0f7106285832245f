"""How much one client, and all of them together, may ask of the server."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

# Clients whose request rate is remembered. Each entry is of use for one second, so that a flood of forged
# addresses fills the table with nothing worth keeping: it is then started anew.
MAX_CLIENTS = 65536


class Counted(Protocol):
    """A transfer as it is counted."""

    @property
    def answered(self) -> bool:
        """Whether the client has said anything since its request."""


T = TypeVar("T", bound=Counted)


class Limits(Generic[T]):
    """Counts transfers and requests by client address."""

    def __init__(self, total: int, per_client: int, rate: int) -> None:
        """total, per_client: transfers at once. rate: requests a second of one client, as many in a burst."""
        self.total, self.per_client, self.rate = total, per_client, rate
        self.running = 0
        self._clients: dict[str, dict[T, None]] = {}  # what each client has running, oldest first
        self._opening: dict[T, None] = {}  # what may not have been answered yet, oldest first
        self._allowance: dict[str, tuple[float, float]] = {}  # client -> (requests left, as of this time)

    def change(self, total: int, per_client: int, rate: int) -> None:
        """Go on with other bounds."""
        self.total, self.per_client, self.rate = total, per_client, rate

    def too_fast(self, client: str, now: float) -> bool:
        """Return whether a request comes above the client's rate; count it when it does not."""
        left, since = self._allowance.get(client, (float(self.rate), now))
        left = min(float(self.rate), left + (now - since) * self.rate)
        if left < 1:
            return True
        if len(self._allowance) >= MAX_CLIENTS:
            self._allowance.clear()
        self._allowance[client] = (left - 1, now)
        return False

    def busy(self, client: str) -> str:
        """Return the sentence to turn a client away with, '' when it may have one transfer more."""
        if self.running >= self.total:
            return "the server is busy, try again later"
        if self._full(client):
            return f"the server is busy: {self.per_client} transfers to this address are running already"
        return ""

    def in_the_way(self, client: str) -> T | None:
        """Return the transfer that is to end before this client may have one more, None for none.

        It is the oldest whose client has never answered. Requests with forged addresses would else keep out
        all clients, or the one that has the address, for as long as they are answered again.
        """
        if self._full(client):
            return next((each for each in self._clients.get(client, ()) if not each.answered), None)
        while self.running >= self.total and self._opening:
            oldest = next(iter(self._opening))
            if not oldest.answered:
                return oldest
            del self._opening[oldest]
        return None

    def begin(self, client: str, transfer: T) -> None:
        """Count a transfer that starts."""
        self.running += 1
        self._clients.setdefault(client, {})[transfer] = self._opening[transfer] = None

    def end(self, client: str, transfer: T) -> None:
        """Count a transfer that ended."""
        self.running -= 1
        self._opening.pop(transfer, None)
        running = self._clients[client]
        del running[transfer]
        if not running:
            del self._clients[client]

    def _full(self, client: str) -> bool:
        return len(self._clients.get(client, ())) >= self.per_client
