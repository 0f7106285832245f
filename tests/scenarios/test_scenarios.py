"""Every scenario of this directory; each names the clause it is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.runner import Player, load

SCENARIOS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    """The machine does in each line what the line says, and nothing else."""
    scenario = load(path)
    assert "RFC" in scenario.about, "the comment on top has to name the clause"
    assert scenario.steps
    Player(scenario).play()


def test_there_are_scenarios() -> None:
    """Should the files move, the test above would run none."""
    assert len(SCENARIOS) > 50


def test_a_wrong_line_is_found(tmp_path: Path) -> None:
    """A scenario that is not what the machine does fails: the runner compares."""
    path = tmp_path / "wrong.txt"
    path.write_text("# RFC 1350\nsender size=600\n0.0 start -> DATA 1\n0.1 ACK 1 -> DATA 1\n")
    with pytest.raises(AssertionError, match="line 4"):
        Player(load(path)).play()


def test_a_missed_timeout_is_found(tmp_path: Path) -> None:
    """A scenario cannot pass over a timeout."""
    path = tmp_path / "missed.txt"
    path.write_text("# RFC 1350\nsender size=600\n0.0 start -> DATA 1\n9.0 ACK 1 -> DATA 2\n")
    with pytest.raises(AssertionError, match="overlooked"):
        Player(load(path)).play()


def test_a_line_that_is_none(tmp_path: Path) -> None:
    """What is not understood is not passed over."""
    path = tmp_path / "odd.txt"
    path.write_text("# RFC 1350\nsender size=600\n0.0 start DATA 1\n")
    with pytest.raises(ValueError, match=r"odd.txt:3"):
        load(path)
