"""pxed: TFTP and DHCP on one interface, in one call."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from functools import partial

from ptftpd import net, service, systemd
from ptftpd.change import Change, together
from ptftpd.errors import ConfigError, Error, Faults, FileError
from ptftpd.log import WARNING, Log
from ptftpd.loop import Loop
from ptftpd.program import DIRECTORY, Loaded, Positional, Program
from ptftpd.programs import bootfiles, companions, tftpd
from ptftpd.programs.checking import as_the_server
from ptftpd.programs.dhcpd import BOOT_FILE, INTERFACE, Dhcpd
from ptftpd.programs.explaining import EXPLAIN_PXED
from ptftpd.programs.leases import LEASES
from ptftpd.programs.tftpd import Tftpd
from ptftpd.settings import Settings
from ptftpd.tftp.catalog import Catalog
from ptftpd.tftp.names import Facts

PROGRAM = Program(
    name="pxed",
    summary="Boot machines over the network: TFTP and DHCP on one interface, in one call.",
    sections=("pxe", "dhcp", "bootp", "tftp", "daemon"),
    positionals=(INTERFACE, Positional("ROOT", "pxe", "root", "directory of the files to serve"), BOOT_FILE),
    exclude=frozenset({"interface", "address", "idle_timeout"}),
    queries=(EXPLAIN_PXED, LEASES, *tftpd.PROGRAM.queries),
)


class Pxed:
    """The TFTP and the DHCP daemon on one loop."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._log: Log | None = None
        self._tftpd, self._dhcpd = Tftpd(loaded), Dhcpd(loaded, with_tftp=True)
        self._parts = (self._tftpd, self._dhcpd)

    def check(self, log: Log) -> None:
        """Raise Error when the interface, a root, a boot file or a port is not there."""
        faults = Faults()
        with faults.noted(), as_the_server(self._loaded.settings):
            check_boot_files(self._loaded.settings, log)
        for part in self._parts:
            with faults.noted():
                part.check(log)
        try:
            faults.check()
        except Error as error:
            if (
                error.exit_code == Error.exit_code and "NOTIFY_SOCKET" in os.environ
            ):  # at a start, not a reload
                raise Error(f"{error}; it is tried again every 10 seconds") from None
            raise
        self._tell_systemd()

    def _tell_systemd(self) -> None:
        """Let 'systemctl status pxed@IFACE' say what was checked, and where to look further."""
        link = net.link(self._tftpd.interface)
        name, network = link.name, f"{link.address}/{link.network.prefixlen}"
        systemd.notify(
            f"STATUS=checked for {name} ({network}): ptftpd@{name} and pdhcpd@{name} do the serving, "
            f"see systemctl status 'p*@{name}.*'"
        )

    def open(self, activated: dict[str, list[socket.socket]]) -> None:
        """Open the sockets of both, or take them from systemd."""
        for part in self._parts:
            part.open(activated)

    def workers(self) -> int:
        """As many as TFTP takes."""
        return self._tftpd.workers()

    def worker(self) -> Tftpd:
        """Only TFTP: the leases have one writer."""
        return self._tftpd.worker()

    def state_dirs(self) -> Sequence[str]:
        """The lease database's."""
        return [path for part in self._parts for path in part.state_dirs()]

    def serve(self, loop: Loop, log: Log) -> str:
        """Begin to serve both."""
        self._log = log
        self._advise(log)
        return "; ".join(part.serve(loop, log) for part in self._parts)

    def prepare(self, loaded: Loaded) -> Change:
        """Return the change of both parts. What --check refuses is refused: what is in force is better."""
        if loaded is not self._loaded and self._log:  # else only the interface's address changed
            check_boot_files(loaded.settings, self._log)
        parts = together(*(partial(part.prepare, loaded) for part in self._parts))

        def commit() -> None:
            parts.commit()
            self._loaded = loaded

        return Change(commit, parts.discard)

    def _advise(self, log: Log) -> None:
        """Say which boot files are missing, which other servers may have."""
        try:
            check_boot_files(self._loaded.settings, log)
        except ConfigError as error:
            log.lines(WARNING, "", str(error))

    def drain(self) -> None:
        """Take no more requests."""
        for part in self._parts:
            part.drain()

    def busy(self) -> bool:
        """Return whether transfers are running."""
        return any(part.busy() for part in self._parts)

    def status(self) -> str:
        """Return what both say."""
        return "; ".join(part.status() for part in self._parts)

    def close(self) -> None:
        """Stop at once."""
        for part in self._parts:
            part.close()


def check_boot_files(settings: Settings, log: Log) -> None:
    """Raise ConfigError unless our own TFTP server can send every boot file.

    Recorded is that there is none, and what a boot file needs beside that is not there.
    """
    found = list(_boot_files(settings))
    if not found:
        log.warning(
            "",
            "no boot file is set, so clients get nothing to boot, but for a Raspberry Pi, which knows its "
            f"files: set boot_file or boot in [pxe] of {DIRECTORY}/pxed.conf",
        )
    if settings.pxe.tftp_server:
        return
    catalog, faults, lacking = Catalog(settings), Faults(), []
    try:
        for source, name in found:
            if "://" in name:
                continue  # not ours to check
            try:
                catalog.read(name, Facts(""))[0].close()
            except FileError as error:
                roots = ", ".join(settings.pxe.root)
                faults.note(ConfigError(f"boot file {name} below {roots}: {error.reason}", source=source))
            else:
                there = partial(_exists, catalog, settings.pxe.root)
                lacking += [f"{source}: boot file {each}" for each in companions.missing(name, there)]
        for sentence in bootfiles.misfits(settings, catalog):
            log.warning("", sentence)
    finally:
        catalog.close()
    # With directories for each client, the rest may be in one of those.
    for sentence in () if settings.tftp.client_directory else lacking:
        log.warning("", sentence)
    faults.check()


def _exists(catalog: Catalog, roots: Sequence[str], name: str) -> bool:
    """Return whether clients can get a file, or one of a directory, whose name ends with a '/'."""
    try:
        if name.endswith("/"):
            return any(_has_files(os.path.join(root, name.lstrip("/"))) for root in roots)
        catalog.read(name, Facts(""))[0].close()
    except FileError:
        return False
    return True


def _has_files(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(entry.is_file() for entry in entries)
    except OSError:
        return False


def _boot_files(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (where it is set, name or URL) of every boot file."""
    sections: dict[str, object] = {"pxe": settings.pxe}
    for kind, named in (("menu", settings.menus), ("class", settings.classes), ("host", settings.hosts)):
        sections |= {f"{kind} {name}": section for name, section in named.items()}
    for section, value in sections.items():
        found = [(key, getattr(value, key, "")) for key in ("boot_file", "ipxe_file")]
        found += [("boot", name) for _, name in getattr(value, "boot", ())]
        for key, name in found:
            if name:
                yield settings.sources.get((section, key), f"[{section}] {key}"), name


def main(argv: Sequence[str] | None = None) -> int:
    """Run pxed; return its exit code."""
    return service.main(PROGRAM, argv, Pxed)


if __name__ == "__main__":
    sys.exit(main())
