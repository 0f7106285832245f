"""Real firmware boots from pxed, started as a user would: DHCP, TFTP and the loaders' own ways with both.

QEMU's BIOS boot ROM is iPXE and says so; it gets a script only where a boot rule for ipxe names one.
"""

from __future__ import annotations

import re

import pytest

from tests.boot import files, machines
from tests.boot.machines import BIOS, UEFI, BootNetwork, Firmware


@pytest.mark.parametrize(
    ("firmware", "loader"), [(BIOS, "pxelinux.0"), (UEFI, "grubx64.efi")], ids=["BIOS", "UEFI"]
)
def test_linux_boots(firmware: Firmware, loader: str, token: str) -> None:
    """PXE 2.1: the ROM, a loader for its architecture, the loader's configuration, kernel and initrd."""
    with BootNetwork() as network:
        files.add_linux(network.root, token)
        server = network.serve(*files.ARGUMENTS)
        said = machines.booted(network.switch_on(firmware), token, timeout=90)
        address = server.wait_for(rf"DHCPACK on (\S+) to {firmware.mac} .*boot file {loader} ")[1]
        assert re.fullmatch(rf"Linux \S+ started by {firmware.name} as {address}", said)
        sent = {name.lstrip("/") for name in re.findall(rf"sent (\S+) to {address}: ", server.text())}
        assert sent >= {loader, "vmlinuz", "initrd.gz"}


@pytest.mark.parametrize(
    ("firmware", "arguments", "loader"),
    [
        (BIOS, files.ARGUMENTS, "pxelinux"),
        (UEFI, files.ARGUMENTS, "GRUB"),
        (BIOS, (*files.ARGUMENTS, "--boot", "ipxe=boot.ipxe"), "iPXE"),
    ],
    ids=["pxelinux", "grub", "ipxe-script"],
)
def test_loader_reads_its_configuration(
    firmware: Firmware, arguments: tuple[str, ...], loader: str, token: str
) -> None:
    """The loader says so itself; the same machine gets another one where a rule for iPXE names it."""
    with BootNetwork() as network:
        files.add_loaders_only(network.root, token)
        network.serve(*arguments)
        said = machines.booted(network.switch_on(firmware), token, timeout=60)
        assert said.split()[0] == loader
