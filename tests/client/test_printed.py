"""Every command of the client that the manual and README print runs as it is printed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.conftest import Desk
from tests.client.servers import serving
from tests.lab import CHECKOUT, program
from tests.netns.tftp_site import SERVER, Site, content

PRINTED = "192.0.2.1"  # the server of all examples (RFC 5737)


def commands() -> list[str]:
    """Return the examples: indented lines that begin with the client's name."""
    texts = [(CHECKOUT / name).read_text() for name in ("man/ptftp.1", "README.md")]
    lines = [line.replace("\\-", "-").replace("\\", "") for text in texts for line in text.splitlines()]
    found = [re.match(r" {4}(p?tftp .*?)(?: +#.*)?$", line) for line in lines]
    return [match[1] for match in found if match]


@pytest.fixture(scope="module")
def printed(site: Site) -> Iterator[Path]:
    """Serve what the examples ask for, at their address; return the directory."""
    root = site.directory()
    (root / "incoming").mkdir()
    (root / "incoming").chmod(0o777)
    (root / "pxelinux.0").write_bytes(content(40_000))
    (root / "config").write_bytes(b"hostname sw1\nend\n")
    site.server.address(f"{PRINTED}/32")
    site.client.run("ip", "route", "add", PRINTED, "via", SERVER)
    with serving(site, "ptftpd", root, PRINTED):
        yield root


def test_there_are_examples() -> None:
    assert len(commands()) >= 7


@pytest.mark.parametrize("command", commands())
def test_an_example(command: str, printed: Path, desk: Desk) -> None:
    """By a shell, where the files are that it sends: it ends well, and what it gets or puts is whole."""
    for name in ("running-config", "firmware.bin"):
        (desk.directory / name).write_bytes(name.encode())
    for name in ("ptftp", "tftp"):
        script = desk.directory / name
        script.write_text(f'#!/bin/sh\nexec {" ".join(map(str, program("tftp")))} "$@"\n')
        script.chmod(0o755)
    environment = ("env", f"--chdir={desk.directory}", f"PYTHONPATH={CHECKOUT}")
    words = desk.site.client.command(*environment, "sh", "-c", f"PATH=.:$PATH\n{command}")
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    if "|" in command:
        assert done.stdout == b"hostname sw1\n"
    elif "probe" in command:
        assert done.stdout.startswith(f"{PRINTED} port 69 answers".encode())
    elif " put " in command:
        name = command.split()[-1] if " -c " in command else "incoming/running-config"
        assert (printed / name).read_bytes() == Path(name).name.encode()
    else:
        assert (desk.directory / "pxelinux.0").read_bytes() == content(40_000)
