"""Types a line and Tab in an interactive shell and prints what is on the terminal then.

Run as a program inside the system under test: type_tab.py bash|zsh LINE
"""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time

PATIENCE = 20.0  # seconds
SHELLS = {
    "bash": ("bash", "--rcfile", "/usr/share/bash-completion/bash_completion", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
PREPARED = {  # what is typed first
    "bash": "bind 'set page-completions off'",
    "zsh": "autoload -Uz compinit; compinit -u -D",
}
PROMPT = "ready> "
TABS = {"bash": "\t\t", "zsh": "\t"}  # until what is possible is listed
KILL_LINE = "\x15"


class Terminal:
    """A shell, and what it has printed."""

    def __init__(self, shell: str) -> None:
        pid, self._fd = pty.fork()
        if pid == 0:
            os.environ |= {"TERM": "dumb", "COLUMNS": "200"}
            os.execvp(SHELLS[shell][0], SHELLS[shell])
        self._printed = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())

    def command(self, line: str) -> str:
        """Return what was printed until a command has run and there is a prompt again, and forget it."""
        self.type(f"{line}; PS1='{PROMPT}'; echo done-$((40 + 2))\r")
        end = time.monotonic() + PATIENCE
        while not re.search(f"done-42.*{PROMPT}", self._printed, re.DOTALL):
            if not select.select([self._fd], [], [], max(0.0, end - time.monotonic()))[0]:
                raise SystemExit(f"the shell does not answer; it printed {self._printed!r}")
            self._printed += os.read(self._fd, 65536).decode(errors="replace")
        printed, self._printed = self._printed, ""
        return printed


def main(shell: str, line: str) -> None:
    """Print what is on the terminal when Tab was pressed behind the line."""
    terminal = Terminal(shell)
    terminal.command(PREPARED[shell])
    terminal.type(line + TABS[shell] + KILL_LINE)
    print(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.command(":")))


if __name__ == "__main__":
    main(*sys.argv[1:])
