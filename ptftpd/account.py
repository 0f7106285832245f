"""The user that this process runs as, for sentences about what that user may not do."""

from __future__ import annotations

import os
import pwd


def name() -> str:
    """Return the name of the user, its number where it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
