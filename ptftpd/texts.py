"""Text that a peer has sent, before people see it."""

from __future__ import annotations

# Characters of a peer's text in a sentence. Some are 60,000 long; names of 200 can be told from each other.
TEXT = 200


def cut(text: str, most: int = TEXT) -> str:
    """Return the beginning of a text, ending with an ellipsis when that is not all of it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
