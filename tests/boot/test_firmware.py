"""Real firmware in less ordinary networks: beside another DHCP server, with Secure Boot, through iPXE.

Most tests let the loader itself print the marker: a boot in seconds. Machines boot side by side where one
server, with one configuration, is to serve them all.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import debs
from tests.boot import efi, files, machines
from tests.boot.machines import (
    ARM64,
    BIOS,
    HTTP_UEFI,
    SERVER_ADDRESS,
    SLOF,
    UEFI,
    BootNetwork,
    Firmware,
)
from tests.lab import Namespace, Process

SHIM = "usr/lib/shim/shimx64.efi.signed"
SIGNED_GRUB = "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"


def boot(network: BootNetwork, token: str, *machines_: Firmware, bridge: str = "br0") -> list[str]:
    """Return what each machine says first once it has booted; all of them at once."""
    consoles = [network.switch_on(firmware, bridge) for firmware in machines_]
    return [machines.booted(console, token, timeout=90).split()[0] for console in consoles]


def dnsmasq(machine: Namespace, *arguments: str) -> Process:
    """Return a running dnsmasq, which does nothing but what it is told to."""
    server = machine.start(
        "dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--port=0", "--user=root",
        "--no-ping", "--pid-file", "--log-facility=-", *arguments,
    )  # fmt: skip
    server.wait_listening(67)
    return server


def other_dhcp_server(network: BootNetwork, addresses: str, *arguments: str) -> Process:
    """Return a running dnsmasq on the same network, which leases addresses and knows nothing of booting."""
    other: Namespace = network.lab.namespace("other")
    network.lab.cable(other, network.switch, "eth0", "port2")
    network.switch.plug("port2", "br0")
    other.address("10.77.0.2/24")
    return dnsmasq(
        other, "--interface=eth0", "--bind-interfaces", f"--dhcp-range={addresses},255.255.255.0,10m",
        f"--dhcp-leasefile={network.directory / 'leases'}", *arguments,
    )  # fmt: skip


NEARBY = "10.77.0.100,10.77.0.110"


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
def test_boots_beside_another_dhcp_server(mode: str, token: str) -> None:
    """PXE 2.1 §2.2: the address comes from the one server, the boot file from the other, our, proxy."""
    with BootNetwork() as network:
        files.add_loaders_only(network.root, token)
        grub_from(network.root, f"(tftp,{SERVER_ADDRESS})/", files.GRUB_ONLY.format(token=token))
        dhcp = other_dhcp_server(network, NEARBY)
        server = network.serve(*files.ARGUMENTS, "--mode", mode)
        if mode == "auto":
            server.wait_for("10.77.0.2 serves DHCP on eth0: going on as proxyDHCP")
        assert boot(network, token, BIOS, UEFI) == ["pxelinux", "GRUB"]
        assert "DHCPACK(eth0) 10.77.0.1" in dhcp.text()
        assert "DHCPACK on" not in server.text(), "a proxy leases no address"


def test_boots_beside_another_dhcp_server_through_a_relay(token: str) -> None:
    """RFC 1542, PXE 2.1: the relay agent asks both servers, and hands both offers to the client."""
    with BootNetwork() as network:
        files.add_loaders_only(network.root, token)
        grub_from(network.root, f"(tftp,{SERVER_ADDRESS})/", files.GRUB_ONLY.format(token=token))
        dhcp = other_dhcp_server(network, "10.78.0.100,10.78.0.110", "--dhcp-option=3,10.78.0.254")
        relay = router(network, "10.78.0.254", network.server, dhcp.namespace)
        server = network.serve(*files.ARGUMENTS, "--mode", "proxy")
        dnsmasq(relay, *(f"--dhcp-relay=10.78.0.254,10.77.0.{number}" for number in (1, 2)))
        assert boot(network, token, BIOS, UEFI, bridge="br1") == ["pxelinux", "GRUB"]
        assert "DHCPACK(eth0) 10.78.0.1" in dhcp.text()
        assert f"DHCPDISCOVER from {BIOS.mac} via eth0 through 10.78.0.254" in server.text()


def router(network: BootNetwork, address: str, *servers: Namespace) -> Namespace:
    """Return a router between the servers' network and another one, br1, where it has that address."""
    machine: Namespace = network.lab.namespace("router")
    network.add_bridge("br1")
    for device, port, bridge in (("eth0", "port3", "br0"), ("eth1", "port4", "br1")):
        network.lab.cable(machine, network.switch, device, port)
        network.switch.plug(port, bridge)
    machine.address("10.77.0.254/24")
    machine.address(f"{address}/24", "eth1")
    machine.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    for server in servers:
        server.run("ip", "route", "add", "default", "via", "10.77.0.254")
    return machine


MENU = """
[menu Install]
boot = bios=pxelinux.0
    x86_64-efi=grubx64.efi
[menu Local disk]
local = yes
"""


@pytest.mark.parametrize("mode", ["full", "proxy"])
def test_the_first_entry_of_a_menu_boots(mode: str, token: str) -> None:
    """PXE 2.1 §2.4.4, timeout 0: firmware takes the first entry, and asks port 4011 for its boot file."""
    with BootNetwork() as network:
        files.add_loaders_only(network.root, token)
        grub_from(network.root, f"(tftp,{SERVER_ADDRESS})/", files.GRUB_ONLY.format(token=token))
        (network.directory / "menu.conf").write_text(f"[pxe]\nmenu_timeout = 0\n{MENU}")
        if mode == "proxy":
            other_dhcp_server(network, NEARBY)
        server = network.serve("--config", str(network.directory / "menu.conf"), "--mode", mode)
        assert boot(network, token, BIOS, UEFI) == ["pxelinux", "GRUB"]
        for firmware in (BIOS, UEFI):
            offered = rf"DHCPOFFER .*to {firmware.mac} via eth0, boot menu, first {firmware.loader}"
            chosen = rf"DHCPACK to {firmware.mac} via eth0, boot file {firmware.loader}"
            assert re.search(rf"{offered}(.|\n)*{chosen}", server.text())


def test_another_entry_of_a_menu_is_chosen_by_keyboard(token: str) -> None:
    """PXE 2.1 §2.4.4, timeout 255: the menu stays until a key is pressed, and another entry boots then."""
    with BootNetwork() as network:
        files.add_loaders_only(network.root, token)
        grub_from(network.root, f"(tftp,{SERVER_ADDRESS})/", files.GRUB_ONLY.format(token=token))
        first = "[pxe]\nmenu_timeout = 255\n[menu Memory test]\nboot_file = memtest\n"
        (network.directory / "menu.conf").write_text(first + MENU)
        network.serve("--config", str(network.directory / "menu.conf"))
        consoles = {firmware: network.switch_on(firmware) for firmware in (BIOS, UEFI)}
        for firmware, console in consoles.items():
            console.wait_for("Local disk", 60)
            network.press(firmware, "down", "ret")
        said = [machines.booted(console, token, timeout=90).split()[0] for console in consoles.values()]
        assert said == ["pxelinux", "GRUB"]


def test_one_server_for_other_kinds_of_firmware(token: str) -> None:
    """UEFI HTTP Boot from a plain web server, arm64 UEFI by TFTP, and Open Firmware by BOOTP (RFC 951)."""

    def says(kind: str) -> str:
        return f"{files.MARKER} {token} {kind}"

    with BootNetwork() as network:
        root = network.root
        (root / "arm64.efi").write_bytes(efi.application("arm64", says("arm64")))
        (root / "http.efi").write_bytes(efi.application("x86_64", says("HTTP")))
        (root / "boot.fth").write_text(f'\\ forth\n." {says("BOOTP")}" cr\n\\ end\npower-off\n')
        web = network.server.start(sys.executable, "-m", "http.server", "--directory", root, "80", name="web")
        web.wait_listening(80, "tcp")
        server = network.serve(
            "boot.fth", "--boot", "arm64-efi=arm64.efi",
            "--boot", f"x86_64-efi-http=http://{SERVER_ADDRESS}/http.efi",
            "--bootp", "--reserve", f"{SLOF.mac}=10.77.0.70",
        )  # fmt: skip
        assert boot(network, token, HTTP_UEFI, ARM64, SLOF) == ["HTTP", "arm64", "BOOTP"]
        assert '"GET /http.efi HTTP/1.1" 200' in web.text()
        assert "sent http.efi" not in server.text()
        assert "sent arm64.efi to" in server.text()
        assert f"BOOTREPLY on 10.77.0.70 to {SLOF.mac} via eth0, boot file boot.fth" in server.text()


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
    """An overlay of roots: shim and GRUB straight from where their packages put them, signatures intact.

    shim asks for a name that no package has: nothing has to be copied or renamed for it.
    """

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
        shim, grub = debs.unpacked("shim-signed") / SHIM, debs.unpacked("grub-efi-amd64-signed") / SIGNED_GRUB
        server = network.serve("--boot-file=shimx64.efi.signed", overlay=[shim.parent, grub.parent])
        assert machines.booted(network.switch_on(machine), token, timeout=90).split()[0] == "GRUB"
        assert "sent shimx64.efi.signed " in server.text()
        assert "sent grubx64.efi " in server.text()
