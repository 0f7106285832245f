"""What a request gets by one configuration: a file, the terms, and the machine that moves it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

from ptftpd import net
from ptftpd.errors import TransferError
from ptftpd.settings import Settings
from ptftpd.texts import cut
from ptftpd.tftp import netascii, options, wire
from ptftpd.tftp.catalog import Catalog, Quirks
from ptftpd.tftp.chunks import Shared, Shelf
from ptftpd.tftp.clients import Clients
from ptftpd.tftp.codes import transfer_error
from ptftpd.tftp.content import Content
from ptftpd.tftp.files import Source, failure
from ptftpd.tftp.memory import CountedMemory, Memory
from ptftpd.tftp.names import Facts
from ptftpd.tftp.outcome import PATIENCE, Backoff
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.request import Peer, Request
from ptftpd.tftp.roots import Tell
from ptftpd.tftp.sender import Sender
from ptftpd.tftp.space import Space
from ptftpd.tftp.uploads import Upload

# Blocks of a window on a shared port, unless windowsize is set. There an ACK proves nothing, for what it has
# to name is no secret: each forged one makes a window go out, to whoever has the address. What a window gains
# single_port_rate takes away again: on a cable one block after the other is as fast.
SHARED_WINDOW = 1
WINDOW, WINDOW_TIGHT = 1 << 20, 1 << 16  # octets of a window at most, and when memory is tight
# Octets of a block or window of text at most: what was converted is held until it is acknowledged, by each
# transfer. Text files are small.
TEXT = 1 << 13


class Answers:
    """The answers of one configuration; a reload makes new ones.

    They are never closed: threads may be about to open a file by them. With the last who uses them, they and
    the roots' descriptors are gone.
    """

    def __init__(
        self,
        settings: Settings,
        shelf: Shelf,
        memory: Memory,
        space: Space,
        tell: Tell = lambda sentence: None,
    ) -> None:
        """Open the roots; Error when one cannot be used, or a rule.

        shelf, memory: for what transfers share, and what they hold. space: for what is promised to uploads.
        tell: takes sentences for the record, of roots that are gone.
        """
        self._settings, self._shelf, self._memory = settings.tftp, shelf, memory
        self._counted = CountedMemory(memory.total // 4)  # beside that of the loop's own transfers
        self._windowsize = settings.tftp.windowsize
        if settings.tftp.single_port and ("tftp", "windowsize") not in settings.sources:
            self._windowsize = min(self._windowsize, SHARED_WINDOW)
        self._catalog = Catalog(settings, space, tell)
        self._clients = Clients(settings)
        self._refuse = frozenset(options.KNOWN if settings.tftp.rfc1350 else settings.tftp.refuse_option)

    def upload_faults(self) -> Iterator[str]:
        """Yield a sentence for each directory for uploads that cannot be used."""
        return self._catalog.upload_faults(writing=True)

    def prepare(self, sock: socket.socket, request: Request) -> tuple[options.Limits, Facts]:
        """Return what a client is granted at most, and is known by; TransferError when that settles it.

        sock: connected to the client or not, it tells the MTU of the route to it.
        """
        if request.mode not in ("octet", "netascii"):
            raise TransferError(
                wire.ILLEGAL, f"mode {cut(request.mode)} is not served, only octet and netascii"
            )
        limits = self._limits(sock, request.peer) if request.asked else options.Limits()
        return limits, self._clients.facts(request.peer[0], request.ifindex)

    def open(self, request: Request, facts: Facts) -> tuple[Source | Upload, Quirks]:
        """Return the file of a request, and what was done to its name; FileError says why it is refused.

        This may be called in a thread, where it may wait for a file system that hangs.
        """
        if not request.writing:
            return self._catalog.read(request.name, facts)
        announced = None
        if request.mode != "netascii":
            announced = options.negotiate(request.asked, options.Limits(), size=None, writing=True).tsize
        return self._catalog.write(request.name, facts, announced)

    def machine(
        self, request: Request, limits: options.Limits, facts: Facts, file: Source | Upload
    ) -> tuple[Sender | Receiver, options.Terms]:
        """Return what moves an open file to or from a client, and the terms of it."""
        if isinstance(file, Upload):
            return self._receiver(request, limits, file)
        return self._sender(request, limits, facts, file)

    def _sender(
        self, request: Request, limits: options.Limits, facts: Facts, content: Content
    ) -> tuple[Sender, options.Terms]:
        text = request.mode == "netascii"
        size = None if text else content.size  # how long the text becomes shows only at its end
        if text:
            limits = replace(limits, blksize=min(limits.blksize, TEXT), window=min(limits.window, TEXT))
        terms = options.negotiate(request.asked, limits, size=size)
        sender = Sender(
            netascii.Encoder(content.read, content.size).read if text else content.read,
            size,
            self._backoff(terms),
            blksize=terms.blksize,
            windowsize=terms.windowsize,
            oack=wire.make_oack(dict(terms.granted)) if terms.granted else b"",
            rollover=self._clients.rollover(facts),
            # What a thread reads is not shared with the loop: the kernel keeps it for the others.
            shared=None if text or content.may_hang else Shared(self._shelf, content),
            memory=self._counted if content.may_hang else self._memory,
        )
        return sender, terms

    def _receiver(
        self, request: Request, limits: options.Limits, upload: Upload
    ) -> tuple[Receiver, options.Terms]:
        text = request.mode == "netascii"
        terms = options.negotiate(request.asked, limits, size=None, writing=True)
        decoder = netascii.Decoder(upload.write) if text else None
        receiver = Receiver(
            decoder.write if decoder else upload.write,
            _finish(decoder, upload),
            self._backoff(terms),
            blksize=terms.blksize,
            windowsize=terms.windowsize,
            announced=None if text else terms.tsize,
            head=wire.make_oack(dict(terms.granted)) if terms.granted else b"",
        )
        return receiver, terms

    def _limits(self, sock: socket.socket, peer: Peer) -> options.Limits:
        """Return the most that a client is granted; TransferError when no route leads to it any more."""
        overhead = options.OVERHEAD6 if ":" in peer[0] else options.OVERHEAD4
        try:
            carried = max(8, net.route_mtu(sock, peer) - overhead)
        except OSError as error:
            raise transfer_error(failure(error)) from None
        return options.Limits(
            min(self._settings.blksize, carried),
            self._windowsize,
            WINDOW_TIGHT if self._memory.tight else WINDOW,
            self._refuse,
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
        )

    def _backoff(self, terms: options.Terms) -> Backoff:
        tftp = self._settings
        return Backoff(
            terms.timeout or tftp.timeout, tftp.retries, fixed=terms.timeout is not None,
            opening=min(tftp.opening_retries, tftp.retries), patience=PATIENCE,
        )  # fmt: skip


def _finish(decoder: netascii.Decoder | None, upload: Upload) -> Callable[[], None]:
    """Return what makes an upload whole: the decoder may hold back its last octet."""
    if decoder is None:
        return upload.finish

    def finish() -> None:
        decoder.finish()
        upload.finish()

    return finish
