"""Standard input and output of the client: pipes, closed ones, and none that has room."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.client.conftest import URL, Desk, mounted
from tests.netns.tftp_site import SERVER, content

pytestmark = pytest.mark.usefixtures("served")


def test_pipes(desk: Desk, served: Path) -> None:
    """- is standard input and output; what is said about it is not in it."""
    done = desk.tftp("-v", "put", "-", f"{URL}/pipe", stdin=content(200_000))
    assert done.returncode == 0, done.stderr
    assert (served / "pipe").read_bytes() == content(200_000)
    done = desk.tftp("-v", "get", f"{URL}/pipe", f"{URL}/f5", "-o", "-")
    assert (done.returncode, done.stdout) == (0, content(200_000) + content(5))
    assert done.stderr.startswith(f"got pipe from {SERVER}: 200 kB in ".encode())


def test_a_file_called_like_a_pipe(desk: Desk, served: Path) -> None:
    """Only -o - is standard output."""
    (served / "-").write_bytes(b"x")
    done = desk.tftp("get", f"{URL}/-")
    assert (done.returncode, done.stdout) == (0, b"")
    assert (desk.directory / "-").read_bytes() == b"x"


def test_a_reader_that_has_enough(desk: Desk) -> None:
    """The pipe is closed: one sentence, no traceback."""
    command = " ".join(desk.command("get", f"{URL}/f3000000", "-o", "-"))
    script = f"{command} | head -c 3; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, content(3_000_000)[:3])
    assert done.stderr == b"tftp: cannot keep f3000000 as -: Broken pipe\n"


def test_a_reader_of_the_help_that_has_enough(desk: Desk) -> None:
    """No traceback for a closed pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(desk.command("-c", "help"), stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("line", ["-c help", "--help", "--version", f"--json get {URL}/f5"])
def test_no_room_for_what_is_printed(line: str, desk: Desk) -> None:
    """It is said, and the exit code tells: what a script reads is not whole."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(desk.command(*line.split()), stdout=full, stderr=subprocess.PIPE, check=False)
    said = b"tftp: cannot use standard input or output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


def close(*streams: int) -> tuple[str, ...]:
    """Return the words that run a command without some of its standard streams."""
    return ("sh", "-c", f'exec "$@" {" ".join(f"{stream}>&-" for stream in streams)}', "sh")


def test_no_standard_streams(desk: Desk, served: Path) -> None:
    """As from some supervisors: files come and go, and no sentence gets into them."""
    for number, closed in enumerate([(0,), (1,), (2,), (0, 1, 2)]):
        done = desk.tftp("get", f"{URL}/f5", f"{URL}/nosuch", "-o", ".", wrap=close(*closed))
        assert (done.returncode, done.stdout) == (1, b"")
        assert (b"no such file" in done.stderr) == (2 not in closed)
        assert desk.tftp("put", "f5", f"{URL}/closed{number}", wrap=close(*closed)).returncode == 0
        assert (served / f"closed{number}").read_bytes() == content(5)
        (desk.directory / "f5").unlink()
    done = desk.tftp("get", f"{URL}/f5", f"{URL}/nosuch", "-o", "-", wrap=close(2))
    assert (done.returncode, done.stdout) == (1, content(5))


@pytest.mark.parametrize(
    ("line", "closed", "sentence"),
    [
        (f"get {URL}/f5 -o -", 1, "cannot keep f5 as -: Bad file descriptor"),
        ("-c status", 1, "cannot use standard input or output: Bad file descriptor"),
        (f"put - {URL}/nothing", 0, "- cannot be read: Bad file descriptor"),
        (SERVER, 0, "cannot use standard input or output: Bad file descriptor"),
    ],
)
def test_a_stream_that_is_needed(line: str, closed: int, sentence: str, desk: Desk, served: Path) -> None:
    """A closed one is no end of a file."""
    done = desk.tftp(*line.split(), wrap=close(closed))
    assert (done.returncode, done.stdout, done.stderr.decode()) == (1, b"", f"tftp: {sentence}\n")
    assert not (served / "nothing").exists()


def test_no_room_to_put_by_what_comes_from_a_pipe(desk: Desk, served: Path) -> None:
    """It is the room here that lacks: what to change is said."""
    wrap = (*mounted(desk.directory, "size=64k"), "env", f"TMPDIR={desk.directory}")
    done = desk.tftp("put", "-", f"{URL}/piped", stdin=bytes(100_000), wrap=wrap)
    sentence = "cannot store what comes from standard input: No space left on device: set TMPDIR"
    assert (done.returncode, done.stderr.decode()) == (1, f"tftp: {sentence}\n")
    assert not (served / "piped").exists()


def test_nothing_is_left_open(desk: Desk) -> None:
    """Python's development mode, which reports each descriptor that is forgotten, has nothing to say."""
    strict = ("env", "PYTHONDEVMODE=1", "PYTHONWARNINGS=error")
    for line in (f"get {URL}/f5", f"get {URL}/nosuch -o a", f"put f5 {URL}/f6", f"probe {SERVER} f5"):
        done = desk.tftp(*line.split(), wrap=strict)
        assert b"Warning" not in done.stderr
        assert done.returncode == ("nosuch" in line)
