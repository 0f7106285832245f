"""What a transfer is for, what is told of it while it goes on, and how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ptftpd.tftp import options
from ptftpd.tftp.outcome import Backoff, Outcome
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.sender import Sender

Machine = Sender | Receiver
Trace = Callable[[str, bytes], None]  # told each datagram with its direction, '->' or '<-'


class Job:
    """A file to be read or written: the request for it, and the machine that transfers it."""

    opcode: int  # RRQ or WRQ
    remark = ""  # what to say of a transfer that went well

    def __init__(self, name: str, mode: str, tsize: int | None) -> None:
        """name: on the server. tsize: octets to announce, 0 to be told them, None for neither."""
        self.name, self.mode, self.tsize = name, mode, tsize

    def machine(self, terms: options.Terms, backoff: Backoff) -> Machine:
        """Return what transfers by these terms; TransferError when this machine cannot do its part."""
        raise NotImplementedError

    def octets(self, machine: Machine) -> int:
        """Return how many octets of the file are through; in netascii there are more of them on the wire."""
        return machine.octets

    def idle(self) -> None:
        """Do what can wait until an answer is out: the server has its turn. TransferError as above."""


class Watch:
    """What is told how a transfer goes; this one does not listen."""

    trace: Trace | None = None

    def note(self, text: str) -> None:
        """Take a remark, such as that the server refused the options."""

    def progress(self, octets: int, total: int | None) -> None:
        """Take how far it is, in octets; total: None when not known. Called several times a second."""


@dataclass
class Result:
    """How a transfer went: octets of the file, and seconds from the first request on."""

    address: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    terms: options.Terms = field(default_factory=options.Terms)
    outcome: Outcome = None
    octets: int = 0
    seconds: float = 0.0
    resent: int = 0
    round_trip: float | None = None  # seconds from the request to its answer, when it was sent once
    answered: bool = False  # whether the server said anything at all
    misread: bool = False  # whether the options may be why it failed
    remark: str = ""  # what is odd about it though it went well
