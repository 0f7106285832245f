"""A client that waits for a boot loader, which listens for some seconds: whatever is not there yet."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from ptftpd.tftp import wire
from tests.client.conftest import Desk, end
from tests.client.fake import Fake
from tests.netns.tftp_site import CLIENT, CLIENT_TOO, SERVER, SERVER_TOO, Site, ack, data

FIRMWARE = b"the new firmware"
LOADER = 3.0  # seconds that it listens for
WAIT = ("--retries", "200", "--timeout", "0.2", "-v")
CABLE = (f"{CLIENT}/24", f"{CLIENT_TOO}/24")


@pytest.fixture
def waiting(desk: Desk) -> subprocess.Popen[bytes]:
    """Return a client that is to put the firmware as soon as it can."""
    (desk.directory / "fw.bin").write_bytes(FIRMWARE)
    return start(desk)


def start(desk: Desk) -> subprocess.Popen[bytes]:
    """Return it, when it has asked twice in vain."""
    (desk.directory / "fw.bin").write_bytes(FIRMWARE)
    client = desk.start(*WAIT, SERVER, "-c", "put", "fw.bin")
    assert client.stderr
    for _ in range(2):
        assert b"no answer yet" in client.stderr.readline()
    return client


def flashed(site: Site, client: subprocess.Popen[bytes], *, options: bool = True) -> None:
    """Be the boot loader: it ignores what it does not want, and listens for some seconds only."""
    with Fake(site) as fake:
        while bool(wire.request(fake.request(LOADER))[3]) != options:
            pass
        fake.send(wire.make_oack({"tsize": str(len(FIRMWARE))}) if options else ack(0))
        fake.expect(data(1, FIRMWARE))
        fake.send(ack(1))
        assert "put fw.bin to" in end(client)


def test_the_router_is_off(site: Site, desk: Desk) -> None:
    """The cable has its address, and nobody answers to ARP."""
    site.server.run("ip", "link", "set", "eth0", "down")
    try:
        client = start(desk)
    finally:
        site.server.run("ip", "link", "set", "eth0", "up")
    flashed(site, client)


@contextlib.contextmanager
def no_address(site: Site) -> Iterator[None]:
    """Take the addresses of the client's cable away meanwhile."""
    site.client.run("ip", "-4", "address", "flush", "dev", "eth0")
    try:
        yield
    finally:
        for address in CABLE:
            site.client.run("ip", "address", "add", address, "dev", "eth0")


def test_the_cable_has_no_address_yet(site: Site, desk: Desk) -> None:
    """There is no route: that is not there yet, either."""
    with no_address(site):
        client = start(desk)
    flashed(site, client)


def test_the_way_was_another_one(site: Site, desk: Desk) -> None:
    """Requests went to the default route, elsewhere; with the cable's address they leave by the cable."""
    site.client.run("ip", "link", "add", "wlan0", "type", "veth", "peer", "name", "air")
    try:
        for words in (
            ("link", "set", "wlan0", "up"), ("link", "set", "air", "up"),
            ("address", "add", "172.16.0.2/24", "dev", "wlan0"),
            ("route", "add", "default", "via", "172.16.0.1"),
        ):  # fmt: skip
            site.client.run("ip", *words)
        with no_address(site):
            client = start(desk)
        flashed(site, client)
    finally:
        site.client.run("ip", "link", "del", "wlan0")


@pytest.mark.parametrize("options", [True, False])
def test_a_loader_that_ignores_some_requests(
    options: bool, site: Site, waiting: subprocess.Popen[bytes]
) -> None:
    """Those with options, or those without."""
    flashed(site, waiting, options=options)


def test_the_first_address_of_a_name_is_silent(site: Site, desk: Desk) -> None:
    """The next one has its turn after some seconds, not after all retries."""
    (desk.directory / "fw.bin").write_bytes(FIRMWARE)
    (desk.directory / "hosts").write_text(
        f"{SERVER} loader\n{SERVER_TOO} loader\n"
    )  # glibc prefers the nearer one
    script = 'mount --bind hosts /etc/hosts; exec "$@"'
    wrap = ("unshare", "--mount", "sh", "-c", script, "sh")
    with Fake(site), Fake(site, SERVER_TOO) as fake:
        client = desk.start(*WAIT, "loader", "-c", "put", "fw.bin", wrap=wrap)
        fake.request(LOADER)
        fake.send(ack(0))
        fake.expect(data(1, FIRMWARE))
        fake.send(ack(1))
        assert "trying another address of loader\n" in end(client)


def test_without_retries_nothing_is_waited_for(site: Site, desk: Desk) -> None:
    """A script is told at once that there is no way."""
    with no_address(site):
        done = desk.tftp(SERVER, "-c", "get", "a", timeout=5)
    assert b"there is no route to it from here" in done.stderr


def test_patience_ends(site: Site, desk: Desk) -> None:
    """Six times with a fifth of a second: that many requests, however many guesses."""
    with Fake(site) as fake:
        client = desk.start("--retries", "5", "--timeout", "0.2", SERVER, "-c", "get", "a")
        assert "there is no answer" in end(client, 1)
        asked = [bool(fake.asked(0.1)) for _ in range(6)]
        assert asked == [True, True, False] * 2
        with pytest.raises(AssertionError, match="nothing came"):
            fake.request(0.1)
