"""Files being opened: at once where nothing can hang, else in a thread of the root that may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptftpd.errors import FileError
from ptftpd.log import Log
from ptftpd.loop import INF, Loop
from ptftpd.texts import cut
from ptftpd.tftp.files import Source
from ptftpd.tftp.mounts import ElsewhereError, permitted
from ptftpd.tftp.pools import Pools
from ptftpd.tftp.request import Peer, Request
from ptftpd.tftp.uploads import Upload

ANSWER_WITHIN = 3.0  # seconds: then the client is told "busy", though a thread still waits for the file
PER_CLIENT = 16  # files being opened for a client at once: those of others need threads, too

Opened = tuple[Source | Upload, tuple[str, ...]]
Done = Callable[[Opened | FileError], None]
Key = tuple[Peer, str, bytes]


class Openings:
    """The files that are being opened in threads; bounded by what the pools take."""

    def __init__(self, loop: Loop, pools: Pools, log: Log) -> None:
        """log: for what is wrong with this program itself."""
        self.log = log
        self._loop, self._pools = loop, pools
        self._running: dict[Key, _Opening] = {}

    def has(self, request: Request) -> bool:
        """Return whether the very same request is being dealt with."""
        return bool(self._running) and _key(request) in self._running

    def open(self, request: Request, job: Callable[[], Opened], done: Done) -> None:
        """Call done() with what job() returns, or with the FileError that it raises, now or later."""
        try:
            with permitted(frozenset()):
                result: Opened | FileError = job()
        except FileError as error:
            result = error
        except ElsewhereError as elsewhere:
            clients = sum(each.client == request.client for each in self._running.values())
            if clients >= PER_CLIENT:
                done(
                    FileError(
                        FileError.BUSY, f"the server is busy: it opens {clients} files for this address"
                    )
                )
                return
            _Opening(self, request, job, done).go_to(elsewhere.root)
            return
        except Exception as error:
            result = self.failed(request, error)
        done(result)

    def failed(self, request: Request, error: BaseException) -> FileError:
        """Record an error of our own; return what its client, and nobody else, is told."""
        self.log.failed(f"opening {cut(request.name)} for {request.peer[0]}", error)
        return FileError(FileError.UNDEFINED, "the server failed")

    def look(self, job: Callable[[], list[str]], done: Callable[[list[str] | Exception], None]) -> None:
        """Call done() with what job(), which is about one root and asked for by no client, finds out.

        It is called now or later, with an exception where the root is busy.
        """
        try:
            with permitted(frozenset()):
                result = job()
        except ElsewhereError as elsewhere:
            roots = frozenset({elsewhere.root})

            def attempt() -> list[str]:
                with permitted(roots):
                    return job()

            try:
                self._pools.submit(elsewhere.root, attempt, done)
            except FileError as error:
                done(error)
            return
        done(result)

    def release(self, file: Source | Upload) -> None:
        """Close a file that nobody wants."""
        self._pools.release(file.root, file.close, may_hang=file.may_hang)

    def close(self) -> None:
        """Answer nobody any more."""
        for opening in list(self._running.values()):
            opening.answer(FileError(FileError.BUSY, "the server is stopping"))


class _Opening:
    """One file that is being opened; it has a deadline for the loop."""

    def __init__(self, owner: Openings, request: Request, job: Callable[[], Opened], done: Done) -> None:
        self.client, self._request = request.client, request
        self._owner, self._job, self._done = owner, job, done
        self._key = _key(request)
        self._roots: frozenset[str] = frozenset()
        self._answered = False
        self.scheduled = INF
        self.deadline = owner._loop.now + ANSWER_WITHIN
        owner._running[self._key] = self
        owner._loop.schedule(self)

    def go_to(self, root: str) -> None:
        """Try in a thread of one more root."""
        self._roots |= {root}
        try:
            self._owner._pools.submit(root, self._try, self._tried)
        except FileError as error:
            self.answer(error)

    def tick(self, now: float) -> None:
        """Answer a client that has waited for long enough."""
        root = ", ".join(sorted(self._roots))
        detail = f"root directory {root} does not answer"
        self.answer(FileError(FileError.BUSY, "the server is busy: the file system does not answer", detail))

    def answer(self, result: Opened | FileError) -> None:
        """Let the client have the result, once."""
        if self._answered:
            return
        self._answered = True
        del self._owner._running[self._key]
        self._owner._loop.cancel(self)
        self._done(result)

    def _try(self) -> Opened:
        with permitted(self._roots):
            return self._job()

    def _tried(self, result: Any) -> None:
        """Take what came of it, in the loop."""
        if self._answered:
            if isinstance(result, tuple):
                self._owner.release(result[0])
        elif isinstance(result, ElsewhereError):
            self.go_to(result.root)
        elif isinstance(result, tuple | FileError):
            self.answer(result)
        else:
            self.answer(self._owner.failed(self._request, result))


def _key(request: Request) -> Key:
    return request.peer, request.local, request.datagram
