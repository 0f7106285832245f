"""The TFTP server: takes requests from port 69, decides on each, and starts a transfer of its own for it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from ptftpd import net, runs
from ptftpd.errors import TransferError, WireError
from ptftpd.log import Log
from ptftpd.loop import Loop
from ptftpd.settings import Settings
from ptftpd.tftp import netascii, options, wire
from ptftpd.tftp.catalog import Catalog, Quirks
from ptftpd.tftp.chunks import Shared, Shelf
from ptftpd.tftp.clients import Clients
from ptftpd.tftp.files import Source, failure
from ptftpd.tftp.limits import Limits
from ptftpd.tftp.names import Facts
from ptftpd.tftp.outcome import OK, Backoff, Outcome
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender
from ptftpd.tftp.transfer import Peer, Request, Transfer
from ptftpd.tftp.uploads import Upload

_OF_A_TRANSFER = (wire.make_data(0, b"")[:2], wire.make_ack(0)[:2])
BATCH = 64  # requests taken a wake-up, so that a flood of them does not starve running transfers


class Server:
    """Answers requests on its sockets until closed."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        sockets: Sequence[socket.socket],
        settings: Settings,
        *,
        ifindex: int = 0,
    ) -> None:
        """ifindex: the only interface to serve; 0 serves every one. Error when a root cannot be used."""
        self.loop, self.log = loop, log
        self.buffer = bytearray(65536)
        self.outbox: list[Transfer] = []  # transfers that have something to send in this wake-up
        self.transfers: dict[tuple[Peer, str], Transfer] = {}  # bounded by max_transfers, and the dallying
        self.sent = self.received = 0
        self._shelf = Shelf()
        tftp = settings.tftp
        self.limits = Limits[Transfer](tftp.max_transfers, tftp.max_client_transfers, tftp.request_rate)
        self._ifindex = ifindex
        self._draining = False
        self._sockets = tuple(sockets)
        self._apply(settings, Catalog(settings))
        loop.every_wakeup(self._flush)
        for sock in sockets:
            loop.add(sock.fileno(), _Listener(self, sock), exclusive=True)

    def reload(self, settings: Settings) -> None:
        """Answer new requests by other settings; running transfers keep theirs. Error changes nothing."""
        catalog = Catalog(settings)
        self._catalog.close()
        self._apply(settings, catalog)

    def record_faults(self) -> None:
        """Record what uploads lack, before a client finds out."""
        for fault in self._catalog.upload_faults(writing=True):
            self.log.warning("", fault)

    def status(self) -> str:
        """Return what is going on as a sentence."""
        counts = f"{self.limits.running} transfers running, {self.sent} files sent"
        return f"{counts}, {self.received} received" if self.received else counts

    def drain(self) -> None:
        """Take no more requests; running transfers go on."""
        self._draining = True
        if not self._settings.single_port:  # where running transfers need it
            self._close_sockets()

    def close(self) -> None:
        """Stop listening and drop the transfers that are running."""
        for transfer in list(self.transfers.values()):
            transfer.abandon("the server was stopped", self.loop.now)
        self._close_sockets()
        self._catalog.close()

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            self.loop.remove(sock.fileno())
            sock.close()
        self._sockets = ()

    def ended(self, transfer: Transfer, outcome: Outcome) -> None:
        """Count a transfer whose outcome is known; it may dally on."""
        self.limits.end(transfer.request.peer[0], transfer)
        if outcome is OK:
            self.received += transfer.request.writing
            self.sent += not transfer.request.writing

    def closed(self, transfer: Transfer) -> None:
        """Forget a transfer."""
        key = transfer.request.peer, transfer.request.local
        if self.transfers.get(key) is transfer:
            del self.transfers[key]
            if not self.transfers:
                self._shelf.clear()

    def _flush(self, now: float) -> None:
        for transfer in self.outbox:
            transfer.flush(now)
        self.outbox.clear()

    def _apply(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = tftp = settings.tftp
        self._catalog = catalog
        self._clients = Clients(settings)
        self._refuse = frozenset(options.KNOWN if tftp.rfc1350 else tftp.refuse_option)
        self.limits.change(tftp.max_transfers, tftp.max_client_transfers, tftp.request_rate)

    # Requests ----------------------------------------------------------------------------------

    def listen(self, sock: socket.socket, now: float) -> None:
        """Take what is queued on a socket."""
        for _ in range(BATCH):
            received = net.receive(sock, self.buffer)
            if received is None:
                return
            size, peer, local, index, direct = received
            if self._ifindex and index != self._ifindex:
                self.log.drop("TFTP request through another interface", now, peer[0])
            elif not direct:
                # RFC 1123 §4.2.3.5: a request to a broadcast address is ignored silently.
                self.log.drop("TFTP request to a broadcast address", now, peer[0])
            elif self._settings.single_port and self._is_answer(size, peer, local, now):
                continue
            elif self._draining:
                self.log.drop("TFTP request while the server stops", now, peer[0])  # the next one answers
            else:
                self._request(sock, bytes(self.buffer[:size]), peer, local, index, now)

    def _is_answer(self, size: int, peer: Peer, local: str, now: float) -> bool:
        """Return whether the datagram belongs to a transfer on the shared port, which then has got it."""
        transfer = self.transfers.get((peer, local))
        if transfer is None or self.buffer[1] in (wire.RRQ, wire.WRQ):
            return False
        transfer.take(self.buffer, size, now)
        return True

    def _request(
        self, sock: socket.socket, datagram: bytes, peer: Peer, local: str, ifindex: int, now: float
    ) -> None:
        try:
            opcode, name, mode, asked = wire.request(datagram)
        except WireError as error:
            self.log.drop("malformed TFTP request", now, f"{peer[0]}: {error}")
            if self._settings.single_port and datagram[:2] in _OF_A_TRANSFER:
                self._disown(sock, peer, local, now)
            return
        if self.limits.too_fast(peer[0], now):
            self.log.drop("TFTP requests above request_rate", now, peer[0])
            return
        running = self.transfers.get((peer, local))
        if running is not None:
            if running.repeated(datagram, now):
                return
            running.abandon("the client started over", now)
        silent = self.limits.in_the_way(peer[0])
        if silent is not None:
            address = silent.request.peer[0]
            self.log.drop("TFTP requests whose client never answered, for newer ones", now, address)
            silent.give_way()
        request = Request(datagram, peer, local, opcode, name, mode)
        shared = self._settings.single_port
        try:
            own = sock if shared else net.connected(local, peer, ports=self._settings.port_range)
        except OSError as error:
            self._refuse_request(sock, request, failure(error), shared=True)
            return
        try:
            transfer = self._accept(own, request, asked, ifindex, shared)
        except TransferError as error:
            self._refuse_request(own, request, error, shared=shared)
            return
        self.transfers[peer, local] = transfer
        self.limits.begin(peer[0], transfer)
        transfer.start(now)

    def _disown(self, sock: socket.socket, peer: Peer, local: str, now: float) -> None:
        """Tell who sends for a transfer that there is none (RFC 1350 §4); it ended, or never was.

        Where each transfer has a port of its own, the kernel says so by ICMP.
        """
        if not self.limits.too_fast(peer[0], now):
            answer = wire.make_error(wire.UNKNOWN_TID, "no transfer with this port is known here")
            runs.Burst(sock, len(answer), peer=peer, local=local).send(answer)

    def _accept(
        self, sock: socket.socket, request: Request, asked: dict[str, str], ifindex: int, shared: bool
    ) -> Transfer:
        """Return the transfer that answers a request; TransferError says why it is refused."""
        if request.mode not in ("octet", "netascii"):
            raise TransferError(wire.ILLEGAL, f"mode {request.mode} is not served, only octet and netascii")
        busy = self.limits.busy(request.peer[0])
        if busy:
            raise TransferError(wire.UNDEFINED, busy)
        limits = self._limits(sock, request.peer) if asked else options.Limits()
        facts = self._clients.facts(request.peer[0], ifindex)
        accept = self._accept_write if request.writing else self._accept_read
        file, machine, terms, request.quirks = accept(request, asked, limits, facts)
        return Transfer(self, request, sock, file, machine, terms, shared=shared)

    def _accept_read(
        self, request: Request, asked: dict[str, str], limits: options.Limits, facts: Facts
    ) -> tuple[Source, Sender, options.Terms, Quirks]:
        source, quirks = self._catalog.read(request.name, facts)
        text = request.mode == "netascii"
        size = None if text else source.size  # how long the text becomes shows only at its end
        terms = options.negotiate(asked, limits, size=size)
        sender = Sender(
            netascii.Encoder(source.read).read if text else source.read,
            size,
            self._backoff(terms),
            blksize=terms.blksize,
            windowsize=terms.windowsize,
            oack=wire.make_oack(dict(terms.granted)) if terms.granted else b"",
            rollover=self._clients.rollover(facts),
            shared=None if text else Shared(self._shelf, source.fd),
        )
        return source, sender, terms, quirks

    def _accept_write(
        self, request: Request, asked: dict[str, str], limits: options.Limits, facts: Facts
    ) -> tuple[Upload, Receiver, options.Terms, Quirks]:
        text = request.mode == "netascii"
        terms = options.negotiate(asked, limits, size=None, writing=True)
        upload, quirks = self._catalog.write(request.name, facts, None if text else terms.tsize)
        decoder = netascii.Decoder(upload.write) if text else None
        receiver = Receiver(
            decoder.write if decoder else upload.write,
            _finish(decoder, upload),
            self._backoff(terms),
            blksize=terms.blksize,
            windowsize=terms.windowsize,
            head=wire.make_oack(dict(terms.granted)) if terms.granted else b"",
        )
        return upload, receiver, terms, quirks

    def _limits(self, sock: socket.socket, peer: Peer) -> options.Limits:
        """Return the most that a client is granted; TransferError when no route leads to it any more."""
        overhead = options.OVERHEAD6 if ":" in peer[0] else options.OVERHEAD4
        try:
            carried = max(8, net.route_mtu(sock, peer) - overhead)
        except OSError as error:
            raise failure(error) from None
        tftp = self._settings
        return options.Limits(min(tftp.blksize, carried), tftp.windowsize, refuse=self._refuse)

    def _backoff(self, terms: options.Terms) -> Backoff:
        tftp = self._settings
        return Backoff(
            terms.timeout or tftp.timeout, tftp.retries, fixed=terms.timeout is not None,
            opening=min(tftp.opening_retries, tftp.retries),
        )  # fmt: skip

    def _refuse_request(
        self, sock: socket.socket, request: Request, error: TransferError, *, shared: bool
    ) -> None:
        answer = wire.make_error(error.code, error.reason)
        burst = runs.Burst(sock, len(answer), peer=request.peer if shared else None, local=request.local)
        try:
            burst.send(answer)
        except ConnectionRefusedError:
            pass  # the client has gone already
        if not shared:
            sock.close()
        client, name = request.peer[0], request.name
        verb = "write" if request.writing else "read"
        self.log.info(
            "refused", f"refused {client} to {verb} {name}: {error.reason}",
            TFTP_CLIENT=client, TFTP_FILE=name, TFTP_ERROR=error.code,
        )  # fmt: skip


class _Listener:
    """The handler of one socket that requests come from."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server, self._sock = server, sock

    def __call__(self, now: float) -> None:
        self._server.listen(self._sock, now)


def _finish(decoder: netascii.Decoder | None, upload: Upload) -> Callable[[], None]:
    """Return what makes an upload whole: the decoder may hold back its last octet."""
    if decoder is None:
        return upload.finish

    def finish() -> None:
        decoder.finish()
        upload.finish()

    return finish
