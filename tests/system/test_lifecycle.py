"""The packages over their life on a system: installed, upgraded, removed, purged, beside others."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import CHECKOUT, Lab
from tests.system import container, roots
from tests.system.machine import BOOT_FILE, Machine
from tests.system.test_tftp import Download

OUR_PACKAGES = ("ptftpd", "ptftp", "python3-ptftpd")


@pytest.fixture
def bare(suite: str, tmp_path: Path) -> Iterator[Machine]:
    """Return a system of this test's own, without our packages."""
    with Lab(tmp_path) as lab:
        machine = Machine(lab, roots.system(suite).path)
        machine.mark()
        yield machine
    container.remove_cgroups(machine.name)


@pytest.fixture(scope="session")
def older(packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return packages like ours of a version before."""
    directory = tmp_path_factory.mktemp("older")
    made = []
    for package in packages:
        name, version, _ = package.name.split("_")
        tree, target = directory / name, directory / f"{name}_{version}~before_all.deb"
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        control = tree / "DEBIAN/control"
        text = control.read_text().replace(f"Version: {version}", f"Version: {version}~before")
        control.write_text(text.replace(f"(= {version})", f"(= {version}~before)"))
        subprocess.run(["dpkg-deb", "--build", "-Znone", tree, target], check=True, stdout=subprocess.DEVNULL)
        made.append(target)
    return made


def start_all(machine: Machine) -> None:
    """Use the packages: both kinds of units, one of them enabled, a lease, a changed configuration."""
    machine.serve()
    machine.configure("[pxe]\nboot_file = pxelinux.0\n", "pxed.conf")
    machine.systemctl("enable", "--now", "ptftpd.socket", "pxed@eth0")
    assert machine.get() == BOOT_FILE
    assert machine.boot() is not None
    machine.wait_message("^DHCPACK on")


def test_upgrade(bare: Machine, older: list[Path], packages: list[Path]) -> None:
    """What runs is restarted, transfers under way are finished, settings and leases stay."""
    bare.install(*older)
    start_all(bare)
    told = bare.boot()
    before = {unit: bare.pid(unit) for unit in ("ptftpd", "pdhcpd@eth0", "ptftpd@eth0")}
    download = Download(bare)
    upgrade = bare.net.start(*bare.command_inside(*bare.installation(*packages)), name="upgrade")
    bare.wait_message("Stopping.*TFTP server")
    assert download.finish() == BOOT_FILE
    assert upgrade.wait(120) == 0, upgrade.text()
    for unit, pid in before.items():
        assert bare.pid(unit) not in {pid, 0} or not pid, unit
    assert bare.boot() == told
    assert bare.get() == BOOT_FILE
    assert bare.path("/etc/ptftpd/pxed.conf").read_text() == "[pxe]\nboot_file = pxelinux.0\n"
    assert bare.systemctl("is-enabled", "ptftpd.socket", "pxed@eth0").split() == ["enabled", "enabled"]
    assert bare.systemctl("--failed", "--no-legend") == ""


def test_remove_reinstall_purge(bare: Machine, packages: list[Path]) -> None:
    """Removed, nothing runs and settings and leases stay; purged, they are gone, and so is the user."""
    bare.install(*packages)
    start_all(bare)
    told = bare.boot()
    bare.apt("remove", *OUR_PACKAGES)
    bare.wait_closed()
    assert bare.path("/etc/ptftpd/pxed.conf").exists()
    assert bare.path("/var/lib/ptftpd/leases-eth0.sqlite").exists()
    bare.install(*packages)
    bare.systemctl("start", "pxed@eth0")
    assert bare.boot() == told
    bare.apt("purge", *OUR_PACKAGES)
    bare.wait_closed()
    assert bare.run("getent", "passwd", "ptftpd", check=False).stdout == ""
    left = "-name '*ptftp*' -o -name 'p*d@*' -o -name '*device.wants'"
    assert bare.run("sh", "-c", f"find /etc /var/lib /run {left}").stdout == ""
    assert bare.path("/srv/tftp/pxelinux.0").exists()  # what was served is the administrator's
    assert bare.systemctl("--failed", "--no-legend") == ""
    bare.install(*packages)
    assert bare.listening() == ""


def test_make_install(bare: Machine, tmp_path: Path) -> None:
    """For other systems than Debian: below /usr/local, where systemd finds it; the user is to be made."""
    bare.apt("install", "python3-systemd", "python3-daemon", "python3-netifaces", "procps")
    subprocess.run(
        ["make", "install", "NEED=true", f"DESTDIR={tmp_path / 'files'}"], cwd=CHECKOUT, check=True
    )
    shutil.copytree(tmp_path / "files", bare.path("/"), dirs_exist_ok=True, symlinks=True)
    bare.run("systemd-sysusers")
    bare.run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/ptftpd.conf")
    bare.systemctl("daemon-reload")
    bare.serve()
    bare.configure("[pxe]\nboot_file = pxelinux.0\n", "pxed.conf")
    bare.systemctl("start", "pxed@eth0")
    bare.boots()
    compiled = bare.path("/usr/local/lib/ptftpd/ptftpd/__pycache__")
    assert list(compiled.glob("service.*.pyc")), "no service may write there: each start would compile it all"
    assert "/usr/local/sbin/pdhcpd" in bare.show("pdhcpd@eth0", "ExecStart")
    assert bare.run("/usr/local/bin/tftp", "--version").stdout.startswith("tftp (ptftpd)")


def test_the_client_beside_tftp_hpa(bare: Machine, packages: list[Path]) -> None:
    """/usr/bin/tftp belongs to tftp-hpa's package where that is installed, whichever came first."""
    [client, _, library] = packages

    def tftp() -> str:
        """Return whose tftp it is."""
        return "ours" if "ptftpd" in bare.run("tftp", "--version", check=False).stdout else "theirs"

    bare.install(client, library)
    assert tftp() == "ours"
    bare.apt("install", "tftp-hpa")
    assert tftp() == "theirs"
    bare.apt("remove", "ptftp")
    assert tftp() == "theirs"
    bare.install(client)
    assert tftp() == "theirs"
    assert bare.run("ptftp", "--version").stdout.startswith("ptftp (ptftpd)")
    bare.apt("remove", "tftp-hpa")
    assert tftp() == "ours"
    bare.apt("purge", "ptftp")
    assert (
        bare.run(
            "sh", "-c", "ls /usr/bin/tftp /etc/alternatives/tftp* /usr/share/man/man1/tftp*", check=False
        ).stdout
        == ""
    )
