"""Real firmware in less ordinary networks: beside another DHCP server, with Secure Boot, through iPXE.

Most tests let the loader itself print the marker: a boot in seconds.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import debs
from tests.boot import files, machines
from tests.boot.machines import BIOS, SERVER_ADDRESS, UEFI, BootNetwork, Firmware
from tests.lab import Namespace, Process

SHIM = "usr/lib/shim/shimx64.efi.signed"
SIGNED_GRUB = "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"


def other_dhcp_server(network: BootNetwork) -> Process:
    """Return a running dnsmasq on the same network, which leases addresses and knows nothing of booting."""
    other: Namespace = network.lab.namespace("other")
    network.lab.cable(other, network.switch, "eth0", "port2")
    network.switch.plug("port2", "br0")
    other.address("10.77.0.2/24")
    server = other.start(
        "dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--port=0", "--user=root",
        "--interface=eth0", "--bind-interfaces", "--dhcp-range=10.77.0.100,10.77.0.110,255.255.255.0,10m",
        "--no-ping", "--pid-file", "--log-facility=-", f"--dhcp-leasefile={network.directory / 'leases'}",
    )  # fmt: skip
    server.wait_listening(67)
    return server


def grub_from(root: Path, prefix: str, config: str) -> None:
    """Make a GRUB that takes its configuration from prefix: 2.06 asks the DHCP server, not the proxy."""
    shutil.rmtree(root / "grub.cfg", ignore_errors=True)
    image = str(root / "grubx64.efi")
    subprocess.run(
        ["grub-mkimage", "--format=x86_64-efi", f"--prefix={prefix}", f"--output={image}",
         *files.GRUB_MODULES], check=True,
    )  # fmt: skip
    (root / "grub.cfg").write_text(config)


@pytest.mark.parametrize("mode", ["proxy", "auto"])
@pytest.mark.parametrize(("firmware", "loader"), [(BIOS, "pxelinux"), (UEFI, "GRUB")], ids=["BIOS", "UEFI"])
def test_boots_beside_another_dhcp_server(firmware: Firmware, loader: str, mode: str, token: str) -> None:
    """PXE 2.1 §2.2: the address comes from the one server, the boot file from the other, our, proxy."""
    with BootNetwork() as network:
        files.add_loaders_only(network.root, token)
        grub_from(network.root, f"(tftp,{SERVER_ADDRESS})/", files.GRUB_ONLY.format(token=token))
        dhcp = other_dhcp_server(network)
        server = network.serve(*files.ARGUMENTS, "--mode", mode)
        if mode == "auto":
            server.wait_for("10.77.0.2 serves DHCP on eth0: going on as proxyDHCP")
        said = machines.booted(network.switch_on(firmware), token, timeout=60)
        assert said.split()[0] == loader
        assert "DHCPACK(eth0) 10.77.0.1" in dhcp.text()
        assert "DHCPACK on" not in server.text(), "a proxy leases no address"


def test_auto_mode_leases_addresses_where_nobody_else_does(token: str) -> None:
    """Full service when no other DHCP server answers."""
    with BootNetwork() as network:
        files.add_loaders_only(network.root, token)
        server = network.serve(*files.ARGUMENTS, "--mode", "auto")
        server.wait_for("no other DHCP server answers on eth0")
        assert machines.booted(network.switch_on(BIOS), token, timeout=60).split()[0] == "pxelinux"
        assert f"DHCPACK on 10.77.0.2 to {BIOS.mac}" in server.text()


def test_ipxe_is_loaded_once_and_gets_its_script(token: str) -> None:
    """UEFI firmware gets iPXE, iPXE gets the script and not itself again."""
    with BootNetwork() as network:
        files.add_loaders_only(network.root, token)
        shutil.copy(debs.unpacked("ipxe") / "usr/lib/ipxe/snponly.efi", network.root)
        server = network.serve("pxelinux.0", "--boot", "x86_64-efi=snponly.efi", "--boot", "ipxe=boot.ipxe")
        assert machines.booted(network.switch_on(UEFI), token, timeout=90).split()[0] == "iPXE"
        assert server.text().count("sent snponly.efi ") == 1
        assert server.text().count("sent boot.ipxe ") == 1


def test_secure_boot_from_debians_own_files(token: str) -> None:
    """An overlay of roots: shim and GRUB straight from where their packages put them, signatures intact."""

    def secure(card: str, directory: Path) -> tuple[str, ...]:
        arguments = list(UEFI.arguments(card, directory))
        variables = directory / "uefi-variables.fd"
        shutil.copyfile(machines.OVMF / "OVMF_VARS_4M.ms.fd", variables)  # with Microsoft's keys
        arguments = [word.replace("OVMF_CODE_4M.fd", "OVMF_CODE_4M.secboot.fd") for word in arguments]
        return (
            *arguments, "-machine", "q35,smm=on",
            "-global", "driver=cfi.pflash01,property=secure,value=on",
        )  # fmt: skip

    machine = dataclasses.replace(UEFI, arguments=secure, mac="52:54:00:00:00:0d")
    with BootNetwork() as network:
        (network.root / "grub").mkdir()
        (network.root / "grub" / "grub.cfg").write_text(files.GRUB_ONLY.format(token=token))
        signed = debs.unpacked("grub-efi-amd64-signed") / SIGNED_GRUB
        shutil.copy(signed, network.root / "grubx64.efi")  # the name that shim asks for
        shim = debs.unpacked("shim-signed") / SHIM
        server = network.serve("--boot-file=shimx64.efi.signed", overlay=[shim.parent])
        assert machines.booted(network.switch_on(machine), token, timeout=90).split()[0] == "GRUB"
        assert "sent shimx64.efi.signed " in server.text()
        assert "sent grubx64.efi " in server.text()
