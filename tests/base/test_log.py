"""Records: what the journal and a terminal get, what a peer's octets can do to them, the drop counters."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd import log, sinks
from ptftpd.log import DEBUG, ERROR, INFO, WARNING, Log
from ptftpd.sinks import Sink
from ptftpd.texts import TEXT, cut
from tests.lab import CHECKOUT

Record = dict[str, Any]


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Return a list that fills with what is sent to the journal."""
    sent: list[Record] = []

    def write(octets: bytes) -> int:
        sent.append(dict(line.split("=", 1) for line in octets.decode().splitlines()))
        return len(octets)

    monkeypatch.setattr(sinks, "journal", lambda: Sink(write))
    return sent


class TestJournal:
    """Records with fields."""

    def test_fields(self, records: list[Record]) -> None:
        Log("ptftpd", journal=True).info("sent", "sent a to b", TFTP_FILE="a", TFTP_BYTES=7)
        assert records == [{
            "MESSAGE": "sent a to b", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "ptftpd",
            "MESSAGE_ID": log.MESSAGE_IDS["sent"], "TFTP_FILE": "a", "TFTP_BYTES": "7",
        }]  # fmt: skip

    def test_no_message_id_without_a_kind(self, records: list[Record]) -> None:
        Log("ptftpd", journal=True).error("", "no")
        assert records == [{"MESSAGE": "no", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "ptftpd"}]

    def test_what_a_peer_sent_stays_in_its_field(self, records: list[Record]) -> None:
        Log("ptftpd", journal=True).warning("refused", "a\nPRIORITY=0\x1b[2J", TFTP_FILE="a\nMESSAGE=b\udcff")
        assert records[0]["MESSAGE"] == r"a\x0aPRIORITY=0\x1b[2J"
        assert records[0]["TFTP_FILE"] == r"a\x0aMESSAGE=b\xff"

    @pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ECONNREFUSED, errno.ENOENT, errno.EAGAIN])
    def test_a_journal_that_fails_stops_nobody(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        def fail(octets: bytes) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(sinks, "journal", lambda: Sink(fail))
        kept = Log("ptftpd", journal=True)
        kept.info("", "hello")
        kept.drop("malformed", 1.0)
        assert kept.journal


class TestMessageIds:
    """What the journal catalog and alarms refer to."""

    def test_well_formed(self) -> None:
        """sd-id128(3): 128 bits, here as a version 4 UUID without dashes would be written."""
        for identity in log.MESSAGE_IDS.values():
            assert re.fullmatch("[0-9a-f]{32}", identity)

    def test_unique(self) -> None:
        assert len(set(log.MESSAGE_IDS.values())) == len(log.MESSAGE_IDS)

    def test_each_kind_that_is_used_has_one(self) -> None:
        """A kind is the first argument of info(), warning() or error(), or the second of record()."""
        used = set()
        for path in (CHECKOUT / "ptftpd").rglob("*.py"):
            used |= set(re.findall(r'\.(?:info|warning|error)\(\s*"([a-z-]+)"', path.read_text()))
        assert {"started", "stopped"} <= used
        assert used <= log.MESSAGE_IDS.keys()


class TestTerminal:
    """Readable lines on stderr."""

    def test_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        shown = Log("ptftpd")
        shown.info("sent", "one", TFTP_FILE="a")
        shown.warning("", "two")
        shown.error("", "three")
        shown.debug("four")
        assert capsys.readouterr().err == "ptftpd: one\nptftpd: warning: two\nptftpd: error: three\n"

    def test_fields_when_verbose(self, capsys: pytest.CaptureFixture[str]) -> None:
        Log("ptftpd", fields=True).info("sent", "one", TFTP_FILE="a\n", TFTP_BYTES=7)
        assert capsys.readouterr().err == "ptftpd: one TFTP_FILE=a\\x0a TFTP_BYTES=7\n"

    @pytest.mark.parametrize(("level", "kept"), [
        (DEBUG, ["d", "i", "w", "e"]), (INFO, ["i", "w", "e"]), (WARNING, ["w", "e"]), (ERROR, ["e"]),
    ])  # fmt: skip
    def test_levels(self, capsys: pytest.CaptureFixture[str], level: int, kept: list[str]) -> None:
        shown = Log("p", level)
        shown.debug("d")
        shown.info("", "i")
        shown.warning("", "w")
        shown.error("", "e")
        assert [line[-1] for line in capsys.readouterr().err.splitlines()] == kept

    def test_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A batch of records is one write, in order, also when an exception ends it."""

        class Counting(io.StringIO):
            writes = 0

            def write(self, text: str) -> int:
                self.writes += 1
                return super().write(text)

        stderr = Counting()
        monkeypatch.setattr(sys, "stderr", stderr)
        shown = Log("p")
        with contextlib.suppress(KeyError), shown.together():
            shown.info("", "one")
            shown.warning("", "two")
            raise KeyError
        assert (stderr.getvalue(), stderr.writes) == ("p: one\np: warning: two\n", 1)
        shown.info("", "three")
        assert stderr.writes == 2

    def test_nobody_reads_any_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A terminal that was closed does not end the program."""

        class Closed(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

        monkeypatch.setattr(sys, "stderr", Closed())
        shown = Log("ptftpd")
        with shown.together():
            shown.info("", "hello")
        shown.info("", "hello")
        assert not shown.journal

    def test_no_stderr_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Python has none when descriptor 2 was closed at the start."""
        monkeypatch.setattr(sys, "stderr", None)
        shown = Log("ptftpd")
        shown.error("", "hello")
        assert not shown.journal


class TestStream:
    """systemd.exec(5), JOURNAL_STREAM: whether stderr leads to the journal."""

    def choice(self, tmp_path: Path, stream: str) -> str:
        """Return whether a process whose stderr is a file, named by a JOURNAL_STREAM, uses the journal."""
        with (tmp_path / "stderr").open("wb") as file:
            status = os.fstat(file.fileno())
            named = stream.format(device=status.st_dev, inode=status.st_ino, other=status.st_ino + 1)
            return subprocess.run(
                [sys.executable, "-c", "from ptftpd.log import Log; print(Log('p').journal)"],
                env=os.environ | {"JOURNAL_STREAM": named},
                cwd=CHECKOUT,
                stdout=subprocess.PIPE,
                stderr=file,
                check=True,
                text=True,
            ).stdout.strip()

    def test_the_journal(self, tmp_path: Path) -> None:
        assert self.choice(tmp_path, "{device}:{inode}") == "True"

    @pytest.mark.parametrize(
        "stream", ["", "{device}:{other}", "{inode}:{device}", "{device}", ":", "x:y", "1:2:3"]
    )
    def test_elsewhere(self, tmp_path: Path, stream: str) -> None:
        """The variable is inherited: a stderr that was redirected since does not fit it."""
        assert self.choice(tmp_path, stream) == "False"

    def test_detached(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JOURNAL_STREAM", raising=False)
        assert Log("p", journal=True).journal
        assert not Log("p").journal


class TestSize:
    """Whatever a peer sends, a record is small, well formed, and keeps what comes first."""

    wide = st.text(st.characters(blacklist_categories=()), max_size=40).map(lambda text: text * 2000)

    @given(message=wide, values=st.lists(wide, max_size=12))
    @pytest.mark.parametrize("kept", [True, False])
    def test_any_record(self, message: str, values: list[str], *, kept: bool) -> None:
        """Text is cut first and escaped then: escapes make it up to ten times as long."""
        told = Log("ptftpd", fields=True, journal=kept)
        fields = {f"TFTP_FIELD_{number}": value for number, value in enumerate(values)}
        if not kept:
            line = told._line(WARNING, message, fields.items())
            assert len(line) <= log.LINE
            assert line.count(b"\n") == 1
            return
        entry = told._entry(WARNING, "sent", message, fields.items())
        assert len(entry) <= log.RECORD
        lines = entry.decode().splitlines()
        assert all(re.match("[A-Z][A-Z_0-9]*=", line) for line in lines)
        assert f"MESSAGE={log.printable(message)[:40]}" in entry.decode()

    def test_what_is_cut_says_so(self, records: list[Record]) -> None:
        Log("p", journal=True).info("sent", "m" * 5000, TFTP_FILE="f" * 5000, TFTP_PATH="/short")
        assert records[0]["MESSAGE"] == "m" * (log.MESSAGE - 1) + "…"
        assert records[0]["TFTP_FILE"] == "f" * (log.FIELD - 1) + "…"
        assert records[0]["TFTP_PATH"] == "/short"

    def test_a_file_name_is_kept_whole(self, records: list[Record]) -> None:
        """As long as Linux lets one be."""
        Log("p", journal=True).info("sent", "", TFTP_FILE="f" * 255)
        assert records[0]["TFTP_FILE"] == "f" * 255

    def test_the_example_of_a_drop(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It is kept until the report, so it is cut when it comes."""
        kept = Log("p")
        kept.drop("malformed", 1.0, "a")
        kept.drop("malformed", 2.0, "\x1b" * 60_000)
        assert len(kept._last_drop) == TEXT
        capsys.readouterr()
        kept.report(100.0)
        assert len(capsys.readouterr().err) < 5 * TEXT

    @given(text=st.text(), most=st.integers(1, 50))
    def test_cut(self, text: str, most: int) -> None:
        shown = cut(text, most)
        assert len(shown) <= most
        assert shown == text or (shown[-1] == "…" and text.startswith(shown[:-1]))


class TestPrintable:
    """No octet of a peer's forges a line or a terminal command."""

    @given(text=st.text(st.characters(blacklist_categories=())))
    def test_any_text(self, text: str) -> None:
        shown = log.printable(text)
        assert shown.isprintable()
        shown.encode()

    @given(octets=st.binary())
    def test_any_octets(self, octets: bytes) -> None:
        assert log.printable(octets.decode(errors="surrogateescape")).isprintable()

    @pytest.mark.parametrize(("text", "shown"), [
        ("pxelinux.0", "pxelinux.0"), ("größe ÷ ∞ 😀", "größe ÷ ∞ 😀"), ("a\tb\0\x7f", r"a\x09b\x00\x7f"),
        ("\x85\xa0", r"\x85\xa0"), ("\u2028\u202e", r"\u2028\u202e"), ("\udc80\udcff", r"\x80\xff"),
        ("\ud800", r"\ud800"), ("", ""),
    ])  # fmt: skip
    def test_escapes(self, text: str, shown: str) -> None:
        assert log.printable(text) == shown

    def test_two_characters_beyond_the_first_plane_stay_apart(self) -> None:
        """An escape is as long as Python's: what follows it is not taken for a part of it."""
        assert log.printable("\U000e00011") == r"\U000e00011"


class TestDrops:
    """What is not answered is counted and told now and then."""

    def lines(self, capsys: pytest.CaptureFixture[str]) -> list[str]:
        """Return what was reported since the last call."""
        return capsys.readouterr().err.splitlines()

    def test_once_a_minute(self, capsys: pytest.CaptureFixture[str]) -> None:
        counted = Log("p")
        counted.drop("malformed", 100.0, "192.0.2.1")
        assert self.lines(capsys) == ["p: not answered: 1 x malformed (last: 192.0.2.1)"]
        for tenth in range(1001, 1600):
            counted.drop("malformed", tenth / 10, "192.0.2.2")
            counted.drop("too fast", tenth / 10)
        assert self.lines(capsys) == []
        counted.drop("malformed", 160.0)
        assert self.lines(capsys) == ["p: not answered: 600 x malformed, 599 x too fast"]

    def test_the_last_ones_are_told_without_another(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A flood that ends within the minute is reported all the same."""
        counted = Log("p")
        for _ in range(5):
            counted.drop("malformed", 100.0)
        self.lines(capsys)
        counted.report(159.0)
        assert self.lines(capsys) == []
        counted.report(160.0)
        assert self.lines(capsys) == ["p: not answered: 4 x malformed"]
        counted.report(300.0)
        assert self.lines(capsys) == []

    def test_each_is_a_debug_record(self, capsys: pytest.CaptureFixture[str]) -> None:
        counted = Log("p", DEBUG)
        counted.drop("malformed", 100.0, "192.0.2.1: odd")
        counted.drop("malformed", 100.0)
        assert self.lines(capsys) == [
            "p: dropped: malformed 192.0.2.1: odd",
            "p: not answered: 1 x malformed (last: 192.0.2.1: odd)",
            "p: dropped: malformed",
        ]

    def test_bounded(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The table of reasons does not grow without end."""
        counted = Log("p")
        for number in range(10 * log.MAX_REASONS):
            counted.drop(f"reason {number}", 100.0)
        self.lines(capsys)
        counted.drop("one more", 200.0)
        assert self.lines(capsys)[0].count(" x ") <= log.MAX_REASONS

    def test_the_record_has_its_kind(self, records: list[Record]) -> None:
        Log("p", journal=True).drop("malformed", 1.0)
        assert records[0]["MESSAGE_ID"] == log.MESSAGE_IDS["dropped"]
