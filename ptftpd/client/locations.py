"""Where a file is: tftp://host:port/name, host:name as with tftp-hpa, or a name on the server at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ptftpd.errors import Error
from ptftpd.log import printable

# RFC 3617: tftp://host[:port]/name[;mode=MODE]; an IPv6 address in brackets, its zone behind %25 or just %.
_URL = re.compile(
    r"tftp://(?:\[(?P<address>[^]/]+)\]|(?P<host>[^][:/]+))(?::(?P<port>[0-9]{1,5}))?(?:/(?P<name>.*))?",
    re.I | re.S,
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)  # http:// too, which is then said to be no URL for TFTP
_HOST_NAME = re.compile(r"(?:\[(?P<address>[^]]+)\]|(?P<host>[^][:/]+)):(?P<name>.+)", re.S)
# A server in one word: HOST:PORT, [ADDRESS], [ADDRESS]:PORT. An IPv6 address without brackets has no port.
_SERVER = re.compile(r"(?:\[(?P<address>[^]]+)\]|(?P<host>[^][:/]+)(?=:))(?::(?P<port>[^:/]+))?")
PORT = 69
_MODE = re.compile(r"(?P<name>.*);mode=(?P<mode>[A-Za-z]+)", re.S | re.I)


@dataclass(frozen=True)
class Location:
    """A file on a server. host '' and port 0: those at hand; mode '': that of the settings."""

    name: str
    host: str = ""
    port: int = 0
    mode: str = ""

    def __post_init__(self) -> None:
        """Error when the name would end early on the wire (RFC 1350 §5)."""
        if "\0" in self.name:
            raise Error(f"{printable(self.name)}: a name on a server cannot contain a NUL")


def remote(text: str, *, literal: bool = False) -> Location:
    """Return the location of what a user typed; literal: it is a name, whatever it looks like.

    Error when it is a broken URL.
    """
    if literal:
        return Location(text)
    if _SCHEME.match(text):
        return url(text)
    match = _HOST_NAME.fullmatch(text)
    return Location(match["name"], match["address"] or match["host"]) if match else Location(text)


def url(text: str) -> Location:
    """Return the location of a tftp URL; Error when it is not one."""
    match = _URL.fullmatch(text)
    if not match or int(match["port"] or PORT) not in range(1, 65536):
        raise Error(f"{text} is not a TFTP URL: write tftp://HOST/NAME or tftp://HOST:PORT/NAME")
    name, mode = match["name"] or "", ""
    if typed := _MODE.fullmatch(name):
        name, mode = typed["name"], typed["mode"].lower()
        if mode not in ("octet", "netascii"):
            raise Error(f"{text}: the mode must be octet or netascii")
    host = re.sub("%25", "%", match["address"]) if match["address"] else _unescaped(match["host"])
    return Location(_unescaped(name), host, int(match["port"] or PORT), mode)


def server(text: str) -> tuple[str, str]:
    """Return (host, port) of a server in one word, or of a URL without a name; port '' where none is named.

    Error when it is a broken URL.
    """
    if _SCHEME.match(text):
        location = url(text)
        if location.name:
            raise Error(f"{text} names a file: here only HOST, HOST:PORT or tftp://HOST:PORT may stand")
        return location.host, str(location.port)
    match = _SERVER.fullmatch(text)
    return (match["address"] or match["host"], match["port"] or "") if match else (text, "")


def base(name: str) -> str:
    """Return what a file called name on a server is called here: the part behind the last / or \\."""
    return re.split(r"[/\\]", name)[-1]


def _unescaped(text: str) -> str:
    """Return text with each %XX replaced by the octet it stands for, as names have octets on the wire."""
    octets = re.sub(
        rb"%([0-9A-Fa-f]{2})",
        lambda match: bytes([int(match[1], 16)]),
        text.encode("utf-8", "surrogateescape"),
    )
    return octets.decode("utf-8", "surrogateescape")
