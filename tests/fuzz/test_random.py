"""Random and mutated datagrams at the whole servers: nothing but an answer, a refusal or a counted drop.

PTFTPD_FUZZ says how many of each kind; `make fuzz` takes many more than `make test`.
"""

from __future__ import annotations

import os
import random
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd import net
from ptftpd.dhcp import options, wire
from ptftpd.dhcp.bootp import Bootp
from ptftpd.dhcp.monitor import Monitor
from ptftpd.dhcp.outcome import Outcome
from ptftpd.dhcp.proxy import Proxy
from ptftpd.errors import WireError
from ptftpd.log import ERROR, Log
from ptftpd.loop import Loop
from ptftpd.settings import Dhcp, Pxe, Settings, Tftp
from ptftpd.tftp import wire as tftp
from ptftpd.tftp.outcome import Backoff
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender
from ptftpd.tftp.server import Server
from tests.machine.dhcp_site import OWN, Site, mac, message

ROUNDS = int(os.environ.get("PTFTPD_FUZZ", "5000"))
SEED = 20260101


def mutated(chance: random.Random, datagram: bytes) -> bytes:
    """Return the datagram with octets changed, cut out, doubled or added."""
    octets = bytearray(datagram)
    for _ in range(chance.choice((0, 1, 1, 2, 8))):
        at = chance.randrange(len(octets) + 1)
        what = chance.randrange(4)
        if what == 0 and at < len(octets):
            octets[at] = chance.choice((0, 255, chance.randrange(256)))
        elif what == 1:
            del octets[at : at + chance.randrange(8)]
        elif what == 2:
            octets[at:at] = octets[at : at + chance.randrange(40)]
        else:
            octets[at:at] = chance.randbytes(chance.randrange(8))
    return bytes(octets)


def seeds() -> list[bytes]:
    """Return good DHCP messages of every kind to start from."""
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


def test_dhcp_machines() -> None:
    """Every machine that a datagram can reach: WireError or an outcome."""
    chance = random.Random(SEED)
    site, starts = Site(Dhcp(answer_all=True)), seeds()
    proxy = Proxy(site.settings, "eth0", int(OWN))
    bootp = Bootp(Settings(pxe=Pxe(boot_file="x")), "eth0", int(OWN), site.networks, frozenset())
    monitor = Monitor(int(OWN), mac(9), 1)
    outcomes = 0
    for turn in range(ROUNDS):
        data = (
            mutated(chance, chance.choice(starts)) if turn % 10 else chance.randbytes(chance.randrange(600))
        )
        try:
            said = wire.decode(data)
            monitor.receive(said)
            found: list[Outcome] = [
                site.machine.receive(said, float(turn), direct=chance.random() < 0.5),
                proxy.receive(said, direct=False),
                proxy.receive_boot_request(said, ("10.0.0.9", 4011)),
                bootp.receive(said, float(turn)),
            ]
        except WireError:
            continue
        for outcome in found:
            assert bool(outcome.data) != bool(outcome.ignored) or outcome.done
            outcomes += bool(outcome.data)
    assert outcomes > ROUNDS // 20, "the mutations leave too little to be answered: nothing deep was reached"


def test_tftp_decoders() -> None:
    """Requests, OACKs and errors: a value or WireError."""
    chance = random.Random(SEED)
    good = [
        tftp.make_request(tftp.RRQ, "a/b", "octet", {"blksize": "1428", "tsize": "0", "windowsize": "8"}),
        tftp.make_oack({"blksize": "1428"}),
        tftp.make_error(1, "no"),
    ]
    for _ in range(ROUNDS):
        data = mutated(chance, chance.choice(good))
        for decode in (tftp.request, tftp.oack, tftp.error):
            try:
                decode(data)
            except WireError:
                pass


def test_tftp_machines() -> None:
    """A Sender and a Receiver that are sent anything at any time never raise, and keep a future deadline."""
    chance = random.Random(SEED)
    content = bytes(range(256)) * 40

    def read(views: list[memoryview], offset: int) -> int:
        rest = content[offset:]
        done = 0
        for view in views:
            part = rest[done : done + len(view)]
            view[: len(part)] = part
            done += len(part)
        return done

    for turn in range(ROUNDS // 50):
        window = chance.choice((1, 4, 64))
        common = {"blksize": chance.choice((8, 512)), "windowsize": window}
        machines = (
            Sender(read, len(content), Backoff(1.0, 6), **common, oack=b"\0\x06" if turn % 2 else b""),
            Receiver(lambda payload: None, lambda: None, Backoff(1.0, 6), **common),
        )
        for machine in machines:
            now = 0.0
            machine.start(now)
            for _ in range(50):
                opcode, block = (
                    chance.randrange(8),
                    chance.choice((0, 1, 2, 5, 65535, chance.randrange(65536))),
                )
                datagram = bytearray(
                    tftp.header.pack(opcode, block) + chance.randbytes(chance.randrange(600))
                )
                machine.receive(datagram, chance.randrange(len(datagram) + 1), now)
                now += chance.random()
                machine.tick(now)
                assert machine.deadline > now


@pytest.fixture(params=[False, True], ids=["a port each", "single_port"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, socket.socket]]:
    """Return a TFTP server on loopback and a client's socket that is connected to it."""
    (tmp_path / "file").write_bytes(bytes(5000))
    loop = Loop()
    listener = net.listen("127.0.0.1", 0)
    settings = Settings(
        pxe=Pxe(root=(str(tmp_path),)),
        tftp=Tftp(
            uploads="overwrite",
            request_rate=1_000_000,
            max_transfers=50,
            max_client_transfers=50,
            single_port=request.param,
        ),
    )
    running = Server(loop, Log("fuzz", ERROR), [listener], settings)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(listener.getsockname())
    yield running, client
    client.close()
    running.close()
    loop.close()


def test_tftp_server(server: tuple[Server, socket.socket]) -> None:
    """The whole path of a request: nothing raised, no descriptor and no memory left behind."""
    running, client = server
    (listener,) = running._sockets
    chance = random.Random(SEED)
    good = [
        tftp.make_request(opcode, name, mode, {"blksize": "1428", "windowsize": "4"})
        for opcode in (tftp.RRQ, tftp.WRQ)
        for name in ("file", "../file", "/no/such", "new\udcff", "x" * 300)
        for mode in ("octet", "netascii", "mail")
    ]
    for block in (0, 1, 2, 65535):  # to the port of requests, and on a single port to a transfer
        good += [tftp.make_ack(block), tftp.make_data(block, bytes(1428)), tftp.make_data(block, b"end")]

    def storm(count: int) -> None:
        for turn in range(count):
            client.send(mutated(chance, chance.choice(good)))
            running.listen(listener, float(turn))
            running._flush(float(turn))
            running.loop._tick(float(turn))
            if turn % 40 == 39:
                for transfer in list(running.transfers.values()):
                    transfer.abandon("the storm is over", float(turn))
        for transfer in list(running.transfers.values()):
            transfer.abandon("the storm is over", float(count))

    storm(200)  # what is allocated once is allocated now
    descriptors = len(os.listdir("/proc/self/fd"))
    tracemalloc.start()
    try:
        storm(ROUNDS // 5)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert running.limits.running == 0
    assert grown < 300_000
