"""Requests to a whole server: what is answered, what is refused and how, what is recorded."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ptftpd import net
from ptftpd.errors import Error
from ptftpd.log import DEBUG, INFO, WARNING
from ptftpd.settings import Class, Pxe, Remap, Tftp
from ptftpd.tftp import wire
from ptftpd.tftp.limits import STALLED
from ptftpd.tftp.outcome import PATIENCE
from ptftpd.tftp.transfer import COPIED
from tests.descriptors import open_descriptors
from tests.netns.tftp_site import ack, content, data, error, error_code, options, rrq, wrq
from tests.tftp.serving import LOCAL, LOCAL6, LocalPeer, Serving

OCTETS = content(2000)


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serving]:
    """Return a running server of one file that takes uploads of new files."""
    (tmp_path / "file").write_bytes(OCTETS)
    with Serving(monkeypatch, tmp_path, uploads="create", timeout=1.0) as serving:
        yield serving


def refusal(peer: LocalPeer, request: bytes) -> tuple[int, str]:
    """Return code and text of the ERROR that answers a request."""
    peer.ask(request)
    return wire.error(peer.receive())


class TestReading:
    @pytest.mark.parametrize("server", [LOCAL, LOCAL6])
    def test_plain(self, serving: Serving, server: str) -> None:
        """RFC 1350 §4, §6: from a fresh port, block by block, the last one shorter; then silence."""
        peer = serving.peer(server)
        assert peer.get(rrq("file")) == OCTETS
        assert peer.tid[1] != serving.port
        peer.expect_silence()
        serving.turn(60)
        peer.expect_silence()

    @pytest.mark.parametrize("mode", ["octet", "OCTET", "OcTeT"])
    def test_the_case_of_the_mode(self, serving: Serving, mode: str) -> None:
        """RFC 1350 §5: the mode is in any combination of upper and lower case."""
        assert serving.peer().get(rrq("file", mode)) == OCTETS

    @pytest.mark.parametrize("size", [0, 512, 1024])
    def test_a_multiple_of_a_block(self, serving: Serving, size: int) -> None:
        """RFC 1350 §6: an empty block ends a file of whole blocks, and is all of an empty file."""
        (serving.root / "whole").write_bytes(OCTETS[:size])
        assert serving.peer().get(rrq("whole")) == OCTETS[:size]

    def test_netascii(self, serving: Serving) -> None:
        """RFC 1350 §1, RFC 764: LF is CR LF and CR is CR NUL, at the end of a block too.

        RFC 2349: tsize is left out, as the size on the wire is not known before the end.
        """
        text = b"a\rb\n" * 300 + b"x" * 511 + b"\n"
        (serving.root / "text").write_bytes(text)
        encoded = text.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
        peer = serving.peer()
        assert peer.get(rrq("text", "NetASCII")) == encoded
        peer.ask(rrq("text", "netascii", tsize=0, blksize=100))
        assert options(peer.receive()) == {"blksize": "100"}
        peer.answer(ack(0))
        assert peer.rest(b"", 1, blksize=100) == encoded

    def test_options(self, serving: Serving) -> None:
        """RFC 2347: only what was asked is granted, in its order, and names are compared without case."""
        peer = serving.peer()
        peer.ask(rrq("file", TSIZE=0, unknown=1, BlkSize=8, multicast=""))
        assert options(peer.receive()) == {"tsize": "2000", "blksize": "8"}

    def test_an_oack_longer_than_a_block(self, serving: Serving) -> None:
        """RFC 2348: with blksize 8 it is still one datagram, and so is an ERROR."""
        peer = serving.peer()
        peer.ask(rrq("file", blksize=8, windowsize=4, timeout=3, tsize=0))
        asked = {"blksize": "8", "windowsize": "4", "timeout": "3", "tsize": "2000"}
        assert options(peer.receive()) == asked
        peer.answer(ack(0))
        for block in range(1, 5):
            peer.expect(data(block, OCTETS[8 * block - 8 : 8 * block]))

    @pytest.mark.parametrize(
        "asked",
        [
            {"blksize": 7}, {"blksize": 65465}, {"blksize": "x"}, {"blksize": ""}, {"windowsize": 0},
            {"windowsize": 65536}, {"timeout": 0}, {"timeout": 256}, {"tsize": -1}, {"blksize": "9" * 400},
        ],
        ids=str,
    )  # fmt: skip
    def test_options_out_of_range(self, serving: Serving, asked: dict[str, object]) -> None:
        """RFC 2347: an option that cannot be granted is left out; without any there is no OACK."""
        assert serving.peer().get(rrq("file", **asked)) == OCTETS

    def test_the_clients_timeout(self, serving: Serving) -> None:
        """RFC 2349: what the client asked for is the time between retransmissions, each time."""
        peer = serving.peer()
        peer.ask(rrq("file", timeout=5))
        assert options(peer.receive()) == {"timeout": "5"}
        for _ in range(3):
            serving.turn(4.9)
            peer.expect_silence()
            serving.turn(0.1)
            assert options(peer.receive()) == {"timeout": "5"}

    @pytest.mark.parametrize("timeout", [1, 8, 9, 20, 29, 30, 31, 59, 60, 61, 255])
    @pytest.mark.parametrize("retries", [1, 6, 50])
    def test_patience(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, timeout: int, retries: int
    ) -> None:
        """Whatever time the client chose: it is echoed and used, but its silence is endured for a minute."""
        (tmp_path / "file").write_bytes(OCTETS)
        with Serving(monkeypatch, tmp_path, retries=retries, opening_retries=retries) as serving:
            peer = serving.peer()
            peer.ask(rrq("file", timeout=timeout))
            assert options(peer.receive()) == {"timeout": str(timeout)}
            peer.answer(ack(0))
            peer.receive()
            began, again = serving.now, []
            while serving.server.transfers:
                serving.turn(0.5)
                if peer.listen():
                    again.append(serving.now - began)
            assert serving.now - began <= PATIENCE
            assert again == [n * min(timeout, PATIENCE / 2) for n in range(1, len(again) + 1)]
            assert len(again) == max(1, min(retries, int(PATIENCE / timeout) - 1))


class TestRefusing:
    @pytest.mark.parametrize("writing", [False, True])
    @pytest.mark.parametrize("mode", ["mail", "image", ""])
    def test_modes(self, serving: Serving, mode: str, writing: bool) -> None:
        """RFC 1350 §1, RFC 1123 §4.2.2.1: mail is obsolete; it and unknown modes get error 4."""
        code, text = refusal(serving.peer(), (wrq if writing else rrq)("file", mode))
        assert code == wire.ILLEGAL
        assert "only octet and netascii" in text

    @pytest.mark.parametrize(
        ("request_", "code", "said"),
        [
            (rrq("absent"), wire.NOT_FOUND, "no such file"),
            (rrq("absent/file"), wire.NOT_FOUND, "no such file"),
            (rrq("x" * 300), wire.NOT_FOUND, "the name is too long"),
            (rrq("../file"), wire.ACCESS, "the name leads out of the root directory"),
            (rrq("/"), wire.ACCESS, "it is a directory"),
            (wrq("file"), wire.EXISTS, "the file exists already"),
            (wrq("absent/file"), wire.NOT_FOUND, "no such file"),
            (wrq("/"), wire.ACCESS, "the name is that of a directory"),
            (wrq("new", tsize=1 << 31), wire.DISK_FULL, "uploads are limited to 1073741824 octets"),
        ],
    )
    def test_codes(self, serving: Serving, request_: bytes, code: int, said: str) -> None:
        """RFC 1350, appendix: the code that fits, and a sentence, recorded with who asked for what."""
        assert refusal(serving.peer(), request_) == (code, said)
        record = serving.log.only("refused")
        assert record.priority == INFO
        assert record.message.endswith(f": {said}")
        assert (record.fields["TFTP_CLIENT"], record.fields["TFTP_ERROR"]) == (LOCAL, code)

    @pytest.mark.parametrize(
        "datagram",
        [b"", b"\0", b"\0\1", ack(0), data(1, b"x"), error(0), b"\0\6blksize\x008\0", b"\0\7x\0octet\0",
         b"\xff" * 600],
        ids=repr,
    )  # fmt: skip
    def test_no_request(self, serving: Serving, datagram: bytes) -> None:
        """RFC 1350 §7: what is no request is not answered, but counted; the next one is."""
        peer = serving.peer()
        peer.ask(datagram)
        peer.expect_silence()
        assert "malformed TFTP request" in serving.log.only("dropped").message
        assert peer.get(rrq("file")) == OCTETS

    @pytest.mark.parametrize(
        "datagram",
        [b"\0\1file", b"\0\2file", b"\0\1file\0", b"\0\1file\0octet", b"\0\1\0octet\0", b"\0\2\0octet\0"],
        ids=repr,
    )
    def test_a_request_that_is_malformed(self, serving: Serving, datagram: bytes) -> None:
        """Error 4 at once, as a device that is told nothing waits; no more of them than request_rate."""
        peer = serving.peer()
        for _ in range(2 * serving.settings.tftp.request_rate):
            peer.ask(datagram)
            serving.turn()
        answers = []
        while answer := peer.listen():
            answers.append(error_code(answer))
        assert answers == [wire.ILLEGAL] * serving.settings.tftp.request_rate
        assert "malformed TFTP request" in serving.log.only("dropped").message

    def test_a_port_that_it_may_not_have(self, serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
        """A port_range below 1024, without root: the sentence is about ports, not about the file."""

        def connected(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(net, "connected", connected)
        code, text = refusal(serving.peer(), rrq("file"))
        assert code == wire.UNDEFINED
        assert "port" in text
        assert "owner" not in text

    def test_more_than_512_octets(self, serving: Serving) -> None:
        """RFC 2347 allows 512 octets a request; more, of firmware with long paths, is read too."""
        assert serving.peer().get(rrq("./" * 250 + "file", **{"x" * 100: "1"})) == OCTETS

    @pytest.mark.parametrize(
        "tftp", [{"rfc1350": True}, {"refuse_option": ("blksize", "tsize", "timeout", "windowsize")}], ids=str
    )
    def test_no_options(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tftp: dict[str, object]
    ) -> None:
        """--rfc1350, --refuse-option: a server that knows no options answers without OACK (RFC 2347)."""
        (tmp_path / "file").write_bytes(OCTETS)
        with Serving(monkeypatch, tmp_path, uploads="create", **tftp) as serving:
            asked = {"blksize": 100, "tsize": 0, "timeout": 2, "windowsize": 4}
            assert serving.peer().get(rrq("file", **asked)) == OCTETS
            serving.peer().put(wrq("new", **asked), OCTETS)

    def test_the_limits_of_the_configuration(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """RFC 2348, 7440: what is granted is no more than asked nor than the settings allow; WRQ too."""
        (tmp_path / "file").write_bytes(OCTETS)
        with Serving(monkeypatch, tmp_path, uploads="create", blksize=1000, windowsize=3) as serving:
            for request in (rrq, wrq):
                peer = serving.peer()
                peer.ask(request("new" if request is wrq else "file", blksize=1400, windowsize=9))
                assert options(peer.receive()) == {"blksize": "1000", "windowsize": "3"}


class TestRepeated:
    """RFC 1350 §4: a TID identifies a transfer; a request from it that comes again starts no second one."""

    @pytest.mark.parametrize("request_", [rrq("file"), wrq("new"), rrq("file", blksize=8), wrq("n", tsize=9)])
    def test_no_second_transfer(self, serving: Serving, request_: bytes) -> None:
        """The first answer comes again, from the same port; Cisco IOS was told 'File already exists'."""
        peer = serving.peer()
        peer.ask(request_)
        first, tid = peer.receive(), peer.tid
        for _ in range(2):
            serving.turn(0.3)
            peer.ask(request_)
            peer.expect(first)
            assert peer.tid == tid
        assert len(serving.server.transfers) == 1

    def test_the_networks_copy(self, serving: Serving) -> None:
        """At once it is no client's: a second OACK would make curl and atftp send the wrong block."""
        peer = serving.peer()
        for _ in range(2):
            peer.ask(wrq("new", blksize=100))
        assert options(peer.receive()) == {"blksize": "100"}
        peer.expect_silence()
        serving.turn(COPIED)
        peer.ask(wrq("new", blksize=100))
        assert options(peer.receive()) == {"blksize": "100"}

    def begin(self, serving: Serving) -> LocalPeer:
        """Return a client that has got block 1, of a transfer whose timer stays out of the way."""
        peer = serving.peer()
        peer.ask(self.SLOW)
        peer.receive()
        peer.answer(ack(0))
        peer.expect(data(1, OCTETS[:512]))
        return peer

    SLOW = rrq("file", timeout=200)

    def test_late(self, serving: Serving) -> None:
        """An old copy does not disturb the transfer that it belongs to."""
        peer = self.begin(serving)
        peer.answer(ack(1))
        peer.expect(data(2, OCTETS[512:1024]))
        serving.turn(STALLED / 2)
        peer.ask(self.SLOW)
        peer.expect_silence()
        peer.answer(ack(2))
        assert peer.rest(OCTETS[:1024], 3) == OCTETS

    @pytest.mark.parametrize(("request_", "after"), [(SLOW, STALLED), (rrq("./file", timeout=200), 0)])
    def test_the_client_starts_over(self, serving: Serving, request_: bytes, after: float) -> None:
        """The same request after a silence, or another one, from a port that firmware uses again."""
        peer = self.begin(serving)
        peer.answer(ack(1))
        peer.receive()
        before = peer.tid
        serving.turn(after)
        peer.ask(request_)
        assert options(peer.receive()) == {"timeout": "200"}
        assert peer.tid != before
        assert serving.server.limits.running == 2, "the request might be forged"
        peer.answer(ack(0))
        peer.expect(data(1, OCTETS[:512]))
        assert serving.server.limits.running == 1
        assert serving.log.only("send-failed").message.endswith("the client started over")

    @pytest.mark.parametrize("forged", [rrq("other"), rrq("file", blksize=600), wrq("new"), rrq("absent")])
    def test_a_forged_request_ends_nothing(self, serving: Serving, forged: bytes) -> None:
        """One from the address and port of a client whose transfer runs; it refuses the answer, or not."""
        (serving.root / "other").write_bytes(b"other")
        for answered in (True, False):
            peer = self.begin(serving)
            own = peer.tid
            peer.ask(forged)
            assert peer.receive()[:4] != data(2)[:4]
            if answered and peer.tid[1] != serving.port:
                peer.answer(error(wire.UNKNOWN_TID))
            serving.turn(0.2)
            peer.tid = own
            peer.answer(ack(1))
            assert peer.rest(OCTETS[:512], 2) == OCTETS
        for _ in range(20):
            serving.turn(1)
        assert not serving.server.transfers
        assert len(serving.log.of("sent")) == 2

    def test_a_file_of_one_block_that_is_asked_instead(self, serving: Serving) -> None:
        """Its one ACK both proves the new transfer and ends it: the old one is over, too."""
        (serving.root / "small").write_bytes(b"small")
        peer = self.begin(serving)
        assert peer.get(rrq("small")) == b"small"
        serving.turn()
        assert not serving.server.transfers

    def test_a_port_that_was_closed_meanwhile(self, serving: Serving) -> None:
        """ICMP says that the client has gone while an answer of its is still to be sent: no crash."""
        peer = serving.peer()
        peer.ask(rrq("file"))
        peer.receive()
        peer.answer(ack(1))
        peer.ask(rrq("file"))
        peer.socket.close()
        serving.turn()
        serving.turn(60)
        assert not serving.server.transfers
        assert "closed its port" in serving.log.only("send-failed").message


@pytest.mark.parametrize("rollover", [0, 1])
def test_more_blocks_than_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rollover: int) -> None:
    """The number after 65535 is 0, or what the client's [class] says."""
    blksize, window, size = 8, 64, 8 * 65600 + 3
    (tmp_path / "file").write_bytes(content(size))
    serving = Serving(monkeypatch, tmp_path)
    serving.settings = replace(serving.settings, classes={"everybody": Class(rollover=rollover)})
    with serving:
        peer = serving.peer()
        peer.ask(rrq("file", blksize=blksize, windowsize=window))
        peer.receive()
        numbers, octets = [0], 0
        while octets < size:
            peer.answer(ack(numbers[-1]))
            for _ in range(window):
                block = peer.receive()
                numbers.append(int.from_bytes(block[2:4], "big"))
                octets += len(block) - 4
                if octets == size:
                    break
        peer.answer(ack(numbers[-1]))
        peer.expect_silence()
    assert numbers == [*range(65536), *range(rollover, 65601 - 65535 + rollover)]


class TestBounds:
    def serve(self, monkeypatch: pytest.MonkeyPatch, root: Path, **tftp: int) -> Serving:
        """Return a server with these bounds."""
        (root / "file").write_bytes(OCTETS)
        return Serving(monkeypatch, root, **tftp)

    @pytest.mark.parametrize("bound", ["max_transfers", "max_client_transfers"])
    def test_busy(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bound: str) -> None:
        """Error 0 and a sentence; what runs is not harmed, and when it has ended the next one is served."""
        with self.serve(monkeypatch, tmp_path, **{bound: 2}) as serving:
            first, second, third = (serving.peer() for _ in range(3))
            for peer in (first, second):  # they answer: one that does not gives way to the next
                peer.ask(rrq("file"))
                peer.expect(data(1, OCTETS[:512]))
                serving.turn(0.01)
                peer.answer(ack(1))
                peer.expect(data(2, OCTETS[512:1024]))
            code, text = refusal(third, rrq("file"))
            assert code == wire.UNDEFINED
            assert "busy" in text
            first.answer(ack(2))
            assert first.rest(b"", 3) == OCTETS[1024:]
            assert third.get(rrq("file")) == OCTETS

    def test_one_client_among_others(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """max_client_transfers counts by address: another one is served."""
        with self.serve(monkeypatch, tmp_path, max_client_transfers=1) as serving:
            running = serving.peer()
            running.ask(rrq("file"))
            running.receive()
            serving.turn(0.01)
            running.answer(ack(1))
            running.receive()
            assert refusal(serving.peer(), rrq("file"))[0] == wire.UNDEFINED
            assert serving.peer(LOCAL6).get(rrq("file")) == OCTETS

    def test_request_rate(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Above it requests of an address are dropped and counted, without an answer that could be abused."""
        with self.serve(monkeypatch, tmp_path, request_rate=3) as serving:
            peers = [serving.peer() for _ in range(5)]
            for peer in peers:
                peer.ask(rrq("file"))
            answered = [peer for peer in peers if peer.listen()]
            assert len(answered) == 3
            serving.turn(61)
            serving.log.report(serving.now)
            said = [record.message for record in serving.log.of("dropped")]
            assert len(said) == 2
            assert all("1 x TFTP requests above request_rate" in each for each in said)
            assert peers[4].get(rrq("file")) == OCTETS

    @pytest.mark.parametrize("asked", [{}, {"blksize": 1400}], ids=str)
    def test_the_rate_of_repeated_requests(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: dict[str, int]
    ) -> None:
        """request_rate: they count too, else one forged request, repeated, provokes any number of answers."""
        with self.serve(monkeypatch, tmp_path, request_rate=3) as serving:
            peer = serving.peer()
            for _ in range(20):
                peer.ask(rrq("file", **asked))
                serving.turn(COPIED / 2)
            provoked = []
            while datagram := peer.listen():
                provoked.append(datagram)
            assert len(provoked) <= 3 + 3 + 1, "of the burst, of the second's own requests, of the timeout"

    @pytest.mark.parametrize("retries", [0, 2])
    @pytest.mark.parametrize("asked", [{}, {"blksize": 1400, "windowsize": 64}], ids=str)
    def test_amplification(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, retries: int, asked: dict[str, int]
    ) -> None:
        """opening_retries: a request with a forged address provokes one datagram and that many copies."""
        with self.serve(monkeypatch, tmp_path, opening_retries=retries) as serving:
            peer = serving.peer()
            peer.ask(rrq("file", **asked))
            serving.turn()
            for _ in range(100):
                serving.turn(1)
            provoked = []
            while datagram := peer.listen():
                provoked.append(datagram)
            assert len(provoked) == 1 + retries
            assert max(map(len, provoked)) <= 516
            assert not serving.server.transfers

    def test_many_clients(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Hundreds of transfers at once are ordinary, within 1024 descriptors; here one address has all."""
        with self.serve(monkeypatch, tmp_path, max_client_transfers=1000, request_rate=1000) as serving:
            peers = [serving.peer() for _ in range(200)]
            for peer in peers:
                peer.ask(rrq("file"))
            assert all(peer.receive() == data(1, OCTETS[:512]) for peer in peers)
            assert serving.server.limits.running == 200


class TestRecords:
    """One record a transfer, with everything that is known of it."""

    def test_sent(self, serving: Serving) -> None:
        """Each field of the journal, and the line for people."""
        peer = serving.peer()
        peer.ask(rrq("/file", blksize=1000, tsize=0))
        peer.receive()
        peer.answer(ack(0))
        peer.receive()
        serving.turn(1.0)  # block 1 again
        peer.receive()
        serving.now += 1.0
        peer.answer(ack(1))
        assert peer.rest(b"", 2, blksize=1000) == OCTETS[1000:]
        serving.turn()
        record = serving.log.only("sent")
        assert record.priority == INFO
        assert record.message == f"sent /file to {LOCAL}: 2 kB in 2.0 s, 1 resent"
        assert record.fields == {
            "TFTP_CLIENT": LOCAL, "TFTP_FILE": "/file", "TFTP_PATH": f"{serving.root}/file",
            "TFTP_BYTES": 2000, "TFTP_SECONDS": "2.000", "TFTP_RATE": 1000, "TFTP_BLOCKS": 3,
            "TFTP_RESENT": 1, "TFTP_MODE": "octet", "TFTP_OPTIONS": "blksize=1000 tsize=2000",
            "TFTP_QUIRKS": "",
        }  # fmt: skip

    def test_received(self, serving: Serving) -> None:
        peer = serving.peer()
        peer.put(wrq("new", "netascii"), b"text")
        record = serving.log.only("received")
        assert record.message == f"received new from {LOCAL}: 4 B in 0.0 s"
        assert record.fields["TFTP_MODE"] == "netascii"
        assert record.fields["TFTP_PATH"] == f"{serving.root}/new"

    def test_a_quirk(self, serving: Serving) -> None:
        """What was done to the name is told."""
        serving.peer().get(rrq(b"file\xff"))
        serving.turn()
        record = serving.log.only("sent")
        assert record.message.endswith(", garbage behind the name")
        assert record.fields["TFTP_QUIRKS"] == "garbage behind the name"

    @pytest.mark.parametrize(("request_", "verb", "kind", "said"), [
        (rrq("file"), "to", "send-failed", "no answer to block 1 after 3 retries"),
        (wrq("new"), "from", "receive-failed", "block 1 did not come after 3 retries"),
        (rrq("file", tsize=0), "to", "send-failed", "no answer to the OACK after 3 retries"),
    ])  # fmt: skip
    def test_silence(self, serving: Serving, request_: bytes, verb: str, kind: str, said: str) -> None:
        """RFC 1123 §4.2.3.2: after bounded retries it is given up, and the record says so."""
        serving.peer().ask(request_)
        serving.turn()
        for _ in range(40):
            serving.turn(1)
        record = serving.log.only(kind)
        assert record.priority == WARNING
        assert f"{verb} {LOCAL} failed after 0 B" in record.message
        assert record.message.endswith(f": {said}")
        assert record.fields["TFTP_ERROR"] == 0

    def test_an_error_of_the_client(self, serving: Serving) -> None:
        """RFC 1350 §7: it ends the transfer at once, and is neither acknowledged nor answered."""
        peer = serving.peer()
        peer.ask(rrq("file"))
        peer.receive()
        peer.answer(error(3, "no room for it"))
        peer.expect_silence()
        serving.turn(60)
        peer.expect_silence()
        assert serving.log.only("send-failed").message.endswith("the client said: no room for it")

    @pytest.mark.parametrize(
        "said",
        [
            error(8, "User aborted the transfer"), error(0, "TFTP Aborted"), error(0, "Early terminate"),
            error(0, "No error, file close"), error(0), error(5, "x" * 1000), None,
        ],
        ids=["EDK2", "iPXE", "Raspberry Pi", "PXELINUX", "nothing", "anything", "closed its port"],
    )  # fmt: skip
    def test_a_size_probe(self, serving: Serving, said: bytes | None) -> None:
        """Who asked for tsize and acknowledged nothing has only probed, however it hangs up: no failure."""
        peer = serving.peer()
        peer.ask(rrq("file", tsize=0, blksize=1468, windowsize=4))
        peer.receive()
        if said:
            peer.answer(said)
        else:
            peer.socket.close()
            serving.turn(5)
        serving.turn()
        assert not serving.log.of("send-failed", "sent", "refused")
        [record] = [each for each in serving.log.kept if "only asked for the size of file" in each.message]
        assert record.priority == DEBUG

    @pytest.mark.parametrize(("code", "priority"), [(0, INFO), (3, WARNING)])
    def test_a_client_that_stops(self, serving: Serving, code: int, priority: int) -> None:
        """By code 0 it closes a file that it has enough of: information; any other code is a failure."""
        peer = serving.peer()
        peer.ask(rrq("file", tsize=0))
        peer.receive()
        peer.answer(ack(0))
        peer.receive()
        peer.answer(ack(1))
        peer.receive()
        peer.answer(error(code, "enough"))
        serving.turn()
        assert serving.log.only("send-failed").priority == priority

    def test_no_size_was_asked(self, serving: Serving) -> None:
        """Then nothing was probed, and hanging up is a failure to be seen."""
        peer = serving.peer()
        peer.ask(rrq("file", blksize=1468))
        peer.receive()
        peer.answer(error(8, "no such option"))
        serving.turn()
        assert serving.log.only("send-failed").priority == WARNING


class TestWriting:
    def test_whole(self, serving: Serving) -> None:
        """RFC 1350 §4: ACK 0, then each block is acknowledged; the file is there when the last one is."""
        peer = serving.peer()
        peer.ask(wrq("new"))
        peer.expect(ack(0))
        for block in range(1, 5):
            assert not (serving.root / "new").exists()
            peer.answer(data(block, OCTETS[512 * block - 512 : 512 * block]))
            peer.expect(ack(block))
        assert (serving.root / "new").read_bytes() == OCTETS

    def test_windowsize(self, serving: Serving) -> None:
        """RFC 7440 §3: a WRQ may ask for a window too; its end is acknowledged, and that of the file."""
        peer = serving.peer()
        peer.ask(wrq("new", windowsize=3, tsize=2000))
        assert options(peer.receive()) == {"windowsize": "3", "tsize": "2000"}
        for block in (1, 2):
            peer.answer(data(block, OCTETS[512 * block - 512 : 512 * block]))
            peer.expect_silence()
        peer.answer(data(3, OCTETS[1024:1536]))
        peer.expect(ack(3))
        peer.answer(data(4, OCTETS[1536:]))
        peer.expect(ack(4))
        assert (serving.root / "new").read_bytes() == OCTETS

    @pytest.mark.parametrize(
        ("wire_", "local"),
        [(b"x" * 511 + b"\r\ny\r\0", b"x" * 511 + b"\ny\r"), (b"x" * 511 + b"\r", b"x" * 511 + b"\r")],
    )
    def test_netascii(self, serving: Serving, wire_: bytes, local: bytes) -> None:
        """RFC 1350 §1: what stands for the end of a line may be cut by a block, or by the end of the file."""
        serving.peer().put(wrq("new", "netascii"), wire_)
        assert (serving.root / "new").read_bytes() == local

    @pytest.mark.parametrize(("announced", "code"), [(0, None), (99, None), (100, None), (101, 0), (5000, 0)])
    def test_fewer_octets_than_announced(self, serving: Serving, announced: int, code: int | None) -> None:
        """RFC 2349: the end is no end then: an error for the last block, and nothing is published.

        0 announces nothing, and more than announced is the client's affair.
        """
        peer = serving.peer()
        peer.ask(wrq("new", tsize=announced))
        assert options(peer.receive()) == {"tsize": str(announced)}
        peer.answer(data(1, b"x" * 100))
        answer = peer.receive()
        if code is None:
            assert answer == ack(1)
        else:
            assert error_code(answer) == code
        assert (serving.root / "new").exists() == (code is None)

    def test_dallying(self, serving: Serving) -> None:
        """RFC 1350 §6: the last block that comes again, since its ACK was lost, is acknowledged again."""
        peer = serving.peer()
        peer.put(wrq("new"), b"x" * 100)
        for _ in range(2):
            serving.turn(1.5)
            peer.answer(data(1, b"x" * 100))
            peer.expect(ack(1))
        assert len(serving.log.of("received")) == 1
        serving.turn(20)
        assert not serving.server.transfers

    def test_what_dallying_holds(self, serving: Serving) -> None:
        """Its socket only: neither the file, nor its directory, nor a name that it had meanwhile."""
        peer = serving.peer()
        before = len(open_descriptors())
        peer.put(wrq("new"), b"x")
        assert len(serving.server.transfers) == 1
        assert len(open_descriptors()) == before + 1

    def test_how_many_dally(self, serving: Serving) -> None:
        """As many as may run: the oldest gives way, the others still repeat the ACK of the last block."""
        most = 3
        serving.server.reload(
            replace(serving.settings, tftp=replace(serving.settings.tftp, max_transfers=most))
        )
        peers = [serving.peer() for _ in range(2 * most)]
        before = len(open_descriptors())
        for number, peer in enumerate(peers):
            peer.put(wrq(f"new{number}"), b"x")
            assert len(serving.server.transfers) == min(number + 1, most)
        assert len(open_descriptors()) == before + most
        assert len(serving.log.of("received")) == 2 * most
        for number, peer in enumerate(peers):
            peer.answer(data(1, b"x"))
            if number < most:
                peer.expect_silence()
            else:
                peer.expect(ack(1))
        serving.turn(20)
        assert not serving.server.transfers

    def test_two_to_one_name(self, serving: Serving) -> None:
        """They never mix: the first that is whole has the name, the other is told that it exists."""
        one, other = serving.peer(), serving.peer()
        for peer in (one, other):
            peer.ask(wrq("new"))
            peer.expect(ack(0))
        one.answer(data(1, b"1" * 512))
        other.answer(data(1, b"2" * 512))
        for peer in (one, other):
            peer.expect(ack(1))
        other.answer(data(2, b"2"))
        other.expect(ack(2))
        one.answer(data(2, b"1"))
        assert error_code(one.receive()) == wire.EXISTS
        assert (serving.root / "new").read_bytes() == b"2" * 513

    def test_an_error_leaves_nothing(self, serving: Serving) -> None:
        peer = serving.peer()
        peer.ask(wrq("new"))
        peer.receive()
        peer.answer(data(1, b"x" * 512))
        peer.receive()
        peer.answer(error(0, "enough"))
        serving.turn()
        assert {path.name for path in serving.root.iterdir()} == {"file"}


class TestReload:
    def test_a_root_that_is_gone(self, serving: Serving, tmp_path: Path) -> None:
        """An Error changes nothing: the old root is served on."""
        gone = replace(serving.settings, pxe=Pxe(root=(f"{tmp_path}/gone",)))
        with pytest.raises(Error, match="gone"):
            serving.server.reload(gone)
        assert serving.peer().get(rrq("file")) == OCTETS

    def test_bounds_that_shrink(self, serving: Serving) -> None:
        """What runs goes on, and counts for the new bound."""
        peer = serving.peer()
        peer.ask(rrq("file"))
        peer.expect(data(1, OCTETS[:512]))
        serving.turn(0.01)
        peer.answer(ack(1))
        peer.expect(data(2, OCTETS[512:1024]))
        serving.server.reload(replace(serving.settings, tftp=Tftp(max_transfers=1)))
        assert refusal(serving.peer(), rrq("file"))[0] == wire.UNDEFINED
        peer.answer(ack(2))
        assert peer.rest(OCTETS[:1024], 3) == OCTETS
        assert serving.peer().get(rrq("file")) == OCTETS

    def test_rules_that_change(self, serving: Serving) -> None:
        """A running transfer keeps its file and its settings; the next request finds the new ones."""
        peer = serving.peer()
        peer.ask(rrq("file"))
        received = peer.receive()[4:]
        (serving.root / "other").write_bytes(b"other")
        serving.server.reload(replace(serving.settings, remaps={"r": Remap("^file$", "other")}))
        peer.answer(ack(1))
        assert peer.rest(received, 2) == OCTETS
        assert serving.peer().get(rrq("file")) == b"other"


class TestDrain:
    """SIGTERM: what runs is finished, and nothing else begins."""

    def test_both_ways(self, serving: Serving) -> None:
        reader, writer = serving.peer(), serving.peer()
        reader.ask(rrq("file"))
        reader.expect(data(1, OCTETS[:512]))
        writer.ask(wrq("new"))
        writer.expect(ack(0))
        serving.server.drain()
        assert serving.server.limits.running == 2
        reader.answer(ack(1))
        assert reader.rest(OCTETS[:512], 2) == OCTETS
        writer.answer(data(1, b"whole"))
        writer.expect(ack(1))
        assert (serving.root / "new").read_bytes() == b"whole"
        serving.turn()
        assert serving.server.limits.running == 0
        with pytest.raises(OSError, match=r"\[Errno"):
            serving.listener.getsockname()

    def test_status(self, serving: Serving) -> None:
        """systemctl status tells what was done."""
        serving.peer().get(rrq("file"))
        serving.peer().put(wrq("new"), b"x")
        serving.peer().ask(rrq("file"))
        serving.turn()
        assert serving.server.status() == "1 transfers running, 1 files sent, 1 received"
