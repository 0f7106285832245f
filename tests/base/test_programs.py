"""The command lines of the programs: what each takes, prints and returns."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from functools import partial, partialmethod
from ipaddress import IPv4Interface
from pathlib import Path
from unittest.mock import Mock

import pytest

import ptftpd
from ptftpd import config, net
from ptftpd.change import Change
from ptftpd.errors import ConfigError, Error
from ptftpd.log import Log
from ptftpd.loop import Loop
from ptftpd.program import Loaded, Program
from ptftpd.programs import bootpd, dhcpd, pxed, tftpd
from tests.base.setting_texts import values
from tests.lab import CHECKOUT, reachable

Output = pytest.CaptureFixture[str]
Main = Callable[[Sequence[str]], int]

SCRIPTS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["scripts"]
MODULES = [importlib.import_module(name) for name in sorted({x.split(":")[0] for x in SCRIPTS.values()})]
DAEMONS = [module for module in MODULES if isinstance(getattr(module, "PROGRAM", None), Program)]

every_program = pytest.mark.parametrize("main", [x.main for x in MODULES], ids=[x.__name__ for x in MODULES])
every_daemon = pytest.mark.parametrize(
    ("main", "program"), [(x.main, x.PROGRAM) for x in DAEMONS], ids=[x.PROGRAM.name for x in DAEMONS]
)


@pytest.fixture(autouse=True)
def open_to_all(tmp_path: Path) -> None:
    """Let every user reach the files of a test: asked by root, it is the server's user who looks."""
    if os.geteuid() == 0:
        reachable(tmp_path)


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine's own configuration and service manager play no part."""
    monkeypatch.setattr(config, "load", partial(config.load, directory=str(tmp_path / "etc")))
    for name in ("NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def port() -> int:
    """Return a UDP port of 127.0.0.1 that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def exit_code(main: Main, *argv: str) -> int:
    """Return how a program ends, however it does."""
    try:
        return main(argv)
    except SystemExit as ended:
        return int(ended.code or 0)


def needed(program: Program) -> list[str]:
    """Return the arguments that a program cannot do without."""
    return ["eth0" for positional in program.positionals if positional.required]


def test_each_daemon_is_installed_by_its_name() -> None:
    for module in DAEMONS:
        assert SCRIPTS[module.PROGRAM.name] == f"{module.__name__}:main"
    assert {module.PROGRAM.name for module in DAEMONS} == {"ptftpd", "pdhcpd", "pbootpd", "pxed"}


@pytest.mark.parametrize(
    ("main", "word", "value", "taken"),
    [
        (bootpd.main, "quarantine", "1h", True),
        (bootpd.main, "identity", "mac", False),
        (bootpd.main, "max-lease-time", "1h", False),
        (bootpd.main, "menu-timeout", "3", False),
        (dhcpd.main, "idle-timeout", "3", False),
        (pxed.main, "idle-timeout", "3", False),
        (tftpd.main, "idle-timeout", "3", True),
    ],
)
def test_no_option_without_effect(main: Main, word: str, value: str, taken: bool, capsys: Output) -> None:
    """What a program has no use for it refuses, and does not take it in silence."""
    arguments = [f"--{word}", value, "--dump-config"] + (["eth0"] if main is not tftpd.main else [])
    assert exit_code(main, *arguments) == (0 if taken else 2)
    assert (f"unrecognized arguments: --{word}" in capsys.readouterr().err) != taken


@every_program
def test_version(main: Main, capsys: Output) -> None:
    assert exit_code(main, "--version") == 0
    assert capsys.readouterr().out.rstrip().endswith(f" {ptftpd.__version__}")


@every_program
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(main: Main, option: str, capsys: Output) -> None:
    """Every option is explained, in lines that fit a terminal, and nothing is left to fill in."""
    assert exit_code(main, option) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert re.search(r"\busage: ", output.out)
    assert "--rfc1350" in output.out
    assert not re.search(r"%\(|None\b|<function|SUPPRESS", output.out)


@every_program
def test_an_unknown_option(main: Main, capsys: Output) -> None:
    assert exit_code(main, "eth0", "--no-such-option") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "--no-such-option" in output.err
    assert "--help" in output.err


@every_daemon
@pytest.mark.parametrize("option", ["-r", "--rfc1350"])
def test_rfc1350_everywhere(main: Main, program: Program, option: str, capsys: Output) -> None:
    assert exit_code(main, option, *needed(program), "--dump-config") == 0
    dumped = capsys.readouterr().out
    assert ("rfc1350 = yes" in dumped) == ("tftp" in program.sections)


@every_daemon
def test_dump_is_a_file_that_says_the_same(
    main: Main, program: Program, tmp_path: Path, capsys: Output
) -> None:
    arguments = [*needed(program), "-u", "me"]
    assert exit_code(main, *arguments, "--dump-config") == 0
    (tmp_path / "dumped").write_text(capsys.readouterr().out)
    again = config.load(program, [*needed(program), "-c", str(tmp_path / "dumped")])
    assert values(again.settings) == values(config.load(program, arguments).settings)
    assert {section for section, _ in again.settings.sources} == set(program.sections)


@pytest.mark.parametrize("question", [["--dump-config"], ["--explain", "525400000001", "--arch", "bios"]])
def test_a_reader_that_has_seen_enough(question: list[str]) -> None:
    """As in 'pxed eth0 --dump-config | head': nothing is said of it."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ptftpd.programs.pxed", "lo", "-c", os.devnull, *question]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=CHECKOUT, check=False)
    os.close(writer)
    assert ended.stderr == b""


@every_daemon
def test_a_bad_file(main: Main, program: Program, tmp_path: Path, capsys: Output) -> None:
    """sysexits.h, EX_CONFIG: exit code 78 and a line for each fault."""
    (tmp_path / "bad").write_text("[daemon]\nuser =\nusr = x\n")
    for action in ([], ["--check"], ["--dump-config"]):
        assert exit_code(main, *needed(program), "-c", str(tmp_path / "bad"), *action) == 78
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.splitlines() == [
            f"{program.name}: error: {tmp_path}/bad:3: [daemon] usr: unknown setting; did you mean user?",
            f"{program.name}: error: {tmp_path}/bad:2: [daemon] user =: must not be empty",
        ]


@every_daemon
def test_an_interface_that_is_not_there(main: Main, program: Program, capsys: Output) -> None:
    where = ["nosuch0"] if needed(program) else ["-i", "nosuch0"]
    assert exit_code(main, *where, "--check") == 78
    assert f"{program.name}: error: there is no network interface nosuch0 here" in capsys.readouterr().err


class TestCheck:
    """ptftpd --check: what would keep it from serving."""

    def check(self, port: int, *argv: str) -> int:
        """Return the exit code."""
        main: Main = importlib.import_module("ptftpd.programs.tftpd").main
        where = () if "-a" in argv else ("-a", "127.0.0.1")
        return exit_code(main, "--check", "-p", str(port), *where, *argv)

    def test_good(self, port: int, tmp_path: Path, capsys: Output) -> None:
        for _ in range(2):  # the first leaves nothing open
            assert self.check(port, str(tmp_path)) == 0
        assert capsys.readouterr().out == "the configuration is good\n" * 2

    def test_the_port_is_taken(self, port: int, tmp_path: Path, capsys: Output) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", port))
            assert self.check(port, str(tmp_path)) == 1
        assert capsys.readouterr().err == (
            f"ptftpd: error: UDP port {port} of 127.0.0.1 is taken by another program: "
            f"stop that one (ss -ulpn 'sport = {port}' shows it, systemctl list-sockets if it is systemd's)\n"
        )

    @pytest.mark.parametrize("ours", [True, False])
    def test_the_port_is_shared(
        self, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: bool
    ) -> None:
        """SO_REUSEADDR: dnsmasq is in the way all the same, systemd is not."""
        monkeypatch.setattr("ptftpd.units.listening", lambda *units: ours)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            assert self.check(port, str(tmp_path)) == (0 if ours else 1)

    def test_an_address_of_somebody_else(self, port: int, tmp_path: Path, capsys: Output) -> None:
        assert self.check(port, "-a", "192.0.2.1", str(tmp_path)) == 1
        assert capsys.readouterr().err == "ptftpd: error: 192.0.2.1 is not an address of this machine\n"

    @pytest.mark.parametrize(("name", "reason"), [
        ("absent", "No such file or directory"), ("file", "Not a directory"),
    ])  # fmt: skip
    def test_a_root_that_cannot_be_served(
        self, port: int, tmp_path: Path, capsys: Output, name: str, reason: str
    ) -> None:
        (tmp_path / "file").touch()
        assert self.check(port, f"{tmp_path}/{name}") == 78
        assert f"{tmp_path}/{name}: {reason}" in capsys.readouterr().err

    @pytest.mark.parametrize(("section", "setting", "reason"), [
        ("remap own", "match = ^a\nreplace = \\2", "must fit match = ^a: invalid group reference 2"),
        ("directory ../x", "uploads = create", "must stay below the root directory: ../x leads out of it"),
        ("tftp", "client_directory = ../{mac}", "must stay below the root directory: ../{mac} leads"),
    ])  # fmt: skip
    def test_names_that_lead_nowhere(
        self, port: int, tmp_path: Path, capsys: Output, section: str, setting: str, reason: str
    ) -> None:
        """What would keep it from starting, or each client from its file, is said before."""
        (tmp_path / "conf").write_text(f"[{section}]\n{setting}\n")
        assert self.check(port, "-c", f"{tmp_path}/conf", str(tmp_path)) == 78
        last = setting.splitlines()[-1]
        number = 2 + setting.count("\n")
        said = f"ptftpd: error: {tmp_path}/conf:{number}: [{section}] {last}: {reason}"
        assert capsys.readouterr().err.startswith(said)


class TestCheckOfBootFiles:
    """pxed --check: boot files that its own TFTP server could not send."""

    def check(self, *argv: str) -> int:
        """Return the exit code."""
        main: Main = importlib.import_module("ptftpd.programs.pxed").main
        return exit_code(main, "--check", "lo", *argv)

    def test_absent(self, tmp_path: Path, capsys: Output) -> None:
        (tmp_path / "a.conf").write_text("[pxe]\nboot =\n bios=http://192.0.2.1/x\n  ipxe=absent.ipxe\n")
        assert self.check("-c", f"{tmp_path}/a.conf", str(tmp_path)) == 78
        assert capsys.readouterr().err == (
            f"pxed: error: {tmp_path}/a.conf:2: boot file absent.ipxe below {tmp_path}: no such file\n"
        )

    @pytest.mark.parametrize(("section", "key"), [
        ("menu Install", "boot_file"), ("class x", "ipxe_file"), ("host y", "ipxe_file"),
    ])  # fmt: skip
    def test_in_every_section(self, tmp_path: Path, capsys: Output, section: str, key: str) -> None:
        (tmp_path / "a.conf").write_text(f"[{section}]\n{key} = absent.0\n")
        assert self.check("-c", f"{tmp_path}/a.conf", str(tmp_path)) == 78
        assert f"{tmp_path}/a.conf:2: boot file absent.0 below {tmp_path}" in capsys.readouterr().err

    def test_all_that_is_wrong_is_told_in_one_run(self, tmp_path: Path, capsys: Output) -> None:
        """Files that are missing, addresses that do not fit: who mends one is not sent for the next."""
        (tmp_path / "a.conf").write_text(
            "[pxe]\nboot_file = absent.0\nboot = x86_64-efi=absent.efi\n"
            "[dhcp]\nrange = 192.0.2.5-192.0.2.6, 198.51.100.1-198.51.100.2\n"
            "[host a]\nmac = 52:54:00:12:34:56\naddress = 192.0.2.33\n"
            "[host b]\nmac = 52:54:00:12:34:57\naddress = 192.0.2.34\nboot_file = b.0\n"
        )
        assert self.check("-c", f"{tmp_path}/a.conf", str(tmp_path)) == 78
        lines = capsys.readouterr().err.splitlines()
        for told in (
            "boot file absent.0", "boot file absent.efi", "boot file b.0", "range = 192.0.2.5-192.0.2.6",
            "range = 198.51.100.1-198.51.100.2", "address = 192.0.2.33", "address = 192.0.2.34",
        ):  # fmt: skip
            assert sum(told in line and line.startswith("pxed: error: ") for line in lines) == 1, told

    @pytest.mark.parametrize(("name", "rules", "found"), [
        ("/boot/a.efi", "", True),
        (r"boot\A.efi", "ignore_case = yes\n", True),
        ("a.efi", "[remap a]\nmatch = ^\nreplace = boot/\n", True),
        ("{root}/boot/a.efi", "", True),
        ("boot/b.efi", "", False),
    ])  # fmt: skip
    def test_the_name_as_clients_ask_for_it(
        self, tmp_path: Path, capsys: Output, name: str, rules: str, found: bool
    ) -> None:
        """Found is what the TFTP server would send them, by all of its rules."""
        (tmp_path / "boot").mkdir()
        (tmp_path / "boot/a.efi").touch()
        (tmp_path / "a.conf").write_text(f"[pxe]\nboot_file = {name.format(root=tmp_path)}\n[tftp]\n{rules}")
        self.check("-c", f"{tmp_path}/a.conf", str(tmp_path))
        assert ("no such file" in capsys.readouterr().err) is not found

    def test_none_at_all(self, tmp_path: Path, capsys: Output) -> None:
        """Clients would get an address and nothing to boot: that is said, and is no failure."""
        self.check(str(tmp_path))
        told = "warning: no boot file is set, so clients get nothing to boot, but for a Raspberry Pi, which"
        assert told in capsys.readouterr().err

    def test_present_or_elsewhere(self, tmp_path: Path, capsys: Output) -> None:
        (tmp_path / "boot.efi").touch()
        for argv in (["boot.efi"], ["http://192.0.2.1/x"], ["absent", "-t", "192.0.2.1"]):
            self.check(str(tmp_path), *argv)  # what follows, the ports, may be root's alone
            assert "boot file" not in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "told"), [
    (["-g", "192.0.2.1"], "--gateway: [pxe] gateway = 192.0.2.1: is not in 127.0.0.0/8, the network of its"),
    (["--exclude", "127.0.0.0-127.255.255.255"], "no address can be leased on lo: the network of 127"),
    (["--exclude", "127.0.0.0-127.255.255.255", "--mode", "proxy"], "as a proxy this server leases no"),
    (["-g", "192.0.2.1", "--mode", "proxy"], "as a proxy this server leases no address, so"),
    (["undionly.kpxe"], "[pxe] boot_file = undionly.kpxe: iPXE asks again once it runs"),
    (["--exclude", "127.0.0.2-127.255.255.255", "--reserve", "52:54:00:12:34:56=127.0.0.9"], ""),
], ids=["gateway", "no address", "proxy", "gateway of a proxy", "circular", "reserved"])  # fmt: skip
def test_what_is_hardly_meant(capsys: Output, argv: list[str], told: str) -> None:
    """pdhcpd --check says it, and goes on."""
    dhcpd.main(["--check", "lo", *argv])  # the ports may be root's alone
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert [line.startswith(f"pdhcpd: warning: {told}") for line in warnings] == [True] * bool(told)


def test_what_bootp_has_nothing_to_do_with(tmp_path: Path, capsys: Output) -> None:
    """iPXE asks by DHCP, which pbootpd does not speak; nor is the mode of DHCP its own."""
    (tmp_path / "a.conf").write_text("[dhcp]\nmode = proxy\nexclude = 127.0.0.0-127.255.255.255\n")
    bootpd.main(["--check", "-c", f"{tmp_path}/a.conf", "-g", "192.0.2.1", "lo", "undionly.kpxe"])
    told = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert [re.sub(".*warning: ", "", line)[:26] for line in told] == [
        "no address can be leased o", "--gateway: [pxe] gateway =",
    ]  # fmt: skip


def test_an_address_without_its_length(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """'ip address add 127.0.0.1' makes it a network of its own, from which nothing can be leased."""
    addresses = (IPv4Interface("127.0.0.1/32"),)
    alone = dataclasses.replace(net.link("lo"), addresses=addresses, network=addresses[0].network)
    monkeypatch.setattr("ptftpd.net.link", lambda name: alone)
    dhcpd.main(["--check", "lo"])
    told = "warning: no address can be leased on lo: 127.0.0.1 is a /32: give it a shorter prefix"
    assert told in capsys.readouterr().err


def test_an_address_with_a_zone(tmp_path: Path) -> None:
    """The socket is on it, though it does not tell the zone: nothing is to be said."""
    settings = config.load(tftpd.PROGRAM, ["-a", "fe80::1%lo", str(tmp_path)])
    daemon = tftpd.Tftpd(settings)
    daemon.open({"tftp": [Mock(getsockname=lambda: ("fe80::1", 69, 0, 1))]})
    assert list(daemon._overruled()) == []


def test_another_address_of_the_interface_is_no_new_advice(tmp_path: Path) -> None:
    """What uploads lack is said when the settings are read, not each time that a lease is renewed."""
    first, second = (config.load(tftpd.PROGRAM, [str(tmp_path)]) for _ in range(2))
    daemon = tftpd.Tftpd(first)
    daemon._server = server = Mock()
    daemon.prepare(first).commit()
    assert server.record_faults.call_count == 0
    daemon.prepare(second).commit()
    assert (server.prepare.call_count, server.record_faults.call_count) == (2, 1)


def test_pxed_takes_over_settings_in_both_parts_or_in_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What DHCP cannot use is not what TFTP goes on with."""
    took: list[tuple[str, str]] = []

    def prepare(daemon: object, part: str, loaded: Loaded) -> Change:
        file = loaded.settings.pxe.boot_file
        if part == "DHCP" and file == "bad":
            raise Error("must be good")
        return Change(lambda: took.append((part, file)), lambda: took.append((f"not {part}", file)))

    monkeypatch.setattr(tftpd.Tftpd, "prepare", partialmethod(prepare, "TFTP"))
    monkeypatch.setattr(dhcpd.Dhcpd, "prepare", partialmethod(prepare, "DHCP"))
    first, second, bad = (
        config.load(pxed.PROGRAM, ["eth0", str(tmp_path), name]) for name in ("first", "second", "bad")
    )
    daemon = pxed.Pxed(first)
    change = daemon.prepare(second)
    assert took == []
    change.commit()
    with pytest.raises(Error, match="must be good"):
        daemon.prepare(bad)
    assert took == [("TFTP", "second"), ("DHCP", "second"), ("not TFTP", "bad")]


def test_pxed_warns_of_what_cannot_be_booted_at_the_start_and_refuses_it_in_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """To serve the rest is better than nothing, and what is in force better than either."""
    for part in (tftpd.Tftpd, dhcpd.Dhcpd):
        monkeypatch.setattr(part, "serve", lambda *_: "")
        monkeypatch.setattr(part, "prepare", lambda *_: Change())
    first, second = (config.load(pxed.PROGRAM, ["eth0", str(tmp_path), name]) for name in ("one", "other"))
    daemon = pxed.Pxed(first)
    daemon.serve(Loop(), Log("pxed"))
    assert f"warning: BOOTFILE: boot file one below {tmp_path}: no such file" in capsys.readouterr().err
    daemon.prepare(first).commit()  # the interface's address changed: that says nothing new
    assert capsys.readouterr().err == ""
    with pytest.raises(Error, match=f"BOOTFILE: boot file other below {tmp_path}: no such file"):
        daemon.prepare(second)
    (tmp_path / "other").touch()
    daemon.prepare(second).commit()


def test_pdhcpd_warns_of_a_server_that_nobody_can_find_at_a_reload_too(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(dhcpd, "Server", Mock())
    boot = ["--boot", "ipxe=http://boot.example.com/x"]
    plain, named = (config.load(dhcpd.PROGRAM, ["lo", *more]) for more in ([], boot))
    daemon = dhcpd.Dhcpd(plain)
    daemon._sockets = [Mock(getsockname=lambda: ("0.0.0.0", 67))]
    daemon.serve(Loop(), Log("pdhcpd"))
    daemon.prepare(plain).commit()
    assert capsys.readouterr().err == ""
    daemon.prepare(named).commit()
    assert "clients get no DNS server to find that host" in capsys.readouterr().err


def test_pdhcpd_warns_of_bootp_beside_another_server(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    """A proxy leases no addresses, and so answers no BOOTP client either."""
    monkeypatch.setattr(dhcpd, "Server", Mock())
    for mode, said in (("proxy", "so it has no use for [dhcp] bootp (--bootp)"), ("auto", "")):
        daemon = dhcpd.Dhcpd(config.load(dhcpd.PROGRAM, ["lo", "--bootp", "--mode", mode]))
        daemon.serve(Loop(), Log("pdhcpd"))
        told = capsys.readouterr().err
        assert said in told
        assert bool(told) == bool(said)


@pytest.mark.parametrize(("error", "told"), [
    (Error("no address"), "no address; it is tried again every 10 seconds"), (ConfigError("bad"), "bad"),
])  # fmt: skip
def test_pxed_says_what_systemd_will_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Error, told: str
) -> None:
    """As pxed@.service has it. By hand, and at a reload, nobody tries again."""
    unit = (CHECKOUT / "systemd/pxed@.service").read_text()
    assert "\nRestartSec=10s\nRestartPreventExitStatus=2 78\n" in unit
    monkeypatch.setattr(dhcpd.Dhcpd, "check", Mock(side_effect=error))
    monkeypatch.setattr(tftpd.Tftpd, "check", Mock())
    daemon = pxed.Pxed(config.load(pxed.PROGRAM, ["lo", str(tmp_path)]))
    with pytest.raises(Error, match=f"^{error}$"):
        daemon.check(Log("pxed"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with pytest.raises(Error, match=f"^{told}$"):
        daemon.check(Log("pxed"))
