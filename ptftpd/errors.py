"""The exceptions that cross a module boundary. Any other exception is a bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

EX_TEMPFAIL = 75  # sysexits.h: another start will do
EX_CONFIG = 78  # sysexits.h: what was set up, not the program, is at fault; another start ends the same way


class Error(Exception):
    """A failure whose text is a sentence for the administrator."""

    exit_code = 1  # of a program that it ends


class ConfigError(Error):
    """A setting that cannot be used; str() is 'file:line: [section] key = value: reason'."""

    exit_code = EX_CONFIG

    def __init__(self, reason: str, *, source: str = "", setting: str = "") -> None:
        """source is 'file:line' or a command-line option; setting is '[section] key = value'."""
        super().__init__(": ".join(part for part in (source, setting, reason) if part))
        self.reason = reason
        self.source = source
        self.setting = setting


class StateError(Error):
    """What is kept on the disk cannot be used before somebody sees to it."""

    exit_code = EX_CONFIG


class InterfaceReplacedError(Error):
    """The sockets are bound to an interface that is gone, though there is one of its name: open them anew."""

    exit_code = EX_TEMPFAIL


class WireError(Error):
    """A datagram that breaks its protocol; offset is the octet, from 0, where it does."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} (at octet {offset})")
        self.reason = reason
        self.offset = offset


class FileError(Error):
    """A file that cannot be read or written as asked, in the terms of no protocol.

    TFTP sends kind as an error code, HTTP as a status, and reason as text. detail is for the administrator
    alone: it may name paths and owners, which are no client's business.
    """

    NOT_FOUND, DENIED, EXISTS, FULL = "not found", "denied", "exists", "full"
    BUSY, UNDEFINED = "busy", "undefined"  # busy: the same request may do later

    def __init__(self, kind: str, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.detail = detail

    @property
    def explained(self) -> str:
        """The reason and the detail."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class TransferError(Error):
    """A TFTP transfer that cannot go on; code is the RFC 1350 error code that the peer is sent.

    explained: the reason as the administrator is told it.
    """

    def __init__(self, code: int, reason: str, explained: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.explained = explained or reason


class Faults:
    """Errors met one after the other and told all at once: who mends one is not to be sent for the next."""

    def __init__(self) -> None:
        self._found: list[Error] = []

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self._found)

    def note(self, error: Error) -> None:
        """Keep an error for check()."""
        self._found.append(error)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keep the error that ends the block, if one does, and go on behind it."""
        try:
            yield
        except Error as error:
            self.note(error)

    def check(self) -> None:
        """Raise what was noted: a single error as it is, several as one that has a line for each.

        That is a ConfigError when one of them is: another start would end the same way.
        """
        sentences = dict.fromkeys(line for error in self._found for line in str(error).splitlines())
        if len(self._found) > 1 and len(sentences) > 1:
            final = any(error.exit_code == EX_CONFIG for error in self._found)
            raise (ConfigError if final else Error)("\n".join(sentences))
        if self._found:
            raise self._found[0]
