"""How much one client, and all of them together, may ask of the server."""

from __future__ import annotations

# Clients whose request rate is remembered. Each entry is of use for one second, so that a flood of forged
# addresses fills the table with nothing worth keeping: it is then started anew.
MAX_CLIENTS = 65536


class Limits:
    """Counts transfers and requests by client address."""

    def __init__(self, total: int, per_client: int, rate: int) -> None:
        """total, per_client: transfers at once. rate: requests a second of one client, as many in a burst."""
        self.total, self.per_client, self.rate = total, per_client, rate
        self.running = 0
        self._clients: dict[str, int] = {}
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
        if self._clients.get(client, 0) >= self.per_client:
            return f"the server is busy: {self.per_client} transfers to this address run already"
        return ""

    def begin(self, client: str) -> None:
        """Count a transfer that starts."""
        self.running += 1
        self._clients[client] = self._clients.get(client, 0) + 1

    def end(self, client: str) -> None:
        """Count a transfer that ended."""
        self.running -= 1
        left = self._clients.pop(client) - 1
        if left:
            self._clients[client] = left
