"""What the client tells people: one clear sentence, with what to do."""

from __future__ import annotations

import contextlib
import json
import re
import sys

import pytest

from ptftpd.client import progress
from ptftpd.client.display import Display
from ptftpd.client.job import Result
from ptftpd.client.probe import Answer, Rate, Report
from ptftpd.client.probe_table import facts, table
from ptftpd.client.reasons import explain
from ptftpd.tftp import wire
from ptftpd.tftp.options import Terms
from ptftpd.tftp.outcome import OK, Failure

GOOD = Result(outcome=OK, octets=2_000_000, seconds=0.5, terms=Terms(1468, 64), resent=3)


THERE = [
    (Failure(wire.NOT_FOUND, "no", from_peer=True), False, "the server says 'no': check the name; "),
    (Failure(wire.NOT_FOUND, "", from_peer=True), True, "file not found: many servers accept only files "),
    (Failure(wire.EXISTS, "x", from_peer=True), True, "the server says 'x': the server replaces no files; "),
    (
        Failure(wire.ACCESS, "Access violation", from_peer=True),
        False,
        "the server says 'Access violation': many ",
    ),
    (Failure(wire.ACCESS, "", from_peer=True), True, "access violation: the server does not let its clients"),
    (Failure(wire.UNDEFINED, "", from_peer=True), False, "no reason given"),
    (Failure(42, "", from_peer=True), False, "error 42"),
]
HERE = [
    (
        Failure(wire.DISK_FULL, "the disk is full"),
        "the disk is full: free some space or name a file elsewhere",
    ),
    (
        Failure(wire.ACCESS, "what the server would say"),
        "you may not write there: name a file elsewhere, or ",
    ),
    (Failure(wire.UNDEFINED, "Input/output error"), "Input/output error"),
]


@pytest.mark.parametrize(("failure", "writing", "sentence"), THERE)
def test_what_a_server_says(failure: Failure, sentence: str, *, writing: bool) -> None:
    assert explain(failure, Result(answered=True), writing=writing, local=False).startswith(sentence)


@pytest.mark.parametrize(("failure", "sentence"), HERE)
def test_what_fails_here(failure: Failure, sentence: str) -> None:
    assert explain(failure, Result(answered=True), writing=False, local=True).startswith(sentence)


def test_a_server_that_explains_itself() -> None:
    """No hint of ours beside its own."""
    failure = Failure(wire.ACCESS, "it is a directory", from_peer=True)
    said = explain(failure, Result(answered=True), writing=False, local=False)
    assert said == "the server says 'it is a directory'"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("/home/me/fw.bin", "it may have no directory /home/me; put FILE fw.bin names none"),
        ("new/fw.bin", "it may have no directory new; put FILE fw.bin names none"),
        ("fw.bin", "many servers accept only files that exist already; have it created there first"),
        ("/fw.bin", "many servers accept only files that exist already; have it created there first"),
    ],
)
def test_a_directory_that_is_not_there(name: str, hint: str) -> None:
    """put /home/me/fw.bin names one without meaning it."""
    failure = Failure(wire.NOT_FOUND, "no such file", from_peer=True)
    said = explain(failure, Result(answered=True), writing=True, local=False, name=name)
    assert said == f"the server says 'no such file': {hint}"


def test_silence() -> None:
    said = explain(Failure(0, "there is no answer"), Result(misread=True), writing=False, local=False)
    assert said.startswith("there is no answer: is a TFTP server running there, and does a firewall let")


def test_a_break() -> None:
    said = explain(Failure(0, "gone"), Result(answered=True, octets=5000), writing=False, local=False)
    assert said == "gone: it broke off after 5 kB; try again, with more retries to wait longer"


def test_a_summary_is_for_terminals_and_the_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    Display("tftp").summary("got a from b", GOOD)
    assert capsys.readouterr() == ("", "")
    Display("tftp", verbose=True).summary("got a from b", GOOD)
    line = "got a from b: 2.0 MB in 0.5 s (4.0 MB/s), blksize 1468, windowsize 64, 3 resent\n"
    assert capsys.readouterr() == ("", line)


def test_a_server_cannot_write_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Display("tftp").error("the server says \x1b[2J")
    assert capsys.readouterr().err == "tftp: the server says \\x1b[2J\n"


def test_no_bar_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """python3-tqdm is recommended, not needed."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(progress, "BAR_AFTER", 0)
    bar = progress.Progress("a")
    bar.update(1, 2)
    bar.clear()
    bar.close()


def test_the_first_look_of_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came before there was a bar is on it, and is no sudden burst."""
    monkeypatch.setattr(progress, "BAR_AFTER", 0)
    bar = progress.Progress("a")
    bar.update(1_000_000, 2_000_000)
    bar.close()
    shown = capsys.readouterr().err
    assert shown.startswith("\ra:  50%|")
    assert "1.00M/2.00M [00:00<?, ?B/s]" in shown


def test_a_bar_that_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """That nothing came for a while is said as long as it is so."""
    now = 0.0
    monkeypatch.setattr(progress, "BAR_AFTER", 0)
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    bar = progress.Progress("a")
    bar.update(1, 10)
    now = 3.0
    bar.update(1, 10)
    assert "nothing for 3 s" in capsys.readouterr().err
    bar.update(2, 10)
    bar._bar.refresh()
    assert "nothing" not in capsys.readouterr().err
    bar.close()


def test_a_line_beside_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The bar makes room for it, and is gone at the end, however that comes."""
    monkeypatch.setattr(progress, "BAR_AFTER", 0)
    display = Display("tftp", verbose=True)
    display.terminal = True
    with contextlib.suppress(KeyboardInterrupt), display.transfer("a", 10):
        display.progress(5, 10)
        display.note("a remark")
        assert re.search(r"\r +\ra remark\n$", capsys.readouterr().err)
        display.progress(10, 10)
        raise KeyboardInterrupt
    assert capsys.readouterr().err.endswith("\r")
    display.note("another")
    assert capsys.readouterr().err == "another\n"


REPORT = Report(
    round_trip=0.001,
    carried=1468,
    answers=[Answer("blksize", "65464", "8192"), Answer("tsize", "0", ""), Answer("timeout", "1", "", "no")],
    rates=[
        Rate(512, 1, 1_000_000, 0.5),
        Rate(1468, 4, 80_000_000, 1.0, resent=3),
        Rate(1468, 64, 40_000_000, 1.0),
        Rate(8192, 4, 0, 1.0, "block 1 did not come"),
    ],
)


def test_the_table_of_a_probe() -> None:
    """Each rate, what was lost on the way, and the sizes to take: the fastest were tried together."""
    assert table(REPORT) == [
        "option         asked  answer",
        "blksize        65464  8192",
        "tsize              0  left out",
        "timeout            1  refused: no",
        "",
        " blksize  windowsize          rate",
        "     512           1      2.0 MB/s",
        "    1468           4       80 MB/s  3 resent",
        "    1468          64       40 MB/s",
        "    8192           4         0 B/s  block 1 did not come",
        "",
        "fastest: blksize 1468, windowsize 4",
        "largest that work: blksize 1468, windowsize 64",
    ]


def test_the_facts_of_a_probe() -> None:
    found = json.loads(json.dumps(facts(REPORT)))
    assert found["options"] == {"blksize": "8192", "tsize": None, "timeout": None}
    assert found["fastest"] == {"blksize": 1468, "windowsize": 4}
    assert found["largest"] == {"blksize": 1468, "windowsize": 64}
    assert [rate["rate"] for rate in found["rates"]] == [2_000_000, 80_000_000, 40_000_000, 0]
    assert [rate["resent"] for rate in found["rates"]] == [0, 3, 0, 0]
