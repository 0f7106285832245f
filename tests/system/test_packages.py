"""The packages themselves: built twice to the same octets, and nothing that lintian objects to."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

import ptftpd
from tests.lab import CHECKOUT
from tests.system import testbed
from tests.system.conftest import Workshop

NAMES = ("ptftp", "ptftpd", "python3-ptftpd")

VERSION = ptftpd.__version__
CONTROL = (CHECKOUT / "debian/tests/control").read_text()
OF_LINT, RUNTIME = {"python3-venv"}, {"python3-systemd", "python3-daemon", "python3-netifaces"}
PYTEST = ("python3-hypothesis", "python3-pytest", "python3-pytest-timeout")

# Tags of lintian that we know better than, each with the reason.
ARGUED = {
    "package-supports-alternative-init-but-no-init.d-script": "systemd starts the servers, through its "
    "sockets; for other systems there are --daemon and --pidfile",
    "out-of-date-standards-version": "the policy is Debian 12's, for which it is as well",
}


def digests(directory: Path) -> dict[str, str]:
    """Return what each package of a build is."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("*.deb")}


def test_built_twice_equal(builds: tuple[Path, Path]) -> None:
    """In another directory, under another umask, locale and time zone, the packages are the same."""
    one, two = map(digests, builds)
    assert {name.partition("_")[0] for name in one} == set(NAMES)
    assert one == two


def test_lintian(builds: tuple[Path, Path]) -> None:
    """Pedantic tags count as well; those that are left are argued for above."""
    said = (builds[0] / "lintian").read_text()
    tags = re.findall(r"^[EWIPX]: [^:]+: (\S+)", said, re.MULTILINE)
    assert set(tags) <= set(ARGUED), said


def test_unit_tests_run_when_it_is_built() -> None:
    """Unless DEB_BUILD_OPTIONS says nocheck, as it does in these tests: the next one runs them."""
    command = ["make", "--dry-run", "--silent", "-f", "debian/rules", "override_dh_auto_test"]
    for options, there in (("", True), ("nocheck", False)):
        environment = os.environ | {"DEB_BUILD_OPTIONS": options}
        shown = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
        assert ("pytest" in shown.stdout) is there, shown.stderr


def test_the_tests_of_the_packages(workshop: Workshop) -> None:
    """autopkgtest finds what debian/tests promises: of what is installed, with the Python of each Debian."""
    said = workshop.tests.result()
    assert testbed.passed(said, testbed.ALWAYS), said[-8000:]
    counts = [int(number) for number in re.findall(r"^=+ (\d+) passed in ", said, re.MULTILINE)]
    assert len(counts) == 2, said
    assert counts[0] > 2000, "tests of unit"
    assert counts[1] > 100, "tests of netns"


def wanted(tests: str) -> set[str]:
    """Return the packages that debian/tests/control names for one of its tests."""
    [stanza] = re.findall(
        rf"^Tests: {tests}\nDepends: (.*?)\nRestrictions:", CONTROL, re.MULTILINE | re.DOTALL
    )
    return {word.strip() for word in stanza.split(",")}


def listed(path: str) -> set[str]:
    """Return the packages of a list for 'make test', which apt does not read."""
    lines = (CHECKOUT / path).read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_packages_of_the_tests() -> None:
    """debian/tests/control wants what the lists for 'make test' have; '@' brings what the programs need."""
    assert wanted("unit") == listed("tests/packages") - OF_LINT - RUNTIME | {"make", "@"}
    for kind in ("netns", "boot"):
        assert wanted(kind) == listed(f"tests/{kind}/packages") | {"@", *PYTEST}


def test_the_packages_of_the_build() -> None:
    """Build-Depends has what the quick tests need, which run then."""
    fields = (CHECKOUT / "debian/control").read_text().partition("\nStandards-Version")[0]
    assert set(re.findall(r"[ ](python3-[a-z-]+)", fields)) >= listed("tests/packages") - OF_LINT


def test_pip_install(builds: tuple[Path, Path]) -> None:
    """'pip install .' in a virtual environment that sees Debian's modules: every program starts."""
    said = (builds[0] / "pip").read_text().split("\n")[:-1]
    programs = ("ptftpd", "pdhcpd", "pbootpd", "pxed", "ptftp", "tftp")
    assert len(said) == len(programs), said
    for line, program in zip(said, programs, strict=True):
        assert line.startswith(program), said
        assert line.endswith(VERSION), said


def test_control_files_agree(packages: list[Path]) -> None:
    """The version of the changelog is the program's, and no package is for one architecture."""
    assert {path.name for path in packages} == {f"{name}_{VERSION}_all.deb" for name in NAMES}


def test_make_install(tmp_path: Path) -> None:
    """On systems that are not Debian: everything below DESTDIR, and the programs run from PREFIX."""
    subprocess.run(
        ["make", "install", "NEED=true", f"DESTDIR={tmp_path}", "PREFIX=/opt/boot"], cwd=CHECKOUT, check=True
    )
    service = (tmp_path / "opt/boot/lib/systemd/system/pdhcpd@.service").read_text()
    assert "\nExecStart=/opt/boot/sbin/pdhcpd %i\n" in service
    assert (tmp_path / "opt/boot/lib/systemd/system/pdhcpd@.service.d/10-sandbox.conf").exists()
    assert (tmp_path / "opt/boot/share/man/man8/pxed.8").exists()
    assert (tmp_path / "etc/ptftpd/pxed.conf").exists()
    assert (tmp_path / "etc/ptftpd/pxed.conf.d").is_dir()
    assert (tmp_path / "opt/boot/share/zsh/site-functions/_pxed").exists()
    library = tmp_path / "opt/boot/lib/ptftpd"
    for program in ("sbin/pxed", "sbin/ptftpd", "sbin/pdhcpd", "sbin/pbootpd", "bin/ptftp"):
        script = (tmp_path / "opt/boot" / program).read_text().replace("/opt/boot/lib/ptftpd", str(library))
        shown = subprocess.run(
            ["/usr/bin/python3", "-I", "-", "--version"], input=script, capture_output=True, text=True
        )
        assert shown.returncode == 0, shown.stderr
    assert "2." in shown.stdout
    subprocess.run(
        ["make", "uninstall", "NEED=true", f"DESTDIR={tmp_path}", "PREFIX=/opt/boot"],
        cwd=CHECKOUT, check=True,
    )  # fmt: skip
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert left == {f"etc/ptftpd/{name}.conf" for name in ("pxed", "ptftpd", "pdhcpd", "pbootpd")}
