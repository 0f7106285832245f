"""The supervisor of several processes: what it tells systemd and how it ends; see supervised.py."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.base.running import PATIENCE
from tests.lab import CHECKOUT, wait_until

Start = Callable[..., "Supervised"]


class Supervised:
    """A running supervised.py."""

    def __init__(self, directory: Path, *deeds: str) -> None:
        """One worker a deed."""
        self._output = directory / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                ["/usr/bin/python3", "-m", "tests.base.supervised", *deeds],
                cwd=CHECKOUT, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def text(self) -> str:
        """Return what was printed."""
        return self._output.read_text()

    def wait_for(self, pattern: str) -> None:
        """Return once a line fits a pattern."""
        wait_until(lambda: re.search(pattern, self.text(), re.M), PATIENCE, f"{pattern!r} in {self.text()!r}")

    def kill(self) -> None:
        """End all of it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a supervisor, which the test's end kills."""
    started = []

    def start(*deeds: str) -> Supervised:
        started.append(Supervised(tmp_path, *deeds))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def test_ready_when_all_are(start: Start) -> None:
    it = start("quick", "late")
    it.wait_for("READY=1")
    ready = [line for line in it.text().splitlines() if "READY=1" in line]
    assert len(ready) == 1
    assert ready[0].endswith("STATUS=worker 1: quick is ready; worker 2: late is ready")


def test_reload_is_over_when_all_have_reloaded(start: Start) -> None:
    it = start("a", "b")
    it.wait_for("READY=1")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("READY=1.*a heard of SIGHUP; worker 2: b heard of SIGHUP")
    assert re.findall(r"RELOADING=1 \| MONOTONIC_USEC=[0-9]+$|READY=1", it.text(), re.M)[1].startswith(
        "RELOADING"
    )
    assert it.text().count("READY=1") == 2


def test_the_watchdog_is_told_of_all_together(start: Start) -> None:
    """WATCHDOG=1 says that every worker reported since the one before."""
    it = start("a", "b")
    it.wait_for("READY=1")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("READY=1.*b heard of SIGHUP")
    assert it.text().count("WATCHDOG=1") == 2


def test_a_signal_is_not_lost_on_a_worker_that_begins(start: Start) -> None:
    """Stopped at once after the start, all the same it ends."""
    it = start("late", "late")
    it.wait_for("STATUS=.*worker 2: late$")
    it.process.send_signal(signal.SIGTERM)
    assert it.process.wait(PATIENCE) == 0
    assert "STOPPING=1" in it.text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(start: Start, number: int) -> None:
    it = start("a", "b")
    it.wait_for("READY=1")
    it.process.send_signal(number)
    assert it.process.wait(PATIENCE) == 0
    assert "died" not in it.text()


def test_a_bug_leaves_its_trace(start: Start) -> None:
    """And the program ends, as without workers."""
    it = start("a", "raise")
    assert it.process.wait(PATIENCE) == 1
    assert "ZeroDivisionError: what no one foresaw" in it.text()
    assert "died" not in it.text()


def test_a_machine_that_is_out_of_processes(start: Start) -> None:
    """A worker that died is forked anew as soon as that can be; the others serve on meanwhile."""
    it = start("a", "crash")
    it.wait_for("warning: worker 2 died .-9. with its transfers: starting it again")
    it.wait_for("error: worker 2 cannot be started now: Resource temporarily unavailable")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("^WATCHDOG=1 . STATUS=worker 1: a heard of SIGHUP$")  # or systemd would end them
    it.wait_for("READY=1.*worker 1: a heard of SIGHUP; worker 2: crash is ready")
    it.process.send_signal(signal.SIGTERM)
    assert it.process.wait(PATIENCE) == 0


def test_the_exit_code_of_a_worker_that_gave_up(start: Start) -> None:
    it = start("a", "exit=78")
    assert it.process.wait(PATIENCE) == 78
    assert "READY=1" not in it.text()


def test_many(start: Start) -> None:
    it = start(*["x"] * 12)
    it.wait_for("READY=1.*worker 12: x is ready")
    it.process.send_signal(signal.SIGTERM)
    assert it.process.wait(PATIENCE) == 0
