"""ptftpd: the TFTP server."""

from __future__ import annotations

import itertools
import os
import socket
import sys
from collections.abc import Iterator, Sequence

from ptftpd import links, neighbours, net, rivals, service, units
from ptftpd.change import Change
from ptftpd.errors import ConfigError, Error, Faults, FileError
from ptftpd.log import Log, amount
from ptftpd.loop import Loop
from ptftpd.program import OF_DHCP, Loaded, Positional, Program, Query
from ptftpd.programs.checking import as_the_server, check_configuration, check_hidden
from ptftpd.settings import Settings
from ptftpd.syntax import address
from ptftpd.tftp.catalog import Catalog
from ptftpd.tftp.clients import Clients
from ptftpd.tftp.codes import transfer_error
from ptftpd.tftp.names import Facts
from ptftpd.tftp.server import Server
from ptftpd.tftp.space import Space


def port_test(loaded: Loaded, unit: str, parameters: dict[str, str]) -> str:
    """Return that a socket unit has its port to itself; Error when another program takes it all."""
    try:
        link = net.link(loaded.interface, ipv4=False) if loaded.interface else None
    except Error:
        return f"{unit}: {loaded.interface} is not there yet"
    told = []
    for at, port in units.listens(unit):
        for rival in rivals.find(port, link, address=at, ipv6=True):
            if rival.takes_all:
                raise Error(str(rival))
            told.append(f"warning: {rival}")
    return "\n".join(told or [f"{unit}: no other program has the port"])


def map_test(loaded: Loaded, name: str, parameters: dict[str, str]) -> str:
    """Return, step by step, which file a client gets that asks for name; Error says why there is none."""
    client = parameters["client"] or "192.0.2.1"
    try:
        client = str(address(client))
    except ValueError as error:
        raise ConfigError(str(error), source=f"--client = {client}") from None
    ifindex = _index(loaded.interface) or neighbours.interface(client)
    facts = Clients(loaded.settings).facts(client, ifindex)
    with as_the_server(loaded.settings):
        return _lookup(loaded.settings, name, facts)


def _lookup(settings: Settings, name: str, facts: Facts) -> str:
    catalog = Catalog(settings)
    try:
        source, quirks = catalog.read(name, facts)
    except FileError as failed:
        close = catalog.similar(name) if failed.kind == FileError.NOT_FOUND else ""
        hint = f"; did you mean {close}?" if close else ""
        raise Error(
            f"{name}: refused with error {transfer_error(failed).code}: {failed.explained}{hint}"
        ) from None
    finally:
        catalog.close()
    source.close()
    remarks = "".join(f"\n  {quirk}" for quirk in quirks)
    return f"{name}: {source.path}, {amount(source.size)}{remarks}"


PROGRAM = Program(
    name="ptftpd",
    summary="Serve files by TFTP: RFC 1350, 1123 section 4.2.3, 2347, 2348, 2349 and 7440.",
    sections=("tftp", "pxe", "daemon"),
    positionals=(Positional("ROOT", "pxe", "root", "directory of the files to serve"),),
    exclude=OF_DHCP,
    queries=(
        Query(
            "map-test",
            "NAME",
            "say which file a client gets that asks for NAME, and why",
            map_test,
            (("client", "ADDRESS", "with --map-test: the address of that client"),),
        ),
        Query(
            "port-test",
            "UNIT",
            "say whether another program has the port of a socket unit too, and fail if that takes it all",
            port_test,
        ),
    ),
)


class Tftpd:
    """The TFTP server as a daemon; pxed runs it beside the DHCP server."""

    def __init__(self, loaded: Loaded) -> None:
        self.settings: Settings = loaded.settings
        self.interface = loaded.interface
        self._sockets: list[socket.socket] = []
        self._from_systemd = False  # the sockets
        self._first = True  # of the workers: the one that records what an administrator should know
        self._server: Server | None = None
        self._space: Space | None = None

    def check(self, log: Log) -> None:
        """Raise Error when the interface, a root or the port is not there, or a name cannot be looked up.

        What uploads lack is recorded.
        """
        faults = Faults()
        with faults.noted():
            check_hidden(self.settings, self.interface)
        with as_the_server(self.settings, log):
            with faults.noted():
                check_configuration(PROGRAM, self.settings, self.interface)
            with faults.noted():
                catalog = Catalog(self.settings)
                for fault in catalog.upload_faults(writing=False):
                    log.warning("", fault)
                catalog.close()
        with faults.noted():
            _index(self.interface)
            if self.interface and (why := links.trouble(self.interface)):
                log.warning("", why)
            if units.listening("ptftpd.socket", "ptftpd@*.socket"):
                # The port is open already, for sharing; and what a service runs might not open it.
                rivals.refuse(self._rivals(), log)
            else:
                self.open({})
                for sock in self._sockets:
                    sock.close()
        faults.check()

    def open(self, activated: dict[str, list[socket.socket]]) -> None:
        """Take the sockets named tftp from systemd, or open the port on every address configured."""
        self._space = Space(self.workers())  # before the workers are forked, who share it
        self._sockets = activated.pop("tftp", [])
        self._from_systemd = bool(self._sockets)
        if self.interface:
            net.link(self.interface, ipv4=False)
            for sock in self._sockets:
                net.confine(sock, self.interface)
        if not self._sockets:
            tftp = self.settings.tftp
            addresses = [str(address) for address in tftp.address] or [net.any_address()]
            self._sockets = [net.listen(to, tftp.port, interface=self.interface) for to in addresses]

    def workers(self) -> int:
        """Return the configured number: auto is one for each core, and a single port takes only one."""
        tftp = self.settings.tftp
        count = tftp.workers if isinstance(tftp.workers, int) else len(os.sched_getaffinity(0))
        return 1 if tftp.single_port else count

    def worker(self) -> Tftpd:
        """Every worker is the same, but that the first one alone says what is amiss."""
        self._first = False
        return self

    def state_dirs(self) -> Sequence[str]:
        """A TFTP server keeps nothing."""
        return ()

    def serve(self, loop: Loop, log: Log) -> str:
        """Begin to answer requests."""
        self._server = Server(
            loop,
            log,
            self._sockets,
            self.settings,
            ifindex=_index(self.interface),
            workers=self.workers(),
            space=self._space,
        )
        if self._first:
            self._server.record_faults()
            if self._from_systemd:
                for sentence in self._overruled():
                    log.warning("", sentence)
                self._lookout = rivals.Lookout(loop, log, self._rivals)
        where = ", ".join(sorted({_place(sock) for sock in self._sockets}))
        on = f" on {self.interface}" if self.interface else ""
        return f"serving {', '.join(self.settings.pxe.root)} by TFTP{on} at {where}"

    def _rivals(self) -> list[rivals.Rival]:
        """Return which other programs hear what is meant for our sockets."""
        try:
            link = net.link(self.interface, ipv4=False) if self.interface else None
        except Error:
            return []  # nobody hears anything there
        places = {sock.getsockname()[:2] for sock in self._sockets} or {("::", self.settings.tftp.port)}
        own = {os.fstat(sock.fileno()).st_ino for sock in self._sockets}
        found = [rivals.find(port, link, own=own, address=at, ipv6=True) for at, port in sorted(places)]
        return list(dict.fromkeys(itertools.chain.from_iterable(found)))

    def _overruled(self) -> Iterator[str]:
        """Yield a sentence for each setting that is not what systemd's sockets are."""
        tftp = self.settings.tftp
        where = ", ".join(map(_place, self._sockets))
        unit = f"ptftpd@{self.interface}.socket" if self.interface else "ptftpd.socket"
        reason = f"systemd opened the socket, at {where}: use systemctl edit {unit}"
        wanted: dict[str, set[object]] = {
            "address": {str(address).partition("%")[0] for address in tftp.address},  # a socket tells no zone
            "port": {tftp.port},
        }
        for position, (key, values) in enumerate(wanted.items()):
            found = {sock.getsockname()[position] for sock in self._sockets}
            if ("tftp", key) in self.settings.sources and values and found != values:
                yield str(self.settings.misfit("tftp", key, ", ".join(map(str, values)), reason))

    def prepare(self, loaded: Loaded) -> Change:
        """Return the change to other settings for new requests; running transfers keep theirs."""
        server, settings = self._server, loaded.settings
        ready = server.prepare(settings) if server else Change()

        def commit() -> None:
            ready.commit()
            changed, self.settings = settings is not self.settings, settings
            if server and self._first and changed:  # else only the interface's address did
                server.record_faults()

        return Change(commit, ready.discard)

    def drain(self) -> None:
        """Take no more requests."""
        if self._server:
            self._server.drain()

    def busy(self) -> bool:
        """Return whether transfers are running."""
        return bool(self._server and self._server.limits.running)

    def status(self) -> str:
        """Return how many transfers are running and were served."""
        return self._server.status() if self._server else "starting"

    def close(self) -> None:
        """Stop at once."""
        if self._server:
            self._server.close()


def _index(interface: str) -> int:
    """Return the number of an interface, 0 when none is named; ConfigError when it is not there."""
    return net.link(interface, ipv4=False).index if interface else 0


def _place(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ptftpd; return its exit code."""
    return service.main(PROGRAM, argv, Tftpd)


if __name__ == "__main__":
    sys.exit(main())
