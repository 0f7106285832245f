"""What every test with a virtual machine has."""

from __future__ import annotations

import secrets

import pytest

from tests.boot import machines


@pytest.fixture(scope="module", autouse=True)
def requirements() -> None:
    """Fail, rather than skip, where something is missing."""
    if faults := machines.missing():
        pytest.fail("\n".join(faults), pytrace=False)


@pytest.fixture
def token() -> str:
    """Return what only this test's guest can print."""
    return secrets.token_hex(8)
