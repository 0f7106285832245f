"""tftp probe: what the servers that people run can do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.client.conftest import Desk
from tests.client.fake import Fake
from tests.client.servers import KINDS, serving
from tests.netns.tftp_site import SERVER, Site, content, error

# What each says to the largest value of an option.
ANSWERS = {
    "ptftpd": {"blksize": "1468", "windowsize": "64", "tsize": "3000000", "timeout": "1"},
    "tftpd-hpa": {"blksize": "65464", "windowsize": None, "tsize": "3000000", "timeout": "1"},
    "atftpd": {"blksize": "65464", "windowsize": "65535", "tsize": "3000000", "timeout": "1"},
    "dnsmasq": {"blksize": "1468", "windowsize": None, "tsize": "3000000", "timeout": None},
}


@pytest.mark.parametrize("kind", KINDS)
def test_json(kind: str, site: Site, desk: Desk, root: Path) -> None:
    """The options taken, and a rate for each size that works."""
    (root / "a").write_bytes(content(3_000_000))
    with serving(site, kind, root, SERVER):
        done = desk.tftp("--json", "probe", SERVER, "a")
    assert (done.returncode, done.stderr) == (0, b"")
    facts = json.loads(done.stdout)
    assert facts["options"] == ANSWERS[kind]
    assert 0 < facts["round_trip"] < 1
    assert facts["carried"] == 1468
    sizes = [(rate["blksize"], rate["windowsize"]) for rate in facts["rates"]]
    assert sizes[:2] == [(512, 1), (1468, 1)]
    assert len(set(sizes)) == len(sizes)
    assert all(rate["rate"] > 0 and not rate["failed"] for rate in facts["rates"] if rate["windowsize"] < 64)
    windows = ANSWERS[kind]["windowsize"] is not None
    assert ((1468, 16) in sizes) == windows
    assert facts["largest"]["windowsize"] >= (16 if windows else 1)


def test_the_table(site: Site, desk: Desk, root: Path) -> None:
    """For people."""
    (root / "a").write_bytes(content(100_000))
    with serving(site, "dnsmasq", root, SERVER):
        done = desk.tftp("probe", f"tftp://{SERVER}/a")
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith(f"{SERVER} port 69 answers in ")
    assert lines[1:5] == [
        "option         asked  answer",
        "blksize        65464  1468",
        "windowsize     65535  left out",
        "tsize              0  100000",
    ]
    assert lines[-1] == "largest that work: blksize 1468, windowsize 1"


def test_without_a_name(site: Site, desk: Desk, root: Path) -> None:
    """It answers that there is no such file: at least it answers."""
    with serving(site, "tftpd-hpa", root, SERVER):
        done = desk.tftp("probe", SERVER)
    assert done.returncode == 0
    first, second = done.stdout.decode().splitlines()
    assert first.startswith(f"{SERVER} port 69 answers in ")
    assert second == "name a file on it, to see its options: probe HOST NAME"


def test_the_time_of_an_answer(site: Site, desk: Desk) -> None:
    """As Karn has it: nobody can tell which of two requests was answered."""
    for requests, said in ((1, r" answers in \d+\.\d ms"), (2, " answers")):
        with Fake(site) as fake:
            client = desk.start("--timeout", "0.3", "probe", SERVER)
            for _ in range(requests):
                fake.request()
            fake.send(error(1, "no such file"))
            lines = client.communicate(timeout=10)[0].decode().splitlines()
        assert re.fullmatch(f"{SERVER} port 69{said}", lines[0])


def test_nobody_there(desk: Desk) -> None:
    """As for get, with one question and no name where none was given."""
    done = desk.tftp("probe", SERVER)
    assert (done.returncode, done.stdout) == (1, b"")
    why = "no TFTP server listens on that port: is it running, and is the port right?"
    assert done.stderr.decode() == f"tftp: cannot probe {SERVER}: {why}\n"


def test_refusals_are_told(site: Site, desk: Desk) -> None:
    """A file that may be read, and options that each are refused."""
    with Fake(site) as fake:
        client = desk.start("probe", SERVER, "a")
        assert fake.asked() == {}
        fake.send(b"\0\3\0\1" + bytes(100))
        for name in ("blksize", "windowsize", "tsize", "timeout"):
            assert list(fake.asked()) == [name]
            fake.send(error(8, "never"))
        fake.request()
        fake.send(b"\0\3\0\1" + bytes(100))
        assert fake.receive() == b"\0\4\0\1"
        said, _ = client.communicate(timeout=10)
    lines = said.decode().splitlines()
    assert lines[2] == "blksize        65464  refused: never"
    assert lines[-1] == "largest that work: blksize 512, windowsize 1"
