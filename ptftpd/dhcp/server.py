"""The DHCP server's sockets: a wake-up's datagrams in, one commit, then the replies out."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial

from ptftpd import net
from ptftpd.dhcp import wire
from ptftpd.dhcp.machine import Machine, Outcome
from ptftpd.dhcp.pool import Lease, Pool, subnet
from ptftpd.dhcp.store import Store
from ptftpd.errors import Error, WireError
from ptftpd.log import INFO, WARNING, Log
from ptftpd.loop import Loop
from ptftpd.settings import Settings

MAX_BATCH = 128  # datagrams a wake-up: what one commit delays, and timers wait for
MAX_DATAGRAM = 65536


class Server:
    """Serves DHCP on one interface."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        sockets: Sequence[socket.socket],
        link: net.Link,
        settings: Settings,
        store: Store,
    ) -> None:
        """Load the leases and begin to answer; the sockets and the store are closed with the server.

        ConfigError when a setting does not fit the interface's network, Error when the leases cannot be read.
        """
        self._loop, self._log, self._store = loop, log, store
        self._sockets = tuple(sockets)
        self._buffer = bytearray(MAX_DATAGRAM)
        self._stored = True  # whether the last commit succeeded
        self._link = link
        plan = subnet(settings, link.name, link.address, link.network)
        self._machine = self._build(settings, link, Pool(plan, store.load(loop.now)))
        for sock in self._sockets:
            loop.add(sock.fileno(), partial(self._readable, sock))

    def reload(self, settings: Settings, link: net.Link) -> None:
        """Answer by other settings or another address of the interface; ConfigError changes nothing."""
        plan = subnet(settings, link.name, link.address, link.network)
        self._machine = self._build(settings, link, Pool(plan, self._machine.pool.leases()))
        self._link = link

    def status(self) -> str:
        """Return how many addresses are leased, as a sentence."""
        pool = self._machine.pool
        return f"{pool.leased(self._loop.now)} of {pool.subnet.size()} addresses leased"

    def close(self) -> None:
        """Stop answering and close the sockets and the leases."""
        for sock in self._sockets:
            self._loop.remove(sock.fileno())
            sock.close()
        self._store.close()

    @staticmethod
    def _build(settings: Settings, link: net.Link, pool: Pool) -> Machine:
        return Machine(settings, link.name, int(link.address), int(link.broadcast), pool)

    def _readable(self, sock: socket.socket, now: float) -> None:
        """Handle the datagrams that wait: replies leave once all leases they promise are stored."""
        outcomes = []
        for _ in range(MAX_BATCH):
            received = net.receive(sock, self._buffer)
            if received is None:
                break
            size, peer, _, index, direct = received
            if index != self._link.index:  # queued before the socket was bound to the interface
                self._log.drop("came in on another interface", now, f"from {peer[0]}")
                continue
            outcome = self._handle(bytes(self._buffer[:size]), peer, now, direct)
            if outcome is not None:
                outcomes.append(outcome)
        stored = self._commit([lease for outcome in outcomes for lease in outcome.commit], now)
        for outcome in outcomes:
            if outcome.commit and not stored:
                self._log.drop("the lease could not be stored", now, outcome.asked)
            else:
                self._finish(sock, outcome, now)

    def _handle(self, data: bytes, peer: tuple[str, int], now: float, direct: bool) -> Outcome | None:
        """Return what comes of a datagram, None when it is malformed."""
        try:
            return self._machine.receive(wire.decode(data), now, direct=direct)
        except WireError as error:
            self._log.drop("malformed", now, f"from {peer[0]}: {error}")
            return None

    def _commit(self, leases: Sequence[Lease], now: float) -> bool:
        """Store leases; return whether they are on the disk. A failure and its end are logged once."""
        if not leases:
            return True
        try:
            self._store.commit(leases, now)
        except Error as error:
            if self._stored:
                self._log.error("no-lease", f"{error}; no address is leased until it can be written")
            self._stored = False
            return False
        if not self._stored:
            self._log.info("lease", "the lease database can be written again")
        self._stored = True
        return True

    def _finish(self, sock: socket.socket, outcome: Outcome, now: float) -> None:
        """Send the reply of an outcome and log both."""
        if outcome.data:
            try:
                source, index = str(self._link.address), self._link.index
                net.send_from(sock, outcome.data, outcome.destination, source=source, ifindex=index)
            except OSError as error:
                self._log.drop(f"cannot send: {error.strerror}", now, f"to {outcome.destination[0]}")
                return
        if outcome.ignored:
            self._log.drop(outcome.ignored, now, outcome.asked)
        else:
            self._log.info("", outcome.asked)
        if outcome.done:
            self._log.record(
                WARNING if outcome.warning else INFO, outcome.kind, outcome.done, **outcome.fields
            )
