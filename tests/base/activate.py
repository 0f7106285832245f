"""Start a program as systemd starts a service that has sockets: activate.py NAME:FD,NAME:FD... ARGV...

sd_listen_fds(3): the sockets are descriptors 3, 4, ..., LISTEN_FDNAMES their names, LISTEN_PID the process.
"""

from __future__ import annotations

import os
import sys

FIRST = 3


def main() -> None:
    """Become the program."""
    sockets = [pair.split(":") for pair in sys.argv[1].split(",")]
    copies = [os.dup(int(fd)) for _, fd in sockets]  # out of the way of each other's new numbers
    for number, copy in enumerate(copies, FIRST):
        os.dup2(copy, number, inheritable=True)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(sockets))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in sockets)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
