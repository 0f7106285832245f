"""TFTP datagrams: RFC 1350 §5 and RFC 2347, Packet Formats; what comes from a peer may be anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.errors import WireError
from ptftpd.tftp import wire
from tests.wire import vectors

Vector = dict[str, Any]

# Fields that a request can carry: no NUL, and names may hold octets that are not UTF-8.
NAMES = st.binary(max_size=40).map(lambda name: name.replace(b"\0", b"\1").decode("utf-8", "surrogateescape"))
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
OPTIONS = st.dictionaries(WORDS.map(str.lower), WORDS, max_size=6)
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
FIELDS = st.lists(st.sampled_from([b"", b"a", b"octet", b"blksize", b"9", b"\xff", b"tsize"]), max_size=9)


def any_datagram(opcode: bytes) -> st.SearchStrategy[bytes]:
    """Return any octets, often with this opcode in front."""
    return st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: opcode + rest)


def refusal(decode: Callable[[bytes], object], datagram: bytes) -> WireError | None:
    """Return the WireError of a decoder, with an offset in the datagram or at its end; None for a value."""
    try:
        decode(datagram)
    except WireError as error:
        refused = error
    else:
        return None
    assert 0 <= refused.offset <= len(datagram)
    assert refused.reason
    return refused


class TestRequest:
    @pytest.mark.parametrize("vector", vectors.load("tftp/requests.json"))
    def test_vector(self, vector: Vector) -> None:
        """Each vector names its clause."""
        datagram = vectors.octets(vector)
        if "error" in vector:
            with pytest.raises(WireError):
                wire.request(datagram)
            return
        value = vector["value"]
        opcode, name, mode, options = wire.request(datagram)
        assert (opcode, name, mode) == (value["opcode"], value["file"], value["mode"])
        assert list(options.items()) == list(value["options"].items()), "in the order they were asked"

    @given(datagram=any_datagram(b"\0\1"))
    def test_any_octets(self, datagram: bytes) -> None:
        """Any octets are a value or a WireError."""
        refusal(wire.request, datagram)

    @given(
        opcode=st.sampled_from([b"\0\1", b"\0\2"]),
        fields=FIELDS,
        tail=st.binary(max_size=4).map(lambda octets: octets.replace(b"\0", b"\1")),  # else it is a field
    )
    def test_any_fields(self, opcode: bytes, fields: list[bytes], tail: bytes) -> None:
        """Any row of fields is a value or a WireError; an option never has an empty name."""
        datagram = opcode + b"".join(field + b"\0" for field in fields) + tail
        if not refusal(wire.request, datagram):
            assert "" not in wire.request(datagram)[3]

    @given(
        opcode=st.sampled_from([wire.RRQ, wire.WRQ]),
        name=NAMES.filter(bool),
        mode=st.sampled_from(["octet", "netascii", "mail"]),
        options=OPTIONS,
    )
    def test_round_trip(self, opcode: int, name: str, mode: str, options: dict[str, str]) -> None:
        """A request that is made is read as it was meant, whatever its name."""
        assert wire.request(wire.make_request(opcode, name, mode, options)) == (opcode, name, mode, options)

    def test_the_file_of_just_that_name(self) -> None:
        """A name that is not UTF-8 is encoded back to the very octets that the client sent."""
        name = wire.request(b"\0\1caf\xe9.bin\0octet\0")[1]
        assert name.encode("utf-8", "surrogateescape") == b"caf\xe9.bin"

    def test_more_options_than_anybody_asks(self) -> None:
        """Of a request of nothing but options, the first MAX_OPTIONS count."""
        row = b"".join(b"o%d\x001\0" % index for index in range(200))
        assert list(wire.request(b"\0\1a\0octet\0" + row)[3]) == [f"o{n}" for n in range(wire.MAX_OPTIONS)]

    def test_longer_than_any_request(self) -> None:
        """RFC 2347, Packet Formats: 512 octets at most; far more than that is not a request."""
        with pytest.raises(WireError):
            wire.request(b"\0\1" + b"a" * wire.MAX_REQUEST + b"\0octet\0")

    @pytest.mark.parametrize("cut", range(len(b"\0\1name\0octet\0")))
    def test_cut_anywhere(self, cut: int) -> None:
        """A request cut short before its mode ends is an error at the place where it ends."""
        with pytest.raises(WireError):
            wire.request(b"\0\1name\0octet\0"[:cut])


class TestOack:
    @pytest.mark.parametrize("vector", vectors.load("tftp/oacks.json"))
    def test_vector(self, vector: Vector) -> None:
        """Each vector names its clause."""
        if "error" in vector:
            with pytest.raises(WireError):
                wire.oack(vectors.octets(vector))
        else:
            assert wire.oack(vectors.octets(vector)) == vector["value"]

    @given(datagram=any_datagram(b"\0\6"))
    def test_any_octets(self, datagram: bytes) -> None:
        """Any octets are a value or a WireError."""
        refusal(wire.oack, datagram)

    @given(options=OPTIONS)
    def test_round_trip(self, options: dict[str, str]) -> None:
        """An OACK that is made is read as it was meant."""
        assert wire.oack(wire.make_oack(options)) == options


class TestError:
    @pytest.mark.parametrize("vector", vectors.load("tftp/errors.json"))
    def test_vector(self, vector: Vector) -> None:
        """Each vector names its clause."""
        if "error" in vector:
            with pytest.raises(WireError):
                wire.error(vectors.octets(vector))
        else:
            assert wire.error(vectors.octets(vector)) == (vector["value"]["code"], vector["value"]["text"])

    @given(datagram=any_datagram(b"\0\5"))
    def test_any_octets(self, datagram: bytes) -> None:
        """Any octets are a value or a WireError."""
        refusal(wire.error, datagram)

    @given(code=st.integers(0, 8), text=ASCII)
    def test_round_trip(self, code: int, text: str) -> None:
        """An ERROR that is made is read as it was meant."""
        assert wire.error(wire.make_error(code, text)) == (code, text)

    @given(text=st.text(st.characters(min_codepoint=1), max_size=2000))
    def test_any_text(self, text: str) -> None:
        """Whatever the text (a name that the client chose may be in it), one NUL ends a small datagram."""
        datagram = wire.make_error(wire.NOT_FOUND, text)
        assert len(datagram) <= wire.HEADER + 512
        assert datagram.endswith(b"\0")
        assert datagram.count(0, wire.HEADER) == 1

    def test_surrogates(self) -> None:
        """A name that is not UTF-8 can be quoted in an ERROR."""
        assert wire.error(wire.make_error(wire.NOT_FOUND, "caf\udce9: no such file"))[0] == wire.NOT_FOUND


class TestMade:
    @pytest.mark.parametrize("vector", vectors.load("tftp/made.json"))
    def test_vector(self, vector: Vector) -> None:
        """Each vector names its clause."""
        assert bytes(getattr(wire, vector["call"])(*vector["args"])) == vectors.octets(vector)

    @given(block=st.integers(0, 65535), payload=st.binary(max_size=64))
    def test_data(self, block: int, payload: bytes) -> None:
        """DATA is opcode 3, the block number in network order and the payload as it is (RFC 1350 §5)."""
        assert wire.make_data(block, payload) == b"\0\3" + block.to_bytes(2, "big") + payload

    @given(block=st.integers(0, 65535))
    def test_ack(self, block: int) -> None:
        """An ACK has four octets (RFC 1350 §5)."""
        assert wire.make_ack(block) == b"\0\4" + block.to_bytes(2, "big")


class TestRun:
    @given(
        first=st.one_of(st.integers(0, 65535), st.sampled_from([0, 255, 65280, 65500])),
        count=st.integers(1, 70),
        last=st.integers(1, 12),
        stray=st.one_of(st.none(), st.tuples(st.integers(0, 69), st.sampled_from([-256, -1, 1, 256]))),
    )
    def test_any(self, first: int, count: int, last: int, stray: tuple[int, int] | None) -> None:
        """It is one if each datagram is DATA of the next number, and the numbers do not start over."""
        numbers = list(range(first, first + count))
        if stray:
            numbers[stray[0] % count] += stray[1]
        datagrams = [wire.make_data(number & 0xFFFF, b"12345678") for number in numbers]
        datagrams[-1] = datagrams[-1][:last]
        run = b"".join(datagrams)
        found = wire.is_run(bytearray(run + b"remains"), len(run), 12, first)
        assert found == (not stray and first + count <= 65536 and last >= wire.HEADER)

    @pytest.mark.parametrize("opcode", [wire.ERROR, wire.ACK, wire.DATA + 256])
    def test_something_else_in_it(self, opcode: int) -> None:
        """Only DATA makes up a run."""
        run = bytearray(wire.make_data(1, b"12345678") + wire.make_data(2, b"12345678"))
        assert wire.is_run(run, 24, 12, 1)
        wire.header.pack_into(run, 12, opcode, 2)
        assert not wire.is_run(run, 24, 12, 1)


@pytest.mark.parametrize("end", [b"", b"\0"])
def test_the_text_of_an_error_is_bounded(end: bytes) -> None:
    """A peer can send 64 kB of it, and it is kept with the transfer and recorded."""
    code, said = wire.error(b"\0\5\0\2" + b"x" * 60_000 + end)
    assert (code, said) == (2, "x" * wire.MAX_TEXT)
