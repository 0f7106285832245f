"""Servers that misread what they are asked, fall silent or go away: played by hand."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd.tftp import wire
from tests.client.conftest import Desk
from tests.client.fake import PATIENCE, PLAIN, Fake
from tests.lab import wait_until
from tests.netns.tftp_site import CLIENT, SERVER, SERVER_TOO, Site, ack, content, data, error, error_code, wrq

ALL = {"blksize": "1468", "tsize": "0", "windowsize": "64"}
FEWER = {"blksize": "1468", "tsize": "0"}
REFUSAL = error(8, "no options")


@pytest.fixture
def fake(site: Site) -> Iterator[Fake]:
    """Return the server to play."""
    with Fake(site) as fake:
        yield fake


def end(client: subprocess.Popen[bytes], status: int = 0) -> str:
    """Return what the client said; it must end with this status."""
    said, complaints = client.communicate(timeout=30)
    assert said == b""
    assert client.returncode == status, complaints
    return complaints.decode()


def get(desk: Desk, *options: str) -> subprocess.Popen[bytes]:
    """Start to get the file 'a'."""
    return desk.start(*options, "get", f"tftp://{SERVER}/a")


@contextlib.contextmanager
def stopped(client: subprocess.Popen[bytes]) -> Iterator[None]:
    """Keep the client from receiving anything meanwhile."""
    client.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{client.pid}/stat")
    wait_until(lambda: state.read_text().rpartition(") ")[2].startswith("T"), 5, "the client stops")
    yield
    client.send_signal(signal.SIGCONT)


def finish(fake: Fake, desk: Desk, client: subprocess.Popen[bytes]) -> str:
    """Serve 'a' in one short block; return what the client says."""
    fake.send(data(1, b"whole"))
    fake.expect(ack(1))
    said = end(client)
    assert (desk.directory / "a").read_bytes() == b"whole"
    return said


def test_options_refused(fake: Fake, desk: Desk) -> None:
    """ERROR 8: first without windowsize, which many do not know, then without any, each from a new port."""
    client = get(desk, "-v")
    assert fake.asked() == ALL
    first = fake.client
    fake.send(REFUSAL)
    assert fake.asked() == FEWER
    assert fake.client != first
    fake.send(REFUSAL)
    assert fake.request() == PLAIN
    lines = finish(fake, desk, client).splitlines()
    said = f"{SERVER}: it said 'no options'; asking again "
    assert lines[:2] == [f"{said}with blksize, tsize only", f"{said}without options"]
    assert lines[2].startswith(f"got a from {SERVER}: 5 B")


@pytest.mark.parametrize("code", [0, 4])
def test_options_refused_by_another_code(fake: Fake, desk: Desk, code: int) -> None:
    """Not all say 8."""
    client = get(desk)
    assert fake.asked() == ALL
    fake.send(error(code, "what is that"))
    assert fake.request() == PLAIN
    assert finish(fake, desk, client) == ""


def test_options_refused_where_there_are_none(fake: Fake, desk: Desk) -> None:
    """Nothing is left to try."""
    client = get(desk, "--rfc1350")
    assert fake.request() == PLAIN
    fake.send(REFUSAL)
    assert end(client, 1) == f"tftp: cannot get a from {SERVER}: the server says 'no options'\n"


def test_silence_to_options(fake: Fake, desk: Desk) -> None:
    """Three times with options, from one port; then without."""
    client = get(desk, "--timeout", "0.2", "-v")
    requests = [fake.request()]
    port = fake.client
    requests += [fake.request(), fake.request()]
    assert requests == requests[:1] * 3
    assert wire.request(requests[0])[3] == ALL
    assert fake.client == port
    assert fake.request() == PLAIN
    assert fake.client != port
    assert finish(fake, desk, client).splitlines()[:3] == [
        f"{SERVER}: no answer yet; asking again",
        f"{SERVER}: no answer yet; asking again",
        f"{SERVER}: there is no answer; asking again without options",
    ]


UNASKED = (
    {"blksize": "1468", "multicast": ""},
    {"blksize": "9000"},
    {"windowsize": "65"},
    {"blksize": "x"},
    {"timeout": "1"},
)


@pytest.mark.parametrize("options", UNASKED)
def test_an_oack_that_was_not_asked_for(fake: Fake, desk: Desk, options: dict[str, str]) -> None:
    """RFC 2347 §4: ERROR 8 ends that transfer; then other requests are tried."""
    client = get(desk)
    for asked in (ALL, FEWER):
        assert fake.asked() == asked
        fake.send(wire.make_oack(options))
        assert error_code(fake.receive()) == wire.OPTIONS
    assert fake.request() == PLAIN
    assert finish(fake, desk, client) == ""


def test_options_ignored(fake: Fake, desk: Desk) -> None:
    """RFC 2347 §3: a server without options sends DATA at once, in blocks of 512."""
    client = get(desk)
    fake.request()
    fake.send(data(1, content(512)))
    fake.expect(ack(1))
    fake.send(data(2))
    fake.expect(ack(2))
    assert end(client) == ""
    assert (desk.directory / "a").read_bytes() == content(512)


def test_an_oack_and_then_nothing(fake: Fake, desk: Desk) -> None:
    """Large blocks do not arrive where some tunnel is narrower than the route says."""
    client = get(desk, "--timeout", "0.1", "-v")
    fake.request()
    fake.send(wire.make_oack(ALL | {"tsize": "5"}))
    for _ in range(3):
        fake.expect(ack(0))
    assert fake.request() == PLAIN
    assert re.search(r"block 1 did not come .*; asking again without options\n", finish(fake, desk, client))


def test_options_refused_for_put(fake: Fake, desk: Desk) -> None:
    """As for get."""
    (desk.directory / "a").write_bytes(b"whole")
    client = desk.start("put", "a", f"tftp://{SERVER}/b")
    assert fake.asked() == ALL | {"tsize": "5"}
    fake.send(error(4, "illegal operation"))
    assert fake.request() == wrq("b")
    fake.send(ack(0))
    fake.expect(data(1, b"whole"))
    fake.send(ack(1))
    assert end(client) == ""


def test_an_answer_to_each_copy_of_the_request(fake: Fake, desk: Desk) -> None:
    """RFC 1350 §4: the transfer is with the port that answered first; the other one is not heard."""
    client = get(desk, "--timeout", "0.2")
    fake.request()
    fake.request()  # the copy
    with fake.stranger() as other:
        fake.send(wire.make_oack({"tsize": "5"}))
        other.sendto(wire.make_oack({"tsize": "7"}), fake.client)
        fake.expect(ack(0))
        other.sendto(data(1, b"wrong"), fake.client)
        assert finish(fake, desk, client) == ""


@pytest.mark.parametrize(
    "answer", [data(1, content(512)), wire.make_oack({"tsize": "512"})], ids=["DATA", "OACK"]
)
def test_two_answers_at_once(answer: bytes, fake: Fake, desk: Desk) -> None:
    """The first one counts, and is still there when the second is thrown away."""
    client = get(desk)
    fake.request()
    with stopped(client), fake.stranger() as other:
        fake.send(answer)
        other.sendto(data(1, b"wrong"), fake.client)
    if wire.unpack_header(answer)[0] == wire.OACK:
        fake.expect(ack(0))
        fake.send(data(1, content(512)))
    fake.expect(ack(1))
    fake.send(data(2))
    fake.expect(ack(2))
    assert end(client) == ""
    assert (desk.directory / "a").read_bytes() == content(512)


def test_strangers_are_not_heard(fake: Fake, desk: Desk) -> None:
    """Another host that guesses the port changes nothing."""
    client = get(desk)
    fake.request()
    with fake.stranger(SERVER_TOO) as stranger:
        stranger.sendto(error(0, "go away"), fake.client)
        fake.send(wire.make_oack({"tsize": "5"}))
        fake.expect(ack(0))
        stranger.sendto(data(1, b"wrong"), fake.client)
        assert finish(fake, desk, client) == ""


@pytest.mark.parametrize("size", [3, 7])
def test_another_size_than_announced(fake: Fake, desk: Desk, size: int) -> None:
    """The server is told, and nothing kept."""
    client = get(desk)
    fake.request()
    fake.send(wire.make_oack({"tsize": "5"}))
    fake.expect(ack(0))
    fake.send(data(1, content(size)))
    assert error_code(fake.receive()) == wire.ILLEGAL
    reason = f"5 octets were announced, but {size} came: if the file is changing, --rfc1350 gets it without"
    assert end(client, 1).startswith(f"tftp: cannot get a from {SERVER}: {reason}")
    assert list(desk.directory.iterdir()) == []


def test_a_size_of_nothing(fake: Fake, desk: Desk) -> None:
    """RFC 2349: 0 is what was asked; a server that only repeats it has announced nothing."""
    client = get(desk)
    fake.request()
    fake.send(wire.make_oack({"tsize": "0"}))
    fake.expect(ack(0))
    assert finish(fake, desk, client) == ""


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
    reason = "no TFTP server listens on that port of it: is it started, and the port right?"
    assert said == f"tftp: cannot get a from {SERVER}: {reason}\n"


def test_no_machine_at_that_address(site: Site, desk: Desk) -> None:
    """ARP fails after some seconds."""
    said = end(desk.start("get", "tftp://10.0.0.77/a"), 1)
    assert "no machine answers at that address: is it on, and the address right?" in said


def test_no_route(site: Site, desk: Desk) -> None:
    """There is none but to the server's network."""
    assert "there is no route to it from here" in end(desk.start("get", "tftp://192.0.2.1/a"), 1)


def test_waiting_for_a_server(site: Site, desk: Desk) -> None:
    """Boot loaders listen for seconds only: --retries asks until they do."""
    client = get(desk, "-v", "--timeout", "0.2", "--retries", "100")
    assert client.stderr
    for _ in range(2):  # it has asked a closed port, and been told so
        assert client.stderr.readline() == f"{SERVER}: no answer yet; asking again\n".encode()
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
