"""Editing, history and completion at the tftp prompt, by readline."""

from __future__ import annotations

import contextlib
import os
import re
import readline
from collections.abc import Iterator

from ptftpd.client import commands
from ptftpd.errors import Error

HISTORY = 1000  # lines kept
LOCAL_FROM = {"put": 1, "get": 2}  # the word from which on a command takes files of this machine

_WHOLE_WORDS = re.compile(r"""(?:\s|"[^"]*"\s|'[^']*'\s|[^\s"']\S*\s)*""")  # as commands.split() has them


@contextlib.contextmanager
def line_editor() -> Iterator[None]:
    """Let input() edit lines, remember them between runs, and complete words with the tabulator."""
    path = os.path.join(
        os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "ptftp", "history"
    )
    with contextlib.suppress(OSError):  # none yet, or none of ours: a prompt without a past is fine
        readline.read_history_file(path)
    known = readline.get_current_history_length()
    readline.set_history_length(HISTORY)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(_complete)
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
            # Added, not written anew: there may be another prompt, whose lines are wanted too.
            readline.append_history_file(readline.get_current_history_length() - known, path)


def _complete(text: str, state: int) -> str | None:
    """Return the state-th completion of the word at the cursor, as readline asks for them."""
    found = completions(readline.get_line_buffer()[: readline.get_endidx()], text)
    return found[state] if state < len(found) else None


def completions(line: str, text: str) -> list[str]:
    """Return what may stand for text, which is what of the line stands behind its last blank.

    A name in quotes may have begun before that blank: of it only the rest is returned.
    """
    match = _WHOLE_WORDS.match(line)
    assert match
    word = line[match.end() :]
    return [found[len(word) - len(text) :] for found in candidates(commands.split(match[0]), word)]


def candidates(words: list[str], text: str) -> list[str]:
    """Return the completions of text behind words: commands, values of options, or local files."""
    if not words or words[0] in ("help", "?"):
        names = sorted([*commands.NAMED, *commands.ALIASES])
        return [f"{name} " for name in names if name.startswith(text.lower()) and len(words) < 2]
    try:
        command = commands.find(words[0])
    except Error:
        return []
    position = len([word for word in words if word != "-f"])
    if position >= LOCAL_FROM.get(command.name, 1000):
        return _files(text)
    return [f"{value} " for value in command.values if value.startswith(text)] if position == 1 else []


def _files(text: str) -> list[str]:
    """Return the local files and directories whose path starts with text, in quotes where they need them."""
    quote = text[0] if text[:1] in ("'", '"') else ""
    head, tail = os.path.split(text[len(quote) :])
    try:
        names = sorted(os.listdir(os.path.expanduser(head) or "."))
    except OSError:
        return []
    found = []
    for name in names:
        if name.startswith(tail) and (tail or not name.startswith(".")):
            path = os.path.join(head, name)
            around = quote or ('"' if " " in path else "")
            rest = "/" if os.path.isdir(path) else f"{around} "  # a directory is not the end of the word
            found.append(f"{around}{path}{rest}")
    return found
