"""ptftpd --map-test NAME: which file a client gets, and why, without asking the server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ptftpd import neighbours
from ptftpd.programs import tftpd
from tests.lab import reachable

MAC = bytes.fromhex("525400123456")
CONFIG = """
[tftp]
client_directory = {mac}, {address}
[remap own]
match = ^(.*)[.]cfg$
replace = menus/\\1.cfg
[remap no]
match = ^key$
refuse = not by TFTP
"""

Say = Callable[..., str]


@pytest.fixture(autouse=True)
def open_to_all(tmp_path: Path) -> None:
    """Let every user reach the files of a test: asked by root, it is the server's user who looks."""
    if os.geteuid() == 0:
        reachable(tmp_path)


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return what asks about a name, and returns the answer with the root left out."""
    (tmp_path / "conf").write_text(CONFIG)
    root = tmp_path / "root"
    for name in ("file", "menus/a.cfg", "192.0.2.9/file"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)

    def ask(name: str, *more: str) -> str:
        code = tftpd.main(["-c", str(tmp_path / "conf"), str(root), "--map-test", name, *more])
        output = capsys.readouterr()
        assert bool(code) is bool(output.err) is not bool(output.out)
        return (output.out or output.err).replace(str(root), "ROOT").removeprefix("ptftpd: ")

    return ask


@pytest.mark.parametrize(("asked", "answer"), [
    (("/file",), "/file: ROOT/file, 4 B\n"),
    (("file", "--client", "192.0.2.9"), "file: ROOT/192.0.2.9/file, 14 B\n"),
    (("a.cfg",), "a.cfg: ROOT/menus/a.cfg, 11 B\n  rewritten to menus/a.cfg by own\n"),
    (("file:",), "file:: ROOT/file, 4 B\n  garbage behind the name\n"),
    (("absent",), "error: absent: refused with error 1: no such file\n"),
    (("FILE",), "error: FILE: refused with error 1: no such file; did you mean file?\n"),
    (("/menus/A.cg",), "error: /menus/A.cg: refused with error 1: no such file; did you mean menus/a.cfg?\n"),
    (("key",), "error: key: refused with error 2: not by TFTP (rule no)\n"),
    (("../conf",), "error: ../conf: refused with error 2: the name leads out of the root directory\n"),
])  # fmt: skip
def test_answer(say: Say, asked: tuple[str, ...], answer: str) -> None:
    """The file's path and size, what was done to the name; or, with exit code 1, the error of the client."""
    assert say(*asked) == answer


def test_a_link_that_leads_nowhere(say: Say, tmp_path: Path) -> None:
    """The link is told, and what it leads to; the very name asked for is no suggestion."""
    (tmp_path / "root/ipxe.efi").symlink_to("/usr/lib/absent/ipxe.efi")
    answer = say("ipxe.efi")
    assert "ROOT/ipxe.efi -> /usr/lib/absent/ipxe.efi: the link leads nowhere" in answer
    assert "did you mean" not in answer
    assert say("ipxe.ef").endswith("did you mean ipxe.efi?\n")


def test_a_client_that_is_no_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tftpd.main([str(tmp_path), "--map-test", "file", "--client", "desk"]) == 78
    assert capsys.readouterr().err == "ptftpd: error: --client = desk: must be an IPv4 or IPv6 address\n"


def test_the_neighbour_at_the_interface(say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """{mac} is that of the machine which has the address now, where the interface to look at is named."""
    monkeypatch.setattr(
        neighbours, "hardware_address", lambda *asked: MAC if asked == ("192.0.2.9", 1) else b""
    )
    (tmp_path / "root" / MAC.hex(":")).mkdir()
    (tmp_path / "root" / MAC.hex(":") / "file").write_text("own")
    assert say("file", "--client", "192.0.2.9", "-i", "lo") == f"file: ROOT/{MAC.hex(':')}/file, 3 B\n"
