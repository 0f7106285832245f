"""ptftpd and the clients that others wrote: get and put, modes and families, clean and over a bad wire."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import Process
from tests.netns.tftp_site import SERVER, SERVER6, Site, content, text

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True)
class Client:
    """How a client is called. raw: it leaves netascii untranslated."""

    get: str
    put: str
    netascii: str = ""
    octet: str = ""
    raw: bool = False
    brackets: bool = False

    def command(self, verb: str, mode: str, server: str, local: Path, remote: str) -> tuple[str, ...]:
        """Return the words that get or put a file."""
        host = f"[{server}]" if self.brackets and ":" in server else server
        form = self.get if verb == "get" else self.put
        line = form.format(host=host, local=local, remote=remote, mode=getattr(self, mode))
        return "sh", "-c", line


# Retransmission times are for the bad network; the clients' own are 5 s. atftp has to come before the server:
# it answers a repeated OACK with the block after the one that is wanted.
ATFTP = "atftp --tftp-timeout 1"
CURL = "curl --silent --show-error --connect-timeout 3"  # it sends again after a third of that
CLIENTS = {
    "tftp-hpa": Client(
        "printf 'rexmt 1\nverbose\n{mode}\nget {remote} {local}\n' | tftp {host}",
        "printf 'rexmt 1\nverbose\n{mode}\nput {local} {remote}\n' | tftp {host}",
        "ascii",
        "binary",
    ),
    "atftp": Client(
        ATFTP + " {mode} --option 'blksize 1428' --get -l {local} -r {remote} {host}",
        ATFTP + " {mode} --option 'blksize 1428' --put -l {local} -r {remote} {host}",
        "--option 'mode netascii'",
    ),
    "atftp-windowsize": Client(
        ATFTP + " --option 'windowsize 8' --get -l {local} -r {remote} {host}",
        ATFTP + " --option 'windowsize 8' --put -l {local} -r {remote} {host}",
    ),
    "curl": Client(
        CURL + " -o {local} 'tftp://{host}/{remote}{mode}'",
        CURL + " -T {local} 'tftp://{host}/{remote}{mode}'",
        ";mode=netascii",
        raw=True,
        brackets=True,
    ),
    "curl-blksize": Client(
        CURL + " --tftp-blksize 1024 -o {local} 'tftp://{host}/{remote}'",
        CURL + " --tftp-blksize 1024 -T {local} 'tftp://{host}/{remote}'",
        brackets=True,
    ),
    "curl-plain": Client(
        CURL + " --tftp-no-options -o {local} 'tftp://{host}/{remote}'",
        CURL + " --tftp-no-options -T {local} 'tftp://{host}/{remote}'",
        brackets=True,
    ),
    "busybox": Client(
        "busybox tftp -g -l {local} -r {remote} {host}",
        "busybox tftp -p -l {local} -r {remote} {host}",
    ),
    "busybox-blksize": Client(
        "busybox tftp -b 1400 -g -l {local} -r {remote} {host}",
        "busybox tftp -b 1400 -p -l {local} -r {remote} {host}",
    ),
}
CASES = [
    (name, verb, mode)
    for name, client in CLIENTS.items()
    for verb in ("get", "put")
    for mode in ("octet", "netascii")
    if mode == "octet" or client.netascii
]
# These do not put a file through every bad network. Packet traces show:
# - curl 7.88 takes a second OACK for one more ACK 0 and sends the second block of the file as DATA 1; and it
#   does not send its last block again: when the ACK of that is lost, it waits for ever.
# - atftp 0.8 sends one more block for each second OACK or ACK; and in netascii it converts on from where it
#   is: a block that it sends again has other octets than the first time, such as the NUL of a CR NUL twice.
FRAGILE = {
    (name, "put", mode) for name in ("atftp", "curl", "curl-blksize") for mode in ("octet", "netascii")
}


@dataclass
class Errand:
    """One file on its way with one client, and what has to arrive."""

    process: Process
    arrives: Path
    expected: bytes

    def check(self) -> None:
        """Wait for the client and compare every octet."""
        assert self.process.wait(60) == 0, self.process.text()
        received = self.arrives.read_bytes()
        assert len(received) == len(self.expected), self.process.text()
        assert received == self.expected


def send(site: Site, root: Path, case: tuple[str, str, str], server: str, octets: bytes) -> Errand:
    """Start a client on one file."""
    name, verb, mode = case
    client = CLIENTS[name]
    remote = f"{name}-{verb}-{mode}-{server.count(':')}"
    local = site.directory() / "local"
    served = root / remote
    # What goes over the wire, for clients that neither translate what they get nor what they put.
    encoded = octets.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
    raw = client.raw and mode == "netascii"
    if verb == "get":
        served.write_bytes(octets)
    else:
        local.write_bytes(encoded if raw else octets)
    process = site.client.start(*client.command(verb, mode, server, local, remote), name=remote)
    if verb == "get":
        return Errand(process, local, encoded if raw else octets)
    return Errand(process, served, octets)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a clean network."""
    with Site(tmp_path_factory.mktemp("clients")) as site:
        yield site


@pytest.fixture(scope="module")
def root(site: Site) -> Iterator[Path]:
    """Return the root of a running server that takes uploads."""
    root = site.directory()
    with site.serving(root, "--uploads", "create"):
        yield root


@pytest.mark.parametrize("server", [SERVER, SERVER6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_client(site: Site, root: Path, case: tuple[str, str, str], server: str) -> None:
    """RFC 1350, 2348, 7440: what others wrote gets and puts every octet, in octet mode and netascii."""
    octets = text(20000) if case[2] == "netascii" else content(700_001, salt=len(case[0]))
    send(site, root, case, server, octets).check()


@pytest.mark.parametrize("client", ["tftp-hpa", "atftp", "curl-plain", "busybox"])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024])
def test_sizes_around_a_block(site: Site, root: Path, client: str, size: int) -> None:
    """RFC 1350 §6: a file ends with a block shorter than the others, empty when its size is a multiple.

    curl goes without options here: it takes the tsize of an empty file for an error.
    """
    octets = content(size)
    for path in root.iterdir():
        path.unlink()
    for verb in ("get", "put"):
        send(site, root, (client, verb, "octet"), SERVER, octets).check()


def test_more_than_65535_blocks(site: Site, root: Path) -> None:
    """The block number goes on with 0 after 65535, for the clients that follow it."""
    octets = content(66_000 * 64)
    (root / "large").write_bytes(octets)
    local = site.directory() / "local"
    site.client.run("atftp", "--option", "blksize 64", "--option", "windowsize 32", "--get",
                    "-l", local, "-r", "large", SERVER, timeout=60)  # fmt: skip
    assert local.read_bytes() == octets
    site.client.run("atftp", "--option", "blksize 64", "--option", "windowsize 32", "--put",
                    "-l", local, "-r", "back", SERVER, timeout=60)  # fmt: skip
    assert (root / "back").read_bytes() == octets


@pytest.mark.parametrize(
    ("duplicate", "cases", "seed"),
    [
        (2, [case for case in CASES if case not in FRAGILE], 7),
        (0, [case for case in CASES if case in FRAGILE], 11),
    ],
    ids=["all-faults", "nothing-doubled"],
)
def test_through_a_bad_network(
    tmp_path: Path, duplicate: int, cases: list[tuple[str, str, str]], seed: int
) -> None:
    """RFC 1123 §4.2.3.2: 5 % lost, 2 % doubled, 10 % overtaken, 1 % damaged, and every octet arrives.

    The fate of each datagram comes from the seed; that of the fragile ones spares what they cannot take.
    """
    impairment = ["--loss", 5, "--duplicate", duplicate, "--reorder", 10, "--corrupt", 1, "--seed", seed]
    with Site(tmp_path, *impairment) as site:
        root = site.directory()
        with site.serving(root, "--uploads", "create", "--timeout", 3) as server:
            errands = [
                send(site, root, case, address, text(700) if case[2] == "netascii" else content(40_007))
                for case in cases
                for address in (SERVER, SERVER6)
            ]
            for errand in errands:
                errand.check()
            assert "resent" in server.text()
        site.relay.stop()
        fates = site.relay.wait_for(r"(?:\w+ \d+(?:, )?)+").group()
        counts = {word: int(count) for word, count in re.findall(r"(\w+) (\d+)", fates)}
        assert counts["corrupt"] > 1
        assert (counts.get("duplicate", 0) > 10) == (duplicate > 0)
        assert counts["loss"] > counts["passed"] / 40
        assert counts["reorder"] > counts["passed"] / 20
