"""The manual pages and samples are made from the settings, and those in the tree are up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ptftpd import config
from ptftpd.dhcp import registry
from ptftpd.option import options
from ptftpd.program import Program
from ptftpd.programs import pxed
from ptftpd.programs.manual import FILES, PROGRAMS, TEXTS, main, rendered
from ptftpd.settings import NAMED, SECTIONS

ETC = Path(__file__).parent.parent / "etc" / "ptftpd"


@pytest.mark.parametrize("name", FILES)
def test_the_samples_are_up_to_date(name: str) -> None:
    """If not: python3 -m ptftpd.programs.manual etc etc/ptftpd."""
    assert (ETC / name).read_text() == rendered("etc")[name]


def test_there_are_no_other_samples() -> None:
    """A file that nothing renders any more would be read all the same."""
    assert {path.name for path in ETC.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_sample_changes_nothing(name: str) -> None:
    """Every line is a comment or a section: as delivered, all defaults hold."""
    loaded = config.load(pxed.PROGRAM, ["-c", str(ETC / name), "eth0"])
    assert loaded.settings.sources == {}


@pytest.mark.parametrize("name", FILES)
def test_a_sample_uncommented_is_read(name: str, tmp_path: Path) -> None:
    """What stands behind the '#' is right as it is, wherever there is a default."""
    lines = (ETC / name).read_text().splitlines()
    settings = [line.removeprefix("#") for line in lines if not line.startswith("# ")]
    path = tmp_path / name
    path.write_text("\n".join(line for line in settings if not line.endswith("=")))
    assert config.load(pxed.PROGRAM, ["-c", str(path), "eth0"]).settings.pxe.root == ("/srv/tftp",)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_page_has_every_option(program: Program) -> None:
    """Nothing that --help shows is missing."""
    page = rendered("man")[f"{program.name}.8"].replace("\\-", "-")
    for section in program.sections:
        for key in set(options(SECTIONS[section])) - program.exclude:
            word = key.replace("_", "-")
            assert f"--{word}" in page or f"--no-{word}" in page


def test_the_configuration_page_has_every_key() -> None:
    """Of every section, the named ones too."""
    page = rendered("man")["ptftpd.conf.5"]
    for kind in [*SECTIONS.values(), *(kind for kind, _ in NAMED.values())]:
        for key in options(kind):
            assert f".B {key} = " in page


def test_the_configuration_page_has_every_dhcp_option() -> None:
    """By the name that a file has to give it, under the words for how its value is written."""
    page = rendered("man")["ptftpd.conf.5"].replace("\\-", "-")
    for code, (name, _) in registry.REGISTRY.items():
        assert (f"{code} {name}" in page) == (code not in registry.FILLED_IN)
    [entry] = re.findall(r"^\.B IPv4 addresses, separated by spaces or commas\n(.*)", page, re.MULTILINE)
    assert "42 ntp-servers" in entry


def test_what_takes_a_restart_is_marked() -> None:
    """A port does, a root does not."""
    page = rendered("man")["ptftpd.conf.5"].replace("\\-", "-")
    for key, marked in (("port", True), ("root", False)):
        [entry] = re.findall(rf"^\.B {key} = .*\n(.*)", page, re.MULTILINE)
        assert ("A change takes a restart." in entry) == marked, entry


def examples(text: str) -> list[str]:
    """Return the configuration files that a text has as examples: indented, and beginning with a section."""
    blocks = re.findall(r"(?:^(?: {4}.*|)\n)+", text.replace("\\-", "-"), re.MULTILINE)
    plain = [re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip("\n") for block in blocks]
    return [block for block in plain if re.match(r"\[(?!Socket)[^\]]+\]\n", block)]


def test_examples_are_read(tmp_path: Path) -> None:
    """What the manual pages and README.md show of files is right as it stands there."""
    pages = [text for name, text in rendered("man").items() if name in {"ptftpd.conf.5", "pxed.8"}]
    found = [
        block for text in [*pages, (ETC.parents[1] / "README.md").read_text()] for block in examples(text)
    ]
    assert len(found) >= 7
    path = tmp_path / "conf"
    for block in found:
        path.write_text(block)
        assert config.load(pxed.PROGRAM, ["-c", str(path), "eth0"]).settings.sources, block


@pytest.mark.parametrize(("server", "settings"), [("DNSMASQ", 25), ("ISC DHCPD", 17)])
def test_what_is_said_to_who_comes_from_another_server(tmp_path: Path, server: str, settings: int) -> None:
    """Each setting in the right column is one, with that value."""
    page = rendered("man")["ptftpd.conf.5"].replace("\\-", "-").partition(f"COMING FROM {server}\n")[2]
    page = page.partition("\n.SH")[0]
    found = re.findall(r"(\[[a-z]+(?: \w+)?\]) (\w+ = .*)$", page, re.MULTILINE)
    assert len(found) >= settings
    for section, setting in found:
        (tmp_path / "conf").write_text(f"{section}\n{setting}\n")
        assert config.load(pxed.PROGRAM, ["-c", str(tmp_path / "conf"), "eth0"]).settings.sources, setting


def test_the_page_of_a_dhcp_server_has_its_database() -> None:
    for name, has in (("pdhcpd.8", True), ("pxed.8", True), ("ptftpd.8", False)):
        assert ("leases\\-IFACE.sqlite" in rendered("man")[name]) is has, name


def test_files_are_written(tmp_path: Path) -> None:
    """One for each page, in a directory that is made."""
    assert main(["man", str(tmp_path / "man")]) == 0
    assert {path.name for path in (tmp_path / "man").iterdir()} == set(rendered("man"))


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is refused with what can be said."""
    assert main(["nonsense"]) == 2
    assert (
        "usage: python3 -m ptftpd.programs.manual man|etc|bash|zsh|fish DIRECTORY" in capsys.readouterr().err
    )


def test_recipes(tmp_path: Path) -> None:
    """Each of pxed(8) is a configuration as it stands there."""
    page = (TEXTS / "pxed.8").read_text().partition(".SH MACHINES\n")[2].partition(".SH ")[0]
    recipes = re.findall(r"^\.EX\n(.*?)^\.EE\n", page, re.MULTILINE | re.DOTALL)
    assert len(recipes) >= 5
    for recipe in recipes:
        (tmp_path / "conf").write_text(recipe.replace("\\-", "-"))
        settings = config.load(pxed.PROGRAM, ["lo", "--config", str(tmp_path / "conf")]).settings
        assert settings.pxe.boot_file or settings.pxe.boot
