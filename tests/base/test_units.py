"""What systemctl(1) says of systemd's sockets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ptftpd import units


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only directory of commands, on a machine that runs systemd."""
    monkeypatch.setattr("ptftpd.units.booted", lambda: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(bin: Path, script: str) -> None:
    """Let this be systemctl."""
    (bin / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
    (bin / "systemctl").chmod(0o755)


@pytest.mark.parametrize(
    ("script", "open"),
    [
        ("echo inactive", False),
        ("echo failed", False),
        ("echo unknown", False),
        ("echo active", True),
        ("echo inactive; echo active", True),
        ("echo activating", True),
        ("exit 1", True),  # it gives no answer, as to one who may not ask
        ('[ "$*" = "is-active a.socket b@*.socket" ] && echo active || echo inactive', True),
    ],
)
def test_what_it_says(bin: Path, script: str, open: bool) -> None:
    install(bin, script)
    assert units.listening("a.socket", "b@*.socket") == open


def test_one_that_does_not_answer(bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(bin, f"exec {os.path.realpath('/bin/sleep')} 60")
    monkeypatch.setattr("ptftpd.units.PATIENCE", 0.01)
    assert not units.listening("a.socket")


def test_without_it(bin: Path) -> None:
    assert not units.listening("a.socket")


def test_a_machine_without_systemd(bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemctl may be there nevertheless, in a container: nothing has been opened for us there."""
    install(bin, "exit 1")
    monkeypatch.setattr("ptftpd.units.booted", lambda: False)
    assert not units.listening("a.socket")


@pytest.mark.parametrize(
    ("said", "places"),
    [
        ("[::]:69 (Datagram)", [("::", 69)]),
        ("0.0.0.0:67 (Datagram)", [("0.0.0.0", 67)]),
        (
            "192.0.2.1:6969 (Datagram)\n[2001:db8::1]:69 (Datagram)",
            [("192.0.2.1", 6969), ("2001:db8::1", 69)],
        ),
        ("/run/x (Datagram)\n[::]:80 (Stream)", []),
        ("", []),
    ],
)
def test_where_a_socket_unit_listens(bin: Path, said: str, places: list[tuple[str, int]]) -> None:
    install(bin, f'[ "$*" = "show --property=Listen --value a.socket" ] && printf %s "{said}"')
    assert units.listens("a.socket") == places


def test_where_it_listens_without_systemd(bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptftpd.units.booted", lambda: False)
    assert units.listens("a.socket") == []
