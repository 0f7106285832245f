"""Servers that fall silent, go away or are not there, and users who have had enough: played by hand."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from ptftpd.tftp import wire
from tests.client.conftest import Desk, end, finish, get
from tests.client.fake import PATIENCE, Fake
from tests.netns.tftp_site import CLIENT, SERVER, Site, ack, content, data, error


def test_a_server_that_falls_silent(fake: Fake, desk: Desk) -> None:
    """Nothing is kept of the part that came."""
    client = get(desk, "--timeout", "0.1", "--retries", "2")
    fake.request()
    fake.send(data(1, content(512)))
    for _ in range(3):
        fake.expect(ack(1))
    reason = (
        "block 2 did not come after 2 retries: it broke off after 512 B; try again, with more retries to wait"
    )
    assert end(client, 1) == f"tftp: cannot get a from {SERVER}: {reason} longer\n"
    assert list(desk.directory.iterdir()) == []


def test_a_server_that_goes_away(fake: Fake, desk: Desk) -> None:
    """ICMP says so: there is no need to wait."""
    client = get(desk)
    fake.request()
    fake.send(data(1, content(512)))
    fake.expect(ack(1))
    fake.send(data(2, content(512)))
    fake.close()
    assert "the server closed its port: it broke off after " in end(client, 1)


def test_a_server_that_is_not_there(site: Site, desk: Desk) -> None:
    """Without a listener the answer is quick."""
    began = time.monotonic()
    said = end(get(desk), 1)
    assert time.monotonic() - began < 5
    reason = "no TFTP server listens on that port: is it running, and is the port right?"
    assert said == f"tftp: cannot get a from {SERVER}: {reason}\n"


def test_no_machine_at_that_address(site: Site, desk: Desk) -> None:
    """ARP fails after some seconds."""
    said = end(desk.start("get", "tftp://10.0.0.77/a"), 1)
    assert "no machine answers at that address: is it on, and is the address right?" in said


def test_no_route(site: Site, desk: Desk) -> None:
    """There is none but to the server's network."""
    assert "there is no route to it from here" in end(desk.start("get", "tftp://192.0.2.1/a"), 1)


def test_a_route_that_is_gone_for_a_while(site: Site, fake: Fake, desk: Desk) -> None:
    """What cannot be sent is as good as lost: the transfer goes on once it can."""
    client = get(desk, "-v", "--timeout", "0.1", "--retries", "1000")
    fake.request()
    fake.send(data(1, content(512)))
    fake.expect(ack(1))
    site.client.run("ip", "route", "del", "10.0.0.0/24")
    assert client.stderr
    for _ in range(3):
        assert client.stderr.readline() == f"{SERVER}: nothing came after block 1; trying again\n".encode()
    site.client.run("ip", "route", "add", "10.0.0.0/24", "dev", "eth0", "src", CLIENT)
    fake.expect(ack(1))
    fake.send(data(2))
    fake.expect(ack(2))
    assert "got a from" in end(client)
    assert (desk.directory / "a").read_bytes() == content(512)


def test_waiting_for_a_server(site: Site, desk: Desk) -> None:
    """Boot loaders listen for seconds only: --retries asks until they do."""
    client = get(desk, "-v", "--timeout", "0.2", "--retries", "100")
    assert client.stderr
    for how in ("", " without options"):  # it has asked a closed port, and been told so
        assert client.stderr.readline() == f"{SERVER}: no answer yet; asking again{how}\n".encode()
    with Fake(site) as fake:
        fake.request()
        finish(fake, desk, client)


def test_the_last_block_twice(fake: Fake, desk: Desk) -> None:
    """RFC 1350 §6: where packets were lost, the last ACK may be lost, and is given again."""
    client = get(desk)
    fake.request()
    for _ in range(2):
        fake.send(data(1, content(512)))
        fake.expect(ack(1))
    for _ in range(2):
        fake.send(data(2))
        fake.expect(ack(2))
    assert end(client) == ""


def test_ctrl_c(fake: Fake, desk: Desk) -> None:
    """The server is told, nothing is kept, and the signal is passed on to the calling script."""
    client = get(desk)
    fake.request()
    fake.send(data(1, content(512)))
    fake.expect(ack(1))
    client.send_signal(signal.SIGINT)
    assert fake.receive() == error(0, "stopped by the user")
    assert end(client, -signal.SIGINT) == "tftp: stopped\n"
    assert list(desk.directory.iterdir()) == []


def test_an_error_longer_than_a_block(fake: Fake, desk: Desk) -> None:
    """It is one datagram all the same, for the server and in the trace."""
    client = get(desk, "--blksize", "8", "--trace")
    fake.request()
    fake.send(wire.make_oack({"blksize": "8"}))
    fake.expect(ack(0))
    client.send_signal(signal.SIGINT)
    fake.expect(error(0, "stopped by the user"))
    assert end(client, -signal.SIGINT).endswith('-> ERROR 0 "stopped by the user"\ntftp: stopped\n')


def test_ctrl_c_while_a_name_is_looked_up(site: Site, desk: Desk) -> None:
    """It does not wait for the name server."""
    (desk.directory / "resolv.conf").write_text(f"nameserver {SERVER}\noptions timeout:30\n")
    script = 'mount --bind resolv.conf /etc/resolv.conf; exec "$@"'
    with site.server.entered():
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with silent:
        silent.bind((SERVER, 53))
        silent.settimeout(PATIENCE)
        client = desk.start(
            "get", "tftp://host.example/a", wrap=("unshare", "--mount", "sh", "-c", script, "sh")
        )
        assert b"host" in silent.recv(512)
        client.send_signal(signal.SIGINT)
        _, complaints = client.communicate(timeout=20)
    assert (client.returncode, complaints) == (-signal.SIGINT, b"tftp: stopped\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal(number: int, fake: Fake, desk: Desk) -> None:
    """As for Ctrl-C, with the exit code that a shell gives to it."""
    client = get(desk)
    fake.request()
    fake.send(data(1, content(512)))
    fake.expect(ack(1))
    client.send_signal(number)
    assert fake.receive() == error(0, "stopped by the user")
    assert end(client, 128 + number) == ""
    assert list(desk.directory.iterdir()) == []


def test_killed(fake: Fake, desk: Desk) -> None:
    """Without a moment to clean up there is nothing to clean up; meanwhile, too, the old file is there."""
    (desk.directory / "a").write_bytes(b"old")
    client = get(desk, "-f")
    fake.request()
    fake.send(data(1, content(512)))
    fake.expect(ack(1))
    assert [path.read_bytes() for path in desk.directory.iterdir()] == [b"old"]
    client.kill()
    assert end(client, -signal.SIGKILL) == ""
    assert [path.read_bytes() for path in desk.directory.iterdir()] == [b"old"]


def test_the_ports_to_send_from(fake: Fake, desk: Desk) -> None:
    """tftp-hpa's -R, for firewalls."""
    client = get(desk, "-R", "5000:5001")
    fake.request()
    assert fake.client[0] == CLIENT
    assert fake.client[1] in (5000, 5001)
    finish(fake, desk, client)
