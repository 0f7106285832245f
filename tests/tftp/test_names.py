"""Names as clients ask for them: where they lead, what is mended, what the rules make of them."""

from __future__ import annotations

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd.errors import ConfigError, FileError
from ptftpd.settings import Remap
from ptftpd.tftp import names
from ptftpd.tftp.names import Facts
from ptftpd.tftp.remap import Rules

SOMEBODY = Facts("192.0.2.7", mac="52:54:00:12:34:56", cls="efi", host="desk")
STRANGER = Facts("192.0.2.8")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("pxelinux.0", "pxelinux.0"),
        ("/pxelinux.0", "pxelinux.0"),
        ("//pxelinux.0", "pxelinux.0"),
        ("./boot/./pxelinux.0", "boot/pxelinux.0"),
        ("boot//pxelinux.0", "boot/pxelinux.0"),
        ("boot/../pxelinux.0", "pxelinux.0"),
        ("\\Boot\\BCD", "Boot/BCD"),
        ("\\\\boot\\x64/wdsnbp.com", "boot/x64/wdsnbp.com"),
        ("..pxelinux.0", "..pxelinux.0"),
        ("...", "..."),
        ("/", "."),
        (".", "."),
        ("a/..", "."),
        ("\udcff", "\udcff"),
    ],
)
def test_relative(name: str, path: str) -> None:
    r"""'/name' and 'name' are the same file, and '\' is a '/'. The earlier ptftpd refused every '/name'."""
    assert names.relative(name) == path


@pytest.mark.parametrize(
    "name",
    ["..", "../x", "/../x", "a/../../x", "..\\x", "\\..\\x", "a\\..\\..\\x", "../root-private/secret", "/.."],
)
def test_climbing_is_refused(name: str) -> None:
    """RFC 1350 error 2. The earlier ptftpd let ../root-private/secret out of root."""
    with pytest.raises(FileError, match="leads out") as refused:
        names.relative(name)
    assert refused.value.kind == FileError.DENIED


@given(st.text(alphabet="/\\.ab\udcff", max_size=12))
def test_no_name_climbs(name: str) -> None:
    """Whatever is asked for, what is looked up has no '..' left and is relative."""
    try:
        path = names.relative(name)
    except FileError:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("pxelinux.0\udcff", "pxelinux.0"),
        ("pxelinux.0\udcff\udcff\udc80", "pxelinux.0"),
        ("grub.cfg:", "grub.cfg"),
        ("snponly.efi\x01\x02", "snponly.efi"),
        ("snponly.efi  ", "snponly.efi"),
        ("ÿ.efiÿ", "ÿ.efi"),
        ("grün", "grün"),
        ("a:b", "a:b"),
        ("pxelinux.0", "pxelinux.0"),
        ("\udcff", ""),
    ],
)
def test_cleaned(name: str, clean: str) -> None:
    """What old ROMs read behind DHCP option 67 goes away; a name in UTF-8 does not."""
    assert names.cleaned(name) == clean


@pytest.mark.parametrize(
    ("name", "signed"),
    [
        ("grubx64.efi", "grubnetx64.efi.signed"),
        ("/grubx64.efi", "/grubnetx64.efi.signed"),
        ("\\boot\\grubx64.efi", "/boot/grubnetx64.efi.signed"),
        ("debian/grubaa64.efi", "debian/grubnetaa64.efi.signed"),
        ("grubia32.efi", "grubnetia32.efi.signed"),
        ("mmx64.efi", "mmx64.efi.signed"),
        ("grubx64.efi.signed", "grubx64.efi.signed"),
        ("mygrubx64.efi", "mygrubx64.efi"),
        ("grubx64.efi/x", "grubx64.efi/x"),
        ("shimx64.efi", "shimx64.efi"),
    ],
)
def test_what_shim_loads_next(name: str, signed: str) -> None:
    """shim has the names of its second stage built in; Debian's packages have the files by other names."""
    assert names.signed_by_debian(name) == signed


def test_forms_of_a_name() -> None:
    """All that its quirks may make of it, the fewest at once first, each name once."""
    dirt, serial, signed = (words for _, words in names.QUIRKS)
    assert names.mended("file") == [("file", ())]
    assert names.mended("12ab34cd/grubx64.efi:") == [
        ("12ab34cd/grubx64.efi:", ()),
        ("12ab34cd/grubx64.efi", (dirt,)),
        ("grubx64.efi:", (serial,)),
        ("grubx64.efi", (dirt, serial)),
        ("12ab34cd/grubnetx64.efi.signed", (dirt, signed)),
        ("grubnetx64.efi.signed", (dirt, serial, signed)),
    ]


@pytest.mark.parametrize("count", [5, 6, 50])
def test_forms_are_bounded(count: int) -> None:
    """So many are looked up, whatever roots and quirks there are."""
    quirks = [(lambda name, n=n: f"{name}{n}", str(n)) for n in range(count)]
    assert len(names.mended("file", quirks)) == names.MAX_FORMS


def test_candidates_begin_in_the_clients_own_directories() -> None:
    """In the order of the setting, and only where all of the placeholders are known."""
    templates = ("{mac}", "clients/{class}/{host}", "{address}", "everybody")
    assert list(names.candidates("/a", templates, SOMEBODY)) == [
        "52:54:00:12:34:56/a",
        "clients/efi/desk/a",
        "192.0.2.7/a",
        "everybody/a",
        "a",
    ]
    assert list(names.candidates("/a", templates, STRANGER)) == ["192.0.2.8/a", "everybody/a", "a"]


def test_a_name_does_not_climb_into_other_clients_directories() -> None:
    """'..' is resolved before a client's directory is put in front."""
    with pytest.raises(FileError):
        list(names.candidates("../192.0.2.7/a", ("{address}",), STRANGER))


def rules(**remaps: Remap) -> Rules:
    """Return these rules in this order."""
    return Rules(remaps.items())


def applied(name: str, facts: Facts = STRANGER, *, writing: bool = False, **remaps: Remap) -> str:
    """Return what these rules make of a name."""
    return rules(**remaps).apply(name, facts, writing=writing)[0]


def test_rules_apply_in_order() -> None:
    """Each to what the one before has made of the name; those that did are told."""
    result = rules(
        one=Remap(match=r"^/tftpboot/", replace="boot/"),
        other=Remap(match=r"^nothing", replace="x"),
        two=Remap(match=r"boot/(.*)\.0$", replace=r"bios/\1.kpxe"),
    ).apply("/tftpboot/pxelinux.0", STRANGER, writing=False)
    assert result == ("bios/pxelinux.kpxe", ["one", "two"])


def test_last_ends_the_rules() -> None:
    """Only when it matched."""
    more = Remap(match="$", replace="!")
    assert applied("a", first=Remap(match="a", replace="b", last=True), more=more) == "b"
    assert applied("c", first=Remap(match="a", replace="b", last=True), more=more) == "c!"


def test_rules_for_reading_and_writing() -> None:
    """A rule may be for one of them alone."""
    remaps = {"r": Remap("$", "-r", request="read"), "w": Remap("$", "-w", request="write")}
    assert applied("a", **remaps) == "a-r"
    assert applied("a", writing=True, **remaps) == "a-w"


def test_refuse() -> None:
    """The client is told the sentence; the rule's name is for the administrator."""
    with pytest.raises(FileError, match="not for you") as refused:
        applied("secret/key", no=Remap(match="^secret/", refuse="not for you"))
    assert refused.value.kind == FileError.DENIED
    assert applied("public", no=Remap(match="^secret/", refuse="not for you")) == "public"


def test_rules_fill_in_the_client() -> None:
    """{mac} and others stand for the client; a rule for those of whom more is known is left out."""
    remap = Remap(match=r"^(.*)$", replace=r"{host}-{mac}/\1")
    assert applied("a", SOMEBODY, mine=remap) == "desk-52:54:00:12:34:56/a"
    assert applied("a", STRANGER, mine=remap) == "a"


def test_what_is_filled_in_is_taken_as_it_is() -> None:
    """A backslash in the name of a [host] is not that of a group."""
    remap = Remap(match=r"^(.*)$", replace=r"{host}/\1")
    assert applied("a", Facts("192.0.2.9", host=r"lab\1"), mine=remap) == r"lab\1/a"


def test_a_group_that_took_no_part_is_empty() -> None:
    """As in re.sub()."""
    assert applied("b", either=Remap(match="(a)|b", replace=r"x\1y")) == "xy"


@pytest.mark.parametrize("replace", [r"\2", r"\g<none>", r"\q"])
def test_a_replacement_that_cannot_be_made_is_told_at_the_start(replace: str) -> None:
    """Not by the first client that matches, which would end the server."""
    with pytest.raises(ConfigError, match=r"\[remap broken\] replace"):
        rules(broken=Remap(match="(a)", replace=replace))


@pytest.mark.parametrize("dirt", [" ", ":", "\udcff"])
def test_dirt_is_looked_at_once(dirt: str) -> None:
    """A name four times as long takes some four times as long, not sixteen: it is stripped from its end."""

    def seconds(length: int) -> float:
        name = dirt * length + "x"
        return min(timeit.repeat(lambda: names.cleaned(name) and names.cleaned(name[:-1]), number=20))

    assert seconds(40_000) < 10 * seconds(10_000)
