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


def children(pid: int) -> list[str]:
    """Return the process ids of a process's children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


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
    assert ready[0].endswith("STATUS=worker 1: quick is ready with 0; worker 2: late is ready with 0")


def test_reload_is_over_when_all_have_reloaded(start: Start) -> None:
    it = start("a", "b")
    it.wait_for("READY=1")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("READY=1.*a has 1; worker 2: b has 1")
    assert re.findall(r"RELOADING=1 \| MONOTONIC_USEC=[0-9]+$|READY=1", it.text(), re.M)[1].startswith(
        "RELOADING"
    )
    assert it.text().count("READY=1") == 2


def test_the_watchdog_is_told_of_all_together(start: Start) -> None:
    """WATCHDOG=1 says that every worker reported since the one before."""
    it = start("a", "b")
    it.wait_for("READY=1")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("READY=1.*b has 1")
    assert it.text().count("WATCHDOG=1") == 2


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("refuse", "not those"),
        ("fail", "worker 2 ended"),
        ("deaf", "worker 2 does not answer"),
    ],
)
def test_a_reload_that_one_worker_cannot_take_is_taken_by_none(start: Start, deed: str, told: str) -> None:
    """Prepared everywhere, also by the supervisor, before it is taken anywhere."""
    it = start("a", deed, "c")
    it.wait_for("READY=1")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for(f"^test: error: the configuration stays as it was: {told}$")
    it.wait_for("^READY=1 .*a is ready with 0.*c is ready with 0")
    assert "discarded" in it.text()
    assert "has 1" not in it.text()
    assert it.text().count("stays as it was") == 1


def test_a_reload_of_a_bad_file_bothers_no_worker(start: Start) -> None:
    """Each wrong line is a record; the reload after it is taken again."""
    it = start("a", "b")
    it.wait_for("READY=1")
    for number in (1, 2):
        it.process.send_signal(signal.SIGHUP)
        it.wait_for(f"READY=1.*a has {number}; worker 2: b has {number}")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("stays as it was: and that one$")
    assert it.text().count("stays as it was: ") == 2
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("READY=1.*a has 4; worker 2: b has 4")


def test_a_worker_that_is_replaced_begins_with_the_settings_in_force(start: Start) -> None:
    """Not with those of the start: two answers to one question depended on which worker took it."""
    it = start("a", "b")
    it.wait_for("READY=1")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("READY=1.*a has 1; worker 2: b has 1")
    first = min(int(pid) for pid in children(it.process.pid))
    os.kill(first, signal.SIGKILL)
    it.wait_for("worker 1: a is ready with 1")


def test_hangup_is_the_supervisors_to_take(start: Start) -> None:
    """Two of them, one right after the other, are two reloads, and the last settings hold."""
    it = start("a", "late")
    it.wait_for("READY=1")
    it.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "RELOADING" in it.text(), PATIENCE, "the first reload")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("READY=1.*a has 2; worker 2: late has 2")


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_waits_for_no_reload(start: Start, number: int) -> None:
    """One worker hung, so the others went on for the 20 s that it had to prepare the reload."""
    it = start("a", "deaf=600")
    it.wait_for("READY=1")
    it.process.send_signal(signal.SIGHUP)
    it.wait_for("RELOADING=1")
    it.process.send_signal(signal.SIGHUP)
    it.process.send_signal(number)
    assert it.process.wait(PATIENCE) == 0
    assert "discarded" in it.text()
    assert it.text().count("RELOADING=1") == 1


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
    it.wait_for("^WATCHDOG=1 . STATUS=worker 1: a has 1$")  # or systemd would end them
    it.wait_for("READY=1.*worker 1: a has 1; worker 2: crash is ready with 1")
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
