"""ptftp, also installed as tftp: the TFTP client, at a prompt or for one errand."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client; return its exit code: 0 done, 1 a transfer failed. Mistakes in argv exit with 2."""
    name = os.path.basename(sys.argv[0])
    _stand_in()
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that half a file is taken away, and the server told
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    # While the rest is loaded there is nothing to clean up: Ctrl-C ends it without a traceback.
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ptftpd.client import errand

    signal.signal(signal.SIGINT, interrupt)
    return errand.run(sys.argv[1:] if argv is None else argv, name if name in ("tftp", "ptftp") else "tftp")


def _stand_in() -> None:
    """Put a file in the place of each standard stream that is closed, or a socket gets its number.

    Standard input and output refuse every use, as closed ones do; what is said on standard error is gone.
    """
    for stream, flags, mode in (
        ("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"),
    ):  # fmt: skip
        if getattr(sys, stream) is None:  # then its number is the lowest that is free
            setattr(sys, stream, os.fdopen(os.open(os.devnull, flags), mode, closefd=False))


if __name__ == "__main__":
    sys.exit(main())
