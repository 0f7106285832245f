"""Random and mutated datagrams at the whole servers: nothing but an answer, a refusal or a counted drop.

PTFTPD_FUZZ says how many of each kind; `make fuzz` takes many more than `make test`.
"""

from __future__ import annotations

import gc
import os
import random
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd import net
from ptftpd.dhcp import machine as dhcp_machine
from ptftpd.log import ERROR, Log
from ptftpd.loop import Loop
from ptftpd.settings import Pxe, Settings, Tftp
from ptftpd.tftp import wire as tftp
from ptftpd.tftp.outcome import Backoff
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender
from ptftpd.tftp.server import Server
from tests.descriptors import open_descriptors
from tests.fuzz.targets import CONTENT, TARGETS, Dhcpd, corpus, messages, read

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


def test_dhcp_machines() -> None:
    """Every machine that a datagram can reach: WireError or an outcome."""
    chance = random.Random(SEED)
    target, starts = Dhcpd(), messages()
    for turn in range(ROUNDS):
        target(
            mutated(chance, chance.choice(starts)) if turn % 10 else chance.randbytes(chance.randrange(600))
        )
    assert target.answered > ROUNDS // 20, (
        "the mutations leave too little that is answered: nothing deep was reached"
    )


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    """Every named datagram, as it is and mutated: coverage-guided fuzzing begins with these."""
    chance = random.Random(SEED)
    target, named = TARGETS[name](), dict(corpus(name))
    assert len(named) >= 3
    for octets in named.values():
        target(octets)
        for _ in range(ROUNDS // 100):
            target(mutated(chance, octets))


def test_tftp_machines() -> None:
    """A Sender and a Receiver that are sent anything at any time never raise, and keep a future deadline."""
    chance = random.Random(SEED)
    for turn in range(ROUNDS // 50):
        window = chance.choice((1, 4, 64))
        common = {"blksize": chance.choice((8, 512)), "windowsize": window}
        machines = (
            Sender(read, len(CONTENT), Backoff(1.0, 6), **common, oack=b"\0\x06" if turn % 2 else b""),
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


def test_memory_is_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machines remember of clients is bounded: as much after all the datagrams as after a tenth.

    `make fuzz` sends a million. The tables of kinds of clients are bounded too, but take long to be full: one
    is kept small meanwhile, the others take what is allowed for at the end.
    """
    monkeypatch.setattr(dhcp_machine, "MAX_BODIES", 16)
    chance = random.Random(SEED)
    dhcp, starts = Dhcpd(), messages()

    def some(count: int) -> int:
        for _ in range(count):
            dhcp(mutated(chance, chance.choice(starts))[:230] + chance.randbytes(6) + bytes(200))
            dhcp(mutated(chance, chance.choice(starts)))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        level = some(ROUNDS // 10)
        for _ in range(9):
            grown = some(ROUNDS // 20) - level
    finally:
        tracemalloc.stop()
    assert grown < min(1_500_000, 75_000 + 5 * ROUNDS)


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
            running.loop.now = float(turn)
            running.listen(listener, float(turn))
            running._flush(float(turn))
            running.loop._tick(float(turn))
            if turn % 40 == 39:
                for transfer in list(running.transfers):
                    transfer.abandon("the storm is over", float(turn))
        for transfer in list(running.transfers):
            transfer.abandon("the storm is over", float(count))
        running.pools.settle(10)

    storm(200)  # what is allocated once is allocated now
    descriptors = len(open_descriptors())
    tracemalloc.start()
    try:
        storm(ROUNDS // 5)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(open_descriptors()) == descriptors
    assert running.limits.running == 0
    assert grown < 300_000
