"""Every DHCP option that can be set: its number, its name, and how its value is written (RFC 2132, IANA).

An option is written NAME=VALUE or NUMBER=VALUE. Names are those that ISC's and Kea's users know. The value of
any option may be given as octets, 0x0a00ff; that of one without entry here as TYPE:VALUE, such as
224=address:192.0.2.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from ptftpd.dhcp import wire
from ptftpd.option import NO, YES

MAX_LENGTH = 4096  # octets of a value; no datagram that a client takes would hold more

Encode = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Option:
    """An option as it was set. always: it goes to clients that did not ask for it too."""

    code: int
    value: bytes
    text: str
    always: bool = False

    def __str__(self) -> str:
        return self.text


def option(text: str) -> Option:
    """Return the option that '[always] NAME=VALUE' stands for; ValueError says what it must be."""
    words = text.strip()
    always = words.startswith("always ")
    name, separator, value = words.removeprefix("always ").partition("=")
    name, value = name.strip().lower(), value.strip()
    if not separator or not name or not value:
        raise ValueError("must be NAME=VALUE or NUMBER=VALUE, such as ntp-servers=192.0.2.1")
    code = number(name)
    if code in FILLED_IN:
        raise ValueError(f"must be another option: {code} is {FILLED_IN[code]}")
    octets = encode(code, value)
    if len(octets) > MAX_LENGTH:
        raise ValueError(f"must be at most {MAX_LENGTH} octets long")
    return Option(code, octets, words, always)


def number(name: str) -> int:
    """Return the number of an option given by name or number."""
    if name.isascii() and name.isdigit():
        if 1 <= int(name) <= 254:
            return int(name)
        raise ValueError("must have a number from 1 to 254 before the =")
    if name not in NUMBERS:
        import difflib

        close = difflib.get_close_matches(name, NUMBERS, 1)
        hint = f"did you mean {close[0]}?" if close else "or give its number"
        raise ValueError(f"must be a known option; {name} is not one ({hint})")
    return NUMBERS[name]


def encode(code: int, value: str) -> bytes:
    """Return the octets of an option's value; ValueError says how it is written."""
    if value.startswith("0x"):
        return _octets(value)
    return REGISTRY[code][1](value) if code in REGISTRY else _typed(value)


def name(code: int) -> str:
    """Return the name of an option, or its number."""
    return KNOWN[code][0] if code in KNOWN else str(code)


def is_addresses(code: int) -> bool:
    """Return whether an option is the address of a server, or several."""
    return code in REGISTRY and REGISTRY[code][1] in {_address, _addresses}


def forms() -> list[tuple[str, list[str]]]:
    """Return for people how values are written, each with the options that take such a one, 'NUMBER NAME'."""
    known: dict[Encode, str] = dict(TYPES.values()) | UNTYPED
    settable = {code: entry for code, entry in REGISTRY.items() if code not in FILLED_IN}
    return [
        (how, [f"{code} {name}" for code, (name, encoder) in settable.items() if encoder is encode])
        for encode, how in known.items()
    ]


def show(code: int, value: bytes) -> str:
    """Return a value for people: addresses, numbers and text as such, anything else as octets."""
    encoding = KNOWN[code][1] if code in KNOWN else _octets
    if encoding in {_address, _addresses, _pairs}:
        return ", ".join(wire.dotted(wire.number(value[at : at + 4])) for at in range(0, len(value), 4))
    if encoding is _flag or encoding in _NUMBERS:
        return str(wire.number(value))
    if (
        encoding is _text
        and value.rstrip(b"\0").isascii()
        and value.rstrip(b"\0").decode("ascii").isprintable()
    ):
        return value.rstrip(b"\0").decode("ascii")
    return "0x" + value.hex()


# Values ----------------------------------------------------------------------------------------


def _octets(value: str) -> bytes:
    digits = value.removeprefix("0x").replace(":", "").replace(" ", "")
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", digits):
        raise ValueError("must be octets in hexadecimal, such as 0x0a00ff")
    return bytes.fromhex(digits)


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _flag(value: str) -> bytes:
    if value.lower() not in YES | NO:
        raise ValueError("must be yes or no")
    return wire.octets(value.lower() in YES, 1)


def _whole(low: int, high: int, size: int) -> Encode:
    """Return the encoder of a number from low to high in size octets."""

    def encoder(value: str) -> bytes:
        plain = re.fullmatch(r"-?(?:0x[0-9A-Fa-f]{1,8}|[0-9]{1,10})", value)
        number = int(value, 16 if "x" in value else 10) if plain else high + 1
        if not low <= number <= high:
            raise ValueError(f"must be a number from {low} to {high}")
        return wire.octets(number % (1 << 8 * size), size)

    return encoder


_u8, _u16, _u32 = (_whole(0, (1 << 8 * size) - 1, size) for size in (1, 2, 4))
_s32 = _whole(-(1 << 31), (1 << 31) - 1, 4)
_NUMBERS = {_u8, _u16, _u32, _s32}


def _numbers(value: str) -> bytes:
    return b"".join(map(_u16, _words(value)))


def _address(value: str) -> bytes:
    try:
        return wire.addresses(int(IPv4Address(value)))
    except ValueError:
        raise ValueError("must be an IPv4 address such as 192.0.2.1") from None


def _addresses(value: str) -> bytes:
    try:
        return b"".join(map(_address, _words(value)))
    except ValueError:
        raise ValueError("must be IPv4 addresses, separated by spaces or commas") from None


def _pairs(value: str) -> bytes:
    if len(_words(value)) % 2:
        raise ValueError("must be pairs of IPv4 addresses: each target followed by its router or mask")
    return _addresses(value)


def _routes(value: str) -> bytes:
    """Return routes for option 121: only the significant octets of each target (RFC 3442)."""
    words = _words(value)
    try:
        targets = [IPv4Network(target) for target in words[::2]]
        return b"".join(
            wire.route(int(target.network_address), target.prefixlen, int(IPv4Address(router)))
            for target, router in zip(targets, words[1::2], strict=True)
        )
    except ValueError:
        raise ValueError(
            "must be pairs of NETWORK/LENGTH and router, such as 10.1.0.0/16 192.0.2.1"
        ) from None


def _names(value: str) -> bytes:
    """Return domain names, an ending that was there before as a pointer (RFC 3397 §2)."""
    names = [_text(word.strip(".")) for word in _words(value)]
    if not all(re.fullmatch(rb"[^.]{1,63}(\.[^.]{1,63})*", name) and len(name) < 254 for name in names):
        raise ValueError("must be domain names, separated by spaces or commas")
    return wire.domain_names([name.split(b".") for name in names])


def _typed(value: str) -> bytes:
    """Return the octets of TYPE:VALUE."""
    kind, separator, rest = value.partition(":")
    if not separator or kind not in TYPES or not rest:
        raise ValueError(f"must be TYPE:VALUE with a type of {', '.join(TYPES)}, or octets such as 0x0a00ff")
    return TYPES[kind][0](rest)


def _suboptions(value: str) -> bytes:
    """Return options inside an option (RFC 2132 §8.4)."""
    encapsulated = b""
    for part in value.split(";"):
        code, separator, rest = (word.strip() for word in part.partition("="))
        if not separator or not re.fullmatch(r"[0-9]{1,3}", code) or not 1 <= int(code) <= 254:
            raise ValueError(
                "must be octets, or NUMBER=TYPE:VALUE separated by ';', such as 1=address:192.0.2.1"
            )
        octets = _octets(rest) if rest.startswith("0x") else _typed(rest)
        if len(octets) > 255:
            raise ValueError("must be at most 255 octets in each suboption")
        encapsulated += bytes([int(code), len(octets)]) + octets
    return encapsulated


def _enterprise(encode_data: Encode) -> Encode:
    """Return the encoder of ENTERPRISE-NUMBER DATA; the data's length stands before it (RFC 3925)."""

    def encoder(value: str) -> bytes:
        enterprise, _, rest = value.partition(" ")
        data = encode_data(rest.strip())
        if len(data) > 255:
            raise ValueError("must be at most 255 octets for one enterprise")
        return _u32(enterprise) + wire.octets(len(data), 1) + data

    return encoder


def _words(value: str) -> list[str]:
    return value.replace(",", " ").split()


TYPES: dict[str, tuple[Encode, str]] = {  # by name: the encoder, and for people how a value is written
    "hex": (_octets, "octets in hexadecimal, such as 0x0a00ff"),
    "text": (_text, "text"),
    "flag": (_flag, "yes or no"),
    "u8": (_u8, "a number from 0 to 255"),
    "u16": (_u16, "a number from 0 to 65535"),
    "u32": (_u32, "a number from 0 to 4294967295"),
    "s32": (_s32, "a number from -2147483648 to 2147483647"),
    "numbers": (_numbers, "numbers from 0 to 65535, separated by spaces or commas"),
    "address": (_address, "an IPv4 address"),
    "addresses": (_addresses, "IPv4 addresses, separated by spaces or commas"),
    "pairs": (_pairs, "pairs of IPv4 addresses: each target and its router or mask"),
    "names": (_names, "domain names, separated by spaces or commas"),
    "routes": (_routes, "pairs of network and router, such as 10.1.0.0/16 192.0.2.1"),
}
_vivco, _vivso = _enterprise(_typed), _enterprise(_suboptions)
UNTYPED = {  # the other encoders, likewise
    _suboptions: "NUMBER=TYPE:VALUE, separated by ';', such as 1=address:192.0.2.1",
    _vivco: "an enterprise number and TYPE:VALUE",
    _vivso: "an enterprise number and NUMBER=TYPE:VALUE, separated by ';'",
}

# What only the server can know, and why it cannot be set.
FILLED_IN = {
    1: "the mask of the client's network",
    50: "what a client sends",
    51: "set by lease_time",
    52: "used as room demands",
    53: "the kind of message",
    54: "this server's address",
    55: "what a client sends",
    57: "what a client sends",
    61: "what a client sends",
    82: "what a relay agent sends",
    97: "what a client sends",
    118: "what a client sends",
}

REGISTRY: dict[int, tuple[str, Encode]] = {
    1: ("subnet-mask", _address),
    2: ("time-offset", _s32),
    3: ("routers", _addresses),
    4: ("time-servers", _addresses),
    5: ("name-servers", _addresses),
    6: ("domain-name-servers", _addresses),
    7: ("log-servers", _addresses),
    8: ("cookie-servers", _addresses),
    9: ("lpr-servers", _addresses),
    10: ("impress-servers", _addresses),
    11: ("resource-location-servers", _addresses),
    12: ("host-name", _text),
    13: ("boot-size", _u16),
    14: ("merit-dump", _text),
    15: ("domain-name", _text),
    16: ("swap-server", _address),
    17: ("root-path", _text),
    18: ("extensions-path", _text),
    19: ("ip-forwarding", _flag),
    20: ("non-local-source-routing", _flag),
    21: ("policy-filter", _pairs),
    22: ("max-dgram-reassembly", _u16),
    23: ("default-ip-ttl", _u8),
    24: ("path-mtu-aging-timeout", _u32),
    25: ("path-mtu-plateau-table", _numbers),
    26: ("interface-mtu", _u16),
    27: ("all-subnets-local", _flag),
    28: ("broadcast-address", _address),
    29: ("perform-mask-discovery", _flag),
    30: ("mask-supplier", _flag),
    31: ("router-discovery", _flag),
    32: ("router-solicitation-address", _address),
    33: ("static-routes", _pairs),
    34: ("trailer-encapsulation", _flag),
    35: ("arp-cache-timeout", _u32),
    36: ("ieee802-3-encapsulation", _flag),
    37: ("default-tcp-ttl", _u8),
    38: ("tcp-keepalive-interval", _u32),
    39: ("tcp-keepalive-garbage", _flag),
    40: ("nis-domain", _text),
    41: ("nis-servers", _addresses),
    42: ("ntp-servers", _addresses),
    43: ("vendor-encapsulated-options", _suboptions),
    44: ("netbios-name-servers", _addresses),
    45: ("netbios-dd-server", _addresses),
    46: ("netbios-node-type", _u8),
    47: ("netbios-scope", _text),
    48: ("font-servers", _addresses),
    49: ("x-display-manager", _addresses),
    56: ("dhcp-message", _text),
    58: ("dhcp-renewal-time", _u32),
    59: ("dhcp-rebinding-time", _u32),
    60: ("vendor-class-identifier", _text),
    62: ("nwip-domain-name", _text),
    63: ("nwip-suboptions", _suboptions),
    64: ("nisplus-domain-name", _text),
    65: ("nisplus-servers", _addresses),
    66: ("tftp-server-name", _text),
    67: ("boot-file-name", _text),
    68: ("mobile-ip-home-agent", _addresses),
    69: ("smtp-server", _addresses),
    70: ("pop-server", _addresses),
    71: ("nntp-server", _addresses),
    72: ("www-server", _addresses),
    73: ("finger-server", _addresses),
    74: ("irc-server", _addresses),
    75: ("streettalk-server", _addresses),
    76: ("streettalk-directory-assistance-server", _addresses),
    77: ("user-class", _text),
    78: ("slp-directory-agent", _octets),
    79: ("slp-service-scope", _octets),
    83: ("isns", _octets),
    85: ("nds-servers", _addresses),
    86: ("nds-tree-name", _text),
    87: ("nds-context", _text),
    88: ("bcms-controller-names", _names),
    89: ("bcms-controller-address", _addresses),
    98: ("uap-servers", _text),
    99: ("geoconf-civic", _octets),
    100: ("pcode", _text),
    101: ("tcode", _text),
    108: ("v6-only-preferred", _u32),
    112: ("netinfo-server-address", _addresses),
    113: ("netinfo-server-tag", _text),
    114: ("v4-captive-portal", _text),
    116: ("auto-config", _u8),
    117: ("name-service-search", _numbers),
    119: ("domain-search", _names),
    120: ("sip-servers", _octets),
    121: ("classless-static-route", _routes),
    122: ("cable-labs-client-configuration", _suboptions),
    123: ("geoconf", _octets),
    124: ("vivco-suboptions", _vivco),
    125: ("vivso-suboptions", _vivso),
    136: ("pana-agent", _addresses),
    137: ("v4-lost", _names),
    138: ("capwap-ac-v4", _addresses),
    139: ("mos-address", _suboptions),
    140: ("mos-fqdn", _octets),
    141: ("sip-ua-cs-domains", _names),
    143: ("sztp-redirect", _octets),
    146: ("rdnss-selection", _octets),
    150: ("tftp-server-address", _addresses),
    159: ("v4-portparams", _octets),
    175: ("ipxe-encapsulated-options", _suboptions),
    208: ("pxelinux-magic", _octets),
    209: ("pxelinux-configfile", _text),
    210: ("pxelinux-pathprefix", _text),
    211: ("pxelinux-reboottime", _u32),
    212: ("6rd", _octets),
    213: ("v4-access-domain", _names),
    220: ("subnet-allocation", _octets),
    221: ("virtual-subnet-selection", _octets),
    249: ("ms-classless-static-route", _routes),
    252: ("wpad-url", _text),
}
NUMBERS = {entry[0]: code for code, entry in REGISTRY.items()}
# What is filled in or comes from clients and relay agents, to be shown to people.
KNOWN = REGISTRY | {
    50: ("dhcp-requested-address", _address),
    51: ("dhcp-lease-time", _u32),
    53: ("dhcp-message-type", _u8),
    54: ("dhcp-server-identifier", _address),
    61: ("dhcp-client-identifier", _octets),
    82: ("relay-agent-information", _octets),
    93: ("client-system", _numbers),
    94: ("client-ndi", _octets),
    97: ("uuid-guid", _octets),
    118: ("subnet-selection", _address),
}
