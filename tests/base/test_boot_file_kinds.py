"""pxed --check looks into the boot files: whether the firmware that gets them can start them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ptftpd import config
from ptftpd.programs import bootfiles, pxed
from ptftpd.programs.explaining import answer
from ptftpd.settings import Class, Host, Menu, Pxe, Settings
from ptftpd.tftp.catalog import Catalog
from tests.machine.test_loadable import PXELINUX, pe

Output = pytest.CaptureFixture[str]
NOT_UEFI = "is no UEFI program, which x86_64-efi needs"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory with a loader of each kind."""
    for name, octets in (
        ("pxelinux.0", PXELINUX),
        ("x64.efi", pe(0x8664)),
        ("arm.efi", pe(0xAA64)),
        ("empty", b""),
    ):
        (tmp_path / name).write_bytes(octets)
    return tmp_path


def told(root: Path, pxe: dict[str, Any], **named: Any) -> list[str]:
    catalog = Catalog(Settings(pxe=(made := Pxe(root=(str(root),), **pxe)), **named))
    try:
        return list(bootfiles.misfits(Settings(pxe=made, **named), catalog))
    finally:
        catalog.close()


@pytest.mark.parametrize(
    ("pxe", "named", "sentences"),
    [
        ({"boot_file": "pxelinux.0", "boot": (("x86_64-efi", "x64.efi"),)}, {}, []),
        (
            {"boot_file": "pxelinux.0"},
            {},
            [
                f"[pxe] boot_file = pxelinux.0: {NOT_UEFI}: set boot = x86_64-efi=FILE for machines with "
                "UEFI, which get this one now"
            ],
        ),
        ({"boot_file": "x64.efi"}, {}, []),
        ({"boot_file": "empty"}, {}, ["[pxe] boot_file = empty: is empty"]),
        ({"boot_file": "absent"}, {}, []),
        ({"boot_file": "http://x/y"}, {}, []),
        ({"boot_file": "pxelinux.0"}, {"menus": {"x": Menu(boot_file="pxelinux.0")}}, []),
        ({"boot": (("x86_64-efi", "pxelinux.0"),)}, {}, [f"[pxe] boot x86_64-efi = pxelinux.0: {NOT_UEFI}"]),
        (
            {"boot": (("arm64-efi", "x64.efi"), ("bios", "arm.efi"), ("ipxe", "arm.efi"))},
            {},
            [
                "[pxe] boot arm64-efi = x64.efi: is a UEFI program for x86_64-efi, not for arm64-efi",
                "[pxe] boot bios = arm.efi: is a UEFI program, which a BIOS cannot start: it is for "
                "arm64-efi",
            ],
        ),
        (
            {},
            {"classes": {"x": Class(arch=("x86_64-efi",), boot_file="pxelinux.0", ipxe_file="pxelinux.0")}},
            [f"[class x] boot_file = pxelinux.0: {NOT_UEFI}"],
        ),
        (
            {},
            {"hosts": {"x": Host(mac=bytes(6), boot_file="empty")}},
            ["[host x] boot_file = empty: is empty"],
        ),
        (
            {},
            {"menus": {"x": Menu(boot=(("x86_64-efi", "pxelinux.0"),))}},
            [f"[menu x] boot x86_64-efi = pxelinux.0: {NOT_UEFI}"],
        ),
    ],
)
def test_what_cannot_be_started(
    root: Path, pxe: dict[str, Any], named: dict[str, Any], sentences: list[str]
) -> None:
    assert told(root, pxe, **named) == sentences


def test_the_line_is_named(root: Path) -> None:
    settings = Settings(
        pxe=Pxe(root=(str(root),), boot=(("bios", "x64.efi"),)), sources={("pxe", "boot"): "pxed.conf:3"}
    )
    catalog = Catalog(settings)
    assert next(bootfiles.misfits(settings, catalog)).startswith(
        "pxed.conf:3: [pxe] boot bios = x64.efi: is a"
    )
    catalog.close()


def test_pxed_tells_it(root: Path, capsys: Output) -> None:
    """A BIOS loader for everybody, and a UEFI machine back in its menu: --check and --explain say why."""
    pxed.main(["--check", "--user", "root", "lo", str(root), "pxelinux.0"])  # the ports may be root's alone
    assert f"warning: [pxe] boot_file = pxelinux.0: {NOT_UEFI}" in capsys.readouterr().err.replace(
        "BOOTFILE: ", ""
    )
    loaded = config.load(pxed.PROGRAM, ["lo", str(root), "pxelinux.0"], str(root))
    says = {"arch": "x86_64-efi", "vendor-class": "PXEClient"}
    found = answer(loaded, "525400123456", says).splitlines()[-1]
    assert found == f"this machine cannot start it: pxelinux.0 {NOT_UEFI}"
    assert "cannot start" not in answer(loaded, "525400123456", says | {"arch": "bios"})
