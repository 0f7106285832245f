"""Every setting: its name, default, syntax and one-sentence help. The only place a default is written.

The INI reader, the command line, --help, the manual pages, the sample files and the completions are
all made from the option() fields here; the client's are in client/settings.py. A setting's key is the
field's name, its long option the same words with dashes. A new setting is a field; a new section a dataclass
and its line in the tables at the end. The samples are then rendered anew, in the checkout:

    python3 -m ptftpd.programs.manual etc etc/ptftpd

A program finds it in Loaded.settings, by the section's name, and is given other settings by a reload: it
goes on with those, but for running transfers and for what has restart.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

from ptftpd.dhcp import pxe, registry
from ptftpd.errors import ConfigError
from ptftpd.option import option
from ptftpd.syntax import (
    absolute_path,
    address,
    address4,
    address_range,
    ascii_line,
    boot_choice,
    choice,
    client_id,
    flag,
    guid,
    identifier,
    integer,
    interface,
    lease_range,
    mac,
    mac_prefix,
    network4,
    octets,
    pattern,
    port_range,
    reservation,
    seconds,
    text,
    umask,
    vendor_class,
    workers,
)
from ptftpd.tftp.options import KNOWN


@dataclass(frozen=True)
class Daemon:
    """[daemon]: how every program runs as a process."""

    user: str = option(
        "ptftpd",
        text,
        "user to become once the sockets are open, when started as root",
        metavar="USER",
        short="u",
        restart=True,
    )
    idle_timeout: float | None = option(
        None,
        seconds(1, 604_800),
        "when started by ptftpd.socket: exit after this long without a client; the next one starts it again; "
        "by default never; with one worker only",
        metavar="TIME",
        restart=True,
    )


@dataclass(frozen=True)
class Pxe:
    """[pxe]: what is booted from where; common to TFTP, DHCP, proxyDHCP and BOOTP."""

    root: tuple[str, ...] = option(
        ("/srv/tftp",),
        absolute_path,
        "directory of the files to serve; several are searched in order",
        metavar="DIR",
        many=True,
    )
    boot_file: str = option("", text, "boot file for machines that no other rule matches", metavar="FILE")
    boot: tuple[tuple[str, str], ...] = option(
        (),
        boot_choice,
        "boot file by architecture: x86_64-efi, bios, ipxe, ... or a number from DHCP option 93",
        metavar="ARCH=FILE",
        many=True,
    )
    tftp_server: IPv4Address | None = option(
        None,
        address4,
        "TFTP server to boot from; by default this machine's address on the interface",
        metavar="ADDRESS",
        short="t",
    )
    gateway: IPv4Address | None = option(
        None, address4, "router handed to the clients; by default none", metavar="ADDRESS", short="g"
    )
    name_server: tuple[IPv4Address, ...] = option(
        (),
        address4,
        "DNS server handed to the clients; may be repeated",
        metavar="ADDRESS",
        short="n",
        many=True,
    )
    menu_prompt: str = option(
        "Press F8 for the boot menu", ascii_line, "what PXE firmware shows before its menu", metavar="TEXT"
    )
    menu_timeout: int = option(
        10,
        integer(0, 255),
        "seconds until the first menu entry is booted; 0: at once, 255: the menu waits for ever",
        metavar="SECONDS",
    )


@dataclass(frozen=True)
class Menu:
    """[menu NAME]: one entry, shown as NAME, of the menu that PXE firmware gets in place of [pxe] boot and
    boot_file. A [host], a [class] by more than its architecture, and rules for iPXE win over the menu."""

    boot_file: str = option("", text, "boot file for this entry", metavar="FILE")
    boot: tuple[tuple[str, str], ...] = option(
        (),
        boot_choice,
        "boot file by architecture; only machines that it has a file for see the entry",
        metavar="ARCH=FILE",
        many=True,
    )
    local: bool = option(False, flag, "boot from the local disk")


@dataclass(frozen=True)
class Tftp:
    """[tftp]: the TFTP server."""

    interface: str = option(
        "", interface, "serve only this interface", metavar="IFACE", short="i", restart=True
    )
    address: tuple[IPv4Address | IPv6Address, ...] = option(
        (),
        address,
        "address to listen on; by default all",
        metavar="ADDRESS",
        short="a",
        many=True,
        restart=True,
    )
    port: int = option(
        69, integer(1, 65535), "UDP port to listen on", metavar="PORT", short="p", restart=True
    )
    port_range: tuple[int, int] | None = option(
        None, port_range, "ports to answer from, for a firewall; by default any", metavar="FIRST-LAST"
    )
    single_port: bool = option(
        False,
        flag,
        "answer from the port that requests come to, for NAT and containers; one worker only",
        restart=True,
    )
    single_port_rate: int = option(
        4 << 20,
        octets(1 << 10, 1 << 40),
        "octets a second sent to one client address with single_port; limits what a forged one can trigger",
        metavar="SIZE",
    )
    workers: int | str = option(
        1, workers, "number of server processes; auto: one per CPU core", metavar="N", restart=True
    )
    # What is negotiated
    rfc1350: bool = option(False, flag, "plain RFC 1350: no TFTP options at all", short="r")
    refuse_option: tuple[str, ...] = option(
        (),
        choice(*KNOWN),
        "TFTP option never granted: blksize, tsize, timeout, windowsize",
        metavar="NAME",
        many=True,
    )
    blksize: int = option(
        65464,
        integer(8, 65464),
        "largest block size granted, in octets (RFC 2348); the route's MTU limits it too",
        metavar="N",
    )
    windowsize: int = option(
        64,
        integer(1, 65535),
        "largest window granted, in blocks (RFC 7440); with single_port 1 unless set",
        metavar="N",
    )
    # How lost packets are dealt with
    timeout: float = option(
        1.0,
        seconds(0.05, 255),
        "time to the first retransmission, until the round trip is measured",
        metavar="TIME",
    )
    retries: int = option(
        6, integer(1, 50), "retransmissions without an answer before a transfer is given up", metavar="N"
    )
    opening_retries: int = option(
        3,
        integer(0, 50),
        "retransmissions to a client that has not answered yet; limits what a forged address can trigger",
        metavar="N",
    )
    # How much at once
    max_transfers: int = option(
        4096,
        integer(1, 1_000_000),
        "transfers at once, of each worker; further clients are told that the server is busy",
        metavar="N",
    )
    max_client_transfers: int = option(
        64, integer(1, 1_000_000), "transfers at once per client address, of each worker", metavar="N"
    )
    transfer_memory: int = option(
        128 << 20,
        octets(1 << 20, 1 << 50),
        "memory for what transfers have read of their files, shared out to the workers; what has no room is "
        "read again",
        metavar="SIZE",
    )
    request_rate: int = option(
        200,
        integer(1, 1_000_000),
        "requests per second answered per client address, by each worker",
        metavar="N",
    )
    # Names
    ignore_case: bool = option(
        False, flag, "when no file has the exact name, take one that differs only in case"
    )
    client_directory: tuple[str, ...] = option(
        (),
        text,
        "directories below the roots to search first; {address}, {mac}, {class} and {host} are the client's",
        metavar="DIR",
        many=True,
    )
    # Uploads
    uploads: str = option(
        "none",
        choice("none", "create", "overwrite", "version"),
        "what clients may write; none: nothing; create: new files; overwrite: any file; version: any file, "
        "with the old one kept as NAME.~1~",
        metavar="POLICY",
    )
    upload_limit: int = option(1 << 30, octets(1, 1 << 50), "largest upload", metavar="SIZE")
    upload_reserve: int = option(
        64 << 20, octets(0, 1 << 50), "space that uploads leave free on the disk", metavar="SIZE"
    )
    upload_umask: int = option(
        0o022,
        umask,
        "umask of uploaded files; one that replaces another has its mode and group",
        metavar="OCTAL",
    )
    upload_versions: int = option(
        0,
        integer(0, 1_000_000),
        "earlier versions of a file that uploads = version keeps; the oldest is removed; 0: all are kept",
        metavar="N",
    )


@dataclass(frozen=True)
class Directory:
    """[directory PATH]: what differs in one directory below the first root."""

    uploads: str = option(
        "none",
        choice("none", "create", "overwrite", "version"),
        "what clients may write there, as in [tftp]",
        metavar="POLICY",
    )


@dataclass(frozen=True)
class Remap:
    """[remap NAME]: rewrites the names that clients ask for; rules apply in the order they are read."""

    match: str = option("", pattern, "regular expression to search for in the name", metavar="REGEX")
    replace: str = option(
        "",
        text,
        "what replaces the match; \\1 is its first group, {address}, {mac}, {class} and {host} "
        "are the client's",
        metavar="TEXT",
    )
    refuse: str = option("", text, "refuse the request with this message instead", metavar="TEXT")
    request: str = option(
        "both", choice("both", "read", "write"), "which requests the rule applies to", metavar="KIND"
    )
    last: bool = option(False, flag, "apply no further rules after this one matches")


@dataclass(frozen=True)
class Dhcp:
    """[dhcp]: the DHCP server and proxyDHCP."""

    address: IPv4Address | None = option(
        None,
        address4,
        "which of the interface's addresses is the server's, and whose network is served; by default the one "
        "whose network holds range, else the first that is not link-local",
        metavar="ADDRESS",
    )
    range: tuple[tuple[IPv4Address, IPv4Address], ...] = option(
        (),
        lease_range,
        "addresses to lease; by default the interface's own network",
        metavar="FIRST-LAST",
        many=True,
    )
    exclude: tuple[tuple[IPv4Address, IPv4Address], ...] = option(
        (), address_range, "addresses never leased, even in a range", metavar="FIRST-LAST", many=True
    )
    lease_time: float = option(
        3600.0, seconds(60, 4_294_967_294), "how long an address is leased", metavar="TIME"
    )
    min_lease_time: float = option(
        60.0,
        seconds(60, 4_294_967_294),
        "shortest lease that a client can ask for",
        metavar="TIME",
    )
    max_lease_time: float | None = option(
        None,
        seconds(60, 4_294_967_294),
        "longest lease that a client can ask for; by default lease_time",
        metavar="TIME",
    )
    mode: str = option(
        "full",
        choice("full", "proxy", "auto"),
        "full: addresses and boot files; proxy: boot files beside another DHCP server; auto: proxy while "
        "another DHCP server answers on the network, else full",
        metavar="MODE",
        restart=True,
    )
    answer_all: bool = option(
        False,
        flag,
        "answer every DHCP client, not only those that boot over the network or that a rule names",
        short="a",
        aliases=("--answer-all-dhcp-requests",),
    )
    authoritative: bool = option(
        False, flag, "refuse (DHCPNAK) clients that ask for a lease this server does not know"
    )
    identity: str = option(
        "auto",
        choice("auto", "mac", "client-id"),
        "how machines are told apart; mac: by hardware address; client-id: by DHCP option 61; auto: by "
        "hardware address, or option 61 if there is none",
        metavar="WHAT",
    )
    probe: bool = option(True, flag, "check that an address is not in use before leasing it")
    trust_option_82: bool = option(
        False, flag, "accept option 82 from switches that add it without being a relay agent (giaddr 0)"
    )
    relays: tuple[IPv4Address, ...] = option(
        (),
        address4,
        "relay agents (giaddr) that are answered though they are in no network described here and send from "
        "another address, such as those that put a loopback address there",
        metavar="ADDRESS",
        many=True,
    )
    reserve: tuple[tuple[bytes, IPv4Address], ...] = option(
        (), reservation, "address reserved for one hardware address", metavar="MAC=ADDRESS", many=True
    )
    quarantine: float = option(
        900.0,
        seconds(0, 604_800),
        "how long an address found in use by another machine is not leased; doubled each time in a row",
        metavar="TIME",
    )
    bootp: bool = option(
        False,
        flag,
        "answer BOOTP clients too, as [bootp] says, while this server leases the addresses (see mode)",
    )
    state_dir: str = option(
        "/var/lib/ptftpd", absolute_path, "directory of the lease database", metavar="DIR", restart=True
    )
    option: tuple[registry.Option, ...] = option(
        (),
        registry.option,
        "DHCP option sent to clients that ask for it ('always' before its name: to all of them), such as "
        "ntp-servers=192.0.2.1 or 224=text:hello; one per line; ptftpd.conf(5) lists the names",
        metavar="NAME=VALUE",
        many=True,
        lines=True,
    )

    def database(self, interface: str) -> str:
        """Return the path of the lease database of an interface; '*' stands for every one."""
        return posixpath.join(self.state_dir, f"leases-{interface}.sqlite")


@dataclass(frozen=True)
class Bootp:
    """[bootp]: BOOTP, of pbootpd and of DHCP with bootp on."""

    dynamic: bool = option(
        False, flag, "also give clients without a reservation a free address, which they keep for ever"
    )
    always_rfc1048: bool = option(
        False, flag, "send options such as the mask even if the request has no RFC 1048 magic cookie"
    )


@dataclass(frozen=True)
class Class:
    """[class NAME]: the clients that match every key given here, and what they get."""

    arch: tuple[str, ...] = option(
        (),
        pxe.architecture_name,
        "architectures, by name or number (DHCP option 93)",
        metavar="ARCH",
        many=True,
    )
    ipxe: bool | None = option(None, flag, "yes: only iPXE; no: anything but iPXE (options 77, 175)")
    vendor_class: str = option(
        "",
        vendor_class,
        "start of the vendor class (DHCP option 60), as text or as octets such as 0x0a00ff",
        metavar="TEXT",
    )
    mac: tuple[bytes, ...] = option(
        (),
        mac_prefix,
        "hardware addresses or their beginnings, such as 52:54:00 for a maker",
        metavar="MAC",
        many=True,
    )
    circuit_id: tuple[bytes, ...] = option(
        (),
        identifier,
        "switch ports, as a relay agent names them (DHCP option 82.1), as text or as octets such as "
        "0x000400010105",
        metavar="ID",
        many=True,
    )
    remote_id: tuple[bytes, ...] = option(
        (),
        identifier,
        "switches or relay agents, as they name themselves (DHCP option 82.2), as text or as octets",
        metavar="ID",
        many=True,
    )
    rollover: int = option(0, integer(0, 1), "TFTP block number that follows 65535", metavar="0|1")
    boot_file: str = option("", text, "boot file for these clients", metavar="FILE")
    ipxe_file: str = option("", text, "boot file for these clients once they run iPXE", metavar="FILE")
    reply_delay: float = option(
        0.0,
        seconds(0, 10),
        "how long to delay DHCP replies: the ROM of the Raspberry Pi 3 misses one that comes at once",
        metavar="TIME",
    )
    option: tuple[registry.Option, ...] = option(
        (),
        registry.option,
        "DHCP option for these clients, as in [dhcp]; one per line",
        metavar="NAME=VALUE",
        many=True,
        lines=True,
    )


@dataclass(frozen=True)
class Host:
    """[host NAME]: one machine, and what it gets."""

    mac: bytes = option(b"", mac, "its hardware address", metavar="MAC")
    address: IPv4Address | None = option(None, address4, "address reserved for it", metavar="ADDRESS")
    guid: bytes = option(b"", guid, "its GUID (DHCP option 97), in either order of octets", metavar="GUID")
    client_id: bytes = option(
        b"", client_id, "its client identifier (DHCP option 61), in hexadecimal", metavar="HEX"
    )
    boot_file: str = option("", text, "its boot file", metavar="FILE")
    ipxe_file: str = option("", text, "its boot file once it runs iPXE", metavar="FILE")
    option: tuple[registry.Option, ...] = option(
        (),
        registry.option,
        "DHCP option for it, as in [dhcp]; one per line",
        metavar="NAME=VALUE",
        many=True,
        lines=True,
    )


@dataclass(frozen=True)
class Subnet:
    """[subnet NAME]: a network behind a relay agent, or a further one on the interface's own cable where it
    has an address in it too; and what its clients get."""

    network: IPv4Network | None = option(
        None, network4, "its addresses, such as 192.0.2.0/24", metavar="ADDRESS/LENGTH"
    )
    range: tuple[tuple[IPv4Address, IPv4Address], ...] = option(
        (),
        lease_range,
        "addresses to lease; by default only reserved ones",
        metavar="FIRST-LAST",
        many=True,
    )
    exclude: tuple[tuple[IPv4Address, IPv4Address], ...] = option(
        (), address_range, "addresses never leased, even in a range", metavar="FIRST-LAST", many=True
    )
    gateway: IPv4Address | None = option(None, address4, "its router; by default none", metavar="ADDRESS")
    name_server: tuple[IPv4Address, ...] = option(
        (), address4, "its DNS servers; by default those of [pxe]", metavar="ADDRESS", many=True
    )
    lease_time: float | None = option(
        None,
        seconds(60, 4_294_967_294),
        "how long an address is leased; by default as in [dhcp]",
        metavar="TIME",
    )
    option: tuple[registry.Option, ...] = option(
        (),
        registry.option,
        "DHCP option for its clients, as in [dhcp]; one per line",
        metavar="NAME=VALUE",
        many=True,
        lines=True,
    )


@dataclass(frozen=True)
class Settings:
    """Every effective setting of a program. sources: (section, key) -> where the value was written."""

    daemon: Daemon = field(default_factory=Daemon)
    pxe: Pxe = field(default_factory=Pxe)
    tftp: Tftp = field(default_factory=Tftp)
    dhcp: Dhcp = field(default_factory=Dhcp)
    bootp: Bootp = field(default_factory=Bootp)
    directories: dict[str, Directory] = field(default_factory=dict)
    remaps: dict[str, Remap] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    subnets: dict[str, Subnet] = field(default_factory=dict)
    menus: dict[str, Menu] = field(default_factory=dict)
    sources: dict[tuple[str, str], str] = field(default_factory=dict)

    def misfit(self, section: str, key: str, value: str, reason: str) -> ConfigError:
        """Return the error of a setting that is right by itself, but does not fit the rest."""
        setting = f"[{section}] {key} = {value}" if value else f"[{section}] {key}"
        return ConfigError(reason, source=self.sources.get((section, key), ""), setting=setting)

    def until_restart(self, running: Settings) -> tuple[Settings, list[str]]:
        """Return these settings as far as a reload takes them over, and what it does not, a sentence each.

        running: those in force, whose values stay where only a start can change them.
        """
        kept: dict[str, Any] = {}
        changed: list[str] = []
        for section in fields(self):
            read, old = getattr(self, section.name), getattr(running, section.name)
            if isinstance(read, dict):
                continue  # of sections with names of their own; a reload takes them all over
            stay = {each.name: getattr(old, each.name) for each in fields(read) if each.metadata["restart"]}
            kept[section.name] = replace(read, **stay)
            for name in (name for name, value in stay.items() if getattr(read, name) != value):
                source = self.sources.get((section.name, name), "")
                changed.append(f"{source}: [{section.name}] {name}".removeprefix(": "))
        sentences = [f"{setting}: changed, which only a restart takes over" for setting in changed]
        return replace(self, **kept), sentences


SECTIONS: dict[str, type] = {
    "daemon": Daemon,
    "pxe": Pxe,
    "tftp": Tftp,
    "dhcp": Dhcp,
    "bootp": Bootp,
}
NAMED: dict[str, tuple[type, str]] = {  # [KIND NAME]: (dataclass, field of Settings)
    "class": (Class, "classes"),
    "host": (Host, "hosts"),
    "subnet": (Subnet, "subnets"),
    "directory": (Directory, "directories"),
    "remap": (Remap, "remaps"),
    "menu": (Menu, "menus"),
}
