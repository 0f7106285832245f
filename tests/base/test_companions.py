"""What a boot loader needs beside itself is known, and looked for before a machine starts the loader."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ptftpd.programs import companions, pxed
from tests.boot import efi
from tests.lab import CHECKOUT, reachable

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(("loader", "there", "lacks"), [
    ("pxelinux.0", (), ["ldlinux.c32", "pxelinux.cfg/default"]),
    ("pxelinux.0", ("ldlinux.c32", "pxelinux.cfg/default"), []),
    ("lpxelinux.0", ("ldlinux.c32", "pxelinux.cfg/"), []),
    ("bios/pxelinux.0", ("ldlinux.c32",), ["bios/ldlinux.c32", "bios/pxelinux.cfg/default"]),
    ("\\bios\\pxelinux.0", ("/bios/ldlinux.c32", "/bios/pxelinux.cfg/"), []),
    ("syslinux.efi", (), ["ldlinux.e64"]),
    ("syslinux.efi", ("ldlinux.e32",), []),
    ("shimx64.efi.signed", (), ["grubx64.efi", "grub/grub.cfg"]),
    ("shimx64.efi", ("grubx64.efi", "grub/grub.cfg"), []),
    ("debian/shimaa64.efi", ("debian/grubaa64.efi", "debian/grub.cfg"), []),
    ("debian-installer/amd64/bootnetx64.efi",
     ("debian-installer/amd64/grubx64.efi", "debian-installer/amd64/grub/grub.cfg"), []),
    ("grubx64.efi", (), ["grub/grub.cfg"]),
    ("boot/grubx64.efi", ("grub.cfg",), []),
    ("grubnetx64.efi.signed", ("grub/grub.cfg",), []),
    ("snponly.efi", (), []),
    ("my-pxelinux.0", (), []),
    ("grubx64.efi.old", (), []),
    ("odd{brace}/grubx64.efi", ("odd{brace}/grub.cfg",), []),
])  # fmt: skip
def test_what_is_missing(loader: str, there: tuple[str, ...], lacks: list[str]) -> None:
    """The first name that would do is told; others where a loader may be built to look are no less good."""
    told = list(companions.missing(loader, there.__contains__))
    assert [re.sub(r"^.* needs (.*), which is not there: .*$", r"\1", each) for each in told] == lacks


def test_every_remedy_can_be_written() -> None:
    """No sentence has a placeholder left."""
    for loader in ("pxelinux.0", "syslinux.efi", "shimia32.efi", "grubaa64.efi"):
        assert not [
            each for each in companions.missing(loader, lambda name: False) if re.search("[{}]", each)
        ]


PACKAGES = (
    "usr/lib/PXELINUX/pxelinux.0", "usr/lib/PXELINUX/lpxelinux.0",
    "usr/lib/syslinux/modules/bios/ldlinux.c32",
    "usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/mmx64.efi.signed",
    "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
    "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
)  # fmt: skip
OWN = ("srv/tftp/pxelinux.cfg/default", "srv/tftp/grub/grub.cfg")  # of the administrator, as README says


class TestReadme:
    """README's example, as it is printed, on a system with the packages that it names."""

    def told(self, place: Path, capsys: Output, *absent: str) -> list[str]:
        """Return what pxed --check says of boot files, without the files that are absent."""
        for name in (*PACKAGES, *OWN):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if name not in absent:
                program = ".efi" in name
                (place / name).write_bytes(efi.application("x86_64", "") if program else b"\xea" * 64)
        text = (CHECKOUT / "README.md").read_text()
        example = re.search(r"which no upgrade touches:\n\n((?:    .*\n|\n)*)", text)
        assert example
        conf = re.sub(r"/(?=(usr|srv)/)", f"{place}/", re.sub("(?m)^    ", "", example[1]))
        (place / "conf").write_text(conf)
        if os.geteuid() == 0:
            reachable(place)
        pxed.main(["lo", "--check", "-c", str(place / "conf")])  # the ports may be root's alone
        said = capsys.readouterr().err
        assert "conf:" not in re.sub("(?m)^.* boot file .*$", "", said), "a line that is wrong"
        return re.findall(r"boot file (.*)", said)

    def test_as_printed(self, tmp_path: Path, capsys: Output) -> None:
        assert self.told(tmp_path, capsys) == []

    @pytest.mark.parametrize("name", [*PACKAGES, *OWN])
    def test_each_file_counts(self, tmp_path: Path, capsys: Output, name: str) -> None:
        """But for two that nobody asks for on the way: the key manager, and the GRUB that is for a disk."""
        told = self.told(tmp_path, capsys, name)
        assert bool(told) is ("mmx64" not in name and "/grubx64" not in name)

    def test_the_packages_are_named(self) -> None:
        text = (CHECKOUT / "README.md").read_text()
        assert "apt install pxelinux syslinux-common shim-signed grub-efi-amd64-signed\n" in text
