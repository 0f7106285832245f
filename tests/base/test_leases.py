"""pdhcpd IFACE --leases: who has which address, and for how long, without asking the server."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from pathlib import Path

import pytest

from ptftpd.dhcp.bootp import FOREVER
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.store import Store
from ptftpd.programs import dhcpd

NOW = 1000.0
CARD = bytes.fromhex("01525400123456")

Output = pytest.CaptureFixture[str]


def asked(directory: Path, *more: str) -> int:
    """Return the exit code."""
    return dhcpd.main(["eth7", "--state-dir", str(directory), "--leases", *more])


def store(directory: Path, *leases: Lease) -> None:
    """Write a database as the server does."""
    with closing(Store(f"{directory}/leases-eth7.sqlite")) as made:
        made.load(NOW)
        made.commit(leases, NOW)


def test_leases_in_force(tmp_path: Path, capsys: Output) -> None:
    """By address, each with its end; those that are over are left out."""
    store(
        tmp_path,
        Lease(0x0A000003, key=CARD, expires=NOW + 3600, seconds=3600, architecture="x86_64-efi"),
        Lease(0x0A000002, key=CARD[:-1] + b"\1", expires=NOW + FOREVER, seconds=FOREVER),
        Lease(0x0A000004, expires=NOW + 900, seconds=900),
        Lease(0x0A000005, key=CARD[:-1] + b"\2", expires=NOW - 1, seconds=3600),
    )
    assert asked(tmp_path) == 0
    day = r"\d{4}-\d\d-\d\d"
    one, two, three = capsys.readouterr().out.splitlines()
    assert one.split() == ["10.0.0.2", "52:54:00:12:34:01", "for", "ever"]
    assert re.fullmatch(rf"10\.0\.0\.3 +52:54:00:12:34:56 +x86_64-efi +until {day} \d\d:\d\d:\d\d", two)
    assert re.fullmatch(rf"10\.0\.0\.4 +used by a machine without a lease +until {day}.*", three)


def test_as_json(tmp_path: Path, capsys: Output) -> None:
    """For programs: a list, empty where there is none."""
    store(
        tmp_path,
        Lease(
            0x0A000003, key=CARD, expires=NOW + 3600, seconds=3600, hardware=CARD, architecture="x86_64-efi"
        ),
        Lease(0x0A000002, key=CARD[:-1] + b"\1", expires=NOW + FOREVER, seconds=FOREVER),
        Lease(0x0A000004, expires=NOW + 900, seconds=900),
    )
    assert asked(tmp_path, "--json") == 0
    one, two, three = json.loads(capsys.readouterr().out)
    assert (one["address"], one["expires"], one["architecture"]) == ("10.0.0.2", None, None)
    assert abs(two.pop("expires") - time.time() - 3600) < 60
    assert two == {
        "address": "10.0.0.3", "client": "52:54:00:12:34:56", "hardware": "52:54:00:12:34:56",
        "architecture": "x86_64-efi", "quarantined": False,
    }  # fmt: skip
    assert (three["client"], three["quarantined"]) == (None, True)


def test_none_as_json(tmp_path: Path, capsys: Output) -> None:
    assert asked(tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_none(tmp_path: Path, capsys: Output) -> None:
    assert asked(tmp_path) == 0
    there = f"there is no {tmp_path}/leases-eth7.sqlite"
    assert capsys.readouterr().out == f"no address was ever leased on eth7: {there}\n"
    store(tmp_path)
    assert asked(tmp_path) == 0
    assert capsys.readouterr().out == "no address is leased on eth7\n"


def test_no_access(tmp_path: Path, capsys: Output) -> None:
    """The database is the server's alone: an empty list would be a lie."""
    (tmp_path / "leases-eth7.sqlite").symlink_to("leases-eth7.sqlite")
    assert asked(tmp_path) == 1
    told = f"cannot read the lease database {tmp_path}/leases-eth7.sqlite: Too many levels of symbolic links"
    assert capsys.readouterr().err.startswith(f"pdhcpd: error: {told}: look as root")
