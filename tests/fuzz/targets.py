"""What is fuzzed: each target takes any octets, and raises nothing but what it asserts; the corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.bootp import Bootp
from ptftpd.dhcp.monitor import Monitor
from ptftpd.dhcp.proxy import Proxy
from ptftpd.errors import FileError, WireError
from ptftpd.settings import Dhcp, Pxe, Settings
from ptftpd.tftp import names
from ptftpd.tftp import options as terms
from ptftpd.tftp import wire as tftp
from ptftpd.tftp.outcome import Backoff
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender
from tests.machine.dhcp_site import OWN, Site, mac, message

VECTORS = Path(__file__).parent.parent / "vectors"
CONTENT = bytes(range(256)) * 40


class Dhcpd:
    """Every machine that a DHCP or BOOTP datagram can reach."""

    def __init__(self) -> None:
        self._site = Site(Dhcp(answer_all=True))
        self._proxy = Proxy(self._site.settings, "eth0", int(OWN))
        bootp = Settings(pxe=Pxe(boot_file="x"))
        self._bootp = Bootp(bootp, "eth0", int(OWN), self._site.networks, frozenset())
        self._monitor = Monitor(int(OWN), mac(9), lambda: 1)
        self._now = 0.0
        self.answered = 0

    def __call__(self, data: bytes) -> None:
        """Decode a datagram and let every machine have it: an answer, or the reason why there is none."""
        self._now += 1.0
        try:
            said = wire.decode(data)
            self._monitor.receive(said, self._now)
            found = [
                self._site.machine.receive(said, self._now, direct=bool(len(data) % 2)),
                self._proxy.receive(said, direct=False),
                self._proxy.receive_boot_request(said, ("10.0.0.9", 4011)),
                self._bootp.receive(said, self._now),
            ]
        except WireError:
            return
        for outcome in found:
            assert bool(outcome.data) != bool(outcome.ignored) or outcome.done
            self.answered += bool(outcome.data)
            if outcome.data:
                wire.decode(outcome.data)


def requests(data: bytes) -> None:
    """Decode as a TFTP request, OACK and ERROR; negotiate, and look at the name as the server does."""
    for decode in (tftp.oack, tftp.error):
        try:
            decode(data)
        except WireError:
            pass
    try:
        _, name, _, asked = tftp.request(data)
    except WireError:
        return
    for writing in (False, True):
        made = terms.negotiate(asked, terms.Limits(), size=1000, writing=writing)
        assert 8 <= made.blksize <= 65464
        assert made.windowsize >= 1
    try:
        path = names.relative(names.without_serial(names.cleaned(name)))
    except FileError:
        return
    assert not path.startswith(("/", "../"))
    assert path != ".."


def read(views: Sequence[memoryview], offset: int) -> int:
    """Fill the views from CONTENT."""
    done = 0
    for view in views:
        part = CONTENT[offset + done : offset + done + len(view)]
        view[: len(part)] = part
        done += len(part)
    return done


def transfers(data: bytes) -> None:
    """Play a conversation at a Sender and a Receiver: each datagram is a length, a pause, and octets."""
    window = 1 + data[0] % 70 if data else 1
    options_ = {"blksize": 8 + (data[1] if len(data) > 1 else 0) * 4, "windowsize": window}
    for machine in (
        Sender(read, len(CONTENT), Backoff(1.0, 6), **options_, oack=b"\0\6" if window % 2 else b""),
        Receiver(lambda payload: None, lambda: None, Backoff(1.0, 6), **options_),
    ):
        now, at = 0.0, 2
        machine.start(now)
        while at + 2 <= len(data):
            size, pause = data[at], data[at + 1]
            datagram = bytearray(data[at + 2 : at + 2 + size])
            at += 2 + size
            machine.receive(datagram.ljust(4, b"\0"), len(datagram), now)
            now += pause / 64
            machine.tick(now)
            assert machine.deadline > now
            assert machine.octets <= len(CONTENT) or isinstance(machine, Receiver)


TARGETS: dict[str, Callable[[], Callable[[bytes], None]]] = {
    "dhcp": Dhcpd, "requests": lambda: requests, "transfers": lambda: transfers,
}  # fmt: skip


def corpus(target: str) -> Iterator[tuple[str, bytes]]:
    """Yield named octets for a target to begin with: the vectors, and conversations."""
    if target == "transfers":
        for windowsize in (1, 4, 64):
            talk = b"".join(bytes([4, 1]) + tftp.make_ack(block) for block in range(0, 65, windowsize))
            talk += b"".join(bytes([12, 1]) + tftp.make_data(block, bytes(8)) for block in (1, 2, 4, 3, 3))
            yield (
                f"window-{windowsize}",
                bytes([windowsize - 1, 0]) + talk + b"\x09\x01" + tftp.make_error(1, "no"),
            )
        return
    for path in sorted((VECTORS / ("dhcp" if target == "dhcp" else "tftp")).glob("*.json")):
        loaded = json.loads(path.read_text(encoding="utf-8"))
        for vector in loaded if isinstance(loaded, list) else [loaded]:
            if "hex" in vector:
                yield f"{path.stem}-{vector['name']}", bytes.fromhex(vector["hex"])
            elif isinstance(vector.get("octets"), list):
                parts = (
                    bytes.fromhex(part).ljust(*(size or [0]), b"\0") for _, part, *size in vector["octets"]
                )
                yield path.stem, b"".join(parts)
    if target == "dhcp":
        for number, datagram in enumerate(messages()):
            yield f"message-{number}", datagram


def messages() -> list[bytes]:
    """Return good DHCP messages of every kind."""
    relay = {"giaddr": int(OWN), "o82": b"\x01\x04port\x02\x02id"}
    plain = [message(kind, o50=b"\x0a\0\0\x0a", o54=b"\x0a\0\0\x01") for kind in range(1, 9)]
    kinds = [
        message(options.DISCOVER, o93=b"\0\x07", o97=bytes(17), o94=b"\x01\x03\0", o55=bytes(range(1, 60))),
        message(options.DISCOVER, o77=b"iPXE", o175=b"\xb0\x01\x01", o61=b"\x01" + mac(1)),
        message(options.REQUEST, o43=b"\x47\x04\x80\0\0\0\xff", **relay),
        message(options.DISCOVER, vendor=b"HTTPClient:Arch:00016:UNDI:003001"),
        wire.Message(chaddr=mac(2).ljust(16, b"\0")),
    ]
    return [wire.encode(each) for each in (*plain, *kinds)]
