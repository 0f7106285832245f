"""Virtual machines that boot over the network from pxed, each firmware with its own network stack.

    with BootNetwork() as network:
        files.add_linux(network.root, token)
        network.serve(*files.ARGUMENTS)
        console = network.switch_on(BIOS)
        console.wait_for(f"{files.MARKER} {token}", 40)

A machine's serial console is the output of its process.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests import lab
from tests.boot import files
from tests.lab import Lab, Process

PACKAGES = Path(__file__).with_name("packages")
ROUTER = Path(__file__).with_name("router.py")
OVMF = Path("/usr/share/OVMF")
DIRECTORY = "ptftpd-boot-"  # followed by the process id and a random name
MONITOR = "monitor"  # the socket of QEMU's monitor in a machine's directory
KEPT = "kept"  # an empty file in a directory that stays
SERVER_ADDRESS = "10.77.0.1"


@dataclass(frozen=True)
class Firmware:
    """A kind of machine: its name, hardware address and the arguments to QEMU that make it one."""

    name: str
    description: str
    loader: str  # which boot file it gets with files.ARGUMENTS
    mac: str
    arguments: Callable[[str, Path], tuple[str, ...]]  # (its network card, a directory of its own)
    program: str = "qemu-system-x86_64"


def _bios(card: str, directory: Path) -> tuple[str, ...]:
    return "-machine", "pc", "-device", card, "-boot", "n"


def _uefi(card: str, directory: Path) -> tuple[str, ...]:
    variables = directory / "uefi-variables.fd"
    shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", variables)
    flash = "if=pflash,format=raw,unit={},file={}".format
    return (
        "-machine", "q35",
        "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n",  # saves a second
        "-drive", flash(0, OVMF / "OVMF_CODE_4M.fd") + ",readonly=on",
        "-drive", flash(1, variables),
        "-device", "virtio-rng-pci",
        "-device", f"{card},romfile=,bootindex=1",  # with QEMU's boot ROM it would run iPXE, not its own PXE
    )  # fmt: skip


def _uefi_http(card: str, directory: Path) -> tuple[str, ...]:
    return *_uefi(card, directory), "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"


def _arm64(card: str, directory: Path) -> tuple[str, ...]:
    firmware = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
    return (
        "-machine", "virt", "-cpu", "cortex-a57", "-bios", firmware,
        "-device", "virtio-rng-pci",  # without random numbers EDK2 from 2024 on has no network at all
        "-device", f"{card},romfile=",
    )  # fmt: skip


def _slof(card: str, directory: Path) -> tuple[str, ...]:
    """Return an IBM POWER machine that is to boot by BOOTP; mitigations that TCG has not are left out."""
    machine = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"
    return "-machine", machine, "-device", card, "-prom-env", "boot-command=boot net:bootp"


BIOS = Firmware("BIOS", "SeaBIOS, its card's boot ROM is iPXE", "pxelinux.0", "52:54:00:00:00:01", _bios)
UEFI = Firmware("UEFI", "EDK2 with its own PXE client", "grubx64.efi", "52:54:00:00:00:02", _uefi)

HTTP_UEFI = Firmware("UEFI-HTTP", "EDK2, which is to boot by HTTP", "", "52:54:00:00:00:05", _uefi_http)
ARM64 = Firmware(
    "UEFI-arm64", "EDK2 of the arm64 architecture", "", "52:54:00:00:00:03", _arm64, "qemu-system-aarch64"
)
SLOF = Firmware(
    "SLOF", "Open Firmware of POWER, by BOOTP", "", "52:54:00:00:00:04", _slof, "qemu-system-ppc64"
)


def missing() -> list[str]:
    """Return a sentence for everything that booting virtual machines lacks here."""
    words = (line.partition("#")[0].strip() for line in PACKAGES.read_text().splitlines())
    faults = lab.missing(word for word in words if word)
    if not Path("/dev/net/tun").exists():
        faults.append(
            "There is no /dev/net/tun, so a virtual machine cannot have a network card: modprobe tun"
        )
    return faults


def booted(console: Process, token: str, timeout: float) -> str:
    """Return what the guest says after its marker; it must then power itself off."""
    said = console.wait_for(rf"{files.MARKER} {token} (.*)\n", timeout)[1]
    assert console.wait(timeout=15) == 0
    return said.strip()


class BootNetwork:
    """A context manager: a server's namespace, a switch for machines, a packet capture.

    What it logs stays where `directory` says when it is left by an exception, which says so; else it goes.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._taps = itertools.count()

    def __enter__(self) -> BootNetwork:
        with ExitStack() as stack:
            _delete_abandoned()
            self.directory = Path(tempfile.mkdtemp(prefix=f"{DIRECTORY}{os.getpid()}-"))
            stack.push(self._keep_or_delete)
            self.directory.chmod(0o755)  # the server reads its root as somebody else
            self.root = self._new_directory("root")
            self.capture = self.directory / "packets.pcap"
            self.lab = stack.enter_context(Lab(self._new_directory("logs")))
            self._connect()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def serve(self, *arguments: str, overlay: Sequence[Path] = ()) -> Process:
        """Return pxed, ready to answer on eth0: `pxed eth0 ROOT ARGUMENTS`; with overlay, more roots."""
        roots = (self.root,) if not overlay else [f"--root={root}" for root in (self.root, *overlay)]
        state = self._new_directory("state")
        server = self.server.start(
            *lab.program("pxed"), "eth0", *roots, *arguments,
            "--user", _server_user(), "--state-dir", state, name="pxed",
        )  # fmt: skip
        for port in (67, 69):
            server.wait_listening(port)
        return server

    def switch_on(self, firmware: Firmware, bridge: str = "br0") -> Process:
        """Return the running machine; its output is its serial console. It ends when it powers itself off.

        bridge: the network that it is on, in the namespace switch.
        """
        tap = f"tap{next(self._taps)}"
        self.switch.tap(tap)
        self.switch.plug(tap, bridge)
        uuid = f"00112233-4455-6677-8899-{firmware.mac.replace(':', '')}"
        card = f"virtio-net-pci,netdev=cable,mac={firmware.mac}"
        own = self._new_directory(firmware.mac)
        return self.switch.start(
            firmware.program, "-nodefaults", "-nographic", "-no-reboot",
            "-monitor", f"unix:{own / MONITOR},server=on,wait=off",
            # KVM inside virtual machines is not to be relied on; this always works.
            "-machine", "graphics=off", "-accel", "tcg", "-m", 512, "-uuid", uuid, "-serial", "stdio",
            "-netdev", f"tap,id=cable,ifname={tap},script=no,downscript=no",
            *firmware.arguments(card, own), name=firmware.name,
        )  # fmt: skip

    def press(self, firmware: Firmware, *keys: str) -> None:
        """Press keys of a running machine, by QEMU's names for them, one after the other."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(10)
            monitor.connect(str(self.directory / firmware.mac / MONITOR))
            for command in (f"sendkey {key}\n" for key in keys):
                _read_prompt(monitor)
                monitor.sendall(command.encode())
            _read_prompt(monitor)

    def _connect(self) -> None:
        """Lay the cable from the server's eth0 to the switch, where the machines' cables end too."""
        self.server, self.switch = self.lab.namespace("server"), self.lab.namespace("switch")
        self.add_bridge("br0")
        self.lab.cable(self.server, self.switch, "eth0", "port1")
        self.switch.plug("port1", "br0")
        self.server.address(f"{SERVER_ADDRESS}/24")
        # -Z root: it would give up root before it opens the file
        tcpdump = self.switch.start(
            "tcpdump", "-i", "br0", "-U", "--immediate-mode", "-Z", "root", "-w", self.capture
        )
        tcpdump.wait_for("listening on")

    def add_bridge(self, name: str) -> None:
        """Add a network for machines to be on."""
        self.switch.bridge(name)
        self.switch.start(sys.executable, ROUTER, name, name="router")

    def _new_directory(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir()
        return path

    def _keep_or_delete(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, KeyboardInterrupt | SystemExit):
            shutil.rmtree(self.directory)
        else:
            (self.directory / KEPT).touch()
            print(f"Kept: logs/, consoles among them, and packets.pcap in {self.directory}", file=sys.stderr)


def _read_prompt(monitor: socket.socket) -> None:
    """Read what QEMU's monitor says until it takes the next command."""
    said = b""
    while not said.endswith(b"(qemu) "):
        said += monitor.recv(4096)


def _delete_abandoned() -> None:
    """Delete the directories of runs that were killed, but not what was kept to be looked at."""
    for path in Path(tempfile.gettempdir()).glob(f"{DIRECTORY}*-*"):
        owner = path.name.removeprefix(DIRECTORY).partition("-")[0]
        if not (path / KEPT).exists() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(path, ignore_errors=True)


def _server_user() -> str:
    """Return the user that pxed is to become: the one that its package makes, where there is one."""
    try:
        return pwd.getpwnam("ptftpd").pw_name
    except KeyError:
        return "nobody"
