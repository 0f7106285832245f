"""Start a program as systemd starts a service that has sockets: activate.py NAME:FD,NAME:FD... ARGV...

sd_listen_fds(3): the sockets are descriptors 3, 4, ..., LISTEN_FDNAMES their names, LISTEN_PID the process.
"""

from __future__ import annotations

import fcntl
import os
import sys

FIRST, OUT_OF_THE_WAY = 3, 100


def main() -> None:
    """Become the program."""
    sockets = [pair.split(":") for pair in sys.argv[1].split(",")]
    copies = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, OUT_OF_THE_WAY) for _, fd in sockets]
    for number, copy in enumerate(copies, FIRST):
        os.dup2(copy, number)
        os.close(copy)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(sockets))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in sockets)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
