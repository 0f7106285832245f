"""An interface that has its address, but that nobody can reach: down, or without a cable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptftpd import links
from ptftpd.links import LinkWatch
from ptftpd.log import Log
from ptftpd.programs import dhcpd, pxed, tftpd
from tests.lab import Lab, Namespace, program, reachable, wait_until

Output = pytest.CaptureFixture[str]
DOWN = "interface eth0 is down: ip link set eth0 up"
NO_CARRIER = "interface eth0 has no carrier: look for its cable, or for what is at the other end of it"


@pytest.fixture
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Namespace, Namespace]]:
    """Return a machine and the other end of its cable."""
    with Lab(tmp_path_factory.mktemp("links")) as lab:
        one, other = lab.namespace("one"), lab.namespace("other")
        lab.cable(one, other)
        one.address("10.0.0.1/24")
        yield one, other


def set_link(machine: Namespace, state: str, seen: str) -> None:
    """Switch eth0 'up' or 'down'; return once the kernel has seen it here, which takes up to a second."""
    machine.run("ip", "link", "set", "eth0", state)
    wait_until(lambda: links.trouble("eth0") == seen, 5, f"{seen!r}, not {links.trouble('eth0')!r}")


def test_what_is_said(machines: tuple[Namespace, Namespace]) -> None:
    """Nothing of one that can be reached, nor of one that is not there, which others say."""
    one, other = machines
    with one.entered():
        assert links.trouble("eth0") == links.trouble("lo") == links.trouble("nosuch0") == ""
        assert links.trouble("a-name-that-is-too-long-for-linux") == ""
        set_link(other, "down", NO_CARRIER)
        set_link(one, "down", DOWN)


def test_while_it_is_served(machines: tuple[Namespace, Namespace], capsys: Output) -> None:
    """Told when it happens, once, and when it is over."""
    one, other = machines
    with one.entered():
        watch = LinkWatch("eth0", Log("test"), lambda: None)
        told = []
        steps = (
            (one, "up", ""), (other, "down", NO_CARRIER), (other, "down", NO_CARRIER), (one, "down", DOWN),
            (other, "up", DOWN), (one, "up", ""),
        )  # fmt: skip
        for machine, state, seen in steps:
            set_link(machine, state, seen)
            watch.follow(0.0)
            told.append(capsys.readouterr().err.removeprefix("test: ").strip())
        watch.close()
    again = "interface eth0 can be reached again"
    assert told == ["", f"warning: {NO_CARRIER}", "", f"warning: {DOWN}", "", again]


def test_before_it_is_served(machines: tuple[Namespace, Namespace], capsys: Output) -> None:
    """By --check of each program, once."""
    one, other = machines
    with one.entered():
        set_link(other, "down", NO_CARRIER)
        for main, argv in (
            (tftpd.main, ["-i", "eth0", "/"]),
            (dhcpd.main, ["eth0"]),
            (pxed.main, ["eth0", "/"]),
        ):
            assert main([*argv, "--check"]) == 0
            assert capsys.readouterr().err.count(f"warning: {NO_CARRIER}\n") == 1


def test_an_interface_has_one_lease_database_whatever_it_is_called(tmp_path: Path) -> None:
    """By an alternative name of the interface, an address was leased a second time."""
    with Lab(reachable(tmp_path)) as lab:
        server, client = lab.namespace("server"), lab.namespace("client")
        lab.cable(server, client)
        server.address("10.9.0.1/24")
        server.run("ip", "link", "property", "add", "dev", "eth0", "altname", "lan-boot")
        state = tmp_path / "state"
        options = ("--answer-all", "--no-probe", "--user", "nobody", "--state-dir", state)
        for name in ("eth0", "lan-boot"):
            daemon = server.start(*program("dhcpd"), name, *options)
            daemon.wait_for("serving DHCP", 20)
            assert daemon.stop() == 0
        assert {each.name.partition(".")[0] for each in state.iterdir()} == {"leases-eth0"}
        for name in ("eth0", "lan-boot"):
            done = server.run(*program("dhcpd"), name, "--state-dir", state, "--leases")
            assert "no address is leased" in done.stdout
