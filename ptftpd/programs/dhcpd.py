"""pdhcpd: the DHCP server."""

from __future__ import annotations

import itertools
import os
import socket
import sys
from collections.abc import Sequence

from ptftpd import links, net, rivals, service, units
from ptftpd.change import Change
from ptftpd.dhcp import advice, proxy, reply, served
from ptftpd.dhcp.decision import Decision
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.server import Server
from ptftpd.dhcp.store import Store
from ptftpd.errors import ConfigError, Error, Faults
from ptftpd.log import Log
from ptftpd.loop import Loop
from ptftpd.program import OF_TFTP, Loaded, Positional, Program
from ptftpd.programs.checking import as_the_server, check_configuration
from ptftpd.programs.explaining import EXPLAIN
from ptftpd.programs.leases import LEASES
from ptftpd.settings import Settings

INTERFACE = Positional("IFACE", "", "", "network interface to serve", required=True)
BOOT_FILE = Positional("BOOTFILE", "pxe", "boot_file", "boot file for machines that no other rule matches")

PROGRAM = Program(
    name="pdhcpd",
    summary="Hand out addresses and boot files by DHCP: RFC 2131, 2132, 3046, 3396, 4578, 6842, PXE 2.1.",
    sections=("dhcp", "bootp", "pxe", "daemon"),
    positionals=(INTERFACE, BOOT_FILE),
    exclude=OF_TFTP | {"idle_timeout"},  # which is for sockets of all interfaces
    queries=(EXPLAIN, LEASES),
)


class Dhcpd:
    """The DHCP server as a daemon; pxed runs it beside the TFTP server, pbootpd without DHCP."""

    serves = "DHCP"
    only_bootp = False

    def __init__(self, loaded: Loaded, *, with_tftp: bool = False) -> None:
        """with_tftp: this process serves TFTP too, so this machine is the next server whatever is booted."""
        self._with_tftp = with_tftp
        self.settings: Settings = loaded.settings
        self.interface = loaded.interface
        self._sockets: list[socket.socket] = []
        self._from_systemd = False  # the sockets
        self._server: Server | None = None
        self._log: Log | None = None

    def check(self, log: Log) -> None:
        """Raise Error when the interface or a port is not there, or a setting does not fit the network."""
        link = served.link(self.interface, self.settings)
        faults = Faults()
        if not self._with_tftp and (why := links.trouble(self.interface)):  # else TFTP's part says so
            log.warning("", why)
        with faults.noted(), as_the_server(self.settings):
            check_configuration(PROGRAM, self.settings, self.interface)
        with faults.noted():
            Decision(self.settings, int(link.address))
        with faults.noted():
            self._advise(link, log)
        ours = (
            f"pdhcpd@{self.interface}.socket",
            "pdhcpd@*.socket",
            "pdhcpd-pxe@*.socket",
            "pbootpd@*.socket",
        )
        with faults.noted():
            if units.listening(*ours):
                # The ports are open already, for sharing; and what a service runs might not open them.
                rivals.refuse(self._rivals(), log)
            else:
                self.open({})
                for sock in self._sockets:
                    sock.close()
        faults.check()

    def open(self, activated: dict[str, list[socket.socket]]) -> None:
        """Take the sockets named dhcp and pxe from systemd, or open ports 67 and 4011 on the interface.

        ConfigError when another program has one of systemd's, too.
        """
        net.link(self.interface)
        ports = self._ports(self.settings)
        for sock in itertools.chain.from_iterable(activated.values()):  # also one that this mode leaves alone
            net.confine(sock, self.interface)
        self._sockets, self._from_systemd = [], bool(activated)
        for name, port in ports.items():
            self._sockets += activated.pop(name, []) or [
                net.listen("0.0.0.0", port, interface=self.interface, broadcast=True)
            ]
        for rival in self._rivals() if self._from_systemd else ():
            if rival.takes_all:
                raise ConfigError(str(rival))

    def _ports(self, settings: Settings) -> dict[str, int]:
        """Return the ports that these settings take, by the names that their sockets have in systemd."""
        ports = {"dhcp": reply.SERVER_PORT}
        if (settings.dhcp.mode != "full" or settings.menus) and not self.only_bootp:
            ports["pxe"] = proxy.PORT
        return ports

    def _rivals(self) -> list[rivals.Rival]:
        """Return which other programs hear what is meant for our sockets."""
        try:
            link = net.link(self.interface)
        except Error:
            return []  # nobody hears anything there
        own = {os.fstat(sock.fileno()).st_ino for sock in self._sockets}
        ports = sorted(self._ports(self.settings).values())
        return [each for port in ports for each in rivals.find(port, link, own=own, address="0.0.0.0")]

    def workers(self) -> int:
        """One: the leases have one writer."""
        return 1

    def worker(self) -> Dhcpd:
        """There is one process only."""
        raise AssertionError("DHCP is served by one process")

    def state_dirs(self) -> Sequence[str]:
        """The lease database's."""
        return (self.settings.dhcp.state_dir,)

    def serve(self, loop: Loop, log: Log) -> str:
        """Load the leases and begin to answer."""
        link = served.link(self.interface, self.settings)
        # By the kernel's name: by another one, the addresses would be leased a second time.
        store = Store(self.settings.dhcp.database(net.real_name(self.interface)))
        self._server = Server(
            loop,
            log,
            self._sockets,
            link,
            self.settings,
            store,
            only_bootp=self.only_bootp,
            with_tftp=self._with_tftp or units.listening(f"pxed@{self.interface}.service"),
        )
        self._log = log
        self._advise(link, log)
        if self._from_systemd:
            self._lookout = rivals.Lookout(loop, log, self._rivals)
        planned = plans(self.settings, link.name, link.address, link.network, link.addresses)
        told = advice.summary(self.settings, planned, "full" if self.only_bootp else self.settings.dhcp.mode)
        return f"serving {self.serves} on {self.interface} ({link.address}/{link.network.prefixlen}): {told}"

    def prepare(self, loaded: Loaded) -> Change:
        """Return the change to other settings; the leases stay.

        ConfigError when these take a port that is not open, or do not fit the network. Boot files are not
        looked for, as at the start: unless this is a part of pxed, they may be on another machine.
        """
        server, settings = self._server, loaded.settings
        opened = {sock.getsockname()[1] for sock in self._sockets}
        for port in self._ports(settings).values() if server else ():
            if port not in opened:  # for a [menu]: another mode is not taken over by a reload
                raise ConfigError(f"a [menu] needs UDP port {port}, which is not open yet: restart instead")
        link = served.link(self.interface, settings)
        ready = server.prepare(settings, link) if server else Change()

        def commit() -> None:
            ready.commit()
            changed, self.settings = settings is not self.settings, settings
            if changed and self._log:
                self._advise(link, self._log)

        return Change(commit, ready.discard)

    def _advise(self, link: net.Link, log: Log) -> None:
        """Record what is possible, but hardly meant; ConfigError for what is not possible."""
        planned = plans(self.settings, link.name, link.address, link.network, link.addresses)
        mode = "full" if self.only_bootp else self.settings.dhcp.mode
        if mode == "full" and not any(plan.subnet.size() for plan in planned.networks):
            why = f"the network of {link.address}/{link.network.prefixlen} and [dhcp] range have none"
            if link.network.num_addresses == 1:
                why = f"{link.address} is a /32: give it a shorter prefix, as in {link.address}/24"
            log.warning("", f"no address can be leased on {link.name}: {why}")
        for sentence in advice.doubts(self.settings, planned, mode, only_bootp=self.only_bootp):
            log.warning("", sentence)

    def drain(self) -> None:
        """Nothing runs on between two datagrams."""

    def busy(self) -> bool:
        """Never: each datagram is answered at once."""
        return False

    def status(self) -> str:
        """Return how many addresses are leased."""
        return self._server.status() if self._server else "starting"

    def close(self) -> None:
        """Stop at once."""
        if self._server:
            self._server.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run pdhcpd; return its exit code."""
    return service.main(PROGRAM, argv, Dhcpd)


if __name__ == "__main__":
    sys.exit(main())
