"""What the packages tell people, tried on a booted system: examples of the manual, completion in shells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ptftpd.programs.manual import rendered
from tests.lab import CHECKOUT
from tests.system import type_tab
from tests.system.machine import BOOT_FILE, Machine

COMMAND = re.compile(
    r"^ {4}((?:systemctl|journalctl) [^#\n]*|p[a-z]+d [^#\n]*--(?:check|dump|explain|leases|map)[^#\n]*)",
    re.MULTILINE,
)
STATUS_OF_INACTIVE = 3  # of systemctl status, when one of the units is not active


def test_examples_of_the_manual(server: Machine) -> None:
    """Each command in README.md and the pages that only looks does something, typed as it stands there."""
    server.systemctl("start", "ptftpd.socket")
    assert server.get() == BOOT_FILE
    server.systemctl("start", "pxed@eth0")
    server.boots()
    server.run(
        "install", "-D", "-m", "644", "/srv/tftp/pxelinux.0", "/srv/tftp/boot/PXELINUX.0"
    )  # of an example
    pages = [
        re.sub(r"\\([-e])", lambda it: {"-": "-", "e": "\\"}[it[1]], text)
        for name, text in rendered("man").items()
        if name.endswith(".8")
    ]
    pages.append((CHECKOUT / "README.md").read_text())
    lines = [line.strip() for page in pages for line in COMMAND.findall(page)]
    assert len(lines) >= 20
    for line in lines:
        command = line.replace(" -f ", " ")  # or it would wait for more
        if line.startswith(("systemctl", "journalctl")):
            command += " --no-pager"
        done = server.run("sh", "-c", command, check=False)
        shows = line.startswith(("p", "journalctl", "systemctl status"))
        assert done.returncode in ({0, STATUS_OF_INACTIVE} if "status" in line else {0}), (line, done.stderr)
        assert bool(done.stdout) or not shows, line
        assert "-- No entries --" not in done.stdout, line


OFFERED = {
    "pxed ": {"eth0", "eth1", "lo"},
    "pxed --mo": {"--mode"},
    "pxed eth0 --mode ": {"full", "proxy", "auto"},
    "ptftp p": {"put", "probe"},
    "tftp --win": {"--windowsize"},  # as long as that is ours
}


@pytest.mark.parametrize("shell", type_tab.SHELLS)
def test_tab(machine: Machine, shell: str) -> None:
    """In an interactive shell that knows of nothing but what is installed."""
    machine.write("/root/type_tab.py", Path(type_tab.__file__).read_text())
    for line, words in OFFERED.items():
        seen = machine.run("/usr/bin/python3", "/root/type_tab.py", shell, line).stdout
        assert words <= set(re.split(r"[\s\a=]+", seen)), (line, seen)


def test_fish(machine: Machine) -> None:
    """fish says itself what it would offer: a word and its description in each line."""
    for line, words in OFFERED.items():
        seen = machine.run("fish", "--command", f"complete --do-complete '{line}'").stdout
        assert words <= {row.partition("\t")[0] for row in seen.splitlines()}, (line, seen)
        if not line.endswith(" "):
            assert "\t" in seen
