"""The user's own files: never harmed, and what stands in the way is said."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.client.conftest import NOBODY, URL, Desk, mounted
from tests.netns.tftp_site import SERVER, content

pytestmark = pytest.mark.usefixtures("served")


def test_sha256(desk: Desk) -> None:
    """A file with another sum is not kept."""
    good, bad = hashlib.sha256(content(100_000)).hexdigest(), "0" * 64
    done = desk.tftp("--sha256", bad, "get", f"{URL}/f100000")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"tftp: cannot keep f100000 as f100000: its SHA-256 is {good}, not the one given\n"
    )
    assert desk.tftp("--sha256", bad, "-g", "-r", "f100000", SERVER).returncode == 1
    assert list(desk.directory.iterdir()) == []
    assert desk.tftp("--sha256", good, "get", f"{URL}/f100000").returncode == 0
    assert (desk.directory / "f100000").read_bytes() == content(100_000)


def test_no_file_is_replaced_unasked(desk: Desk) -> None:
    """With -f it is, by a whole one."""
    (desk.directory / "f5").write_bytes(b"mine")
    done = desk.tftp(SERVER, "-c", "get", "f5")
    assert done.returncode == 1
    assert done.stderr == b"tftp: f5 exists already: use -f to replace it, or name another file\n"
    assert (desk.directory / "f5").read_bytes() == b"mine"
    assert desk.tftp(SERVER, "-c", "get", "-f", "nosuch", "f5").returncode == 1
    assert (desk.directory / "f5").read_bytes() == b"mine"
    assert desk.tftp("-f", "get", f"{URL}/f5").returncode == 0
    assert (desk.directory / "f5").read_bytes() == content(5)
    assert os.listdir(desk.directory) == ["f5"]


def test_a_full_disk(desk: Desk) -> None:
    """Seen before anything is got, where the size is announced, and when it happens otherwise."""
    (desk.directory / "small").mkdir()
    script = 'printf old >small/f; "$@"; s=$?; cat small/*; exit $s'
    wrap = mounted(desk.directory / "small", "size=1m", script)
    sentences = {(): "3.0 MB are announced, and the disk has 1.0 MB free", ("--rfc1350",): "the disk is full"}
    for options, reason in sentences.items():
        done = desk.tftp(*options, "-f", "get", f"{URL}/f3000000", "-o", "small/f", wrap=wrap)
        assert (done.returncode, done.stdout) == (1, b"old")
        sentence = f"{reason}: free some space or name a file elsewhere"
        assert done.stderr.decode() == f"tftp: cannot keep f3000000 as small/f: {sentence}\n"


def test_a_read_only_file_system(desk: Desk) -> None:
    """The server is not even asked."""
    (desk.directory / "fixed").mkdir()
    wrap = mounted(desk.directory / "fixed", "ro")
    done = desk.tftp("get", f"{URL}/f5", "-o", "fixed/f", wrap=wrap)
    sentence = "fixed is on a read-only file system: name a file elsewhere"
    assert (done.returncode, done.stderr.decode()) == (1, f"tftp: fixed/f: {sentence}\n")


def test_a_limit_on_files(desk: Desk) -> None:
    """EFBIG: Python ignores the signal, the error remains."""
    command = desk.command("get", f"{URL}/f3000000", "--rfc1350")
    limit = (1_000_000, 1_000_000)
    done = subprocess.run(command, capture_output=True, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))  # fmt: skip
    assert done.returncode == 1
    assert b"the file is too large: free some space or name a file elsewhere\n" in done.stderr
    assert list(desk.directory.iterdir()) == []


def test_where_one_may_not_write(desk: Desk) -> None:
    """The server is not even asked."""
    desk.directory.chmod(0o755)
    done = desk.tftp("get", f"{URL}/f5", wrap=NOBODY)
    assert done.returncode == 1
    where = "you may not write in the current directory: name a file elsewhere, or change its mode"
    assert done.stderr.decode() == f"tftp: f5: {where}\n"


def test_what_one_may_not_read(desk: Desk) -> None:
    """Nor is it written there."""
    (desk.directory / "secret").write_bytes(b"x")
    (desk.directory / "secret").chmod(0)
    done = desk.tftp("put", "secret", f"{URL}/", wrap=NOBODY)
    assert done.returncode == 1
    assert done.stderr == b"tftp: secret: you may not read it: check its owner and mode\n"


@pytest.mark.parametrize("name", ["a%1B[2J", "a%0Ab", "d/a%7f", "a%C2%9Bb", "%00"])
def test_a_name_with_control_characters(name: str, desk: Desk) -> None:
    """No file gets such a name because a URL has it; the server is not asked."""
    done = desk.tftp("get", f"{URL}/{name}")
    assert done.returncode == 1 if name != "%00" else 2
    assert b"\x1b" not in done.stderr
    assert list(desk.directory.iterdir()) == []


def test_a_name_with_control_characters_on_the_server(desk: Desk, served: Path) -> None:
    """It may have one here that is typed, even the same."""
    name = "a\x1bb"
    (served / name).write_bytes(content(5))
    done = desk.tftp(SERVER, "-c", "get", name)
    sentence = "has control characters: name its file here, by get NAME LOCAL or -o FILE"
    assert (done.returncode, done.stderr.decode()) == (1, f"tftp: a\\x1bb {sentence}\n")
    assert desk.tftp(SERVER, "-c", "get", name, "here").returncode == 0
    assert desk.tftp(SERVER, "-c", "get", name, f"./{name}").returncode == 0
    assert sorted(os.listdir(desk.directory)) == [name, "here"]
