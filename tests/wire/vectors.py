"""The vectors of tests/vectors: a JSON file a subject, each vector with a name and the clause it is from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent / "vectors"


def load(path: str) -> list[Any]:
    """Return the vectors of a file as pytest parameters, named after the vectors."""
    vectors = json.loads((ROOT / path).read_text(encoding="utf-8"))
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def octets(vector: dict[str, Any]) -> bytes:
    """Return the datagram of a vector, written in hexadecimal with a space between its fields."""
    return bytes.fromhex(vector["hex"])
