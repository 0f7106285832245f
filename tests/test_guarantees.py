"""doc/guarantees.md: every test that it names exists, and every test of a fault is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "doc/guarantees.md").read_text())
OF_THE_TESTS = {
    "test_this_test",
    "test_this_test_of_leases",
    "test_this_test_of_uploads",
    "test_what_grows_is_named",
}


def functions(path: str) -> set[str]:
    """Return the names of the test functions of a file."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_the_test_exists(path: str, name: str) -> None:
    assert name in functions(path)


def test_every_fault_is_named() -> None:
    named = {name for _, name in NAMED}
    faults = (path.relative_to(ROOT) for path in (ROOT / "tests/faults").glob("test_*.py"))
    tests = {name for path in faults for name in functions(str(path)) if name.startswith("test_")}
    assert tests - named == OF_THE_TESTS
