"""Files got from and put to the servers that people run, over IPv4 and IPv6, whole networks and bad ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd.client import local
from ptftpd.client.job import Watch
from ptftpd.client.settings import Settings
from ptftpd.client.transfer import Client, Server
from ptftpd.tftp.outcome import OK
from tests.client.conftest import Desk
from tests.client.servers import KINDS, WRITABLE, serving
from tests.netns.tftp_site import SERVER, SERVER6, Site, content, text

# atftpd as a daemon listens on IPv4 only, whatever address it is given.
PLACES = [(kind, at) for kind in KINDS for at in (SERVER, SERVER6) if (kind, at) != ("atftpd", SERVER6)]
WRITABLE_PLACES = [(kind, at) for kind, at in PLACES if kind in WRITABLE]

# Empty, one short block, whole blocks of the default size and of an Ethernet frame, and many windows.
SIZES = (0, 1, 512, 1024, 1468 * 3, 100_000, 1_500_000)
OPTIONS = ("", "--rfc1350", "--windowsize 1", "--blksize 1000 --windowsize 8 --timeout 2")


def host(address: str) -> str:
    """Return an address as a URL has it."""
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize(("kind", "address"), PLACES)
@pytest.mark.parametrize("options", OPTIONS)
def test_get(kind: str, address: str, options: str, site: Site, desk: Desk, root: Path) -> None:
    """Several files in one call, each with its own name, and nothing said."""
    for size in SIZES:
        (root / f"f{size}").write_bytes(content(size))
    with serving(site, kind, root, address):
        done = desk.tftp(*options.split(), "get", *(f"tftp://{host(address)}/f{size}" for size in SIZES))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    for size in SIZES:
        assert (desk.directory / f"f{size}").read_bytes() == content(size)


@pytest.mark.parametrize(("kind", "address"), WRITABLE_PLACES)
@pytest.mark.parametrize("options", OPTIONS)
def test_put(kind: str, address: str, options: str, site: Site, desk: Desk, root: Path) -> None:
    """Several files in one call."""
    for size in SIZES:
        (desk.directory / f"f{size}").write_bytes(content(size))
    with serving(site, kind, root, address):
        done = desk.tftp(*options.split(), "put", *(f"f{size}" for size in SIZES), f"tftp://{host(address)}/")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    for size in SIZES:
        assert (root / f"f{size}").read_bytes() == content(size)


@pytest.mark.parametrize("kind", WRITABLE)
def test_netascii(kind: str, site: Site, desk: Desk, root: Path) -> None:
    """RFC 1350 §1: any file goes there as text and comes back as it was. Told is how large it is here."""
    (desk.directory / "there").write_bytes(text(3000))
    with serving(site, kind, root, SERVER):
        put = desk.tftp("-m", "netascii", "--json", SERVER, "-c", "put", "there")
        got = desk.tftp("-m", "ascii", "--json", SERVER, "-c", "get", "there", "back")
    assert (put.returncode, got.returncode) == (0, 0), put.stderr + got.stderr
    assert [json.loads(done.stdout)["octets"] for done in (put, got)] == [len(text(3000))] * 2
    assert (desk.directory / "back").read_bytes() == text(3000)
    assert (root / "there").read_bytes() == text(3000)


# The servers resend after a second or more, unless they are asked otherwise. Ten times one in ten is seldom.
SOON = ("--timeout", "1", "--retries", "10")


@pytest.fixture(scope="module")
def bad_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a network that loses one datagram in twenty either way, and doubles some."""
    with Site(tmp_path_factory.mktemp("logs"), "--loss", 5, "--duplicate", 2, "--seed", 1) as site:
        yield site


@pytest.mark.parametrize(("kind", "address"), PLACES)
@pytest.mark.parametrize("options", ["", "--windowsize 1"])
def test_get_with_losses(kind: str, address: str, options: str, bad_site: Site) -> None:
    """The file is whole, and nothing is said of it."""
    root, desk = bad_site.directory(), Desk(bad_site, bad_site.directory())
    (root / "a").write_bytes(content(60_000))
    with serving(bad_site, kind, root, address):
        done = desk.tftp(*SOON, *options.split(), "get", f"tftp://{host(address)}/a", timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (desk.directory / "a").read_bytes() == content(60_000)


@pytest.mark.parametrize(("kind", "address"), WRITABLE_PLACES)
@pytest.mark.parametrize("options", ["", "--windowsize 1"])
def test_put_with_losses(kind: str, address: str, options: str, bad_site: Site) -> None:
    """The file is whole, and nothing is said of it."""
    root, desk = bad_site.directory(), Desk(bad_site, bad_site.directory())
    (desk.directory / "a").write_bytes(content(60_000))
    with serving(bad_site, kind, root, address):
        done = desk.tftp(*SOON, *options.split(), "put", "a", f"tftp://{host(address)}/a", timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (root / "a").read_bytes() == content(60_000)


@pytest.mark.parametrize(("kind", "address"), PLACES)
def test_the_largest_blocks_are_asked_for(
    kind: str, address: str, site: Site, desk: Desk, root: Path
) -> None:
    """As much as an Ethernet frame holds, and a window where the server knows of windows (RFC 7440)."""
    (root / "a").write_bytes(content(100_000))
    with serving(site, kind, root, address):
        done = desk.tftp("--json", "get", f"tftp://{host(address)}/a")
    facts = json.loads(done.stdout)
    expected = {"ok": True, "octets": 100_000, "mode": "octet", "resent": 0, "address": address, "local": "a"}
    assert {name: facts[name] for name in expected} == expected
    assert facts["blksize"] == (1448 if ":" in address else 1468)
    assert facts["windowsize"] == (1 if kind in ("tftpd-hpa", "dnsmasq") else 64)


@pytest.mark.parametrize(("kind", "address"), PLACES)
def test_a_file_that_is_not_there(kind: str, address: str, site: Site, desk: Desk, root: Path) -> None:
    """The sentence has what the server says and what to do."""
    with serving(site, kind, root, address):
        done = desk.tftp(address, "-c", "get", "nosuch")
    assert (done.returncode, done.stdout) == (1, b"")
    said = done.stderr.decode()
    assert said.startswith(f"tftp: cannot get nosuch from {address}: the server says ")
    assert said.endswith(": check the name; most servers look it up below their root directory\n")
    assert list(desk.directory.iterdir()) == []


@pytest.mark.parametrize("kind", ["ptftpd", "tftpd-hpa"])
def test_more_blocks_than_have_numbers(kind: str, site: Site, desk: Desk, root: Path) -> None:
    """After block 65535 comes 0, both ways."""
    octets = content(64 * 66_000)
    (root / "a").write_bytes(octets)
    with serving(site, kind, root, SERVER):
        assert desk.tftp("--blksize", 64, "get", f"tftp://{SERVER}/a").returncode == 0
        assert desk.tftp("--blksize", 64, "put", "a", f"tftp://{SERVER}/b").returncode == 0
    assert (desk.directory / "a").read_bytes() == octets
    assert (root / "b").read_bytes() == octets


def test_a_link_local_address(site: Site, desk: Desk, root: Path) -> None:
    """With its zone; without one it cannot be reached, and what to write is said."""
    (root / "a").write_bytes(content(100_000))
    address = site.link_local().partition("%")[0]
    with serving(site, "tftpd-hpa", root, "::"):
        assert desk.tftp("get", f"tftp://[{address}%25eth0]/a").returncode == 0
        assert desk.tftp(f"{address}%eth0", "-c", "get", "a", "b").returncode == 0
        done = desk.tftp("get", f"tftp://[{address}]/a", "-o", "c")
    assert b"a link-local address needs its interface: write fe80::1%eth0\n" in done.stderr
    for name in "ab":
        assert (desk.directory / name).read_bytes() == content(100_000)


def test_a_name_with_several_addresses(site: Site, desk: Desk, root: Path) -> None:
    """One after the other, until a server answers."""
    notes: list[str] = []

    class Notes(Watch):
        def note(self, text: str) -> None:
            notes.append(text)

    (root / "a").write_bytes(content(100_000))
    target = local.target(str(desk.directory / "a"))
    with serving(site, "tftpd-hpa", root, SERVER), site.client.entered():
        server = Server("somewhere", 69, (SERVER6, SERVER))
        result = Client(Settings(), Notes()).get(server, "a", target)
    target.close()
    assert (result.outcome, result.address, result.octets) == (OK, SERVER, 100_000)
    assert (desk.directory / "a").read_bytes() == content(100_000)
    assert notes == [
        f"{SERVER6}: no TFTP server listens on that port: is it running, and is the port right?; "
        "trying another address of somewhere"
    ]
