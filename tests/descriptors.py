"""The descriptors that the process of the tests has open."""

from __future__ import annotations

import gc
import os
import threading

MOMENT = 0.2  # seconds in which a thread of a server that was closed ends


def open_descriptors() -> list[str]:
    """Return them, without those that an earlier test left for a thread or the garbage collector to close."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(MOMENT)
    gc.collect()
    return os.listdir("/proc/self/fd")
