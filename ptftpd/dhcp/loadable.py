"""Whether a boot file is a program that a firmware can start, by its first octets.

UEFI starts PE files of its own machine type alone (UEFI 2.10 §2.1.1), and a BIOS none of them. What another
firmware takes has no mark that all of it shares.
"""

from __future__ import annotations

import struct

HEAD = 4096  # octets that are looked at: the PE header is within the first few hundred of every boot loader
_PE_OFFSET = 0x3C  # where the offset of the PE header stands
# Machine types of PE (UEFI 2.10 §2.1.1), by the architecture whose firmware starts them.
MACHINES = {
    0x014C: "i386-efi",
    0x0200: "ia64-efi",
    0x01C0: "arm-efi",
    0x01C2: "arm-efi",
    0x01C4: "arm-efi",
    0x8664: "x86_64-efi",
    0xAA64: "arm64-efi",
    0x5032: "riscv32-efi",
    0x5064: "riscv64-efi",
    0x5128: "riscv128-efi",
    0x6232: "loongarch32-efi",
    0x6264: "loongarch64-efi",
}
EFI_BYTE_CODE = 0x0EBC  # which every UEFI firmware may start
_UEFI = frozenset(MACHINES.values())


def misfit(architecture: str, head: bytes) -> str:
    """Return why firmware of an architecture cannot start a file, '' when it can, or nobody can tell.

    head is the first HEAD octets of the file; architecture is '' where it may be any.
    """
    if not head:
        return "is empty"
    machine, uefi = _machine(head), architecture.removesuffix("-http")
    if uefi in _UEFI:
        if machine is None:
            return f"is no UEFI program, which {architecture} needs"
        made_for = MACHINES.get(machine, f"machine type {machine:#06x}")
        if machine != EFI_BYTE_CODE and made_for != uefi:
            return f"is a UEFI program for {made_for}, not for {architecture}"
    elif architecture == "bios" and machine is not None:
        return f"is a UEFI program, which a BIOS cannot start: it is for {MACHINES.get(machine, 'UEFI')}"
    return ""


def _machine(head: bytes) -> int | None:
    """Return the machine type of a PE file, None for any other."""
    if head[:2] != b"MZ" or len(head) < _PE_OFFSET + 4:
        return None
    start: int = struct.unpack_from("<I", head, _PE_OFFSET)[0]
    if head[start : start + 4] != b"PE\0\0" or len(head) < start + 6:
        return None
    machine: int = struct.unpack_from("<H", head, start + 4)[0]
    return machine
