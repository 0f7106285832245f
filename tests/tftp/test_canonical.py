"""What is refused under one spelling of a name is refused under all: decided on the canonical thing."""

from __future__ import annotations

import itertools
import os
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptftpd.errors import FileError
from ptftpd.settings import Directory, Pxe, Remap, Settings, Tftp
from ptftpd.tftp.catalog import Catalog
from ptftpd.tftp.names import Facts

CLIENT = Facts("192.0.2.7", mac="52:54:00:12:34:56")
REFUSED = "not by TFTP"
SECRET = "the key"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with one file that is not for clients, and ways that lead to it."""
    made = tmp_path_factory.mktemp("site") / "root"
    for name in ("private/id.key", "private/12ab34cd/x", "public/file"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(SECRET if name == "private/id.key" else "public")
    (made / "public/alias").symlink_to("../private/id.key")
    (made / "public/chroot").symlink_to("/private/id.key")
    (made / "way").symlink_to("private")
    (made / "52:54:00:12:34:56").symlink_to(".")
    os.link(made / "private/id.key", made / "hard")
    return made


# Each of them refuses private/id.key, and none of them public/file.
RULES = {
    "with or without a slash": r"^/?private/",
    "without a slash": r"^private/",
    "with a slash": r"^/private/",
    "with a backslash's other form": r"^[/\\]?private[/\\]",
    "by its ending": r"\.key$",
    "by its whole name": r"^private/id\.key$",
    "by its last part": r"(^|/)id\.key$",
    "by depth": r"^/?private/[^/]+$",
    "in capitals": r"(?i)^/?PRIVATE/",
}
SPELLINGS = [
    "private/id.key", "/private/id.key", "//private/id.key", "./private/id.key", "/./private//id.key",
    "\\private\\id.key", "private\\id.key", "\\\\private/id.key", "x/../private/id.key", "private/./id.key",
    "public/../private/id.key", "private/id.key\udcff", "private/id.key:", "private/id.key ",
    "private/id.key\n",
    "/private/id.key\x01\x02", "12ab34cd/private/id.key", "private/id.key/",
    "private/id.key/.", "public/alias", "public/chroot", "way/id.key", "way/../private/id.key",
    "52:54:00:12:34:56/private/id.key", "{root}/private/id.key", "/{root}/way/id.key", "PRIVATE/ID.KEY",
    "Private\\Id.Key\udcff", "PUBLIC/ALIAS", "//PRIVATE/id.key",
]  # fmt: skip


def catalog(root: Path, *rules: Remap, **tftp: object) -> Catalog:
    """Return the files of a root by these rules."""
    remaps = {str(number): rule for number, rule in enumerate(rules)}
    return Catalog(Settings(pxe=Pxe(root=(str(root),)), remaps=remaps, tftp=Tftp(**tftp)))  # type: ignore[arg-type]


def read(made: Catalog, name: str) -> str:
    """Return the text that a name leads to, or why there is none."""
    try:
        source, _ = made.read(name, CLIENT)
    except FileError as error:
        return error.reason
    buffer = bytearray(source.size)
    source.read([memoryview(buffer)], 0)
    source.close()
    return buffer.decode()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ignore_case", [False, True])
@pytest.mark.parametrize("own", [(), ("{mac}",)], ids=["shared", "own directory"])
def test_a_table(root: Path, rule: str, *, ignore_case: bool, own: tuple[str, ...]) -> None:
    """Spellings by rules: no spelling gets the file, and who may be served is served."""
    refusing = Remap(match=RULES[rule], refuse=REFUSED)
    with closing(catalog(root, refusing, ignore_case=ignore_case, client_directory=own)) as made:
        served = [spelling for spelling in SPELLINGS if read(made, spelling.format(root=root)) == SECRET]
        assert served == []
        for name in ("public/file", "/public/file", "public\\file"):
            assert read(made, name) == "public"


def test_the_table_means_something(root: Path) -> None:
    """Without a rule each spelling leads to the file, those in other case where case is ignored."""
    with closing(catalog(root, ignore_case=True)) as made:
        refused = [name for name in SPELLINGS if read(made, name.format(root=root)) != SECRET]
    assert refused == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["/", "\\", ".", "..", "private", "public", "way", "alias", "id.key", "x",
                                 ":", "\udcff", " ", "12ab34cd", "KEY", "chroot"]), max_size=9))  # fmt: skip
def test_no_spelling_gets_the_file(root: Path, parts: list[str]) -> None:
    """Whatever is asked for: the rules of a key are never stepped round."""
    for expression in (r"^/private/", r"^private/id\.key$"):
        rule = Remap(match=expression, refuse=REFUSED)
        with closing(catalog(root, rule, ignore_case=True)) as made:
            assert read(made, "".join(parts)) != SECRET


class TestRules:
    def test_the_rest_is_refused(self, root: Path) -> None:
        """Allow some by 'last', refuse all others: as before for who asks so, and for no other spelling."""
        rules = Remap(r"^public/", "public/", last=True), Remap(".", refuse=REFUSED)
        with closing(catalog(root, *rules)) as made:
            assert read(made, "public/file") == "public"
            for name in (
                "private/id.key",
                "public/../private/id.key",
                "/public/file",
                "public\\..\\private\\id.key",
            ):
                assert read(made, name) == f"{REFUSED} (rule 1)"

    def test_all_but_some(self, root: Path) -> None:
        """Such a rule means names, by what they are not: a link that is put where it allows it is meant."""
        for expression, name in ((r"^(?!public/)", "public/file"), (r"^(?!/public/)", "/public/file")):
            with closing(catalog(root, Remap(expression, refuse=REFUSED))) as made:
                assert read(made, name) == "public"
                assert read(made, f"{name}/../../private/id.key") == f"{REFUSED} (rule 0)"
                assert read(made, "private/id.key") == f"{REFUSED} (rule 0)"

    def test_what_a_rule_leads_to(self, root: Path) -> None:
        """A refusing rule holds for the file, also if another rule makes its name."""
        rules = Remap(r"^private/", refuse=REFUSED), Remap(r"^alias$", "private/id.key")
        with closing(catalog(root, *rules)) as made:
            assert read(made, "alias") == f"{REFUSED} (rule 0)"

    def test_ignored_case(self, root: Path) -> None:
        """Where case is ignored to find a file, it is ignored to refuse it."""
        rule = Remap(r"^PRIVATE/", refuse=REFUSED)
        with closing(catalog(root, rule, ignore_case=True)) as made:
            assert read(made, "private/id.key") == f"{REFUSED} (rule 0)"
        with closing(catalog(root, rule)) as made:
            assert read(made, "private/id.key") == SECRET

    def test_the_length(self, root: Path) -> None:
        """A name that is too long for a slow expression is refused: it may be one that the rule refuses."""
        rule = Remap(r"^(.*)/(.*)/(.*)\.key$", refuse=REFUSED)
        with closing(catalog(root, rule)) as made:
            assert read(made, "public/file") == "public"
            assert "longer than 106 " in read(made, f"{'./' * 60}private/id.key")
            assert "longer than 512" in read(made, "x" * 513)

    def test_what_grows(self, root: Path) -> None:
        """Rules that make a name longer and longer come to an end."""
        rules = [Remap(r"^(.*)$", r"\1\1")] * 20
        with closing(catalog(root, *rules)) as made:
            assert "longer than 512" in read(made, "name")


def test_an_upload_on_its_way_is_never_served(root: Path, tmp_path: Path) -> None:
    """Where a file system has no O_TMPFILE it has a name meanwhile; nor is it by a link, or in capitals."""
    (tmp_path / ".tftp.1.part").write_text("half")
    (tmp_path / "link").symlink_to(".tftp.1.part")
    with closing(catalog(tmp_path, ignore_case=True)) as made:
        for name in (".tftp.1.part", "/.tftp.1.part", ".TFTP.1.PART", "link", ".tftp.1.part:"):
            assert read(made, name) == "no such file"


class TestUploads:
    """The policy is that of the directory that was really opened."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Path:
        for name in ("incoming/sub", "locked", "data/drop", "elsewhere"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "incoming/link").symlink_to("../locked")
        (tmp_path / "incoming/chroot").symlink_to("/locked")
        (tmp_path / "locked/in").symlink_to("../incoming")
        (tmp_path / "drop").symlink_to("data/drop")
        (tmp_path / "incoming/out").symlink_to("/etc")
        return tmp_path

    def write(self, site: Path, name: str, facts: Facts = CLIENT, **directories: str) -> str:
        """Return what came of an upload: the path below the root, or the reason against it."""
        sections = {path: Directory(uploads=policy) for path, policy in directories.items()}
        remaps = {"no": Remap(r"^incoming/secret", refuse=REFUSED)}
        made = Catalog(Settings(pxe=Pxe(root=(str(site),)), directories=sections, remaps=remaps))
        try:
            upload, _ = made.write(name, facts, None)
            upload.finish()
            upload.close()
            return upload.path.removeprefix(f"{site}/")
        except FileError as error:
            return error.reason
        finally:
            made.close()

    @pytest.mark.parametrize(("name", "result"), [
        ("incoming/new", "incoming/new"), ("incoming/sub/new", "incoming/sub/new"),
        ("incoming/link/new", "uploads are off here"), ("incoming/chroot/new", "uploads are off here"),
        ("locked/in/new", "incoming/new"), ("locked/new", "uploads are off here"),
        ("incoming/../locked/new", "uploads are off here"),
        ("incoming/out/new", "a symbolic link leads out of the root directory"),
        ("elsewhere/new", "uploads are off here"), ("incoming/nowhere/new", "no such file"),
        ("nowhere/new", "uploads are off here"), ("incoming/secret", f"{REFUSED} (rule no)"),
        ("locked/in/secret.1", f"{REFUSED} (rule no)"), ("\\incoming\\\\secret", f"{REFUSED} (rule no)"),
    ])  # fmt: skip
    def test_links(self, site: Path, name: str, result: str) -> None:
        assert self.write(site, name, incoming="create", locked="none") == result

    def test_a_section_that_is_a_link(self, site: Path) -> None:
        """What it leads to is meant, by its name or another."""
        for name in ("drop/one", "data/drop/two"):
            assert self.write(site, name, drop="create") == f"data/drop/{name[-3:]}"

    def test_through_a_link_to_a_file(self, site: Path) -> None:
        """tftpd-hpa writes through it; here what it leads to is replaced, by the policy where that is."""
        for place in ("incoming", "locked"):
            (site / place / "file").write_text("old")
        (site / "incoming/a").symlink_to("file")
        (site / "incoming/b").symlink_to("../locked/file")
        (site / "incoming/c").symlink_to("/etc/passwd")
        (site / "incoming/d").symlink_to("nothing")
        policy = {"incoming": "overwrite", "locked": "none"}
        assert self.write(site, "incoming/a", **policy) == "incoming/file"
        assert (site / "incoming/a").is_symlink()
        assert (site / "incoming/file").read_text() == ""
        assert self.write(site, "incoming/b", **policy) == "uploads are off here"
        assert self.write(site, "incoming/c", **policy) == "a symbolic link leads out of the root directory"
        assert self.write(site, "incoming/d", **policy) == "something other than a regular file has that name"

    @pytest.mark.parametrize(
        "name", ["a\x1b[31m", "a\nb", "\x07", "a\x9b1m", "a\udc9b1m", "a\x7fb", "sub\n/a"]
    )
    def test_control_characters(self, site: Path, name: str) -> None:
        """They act on the terminal of whoever lists the directory."""
        assert self.write(site, f"incoming/{name}", incoming="create") == "the name has control characters"

    @pytest.mark.parametrize("name", [".tftp.1.part", ".TFTP.22.part"])
    def test_the_servers_own_names(self, site: Path, name: str) -> None:
        assert self.write(site, f"incoming/{name}", incoming="create") == "such names are the server's own"

    def test_names_of_versions(self, site: Path) -> None:
        """Nobody forges an earlier version where there are such."""
        told = "such names are those of earlier versions"
        assert self.write(site, "incoming/a.~1~", incoming="version") == told
        assert self.write(site, "incoming/a.~1~", incoming="create") == "incoming/a.~1~"

    def test_ordinary_names(self, site: Path) -> None:
        for name in ("sw1-Mar- 1 00:12:33.123-0", "grün", ".hidden", "a~", "x.part"):
            assert self.write(site, f"incoming/{name}", incoming="create") == f"incoming/{name}"

    def test_the_roots_path_in_front(self, site: Path) -> None:
        """As devices ask tftpd-hpa without -s, for reading and for writing."""
        assert self.write(site, f"{site}/incoming/new", incoming="create") == "incoming/new"
        with closing(catalog(site)) as made:
            assert read(made, f"{site}/incoming/new") == ""
            assert read(made, f"{site}/../incoming/new") == "no such file"


def test_each_rule_refuses_what_it_is_for(root: Path) -> None:
    """The plain spellings of the table's rules, with nothing else that could refuse them."""
    for expression, name in itertools.product(RULES.values(), ("private/id.key", "/private/id.key")):
        with closing(catalog(root, Remap(expression, refuse=REFUSED))) as made:
            assert read(made, name) == f"{REFUSED} (rule 0)", expression
