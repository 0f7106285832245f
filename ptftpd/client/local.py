"""The user's own files: where a client puts what it gets, and what it sends.

What is got has its name only when it is whole: until then the name keeps what it stood for.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ptftpd.client import place
from ptftpd.errors import Error, FileError, TransferError
from ptftpd.log import amount
from ptftpd.tftp import wire
from ptftpd.tftp.codes import transfer_error
from ptftpd.tftp.files import Source, failure
from ptftpd.tftp.outcome import INF
from ptftpd.tftp.uploads import LOOK, Policy, Upload

if TYPE_CHECKING:
    from hashlib import _Hash

STANDARD = "-"  # standard input or output
NO_LIMIT = 1 << 63
RESERVE = 64 << 20  # octets of a disk that are left free where the server sends without end
CHUNK = 1 << 16  # octets worth a system call
_CONTROL = re.compile(
    rb"[\0-\x08\x0b\x0e-\x1f\x7f]|\xc2[\x80-\x9f]"
)  # but tab and line and page ends; C1 in UTF-8
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
    """A regular file, written aside and renamed.

    Its size is bounded by the disk: what is announced must find room before anything is got, and what comes
    beyond that, or unannounced, leaves RESERVE octets free.
    """

    def __init__(self, path: str, sha256: str = "", *, force: bool = False) -> None:
        """force: it may take the place of another. Error when it has no chance to be kept."""
        super().__init__(path, sha256)
        self._force = force
        self._upload: Upload | None = None
        self._announced = 0
        self._look_at = LOOK  # the size at which the free space is looked at next
        self._place = place.find(path, force=force)

    def close(self) -> None:
        """Release it; what was not finished is gone."""
        self._drop()
        self._place.close()

    def _drop(self) -> None:
        if self._upload:
            self._upload.close()
            self._upload = None

    def _open(self, announced: int | None) -> None:
        self._drop()
        self._announced = announced or 0
        self._look_at = self._announced + LOOK
        free = self._free()
        if self._announced > free:
            raise TransferError(
                wire.DISK_FULL,
                f"{amount(self._announced)} are announced, and the disk has {amount(free)} free",
            )
        policy = Policy(
            "overwrite" if self._force else "create", NO_LIMIT, 0, self._place.umask,
            withheld=self._place.withheld,
        )  # fmt: skip
        try:
            directory = os.dup(self._place.directory)
        except OSError as error:
            raise failure(error) from None
        self._upload = Upload(directory, "", self._place.name, policy, None)

    def _keep(self, payload: memoryview) -> None:
        assert self._upload
        if self.size >= self._look_at:
            self._look_at = self.size + LOOK
            if (free := self._free()) < RESERVE:
                beyond = (
                    f"beyond the {self._announced} octets announced" if self._announced else "unannounced"
                )
                raise TransferError(
                    wire.DISK_FULL, f"{self.size} octets came, {beyond}, and the disk has {amount(free)} free"
                )
        self._upload.write(payload)

    def _free(self) -> float:
        """Return the octets of free space; some file systems, of FUSE for example, do not tell."""
        facts = os.fstatvfs(self._place.directory)
        return facts.f_bavail * facts.f_frsize if facts.f_blocks else INF

    def _commit(self) -> None:
        assert self._upload
        self._upload.finish()


class Stream(Target):
    """Standard output, a device, a pipe: written as it comes, for none of them can be renamed.

    A terminal gets text only: control sequences from a server could make it do, and type, anything.
    """

    def __init__(self, path: str, sha256: str = "", *, force: bool = False) -> None:
        """force: whatever comes may go to a terminal. Error when it cannot be opened."""
        super().__init__(path, sha256)
        try:
            # O_CREAT makes nothing, as it is there; by it the kernel knows that it is not to be somebody
            # else's FIFO in a directory that everybody may write (fs.protected_fifos).
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.dup(1) if path == STANDARD else os.open(path, flags, 0o600)
        except OSError as error:
            raise Error(f"{path} cannot be written: {error.strerror}") from None
        self._only_text = os.isatty(self._fd) and not force
        self._last = b""  # octet: a control character of UTF-8 may lie across two payloads

    def close(self) -> None:
        """Release it."""
        os.close(self._fd)

    def _open(self, announced: int | None) -> None:
        """Nothing to prepare."""

    def _keep(self, payload: memoryview) -> None:
        if self._only_text:
            octets = self._last + payload
            if _CONTROL.search(octets):
                raise TransferError(
                    wire.UNDEFINED, "it is not text, and this is a terminal: -f shows it anyway"
                )
            self._last = octets[-1:]
        try:
            _write(self._fd, payload)
        except OSError as error:
            raise failure(error) from None

    def _commit(self) -> None:
        """Nothing is held back."""


def target(path: str, sha256: str = "", *, force: bool = False) -> Target:
    """Return where to put what is got as path ('-': standard output); Error says why it cannot be."""
    if path == STANDARD:
        return Stream(path, sha256, force=force)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return Download(path, sha256, force=force)
    if stat.S_ISDIR(mode):
        raise Error(f"{path} is a directory: name a file in it")
    return Download(path, sha256, force=force) if stat.S_ISREG(mode) else Stream(path, sha256, force=force)


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
