"""The prompt of the tftp client: reads commands and carries them out."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Sequence
from os.path import expanduser

from ptftpd import syntax
from ptftpd.client import commands
from ptftpd.client.commands import COMMANDS, Command
from ptftpd.client.locations import Location, base, remote
from ptftpd.client.session import DISABLED, Session
from ptftpd.errors import Error
from ptftpd.tftp.outcome import DEFAULT_TIMEOUT, MAX_WAIT

PROMPT = "tftp> "
SETTING_OF = {"rexmt": "timeout"}  # tftp-hpa has that name for it, and timeout for another thing
STATUS = ("mode", "blksize", "windowsize", "rexmt", "timeout", "retries", "max-size", "port-range", "rfc1350")


class LeaveError(Exception):
    """The user has had enough."""


class Prompt:
    """Carries out commands for a session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.failed = False  # whether any command was wrong or any transfer failed
        self._patience: float | None = None  # seconds to go on without an answer, as set by 'timeout'
        self._run: dict[str, Callable[[Sequence[str]], bool | None]] = {
            "connect": self._connect, "get": self._get, "put": self._put, "probe": self._probe,
            "binary": lambda words: self._set("mode", ["octet", *words]),
            "ascii": lambda words: self._set("mode", ["netascii", *words]),
            "rexmt": self._rexmt, "timeout": self._timeout, "option": self._option,
            "rfc1350": self._rfc1350, "literal": self._literal, "verbose": self._verbose,
            "trace": self._trace, "status": self._status, "help": self._help, "quit": self._quit,
        }  # fmt: skip

    def run(self) -> bool:
        """Carry out commands until quit or the end of input; return whether all went well.

        At a terminal it is always True: the user has seen what did not. Ctrl-C ends a transfer there.
        """
        terminal = sys.stdin.isatty()
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # names are octets, whatever the locale
        try:
            if not terminal:
                for line in sys.stdin:
                    self.execute(line)
                return not self.failed
            from ptftpd.client import editing

            with editing.line_editor():
                while True:
                    self._prompt()
        except LeaveError:
            return terminal or not self.failed
        except EOFError:
            print()
            return True

    def execute(self, command: str | Sequence[str]) -> bool:
        """Carry out one command, a line or its words; return whether it went well, having said why if not.

        LeaveError for quit.
        """
        try:
            words = commands.split(command) if isinstance(command, str) else command
            if not words or words[0].startswith("#"):
                return True
            if any("\0" in word for word in words):
                raise Error("a NUL cannot be part of a command")
            if "" in words:
                raise Error("an empty name means nothing here: leave out the quotes")
            name = commands.find(words[0]).name
            run = self._run.get(name) or (lambda words: self._set(name, words))
            well = run(words[1:]) is not False
        except Error as error:
            self.session.display.error(str(error))
            well = False
        self.failed = self.failed or not well
        return well

    def _prompt(self) -> None:
        """Read one command and carry it out."""
        try:
            line = input(PROMPT)
        except KeyboardInterrupt:
            print()
            return
        try:
            self.execute(line)
        except KeyboardInterrupt:
            print("\nstopped", file=sys.stderr)

    # Transfers ---------------------------------------------------------------------------------

    def _connect(self, words: Sequence[str]) -> None:
        if not 1 <= len(words) <= 2:
            raise _usage("connect")
        self.session.connect(*words)

    def _get(self, words: Sequence[str]) -> bool:
        force = "-f" in words[:1]
        names = words[1:] if force else words
        if re.match(r"-\w", names[0] if names else ""):
            raise Error(f"there is no option {names[0]}: {_usage('get')}")
        if not names:
            raise _usage("get")
        if len(names) <= 2:
            return self.session.get(self._remote(names[0]), *map(expanduser, names[1:]), force=force)
        went_well = [self.session.get(self._remote(name), force=force) for name in names]
        return all(went_well)

    def _put(self, words: Sequence[str]) -> bool:
        if not words:
            raise _usage("put")
        if len(words) == 1:
            return self.session.put(expanduser(words[0]), Location(words[0]))
        *paths, there = words
        return put_all(self.session, [expanduser(path) for path in paths], self._remote(there))

    def _probe(self, words: Sequence[str]) -> bool:
        if len(words) != 1:
            raise _usage("probe")
        return self.session.probe(self._remote(words[0]))

    def _remote(self, word: str) -> Location:
        return remote(word, literal=self.session.literal)

    # Settings ----------------------------------------------------------------------------------

    def _set(self, name: str, words: Sequence[str]) -> None:
        """Change the setting of a command, or without words show it."""
        if len(words) > 1:
            raise _usage(name)
        if words:
            self.session.change(SETTING_OF.get(name, name), words[0], called=name)
        else:
            self._show(name)

    def _show(self, name: str) -> None:
        from ptftpd.values import render  # with all that reads files, which a transfer can do without

        key = SETTING_OF.get(name, name).replace("-", "_")
        value = self._patience if name == "timeout" else getattr(self.session.settings, key)
        print(f"{name}: {render(value) or 'auto'}")

    def _rexmt(self, words: Sequence[str]) -> None:
        self._set("rexmt", words)
        self._set_retries()

    def _timeout(self, words: Sequence[str]) -> None:
        if not words:
            self._show("timeout")
            return
        if len(words) > 1:
            raise _usage("timeout")
        try:
            self._patience = syntax.auto(syntax.seconds(0.1, 86400))(words[0])
        except ValueError as error:
            raise Error(f"timeout {words[0]}: {error}") from None
        if self._patience is None:
            self.session.change("retries", "auto")
        self._set_retries()

    def _set_retries(self) -> None:
        """Retry often enough to last as long as 'timeout' said."""
        if self._patience is None:
            return
        rexmt = self.session.settings.timeout
        wait = total = rexmt or DEFAULT_TIMEOUT
        retries = 0
        while total < self._patience and retries < 1000:
            wait = wait if rexmt else min(2 * wait, MAX_WAIT)
            total += wait
            retries += 1
        self.session.change("retries", str(retries))

    def _option(self, words: Sequence[str]) -> None:
        if len(words) > 2:
            raise _usage("option")
        if len(words) == 2:
            self.session.change_option(words[0].lower(), words[1])
            return
        for name in words or DISABLED:
            if name.lower() not in DISABLED:
                raise _usage("option")
            self._show("rexmt" if name.lower() == "timeout" else name.lower())

    def _rfc1350(self, words: Sequence[str]) -> None:
        on = _switched("rfc1350", words, self.session.settings.rfc1350)
        self.session.change("rfc1350", "yes" if on else "no")

    def _literal(self, words: Sequence[str]) -> None:
        self.session.literal = _switched("literal", words, self.session.literal)

    def _verbose(self, words: Sequence[str]) -> None:
        self.session.display.verbose = _switched("verbose", words, self.session.display.verbose)

    def _trace(self, words: Sequence[str]) -> None:
        self.session.display.tracing(_switched("trace", words, self.session.display.trace is not None))

    # The prompt itself -------------------------------------------------------------------------

    def _status(self, words: Sequence[str]) -> None:
        server = self.session.server
        print(f"server: {server.name} port {server.port}" if server else "server: none yet (connect HOST)")
        for name in STATUS:
            self._show(name)
        for name, on in (
            ("literal", self.session.literal),
            ("verbose", self.session.display.verbose),
            ("trace", self.session.display.trace is not None),
        ):
            print(f"{name}: {'on' if on else 'off'}")

    def _help(self, words: Sequence[str]) -> None:
        if not words:
            for command in COMMANDS:
                print(f"{command.name:<11} {command.help}")
            print("Names may be cut short; help COMMAND tells more.")
        for word in words:
            print(_explained(commands.find(word)))

    def _quit(self, words: Sequence[str]) -> None:
        raise LeaveError


def put_all(session: Session, paths: Sequence[str], there: Location) -> bool:
    """Put a file at a location, or several below it; return whether all went well."""
    if len(paths) == 1:
        return session.put(paths[0], there)
    directory = f"{there.name.rstrip('/')}/" if there.name else ""
    below = [Location(f"{directory}{base(path)}", there.host, there.port, there.mode) for path in paths]
    went_well = [session.put(path, at) for path, at in zip(paths, below, strict=True)]
    return all(went_well)


def _explained(command: Command) -> str:
    """Return all that there is to say of a command."""
    import textwrap

    about = f"{command.help[0].upper()}{command.help[1:]}. {command.more}"
    lines = textwrap.wrap(about, 78, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([f"{command.name} {command.usage}".rstrip(), *lines])


def _usage(name: str) -> Error:
    command = commands.NAMED[name]
    return Error(f"write it as: {command.name} {command.usage}".rstrip())


def _switched(name: str, words: Sequence[str], on: bool) -> bool:
    """Return what a switch is set to by its command: the contrary without words."""
    if len(words) > 1:
        raise _usage(name)
    try:
        on = syntax.flag(words[0]) if words else not on
    except ValueError as error:
        raise Error(f"{name} {words[0]}: {error}") from None
    print(f"{name}: {'on' if on else 'off'}")
    return on
