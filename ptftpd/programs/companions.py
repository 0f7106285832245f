"""What a boot loader asks for next: known by the loader's name, looked for where the loader looks.

A loader that starts and then stops is harder to understand than one that is missing, so that is told
beforehand. Only told: an administrator may have built another loader under a name that is known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

SYSLINUX = "Debian's package syslinux-common has it in /usr/lib/syslinux/modules/"
SIGNED = "Debian's package grub-efi-{processor}-signed has it in /usr/lib/grub/{kind}-signed"
MACHINES = {  # as UEFI abbreviates them: what Debian's packages call them
    "x64": ("amd64", "x86_64-efi"),
    "ia32": ("ia32", "i386-efi"),
    "aa64": ("arm64", "arm64-efi"),
}


class Need(NamedTuple):
    """A file that a loader needs. loader: its name, without directory. names: one of them will do."""

    loader: re.Pattern[str]
    names: tuple[str, ...]  # {beside}: the loader's own directory, with a slash behind it
    remedy: str


_EFI = r"(?P<machine>x64|ia32|aa64)\.efi(\.signed)?"
NEEDS = (
    Need(re.compile(r"l?pxelinux\.0"), ("{beside}ldlinux.c32",), f"{SYSLINUX}bios"),
    Need(
        re.compile(r"l?pxelinux\.0"),
        ("{beside}pxelinux.cfg/default", "{beside}pxelinux.cfg/"),
        "PXELINUX reads there what to boot",
    ),
    Need(
        re.compile(r"syslinux\.efi(32|64)?"),
        ("{beside}ldlinux.e64", "{beside}ldlinux.e32"),
        f"{SYSLINUX}efi64",
    ),
    Need(re.compile(f"(shim|bootnet){_EFI}"), ("{beside}grub{machine}.efi",), SIGNED),
    Need(
        re.compile(f"(grub|grubnet|shim|bootnet){_EFI}"),
        (
            "grub/grub.cfg", "{beside}grub.cfg", "{beside}grub/grub.cfg", "grub.cfg", "boot/grub/grub.cfg",
            "EFI/debian/grub.cfg", "debian-installer/{processor}/grub/grub.cfg",
        ),
        "GRUB reads there what to boot; Debian's signed one does, others where they were built to",
    ),
)  # fmt: skip


def missing(loader: str, exists: Callable[[str], bool]) -> Iterator[str]:
    """Yield a sentence for each file that a loader, by its name, needs and that is not there.

    exists(name) tells of a file, or of a directory that has files, when a '/' ends its name.
    """
    directory, slash, base = loader.replace("\\", "/").rpartition("/")
    for need in NEEDS:
        known = need.loader.fullmatch(base)
        if not known:
            continue
        machine = known.groupdict().get("machine", "")
        processor, kind = MACHINES.get(machine, ("", ""))
        words = {"beside": directory + slash, "machine": machine, "processor": processor, "kind": kind}
        names = [name.format(**words) for name in need.names]
        if not any(map(exists, names)):
            yield f"{loader} needs {names[0]}, which is not there: {need.remedy.format(**words)}"
