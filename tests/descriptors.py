"""The descriptors that the process of the tests has open."""

from __future__ import annotations

import gc
import os


def open_descriptors() -> list[str]:
    """Return them, without those that an earlier test left for the garbage collector to close."""
    gc.collect()
    return os.listdir("/proc/self/fd")
