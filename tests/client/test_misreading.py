"""Servers that misread what they are asked, fall silent or go away: played by hand."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd.tftp import wire
from tests.client.conftest import Desk, end, finish, get
from tests.client.fake import PLAIN, Fake
from tests.lab import wait_until
from tests.netns.tftp_site import SERVER, SERVER_TOO, ack, content, data, error, error_code, wrq

ALL = {"blksize": "1468", "tsize": "0", "windowsize": "64"}
FEWER = {"blksize": "1468", "tsize": "0"}
REFUSAL = error(8, "no options")


@contextlib.contextmanager
def stopped(client: subprocess.Popen[bytes]) -> Iterator[None]:
    """Keep the client from receiving anything meanwhile."""
    client.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{client.pid}/stat")
    wait_until(lambda: state.read_text().rpartition(") ")[2].startswith("T"), 5, "the client stops")
    yield
    client.send_signal(signal.SIGCONT)


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
    """Two requests with options, from one port, then one without from another, and so on in turns."""
    client = get(desk, "--timeout", "0.2", "-v")
    seen = []
    for _ in range(6):
        request = fake.request()
        seen.append((request, fake.client))
    with_options, without = seen[0], seen[2]
    assert wire.request(with_options[0])[3] == ALL
    assert without[0] == PLAIN
    assert without[1] != with_options[1]
    assert seen == [with_options, with_options, without] * 2
    said = [
        f"{SERVER}: no answer yet; asking again{how}" for how in ("", " without options", " with options")
    ]
    assert finish(fake, desk, client).splitlines()[:5] == [*said, *said[:2]]


def test_a_late_answer(fake: Fake, desk: Desk) -> None:
    """A server that takes its time is heard though other requests went out meanwhile."""
    client = get(desk, "--timeout", "0.1")
    fake.request()
    asked_first = fake.client
    while fake.request() != PLAIN:
        pass
    fake.client = asked_first
    fake.send(wire.make_oack({"tsize": "5"}))
    fake.expect(ack(0))
    assert finish(fake, desk, client) == ""


def test_one_port_to_send_from(fake: Fake, desk: Desk) -> None:
    """A narrow range is enough for all that is tried, one after the other."""
    client = get(desk, "--timeout", "0.2", "-R", "5000-5000")
    while fake.request() != PLAIN:
        pass
    assert fake.client[1] == 5000
    assert finish(fake, desk, client) == ""


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


def test_an_oack_and_then_an_error(fake: Fake, desk: Desk) -> None:
    """Some servers find out only then what they dislike: the options may be it."""
    client = get(desk)
    fake.request()
    fake.send(wire.make_oack(ALL))
    fake.expect(ack(0))
    fake.send(error(4, "illegal operation"))
    assert fake.request() == PLAIN
    assert finish(fake, desk, client) == ""


def test_an_oack_and_then_a_closed_port(fake: Fake, desk: Desk) -> None:
    """A server that does not survive its own OACK is asked without options."""
    client = get(desk, "--timeout", "0.1")
    fake.request()
    fake.send(wire.make_oack(ALL))
    fake.expect(ack(0))
    fake.close()  # which the next ACK 0 will find out
    assert fake.request() == PLAIN
    assert finish(fake, desk, client) == ""


def test_options_refused_for_put(fake: Fake, desk: Desk) -> None:
    """As for get."""
    (desk.directory / "a").write_bytes(b"whole")
    client = desk.start("put", "a", f"tftp://{SERVER}/b")
    assert fake.asked() == ALL | {"tsize": "5", "windowsize": "46"}
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


def test_a_size_of_nothing(fake: Fake, desk: Desk) -> None:
    """RFC 2349: 0 is what was asked; a server that only repeats it has announced nothing."""
    client = get(desk)
    fake.request()
    fake.send(wire.make_oack({"tsize": "0"}))
    fake.expect(ack(0))
    assert finish(fake, desk, client) == ""
