"""The syntax of setting values: each function returns the value of a text or raises ValueError.

The reason of the error starts with 'must be', so that it reads on behind the setting's name. Where a value is
not written as Python would, the function's attribute write is what writes it. Where several values have to
fit together, its attribute together raises ValueError for texts that do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from itertools import pairwise
from typing import TypeVar

from ptftpd.option import NO, YES

T = TypeVar("T")

TIME = {"d": 86400, "h": 3600, "m": 60, "s": 1}
SIZE = {"G": 1 << 30, "M": 1 << 20, "K": 1 << 10, "": 1}


def text(value: str) -> str:
    """Return the value as it stands; it must not be empty."""
    if not value:
        raise ValueError("must not be empty")
    return value


def ascii_line(value: str) -> str:
    """Return one line that every firmware can show."""
    if not (value.isascii() and value.isprintable() and 0 < len(value) < 128):
        raise ValueError("must be 1..127 characters of ASCII: firmware shows nothing else")
    return value


def flag(value: str) -> bool:
    """Return True for yes, true, on, 1 and False for no, false, off, 0."""
    if value.lower() not in YES | NO:
        raise ValueError("must be yes or no")
    return value.lower() in YES


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of a whole number from low to high."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be {low}..{high}")
        return int(value)

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of a time in seconds, with s, m, h or d behind it for larger units."""

    def parse(value: str) -> float:
        match = re.fullmatch(r"([0-9]{1,10}(?:\.[0-9]{1,6})?)\s*([smhd]?)", value)
        number = round(float(match[1]) * TIME[match[2] or "s"], 6) if match else -1.0
        if not low <= number <= high:
            raise ValueError(f"must be {low:.10g}..{high:.10g} seconds (or a number with s, m, h or d)")
        return number

    parse.write = _time  # type: ignore[attr-defined]
    return parse


def _time(value: float) -> str:
    """Return a time in the largest unit that it is a whole number of."""
    unit = next((unit for unit, length in TIME.items() if value % length == 0), "s")
    return f"{value / TIME[unit]:.6f}".rstrip("0").rstrip(".") + unit if value else "0"


def choice(*words: str) -> Callable[[str], str]:
    """Return a parser of one word out of several."""

    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    parse.words = words  # type: ignore[attr-defined]  # for the completions and the manual
    return parse


def address4(value: str) -> IPv4Address:
    """Return an IPv4 address."""
    try:
        return IPv4Address(value)
    except ValueError:
        raise ValueError("must be an IPv4 address such as 192.0.2.1") from None


def address(value: str) -> IPv4Address | IPv6Address:
    """Return an IPv4 or IPv6 address; one of IPv6 may stand in brackets, as it is shown with a port."""
    bare = value[1:-1] if value[:1] == "[" and value[-1:] == "]" and ":" in value else value
    try:
        return ip_address(bare)
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


def address_range(value: str) -> tuple[IPv4Address, IPv4Address]:
    """Return (first, last) of FIRST-LAST, or of one address."""
    first, dash, last = value.partition("-")
    try:
        pair = IPv4Address(first.strip()), IPv4Address((last if dash else first).strip())
    except ValueError:
        pair = IPv4Address(1), IPv4Address(0)
    if pair[0] > pair[1]:
        raise ValueError("must be FIRST-LAST, such as 192.0.2.10-192.0.2.99")
    return pair


def lease_range(value: str) -> tuple[IPv4Address, IPv4Address]:
    """Return (first, last) of FIRST-LAST, or of one address."""
    return address_range(value)


def _no_comma(texts: Sequence[str]) -> None:
    """Refuse FIRST,LAST, which is how dnsmasq writes a range: here it would be two addresses, no more."""
    for text, after in pairwise(texts):
        if "-" not in text + after and address4(text) < address4(after):
            alone = f"{text}-{text}, {after}-{after}"
            raise ValueError(f"must be FIRST-LAST; did you mean {text}-{after}? (those two alone: {alone})")


lease_range.together = _no_comma  # type: ignore[attr-defined]


def mac(value: str) -> bytes:
    """Return the six octets of a hardware address written with :, - or . or none of them."""
    digits = re.sub("[:.-]", "", value)
    if not re.fullmatch(r"[0-9A-Fa-f]{12}", digits):
        raise ValueError("must be a hardware address such as 52:54:00:12:34:56")
    return bytes.fromhex(digits)


def mac_prefix(value: str) -> bytes:
    """Return the octets that a hardware address starts with, one to six."""
    digits = re.sub("[:.-]", "", value)
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2}){1,6}", digits):
        raise ValueError("must be a hardware address such as 52:54:00:12:34:56, or its beginning")
    return bytes.fromhex(digits)


def guid(value: str) -> bytes:
    """Return the 16 octets of a GUID in the order in which they are written."""
    digits = value.strip("{}").replace("-", "")
    if not re.fullmatch(r"[0-9A-Fa-f]{32}", digits):
        raise ValueError("must be a GUID such as 33221100-5544-7766-8899-aabbccddeeff")
    return bytes.fromhex(digits)


def _guid(value: bytes) -> str:
    from uuid import UUID  # here and not at the top: no program needs it to start

    return str(UUID(bytes=value)) if value else ""


guid.write = _guid  # type: ignore[attr-defined]


def client_id(value: str) -> bytes:
    """Return the octets of a client identifier, its type octet first; 0x may stand before them."""
    digits = re.sub("^0[xX]", "", value).replace(":", "").replace("-", "")
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2}){2,255}", digits):
        raise ValueError("must be octets in hexadecimal, such as ff:12:34:56:78:00:04")
    return bytes.fromhex(digits)


def identifier(value: str) -> bytes:
    """Return the octets of what some device calls another: text, or octets as 0x and hexadecimal."""
    octets = value.encode("utf-8", "surrogateescape")
    if value[:2].lower() == "0x":
        digits = value[2:].replace(":", "").replace("-", "")
        if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", digits):
            raise ValueError("must be text, or octets in hexadecimal such as 0x000400010105")
        octets = bytes.fromhex(digits)
    if not 0 < len(octets) < 256:
        raise ValueError("must be 1..255 octets")
    return octets


def _identifier(value: bytes) -> str:
    """Return octets as text where they are nothing else, else in hexadecimal."""
    text = value.decode("utf-8", "replace")
    plain = (
        text.encode() == value and text.isprintable() and text == text.strip() and text[:2].lower() != "0x"
    )
    return text if plain and not set(text) & set(",#;\"'") else f"0x{value.hex()}"


def _identifiers(values: Sequence[bytes]) -> str:
    return ", ".join(map(_identifier, values))


identifier.write = _identifiers  # type: ignore[attr-defined]


def vendor_class(value: str) -> str:
    """Return a vendor class as clients send it, octets outside ASCII as surrogates."""
    return identifier(value).decode("ascii", "surrogateescape")


def _vendor_class(value: str) -> str:
    return _identifier(value.encode("ascii", "surrogateescape")) if value else ""


vendor_class.write = _vendor_class  # type: ignore[attr-defined]


def network4(value: str) -> IPv4Network:
    """Return an IPv4 network."""
    try:
        return IPv4Network(value)
    except ValueError:
        raise ValueError("must be an IPv4 network such as 192.0.2.0/24, without host bits") from None


def interface(value: str) -> str:
    """Return a network interface name."""
    if not value or len(value) > 15 or "/" in value or any(c.isspace() for c in value):
        raise ValueError("must be a network interface name such as eth0")
    return value


def absolute_path(value: str) -> str:
    """Return a path that starts with a slash."""
    if not value.startswith("/"):
        raise ValueError("must be an absolute path")
    return value


def octets(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of a size in octets, with K, M or G (powers of 1024) behind it for larger units."""

    def parse(value: str) -> int:
        match = re.fullmatch(r"([0-9]{1,18})\s*([KMG]?)", value)
        number = int(match[1]) * SIZE[match[2]] if match else -1
        if not low <= number <= high:
            raise ValueError(f"must be a size of {low}..{high} octets (or a number with K, M or G)")
        return number

    parse.write = _size  # type: ignore[attr-defined]
    return parse


def _size(value: int) -> str:
    """Return a size in the largest unit that it is a whole number of."""
    unit = next(unit for unit, octets in SIZE.items() if value % octets == 0)
    return f"{value // SIZE[unit]}{unit}" if value else "0"


def umask(value: str) -> int:
    """Return the permission bits of an octal number."""
    if not re.fullmatch(r"[0-7]{3,4}", value) or int(value, 8) > 0o777:
        raise ValueError("must be an octal number such as 022")
    return int(value, 8)


umask.write = "{:03o}".format  # type: ignore[attr-defined]


def port_range(value: str) -> tuple[int, int]:
    """Return (first, last) of FIRST-LAST, two UDP ports."""
    match = re.fullmatch(r"([0-9]{1,5})\s*[-:]\s*([0-9]{1,5})", value)
    if not match or not 1 <= int(match[1]) <= int(match[2]) <= 65535:
        raise ValueError("must be FIRST-LAST, two ports in order, such as 50000-50999")
    return int(match[1]), int(match[2])


def workers(value: str) -> int | str:
    """Return a number of processes, or auto."""
    if value == "auto":
        return value
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 256:
        raise ValueError("must be 1..256 or auto")
    return int(value)


def auto(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """Return a parser of what parse takes, or auto, which is None."""

    def parse_or_auto(value: str) -> T | None:
        try:
            return None if value == "auto" else parse(value)
        except ValueError as error:
            raise ValueError(f"{error} or auto") from None

    return parse_or_auto


def transfer_mode(value: str) -> str:
    """Return octet or netascii for any of the words that TFTP clients have for them."""
    word = value.lower()
    if word in {"octet", "binary", "image"}:
        return "octet"
    if word in {"netascii", "ascii"}:
        return "netascii"
    raise ValueError("must be octet (or binary) or netascii (or ascii)")


def pattern(value: str) -> str:
    """Return a regular expression that compiles, and that no name takes too long."""
    from ptftpd.patterns import longest  # here and below: the client, which starts often, needs neither

    try:
        re.compile(value)
        longest(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    return value


def boot_choice(value: str) -> tuple[str, str]:
    """Return (architecture name or 'ipxe', boot file) of ARCH=FILE."""
    from ptftpd.dhcp import pxe

    name, _, boot_file = (part.strip() for part in value.partition("="))
    if not boot_file:
        comma = "a name with a comma in it goes into boot_file of a [class] with arch or ipxe"
        raise ValueError(f"must be ARCH=FILE, such as x86_64-efi=grubx64.efi ({comma})")
    return pxe.architecture_name(name), boot_file


def reservation(value: str) -> tuple[bytes, IPv4Address]:
    """Return (hardware address, IPv4 address) of MAC=ADDRESS."""
    hardware, _, chosen = (part.strip() for part in value.partition("="))
    return mac(hardware), address4(chosen)
