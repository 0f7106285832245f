"""A full table of transfers of any negotiated shape: what the server's memory comes to."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lab import wait_until
from tests.netns.tftp_site import ACK, DATA, OACK, SERVER, Site, ack, data, rrq, wrq

FULL = 4096  # max_transfers, as it is by default
ADDRESSES = 50
LIMIT = 300_000_000  # octets
JUMBO = 9000  # octets of the MTU: larger blocks than the ordinary 1500 allow

SHAPES: dict[str, bytes] = {
    "half open": rrq("file{}"),
    "plain": rrq("file{}"),
    "smallest blocks": rrq("file{}", blksize=8),
    "small blocks in windows": rrq("file{}", blksize=8, windowsize=64),
    "ordinary windows": rrq("file{}", blksize=1468, windowsize=64),
    "largest windows": rrq("file{}", blksize=65464, windowsize=64),
    "text": rrq("text{}", "netascii"),
    "text in windows": rrq("text{}", "netascii", blksize=65464, windowsize=64),
    "with many options": rrq("file{}", timeout=255, tsize=0, **{f"o{n}": "x" * 40 for n in range(31)}),
    "upload": wrq("new{}"),
    "upload in windows": wrq("new{}", blksize=65464, windowsize=64),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a network of large frames, and let this process have a socket for each transfer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    with Site(tmp_path_factory.mktemp("memory"), mtu=JUMBO) as site:
        for number in range(ADDRESSES):  # few files are opened at once for each
            site.client.address(f"10.0.0.{100 + number}/24")
        yield site
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Client:
    """One socket; it waits for nothing."""

    def __init__(self, request: bytes, address: str) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.bind((address, 0))
        self._writes = request.startswith(b"\0\2")
        self._sock.sendto(request, (SERVER, 69))

    def close(self) -> None:
        """Go."""
        self._sock.close()

    def go_on(self) -> None:
        """Answer what came last, so that the server has something to hold: a window, or a block."""
        last = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                last, server = self._sock.recvfrom(65536)
        opcode, block = struct.unpack_from("!HH", last.ljust(4, b"\0"))
        answers = [ack(block)] if opcode == DATA else []
        if opcode == ACK:
            answers = [data(block + 1, bytes(512))]
        elif opcode == OACK:
            answers = [data(number, bytes(8968)) for number in range(1, 8)] if self._writes else [ack(0)]
        for answer in answers:
            self._sock.sendto(answer, server)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_full_table(site: Site, shape: str) -> None:
    """4,096 of them, each of which got an answer or two to what it got; and all of it is given back."""
    root = site.directory()
    for number in range(FULL):  # one for each, as what they share costs nothing
        if "text" in shape:
            (root / f"text{number}").write_bytes(b"a line\n" * 20_000)
        elif "upload" not in shape:
            with (root / f"file{number}").open("wb") as file:
                file.truncate(1 << 32)
    many: tuple[Any, ...] = ("--max-client-transfers", 2 * FULL, "--request-rate", 1_000_000, "-v")
    uploads = ("--uploads", "create", "--upload-reserve", "0")
    with ExitStack() as stack:
        server = stack.enter_context(site.serving(root, *many, *uploads))
        before, most = server.memory(), 0
        clients = []
        with site.client.entered():
            for number in range(FULL):
                request = SHAPES[shape].replace(b"{}", b"%d" % number)
                clients.append(Client(request, f"10.0.0.{100 + number % ADDRESSES}"))
                stack.callback(clients[-1].close)
                if number % 50 == 49:
                    begun = 2 * 0.95 * number
                    wait_until(lambda begun=begun: server.descriptors() > begun, 5, "its transfers")
        for _ in range(0 if shape == "half open" else 4):
            for number, client in enumerate(clients):
                client.go_on()
                if number % 200 == 199:
                    time.sleep(0.005)  # let the server have its turn
            most = max(most, server.memory())
        most = max(most, server.memory())
        print(f"{shape}: {(most - before) / 1e6:.0f} MB more than {before / 1e6:.0f}")
        assert server.descriptors() > 2 * 0.9 * FULL, "the table is not full"
        assert most < LIMIT
