"""Where a file that is got has its name: a directory held open, and a name in it.

A path is opened as the user gave it, and only the kernel follows links: it refuses those that other users
have put into a directory that everybody may write (fs.protected_symlinks). No link is ever resolved here.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from ptftpd.errors import Error

OTHERS_WRITE = 0o022  # not inherited from the file of another user, who would have a say in ours


@dataclass
class Place:
    """directory: a descriptor, held until close(). name: in it. umask: the permission bits to leave out.

    withheld: those that are not taken over from the file that is replaced.
    """

    directory: int
    name: str
    umask: int
    withheld: int = 0

    def close(self) -> None:
        """Release the directory."""
        if self.directory >= 0:
            os.close(self.directory)
        self.directory = -1


def find(path: str, *, force: bool) -> Place:
    """Return the place of a path; Error when no file can be kept there.

    Without force nothing may have that name yet, not even a link. With it a regular file may be replaced, and
    one that a link leads to: the link stays one.
    """
    try:
        existing = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if os.path.islink(path):
            raise Error(f"{path} is {_bad_link(error)}: name another file") from None
        return Place(_directory(path, os.path.dirname(path)), os.path.basename(path), _umask())
    try:
        if not force:
            raise Error(f"{path} exists already: use -f to replace it, or name another file")
        return _place_of(path, existing)
    finally:
        os.close(existing)


def _bad_link(error: OSError) -> str:
    """Return what is wrong with a link that could not be followed."""
    if isinstance(error, FileNotFoundError):
        return "a link to a file that is not there"
    return f"a link that may not be followed ({error.strerror})"


def _place_of(path: str, existing: int) -> Place:
    """Return the place of the file that was opened by a path, to be replaced."""
    status = os.fstat(existing)
    if not stat.S_ISREG(status.st_mode):
        raise Error(f"{path} is no regular file: name another file")
    real = os.readlink(f"/proc/self/fd/{existing}") if os.path.islink(path) else path
    name = os.path.basename(real)
    directory = _directory(path, os.path.dirname(real))
    try:
        # Whoever moves links and directories about meanwhile changes which file this is, and is found out.
        same = os.path.samestat(status, os.stat(name, dir_fd=directory, follow_symlinks=False))
    except OSError:
        same = False
    if not same:
        os.close(directory)
        raise Error(f"{path} became another file just now: try again")
    withheld = 0 if status.st_uid == os.geteuid() else OTHERS_WRITE
    return Place(directory, name, ~status.st_mode & 0o777 | withheld, withheld)


def _directory(path: str, directory: str) -> int:
    """Return a directory to write in, open; Error, with the path that it is for, when one may not."""
    try:
        fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise Error(f"{path}: there is no directory {directory}: create it first") from None
    except OSError as error:
        raise Error(f"{path}: cannot use {directory or 'the current directory'}: {error.strerror}") from None
    if os.access(f"/proc/self/fd/{fd}", os.W_OK | os.X_OK):
        return fd
    where = directory or "the current directory"
    fixed = os.fstatvfs(fd).f_flag & os.ST_RDONLY
    os.close(fd)
    if fixed:
        raise Error(f"{path}: {where} is on a read-only file system: name a file elsewhere")
    raise Error(f"{path}: you may not write in {where}: name a file elsewhere, or change its mode")


def _umask() -> int:
    """Return the process's own umask."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
