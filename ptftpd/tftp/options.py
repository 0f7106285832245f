"""Option negotiation of RFC 2347: blksize and timeout (2348, 2349), tsize (2349), windowsize (7440).

One rule throughout: an option is granted only when it was asked for, never larger than asked, and one
that cannot be granted is left out of the OACK, which the RFCs allow and every client survives.
"""

from __future__ import annotations

from dataclasses import dataclass

BLKSIZE, TSIZE, TIMEOUT, WINDOWSIZE = "blksize", "tsize", "timeout", "windowsize"
KNOWN = (BLKSIZE, TSIZE, TIMEOUT, WINDOWSIZE)

DEFAULT_BLKSIZE = 512  # RFC 1350 §2
WIDEST = 32767  # blocks of a window: with more, a late ACK of the window before could be one of this window
PACKET, SKB = 448, 256  # octets that Linux keeps with each packet, and of its sk_buff
PAGE, PAGES = 4096, 1 << 15  # octets of a page; up to how many octets packets lie in one piece
OVERHEAD4, OVERHEAD6 = 32, 52  # IP, UDP and TFTP headers before a payload, octets


@dataclass(frozen=True)
class Limits:
    """What a server grants at most: blksize in octets, windowsize in blocks, window in octets.

    buffer: octets that the socket holds which receives an upload, as the kernel counts them; 0 if unknown.
    """

    blksize: int = 65464
    windowsize: int = 64
    window: int = 1 << 20
    refuse: frozenset[str] = frozenset()
    buffer: int = 0


@dataclass(frozen=True)
class Terms:
    """What both ends agreed on. granted is what the OACK says, in the order asked; empty: no OACK.

    timeout is in seconds, None when not negotiated; tsize in octets, None when unknown.
    """

    blksize: int = DEFAULT_BLKSIZE
    windowsize: int = 1
    timeout: int | None = None
    tsize: int | None = None
    granted: tuple[tuple[str, str], ...] = ()


def negotiate(asked: dict[str, str], limits: Limits, *, size: int | None, writing: bool = False) -> Terms:
    """Return the terms of a request.

    size: octets of the file to be read; None when not known beforehand (netascii), which leaves tsize
    out. writing: a WRQ, whose tsize is the client's announcement and is echoed (RFC 2349).
    """
    blksize, windowsize, timeout, tsize = DEFAULT_BLKSIZE, 1, None, None
    granted: dict[str, str] = {}
    for name, text in asked.items():
        value = _number(text)
        if value is None or name in limits.refuse:
            continue
        if name == BLKSIZE and 8 <= value <= 65464:  # RFC 2348
            blksize = min(value, limits.blksize)
            granted[name] = str(blksize)
        elif name == TIMEOUT and 1 <= value <= 255:  # RFC 2349: echoed as it is, or left out
            timeout = value
            granted[name] = text
        elif name == TSIZE:
            tsize = value if writing else size
            if tsize is not None:
                granted[name] = str(tsize)
        elif name == WINDOWSIZE and 1 <= value <= 65535:  # RFC 7440 §3
            windowsize = min(value, limits.windowsize, WIDEST)
            granted[name] = ""
    if WINDOWSIZE in granted:  # after blksize is known, wherever it stood in the request
        windowsize = max(1, min(windowsize, limits.window // (blksize + 4)))
        if writing and limits.buffer:
            windowsize = max(1, min(windowsize, limits.buffer // in_kernel(blksize + 4)))
        granted[WINDOWSIZE] = str(windowsize)
    return Terms(blksize, windowsize, timeout, tsize, tuple(granted.items()))


def in_kernel(datagram: int) -> int:
    """Return how much of a socket's buffer a datagram of so many octets takes, about, while it waits there.

    A window that does not fit loses its tail each time, and each time a timer is waited for. The kernel
    rounds a packet with its headers up to a power of two, and keeps large ones in pages.
    """
    packet = datagram + PACKET
    return SKB + (1 << (packet - 1).bit_length() if packet <= PAGES else packet + PAGE)


def accept(asked: dict[str, str], answered: dict[str, str]) -> Terms:
    """Return the terms of a server's OACK to what was asked; ValueError with the reason to refuse it.

    RFC 2347, Negotiation Protocol: an option that was not asked for ends the transfer with error 8.
    """
    blksize, windowsize, timeout, tsize = DEFAULT_BLKSIZE, 1, None, None
    for name, text in answered.items():
        value = _number(text)
        if name not in asked:
            raise ValueError(f"the server grants the option {name}, which was not asked for")
        if value is None:
            raise ValueError(f"the server answers {name}={text!r}, which is not a number")
        if name == BLKSIZE:
            if not 8 <= value <= int(asked[name]):
                raise ValueError(f"the server answers blksize={value} to {asked[name]}")
            blksize = value
        elif name == WINDOWSIZE:
            if not 1 <= value <= int(asked[name]):
                raise ValueError(f"the server answers windowsize={value} to {asked[name]}")
            windowsize = value
        elif name == TIMEOUT:
            if text != asked[name]:
                raise ValueError(f"the server answers timeout={value} to {asked[name]}")
            timeout = value
        elif name == TSIZE:
            tsize = value
    return Terms(blksize, windowsize, timeout, tsize, tuple(answered.items()))


def _number(text: str) -> int | None:
    """Return the value of decimal digits; None for anything else, also for absurdly many."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None
