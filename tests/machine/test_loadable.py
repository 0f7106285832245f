"""Boot files by their first octets: what UEFI starts, what a BIOS does not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.dhcp.loadable import EFI_BYTE_CODE, HEAD, MACHINES, misfit
from ptftpd.dhcp.pxe import ARCHITECTURES


def pe(machine: int, offset: int = 0x80) -> bytes:
    """Return the beginning of a PE file."""
    return (
        b"MZ".ljust(0x3C, b"\0")
        + struct.pack("<I", offset).ljust(offset - 0x3C, b"\0")
        + b"PE\0\0"
        + struct.pack("<H", machine)
    )


PXELINUX = bytes.fromhex("ea0500c0070e1f0000") + bytes(1000)
DOS = b"MZ" + bytes(1000)  # no PE header behind it


@pytest.mark.parametrize("machine", MACHINES)
def test_uefi_starts_programs_of_its_own_machine_type_alone(machine: int) -> None:
    """UEFI 2.10 §2.1.1; HTTP Boot the same ones as PXE."""
    for name in ARCHITECTURES.values():
        plain = name.removesuffix("-http")
        if plain in MACHINES.values():
            told = misfit(name, pe(machine))
            assert (told == "") == (MACHINES[machine] == plain), name
            assert not told or told == f"is a UEFI program for {MACHINES[machine]}, not for {name}"
            assert not misfit(name, pe(EFI_BYTE_CODE))


@pytest.mark.parametrize(
    "head", [PXELINUX, DOS, b"x", b"#!ipxe", b"\x7fELF", pe(0x8664)[:0x80], pe(0x8664)[:0x84]]
)
def test_uefi_starts_nothing_else(head: bytes) -> None:
    assert misfit("x86_64-efi", head) == "is no UEFI program, which x86_64-efi needs"
    assert not misfit("bios", head)


def test_a_bios_starts_no_uefi_program() -> None:
    assert misfit("bios", pe(0x8664)) == "is a UEFI program, which a BIOS cannot start: it is for x86_64-efi"
    assert misfit("bios", pe(0x8664, 0x400))


@pytest.mark.parametrize("name", ["", "arm64-uboot", "powerpc-opal", "s390", "arm-rpiboot", "99"])
def test_of_others_nothing_can_be_told(name: str) -> None:
    for head in (PXELINUX, pe(0x8664), b"x"):
        assert misfit(name, head) == ""


@pytest.mark.parametrize("name", ["", "bios", "x86_64-efi", "arm64-uboot"])
def test_nothing_starts_an_empty_file(name: str) -> None:
    assert misfit(name, b"") == "is empty"


@given(st.sampled_from([*ARCHITECTURES.values(), ""]), st.binary(max_size=HEAD))
def test_any_octets_are_looked_at(name: str, head: bytes) -> None:
    for beginning in (head, b"MZ" + head, pe(0x8664)[:0x80] + head, b"MZ" + bytes(0x3A) + head):
        assert isinstance(misfit(name, beginning), str)
