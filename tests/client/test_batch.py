"""The client in scripts: command lines, exit codes, JSON."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ptftpd.client.arguments import make_parser
from ptftpd.client.commands import ALIASES, NAMED, NOT_IN_TFTP
from tests.client.conftest import NOBODY, URL, Desk
from tests.lab import CHECKOUT, program
from tests.netns.tftp_site import SERVER, SERVER6, content

pytestmark = pytest.mark.usefixtures("served")


@pytest.mark.parametrize(
    "line",
    [
        f"{SERVER} -c get f5",
        f"{SERVER} 69 -c get f5",
        f"{SERVER} tftp -c get f5",
        f"-m binary {SERVER} -c get f5",
        f"-4 -v -m octet -R 4000:4999 {SERVER} -c get /f5 f5",
        f"-6 {SERVER6} -c get f5",
        f"{SERVER}:69 -c get f5",
        f"{SERVER}:tftp -c get f5",
        f"[{SERVER6}]:69 -c get f5",
        f"[{SERVER6}] -c get f5",
        f"{URL}/f5",
        f"{URL}/ -c get f5",
        f"-g -r f5 {SERVER}:69",
        f"-c get {SERVER}:f5",
        f"-c get [{SERVER6}]:f5",
        f"-c get {URL}/f5 f5",
        f"-g -r f5 -l f5 {SERVER} 69",
        f"--get --remote-file f5 --verbose --trace {SERVER}",
        f"--option tsize --tftp-timeout 2 --prevent-sas -g -l f5 {SERVER}",
        f"get {URL}/f5",
        f"get {URL}:69//f5 -o f5",
        f"get tftp://[{SERVER6}]/f5;mode=octet",
        f"--rfc1350 get {SERVER}:f5",
    ],
)
def test_one_file_in_many_ways(line: str, desk: Desk) -> None:
    """As tftp-hpa has it, as atftp has it, as we do."""
    done = desk.tftp(*line.split())
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert (desk.directory / "f5").read_bytes() == content(5)


def test_options_in_one_word(desk: Desk) -> None:
    """atftp's --option takes name and value together."""
    options = ("--option", "blksize 700", "--option", "windowsize disable", "--json")
    done = desk.tftp(*options, "-g", "-r", "f100000", SERVER)
    facts = json.loads(done.stdout)
    assert (facts["blksize"], facts["windowsize"]) == (700, 1)


def test_put_like_tftp_hpa(desk: Desk, served: Path) -> None:
    """One file under its own name or another, several into a directory."""
    (served / "d").mkdir()
    (served / "d").chmod(0o777)
    for name in "xyz":
        (desk.directory / name).write_bytes(name.encode())
    assert desk.tftp(SERVER, "-c", "put x x4").returncode == 0
    assert (served / "x4").read_bytes() == b"x"
    for line in ("put x", "put x x2", "put x y z d", "put x d/", f"put x {SERVER}:x3"):
        done = desk.tftp(SERVER, "-c", *line.split())
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    there = {path.name: path.read_bytes() for path in (served / "d").iterdir()}
    assert there == {"x": b"x", "y": b"y", "z": b"z"}
    assert [(served / name).read_bytes() for name in ("x", "x2", "x3")] == [b"x"] * 3


def test_json(desk: Desk) -> None:
    """A line for each transfer, on standard output unless that is the file."""
    done = desk.tftp("--json", "get", f"{URL}/f5", f"{URL}/nosuch")
    assert done.returncode == 1
    good, bad = map(json.loads, done.stdout.splitlines())
    assert (good["ok"], good["octets"], good["local"], good["server"]) == (True, 5, "f5", SERVER)
    assert (bad["ok"], bad["code"]) == (False, 1)
    assert bad["error"].startswith("the server says 'no such file'")
    done = desk.tftp("--json", "get", f"{URL}/f5", "-o", "-")
    assert done.stdout == content(5)
    assert json.loads(done.stderr)["ok"]


def test_json_of_what_never_began(desk: Desk) -> None:
    """There is a line all the same."""
    (desk.directory / "f5").write_bytes(b"mine")
    facts = json.loads(desk.tftp("--json", "get", f"{URL}/f5").stdout)
    assert facts == {"action": "get", "file": "f5", "local": "", "ok": False,
                     "error": "f5 exists already: use -f to replace it, or name another file"}  # fmt: skip


def test_several_files_to_a_directory(desk: Desk) -> None:
    """One that fails does not keep the others."""
    (desk.directory / "d").mkdir()
    done = desk.tftp("get", f"{URL}/f5", f"{URL}/nosuch", f"{URL}/f100000", "-o", "d")
    assert done.returncode == 1
    assert sorted(os.listdir(desk.directory / "d")) == ["f100000", "f5"]


PAGE = (CHECKOUT / "man/ptftp.1").read_text().replace("\\", "")


def test_every_option_of_atftp() -> None:
    """What 'atftp --help' lists is taken, or the manual says that it is not there."""
    listed = subprocess.run(["atftp", "--help"], capture_output=True, text=True, check=False)
    options = set(re.findall(r"(--[a-z-]+|-[A-Za-z](?=,)) ?", listed.stdout + listed.stderr))
    assert {"--option", "--get", "--prevent-sas", "-r"} <= options
    parser = make_parser(like_atftp=True)
    unknown = options - parser._option_string_actions.keys() - {"-P"}  # --password
    assert unknown == {"--mget", "--mtftp", "--password", "--no-source-port-checking"}
    assert [option for option in unknown if option not in PAGE] == []


def test_every_option_of_tftp_hpa() -> None:
    """What its usage lists is taken."""
    usage = subprocess.run(["tftp", "-h"], capture_output=True, text=True, check=False)
    options = set(re.findall(r"-\w", usage.stdout + usage.stderr))
    assert {"-4", "-6", "-m", "-c"} <= options
    assert options - {"-c"} <= make_parser()._option_string_actions.keys()


@pytest.mark.parametrize("other", ["tftp", "atftp"])
def test_every_command_of_others(other: str) -> None:
    """What their help lists is a command, or it is said why it is none."""
    command = [other, "127.0.0.1"]
    done = subprocess.run(command, input="?\nquit\n", capture_output=True, text=True, check=False)
    names = re.findall(r"^(\w+|\?) *\t", done.stdout + done.stderr, re.M)
    assert {"connect", "mode", "put", "get", "trace", "timeout"} <= set(names)
    missing = {name for name in names if name not in {*NAMED, *ALIASES}}
    assert missing == ({"mtftp", "mget"} if other == "atftp" else set())
    assert missing <= NOT_IN_TFTP.keys()


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("put nosuch tftp://10.0.0.1/", 1, "nosuch: there is no such file here: check the name"),
        ("put - tftp://10.0.0.1/", 1, "name the file on the server: standard input has no name"),
        ("get tftp://10.0.0.1/", 1, "the URL names no file: add the name to get"),
        (
            "get tftp://nosuch.invalid/a",
            1,
            "no address is known for nosuch.invalid: check the name, or write",
        ),
        ("-6 get tftp://10.0.0.1/a", 1, "no IPv6 address is known for 10.0.0.1: check the name"),
        ("-c get a", 1, "no server is named: write HOST:NAME, or connect HOST first"),
        ("get a", 2, "a names no server: write tftp://HOST/NAME or HOST:NAME; its name here goes"),
        ("put a 10.0.0.1", 2, "10.0.0.1 names no server: write tftp://HOST/NAME or HOST:NAME\n"),
        ("get http://h/a", 2, "http://h/a is not a TFTP URL: write tftp://HOST/NAME"),
        ("10.0.0.1 -c get -x a", 1, "there is no option -x: write it as: get [-f] REMOTE [LOCAL]"),
        ("10.0.0.1 -c get ''", 1, "an empty name means nothing here: leave out the quotes"),
        ("10.0.0.1 -c connect ''", 1, "an empty name means nothing here: leave out the quotes"),
        ("10.0.0.1 65536 -c get a", 1, "65536 is not a port: write 1..65535 or a name from /etc/services"),
        ("10.0.0.1 0 -c get a", 1, "0 is not a port: write 1..65535 or a name from /etc/services"),
        pytest.param(f"10.0.0.1 {'9' * 5000} -c get a", 1, "is not a port: write 1..65535", id="5000 digits"),
        ("10.0.0.1:6969 6969 -c get a", 1, "10.0.0.1:6969 has a port already: leave 6969 out"),
        ("10.0.0.1:no -c get a", 1, "no is not a port: write 1..65535 or a name from /etc/services"),
        ("10.0.0.1 -c nonsense", 1, "there is no command nonsense: help lists them"),
        ("10.0.0.1 -c get", 1, "write it as: get [-f] REMOTE [LOCAL]"),
        ("get tftp://10.0.0.255/a", 1, "that is a broadcast address: name one machine"),
        ("--option color_blue 10.0.0.1", 1, "there is no option color_blue here"),
        ("get", 2, "get needs the URL of a file: get tftp://HOST/NAME"),
    ],
)
def test_what_goes_wrong(line: str, code: int, sentence: str, desk: Desk) -> None:
    """A sentence and an exit code."""
    done = desk.tftp(*shlex.split(line))
    assert (done.returncode, done.stdout) == (code, b"")
    assert sentence in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"connect h a\0b", "a NUL cannot be part of a command"),
        (b"put ~a\0b", "a NUL cannot be part of a command"),
        (b"connect h \xe4", r"\xe4 is not a port: write 1..65535 or a name from /etc/services"),
    ],
)
def test_odd_octets_in_a_script(line: bytes, sentence: str, desk: Desk) -> None:
    """A sentence for them as well, whatever the locale, and the next line has its turn."""
    strict = ("env", "PYTHONIOENCODING=utf-8:strict")  # as in most locales, but not in C
    done = desk.tftp(SERVER, stdin=line + b"\nget f5\n", wrap=strict)
    assert (done.returncode, done.stderr.decode()) == (1, f"tftp: {sentence}\n")
    assert (desk.directory / "f5").read_bytes() == content(5)


@pytest.mark.parametrize(("port", "number"), [("1", 1), ("65535", 65535), ("tftp", 69)])
def test_ports(port: str, number: int, desk: Desk) -> None:
    """By number and by name."""
    done = desk.tftp(SERVER, port, "-c", "status")
    assert done.stdout.decode().splitlines()[0] == f"server: {SERVER} port {number}"


def test_low_ports_are_for_root(desk: Desk) -> None:
    """EACCES has two reasons, and both are said."""
    done = desk.tftp("-R", "100-200", "get", f"{URL}/f5", wrap=NOBODY)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"or only root may send from these ports\n" in done.stderr


def test_the_port_at_hand(desk: Desk, served: Path) -> None:
    """HOST:NAME means the port that was named last, as with tftp-hpa; a URL without one means 69."""
    other = desk.site.directory()
    (other / "f5").write_bytes(b"other")
    with desk.site.serving(other, "-a", SERVER, "-p", 6969):
        script = f"get {SERVER}:f5 a\nconnect {SERVER}\nget f5 b\nget {URL}:6969/f5 c\nget {URL}/f5 d\n"
        assert desk.tftp(SERVER, 6969, stdin=script.encode()).returncode == 0
    there = [(desk.directory / name).read_bytes() for name in "abcd"]
    assert there == [b"other", content(5), b"other", content(5)]


def test_a_script_on_standard_input(desk: Desk) -> None:
    """As with tftp-hpa: no prompt where nobody types, and here the exit code tells."""
    script = f"# comment\nconnect {SERVER}\nbinary\nget f5\nget nosuch\nget f100000\nquit\nget f3000000\n"
    done = desk.tftp(stdin=script.encode())
    assert (done.returncode, done.stdout) == (1, b"")
    assert sorted(os.listdir(desk.directory)) == ["f100000", "f5"]
    assert desk.tftp(SERVER, stdin=b"get f5 again\n").returncode == 0


def test_trace(desk: Desk) -> None:
    """Each packet, readably."""
    done = desk.tftp("--trace", "--blksize", "100", "--windowsize", "1", SERVER, "-c", "get", "f5")
    assert done.stderr.decode().splitlines() == [
        '-> RRQ "f5" octet blksize=100 tsize=0',
        "<- OACK blksize=100 tsize=5",
        "-> ACK 0",
        "<- DATA 1, 5 octets",
        "-> ACK 1",
    ]


# What a command of Python with options and sockets loads, and what ours may cost, as a multiple of that:
# 65 and 150 ms of work on the machine where it was set.
LOADED = ("/usr/bin/python3", "-c", "import argparse, dataclasses, ipaddress, socket")
TIMES = 2.3


def work(run: Callable[[], object]) -> float:
    """Return the seconds of processor time that the processes of run() take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("line", ["--version", "--help", f"{SERVER} -c get f5"])
def test_the_time_to_start(line: str, desk: Desk) -> None:
    """The shortest of some runs counts, for the machine may be busy; both kinds take turns."""
    kept = ("env", "--unset=PYTHONDONTWRITEBYTECODE", f"PYTHONPYCACHEPREFIX={desk.directory}/compiled")
    spent, loaded = [], []
    command = desk.command(wrap=kept)
    other = [*command[: -len(program("tftp"))], *LOADED]

    def run(*words: str) -> None:
        subprocess.run(words, capture_output=True, check=True)

    for _ in range(8):  # the first one compiles
        spent.append(work(lambda: run(*command, *line.split())))
        loaded.append(work(lambda: run(*other)))
        (desk.directory / "f5").unlink(missing_ok=True)
    assert min(spent) < TIMES * min(loaded)
