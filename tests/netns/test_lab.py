"""A Lab connects what it is told to connect, and leaves nothing behind however its run ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import caretaker
from tests.lab import CHECKOUT, Lab, LabError, Namespace, wait_until, without_escapes

# A process that is hard to find: it has left its parent, session and process group, and is no longer root.
HIDING = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setuid(65534)
        print("hidden as", os.getpid(), flush=True)
    else:
        os._exit(0)
time.sleep(600)
"""

RUN = f"""
import pathlib, sys, time
from tests.lab import Lab
with Lab(pathlib.Path(sys.argv[1])) as lab:
    namespace = lab.namespace("run")
    namespace.tap()
    hiding = namespace.start(sys.executable, "-c", {HIDING!r})
    print(lab.prefix, hiding.wait_for("hidden as ([0-9]+)")[1], flush=True)
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def left(prefix: str) -> list[str]:
    """Return the names of a Lab's namespaces that exist."""
    return [path.name for path in caretaker.NETNS.glob(f"{prefix}*")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_of_a_run_ended_by_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    """Nobody needs to start another run: the caretaker has outlived the first."""
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        prefix, pid = run.stdout.readline().decode().split()
        assert left(prefix) == [f"{prefix}run"]
        run.send_signal(number)
    wait_until(lambda: not left(prefix) and not alive(int(pid)), 15, f"the removal of {prefix}*")


def test_a_run_removes_what_a_dead_one_has_left(tmp_path: Path) -> None:
    """As after kill -9 of the run and of its caretaker; a run that lives keeps what it has."""
    with subprocess.Popen(["true"]) as ended:
        pass
    abandoned = f"ptftpd-{ended.pid}-1-abandoned"
    subprocess.run(["ip", "netns", "add", abandoned], check=True)
    with Lab(tmp_path) as mine:
        mine.namespace("mine")
        assert not left(abandoned)
        with Lab(tmp_path):
            assert left(mine.prefix)


def test_nothing_is_left_after_an_exception(tmp_path: Path) -> None:
    """Processes are ended too, and what they printed stays."""

    pids = []

    def mishap(lab: Lab) -> None:
        with lab:
            hiding = lab.namespace("here").start(sys.executable, "-c", HIDING, name="hiding")
            pids.append(int(hiding.wait_for("hidden as ([0-9]+)")[1]))
            assert alive(pids[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        mishap(lab := Lab(tmp_path))
    assert not left(lab.prefix)
    assert not alive(pids[0])
    assert (tmp_path / "hiding.log").read_text().startswith("hidden as")


def test_waiting_ends_with_the_process(tmp_path: Path) -> None:
    """What is awaited cannot come any more, so the error comes at once and shows the output."""
    with Lab(tmp_path) as lab:
        process = lab.namespace("here").start("sh", "-c", "echo why it failed; exit 3")
        with pytest.raises(LabError, match=r"(?s)ended with status 3.*why it failed"):
            process.wait_for("never printed", timeout=60)
        with pytest.raises(LabError, match="ended with status 3"):
            process.wait_listening(69, timeout=60)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("P\r\x1b[25;02HXE booted\r\n", "PXE booted\n"),  # SeaBIOS, in the middle of a word
        ("1994-2\x1b[25;47H\x1b[25;48H015", "1994-2015"),
        ("\x1b[1;37;40mBooting\x1b[0m\r\n10 %\r20 %\r\n", "Booting\n10 %\n20 %\n"),
    ],
)
def test_words_are_whole_without_terminal_escapes(sent: str, read: str) -> None:
    """A firmware's console reads as the words that it printed, wherever it put the cursor in between."""
    assert without_escapes(sent) == read


def test_a_command_that_fails_raises(tmp_path: Path) -> None:
    """The error has its status and what it said."""
    with Lab(tmp_path) as lab:
        here = lab.namespace("here")
        with pytest.raises(LabError, match=r"(?s)exit status 4.*a reason"):
            here.run("sh", "-c", "echo a reason >&2; exit 4")
        assert here.run("sh", "-c", "exit 4", check=False).returncode == 4


def test_a_namespace_is_entered_by_one_thread_and_left_again(tmp_path: Path) -> None:
    """Also when the block raises; a socket stays where it was opened."""
    home = os.readlink("/proc/thread-self/ns/net")

    def mishap(here: Namespace) -> None:
        with here.entered():
            assert os.readlink("/proc/thread-self/ns/net") != home
            raise ZeroDivisionError

    with Lab(tmp_path) as lab:
        here = lab.namespace("here")
        with pytest.raises(ZeroDivisionError):
            mishap(here)
        assert os.readlink("/proc/thread-self/ns/net") == home
        assert not here.listening(69)
        with here.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("", 69))
            assert here.listening(69)
            assert not here.listening(69, "tcp")


def test_a_cable_carries_both_ways(tmp_path: Path) -> None:
    """From one namespace's address to the other's."""
    with Lab(tmp_path) as lab:
        one, other = lab.namespace("one"), lab.namespace("other")
        lab.cable(one, other)
        one.address("10.0.0.1/24")
        other.address("10.0.0.2/24")
        with udp_socket(one, "10.0.0.1") as here, udp_socket(other, "10.0.0.2") as there:
            for sender, receiver in ((here, there), (there, here)):
                sender.sendto(b"hello", receiver.getsockname())
                assert receiver.recvfrom(100) == (b"hello", sender.getsockname())


def udp_socket(namespace: Namespace, address: str) -> socket.socket:
    """Return a socket in a namespace, bound to a port of an address."""
    with namespace.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(5)
    return sock
