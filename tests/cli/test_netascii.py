"""netascii: RFC 1350 §1 and RFC 764, whatever the cuts between blocks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.errors import TransferError
from ptftpd.tftp import netascii
from ptftpd.tftp.netascii import Decoder, Encoder

# Mostly the octets that matter, so that short examples hit them at the cuts.
TEXT = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"a", b"\r\n", b"\r\0", b"\xff"])).map(b"".join)
SIZES = st.lists(st.integers(1, 5), min_size=1)


def reader(data: bytes) -> netascii.Read:
    """Return the read of a file that holds data."""

    def read(views: Sequence[memoryview], offset: int) -> int:
        total = 0
        for view in views:
            part = data[offset + total : offset + total + len(view)]
            view[: len(part)] = part
            total += len(part)
        return total

    return read


def encoded(data: bytes, *, size: int = 4096) -> bytes:
    """Return all that an Encoder gives, read in pieces of size octets."""
    encoder, whole = Encoder(reader(data), len(data)), b""
    while True:
        piece = bytearray(size)
        count = encoder.read([memoryview(piece)], len(whole))
        whole += piece[:count]
        if count < size:
            return whole


def decoded(text: bytes, cuts: Sequence[int] = ()) -> bytes:
    """Return what a Decoder writes of text that comes in blocks of the sizes in cuts, then the rest."""
    written: list[bytes] = []
    decoder = Decoder(lambda view: written.append(bytes(view)))
    for size in cuts:
        block, text = text[:size], text[size:]
        decoder.write(memoryview(block))
    decoder.write(memoryview(text))
    decoder.finish()
    return b"".join(written)


@pytest.mark.parametrize(
    ("local", "wire"),
    [
        (b"", b""),
        (b"line\n", b"line\r\n"),
        (b"\r", b"\r\0"),
        (b"\r\n", b"\r\0\r\n"),
        (b"\n\n\r\r", b"\r\n\r\n\r\0\r\0"),
        (b"\0a\0", b"\0a\0"),
    ],
)
def test_both_ways(local: bytes, wire: bytes) -> None:
    """RFC 764, 'the NVT printer': CR LF is the end of a line, CR NUL a CR."""
    assert encoded(local) == wire
    assert decoded(wire) == local


@pytest.mark.parametrize(
    ("wire", "local"), [(b"a\rb", b"a\rb"), (b"a\r", b"a\r"), (b"a\nb", b"a\nb"), (b"\r\r\n", b"\r\n")]
)
def test_what_no_encoder_sends_is_kept(wire: bytes, local: bytes) -> None:
    assert decoded(wire) == local


@given(TEXT, SIZES)
def test_there_and_back(data: bytes, cuts: list[int]) -> None:
    assert decoded(encoded(data), cuts) == data


@given(TEXT, SIZES)
def test_cuts_do_not_matter(text: bytes, cuts: list[int]) -> None:
    """A CR LF or CR NUL may have a block boundary in it."""
    assert decoded(text, cuts) == decoded(text)


@given(TEXT, st.integers(1, 7))
def test_the_size_of_reads_does_not_matter(data: bytes, size: int) -> None:
    assert encoded(data, size=size) == encoded(data)


@given(TEXT, st.integers(1, 5), st.integers(1, 4), st.lists(st.integers(0, 4)))
def test_reads_overlap(data: bytes, blksize: int, slots: int, steps: list[int]) -> None:
    """A Sender reads from its first unacknowledged block on, which an earlier read gave already."""
    text, encoder, first = encoded(data), Encoder(reader(data), len(data)), 0
    for step in steps:
        views = [memoryview(bytearray(blksize)) for _ in range(slots)]
        count = encoder.read(views, first * blksize)
        whole = text[first * blksize :][: blksize * slots]
        assert b"".join(views)[:count] == whole
        first += min(step, count // blksize)


def test_more_than_a_chunk() -> None:
    data = (b"x" * (netascii.CHUNK - 1) + b"\n") * 3 + b"\r"
    assert encoded(data) == data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("size", [5, netascii.CHUNK, netascii.CHUNK + 5])
def test_a_file_that_grows(size: int) -> None:
    """What is sent has the size that it had."""
    text, piece = b"a\n" * size, bytearray(4 * netascii.CHUNK)
    count = Encoder(reader(text), size).read([memoryview(piece)], 0)
    assert piece[:count] == text[:size].replace(b"\n", b"\r\n")


@pytest.mark.parametrize("left", [0, 5, netascii.CHUNK])
def test_a_file_that_becomes_shorter(left: int) -> None:
    """Its end is not taken for the end of the text."""
    encoder = Encoder(reader(b"x" * left), netascii.CHUNK + 6)
    with pytest.raises(TransferError, match="became shorter"):
        encoder.read([memoryview(bytearray(2 * netascii.CHUNK))], 0)
