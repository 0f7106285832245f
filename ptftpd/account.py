"""Users and groups by name, for sentences about what this process may not do."""

from __future__ import annotations

import grp
import os
import pwd


def name(uid: int | None = None) -> str:
    """Return the name of a user, by default of this process; its number where it has none."""
    uid = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group(gid: int) -> str:
    """Return the name of a group, its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
