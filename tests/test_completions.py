"""What bash offers when a command line is completed; tests/system types Tab in bash, zsh and fish."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ptftpd.programs.manual import rendered

# bash hands over the words of the line, of which the last is to be completed, and takes COMPREPLY.
ASK = """
source /dev/stdin
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_ptftpd_"$1" 2>/dev/null  # compopt only works when bash itself completes
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(directory: Path, *words: str) -> set[str]:
    """Return what bash offers for the last word, in a directory; '=' is a word of its own, as in bash."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "ask", *words], input=rendered("bash")[words[0]],
        cwd=directory, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split("\n")) - {""}


def test_options(tmp_path: Path) -> None:
    assert offered(tmp_path, "pxed", "eth0", "--mo") == {"--mode"}
    assert offered(tmp_path, "ptftp", "--win") == {"--windowsize"}
    assert {"-v", "--verbose", "--lease-time"} < offered(tmp_path, "pdhcpd", "-")


@pytest.mark.parametrize("words", [("--mode", ""), ("--mode", "="), ("--mode", "=", "")])
def test_values(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Of a setting with a list of them; written behind the option, or behind a = after it."""
    assert offered(tmp_path, "pxed", "eth0", *words) == {"full", "proxy", "auto"}


def test_the_beginning_of_a_value(tmp_path: Path) -> None:
    assert offered(tmp_path, "pxed", "--mode", "=", "a") == {"auto"}
    assert offered(tmp_path, "ptftpd", "--uploads", "c") == {"create"}


def test_a_value_that_nobody_can_know(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert offered(tmp_path, "pxed", "--lease-time", "") == set()


def test_files(tmp_path: Path) -> None:
    """Spaces do not make several of one."""
    (tmp_path / "my settings.conf").touch()
    assert offered(tmp_path, "pxed", "--config", "my") == {"my settings.conf"}


def test_each_place_has_its_own(tmp_path: Path) -> None:
    """An interface first, then the root; what belongs to an option does not count."""
    (tmp_path / "root").mkdir()
    (tmp_path / "file").touch()
    interfaces = set(os.listdir("/sys/class/net"))
    for before in [(), ("--mode", "full"), ("--mode", "=", "full"), ("-v",)]:
        assert offered(tmp_path, "pxed", *before, "") == interfaces
        assert offered(tmp_path, "pxed", *before, "eth0", "") == {"root"}


def test_the_client(tmp_path: Path) -> None:
    """What to do first, then files."""
    (tmp_path / "running-config").touch()
    assert {"get", "put", "probe"} <= offered(tmp_path, "ptftp", "")
    assert offered(tmp_path, "ptftp", "put", "run") == {"running-config"}


def test_both_names_of_the_client() -> None:
    """Every shell completes tftp as well, which may be a link to ptftp."""
    assert rendered("bash")["ptftp"].endswith("\ncomplete -F _ptftpd_ptftp ptftp tftp\n")
    assert rendered("zsh")["_ptftp"].startswith("#compdef ptftp tftp\n")
    assert rendered("fish")["ptftp.fish"].endswith("\ncomplete -c tftp -w ptftp\n")
