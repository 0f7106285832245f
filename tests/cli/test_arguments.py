"""Command lines: tftp-hpa's, atftp's and our own."""

from __future__ import annotations

import socket

import pytest

from ptftpd.client.arguments import Invocation, read
from ptftpd.client.settings import Settings

SUM = "0" * 64


def given(line: str) -> Invocation:
    """Return what a command line, its words separated by blanks, asks for."""
    return read(line.split(), "tftp")


def test_nothing_at_all() -> None:
    assert given("") == Invocation(Settings(), (), "", ())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("host -c get a", {"host": "host", "verb": "command", "words": ("get", "a")}),
        ("host 6969 -c get a b", {"host": "host", "port": "6969", "words": ("get", "a", "b")}),
        ("-v host -c put -c", {"verbose": True, "words": ("put", "-c")}),
        ("-vc get a", {"verbose": True, "verb": "command", "words": ("get", "a")}),
        ("-4 host", {"family": socket.AF_INET, "verb": ""}),
        ("-6 fd00::1", {"family": socket.AF_INET6, "host": "fd00::1"}),
        ("-l host", {"literal": True}),
        ("tftp://h:6969/ -c get a", {"host": "tftp://h:6969/", "verb": "command", "words": ("get", "a")}),
        ("host -v 69", {"host": "host", "port": "69", "verbose": True}),
    ],
)
def test_tftp_hpa(line: str, expected: dict[str, object]) -> None:
    """tftp(1): tftp [ options... ] [host [port]] [-c command]."""
    invocation = given(line)
    assert {name: getattr(invocation, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("-m binary host", Settings(mode="octet")),
        ("-m ascii host", Settings(mode="netascii")),
        ("-R 5000:5010 host", Settings(port_range=(5000, 5010))),
        ("-r host", Settings(rfc1350=True)),
        ("-b 1400 -w 8 host", Settings(blksize=1400, windowsize=8)),
        ("--timeout 2 --retries 3 host", Settings(timeout=2.0, retries=3)),
        ("--blksize auto --tftp-timeout 5 host", Settings(timeout=5.0)),
    ],
)
def test_settings(line: str, settings: Settings) -> None:
    assert given(line).settings == settings


@pytest.mark.parametrize(
    ("line", "verb", "words"),
    [
        ("-g -r a -l b host 69", "atftp-get", ("a", "b")),
        ("--get --remote-file a host", "atftp-get", ("a", "")),
        ("-l b -g host", "atftp-get", ("b", "b")),
        ("--put --local-file a host", "atftp-put", ("a", "a")),
        ("-p -l a -r b host", "atftp-put", ("a", "b")),
    ],
)
def test_atftp(line: str, verb: str, words: tuple[str, str]) -> None:
    """atftp(1): -l and -r name files; a side that is not named has the other's name."""
    invocation = given(line)
    assert (invocation.verb, invocation.words, invocation.host) == (verb, words, "host")
    assert not invocation.literal
    assert not invocation.settings.rfc1350


def test_our_options_with_those_of_atftp() -> None:
    """What is got is looked at, or replaced, all the same."""
    invocation = given(f"-g -r a -o b -f --sha256 {SUM} host")
    assert (invocation.words, invocation.force, invocation.sha256) == (("a", "b"), True, SUM)


def test_options_of_atftp() -> None:
    invocation = read(["--option", "blksize 1428", "--option", "windowsize disable", "host"], "tftp")
    assert invocation.options == (("blksize", "1428"), ("windowsize", "disable"))


@pytest.mark.parametrize(
    ("line", "verb", "words"),
    [
        ("get tftp://h/a", "get", ("tftp://h/a",)),
        ("tftp://h/a", "get", ("tftp://h/a",)),
        ("TFTP://h:6969/a tftp://h/b -o dir", "get", ("TFTP://h:6969/a", "tftp://h/b")),
        ("get tftp://h/a tftp://h/b -o dir", "get", ("tftp://h/a", "tftp://h/b")),
        ("put a - tftp://h/", "put", ("a", "-", "tftp://h/")),
        ("put -- -get -c tftp://h/", "put", ("-get", "-c", "tftp://h/")),
        ("probe host", "probe", ("host",)),
        ("probe host name --json", "probe", ("host", "name")),
    ],
)
def test_verbs(line: str, verb: str, words: tuple[str, ...]) -> None:
    invocation = given(line)
    assert (invocation.verb, invocation.words, invocation.host) == (verb, words, "")


def test_a_host_may_be_called_get() -> None:
    """With tftp-hpa's -c there is no doubt about what is a verb."""
    assert given("get -c get a").host == "get"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--blksize 7 host", "--blksize 7: must be 8..65464 or auto"),
        ("-m mail host", "--mode mail: must be octet"),
        ("-R 9 host", "--port-range 9: must be FIRST-LAST"),
        ("host 69 a", "is a -c missing?"),
        ("host -c", "-c needs a command"),
        ("-g host", "name the file"),
        ("-g -r a", "name the server"),
        ("get", "get needs the URL"),
        ("put a", "put needs a file and a URL"),
        ("put a b", "b names no server: write tftp://HOST/NAME"),
        (
            "get tftp://h/a b",
            "b names no server: write tftp://HOST/NAME or HOST:NAME; its name here goes",
        ),
        ("probe", "probe needs a server"),
        ("probe a b c", "probe needs a server"),
        ("put a tftp://h/ -o b", "-o is for getting files"),
        ("-p -l a h -o b", "-o is for getting files"),
        ("host -o b -c get a", "-o is for getting files: after -c and at the prompt write get NAME LOCAL"),
        ("host -f -c get a", "-f is for getting files: after -c and at the prompt write get -f NAME"),
        ("host -f", "-f is for getting files: after -c and at the prompt write get -f NAME"),
        ("put a tftp://h/ -f", "-f is for getting files"),
        (f"host --sha256 {SUM} -c get a", "--sha256 is for getting one file: write get tftp://HOST/NAME"),
        (f"get tftp://h/a tftp://h/b --sha256 {SUM}", "--sha256 is for getting one file"),
        (f"-p -l a h --sha256 {SUM}", "--sha256 is for getting one file"),
        ("get tftp://h/a --sha256 xyz", "64 hexadecimal digits"),
        ("--nonsense", "unrecognized arguments: --nonsense"),
    ],
)
def test_mistakes(line: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They end with code 2 and say what to do, in a line."""
    with pytest.raises(SystemExit) as caught:
        given(line)
    assert caught.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert reason in said[0]
    assert said[1:] == ["Try 'tftp --help'."]


@pytest.mark.parametrize("line", ["--help", "-h", "-?", "-V", "--version"])
def test_help_and_version(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        given(line)
    assert caught.value.code == 0
    assert "tftp" in capsys.readouterr().out
