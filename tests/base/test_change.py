"""Several errors as one, and a reload of several parts: all of them take it, or none."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from ptftpd import config
from ptftpd.change import Change, together
from ptftpd.errors import ConfigError, Error, Faults, StateError
from tests.base.setting_texts import ALL, EVERYTHING, TEXTS, takes


def part(name: str, took: list[str], *, fails: bool = False) -> Change:
    """Return the change of a part, which tells what became of it."""
    if fails:
        raise Error(f"{name} cannot")
    return Change(lambda: took.append(name), lambda: took.append(f"not {name}"))


def test_all_parts_commit() -> None:
    took: list[str] = []
    change = together(lambda: part("a", took), lambda: part("b", took))
    assert took == []
    change.commit()
    assert took == ["a", "b"]


def test_all_parts_are_discarded() -> None:
    took: list[str] = []
    together(lambda: part("a", took), lambda: part("b", took)).discard()
    assert took == ["not a", "not b"]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_no_part_commits_when_one_cannot(which: int) -> None:
    """Whichever: those that were ready are discarded, and its own error is told."""
    took: list[str] = []
    names = ["a", "b", "c"]
    steps = [lambda name=name: part(name, took, fails=name == names[which]) for name in names]  # type: ignore[misc]
    with pytest.raises(Error, match=f"{names[which]} cannot"):
        together(*steps)
    assert took == [f"not {name}" for name in names[:which]]


def test_nothing_at_fault() -> None:
    Faults().check()


def test_a_single_error_stays_what_it_is() -> None:
    faults = Faults()
    error = StateError("the leases are damaged")
    with faults.noted():
        raise error
    with pytest.raises(StateError) as raised:
        faults.check()
    assert raised.value is error


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([Error("a"), Error("b")], Error),
        ([Error("a"), ConfigError("b")], ConfigError),
        ([ConfigError("a\nb"), Error("b")], ConfigError),
    ],
)
def test_several_errors_are_told_at_once(errors: list[Error], kind: type[Error]) -> None:
    """Each once, in their order; the exit code is that of one which another start does not mend."""
    faults = Faults()
    for error in errors:
        faults.note(error)
    with pytest.raises(Error) as raised:
        faults.check()
    assert str(raised.value) == "a\nb"
    assert type(raised.value) is kind


def test_settings_reach_the_workers_unchanged(tmp_path: Path) -> None:
    """They are sent to other processes: every kind of value is one that can be."""
    sections: dict[str, list[str]] = {}
    for section, key, item in ALL:
        text = next(text for text in reversed(TEXTS) if takes(item, text))
        sections.setdefault(section, []).append(f"{key} = {text}")
    lines = [line for name, keys in sections.items() for line in (f"[{name}]", *keys)]
    (tmp_path / "conf").write_text("\n".join(lines))
    loaded = config.load(EVERYTHING, ["-c", str(tmp_path / "conf")])
    assert pickle.loads(pickle.dumps(loaded)) == loaded
