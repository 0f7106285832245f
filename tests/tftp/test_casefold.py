"""Listings for names that differ only in case: kept while the directory is unchanged, within bounds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd.tftp import casefold
from ptftpd.tftp.casefold import MAX_DIRECTORIES, SECOND, SETTLED, Listings


class Counted:
    """A directory, and how often one was read."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It came to be an hour ago, by the clock that the listings have."""
        self.later = 3_600_000_000_000
        self.path, self.reads, self.now = path, 0, SECOND
        self.listings = Listings(lambda: time.time_ns() + self.later, lambda: self.now)
        self.fd = os.open(path, os.O_PATH)
        real = os.scandir

        def scandir(fd: int) -> Iterator[os.DirEntry[str]]:
            self.reads += 1
            return real(fd)

        monkeypatch.setattr(casefold.os, "scandir", scandir)

    def find(self, name: str) -> list[str]:
        """Return the names like one that are there."""
        found = self.listings.matches(self.fd, name)
        return [name for name in found if os.path.lexists(self.path / name)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    made = Counted(tmp_path, monkeypatch)
    yield made
    os.close(made.fd)


def test_a_directory_is_read_once(site: Counted) -> None:
    (site.path / "Name").touch()
    for _ in range(5):
        assert site.find("NAME") == ["Name"]
        assert site.find("absent") == []
    assert site.reads == 1


def test_until_it_changes(site: Counted) -> None:
    assert site.find("NAME") == []
    time.sleep(0.02)  # a tick of the kernel's: else the directory keeps its time, as settled ones do not
    (site.path / "Name").touch()
    assert site.find("NAME") == []
    assert site.find("Name") == ["Name"], "what is new is found by its exact name"
    assert site.reads == 1, "within a second"
    site.now += SECOND
    assert site.find("NAME") == ["Name"]
    assert site.reads == 2


def test_a_directory_that_changes_all_the_time(site: Counted) -> None:
    """It is listed once a second, however many misspelt names are asked for."""
    for step in range(100):
        (site.path / f"Upload{step}").touch()
        site.find(f"absent{step}")
        site.now += SECOND // 20
    assert site.reads == 5


def test_entries_listed_in_a_second_are_bounded(site: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many directories; then the next second has room."""
    monkeypatch.setattr(casefold, "MAX_LISTED", 100)
    monkeypatch.setattr(casefold, "MAX_DIRECTORY", 50)
    for number in range(30):
        (site.path / f"d{number}").mkdir()
        for entry in range(10):
            (site.path / f"d{number}/f{entry}").touch()
    found = [site.find(f"d{number}/F3") for number in range(30)]
    assert sum(map(bool, found)) == 7, "30 entries of the root, 7 times 10"
    site.now += SECOND
    assert site.find("d29/F3") == ["d29/f3"]


def test_what_was_asked_for_last_is_kept(site: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casefold, "MAX_ENTRIES", 7 * 64)
    for number in range(30):
        (site.path / f"d{number}").mkdir()
    for number in range(20):
        site.find(f"d{number}/x")
        site.find("d0/x")
    assert site.reads == 21


def test_not_kept_before_it_is_settled(site: Counted) -> None:
    """Another change within the same tick would bear the same time."""
    site.later = SETTLED // 2
    for _ in range(3):
        site.find("name")
        site.now += SECOND
    assert site.reads == 3


def test_what_is_kept_is_bounded(site: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casefold, "MAX_ENTRIES", 100)
    for number in range(30):
        (site.path / f"d{number}").mkdir()
        for entry in range(10):
            (site.path / f"d{number}/f{entry}").touch()
    for _ in range(2):
        for number in range(30):
            assert site.find(f"d{number}/F3") == [f"d{number}/f3"]
    assert site.listings._entries <= 100
    assert sum(len(table) for _, _, table in site.listings._tables.values()) == site.listings._entries


def test_a_directory_that_is_too_large(site: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not looked into, and not read again for the next name."""
    monkeypatch.setattr(casefold, "MAX_DIRECTORY", 100)
    for number in range(101):
        (site.path / f"f{number}").touch()
    assert site.find("F1") == site.find("F2") == []
    assert site.reads == 1


def test_the_ways_are_bounded(site: Counted) -> None:
    """a/a/a/..., each of them there in both cases, has 2^n spellings: so many are looked into, no more."""
    level = [site.path]
    for _ in range(6):
        level = [each / name for each in level for name in "aA"]
        for each in level:
            each.mkdir()
    assert site.find("/".join("a" * 6) + "/x") == []
    assert site.reads <= MAX_DIRECTORIES
