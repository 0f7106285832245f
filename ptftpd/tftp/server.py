"""The TFTP server: takes requests from port 69, decides on each, and starts a transfer of its own for it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from functools import partial

from ptftpd import net, runs
from ptftpd.change import Change
from ptftpd.errors import FileError, TransferError, WireError
from ptftpd.log import Log
from ptftpd.loop import Loop
from ptftpd.settings import Settings
from ptftpd.texts import cut
from ptftpd.tftp import options, wire
from ptftpd.tftp.answers import Answers
from ptftpd.tftp.chunks import Shelf
from ptftpd.tftp.codes import transfer_error
from ptftpd.tftp.files import failure
from ptftpd.tftp.limits import ONCE, REFUSED, STALLED, Limits, least_done
from ptftpd.tftp.memory import Memory
from ptftpd.tftp.names import Facts
from ptftpd.tftp.openings import Opened, Openings
from ptftpd.tftp.outcome import OK, Outcome
from ptftpd.tftp.pools import Pools
from ptftpd.tftp.ports import OwnPort, SharedPort
from ptftpd.tftp.rates import Rates
from ptftpd.tftp.request import Peer, Request
from ptftpd.tftp.sources import Sources
from ptftpd.tftp.space import Space
from ptftpd.tftp.transfer import Transfer

_OF_A_TRANSFER = (wire.make_data(0, b"")[:2], wire.make_ack(0)[:2])
_REQUESTS = (b"\0\1", b"\0\2")  # as RRQ and WRQ begin
MAX_LOCALS = 64  # addresses of this machine remembered; a machine has few, unless it is a whole network
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
        workers: int = 1,
        space: Space | None = None,
    ) -> None:
        """ifindex: the only interface to serve; 0 serves every one. Error when a root cannot be used.

        workers: the number of processes that share the memory for transfers. space: what all of them have
        promised to uploads.
        """
        self.loop, self.log = loop, log
        self.buffer = bytearray(65536)
        self.outbox: list[Transfer] = []  # transfers that have something to send in this wake-up
        self.transfers: dict[
            Transfer, None
        ] = {}  # those that run and those that dally, each bounded by max_transfers
        # Uploads that are whole and wait for a last block that is repeated, the first to end first. They have
        # given their place to others, and each takes a descriptor for some seconds: as many as may run.
        self._dallying: dict[Transfer, None] = {}
        # By the client's TID and the address that it asked, oldest first. There is more than one only until
        # the newest is acknowledged: a request may be forged, and what runs is not ended for it.
        self._by_tid: dict[tuple[Peer, str], list[Transfer]] = {}
        self.sent = self.received = 0
        self._shelf, self._space = Shelf(), space or Space()
        tftp = settings.tftp
        self._workers = workers
        self._memory = Memory(tftp.transfer_memory // workers)
        self.limits = Limits[Transfer](tftp.max_transfers, tftp.max_client_transfers, tftp.request_rate)
        self._sources = Sources()
        self._locals: set[str] = set()  # addresses of this machine that were asked
        self.pools = Pools(loop)
        self._openings = Openings(loop, self.pools, log)
        self._ifindex = ifindex
        self._draining = False
        self._sockets = tuple(sockets)
        self._apply(settings, self._answers_by(settings))
        for sock in sockets if tftp.single_port else ():
            net.report_errors(sock)
        loop.every_wakeup(self._flush)
        for sock in sockets:
            loop.add(sock.fileno(), partial(self.listen, sock), exclusive=True)

    def prepare(self, settings: Settings) -> Change:
        """Return the change to other settings for new requests; running transfers keep theirs.

        Error when they cannot be used.
        """
        answers = self._answers_by(settings)

        def commit() -> None:
            self._apply(settings, answers)

        return Change(commit)

    def reload(self, settings: Settings) -> None:
        """Answer new requests by other settings. Error changes nothing."""
        self.prepare(settings).commit()

    def _answers_by(self, settings: Settings) -> Answers:
        tell = partial(self.pools.call, partial(self.log.warning, ""))  # from any thread
        return Answers(settings, self._shelf, self._memory, self._space, tell)

    def record_faults(self) -> None:
        """Record what uploads lack, before a client finds out."""

        def record(faults: list[str] | Exception) -> None:
            if isinstance(faults, FileError):
                return  # busy: its clients are told so
            if isinstance(faults, Exception):
                self.log.failed("looking for what uploads lack", faults)
                return
            for fault in faults:
                self.log.warning("", fault)

        answers = self._answers
        self._openings.look(lambda: list(answers.upload_faults()), record)

    def status(self) -> str:
        """Return what is going on as a sentence."""
        counts = f"{self.limits.running} transfers running, {self.sent} files sent"
        counts += f", {self.received} received" if self.received else ""
        hanging = ", ".join(self.pools.hanging())
        return f"{counts}; {hanging}: the file system does not answer" if hanging else counts

    def drain(self) -> None:
        """Take no more requests; running transfers go on."""
        self._draining = True
        if not self._settings.single_port:  # where running transfers need it
            self._close_sockets()

    def close(self) -> None:
        """Stop listening and drop the transfers that are running."""
        for transfer in list(self.transfers):
            transfer.abandon("the server was stopped", self.loop.now)
        self._openings.close()
        self._close_sockets()
        self.pools.close()

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            self.loop.remove(sock.fileno())
            sock.close()
        self._sockets = ()

    def answered(self, transfer: Transfer) -> None:
        """End what its client had running before, now that it is known to want this instead."""
        rivals = self._by_tid.get((transfer.request.peer, transfer.request.local), [])
        for older in rivals[: rivals.index(transfer)]:
            older.abandon("the client started over", self.loop.now)

    def ended(self, transfer: Transfer, outcome: Outcome) -> None:
        """Count a transfer whose outcome is known; it may dally on."""
        self.limits.end(transfer)
        if outcome is not OK:
            return
        if not transfer.request.writing:
            self.sent += 1
            return
        self.received += 1
        while len(self._dallying) >= self.limits.total:
            next(iter(self._dallying)).close()  # it was acknowledged: only if that was lost it is missed
        self._dallying[transfer] = None

    def closed(self, transfer: Transfer) -> None:
        """Forget a transfer."""
        key = transfer.request.peer, transfer.request.local
        del self.transfers[transfer]
        self._dallying.pop(transfer, None)
        rivals = self._by_tid[key]
        rivals.remove(transfer)
        if not rivals:
            del self._by_tid[key]
        if not self.transfers:
            self._shelf.clear()

    def _flush(self, now: float) -> None:
        for transfer in self.outbox:
            transfer.flush(now)
        self.outbox.clear()

    def _apply(self, settings: Settings, answers: Answers) -> None:
        self._settings = tftp = settings.tftp
        self._answers = answers
        self._memory.total = tftp.transfer_memory // self._workers
        self.limits.change(tftp.max_transfers, tftp.max_client_transfers, tftp.request_rate)
        self._paces = Rates(tftp.single_port_rate, tftp.single_port_rate / 4)

    # Requests ----------------------------------------------------------------------------------

    def listen(self, sock: socket.socket, now: float) -> None:
        """Take what is queued on a socket."""
        if self._settings.single_port:
            self._end_unreachable(sock, now)
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
                self.log.drop("TFTP request while stopping", now, peer[0])  # the next one answers
            else:
                self._request(sock, bytes(self.buffer[:size]), peer, local, index, now)

    def _is_answer(self, size: int, peer: Peer, local: str, now: float) -> bool:
        """Return whether the datagram belongs to a transfer on the shared port, which then has got it."""
        transfers = self._by_tid.get((peer, local))
        if not transfers or self.buffer[1] in (wire.RRQ, wire.WRQ):
            return False
        transfers[0].take(self.buffer, size, now)
        return True

    def _end_unreachable(self, sock: socket.socket, now: float) -> None:
        """End the transfers on the shared port whose clients are not there, as ICMP says."""
        for peer in net.unreachable(sock, BATCH):
            for local in self._locals:
                for transfer in self._by_tid.get((peer, local), [])[:]:
                    transfer.refused(now)

    def pace(self, transfer: Transfer, octets: int, now: float) -> float:
        """Return the seconds until so many octets may go to a transfer's client from the shared port."""
        return self._paces.wait(transfer.request.client, min(octets, self._paces.burst), now)

    def _request(
        self, sock: socket.socket, datagram: bytes, peer: Peer, local: str, ifindex: int, now: float
    ) -> None:
        client = self._sources.of(peer[0], ifindex, now)
        try:
            asked = wire.request(datagram)
        except WireError as error:
            self.log.drop("malformed TFTP request", now, f"{peer[0]}: {error}")
            if datagram[:2] in _REQUESTS and len(datagram) >= wire.HEADER:
                # Silence would cost the device its timeouts.
                self._tell(sock, peer, local, client, wire.make_error(wire.ILLEGAL, str(error)), now)
            elif self._settings.single_port and datagram[:2] in _OF_A_TRANSFER:
                # RFC 1350 §4: its transfer ended, or never was. Where each has its own port, ICMP says so.
                reason = "no transfer with this port is known here"
                self._tell(sock, peer, local, client, wire.make_error(wire.UNKNOWN_TID, reason), now)
            return
        verdict = self.limits.admit(client, (peer[1], datagram), now)
        if verdict == REFUSED:
            self.log.drop("TFTP requests above request_rate", now, peer[0])
            return
        for running in reversed(self._by_tid.get((peer, local), ())):
            if verdict == ONCE and running.request.datagram == datagram:
                return  # what comes above the rate has nothing sent again
            if running.repeated(datagram, now):
                return
        if self._settings.single_port and not self._vacate(peer, local, now):
            return
        self._begin(sock, Request(datagram, peer, local, ifindex, *asked, client, verdict == ONCE), now)

    def _vacate(self, peer: Peer, local: str, now: float) -> bool:
        """Make room for another transfer to a client's TID on the shared port; return whether that may be.

        Its ACKs could be for either transfer, so that there is one only. The one that runs stays until it
        stands still: the request may be forged, and a client that started over asks again.
        """
        for running in self._by_tid.get((peer, local), [])[:]:
            if running.answered and not running.ended and now - running.heard < STALLED:
                self.log.drop("TFTP requests from the port of a running transfer", now, peer[0])
                return False
            running.abandon("the client started over", now)
        return True

    def _begin(self, sock: socket.socket, request: Request, now: float) -> None:
        """Start the transfer that answers a request, or refuse it; only a start costs another its place."""
        client, shared = request.client, self._settings.single_port
        if self._openings.has(request):
            return  # the same request is being dealt with
        own = None
        try:
            if not shared:
                own = self._own_socket(request)
            busy = self.limits.busy(client)
            if busy and not self.limits.in_the_way(client, now):
                raise TransferError(wire.UNDEFINED, busy)
            limits, facts = self._answers.prepare(own or sock, request)
        except TransferError as error:
            self._refuse_request(own or sock, request, error, shared=own is None)
            return

        def opened(result: Opened | FileError) -> None:
            if isinstance(result, FileError):
                self._refuse_request(own or sock, request, transfer_error(result), shared=own is None)
            else:
                self._start(sock, own, request, limits, facts, result)

        self._openings.open(request, partial(self._answers.open, request, facts), opened)

    def _start(
        self,
        sock: socket.socket,
        own: socket.socket | None,
        request: Request,
        limits: options.Limits,
        facts: Facts,
        opened: Opened,
    ) -> None:
        """Start the transfer of an open file, or refuse it."""
        (file, request.quirks), now = opened, self.loop.now
        client, shared = request.client, self._settings.single_port
        try:
            busy = self.limits.busy(client)
            if busy and not self.limits.in_the_way(client, now):
                raise TransferError(wire.UNDEFINED, busy)
            machine, terms = self._answers.machine(request, limits, facts, file)
            if not (own or shared):
                own = self._vacated_socket(request, now)
        except TransferError as error:
            self._openings.release(file)
            self._refuse_request(own or sock, request, error, shared=own is None)
            return
        while busy and (least := self.limits.in_the_way(client, now)):
            self._displace(least, now)
        kind = SharedPort if shared else OwnPort
        transfer = kind(self, request, own or sock, file, machine, terms)
        self.transfers[transfer] = None
        if len(self._locals) < MAX_LOCALS:
            self._locals.add(request.local)
        self._by_tid.setdefault((request.peer, request.local), []).append(transfer)
        self.limits.begin(client, transfer)
        transfer.start(now)

    def _own_socket(self, request: Request) -> socket.socket | None:
        """Return a socket with a port of its own for a transfer, None when every port is taken.

        TransferError when there is another reason.
        """
        try:
            return net.connected(request.local, request.peer, ports=self._settings.port_range)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            if error.errno == errno.EACCES:
                reason = "the server may not answer: its port is below 1024, or the route is prohibited"
                raise TransferError(wire.UNDEFINED, reason) from None
            raise transfer_error(failure(error)) from None

    def _vacated_socket(self, request: Request, now: float) -> socket.socket:
        """Return a socket with the port of a transfer that needs it less; TransferError when all need it."""
        while least := self._least_needed(request.local, now):
            self._displace(least, now)
            own = self._own_socket(request)
            if own:  # else a reload named other ports, or another worker was faster
                return own
        reason = "the server is busy: every port that it may answer from is taken"
        raise TransferError(wire.UNDEFINED, reason)

    def _least_needed(self, local: str, now: float) -> Transfer | None:
        """Return the transfer that may lose its port of an address, None when all of them are needed.

        It is the oldest that only dallies, as its file is whole, else the oldest that was never answered,
        else the one least done of those that stand still.
        """
        here = [each for each in self.transfers if each.request.local == local]
        spare = (each for each in here if each.ended or not each.answered)
        return min(spare, key=lambda each: not each.ended, default=None) or least_done(here, now)

    def _displace(self, transfer: Transfer, now: float) -> None:
        """End a transfer for a newer one."""
        if not transfer.ended:
            what = "stood still" if transfer.answered else "were never answered"
            self.log.drop(
                f"TFTP transfers that {what}, to make room for newer ones", now, transfer.request.peer[0]
            )
        transfer.give_way()

    def _tell(
        self, sock: socket.socket, peer: Peer, local: str, client: str, answer: bytes, now: float
    ) -> None:
        """Send an answer from the port of requests, unless it comes above the client's rate."""
        if not self.limits.too_fast(client, now):
            runs.Burst(sock, len(answer), peer=peer, local=local).send(answer)

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
            "refused", f"refused {client} to {verb} {cut(name)}: {error.explained}",
            TFTP_CLIENT=client, TFTP_FILE=name, TFTP_ERROR=error.code,
        )  # fmt: skip
