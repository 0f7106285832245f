"""What one program of the suite takes on its command line, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ptftpd import trust
from ptftpd.settings import Settings

DIRECTORY = "/etc/ptftpd"

# Keys of [pxe] that only one kind of server has a use for.
OF_TFTP = frozenset({"root"})
OF_DHCP = frozenset(
    {"boot_file", "boot", "tftp_server", "gateway", "name_server", "menu_prompt", "menu_timeout"}
)


@dataclass(frozen=True)
class Positional:
    """A command-line argument without a dash; key '' is IFACE, the interface, which no file can name."""

    metavar: str
    section: str
    key: str
    help: str
    required: bool = False


@dataclass(frozen=True)
class Query:
    """An option that asks the program a question, instead of having it serve.

    metavar is '' for one that takes no value. parameters: (name, metavar, help) of further options that go
    with it; several questions may share one. answer(loaded, value, parameters) returns the text to print;
    Error ends the program with exit code 1.
    """

    name: str
    metavar: str
    help: str
    answer: Callable[[Loaded, str, dict[str, str]], str]
    parameters: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Program:
    """What one program takes: sections are those that have long options, in order of their short ones."""

    name: str
    summary: str
    sections: tuple[str, ...]
    positionals: tuple[Positional, ...]
    exclude: frozenset[str] = frozenset()  # keys that make no sense here
    queries: tuple[Query, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the configuration files, in the order they are read."""
        own = {"tftp": "ptftpd.conf", "dhcp": "pdhcpd.conf", "bootp": "pbootpd.conf"}
        return ("pxed.conf", *(own[section] for section in own if section in self.sections))


@dataclass(frozen=True)
class Loaded:
    """The outcome of load(): settings with the interface named, and what the program was asked to do."""

    settings: Settings
    interface: str
    action: str  # 'serve', 'check', 'dump' or 'answer'
    verbose: bool
    debug: bool
    pidfile: str
    detach: bool
    answer: Callable[[], str] | None = None  # of a query
    doubts_of_files: tuple[str, ...] = ()  # sentences: who else can change the configuration
    serves_files: bool = False

    @property
    def doubts(self) -> tuple[str, ...]:
        """A sentence for each way in which others can change what decides on what is booted.

        The roots are looked at anew each time, and never by root before it becomes another user: setuid(2)
        waits for all threads, also for one that waits for a file system that hangs.
        """
        roots = self.settings.pxe.root if self.serves_files else ()
        sentences = (sentence for root in roots for sentence in trust.doubts_of_directory(root))
        return tuple(dict.fromkeys((*self.doubts_of_files, *sentences)))
