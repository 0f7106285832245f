"""Texts to give to settings, and configuration files made of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from ptftpd import settings
from ptftpd.option import options
from ptftpd.program import Program

# Each is right for some setting; every setting takes at least one of them.
TEXTS = (
    "yes", "no", "on", "off", "true", "FALSE", "0", "1", "7", "8", "60", "69", "255", "256", "4096",
    "65464", "65535", "1000000", "0.05", "0.1", "1.5", "90s", "2m", "36 h", "49710d", "86400", "604800",
    "1234567", "4294967294", "16K", "3 M", "1G", "000", "022", "0777", "5-6", "50000-50999",
    "50000 : 50999", "auto", "eth0", "br-lan.100", "/", "/srv/tftp", "/srv/boot files", "/srv/é",
    "pxelinux.0", r"EFI\boot 64.efi", "192.0.2.1", "192.0.2.1 - 192.0.2.9", "192.0.2.7-192.0.2.8",
    "2001:db8::1", "fe80::1%eth0", "::", "52:54:00:12:34:56", "52-54-00-AB-CD-EF", "525400123456",
    "52:54:00", "01:52:54:00:12:34:56", "52:54:00:12:34:56=192.0.2.5", "bios=pxelinux.0",
    "x86_64-efi = efi/grub.efi", "7=a=b", "ipxe=http://x/?a=b", "bios", "ipxe", "11", "tsize", "windowsize",
    "none", "create", "version", "overwrite", "read", "write", "both", "full", "proxy", "octet", "ASCII",
    "client-id", "mac", "^/?boot/(.*)$", "[0-9A-F]{8}", r"\1/{mac}", "not today; ask again",
    "PXEClient:Arch:00000", "nobody", "{class}/{host}", "4c4c4544-0051-3110-8058-b8c04f4c4e31",
    "always ntp-servers=192.0.2.1, 192.0.2.2", "vendor-encapsulated-options=1=text:a, b; 2=0xff",
)  # fmt: skip

SECTIONS = {kind: kind for kind in settings.SECTIONS} | {kind: f"{kind} some name" for kind in settings.NAMED}
TYPES = {SECTIONS[kind]: section for kind, section in settings.SECTIONS.items()} | {
    SECTIONS[kind]: section for kind, (section, _) in settings.NAMED.items()
}

# (section, key, option) of every setting that a file may hold.
ALL = [(name, key, item) for name, section in TYPES.items() for key, item in options(section).items()]

# Without long options for what two sections have, each in a program of its own.
EVERYTHING = Program("everything", "", tuple(settings.SECTIONS), (), exclude=frozenset({"address"}))


def identity(value: Any) -> str:
    """Return the name of a parametrised case: only sections and keys have one that tells something."""
    return value if isinstance(value, str) else ""


def takes(item: dataclasses.Field[Any], text: str) -> bool:
    """Return whether a setting takes a text."""
    try:
        item.metadata["parse"](text)
    except ValueError:
        return False
    return True


def values(loaded: settings.Settings) -> settings.Settings:
    """Return settings without the places they were written at, to compare them."""
    return dataclasses.replace(loaded, sources={})
