"""The prompt, typed at in a pseudo-terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.client.conftest import Desk
from tests.client.fake import Fake
from tests.client.servers import serving
from tests.netns.tftp_site import SERVER, SERVER6, Site, ack, content, data, error

PROMPT = "tftp> "
LARGE = 20_000_000


@pytest.fixture(scope="module")
def root(site: Site) -> Iterator[Path]:
    """Return the directory that ptftpd serves meanwhile, with some files."""
    root = site.directory()
    for name in "abc":
        (root / name).write_bytes(content(1000, ord(name)))
    (root / "large").write_bytes(content(LARGE))
    (root / "d").mkdir()
    (root / "d").chmod(0o777)
    with serving(site, "ptftpd", root, SERVER), serving(site, "tftpd-hpa", root, SERVER6):
        yield root


class Typist:
    """Somebody at the prompt."""

    def __init__(self, desk: Desk, *arguments: str) -> None:
        """Start the client and wait for its prompt."""
        command, *rest = desk.command(*arguments, wrap=("env", f"HOME={desk.directory}", "TERM=dumb"))
        self.terminal = pexpect.spawn(command, rest, encoding="utf-8", timeout=20, dimensions=(40, 200))
        self.terminal.expect_exact(PROMPT)

    def type(self, line: str) -> list[str]:
        """Return the lines that a command is answered with."""
        self.terminal.sendline(line)
        return self.answer(line)

    def answer(self, line: str) -> list[str]:
        """Return the lines between the echo of line and the next prompt."""
        lines = self.shown()
        assert lines[:1] == ([line] if line else [])
        return lines[1:]

    def shown(self) -> list[str]:
        """Return the lines until the next prompt, as they stand on a terminal: a bar writes over itself."""
        self.terminal.expect_exact(PROMPT)
        lines = self.terminal.before.split("\r\n")
        return [text for text in (line.rpartition("\r")[2] for line in lines) if text.strip()]

    def leave(self, line: str = "quit") -> None:
        """Leave, with exit code 0."""
        self.terminal.sendline(line)
        self.end()

    def end(self) -> None:
        """See the client end with exit code 0."""
        self.terminal.expect(pexpect.EOF)
        self.terminal.close()
        assert self.terminal.exitstatus == 0


@pytest.fixture
def typist(desk: Desk, root: Path) -> Iterator[Typist]:
    """Return somebody at the prompt of 'tftp SERVER', who leaves at the end."""
    typist = Typist(desk, SERVER)
    yield typist
    typist.leave()


def got(lines: list[str]) -> None:
    """Check that there is nothing but the summary of one transfer."""
    assert len(lines) == 1
    assert re.match(r"(got|put) \S+ (from|to) \S+( as \S+)?: 1 kB in \d\.\d s", lines[0])


def test_get(typist: Typist, desk: Desk) -> None:
    """One file, one under another name, three."""
    got(typist.type("get a"))
    got(typist.type("get b other"))
    lines = typist.type("get /a /b c")
    assert lines[0] == "tftp: a exists already: use -f to replace it, or name another file"
    assert [line.split(":")[0] for line in lines[1:]] == [f"got /b from {SERVER}", f"got c from {SERVER}"]
    there = {path.name: path.read_bytes() for path in desk.directory.glob("?*") if path.is_file()}
    assert there == {
        "a": content(1000, 97),
        "b": content(1000, 98),
        "c": content(1000, 99),
        "other": there["b"],
    }


def test_get_force(typist: Typist, desk: Desk) -> None:
    """The earlier tool's -f."""
    (desk.directory / "a").write_bytes(b"mine")
    assert typist.type("get a") == ["tftp: a exists already: use -f to replace it, or name another file"]
    got(typist.type("get -f a"))
    assert (desk.directory / "a").read_bytes() == content(1000, 97)


def test_put(typist: Typist, desk: Desk, root: Path) -> None:
    """One file, one under another name, several to a directory."""
    for name in "xyz":
        (desk.directory / name).write_bytes(content(1000, ord(name)))
    got(typist.type("put x"))
    got(typist.type("put x x2"))
    assert len(typist.type("put x y z d")) == 3
    assert (root / "x").read_bytes() == (root / "x2").read_bytes() == content(1000, ord("x"))
    assert (root / "d/z").read_bytes() == content(1000, ord("z"))
    assert "there is no such file here" in typist.type("put nosuch")[0]


def test_connect(typist: Typist, desk: Desk) -> None:
    """The server named last is kept, by whatever command."""
    assert typist.type(f"connect {SERVER6} 69") == []
    got(typist.type("get a"))
    assert typist.type("status")[0] == f"server: {SERVER6} port 69"
    got(typist.type(f"get {SERVER}:b"))
    assert typist.type("status")[0] == f"server: {SERVER} port 69"
    got(typist.type(f"get [{SERVER6}]:c"))
    assert typist.type("status")[0] == f"server: {SERVER6} port 69"
    assert typist.type("connect nosuch.invalid")[0].startswith("tftp: no address is known for nosuch.invalid")
    assert typist.type("connect") == ["tftp: write it as: connect HOST [PORT]"]


def test_no_server_yet(desk: Desk, root: Path) -> None:
    """It is asked for when it is needed."""
    typist = Typist(desk)
    assert typist.type("get a") == ["tftp: no server is named: write HOST:NAME, or connect HOST first"]
    assert typist.type("status")[0] == "server: none yet (connect HOST)"
    got(typist.type(f"get tftp://{SERVER}/a"))
    typist.leave("q")


def test_settings(typist: Typist) -> None:
    """Shown without a value, set with one, refused with a wrong one; abbreviations will do."""
    assert typist.type("mode") == ["mode: octet"]
    assert typist.type("ascii") == []
    assert typist.type("mode") == ["mode: netascii"]
    assert typist.type("bin") == []
    assert typist.type("m") == ["mode: octet"]
    assert typist.type("mode mail") == ["tftp: mode mail: must be octet (or binary) or netascii (or ascii)"]
    assert typist.type("blksize 700") == []
    assert typist.type("w 4") == []
    assert typist.type("blks") == ["blksize: 700"]
    assert typist.type("windowsize") == ["windowsize: 4"]
    assert typist.type("blksize 7") == ["tftp: blksize 7: must be 8..65464 or auto"]
    assert typist.type("option blksize 900") == []
    assert typist.type("option windowsize disable") == []
    assert typist.type("blksize") + typist.type("windowsize") == ["blksize: 900", "windowsize: 1"]
    assert typist.type("option blksize") == ["blksize: 900"]
    assert typist.type("option") == ["blksize: 900", "windowsize: 1", "rexmt: auto"]
    assert typist.type("option blksize 900 1") == ["tftp: write it as: option [NAME [VALUE]]"]
    assert typist.type("option color") == ["tftp: write it as: option [NAME [VALUE]]"]
    assert typist.type("option tsize enable") == []
    assert typist.type("option tsize disable")[0].startswith("tftp: tsize is always asked for")
    assert typist.type("blksize 1 2") == ["tftp: write it as: blksize [N|auto]"]
    typist.type("verbose")
    assert typist.type("get a a1")[-1].endswith(", blksize 900")


def test_patience(typist: Typist) -> None:
    """rexmt and timeout of tftp-hpa: how long to wait for one answer, and for all."""
    assert typist.type("rexmt 2") + typist.type("timeout 10") == []
    shown = typist.type("status")
    assert shown[4:7] == ["rexmt: 2", "timeout: 10", "retries: 4"]
    assert typist.type("rexmt 1") == []
    assert typist.type("retries") == ["retries: 9"]
    assert typist.type("rexmt auto") + typist.type("timeout auto") == []
    assert typist.type("retries") == ["retries: auto"]
    assert typist.type("timeout") == ["timeout: auto"]
    assert typist.type("rexmt") + typist.type("timeout") == ["rexmt: auto", "timeout: auto"]
    assert typist.type("rexmt x")[0].startswith("tftp: rexmt x: must be 0.05..255 seconds")
    assert typist.type("timeout x")[0].startswith("tftp: timeout x: must be 0.1..86400 seconds")


@pytest.mark.parametrize("name", ["verbose", "trace", "literal", "rfc1350"])
def test_switches(typist: Typist, name: str) -> None:
    """Each command turns over, or is told which way."""
    assert typist.type(name) == [f"{name}: on"]
    assert typist.type(name) == [f"{name}: off"]
    assert typist.type(f"{name} on") == [f"{name}: on"]
    assert typist.type(f"{name} on") == [f"{name}: on"]
    assert typist.type(f"{name} perhaps") == [f"tftp: {name} perhaps: must be yes or no"]
    assert typist.type(f"{name} off") == [f"{name}: off"]


def test_trace(typist: Typist) -> None:
    """Each packet, readably."""
    typist.type("trace on")
    typist.type("rfc1350 on")
    lines = typist.type("get a")
    assert lines[:-1] == [
        '-> RRQ "a" octet',
        "<- DATA 1, 512 octets",
        "-> ACK 1",
        "<- DATA 2, 488 octets",
        "-> ACK 2",
    ]


def test_literal(typist: Typist, root: Path, desk: Desk) -> None:
    """A ':' in a name, and a blank."""
    (root / "x:y z").write_bytes(content(1000))
    assert typist.type('get "x:y z"')[0].startswith("tftp: no address is known for x: check the name")
    typist.type("literal")
    assert typist.type("get 'x:y z'")[0].startswith(f"got x:y z from {SERVER}")
    assert (desk.directory / "x:y z").read_bytes() == content(1000)


def test_probe(typist: Typist) -> None:
    """The table."""
    lines = typist.type("probe large")
    assert lines[0].startswith(f"{SERVER} port 69 answers in ")
    assert lines[-1] == "largest that work: blksize 1468, windowsize 64"


def test_help(typist: Typist) -> None:
    """A line for each command, and more about one."""
    listed = {line.split()[0] for line in typist.type("help")}
    assert {"connect", "get", "put", "mode", "blksize", "windowsize", "status", "quit"} <= listed
    assert typist.type("? blks") == [
        "blksize [N|auto]",
        "    Block size to ask for, octets: 8..65464, or what the route carries.",
    ]
    for name in listed - {"Names"}:
        usage, *about = typist.type(f"help {name}")
        assert usage.startswith(name)
        assert about
        assert all(re.match(r"    \S", line) and len(line) <= 78 for line in about)
    assert typist.type("help xyz") == ["tftp: there is no command xyz: help lists them"]


def test_mistakes(typist: Typist) -> None:
    """They are said, and the prompt is back."""
    assert typist.type("") == []
    assert typist.type("xyz") == ["tftp: there is no command xyz: help lists them"]
    assert typist.type("ls")[0].startswith("tftp: there is no command ls: TFTP cannot list files")
    assert typist.type("b") == ["tftp: b could be binary or blksize: write more of it"]
    assert typist.type("get") == ["tftp: write it as: get [-f] REMOTE [LOCAL]"]
    assert typist.type("put") == ["tftp: write it as: put LOCAL [REMOTE]"]
    assert typist.type("get 'a") == ["tftp: the quote in 'a is not closed: put it at the end of the name too"]
    assert typist.type("get nosuch")[0].startswith(f"tftp: cannot get nosuch from {SERVER}: the server says")


def test_completion(typist: Typist, desk: Desk) -> None:
    """Commands, values and local files, with the tabulator."""
    (desk.directory / "firmware.bin").write_bytes(content(1000))
    typist.terminal.send("pu\tfirm\t\n")
    got(typist.answer("put firmware.bin "))
    (desk.directory / "my firmware.bin").write_bytes(content(1000))
    typist.terminal.send("put my\t\n")
    assert typist.shown()[-1].startswith(f"put my firmware.bin to {SERVER}: ")
    typist.terminal.send("put 'my f\tx\n")
    assert typist.shown()[-1].startswith(f"put my firmware.bin to {SERVER} as x: ")
    typist.terminal.send("mo\tn\t\n")
    assert typist.answer("mode netascii ") == []
    assert typist.type("mode") == ["mode: netascii"]


def test_editing_and_history(desk: Desk, root: Path) -> None:
    """Lines can be corrected, and come back, in the next session too."""
    typist = Typist(desk, SERVER)
    typist.terminal.send("ode\x01m\x05\n")  # Ctrl-A, Ctrl-E
    typist.terminal.expect_exact("mode: octet")
    typist.terminal.expect_exact(PROMPT)
    typist.leave()
    history = desk.directory / ".local/state/ptftp/history"
    assert history.read_text().splitlines() == ["mode", "quit"]
    typist = Typist(desk, SERVER)
    typist.terminal.send("\x10\x10\n")  # Ctrl-P twice: the line before 'quit'
    typist.terminal.expect_exact("mode: octet")
    typist.terminal.expect_exact(PROMPT)
    typist.leave()


def test_the_history_of_two_prompts(desk: Desk, root: Path) -> None:
    """What was typed at either is remembered."""
    typists = [Typist(desk, SERVER), Typist(desk, SERVER)]
    for typist, line in zip(typists, ("mode", "status"), strict=True):
        typist.type(line)
    for typist in typists:
        typist.leave()
    history = desk.directory / ".local/state/ptftp/history"
    assert history.read_text().splitlines() == ["mode", "quit", "status", "quit"]
    assert history.stat().st_mode & 0o777 == 0o600


def test_end_of_input(desk: Desk, root: Path) -> None:
    """Ctrl-D leaves."""
    typist = Typist(desk, SERVER)
    typist.terminal.sendeof()
    typist.end()


def test_ctrl_c_at_the_prompt(typist: Typist) -> None:
    """It drops what was typed."""
    typist.terminal.send("get a")
    typist.terminal.expect_exact("get a")  # before the echo nobody is there to be interrupted
    typist.terminal.sendintr()
    typist.terminal.expect_exact(PROMPT)
    assert typist.type("mode") == ["mode: octet"]


def test_ctrl_c_stops_a_transfer(site: Site, desk: Desk) -> None:
    """The server is told, nothing is kept, and the prompt is back."""
    with Fake(site, "10.0.0.9") as fake:
        typist = Typist(desk, "10.0.0.9")
        typist.terminal.sendline("get slow")
        fake.request()
        fake.send(data(1, content(512)))
        assert fake.receive() == ack(1)
        typist.terminal.sendintr()
        assert fake.receive() == error(0, "stopped by the user")
        typist.terminal.expect_exact("stopped")
        typist.terminal.expect_exact(PROMPT)
        assert typist.type("status")[0] == "server: 10.0.0.9 port 69"
        typist.terminal.sendline("get slow")
        fake.request()  # which is not answered
        typist.terminal.sendintr()
        typist.terminal.expect_exact("stopped")
        typist.terminal.expect_exact(PROMPT)
        typist.leave("exit")
    assert not (desk.directory / "slow").exists()


def test_a_server_that_does_not_go_on(site: Site, desk: Desk) -> None:
    """The bar says since when nothing came, before the first octet too."""
    with Fake(site, "10.0.0.9") as fake:
        typist = Typist(desk, "10.0.0.9")
        typist.type("rexmt 60")
        typist.terminal.sendline("get slow")
        fake.request()
        typist.terminal.expect_exact("nothing for 2 s]")
        fake.send(data(1, content(512)))
        assert fake.receive() == ack(1)
        typist.terminal.expect(r"slow: 512B \[00:\d\d, [\d.]+B/s, nothing for 2 s\]")
        fake.send(data(2))
        assert typist.shown()[-1].startswith("got slow from 10.0.0.9: 512 B in ")
        typist.leave()


def test_progress(typist: Typist, desk: Desk) -> None:
    """A bar with the rate and the time left, gone at the end, and a summary."""
    typist.type("blksize 512")
    typist.type("windowsize 1")
    typist.terminal.sendline("get large")
    typist.terminal.expect(r"large: +\d+%\|.*\| [\d.]+M?/20\.0M \[\d\d:\d\d<\d\d:\d\d, [\d.]+MB/s\]")
    lines = typist.shown()
    assert re.fullmatch(rf"got large from {SERVER}: 20 MB in \d+\.\d s \([\d.]+ MB/s\)", lines[-1])
    assert (desk.directory / "large").read_bytes() == content(LARGE)
