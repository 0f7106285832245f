"""The soak of `make soak`, a few rounds of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.soak import MACHINES, WARM, Count, faults, soak


@pytest.mark.timeout(280)
def test_nothing_grows(tmp_path: Path) -> None:
    """Descriptors, memory and leases are level from round to round."""
    counts = soak(0, tmp_path)
    assert counts[-1].leases > MACHINES // 2
    assert faults(counts) == []


@pytest.mark.parametrize("grown", [Count([5], [9], 1), Count([4], [9_000_000], 1), Count([4], [9], 999)])
def test_what_grows_is_named(grown: Count) -> None:
    level = Count([4], [9], 1)
    assert faults([level] * WARM) == []
    assert len(faults([level] * WARM + [grown])) == 1
