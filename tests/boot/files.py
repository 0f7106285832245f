"""What the machines boot: Debian's kernel, an initrd made here, and the loaders with their configuration.

Whoever boots prints MARKER and a token on the serial console. The token reaches a guest only through the
files served to it, so seeing it there means that they arrived.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab import LabError

MARKER = "PTFTPD-BOOTED"
KERNEL_PACKAGE = "linux-image-cloud-amd64"  # the smallest of Debian's kernels, made for virtual machines
ARGUMENTS = ("pxelinux.0", "--boot", "x86_64-efi=grubx64.efi")  # of pxed, behind IFACE and ROOT

INIT = f"""#!/bin/busybox sh
PATH=/bin
busybox mkdir -p /proc /sys /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
firmware=BIOS
[ -d /sys/firmware/efi ] && firmware=UEFI
for word in $(busybox cat /proc/cmdline); do
    case $word in
    {MARKER.lower()}=*) token=${{word#*=}} ;;
    ip=*) address=${{word#ip=}} ;;
    esac
done
echo
echo "{MARKER} $token Linux $(busybox uname -r) started by $firmware as ${{address%%:*}}"
busybox poweroff -f
"""

COMMAND_LINE = f"console=ttyS0 panic=-1 quiet {MARKER.lower()}={{token}}"  # INIT prints it in capitals
PXELINUX_CONFIG = f"""DEFAULT linux
LABEL linux
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND {COMMAND_LINE}
  IPAPPEND 1
"""
GRUB_CONFIG = f"""linux /vmlinuz {COMMAND_LINE} ip=$net_default_ip
initrd /initrd.gz
boot
"""
# Loaders that print the marker themselves, without a kernel: a boot in seconds.
PXELINUX_ONLY = f"SAY {MARKER} {{token}} pxelinux\nDEFAULT poweroff.c32\n"
GRUB_ONLY = f"echo {MARKER} {{token}} GRUB as $net_default_ip\nhalt\n"
# It switches off faster than the serial port prints: hence the pause.
IPXE_ONLY = f"#!ipxe\necho {MARKER} {{token}} iPXE as ${{{{net0/ip}}}}\nsleep 1\nreboot\n"

PXELINUX_FILES = (
    "/usr/lib/PXELINUX/pxelinux.0",
    *(f"/usr/lib/syslinux/modules/bios/{name}.c32" for name in ("ldlinux", "poweroff", "libcom32")),
)
GRUB_MODULES = ("efinet", "tftp", "linux", "normal", "configfile", "boot", "echo", "serial", "halt")


def cache() -> Path:
    """Return the directory for what is downloaded once."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path("/var/cache" if os.geteuid() == 0 else home) / "ptftpd-tests"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def kernel_is_cached() -> bool:
    """Return whether kernel() has nothing to download."""
    return any(cache().glob("vmlinuz-*"))


def kernel() -> Path:
    """Return Debian's kernel; the first time its package is downloaded and unpacked, but not installed."""
    with _locked(cache() / "lock"):
        if not kernel_is_cached():
            _download_kernel()
    return max(cache().glob("vmlinuz-*"))


def _download_kernel() -> None:
    depends = _output("apt-cache", "depends", KERNEL_PACKAGE)
    package = re.search(r"Depends: (linux-image-\S+)", depends)
    if not package:
        raise LabError(f"apt knows no {KERNEL_PACKAGE}; run apt-get update")
    directory = cache() / "download"
    shutil.rmtree(directory, ignore_errors=True)  # of a run that was killed
    directory.mkdir()
    # apt's own unprivileged user could not write here.
    _output("apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", package[1], cwd=directory)
    _output("dpkg-deb", "--extract", *map(str, directory.glob("*.deb")), "unpacked", cwd=directory)
    for image in directory.glob("unpacked/boot/vmlinuz-*"):
        image.rename(cache() / image.name)
    shutil.rmtree(directory)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _output(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def initrd() -> bytes:
    """Return a compressed initial file system with busybox and INIT; the same octets every time."""
    entries = [
        _cpio_entry("bin", 0o040755),
        _cpio_entry("bin/busybox", 0o100755, Path("/bin/busybox").read_bytes()),
        _cpio_entry("init", 0o100755, INIT.encode()),
        _cpio_entry("TRAILER!!!", 0),
    ]
    return gzip.compress(b"".join(entries), mtime=0)


def _cpio_entry(name: str, mode: int, content: bytes = b"") -> bytes:
    """Return one entry of a newc archive (Linux, Documentation/driver-api/early-userspace/buffer-format)."""
    encoded = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def add_linux(root: Path, token: str) -> None:
    """Put into a TFTP root what BIOS and UEFI machines need to boot Linux, which prints the token."""
    shutil.copyfile(kernel(), root / "vmlinuz")
    (root / "initrd.gz").write_bytes(initrd())
    _add_loaders(root, PXELINUX_CONFIG.format(token=token), GRUB_CONFIG.format(token=token))


def add_loaders_only(root: Path, token: str) -> None:
    """Put into a TFTP root loaders that print the token themselves and switch the machine off."""
    _add_loaders(root, PXELINUX_ONLY.format(token=token), GRUB_ONLY.format(token=token))
    (root / "boot.ipxe").write_text(IPXE_ONLY.format(token=token))


def _add_loaders(root: Path, pxelinux: str, grub: str) -> None:
    for path in PXELINUX_FILES:
        shutil.copy(path, root)
    (root / "pxelinux.cfg").mkdir()
    (root / "pxelinux.cfg" / "default").write_text(pxelinux)
    image = str(root / "grubx64.efi")
    _output("grub-mkimage", "--format=x86_64-efi", "--prefix=(tftp)/", f"--output={image}", *GRUB_MODULES)
    (root / "grub.cfg").write_text(grub)
