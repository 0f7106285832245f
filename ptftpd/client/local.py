"""The user's own files: where a client puts what it gets, and what it sends.

What is got has its name only when it is whole: until then the name keeps what it stood for.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ptftpd.errors import Error, FileError, TransferError
from ptftpd.tftp import wire
from ptftpd.tftp.codes import transfer_error
from ptftpd.tftp.files import Source, failure
from ptftpd.tftp.uploads import Policy, Upload

if TYPE_CHECKING:
    from hashlib import _Hash

STANDARD = "-"  # standard input or output
NO_LIMIT = 1 << 63
CHUNK = 1 << 16  # octets worth a system call
BUFFER = 1 << 18  # octets that wait at most: more than a chunk and a window


class Target:
    """Where a file that is got goes. begin(), write(), idle()..., finish(), close(); finish() makes it last.

    write() only takes octets over. They are stored by idle(), when an ACK is out: the server sends the next
    window meanwhile.
    """

    def __init__(self, path: str, sha256: str = "") -> None:
        """path: as the user named it. sha256: what the contents must have, in hexadecimal; '': anything."""
        self.path = path
        self.size = 0  # octets written
        self.trouble: TransferError | None = None  # what this machine, not the server, could not do
        self._waiting = memoryview(bytearray(BUFFER))
        self._end = 0  # of what waits to be stored
        self._sha256 = sha256.lower()
        self._digest: _Hash | None = None

    def begin(self, announced: int | None) -> None:
        """Start, or start over, a file of the announced size in octets; TransferError without room."""
        self.size = self._end = 0
        if self._sha256:
            import hashlib

            self._digest = hashlib.sha256()
        with self._noting_trouble():
            self._open(announced)

    def write(self, payload: memoryview) -> None:
        """Take over the next octets, up to 64 KiB; TransferError when those before cannot be kept."""
        size = len(payload)
        if self._end + size > BUFFER:
            self._store()
        self._waiting[self._end : self._end + size] = payload
        self._end += size
        self.size += size

    def idle(self) -> None:
        """Store what waits, if it is worth it; TransferError when it cannot be kept."""
        if self._end >= CHUNK:
            self._store()

    def finish(self) -> None:
        """Give the file its name; TransferError when it is not what was wanted, or that fails."""
        self._store()
        with self._noting_trouble():
            if self._digest and self._digest.hexdigest() != self._sha256:
                raise TransferError(
                    wire.UNDEFINED, f"its SHA-256 is {self._digest.hexdigest()}, not the one given"
                )
            self._commit()

    def _store(self) -> None:
        payload, self._end = self._waiting[: self._end], 0
        if self._digest:
            self._digest.update(payload)
        with self._noting_trouble():
            self._keep(payload)

    @contextlib.contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        try:
            yield
        except FileError as error:
            self.trouble = transfer_error(error)
            raise self.trouble from None
        except TransferError as error:
            self.trouble = error
            raise

    def close(self) -> None:
        """Release it; what was not finished is gone, unless it went to a stream."""

    def _open(self, announced: int | None) -> None:
        raise NotImplementedError

    def _keep(self, payload: memoryview) -> None:
        raise NotImplementedError

    def _commit(self) -> None:
        raise NotImplementedError


class Download(Target):
    """A regular file, written aside and renamed."""

    def __init__(self, path: str, sha256: str = "", *, force: bool = False) -> None:
        """force: it may take the place of another. Error when it has no chance to be kept."""
        super().__init__(path, sha256)
        # A link stays one: what it leads to is replaced.
        self._directory, self._name = os.path.split(os.path.realpath(path))
        self._force = force
        self._upload: Upload | None = None
        if os.path.exists(path) and not force:
            raise Error(f"{path} exists already: use -f to replace it, or name another file")
        if not os.path.isdir(self._directory):
            raise Error(f"{path}: there is no directory {os.path.dirname(path)}: create it first")
        if not os.access(self._directory, os.W_OK | os.X_OK):
            where = os.path.dirname(path) or "the current directory"
            if os.statvfs(self._directory).f_flag & os.ST_RDONLY:
                raise Error(f"{path}: {where} is on a read-only file system: name a file elsewhere")
            raise Error(f"{path}: you may not write in {where}: name a file elsewhere, or change its mode")

    def close(self) -> None:
        """Release it; what was not finished is gone."""
        if self._upload:
            self._upload.close()
            self._upload = None

    def _open(self, announced: int | None) -> None:
        self.close()
        policy = Policy("overwrite" if self._force else "create", NO_LIMIT, 0, self._umask())
        try:
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise failure(error) from None
        self._upload = Upload(directory, self._directory, self._name, policy, announced)

    def _keep(self, payload: memoryview) -> None:
        assert self._upload
        self._upload.write(payload)

    def _commit(self) -> None:
        assert self._upload
        self._upload.finish()

    def _umask(self) -> int:
        """Return the permission bits to leave out: those the replaced file lacks, else the process's own."""
        try:
            return ~os.stat(os.path.join(self._directory, self._name)).st_mode & 0o777
        except OSError:
            mask = os.umask(0o077)
            os.umask(mask)
            return mask


class Stream(Target):
    """Standard output, a device, a pipe: written as it comes, for none of them can be renamed."""

    def __init__(self, path: str, sha256: str = "") -> None:
        """Error when it cannot be opened."""
        super().__init__(path, sha256)
        try:
            self._fd = os.dup(1) if path == STANDARD else os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Error(f"{path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Release it."""
        os.close(self._fd)

    def _open(self, announced: int | None) -> None:
        """Nothing to prepare."""

    def _keep(self, payload: memoryview) -> None:
        try:
            _write(self._fd, payload)
        except OSError as error:
            raise failure(error) from None

    def _commit(self) -> None:
        """Nothing is held back."""


def target(path: str, sha256: str = "", *, force: bool = False) -> Target:
    """Return where to put what is got as path ('-': standard output); Error says why it cannot be."""
    if path == STANDARD:
        return Stream(path, sha256)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return Download(path, sha256, force=force)
    if stat.S_ISDIR(mode):
        raise Error(f"{path} is a directory: name a file in it")
    return Download(path, sha256, force=force) if stat.S_ISREG(mode) else Stream(path, sha256)


def source(path: str) -> Source:
    """Return the file to send ('-': all of standard input); Error says why it cannot be read.

    What comes from a pipe is put by first: its size is announced, and parts of it may be sent twice.
    """
    try:
        if path == STANDARD:
            return _spooled(0, "standard input")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_size:  # files of /proc say that they are empty
            return Source(fd, status.st_size, path)
        try:
            if stat.S_ISDIR(status.st_mode):
                raise Error(f"{path} is a directory: name the files in it")
            return _spooled(fd, path)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise Error(f"{path}: there is no such file here: check the name") from None
    except PermissionError:
        raise Error(f"{path}: you may not read it: check its owner and mode") from None
    except OSError as error:
        raise Error(f"{path} cannot be read: {error.strerror}") from None


def _spooled(fd: int, name: str) -> Source:
    """Return all that comes from a descriptor as a file without a name; Error without room for it."""
    import tempfile  # takes longer to load than all the rest of the client

    with _room_for(name):
        spool, path = tempfile.mkstemp()
        os.unlink(path)
    try:
        while octets := os.read(fd, CHUNK):
            with _room_for(name):
                _write(spool, memoryview(octets))
    except BaseException:
        os.close(spool)
        raise
    return Source(spool, os.fstat(spool).st_size, name)


@contextlib.contextmanager
def _room_for(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Error(f"cannot store what comes from {name}: {error.strerror}: set TMPDIR") from None


def _write(fd: int, payload: memoryview) -> None:
    while payload:
        payload = payload[os.write(fd, payload) :]
