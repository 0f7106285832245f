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
    integer,
    interface,
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
        "when started by a socket of systemd for all interfaces: end after so long without a client, until "
        "the next one comes; by default never. With one worker only",
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
    boot_file: str = option(
        "", text, "boot file of a machine that no boot rule names another for", metavar="FILE"
    )
    boot: tuple[tuple[str, str], ...] = option(
        (),
        boot_choice,
        "boot file by architecture: x86_64-efi, bios, ipxe, ... or the number of DHCP option 93",
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
        "seconds until the first entry of the menu is booted; 0: at once, 255: the menu waits for ever",
        metavar="SECONDS",
    )


@dataclass(frozen=True)
class Menu:
    """[menu NAME]: one entry, shown as NAME, of the menu that PXE firmware gets in place of [pxe] boot and
    boot_file. What a [host] gets, a [class] by more than its architecture, and iPXE wins over the menu."""

    boot_file: str = option("", text, "boot file of this entry", metavar="FILE")
    boot: tuple[tuple[str, str], ...] = option(
        (),
        boot_choice,
        "boot file by architecture; the entry is only shown to those that have one",
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
        "address to listen on; by default every one",
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
        "answer from the port that was asked, for NAT and containers; one worker only",
        restart=True,
    )
    workers: int | str = option(
        1, workers, "processes that serve; auto: one for each processor core", metavar="N", restart=True
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
        "largest block size granted, octets (RFC 2348); the MTU of the route caps it too",
        metavar="N",
    )
    windowsize: int = option(64, integer(1, 65535), "largest window granted, blocks (RFC 7440)", metavar="N")
    # How lost packets are dealt with
    timeout: float = option(
        1.0,
        seconds(0.05, 255),
        "first retransmission time, until the round trip is measured",
        metavar="TIME",
    )
    retries: int = option(
        6, integer(1, 50), "retransmissions without an answer before a transfer is given up", metavar="N"
    )
    opening_retries: int = option(
        3,
        integer(0, 50),
        "retransmissions to a client that never answered: they bound what a forged address can provoke",
        metavar="N",
    )
    # How much at once
    max_transfers: int = option(
        4096, integer(1, 1_000_000), "transfers at once; more are told that the server is busy", metavar="N"
    )
    max_client_transfers: int = option(
        64, integer(1, 1_000_000), "transfers at once for one client address", metavar="N"
    )
    request_rate: int = option(
        200, integer(1, 1_000_000), "requests a second answered to one client address", metavar="N"
    )
    # Names
    ignore_case: bool = option(
        False, flag, "when no file has the exact name, take one that differs only in case"
    )
    client_directory: tuple[str, ...] = option(
        (),
        text,
        "directories below the roots searched first; {address}, {mac}, {class} and {host} are "
        "those of the client",
        metavar="DIR",
        many=True,
    )
    # Uploads
    uploads: str = option(
        "none",
        choice("none", "create", "overwrite", "version"),
        "what clients may write; none: nothing; create: new files; overwrite: any file; version: any file, "
        "the old one is kept as NAME.~1~",
        metavar="POLICY",
    )
    upload_limit: int = option(1 << 30, octets(1, 1 << 50), "largest upload", metavar="SIZE")
    upload_reserve: int = option(
        64 << 20, octets(0, 1 << 50), "space that uploads leave free on the disk", metavar="SIZE"
    )
    upload_umask: int = option(0o022, umask, "permissions that uploaded files do not get", metavar="OCTAL")


@dataclass(frozen=True)
class Directory:
    """[directory PATH]: what is special about a directory below the first root."""

    uploads: str = option(
        "none",
        choice("none", "create", "overwrite", "version"),
        "what clients may write there, as in [tftp]",
        metavar="POLICY",
    )


@dataclass(frozen=True)
class Remap:
    """[remap NAME]: a rewriting of the names that clients ask for; rules apply in the order of the files."""

    match: str = option("", pattern, "regular expression searched in the name", metavar="REGEX")
    replace: str = option(
        "",
        text,
        "what stands instead of the match; \\1 is a group, {address}, {mac}, {class} and {host} "
        "are those of the client",
        metavar="TEXT",
    )
    refuse: str = option("", text, "refuse the request with this sentence instead", metavar="TEXT")
    request: str = option(
        "both", choice("both", "read", "write"), "which requests the rule is for", metavar="KIND"
    )
    last: bool = option(False, flag, "when the rule matched, no further one is looked at")


@dataclass(frozen=True)
class Dhcp:
    """[dhcp]: the DHCP server and proxyDHCP."""

    range: tuple[tuple[IPv4Address, IPv4Address], ...] = option(
        (),
        address_range,
        "addresses to lease; by default the interface's own network",
        metavar="FIRST-LAST",
        many=True,
    )
    exclude: tuple[tuple[IPv4Address, IPv4Address], ...] = option(
        (), address_range, "addresses never leased, though in a range", metavar="FIRST-LAST", many=True
    )
    lease_time: float = option(
        3600.0, seconds(60, 4_294_967_294), "how long an address is leased", metavar="TIME"
    )
    min_lease_time: float = option(
        60.0,
        seconds(60, 4_294_967_294),
        "shortest lease given to a client that asks for one",
        metavar="TIME",
    )
    max_lease_time: float | None = option(
        None,
        seconds(60, 4_294_967_294),
        "longest lease given to a client that asks for one; by default lease_time",
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
        "answer every DHCP client, not only those that boot by PXE",
        short="a",
        aliases=("--answer-all-dhcp-requests",),
    )
    authoritative: bool = option(
        False, flag, "refuse (DHCPNAK) unknown clients that ask for an address of another server"
    )
    identity: str = option(
        "auto",
        choice("auto", "mac", "client-id"),
        "what tells machines apart; mac: the hardware address; client-id: DHCP option 61; auto: the hardware "
        "address, option 61 where there is none",
        metavar="WHAT",
    )
    probe: bool = option(True, flag, "find out whether somebody uses an address before it is leased")
    trust_option_82: bool = option(
        False, flag, "take option 82 of switches that add it without being a relay agent (giaddr 0)"
    )
    reserve: tuple[tuple[bytes, IPv4Address], ...] = option(
        (), reservation, "address kept for one hardware address", metavar="MAC=ADDRESS", many=True
    )
    quarantine: float = option(
        900.0,
        seconds(0, 604_800),
        "how long an address that is in use by another machine is not leased; doubled each time in a row",
        metavar="TIME",
    )
    bootp: bool = option(False, flag, "answer BOOTP clients too, as [bootp] says")
    state_dir: str = option(
        "/var/lib/ptftpd", absolute_path, "directory of the lease database", metavar="DIR", restart=True
    )
    option: tuple[registry.Option, ...] = option(
        (),
        registry.option,
        "DHCP option that clients get if they ask for it (with 'always' before its name: in any case), such "
        "as ntp-servers=192.0.2.1 or 224=text:hello; one a line; ptftpd.conf(5) has the names of all",
        metavar="NAME=VALUE",
        many=True,
        lines=True,
    )


@dataclass(frozen=True)
class Bootp:
    """[bootp]: BOOTP, of pbootpd and of DHCP with bootp on."""

    dynamic: bool = option(
        False, flag, "give clients without a reservation a free address too, which they keep for ever"
    )
    always_rfc1048: bool = option(
        False, flag, "send mask and router to clients too that do not say that they know such options"
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
    vendor_class: str = option("", text, "start of the vendor class (DHCP option 60)", metavar="TEXT")
    mac: tuple[bytes, ...] = option(
        (),
        mac_prefix,
        "hardware addresses, or how they start (the maker: 52:54:00)",
        metavar="MAC",
        many=True,
    )
    circuit_id: tuple[str, ...] = option(
        (), text, "switch ports, as a relay agent names them (DHCP option 82.1)", metavar="TEXT", many=True
    )
    rollover: int = option(0, integer(0, 1), "the TFTP block number after 65535", metavar="0|1")
    boot_file: str = option("", text, "boot file of these clients", metavar="FILE")
    ipxe_file: str = option("", text, "boot file of these clients once they run iPXE", metavar="FILE")
    reply_delay: float = option(
        0.0,
        seconds(0, 10),
        "how long DHCP replies wait: the ROM of the Raspberry Pi 3 misses one that comes at once",
        metavar="TIME",
    )
    option: tuple[registry.Option, ...] = option(
        (),
        registry.option,
        "DHCP option for these clients, as in [dhcp]; one a line",
        metavar="NAME=VALUE",
        many=True,
        lines=True,
    )


@dataclass(frozen=True)
class Host:
    """[host NAME]: one machine, and what it gets."""

    mac: bytes = option(b"", mac, "its hardware address", metavar="MAC")
    address: IPv4Address | None = option(None, address4, "address kept for it", metavar="ADDRESS")
    guid: bytes = option(b"", guid, "its GUID, as DHCP option 97 has it", metavar="GUID")
    client_id: bytes = option(
        b"", client_id, "its client identifier (DHCP option 61), in hexadecimal", metavar="HEX"
    )
    boot_file: str = option("", text, "its boot file", metavar="FILE")
    ipxe_file: str = option("", text, "its boot file once it runs iPXE", metavar="FILE")
    option: tuple[registry.Option, ...] = option(
        (),
        registry.option,
        "DHCP option for it, as in [dhcp]; one a line",
        metavar="NAME=VALUE",
        many=True,
        lines=True,
    )


@dataclass(frozen=True)
class Subnet:
    """[subnet NAME]: a network behind a relay agent, and what its clients get."""

    network: IPv4Network | None = option(
        None, network4, "its addresses, such as 192.0.2.0/24", metavar="ADDRESS/LENGTH"
    )
    range: tuple[tuple[IPv4Address, IPv4Address], ...] = option(
        (),
        address_range,
        "addresses to lease; by default only those kept for hosts",
        metavar="FIRST-LAST",
        many=True,
    )
    exclude: tuple[tuple[IPv4Address, IPv4Address], ...] = option(
        (), address_range, "addresses never leased, though in a range", metavar="FIRST-LAST", many=True
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
        "DHCP option for its clients, as in [dhcp]; one a line",
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
