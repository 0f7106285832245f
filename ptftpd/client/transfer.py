"""The TFTP client: one file got or put, and asked for again where a server misreads the options."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from time import monotonic
from typing import Any

from ptftpd.client.asking import Asking, Guess
from ptftpd.client.job import Job, Machine, Result, Watch
from ptftpd.client.local import Target
from ptftpd.client.settings import Settings
from ptftpd.errors import Error, TransferError
from ptftpd.tftp import netascii, options, wire
from ptftpd.tftp.outcome import INF, Backoff, Failure
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Read, Sender


@dataclass(frozen=True)
class Server:
    """A server: its name as the user wrote it, and its addresses in the order to try them."""

    name: str
    port: int
    addresses: tuple[str, ...]


def find(host: str, port: int, family: int = socket.AF_UNSPEC) -> Server:
    """Return the server of a name or an address, its zone behind a % (fe80::1%eth0); Error without one."""
    found = _look_up(host, port, family, socket.AI_NUMERICHOST) or _resolve(host, port, family)
    if not found:
        kind = {socket.AF_INET: " IPv4", socket.AF_INET6: " IPv6"}.get(socket.AddressFamily(family), "")
        raise Error(f"no{kind} address is known for {host}: check the name, or write the address")
    addresses = []
    for *_, (address, _, *rest) in found:
        zone = f"%{rest[1]}" if len(rest) == 2 and rest[1] else ""
        addresses.append(f"{str(address).partition('%')[0]}{zone}")
    return Server(host, port, tuple(dict.fromkeys(addresses)))


def _look_up(host: str, port: int, family: int, flags: int = 0) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, flags=flags)
    except (socket.gaierror, UnicodeError):
        return []


def _resolve(host: str, port: int, family: int) -> list[Any]:
    """Return what a name stands for, from a thread: in this one Ctrl-C would wait for a slow name server."""
    import threading  # few transfers need it

    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(_look_up(host, port, family)), daemon=True)
    thread.start()
    thread.join()
    return found


class Get(Job):
    """A file to be got: read from the server, written to a target.

    The size that the server announces is information (RFC 2349): a file that ends early is a part and is not
    kept, while one that is longer is, for some servers announce 1, or the size modulo 2^32, and a log grows.
    """

    opcode = wire.RRQ

    def __init__(self, name: str, mode: str, target: Target, limit: int | None = None) -> None:
        """target has the file when the outcome is OK. limit: the octets that it may have at most."""
        super().__init__(name, mode, None if mode == "netascii" else 0)
        self._target = target
        self._limit = INF if limit is None else limit
        self._decoder: netascii.Decoder | None = None
        self._announced: int | None = None

    def machine(self, terms: options.Terms, backoff: Backoff) -> Machine:
        """Return a Receiver; TransferError when there is no room."""
        write = self._write if self._limit < INF else self._target.write
        self._announced = terms.tsize or None  # 0 may be no more than the question come back
        if self.mode == "netascii":
            self._decoder = netascii.Decoder(write)
            write, self._announced = self._decoder.write, None
        if (self._announced or 0) > self._limit:
            raise self._too_large(f"{self._announced} octets are announced")
        self._target.begin(self._announced)
        return Receiver(write, self._finish, backoff, blksize=terms.blksize, windowsize=terms.windowsize)

    def octets(self, machine: Machine) -> int:
        """Return how many octets of the file came."""
        return self._target.size

    def idle(self) -> None:
        """Store what came."""
        self._target.idle()

    def _write(self, payload: memoryview) -> None:
        if self._target.size + len(payload) > self._limit:
            raise self._too_large("more came")
        self._target.write(payload)

    def _too_large(self, how: str) -> TransferError:
        return TransferError(wire.DISK_FULL, f"{how}, and at most {self._limit} are wanted")

    def _finish(self) -> None:
        if self._decoder:
            self._decoder.finish()
        came, announced = self._target.size, self._announced or 0
        if came < announced:
            raise TransferError(
                wire.ILLEGAL,
                f"{announced} octets were announced, but {came} came: "
                "if the file is changing, --rfc1350 gets it without its size",
            )
        self._target.finish()
        if announced and came > announced:
            self.remark = f"{announced} octets were announced, but {came} came; they are kept"


class Put(Job):
    """A file to be sent."""

    opcode = wire.WRQ

    def __init__(self, name: str, mode: str, read: Read, size: int) -> None:
        """read: as a Sender calls it. size: octets of the file."""
        self._size, self._sent_size = size, None if mode == "netascii" else size
        super().__init__(name, mode, self._sent_size)
        self._read = read

    def octets(self, machine: Machine) -> int:
        """Return how many octets of the file were sent, in netascii about: exactly only at the end."""
        return min(machine.octets, self._size)  # encoded it is no shorter

    def machine(self, terms: options.Terms, backoff: Backoff) -> Machine:
        """Return a Sender."""
        read = self._read
        if self.mode == "netascii":
            read = netascii.Encoder(read, self._size).read
        return Sender(read, self._sent_size, backoff, blksize=terms.blksize, windowsize=terms.windowsize)


class Client:
    """Gets and puts files by the same settings."""

    def __init__(self, settings: Settings, watch: Watch | None = None) -> None:
        """watch: is told how the transfers go."""
        self.settings = settings
        self._watch = watch or Watch()

    def get(self, server: Server, name: str, target: Target) -> Result:
        """Return how getting the file called name went; target has it if the outcome is OK."""
        return self._run(server, Get(name, self.settings.mode, target, self.settings.max_size))

    def put(self, server: Server, name: str, read: Read, size: int) -> Result:
        """Return how sending a file of size octets under name went."""
        return self._run(server, Put(name, self.settings.mode, read, size))

    def _run(self, server: Server, job: Job) -> Result:
        """Ask the server until it answers, with fewer options as long as those asked may be why it fails."""
        began = monotonic()
        forms: list[dict[str, str] | None] = [None, {}] if not self.settings.rfc1350 else [{}]
        guesses = [Guess(address, form) for form in forms for address in server.addresses]
        while True:
            result = Asking(guesses, server.name, server.port, self.settings, self._watch, job).run()
            result.seconds = monotonic() - began
            if not (result.answered and result.misread and result.asked):
                return result
            assert isinstance(result.outcome, Failure)
            asked = _fewer(result.asked, result.outcome.code)
            how = f"with {', '.join(asked)} only" if asked else "without options"
            said = f"it said {result.outcome.reason!r}" if result.outcome.from_peer else result.outcome.reason
            self._watch.note(f"{result.address}: {said}; asking again {how}")
            guesses = [Guess(result.address, form) for form in ([asked, {}] if asked else [asked])]


def _fewer(asked: dict[str, str], code: int) -> dict[str, str]:
    """Return the options to ask for when a request with those asked ended with an error code.

    Many servers know all options but windowsize; what they make of it says code 8, or they say nothing.
    """
    if code == wire.OPTIONS and options.WINDOWSIZE in asked:
        return {name: value for name, value in asked.items() if name != options.WINDOWSIZE}
    return {}
