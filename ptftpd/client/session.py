"""What the tftp client's command line and its prompt share: a server at hand, settings, and get and put."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
from typing import Any

from ptftpd.client import local
from ptftpd.client.display import Display
from ptftpd.client.job import Result
from ptftpd.client.locations import PORT, Location, base, server
from ptftpd.client.reasons import explain
from ptftpd.client.settings import Settings
from ptftpd.client.transfer import Client, Server, find
from ptftpd.errors import Error
from ptftpd.option import options as settings_of
from ptftpd.tftp import options
from ptftpd.tftp.outcome import OK, Failure

NOWHERE = "a file to see whether this server answers"  # it will say that there is none
# atftp's 'option NAME disable' is this value of the setting of the same name.
DISABLED = {options.BLKSIZE: str(options.DEFAULT_BLKSIZE), options.WINDOWSIZE: "1", options.TIMEOUT: "auto"}

SETTINGS = settings_of(Settings)


def parse(key: str, text: str, *, called: str = "") -> object:
    """Return the value of a setting; Error when text is none. called: the setting's name for the user."""
    try:
        return SETTINGS[key].metadata["parse"](text)
    except ValueError as error:
        raise Error(f"{called or key.replace('_', '-')} {text}: {error}") from None


class Session:
    """A user's transfers. get() and put() return whether all went well, and have said why if not."""

    def __init__(self, settings: Settings, display: Display, *, family: int = socket.AF_UNSPEC) -> None:
        """family: AF_INET or AF_INET6 to use no other."""
        self.settings, self.display, self.family = settings, display, family
        self.server: Server | None = None  # at hand: the one named last
        self.literal = False

    def change(self, key: str, text: str, *, called: str = "") -> None:
        """Set a setting from what the user typed; Error when it cannot be that."""
        value: Any = parse(key, text, called=called)
        self.settings = dataclasses.replace(self.settings, **{key: value})

    def change_option(self, name: str, value: str) -> None:
        """Set a TFTP option the way atftp has it ('blksize 1428', 'windowsize disable'); Error otherwise."""
        if name == options.TSIZE and value in ("enable", ""):
            return
        if name == options.TSIZE:
            raise Error("tsize is always asked for: only rfc1350 asks for no option at all")
        if name not in DISABLED:
            raise Error(f"there is no option {name} here: there are {', '.join(DISABLED)} and tsize")
        self.change(name, DISABLED[name] if value == "disable" else value)

    def connect(self, host: str, port: str = "") -> None:
        """Take a server, such as HOST, HOST:PORT or [ADDRESS]:PORT, for the transfers to come.

        Error when there is none such.
        """
        name, own = server(host)
        if own and port:
            raise Error(f"{host} has a port already: leave {port} out, or write HOST PORT")
        self._take(name, _port(own or port) if own or port else PORT)

    def _take(self, host: str, port: int) -> None:
        self.server = find(host, port, self.family)

    def _server(self, at: Location) -> Server:
        """Return the server of a location, which is then at hand; Error when none is named."""
        if at.host:
            port = at.port or (self.server.port if self.server else PORT)
            if not self.server or (self.server.name, self.server.port) != (at.host, port):
                self._take(at.host, port)
        if not self.server:
            raise Error("no server is named: write HOST:NAME, or connect HOST first")
        return self.server

    def get(self, at: Location, path: str = "", *, force: bool = False, sha256: str = "") -> bool:
        """Get a file; path: where to put it, a directory too, '-' for stdout, '' for its own name here."""
        try:
            server = self._server(at)
            target = local.target(_here(at.name, path), sha256, force=force)
        except Error as error:
            return self._refused("get", at, path, error)
        with contextlib.closing(target), self.display.transfer(at.name):
            result = self._client(at).get(server, at.name, target)
        if self._well("get", at, target.path, server, result, local=target.trouble is not None):
            kept = f" as {target.path}" if target.path not in (at.name, base(at.name), local.STANDARD) else ""
            self.display.summary(f"got {at.name} from {server.name}{kept}", result)
        return result.outcome is OK

    def put(self, path: str, at: Location) -> bool:
        """Put a file; a location that ends in / is a directory."""
        if not at.name or at.name.endswith("/"):
            at = dataclasses.replace(at, name=at.name + base(path))
        try:
            if path == local.STANDARD and at.name.endswith(local.STANDARD):
                raise Error("name the file on the server: standard input has no name")
            server = self._server(at)
            source = local.source(path)
        except Error as error:
            return self._refused("put", at, path, error)
        with contextlib.closing(source), self.display.transfer(at.name, source.size):
            result = self._client(at).put(server, at.name, source.read, source.size)
        if self._well("put", at, path, server, result, local=False):
            called = f" as {at.name}" if at.name != path else ""
            self.display.summary(f"put {path} to {server.name}{called}", result)
        return result.outcome is OK

    def probe(self, at: Location) -> bool:
        """Print what the server can do, told by a file to read; without a name only whether it answers."""
        from ptftpd.client import probe_table  # seldom wanted, and starting up is to be quick
        from ptftpd.client.probe import probe

        display = self.display
        try:
            server = self._server(at)
        except Error as error:
            return self._refused("probe", at, "", error)
        report = probe(server, at.name or NOWHERE, self.settings, display)
        trip = f" in {report.round_trip * 1000:.1f} ms" if report.round_trip is not None else ""
        if report.outcome and (at.name or not report.outcome.from_peer):
            failed = Result(outcome=report.outcome, answered=report.outcome.from_peer, misread=True)
            return self._well("probe", at, "", server, failed, local=False)
        if display.records:
            about = {
                "action": "probe",
                "file": at.name,
                "server": server.name,
                "port": server.port,
                "ok": True,
            }
            display.record(about | probe_table.facts(report), aside=False)
            return True
        known = (
            probe_table.table(report)
            if at.name
            else ["name a file on it, to see its options: probe HOST NAME"]
        )
        print("\n".join([f"{server.name} port {server.port} answers{trip}", *known]))
        return True

    def _client(self, at: Location) -> Client:
        settings = dataclasses.replace(self.settings, mode=at.mode) if at.mode else self.settings
        return Client(settings, self.display)

    def _refused(self, verb: str, at: Location, path: str, error: Error) -> bool:
        """Say why there is no transfer; return False."""
        self.display.error(str(error))
        if self.display.records:
            about = {"action": verb, "file": at.name, "local": path, "ok": False, "error": str(error)}
            self.display.record(about, aside=_is_stdout(verb, path))
        return False

    def _well(
        self, verb: str, at: Location, path: str, server: Server, result: Result, *, local: bool
    ) -> bool:
        """Return whether a transfer went well; say why not, and print its record if that is wanted."""
        reason = ""
        if isinstance(result.outcome, Failure):
            reason = explain(result.outcome, result, name=at.name, writing=verb == "put", local=local)
            there = f"to {server.name}" if verb == "put" else f"from {server.name}"
            what = f"{at.name} {there}" if at.name else server.name  # only a probe needs no file
            way = f"keep {at.name} as {path}" if local else f"{verb} {what}"
            self.display.error(f"cannot {way}: {reason}")
        elif result.remark:
            self.display.error(f"{at.name}: {result.remark}")
        if self.display.records:
            terms = result.terms
            about: dict[str, object] = {
                "action": verb, "file": at.name, "local": path, "ok": not reason, "server": server.name,
                "address": result.address, "port": server.port, "octets": result.octets,
                "seconds": round(result.seconds, 6), "mode": at.mode or self.settings.mode,
                "blksize": terms.blksize, "windowsize": terms.windowsize, "resent": result.resent,
            }  # fmt: skip
            if isinstance(result.outcome, Failure):
                about |= {"code": result.outcome.code, "error": reason}
            elif result.remark:
                about["warning"] = result.remark
            self.display.record(about, aside=_is_stdout(verb, path))
        return not reason


def _is_stdout(verb: str, path: str) -> bool:
    return verb == "get" and path == local.STANDARD


def _here(name: str, path: str) -> str:
    """Return where to put a file called name on the server; Error when that cannot be told."""
    if path and not path.endswith("/") and not os.path.isdir(path):
        return path
    if any(character < " " or "\x7f" <= character < "\xa0" for character in base(name)):
        # A file of such a name plays tricks on whoever lists it, and on scripts. Typed as LOCAL it is meant.
        raise Error(f"{name} has control characters: name its file here, by get NAME LOCAL or -o FILE")
    if base(name) in ("", ".", ".."):
        raise Error(f"{name or 'the URL'} names no file: add the name to get")
    return os.path.join(path or ("." if base(name) == local.STANDARD else ""), base(name))


def _port(text: str) -> int:
    """Return a port given by its number or its name; Error when it is neither."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
        return int(text)
    try:
        return socket.getservbyname(text, "udp")
    except (OSError, UnicodeError):
        raise Error(f"{text} is not a port: write 1..65535 or a name from /etc/services") from None
