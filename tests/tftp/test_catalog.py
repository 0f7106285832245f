"""Which file a client gets for a name, and where it may write: rules, own directories, quirks, policies."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ptftpd.errors import ConfigError, FileError
from ptftpd.settings import Directory, Pxe, Remap, Settings, Tftp
from ptftpd.tftp.catalog import Catalog
from ptftpd.tftp.names import Facts
from tests.descriptors import open_descriptors

DESK = Facts("192.0.2.7", mac="52:54:00:12:34:56", cls="efi", host="desk")


@contextmanager
def catalog(root: Path, *, roots: tuple[Path, ...] = (), **sections: Any) -> Iterator[Catalog]:
    """Return the files of a root, and of more of them; sections: tftp, remaps and directories."""
    made = Catalog(Settings(pxe=Pxe(root=(str(root), *map(str, roots))), **sections))
    try:
        yield made
    finally:
        made.close()


def read(made: Catalog, name: str, facts: Facts = DESK) -> tuple[str, tuple[str, ...]]:
    """Return the text of the file that a name leads to, and what was done to the name."""
    source, quirks = made.read(name, facts)
    buffer = bytearray(source.size)
    source.read([memoryview(buffer)], 0)
    source.close()
    return buffer.decode(), quirks


def refused(made: Catalog, name: str, *, writing: bool = False) -> tuple[str, str]:
    """Return kind and reason with which a name is refused."""
    with pytest.raises(FileError) as caught:
        made.write(name, DESK, None) if writing else made.read(name, DESK)
    return caught.value.kind, caught.value.reason


def put(root: Path, *names: str) -> None:
    """Make files below a root that hold their own names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(name))


class TestUploadFaults:
    """What is said when the server starts of directories that uploads cannot go to."""

    def faults(self, root: Path, uploads: str = "none", **directories: str) -> list[str]:
        """Return the sentences, with ROOT for the root."""
        sections = {name: Directory(uploads=policy) for name, policy in directories.items()}
        with catalog(root, tftp=Tftp(uploads=uploads), directories=sections) as made:
            return [fault.replace(str(root), "ROOT") for fault in made.upload_faults(writing=True)]

    def test_none(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        assert self.faults(tmp_path, "create", **{"in": "create", f"{tmp_path}/in": "version"}) == []

    def test_absent(self, tmp_path: Path) -> None:
        assert self.faults(tmp_path, **{"in": "create"}) == [
            "[directory in] uploads = create: ROOT/in: there is no such directory"
        ]

    def test_somebody_elses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.access", lambda path, mode: False)
        [told] = self.faults(tmp_path, "create")
        assert told.startswith("[tftp] uploads = create: ROOT: user ")
        assert told.endswith(" may not write there: chown it")

    def test_an_absolute_path(self, tmp_path: Path) -> None:
        """One below the first root names the same directory."""
        (tmp_path / "in").mkdir()
        with catalog(tmp_path, directories={f"{tmp_path}/in": Directory(uploads="create")}) as made:
            upload, _ = made.write("in/a", DESK, None)
            upload.close()


# What machines make of a name of a file below a root. What dirt is behind comes last, what a path is in front
# of comes first.
ODD: dict[str, Callable[[str, Path], str]] = {
    "case": lambda name, root: name.replace("boot", "BOOT"),
    "shim": lambda name, root: name,
    "root": lambda name, root: f"{root}/{name}",
    "serial": lambda name, root: f"12ab34cd/{name.lstrip('/')}",
    "dirt": lambda name, root: f"{name}\udcff",
}


class TestNames:
    @pytest.mark.parametrize(
        "name", ["boot/file", "/boot/file", "\\boot\\file", "//boot/./file", "x/../boot/file"]
    )
    def test_the_same_file(self, tmp_path: Path, name: str) -> None:
        r"""'/name' and 'name' are alike, '\' is a '/'; the earlier ptftpd refused every '/name'."""
        put(tmp_path, "boot/file")
        with catalog(tmp_path) as made:
            assert read(made, name) == ("boot/file", ())

    @pytest.mark.parametrize(
        "name", ["../root-private/secret", "/../root-private/secret", "..\\root-private\\secret", "../secret"]
    )
    def test_outside(self, tmp_path: Path, name: str) -> None:
        """The earlier ptftpd served and wrote /x/root-private/secret for the root /x/root."""
        root = tmp_path / "root"
        root.mkdir()
        put(tmp_path, "root-private/secret", "secret")
        with catalog(root, tftp=Tftp(uploads="overwrite")) as made:
            assert refused(made, name)[0] == FileError.DENIED
            assert refused(made, name, writing=True)[0] == FileError.DENIED

    @pytest.mark.parametrize(("asked", "quirk"), [
        ("file\udcff", "garbage behind the name"),
        ("file\udcff\udcff\x01", "garbage behind the name"),
        ("grub.cfg:", "garbage behind the name"),
        ("12ab34cd/file", "no directory for this Raspberry Pi's serial number"),
    ])  # fmt: skip
    def test_firmware(self, tmp_path: Path, asked: str, quirk: str) -> None:
        """What is known of firmware is mended when there is no file of the exact name, and told."""
        put(tmp_path, "file", "grub.cfg")
        with catalog(tmp_path) as made:
            assert read(made, asked)[1] == (quirk,)

    def test_the_second_stage_of_shim(self, tmp_path: Path) -> None:
        """With Debian's directories among the roots; an administrator's own GRUB is in an earlier one."""
        own, packaged = tmp_path / "srv", tmp_path / "usr"
        put(own, "a")
        put(packaged, "grubnetx64.efi.signed", "grubx64.efi.signed")
        with catalog(own, roots=(packaged,)) as made:
            assert read(made, "grubx64.efi")[0] == "grubnetx64.efi.signed"
            put(own, "grubx64.efi")
            assert read(made, "grubx64.efi") == ("grubx64.efi", ())

    @pytest.mark.parametrize("pair", itertools.combinations(ODD, 2), ids=" and ".join)
    def test_quirks_at_once(self, tmp_path: Path, pair: tuple[str, str]) -> None:
        """A machine that leaves dirt behind the names it asks for has its other quirks too: all pairs."""
        put(tmp_path, "boot/grubnetx64.efi.signed")
        name = "boot/grubx64.efi" if "shim" in pair else "boot/grubnetx64.efi.signed"
        for each in pair:
            name = ODD[each](name, tmp_path)
        with catalog(tmp_path, tftp=Tftp(ignore_case="case" in pair)) as made:
            text, quirks = read(made, name)
        assert text == "boot/grubnetx64.efi.signed"
        assert len(quirks) == len(set(quirks)) == 2

    @pytest.mark.parametrize("name", ["file\udcff", "grub.cfg:", "12ab34cd/file"])
    def test_the_exact_name_comes_first(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, "file", "grub.cfg", name)
        with catalog(tmp_path) as made:
            source, quirks = made.read(name, DESK)
            source.close()
            assert Path(source.path).name == Path(name).name
            assert quirks == ()

    def test_ignore_case(self, tmp_path: Path) -> None:
        """Also behind dirt; the exact name in a later root wins over a like one in an earlier."""
        first, second = tmp_path / "1", tmp_path / "2"
        put(first, "BOOT/BCD")
        put(second, "boot/bcd")
        with catalog(first, roots=(second,), tftp=Tftp(ignore_case=True)) as made:
            assert read(made, "boot/bcd") == ("boot/bcd", ())
            assert read(made, "Boot\\Bcd") == ("BOOT/BCD", ("case differs",))
            assert read(made, "Boot/Bcd\udcff") == ("BOOT/BCD", ("garbage behind the name", "case differs"))
        with catalog(first) as made:
            assert refused(made, "boot/bcd")[0] == FileError.NOT_FOUND

    def test_the_reason_that_tells_most(self, tmp_path: Path) -> None:
        """A directory of the exact name is told, not that its mended name is absent."""
        (tmp_path / "name:").mkdir()
        with catalog(tmp_path) as made:
            assert refused(made, "name:") == (FileError.DENIED, "it is a directory")


class TestOwnDirectories:
    TEMPLATES = ("{mac}", "{host}", "{class}", "{address}")

    def test_the_order(self, tmp_path: Path) -> None:
        """The first directory that has the file, and the common one last; by MAC, host, class, address."""
        places = ["52:54:00:12:34:56/file", "desk/file", "efi/file", "192.0.2.7/file", "file"]
        put(tmp_path, *places)
        with catalog(tmp_path, tftp=Tftp(client_directory=self.TEMPLATES)) as made:
            for place in places:
                assert read(made, "/file") == (place, ())
                (tmp_path / place).unlink()

    def test_a_stranger(self, tmp_path: Path) -> None:
        """What is not known of a client stands for no directory, not for one without a name."""
        put(tmp_path, "52:54:00:12:34:56/file", "file", "192.0.2.8/file")
        with catalog(tmp_path, tftp=Tftp(client_directory=self.TEMPLATES)) as made:
            assert read(made, "file", Facts("192.0.2.8"))[0] == "192.0.2.8/file"
            assert read(made, "file", Facts("192.0.2.9"))[0] == "file"

    def test_in_every_root(self, tmp_path: Path) -> None:
        """A client's own file in a later root goes before the common one in an earlier."""
        put(tmp_path / "1", "file")
        put(tmp_path / "2", "desk/file")
        with catalog(
            tmp_path / "1", roots=(tmp_path / "2",), tftp=Tftp(client_directory=("{host}",))
        ) as made:
            assert read(made, "file")[0] == "desk/file"


class TestRules:
    def test_rewritten(self, tmp_path: Path) -> None:
        """The record of the transfer tells the name and the rules."""
        put(tmp_path, "boot/desk.cfg")
        rule = Remap(r"^.*\.cfg$", r"boot/{host}.cfg")
        with catalog(tmp_path, remaps={"own": rule}) as made:
            assert read(made, "any.cfg") == ("boot/desk.cfg", ("rewritten to boot/desk.cfg by own",))

    def test_a_rule_cannot_lead_out(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        root.mkdir()
        put(tmp_path, "secret")
        with catalog(root, remaps={"bad": Remap("^a", "../secret")}) as made:
            assert refused(made, "a")[0] == FileError.DENIED

    def test_refuse(self, tmp_path: Path) -> None:
        put(tmp_path, "key")
        with catalog(tmp_path, remaps={"no": Remap("^key$", refuse="not by TFTP")}) as made:
            assert refused(made, "key") == (FileError.DENIED, "not by TFTP (rule no)")


class TestPolicies:
    """uploads in [tftp], and [directory PATH], the nearest of which counts."""

    def allowed(self, made: Catalog, name: str) -> str:
        """Return what happens to a file that is uploaded."""
        try:
            upload, _ = made.write(name, DESK, None)
        except FileError as error:
            return str(error)
        upload.close()
        return "taken"

    def test_off_by_default(self, tmp_path: Path) -> None:
        with catalog(tmp_path) as made:
            assert refused(made, "new", writing=True) == (FileError.DENIED, "uploads are off")

    def test_by_directory(self, tmp_path: Path) -> None:
        for name in ("open/closed/open", "other", "open-not"):
            (tmp_path / name).mkdir(parents=True)
        directories = {
            "/open": Directory("create"), "open/closed": Directory("none"),
            "open/closed/open/": Directory("overwrite"),
        }  # fmt: skip
        with catalog(tmp_path, directories=directories) as made:
            for name, answer in {
                "open/new": "taken", "/open/new": "taken", "open/closed/new": "uploads are off here",
                "open/closed/open/new": "taken", "other/new": "uploads are off here",
                "new": "uploads are off here", "open-not/new": "uploads are off here",
                "other/../open/new": "taken", "open/../new": "uploads are off here",
            }.items():  # fmt: skip
                assert self.allowed(made, name) == answer, name

    def test_the_root(self, tmp_path: Path) -> None:
        """[directory .] is the root, and all that has no section of its own."""
        (tmp_path / "below").mkdir()
        with catalog(tmp_path, directories={".": Directory("create")}) as made:
            assert self.allowed(made, "new") == self.allowed(made, "below/new") == "taken"

    @pytest.mark.parametrize("target", ["../outside", "{tmp}/outside", "/etc"])
    def test_a_link_out(self, tmp_path: Path, target: str) -> None:
        root = tmp_path / "root"
        for path in (root, tmp_path / "outside"):
            path.mkdir()
        (root / "way").symlink_to(target.format(tmp=tmp_path))
        with catalog(root, tftp=Tftp(uploads="overwrite")) as made:
            assert refused(made, "way/new", writing=True)[0] == FileError.DENIED

    @pytest.mark.parametrize("name", ["/", ".", "a/..", "way/.."])
    def test_no_name(self, tmp_path: Path, name: str) -> None:
        with catalog(tmp_path, tftp=Tftp(uploads="overwrite")) as made:
            assert refused(made, name, writing=True) == (FileError.DENIED, "the name is that of a directory")

    def test_into_the_first_root(self, tmp_path: Path) -> None:
        """Uploads go there, whatever the later ones have."""
        (tmp_path / "1").mkdir()
        (tmp_path / "2/below").mkdir(parents=True)
        with catalog(tmp_path / "1", roots=(tmp_path / "2",), tftp=Tftp(uploads="create")) as made:
            assert refused(made, "below/new", writing=True)[0] == FileError.NOT_FOUND


def test_all_that_cannot_be_used_is_told_at_once(tmp_path: Path) -> None:
    """Roots, rules and directories: who mends one is not sent for the next; and nothing stays open."""
    (tmp_path / "file").touch()
    roots = (tmp_path, tmp_path / "one", tmp_path, tmp_path / "file", tmp_path / "three")
    remaps = {
        "open": Remap(match="y", replace="\\2"),
        "fine": Remap(match="x"),
        "group": Remap(match="x", replace="\\1"),
    }
    settings = Settings(
        pxe=Pxe(root=tuple(map(str, roots))),
        tftp=Tftp(client_directory=("../a", "b", "../c")),
        remaps=remaps,
        directories={"../d": Directory(), "e": Directory()},
    )
    before = len(open_descriptors())
    with pytest.raises(ConfigError) as caught:
        Catalog(settings)
    told = str(caught.value).splitlines()
    for part in (
        *(f"root directory {tmp_path}/{name}: " for name in ("one", "file", "three")),
        "[remap open]", "[remap group]", "../a leads", "../c leads", "../d leads",
    ):  # fmt: skip
        assert sum(part in line for line in told) == 1, part
    assert len(told) == 8, told
    assert len(open_descriptors()) == before
