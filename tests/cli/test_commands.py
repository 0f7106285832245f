"""The commands of the prompt: their names, abbreviations, words and completions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ptftpd.client import commands
from ptftpd.client.editing import candidates, completions
from ptftpd.errors import Error

# tftp(1) of tftp-hpa, the help of atftp, and the help of the earlier ptftp.
HPA = "ascii binary connect get help literal mode put quit rexmt status timeout trace verbose ?"
ATFTP = "connect mode option put get quit verbose trace status timeout help ?"
EARLIER = "help ? quit q mode m blksize windowsize w get g put p"


@pytest.mark.parametrize("word", sorted({*HPA.split(), *ATFTP.split(), *EARLIER.split()}))
def test_what_others_have_is_here(word: str) -> None:
    assert commands.find(word)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        *[("con", "connect"), ("bi", "binary"), ("bl", "blksize"), ("win", "windowsize"), ("r", "rexmt")],
        *[("p", "put"), ("pr", "probe"), ("GET", "get"), ("?", "help"), ("exit", "quit"), ("v", "verbose")],
    ],
)
def test_abbreviations(word: str, name: str) -> None:
    assert commands.find(word).name == name


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("b", "b could be binary or blksize: write more of it"),
        ("t", "timeout or trace"),
        ("xyz", "no command xyz"),
    ],
)
def test_not_a_command(word: str, reason: str) -> None:
    with pytest.raises(Error, match=reason):
        commands.find(word)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("get a b", ["get", "a", "b"]),
        ("  get   'a b'\t\"c d\"\n", ["get", "a b", "c d"]),
        (r"get C:\boot\file", ["get", r"C:\boot\file"]),
        ("put it's", ["put", "it's"]),
        ("get ''", ["get", ""]),
        ("", []),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert commands.split(line) == words


@pytest.mark.parametrize("line", ['get "a b', "get 'a b", "put a 'b"])
def test_a_quote_that_is_not_closed(line: str) -> None:
    """It is not taken for a part of a name."""
    with pytest.raises(Error, match="is not closed: put it at the end of the name too"):
        commands.split(line)


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        ([], "ge", ["get "]),
        ([], "t", ["timeout ", "trace "]),
        (["help"], "ge", ["get "]),
        (["help", "get"], "g", []),
        (["mode"], "n", ["netascii "]),
        (["blk"], "14", ["1428 ", "1468 "]),
        (["verbose"], "o", ["on ", "off "]),
        (["mode", "octet"], "n", []),
        (["xyz"], "", []),
        (["get"], "", []),
    ],
)
def test_completion(words: list[str], text: str, found: list[str]) -> None:
    assert candidates(words, text) == found


def test_completion_of_local_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """put takes a file of this machine first, get as its second word."""
    (tmp_path / "boot").mkdir()
    for name in ("boot/a", "boot.img", "b c", ".hidden"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert candidates(["put"], "boo") == ["boot/", "boot.img "]
    assert candidates(["put"], "b") == ['"b c" ', "boot/", "boot.img "]
    assert candidates(["get", "x"], "boot/") == ["boot/a "]
    assert candidates(["get", "-f", "x"], ".h") == [".hidden "]
    assert candidates(["put"], "nowhere/") == []
    assert ".hidden " not in candidates(["put"], "")
    assert os.listdir("boot") == ["a"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("pu", ["put "]),
        ("put my", ['"my dir/', '"my file" ', '"my other" ']),
        ('put "my ', ["dir/", 'file" ', 'other" ']),  # as readline leaves it: what all have in common
        ('put "my f', ['file" ']),
        ("put 'my f", ["file' "]),
        ('put "my dir/in', ['dir/in side" ']),
        ("put 'on", ["'one' "]),
        ('mode "n', []),
        ('get "my file" on', ["one "]),
        ("put it", ["it's "]),
        ("get it's o", ["one "]),
    ],
)
def test_completion_in_quotes(
    line: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with a blank is one word; readline gives what stands behind the blank."""
    (tmp_path / "my dir").mkdir()
    for name in ("my dir/in side", "my file", "my other", "one", "it's"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert completions(line, line.rpartition(" ")[2]) == found
