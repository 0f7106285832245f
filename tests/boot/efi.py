"""A boot file for UEFI of our own: it prints one line and switches the machine off.

It is as small as an application for UEFI can be (UEFI 2.10 §4.1, PE/COFF), so that a boot of an architecture
takes seconds and no loader of another package.
"""

from __future__ import annotations

import struct

PAGE = 4096
HEADERS = 512  # octets of the file before the section
# Offsets in the tables that UEFI hands over (UEFI 2.10 §4.3, §4.5, §12.4).
CON_OUT, RUNTIME_SERVICES = 64, 88  # of the system table
OUTPUT_STRING, RESET_SYSTEM = 8, 104
SHUTDOWN = 2


def _arm64() -> bytes:
    """Return the code; x1 is the system table, the text follows the code."""

    def load(to: int, base: int, offset: int) -> int:
        return 0xF9400000 | offset // 8 << 10 | base << 5 | to  # ldr

    def move(to: int, value: int) -> int:
        return 0xD2800000 | value << 5 | to  # movz

    words = [
        0xAA0103F3,  # mov x19, x1
        load(0, 1, CON_OUT),
        load(2, 0, OUTPUT_STRING),
        0,  # adr x1, text: below, when its distance is known
        0xD63F0040,  # blr x2
        load(3, 19, RUNTIME_SERVICES),
        load(4, 3, RESET_SYSTEM),
        *(move(register, value) for register, value in enumerate((SHUTDOWN, 0, 0, 0))),
        0xD63F0080,  # blr x4
        0x14000000,  # b .
    ]
    distance = (len(words) - 3) * 4
    words[3] = 0x10000001 | (distance & 3) << 29 | distance >> 2 << 5
    return struct.pack(f"<{len(words)}I", *words)


def _x86_64() -> bytes:
    """Return the code; rdx is the system table, the text follows the code."""
    before = bytes.fromhex("4883ec28 4889d3") + b"\x48\x8b\x4a" + bytes([CON_OUT])  # sub rsp; mov rbx, rdx
    after = (
        b"\xff\x51" + bytes([OUTPUT_STRING])  # call [rcx + ...]
        + b"\x48\x8b\x43" + bytes([RUNTIME_SERVICES])  # mov rax, [rbx + ...]
        + b"\xb9" + struct.pack("<I", SHUTDOWN)  # mov ecx, ...
        + bytes.fromhex("31d2 4531c0 4531c9")  # xor edx, edx; r8d; r9d
        + b"\xff\x50" + bytes([RESET_SYSTEM])
        + b"\xeb\xfe"  # jmp .
    )  # fmt: skip
    return before + b"\x48\x8d\x15" + struct.pack("<i", len(after)) + after  # lea rdx, [rip + ...]


MACHINES = {"x86_64": (0x8664, _x86_64()), "arm64": (0xAA64, _arm64())}


def application(architecture: str, text: str) -> bytes:
    """Return the application that prints a line of text, as a file."""
    machine, code = MACHINES[architecture]
    section = code + f"\r\n{text}\r\n\0".encode("utf-16-le")
    section = section.ljust(-(-len(section) // HEADERS) * HEADERS, b"\0")
    coff = struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, 112, 0x0022)  # executable, addresses above 2 GB
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        0x20B, 0, 0, len(section), 0, 0, PAGE, PAGE,  # PE32+; code starts where it is loaded
        0, PAGE, HEADERS, 0, 0, 0, 0, 0, 0, 0,
        2 * PAGE, HEADERS, 0, 10, 0,  # subsystem: UEFI application
        0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    header = struct.pack(
        "<8sIIIIIIHHI", b".text", len(section), PAGE, len(section), HEADERS, 0, 0, 0, 0, 0xE0000020
    )
    start = b"MZ" + bytes(58) + struct.pack("<I", 64)
    return (start + b"PE\0\0" + coff + optional + header).ljust(HEADERS, b"\0") + section
