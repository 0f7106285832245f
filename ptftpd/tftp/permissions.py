"""What keeps the server from a file or a directory, said so that an administrator can mend it."""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from ptftpd import account

HIDDEN = ("/home", "/root", "/run/user")  # by ProtectHome=: systemd.exec(5)
EXAMPLES = "/usr/share/doc/ptftpd/examples"


def in_the_way(path: str) -> str:
    """Return the first part of a path that keeps this process from it, with its mode and owner."""
    part = "/"
    for name in [*path.strip("/").split("/"), ""]:
        try:
            status = os.stat(part)
            mode = os.X_OK if name else os.R_OK
            if name and not stat.S_ISDIR(status.st_mode):
                break
            if not os.access(part, mode, effective_ids=True):
                owner = f"{account.name(status.st_uid)}:{account.group(status.st_gid)}"
                return f"{part} has mode {stat.S_IMODE(status.st_mode):04o} and belongs to {owner}"
        except OSError:
            break
        part = posixpath.join(part, name)
    return ""


def unwritable(directory: int) -> str:
    """Return why no file can be made in an open directory, '' when it can."""
    if os.fstatvfs(directory).f_flag & os.ST_RDONLY:
        return f"is read-only; a service writes where ReadWritePaths= lets it: uploads.conf in {EXAMPLES}"
    if not os.access(f"/proc/self/fd/{directory}", os.W_OK | os.X_OK):
        return f"user {account.name()} may not write there: chown it"
    return ""


def remedy(root: str, error: OSError) -> str:
    """Return what is to be done about a root that cannot be opened."""
    real = os.path.realpath(root) + "/"
    hidden = next((top for top in HIDDEN if real.startswith(f"{top}/")), "")
    if hidden and os.path.isdir(hidden) and stat.S_IMODE(os.stat(hidden).st_mode) == 0:
        return f"systemd hides {hidden} from services; name another, or see home.conf in {EXAMPLES}"
    if error.errno == errno.EACCES:
        return f"let user {account.name()} enter it and those above"
    if error.errno != errno.ENOENT:
        return "name a directory"
    own = "INVOCATION_ID" in os.environ and real.startswith(("/tmp/", "/var/tmp/"))  # a service of systemd
    return "a service has a /tmp of its own: name another" if own else "create it or name another"
