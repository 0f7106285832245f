"""The DHCP server's sockets: a wake-up's datagrams in, one commit, then the replies out."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ptftpd import net
from ptftpd.change import Change
from ptftpd.dhcp import options, proxy, wire
from ptftpd.dhcp.bootp import Bootp
from ptftpd.dhcp.held import Held
from ptftpd.dhcp.machine import Machine
from ptftpd.dhcp.monitor import ACCOMPANIED, ALONE, Monitor
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.prober import AT_ONCE, Prober
from ptftpd.dhcp.proxy import Proxy
from ptftpd.dhcp.reply import EVERYONE, SERVER_PORT
from ptftpd.dhcp.store import Store
from ptftpd.errors import Error, WireError
from ptftpd.log import DEBUG, INFO, WARNING, Log
from ptftpd.loop import INF, Loop
from ptftpd.settings import Settings

MAX_BATCH = 512  # datagrams a wake-up: what one commit delays, some 50 ms of work, and timers wait for
MAX_DATAGRAM = 1500  # octets read of one, as Kea does: more than fits a frame; the rest counts as cut off

# (message, peer, now, sent to this server's address alone) -> what comes of it
Handler = Callable[[wire.Message, tuple[str, int], float, bool], Outcome | None]


class Server:
    """Serves DHCP, proxyDHCP, or whichever of them suits the network, on one interface."""

    scheduled = INF  # for the loop: the server itself ticks when the monitor is due

    def __init__(
        self,
        loop: Loop,
        log: Log,
        sockets: Sequence[socket.socket],
        link: net.Link,
        settings: Settings,
        store: Store,
        *,
        only_bootp: bool = False,
        with_tftp: bool = False,
    ) -> None:
        """Load the leases and begin to answer; the sockets and the store are closed with the server.

        with_tftp: this machine's TFTP server is there for the clients.

        ConfigError when a setting does not fit the interface's network, Error when the leases cannot be read.
        """
        self._loop, self._log, self._store = loop, log, store
        self._sockets = tuple(sockets)
        self._buffer = bytearray(MAX_DATAGRAM)
        self._stored = True  # whether the last commit succeeded
        self._only_bootp, self._with_tftp = only_bootp, with_tftp
        self._held = Held(loop)
        self._probers: list[Prober] = []
        self._watched: tuple[int, bytes, str] | None = None  # addresses, mode: what the monitor is for
        planned = plans(settings, link.name, link.address, link.network, link.addresses)
        self._apply(settings, link, Networks(planned, store.load(loop.now), began=loop.now))
        for sock in self._sockets:
            at_proxy_port = sock.getsockname()[1] == proxy.PORT
            loop.add(
                sock.fileno(),
                partial(self._readable, sock, self._boot_request if at_proxy_port else self._message),
            )

    def prepare(self, settings: Settings, link: net.Link) -> Change:
        """Return the change to other settings or another address of the interface, with the leases there are.

        ConfigError when the settings cannot be used.
        """
        planned = plans(settings, link.name, link.address, link.network, link.addresses)
        Machine(settings, link.name, int(link.address), Networks(planned))  # it says what is at fault

        def commit() -> None:
            before = self._machine.networks
            self._apply(settings, link, Networks(planned, before.leases(), began=before.began))

        return Change(commit)

    def reload(self, settings: Settings, link: net.Link) -> None:
        """Answer by other settings or another address of the interface; ConfigError changes nothing."""
        self.prepare(settings, link).commit()

    def status(self) -> str:
        """Return how many addresses are leased, or why none are, as a sentence."""
        if self._proxies:
            return "answering as proxyDHCP" + (f" beside {self._other}" if self._other else "")
        if self._silent:
            return "looking for another DHCP server"
        networks = self._machine.networks
        return f"{networks.leased(self._loop.now)} of {networks.size()} addresses leased"

    def tick(self, now: float) -> None:
        """Look for other DHCP servers."""
        probe = self._monitor.tick(now)
        self.deadline = self._monitor.deadline
        if probe:
            self._send(self._sockets[0], probe, (EVERYONE, SERVER_PORT), now)
        self._judge()

    def close(self) -> None:
        """Stop answering and close the sockets and the leases."""
        for sock in self._sockets:
            self._loop.remove(sock.fileno())
            sock.close()
        self._close_probers()
        self._held.close()
        self._store.close()

    def _close_probers(self) -> None:
        for prober in self._probers:
            prober.close()
        self._probers.clear()

    @property
    def _proxies(self) -> bool:
        return self._mode == "proxy" or (self._mode == "auto" and self._monitor.state == ACCOMPANIED)

    @property
    def _silent(self) -> bool:
        return self._mode == "auto" and self._monitor.state not in {ACCOMPANIED, ALONE}

    @property
    def _other(self) -> str:
        return wire.dotted(self._monitor.other) if self._monitor.other else ""

    def _apply(self, settings: Settings, link: net.Link, networks: Networks) -> None:
        own = int(link.address)
        # Neither is taken before both are made: either may find fault.
        self._machine, self._proxy = (
            Machine(settings, link.name, own, networks, with_tftp=self._with_tftp, mtu=link.mtu),
            Proxy(settings, link.name, own, networks.origins, link.mtu),
        )
        self._link, self._address = link, str(link.address)
        self._mode = "full" if self._only_bootp else settings.dhcp.mode
        self._serves_menu = bool(settings.menus)
        names = frozenset({socket.gethostname().lower(), socket.gethostname().partition(".")[0].lower()})
        self._bootp = Bootp(settings, link.name, own, networks, names)
        self._answers_bootp = self._only_bootp or settings.dhcp.bootp
        self._close_probers()
        looks_ahead = settings.dhcp.probe and self._mode != "proxy"
        share = max(1, AT_ONCE // len(networks.local)) if networks.local else AT_ONCE
        self._probers = [
            Prober(self._loop, self._log, link, network, settings.dhcp.quarantine, self._keep, share)
            for network in (networks.local if looks_ahead else ())
        ]
        self._watch(own, link.mac)
        alone = self._mode == "proxy" or self._only_bootp  # nothing hangs on another DHCP server then
        self.deadline = INF if alone else self._monitor.deadline
        self._loop.schedule(self)

    def _watch(self, own: int, mac: bytes) -> None:
        """Look for other DHCP servers anew, if that is not done already: auto is silent until it is known."""
        watched = own, mac, self._mode
        if watched != self._watched:
            self._watched, self._judged = watched, ""
            self._monitor = Monitor(own, mac, partial(random.getrandbits, 32), gives_way=self._mode == "auto")

    def _judge(self) -> None:
        """Say it when another DHCP server came or went, and what follows from that."""
        state = f"{self._monitor.state} {self._other}"
        if state == self._judged or self._monitor.state not in {ACCOMPANIED, ALONE}:
            return
        before, self._judged = self._judged, state
        name, auto = self._link.name, self._mode == "auto"
        if self._monitor.state == ACCOMPANIED and auto:
            self._log.info("", f"{self._other} serves DHCP on {name}: going on as proxyDHCP beside it")
        elif self._monitor.state == ACCOMPANIED:
            self._log.warning(
                "",
                f"{self._other} serves DHCP on {name} too: clients get addresses from either; "
                "stop one, or set mode = proxy or auto in [dhcp]",
            )
        elif auto or before:
            self._log.info("", f"no other DHCP server answers on {name}: leasing addresses here")

    def _readable(self, sock: socket.socket, handle: Handler, now: float) -> None:
        """Handle the datagrams that wait: replies leave once all leases they promise are stored."""
        with self._log.together():
            promises = []
            for outcome in self._outcomes(sock, handle, now):
                if outcome.commit:
                    promises.append(outcome)
                else:
                    self._held.hold(partial(self._finish, sock, outcome), outcome.delay, now)
            if promises:
                self._keep_promises(sock, promises, now)
        for prober in self._probers:
            prober.hurry(now)

    def _outcomes(self, sock: socket.socket, handle: Handler, now: float) -> Iterator[Outcome]:
        """Yield what comes of each datagram that waits."""
        for _ in range(MAX_BATCH):
            received = net.receive(sock, self._buffer)
            if received is None:
                break
            size, peer, _, index, direct = received
            if index != self._link.index:  # queued before the socket was bound to the interface
                self._log.drop("came in on another interface", now, f"from {peer[0]}")
                continue
            try:
                outcome = handle(wire.decode(bytes(self._buffer[:size])), peer, now, direct)
            except WireError as error:
                self._log.drop("malformed", now, f"from {peer[0]}: {error}")
                continue
            if outcome is not None:
                yield outcome

    def _keep_promises(self, sock: socket.socket, outcomes: Sequence[Outcome], now: float) -> None:
        """Store all leases that the outcomes promise in one commit, then let the replies leave."""
        stored = self._commit([lease for outcome in outcomes for lease in outcome.commit], now)
        for outcome in outcomes:
            if stored:
                self._held.hold(partial(self._finish, sock, outcome), outcome.delay, now)
            else:
                self._log.drop("the lease could not be stored", now, outcome.asked)

    def _message(
        self, message: wire.Message, peer: tuple[str, int], now: float, direct: bool
    ) -> Outcome | None:
        """Return what comes of a message to port 67, None when it was the monitor's."""
        if self._monitor.receive(message, now):
            self._judge()
            self.deadline = min(self.deadline, self._monitor.deadline)
            self._loop.schedule(self)
            return None
        source = wire.number(socket.inet_aton(peer[0]))
        is_bootp = options.MESSAGE_TYPE not in message.options
        if self._only_bootp and not is_bootp:
            return Outcome(None, self._link.name, ignored="DHCP, not BOOTP")
        if self._silent:  # towards BOOTP clients too: their addresses would be theirs for ever
            return Outcome(None, self._link.name, ignored="still looking for another DHCP server")
        if self._proxies:
            return self._proxy.receive(message, direct=direct, source=source)
        if is_bootp and self._answers_bootp:
            return self._bootp.receive(message, now, direct=direct, source=source)
        return self._machine.receive(message, now, direct=direct, source=source)

    def _boot_request(
        self, message: wire.Message, peer: tuple[str, int], now: float, direct: bool
    ) -> Outcome | None:
        """Return what comes of a message to port 4011; only a proxy or a menu sends clients there."""
        if not (self._proxies or self._serves_menu):
            return Outcome(None, self._link.name, ignored="asks the proxyDHCP port, but this is not a proxy")
        return self._proxy.receive_boot_request(message, peer)

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

    def _keep(self, lease: Lease, now: float) -> None:
        """Store what was found out about an address; it holds in memory if it cannot be stored."""
        self._commit([lease], now)

    def _finish(self, sock: socket.socket, outcome: Outcome, now: float) -> None:
        """Send the reply of an outcome and log both."""
        if outcome.data and not self._send(sock, outcome.data, outcome.destination, now, outcome.source):
            return
        if outcome.ignored:
            self._log.drop(outcome.ignored, now, outcome.asked)
        elif outcome.boots or self._log.level >= DEBUG:
            self._log.info("", outcome.asked)
        if outcome.done:
            self._log.record(
                WARNING if outcome.warning else INFO, outcome.kind, outcome.done, **outcome.fields
            )

    def _send(
        self, sock: socket.socket, data: bytes, destination: tuple[str, int], now: float, source: str = ""
    ) -> bool:
        """Send a datagram, from the address that is served from if no other is given.

        Return whether the kernel took it.
        """
        try:
            net.send_from(sock, data, destination, source=source or self._address, ifindex=self._link.index)
        except OSError as error:
            self._log.drop(f"cannot send: {error.strerror}", now, f"to {destination[0]}")
            return False
        return True
