"""Whole programs of which one thing is otherwise: what they find in a module of Python's own."""

from __future__ import annotations

from pathlib import Path


def patched(directory: Path, code: str) -> tuple[str, ...]:
    """Return the words before the command of a Python program that runs this code before its own.

    directory is made, to hold it.
    """
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(code)
    return "env", f"PYTHONPATH={directory}"
