"""How a file on a server is written: RFC 3617 URLs, tftp-hpa's HOST:NAME, plain names."""

from __future__ import annotations

import pytest

from ptftpd.client.locations import Location, base, remote, server
from ptftpd.errors import Error


@pytest.mark.parametrize(
    ("typed", "location"),
    [
        ("tftp://10.0.0.1/pxelinux.0", Location("pxelinux.0", "10.0.0.1", 69)),
        ("TFTP://host.example:6969/a/b", Location("a/b", "host.example", 6969)),
        ("tftp://[fd00::1]/a", Location("a", "fd00::1", 69)),
        ("tftp://[fe80::1%25eth0]:69/a", Location("a", "fe80::1%eth0", 69)),
        ("tftp://[fe80::1%eth0]/a", Location("a", "fe80::1%eth0", 69)),
        ("tftp://host//srv/a", Location("/srv/a", "host", 69)),
        ("tftp://host", Location("", "host", 69)),
        ("tftp://host/", Location("", "host", 69)),
        ("tftp://host/a%20b%2Fc", Location("a b/c", "host", 69)),
        ("tftp://host/a%FF", Location("a\udcff", "host", 69)),
        ("tftp://host/text;mode=netascii", Location("text", "host", 69, "netascii")),
        ("tftp://host/text;MODE=Octet", Location("text", "host", 69, "octet")),
        ("host:name", Location("name", "host")),
        ("host:/a:b", Location("/a:b", "host")),
        ("[fd00::1]:a", Location("a", "fd00::1")),
        ("name", Location("name")),
        ("dir/name", Location("dir/name")),
        ("dir/12:30", Location("dir/12:30")),
        (":name", Location(":name")),
    ],
)
def test_locations(typed: str, location: Location) -> None:
    """RFC 3617 §2, and what tftp(1) of tftp-hpa says of ':'."""
    assert remote(typed) == location


@pytest.mark.parametrize(
    ("typed", "host", "port"),
    [
        ("127.0.0.1", "127.0.0.1", ""),
        ("127.0.0.1:6969", "127.0.0.1", "6969"),
        ("host.example:tftp", "host.example", "tftp"),
        ("::1", "::1", ""),
        ("[::1]", "::1", ""),
        ("[::1]:6969", "::1", "6969"),
        ("fe80::1%eth0", "fe80::1%eth0", ""),
        ("[fe80::1%eth0]:69", "fe80::1%eth0", "69"),
        ("fd00::1:6969", "fd00::1:6969", ""),
        ("tftp://host", "host", "69"),
        ("tftp://[::1]:6969/", "::1", "6969"),
    ],
)
def test_servers(typed: str, host: str, port: str) -> None:
    """With and without brackets, the port behind a colon or not there."""
    assert server(typed) == (host, port)


def test_a_file_is_no_server() -> None:
    with pytest.raises(Error, match="names a file"):
        server("tftp://host/name")


@pytest.mark.parametrize("typed", [r"C:\boot\file", "host:name", "tftp://host/name"])
def test_literal(typed: str) -> None:
    assert remote(typed, literal=True) == Location(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "tftp://",
        "tftp:///name",
        "tftp://host:0/name",
        "tftp://host:70000/name",
        pytest.param(f"tftp://host:{'9' * 5000}/name", id="more digits than int() takes"),
        "tftp://h/a;mode=mail",
    ],
)
def test_broken_urls(typed: str) -> None:
    with pytest.raises(Error, match="must be octet or netascii" if "mail" in typed else "not a TFTP URL"):
        remote(typed)


@pytest.mark.parametrize("typed", ["tftp://host/a%00b", "host:a\0b", "a\0b"])
def test_a_nul_in_a_name(typed: str) -> None:
    """RFC 1350 §5: it would be the name's end on the wire."""
    with pytest.raises(Error, match=r"^a\\x00b: a name on a server cannot contain a NUL$"):
        remote(typed)


@pytest.mark.parametrize(
    ("name", "here"), [("a", "a"), ("/x/a", "a"), (r"\boot\a", "a"), (r"C:\x/a", "a"), ("dir/", ""), ("", "")]
)
def test_the_name_here(name: str, here: str) -> None:
    assert base(name) == here
