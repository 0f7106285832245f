"""A TFTP server and its client machine, each in a namespace, and a client that speaks octets."""

from __future__ import annotations

import contextlib
import select
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from tests.lab import Argument, Lab, Process, program

SERVER, SERVER_TOO, CLIENT, CLIENT_TOO = "10.0.0.1", "10.0.0.9", "10.0.0.2", "10.0.0.3"
SERVER6, SERVER6_TOO, CLIENT6 = "fd00::1", "fd00::9", "fd00::2"
RRQ, WRQ, DATA, ACK, ERROR, OACK = 1, 2, 3, 4, 5, 6  # RFC 1350 §5, RFC 2347
QUIET = 0.3  # seconds without a datagram that are taken for silence; the server's timeouts are set apart


def content(size: int, salt: int = 0) -> bytes:
    """Return size octets in which no two places are alike, nor two salts."""
    return b"".join(b"%02x%09x\n" % (salt, number) for number in range(size // 12 + 1))[:size]


def text(lines: int) -> bytes:
    """Return a text with bare CR, LF, CR LF and NUL, at every place of a block sooner or later."""
    ends = (b"\n", b"\r\n", b"\r", b"\r\r\n", b"\n\r", b"\0\n")
    return b"".join(b"line %d" % n + b"x" * (n % 13) + ends[n % len(ends)] for n in range(lines))


class Site:
    """A context manager: server and client namespaces with addresses of both families, one cable long."""

    def __init__(self, logs: Path, *impairment: Argument, mtu: int = 1500) -> None:
        """impairment: arguments of the relay that then stands in the middle; without any there is none."""
        self.lab = Lab(logs)
        self._impairment, self._mtu = impairment, mtu
        self._directories = contextlib.ExitStack()

    def __enter__(self) -> Site:
        """Make it."""
        self._directories.enter_context(self.lab)
        self.server = self.lab.namespace("server", ipv6=True)
        self.client = self.lab.namespace("client", ipv6=True)
        if self._impairment:
            self._put_relay()
        else:
            self.lab.cable(self.server, self.client)
        for end in (self.server, self.client):
            end.run("ip", "link", "set", "eth0", "mtu", self._mtu)
        for address in (f"{SERVER}/24", f"{SERVER_TOO}/24", f"{SERVER6}/64", f"{SERVER6_TOO}/64"):
            self.server.address(address)
        for address in (f"{CLIENT}/24", f"{CLIENT_TOO}/24", f"{CLIENT6}/64"):
            self.client.address(address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it, and every directory."""
        self._directories.__exit__(kind, error, trace)

    def _put_relay(self) -> None:
        middle = self.lab.namespace("relay")
        for end, device in ((self.server, "server"), (self.client, "client")):
            self.lab.cable(end, middle, "eth0", device)
            end.run("ip", "link", "set", "eth0", "gso_max_segs", 1)  # the relay moves single frames
        self.relay = middle.start(
            "/usr/bin/python3", "-m", "tests.netns.relay", "server", "client", *self._impairment, name="relay"
        )
        self.relay.wait_for("forwarding")

    def link_local(self) -> str:
        """Return the server's link-local address, with the client's zone."""
        shown = self.server.run("ip", "-6", "-oneline", "address", "show", "dev", "eth0", "scope", "link")
        return f"{shown.stdout.split()[3].partition('/')[0]}%eth0"

    def directory(self) -> Path:
        """Return a new directory that any user may enter, and write to."""
        path = Path(tempfile.mkdtemp(prefix="ptftpd-test-"))  # pytest's own are closed to others
        path.chmod(0o777)
        self._directories.callback(shutil.rmtree, path)
        return path

    @contextlib.contextmanager
    def serving(
        self, root: Path, *arguments: Argument, config: str = "", wrap: tuple[str, ...] = ()
    ) -> Iterator[Process]:
        """Run ptftpd, started as root, and see to it that it ends well. wrap: words before its command."""
        directory = self.directory()
        file = directory / "ptftpd.conf"
        file.write_text(config)
        words = [*wrap, *program("tftpd"), "--user", "nobody", "--config", file, *arguments, root]
        process = self.server.start(*words, name="ptftpd")
        process.wait_for("serving ")
        try:
            yield process
        finally:
            process.signal(signal.SIGINT)  # SIGTERM would let transfers end first
            status = process.wait(10)
        assert status == 0, process.text()
        assert "Traceback" not in process.text(), process.text()


def request(opcode: int, name: str | bytes, mode: str = "octet", **options: object) -> bytes:
    """Return the octets of an RRQ or WRQ."""
    octets = name.encode() if isinstance(name, str) else name
    parts = [octets, mode.encode(), *(str(x).encode() for pair in options.items() for x in pair)]
    return struct.pack("!H", opcode) + b"".join(part + b"\0" for part in parts)


def rrq(name: str | bytes, mode: str = "octet", **options: object) -> bytes:
    """Return the octets of an RRQ."""
    return request(RRQ, name, mode, **options)


def wrq(name: str | bytes, mode: str = "octet", **options: object) -> bytes:
    """Return the octets of a WRQ."""
    return request(WRQ, name, mode, **options)


def data(block: int, payload: bytes = b"") -> bytes:
    """Return the octets of a DATA."""
    return struct.pack("!HH", DATA, block) + payload


def ack(block: int) -> bytes:
    """Return the octets of an ACK."""
    return struct.pack("!HH", ACK, block)


def error(code: int, reason: str = "") -> bytes:
    """Return the octets of an ERROR."""
    return struct.pack("!HH", ERROR, code) + reason.encode() + b"\0"


def options(datagram: bytes) -> dict[str, str]:
    """Return the options of an OACK."""
    assert datagram[:2] == struct.pack("!H", OACK), datagram
    assert datagram.endswith(b"\0")
    words = datagram[2:-1].decode().split("\0")
    return dict(zip(words[::2], words[1::2], strict=True))


def error_code(datagram: bytes) -> int:
    """Return the code of an ERROR."""
    assert datagram[:2] == struct.pack("!H", ERROR), datagram
    assert datagram.endswith(b"\0")
    return int.from_bytes(datagram[2:4], "big")


class Entrance(Protocol):
    """Where a socket can be opened: a namespace, or this machine."""

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """Be there for the with block."""


class Place(Protocol):
    """What a Peer may ask: a Site, or anything else that has a client's machine."""

    @property
    def client(self) -> Entrance:
        """The client's machine."""


class Peer:
    """One client socket, which is one TID. The server's TID is that of the last datagram received."""

    def __init__(self, site: Place, server: str = SERVER, source: str = "", port: int = 69) -> None:
        """server, port: where requests go, an address with its zone too. source: the address to ask from."""
        self.server: tuple[Any, ...] = (server, port)
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with site.client.entered():
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self.socket.bind((source, 0))
            host, _, zone = server.partition("%")
            if zone:  # it has a number only where the device is
                self.server = host, port, 0, socket.if_nametoindex(zone)
        self.tid: tuple[Any, ...] = ("", 0)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def port(self) -> int:
        """Its own TID."""
        port: int = self.socket.getsockname()[1]
        return port

    def ask(self, datagram: bytes) -> None:
        """Send to the server's well-known port."""
        self.socket.sendto(datagram, self.server)

    def answer(self, datagram: bytes) -> None:
        """Send to the transfer that was heard last."""
        self.socket.sendto(datagram, self.tid)

    def receive(self, timeout: float = 5.0) -> bytes:
        """Return the next datagram; it must come."""
        datagram = self.listen(timeout)
        assert datagram is not None, f"nothing came within {timeout:g} s"
        return datagram

    def listen(self, timeout: float) -> bytes | None:
        """Return the next datagram, None when none comes within timeout seconds."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        datagram, source = self.socket.recvfrom(65536)
        self.tid = (source[0].partition("%")[0], *source[1:])
        return datagram

    def expect(self, datagram: bytes) -> None:
        """Receive just this."""
        assert self.receive() == datagram

    def expect_silence(self, seconds: float = QUIET) -> None:
        """Receive nothing for a while."""
        assert self.listen(seconds) is None

    def get(self, datagram: bytes) -> bytes:
        """Return the file that an RRQ without options asks for, or with blksize, by which it is told."""
        self.ask(datagram)
        return self.rest(b"", 1)

    def rest(self, received: bytes, block: int, blksize: int = 512) -> bytes:
        """Return received and all that follows from block on, in lock-step."""
        while True:
            answer = self.receive()
            assert answer[:4] == data(block & 0xFFFF), answer[:40]
            received += answer[4:]
            self.answer(ack(block & 0xFFFF))
            block += 1
            if len(answer) < 4 + blksize:
                return received

    def put(self, datagram: bytes, octets: bytes) -> None:
        """Write a file in lock-step with a WRQ without options."""
        self.ask(datagram)
        self.expect(ack(0))
        for block in range(1, len(octets) // 512 + 2):
            self.answer(data(block, octets[(block - 1) * 512 : block * 512]))
            self.expect(ack(block))
