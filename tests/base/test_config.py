"""Configuration files and command lines: who wins, what is wrong and where, and what is shown of it."""

from __future__ import annotations

import dataclasses
import errno
import os
import pwd
import re
import sys
import tempfile
import warnings
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd import config, settings, syntax
from ptftpd.commandline import make_parser
from ptftpd.errors import ConfigError
from ptftpd.option import options
from ptftpd.program import Loaded, Program
from ptftpd.programs import dhcpd, pxed, tftpd
from ptftpd.values import dump
from tests.base.setting_texts import ALL, EVERYTHING, SECTIONS, TEXTS, TYPES, takes, values

# What pxed eth0 reads, the most general first.
FILES = (
    "pxed.conf",
    "pxed.conf.d/10-site.conf",
    "pxed.conf.d/20-building.conf",
    "ptftpd.conf",
    "ptftpd.conf.d/site.conf",
    "pdhcpd.conf",
    "pdhcpd.conf.d/site.conf",
    "pbootpd.conf",
    "pxed@eth0.conf",
    "ptftpd@eth0.conf",
    "pdhcpd@eth0.conf",
)
ONE_LINE = "must be one line; a line that starts with a space continues the one before it"
SEVERAL = "give all values in one place, each on a line of its own that begins with a space"
INDENTED = "to continue boot, the line must begin with a space"

# (section, key, text) of each text that is right for a setting.
CHOICES = [(section, key, text) for section, key, item in ALL for text in TEXTS if takes(item, text)]


def write(directory: Path, files: dict[str, str]) -> None:
    """Write files below a directory."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def load(directory: Path, *argv: str, program: Program = pxed.PROGRAM) -> Loaded:
    """Return what a program takes from the files of a directory and its arguments."""
    return config.load(program, argv, str(directory))


def problems(directory: Path, text: str | bytes, program: Program = EVERYTHING) -> list[str]:
    """Return what is wrong with a file, without its directory."""
    path = directory / "a.conf"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load(directory, "-c", str(path), program=program)
    return str(caught.value).replace(f"{directory}/", "").splitlines()


class TestOrder:
    """Which of several places wins."""

    @pytest.mark.parametrize("count", range(1, len(FILES) + 1))
    def test_later_files_win(self, tmp_path: Path, count: int) -> None:
        write(tmp_path, {name: f"[daemon]\nuser = u{i}\n" for i, name in enumerate(FILES[:count], 1)})
        loaded = load(tmp_path, "eth0").settings
        assert loaded.daemon.user == f"u{count}"
        assert loaded.sources["daemon", "user"] == f"{tmp_path / FILES[count - 1]}:2"

    def test_the_command_line_wins(self, tmp_path: Path) -> None:
        write(tmp_path, dict.fromkeys(FILES, "[daemon]\nuser = x\n"))
        loaded = load(tmp_path, "eth0", "--user", "y").settings
        assert loaded.daemon.user == "y"
        assert loaded.sources["daemon", "user"] == "--user"

    def test_files_add_to_each_other(self, tmp_path: Path) -> None:
        """Only the key that is set again is replaced, in sections with a name too."""
        write(tmp_path, {
            "pxed.conf": "[host a]\nmac = 525400123456\naddress = 192.0.2.1\n[tftp]\nblksize = 512\n",
            "pxed@eth0.conf": "[host a]\naddress = 192.0.2.2\n[tftp]\nwindowsize = 8\n",
        })  # fmt: skip
        loaded = load(tmp_path, "eth0").settings
        assert (loaded.tftp.blksize, loaded.tftp.windowsize) == (512, 8)
        host = loaded.hosts["a"]
        assert (host.mac.hex(), str(host.address)) == ("525400123456", "192.0.2.2")

    def test_a_list_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        write(tmp_path, {"pxed.conf": "[pxe]\nroot = /a, /b\n", "pxed@eth0.conf": "[pxe]\nroot = /c\n"})
        assert load(tmp_path, "eth0").settings.pxe.root == ("/c",)

    def test_nothing_written_takes_back(self, tmp_path: Path) -> None:
        """A setting without a default is not set any more when nothing stands behind its '='."""
        write(tmp_path, {"pxed.conf": "[pxe]\ngateway = 192.0.2.1\nboot_file = x\nname_server = 192.0.2.2\n"})
        write(tmp_path, {"pxed@eth0.conf": "[pxe]\ngateway =\nboot_file =  # none here\nname_server =\n"})
        pxe = load(tmp_path, "eth0").settings.pxe
        assert (pxe.gateway, pxe.boot_file, pxe.name_server) == (None, "", ())

    def test_only_the_own_files_are_read(self, tmp_path: Path) -> None:
        others = ("pdhcpd.conf", "pbootpd.conf", "pdhcpd@eth0.conf", "ptftpd@eth1.conf", "x.conf")
        write(tmp_path, dict.fromkeys((*others, "ptftpd.conf.d/readme.txt"), "nonsense"))
        assert load(tmp_path, "-i", "eth0", program=tftpd.PROGRAM).settings.sources.keys() == {
            ("tftp", "interface")
        }

    @pytest.mark.parametrize(("program", "argv"), [
        (tftpd.PROGRAM, ["-i", "eth0"]), (dhcpd.PROGRAM, ["eth0"]), (pxed.PROGRAM, ["eth0"]),
    ], ids=["ptftpd", "pdhcpd", "pxed"])  # fmt: skip
    def test_the_file_of_an_instance(self, tmp_path: Path, program: Program, argv: list[str]) -> None:
        write(tmp_path, {
            "pxed.conf": "[daemon]\nuser = general\n",
            f"{program.name}@eth0.conf": "[daemon]\nuser = instance\n",
            f"{program.name}@eth1.conf": "[daemon]\nuser = other\n",
        })  # fmt: skip
        loaded = load(tmp_path, *argv, program=program)
        assert loaded.interface == "eth0"
        assert loaded.settings.daemon.user == "instance"

    def test_a_chosen_file_is_the_only_one(self, tmp_path: Path) -> None:
        write(tmp_path, dict.fromkeys(FILES, "[tftp]\nblksize = 100\n"))
        write(tmp_path, {"mine": "[tftp]\nwindowsize = 8\n"})
        tftp = load(tmp_path, "eth0", "-c", str(tmp_path / "mine")).settings.tftp
        assert (tftp.blksize, tftp.windowsize) == (65464, 8)

    def test_no_file_at_all(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, "eth0")
        assert values(loaded.settings) == settings.Settings()
        assert loaded.settings.sources == {}

    def test_rules_stay_in_the_order_of_the_files(self, tmp_path: Path) -> None:
        write(tmp_path, {
            "pxed.conf": "[remap z]\nmatch = 1\n[remap a]\nmatch = 2\n",
            "ptftpd.conf": "[remap m]\nmatch = 3\n[remap z]\nmatch = 4\n",
        })  # fmt: skip
        remaps = load(tmp_path, "eth0").settings.remaps
        assert [(name, rule.match) for name, rule in remaps.items()] == [("z", "4"), ("a", "2"), ("m", "3")]


class TestGrammar:
    """What may stand in a file."""

    def read(self, directory: Path, text: str) -> settings.Settings:
        """Return the settings of a file."""
        write(directory, {"a.conf": text})
        return load(directory, "-c", str(directory / "a.conf"), program=EVERYTHING).settings

    @pytest.mark.parametrize("text", [
        "[tftp]\nport = 70\n",
        "[tftp]\nport=70",
        "[tftp]\r\nport = 70\r\n",
        "\ufeff[tftp]\nport = 70\n",
        "# about\n\n[tftp]  # the server\n\n; about\nport = 70  # not 69\n",
        "[tftp]\n  port = 70\n",
        "  [tftp]\n\n\tPORT\t=\t70\t\n",
        "[ tftp ]\nport = 70\n",
        "[tftp]\nport =\n  70\n",
    ])  # fmt: skip
    def test_forms_of_one_setting(self, tmp_path: Path, text: str) -> None:
        assert self.read(tmp_path, text).tftp.port == 70

    def test_a_hash_inside_a_value(self, tmp_path: Path) -> None:
        """Only after a space does a # begin a comment."""
        pxe = self.read(tmp_path, "[pxe]\nboot_file = a#b;c ; d # e\n").pxe
        assert pxe.boot_file == "a#b;c ; d"

    def test_an_equals_sign_inside_a_value(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, "[pxe]\nboot = ipxe=http://x/?a=b:c\n").pxe.boot == (
            ("ipxe", "http://x/?a=b:c"),
        )

    def test_percent_and_dollar_stand_for_themselves(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, "[pxe]\nboot_file = %(x)s ${y} %%\n").pxe.boot_file == "%(x)s ${y} %%"

    @pytest.mark.parametrize("text", [
        "/a, /b,/c", "/a\n /b\n /c", "\n  /a\n  /b,\n  /c\n", "/a,\n\n  # between\n  /b  # the second\n  /c",
        ",/a,,/b, /c,",
    ])  # fmt: skip
    def test_several_values(self, tmp_path: Path, text: str) -> None:
        assert self.read(tmp_path, f"[pxe]\nroot = {text}\n[tftp]\n").pxe.root == ("/a", "/b", "/c")

    def test_names_of_sections(self, tmp_path: Path) -> None:
        loaded = self.read(
            tmp_path, "[host  the printer ]\nboot_file = x\n[directory /in box]\nuploads = create\n"
        )
        assert list(loaded.hosts) == ["the printer"]
        assert list(loaded.directories) == ["/in box"]

    def test_an_empty_section_with_a_name_exists(self, tmp_path: Path) -> None:
        assert list(self.read(tmp_path, "[class all]\n").classes) == ["all"]


class TestProblems:
    """What is said of a file that cannot be used."""

    @pytest.mark.parametrize(("text", "told"), [
        ("[tftp]\nblksize = 7\n", ["a.conf:2: [tftp] blksize = 7: must be 8..65464"]),
        ("[tftp]\n\n# x\n  port = no\n", ["a.conf:4: [tftp] port = no: must be 1..65535"]),
        ("[tftp]\nport =\n", ["a.conf:2: [tftp] port =: must be 1..65535"]),
        ("[pxe]\nroot =\n", ["a.conf:2: [pxe] root =: must not be empty"]),
        ("[pxe]\nroot = , ,\n", ["a.conf:2: [pxe] root =: must not be empty"]),
        ("[pxe]\nroot = /a, b\n", ["a.conf:2: [pxe] root = /a, b: must be an absolute path"]),
        ("[dhcp]\nrange =\n  192.0.2.2-192.0.2.1\n",
         ["a.conf:2: [dhcp] range = 192.0.2.2-192.0.2.1: must be FIRST-LAST, such as 192.0.2.10-192.0.2.99"]),
        ("[host a]\nmac = 5254\n",
         ["a.conf:2: [host a] mac = 5254: must be a hardware address such as 52:54:00:12:34:56"]),
        ("[tftp]\nport = 69\n  70\n", [f"a.conf:2: [tftp] port = 69 70: {ONE_LINE}"]),
        ("[pxe]\nboot_file = a\n  gateway = 192.0.2.1\n",
         [f"a.conf:2: [pxe] boot_file = a gateway = 192.0.2.1: {ONE_LINE}"]),
        ("[tftp]\nblksise = 7\n", ["a.conf:2: [tftp] blksise: unknown setting; did you mean blksize?"]),
        ("[tftp]\n  # x\n  Block = 7\n  port = 1\n[dhcp]\nbloksize = 1\n",
         ["a.conf:3: [tftp] block: unknown setting; there are KEYS_OF_TFTP",
          "a.conf:6: [dhcp] bloksize: unknown setting; there are KEYS_OF_DHCP"]),
        ("[pxe]\nrange = 192.0.2.7\n",
         ["a.conf:2: [pxe] range: unknown setting; it is one of [dhcp] and [subnet NAME]"]),
        ("[host a]\nipxe = yes\n", ["a.conf:2: [host a] ipxe: unknown setting; it is one of [class NAME]"]),
        ('[pxe]\nboot_file = "a"\n', ["a.conf:2: [pxe] boot_file = \"a\": must be written without quotes"]),
        ("[pxe]\nroot = /a, '/b'\n", ["a.conf:2: [pxe] root = /a, '/b': must be written without quotes"]),
        ("[tftp]\n[ftp]\nport = 1\nport2 = 2\n", ["a.conf:2: [ftp]: unknown section; did you mean [tftp]?"]),
        ("\n [TFTP]  # x\n", ["a.conf:2: [TFTP]: unknown section; did you mean [tftp]?"]),
        ("[pex]\n", ["a.conf:1: [pex]: unknown section; did you mean [pxe]?"]),
        ("[hosts a]\n", ["a.conf:1: [hosts a]: unknown section; did you mean [host a]?"]),
        ("[DEFAULT]\nport = 1\n", ["a.conf:1: [DEFAULT]: unknown section; there are SECTIONS"]),
        ("[host]\nmac = 525400123456\n", ["a.conf:1: [host]: must have a name, as in [host NAME]"]),
        ("[tftp x]\n", ["a.conf:1: [tftp x]: must have no name: [tftp]"]),
        ("port = 1\n", ["a.conf:1: port = 1: a setting comes before the first [section]"]),
        ("# x\n[tftp\nport = 1\n", ["a.conf:2: [tftp: a setting comes before the first [section]"]),
        ("[tftp]\nport\n'no'\n",
         ["a.conf:2: port: must be 'key = value'", "a.conf:3: 'no': must be 'key = value'"]),
        ("[tftp]\nport: 69\n", ["a.conf:2: port: 69: must be 'key = value'"]),
        ("[tftp]\n= 69\n", ["a.conf:2: = 69: must be 'key = value'"]),
        ("[tftp]\nport = 1\n\nPort = 2\n", ["a.conf:4: [tftp] port: is set twice in this file"]),
        ("[pxe]\nboot = bios=a\nboot = arm64-efi=b\n",
         [f"a.conf:3: [pxe] boot: is set twice in this file: {SEVERAL}"]),
        ("[pxe]\nboot = bios=a\nbios = b\n", [f"a.conf:3: [pxe] bios: unknown setting; {INDENTED}"]),
        ("[pxe]\nrouter = 192.0.2.1\n", ["a.conf:2: [pxe] router: unknown setting; here it is gateway"]),
        ("[dhcp]\nrouter = 192.0.2.1\n",
         ["a.conf:2: [dhcp] router: unknown setting; it is gateway, one of [pxe] and [subnet NAME]"]),
        ("[dhcp]\nnext_server = 192.0.2.1\n",
         ["a.conf:2: [dhcp] next_server: unknown setting; it is tftp_server, one of [pxe]"]),
        ("[host a]\nfilename = a\n", ["a.conf:2: [host a] filename: unknown setting; here it is boot_file"]),
        ("[tftp]\n[pxe]\n[tftp]\n", ["a.conf:3: [tftp]: the section appears twice in this file"]),
        ("[host a b]\n[host  a\tb ]\n", ["a.conf:2: [host a b]: the section appears twice in this file"]),
        (b"[tftp]\n# caf\xe9\n", ["a.conf:2: is not UTF-8 text"]),
        (b"\xef\xbb\xbf[tftp]\r\n\r\n# caf\xe9\r\n", ["a.conf:3: is not UTF-8 text"]),
        (b"[pxe]\nroot = /srv/\0\n", ["a.conf:2: is not UTF-8 text"]),
        ("[tftp]\n".encode("utf-16-le"), ["a.conf:1: is not UTF-8 text"]),
        ("[tftp]\n".encode("utf-16"), ["a.conf:1: is not UTF-8 text"]),
        ("[tftp]\n# x\x0cport = 1\x85 y = 2\u2028z = 3\nport = 0\n",
         ["a.conf:3: [tftp] port = 0: must be 1..65535"]),
    ])  # fmt: skip
    def test_one_file(self, tmp_path: Path, text: str | bytes, told: list[str]) -> None:
        known = {
            "KEYS_OF_TFTP": ", ".join(sorted(options(settings.SECTIONS["tftp"]))),
            "KEYS_OF_DHCP": ", ".join(sorted(options(settings.SECTIONS["dhcp"]))),
            "SECTIONS": ", ".join(
                [f"[{x}]" for x in settings.SECTIONS] + [f"[{x} NAME]" for x in settings.NAMED]
            ),
        }
        expected = [re.sub("|".join(known), lambda word: known[word[0]], line) for line in told]
        assert problems(tmp_path, text) == expected

    def test_all_are_told_at_once(self, tmp_path: Path) -> None:
        write(tmp_path, {
            "pxed.conf": "[pxe]\nroot = a\nx = 1\n",
            "pxed.conf.d/a.conf": "nonsense\n",
            "ptftpd.conf": "[tftp]\nport = 0\nblksize = 0\n",
            "ptftpd.conf.d/b.conf": "[tftp]\nretries = 0\n\n[nonsense]\n",
        })  # fmt: skip
        (tmp_path / "ptftpd.conf.d/c.conf").mkdir()
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, "eth0")
        places = [line.split(": ")[0] for line in str(caught.value).replace(f"{tmp_path}/", "").splitlines()]
        assert sorted(places) == [
            "ptftpd.conf.d/b.conf:2",
            "ptftpd.conf.d/b.conf:4",
            "ptftpd.conf.d/c.conf",
            "ptftpd.conf:2",
            "ptftpd.conf:3",
            "pxed.conf.d/a.conf:1",
            "pxed.conf:2",
            "pxed.conf:3",
        ]

    @pytest.mark.parametrize(("name", "reason"), [
        ("absent", "no such file"),
        (".", "is not a regular file"),
        ("a/b", "cannot be read: Not a directory"),
    ])  # fmt: skip
    def test_a_file_that_cannot_be_read(self, tmp_path: Path, name: str, reason: str) -> None:
        write(tmp_path, {"a": ""})
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, "eth0", "-c", f"{tmp_path}/{name}")
        assert str(caught.value) == f"{tmp_path}/{name}: {reason}"

    def test_it_says_who_cannot_read_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that root wrote for itself: what is to be done is said to who is somebody else."""
        write(tmp_path, {"pxed.conf": ""})

        def refused(path: str, *args: object, **kwargs: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

        monkeypatch.setattr("builtins.open", refused)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, "eth0", "-c", f"{tmp_path}/pxed.conf")
        user = pwd.getpwuid(os.geteuid()).pw_name
        assert str(caught.value) == f"{tmp_path}/pxed.conf: cannot be read by user {user}: Permission denied"

    def test_a_directory_that_cannot_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it holds is not passed over in silence."""
        write(tmp_path, {"pxed.conf.d/a.conf": ""})

        def refused(path: str) -> list[str]:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

        monkeypatch.setattr("os.listdir", refused)
        with pytest.raises(ConfigError, match=r"/pxed\.conf\.d: cannot be read by user "):
            load(tmp_path, "eth0", program=tftpd.PROGRAM)

    @pytest.mark.parametrize(("name", "text", "told"), [
        ("ptftpd.conf", "[dhcp]\nrange = 192.0.2.7\n",
         "2: [dhcp] range: no server reads it here: put it into pdhcpd.conf or pxed.conf"),
        ("ptftpd.conf.d/a.conf", "[tftp]\nport = 70\n[menu a]\nlocal = yes\n",
         "4: [menu a] local: no server reads it here: put it into pdhcpd.conf or pxed.conf"),
        ("ptftpd@eth0.conf", "[pxe]\nboot_file = a\n",
         "2: [pxe] boot_file: no server reads it here: put it into pdhcpd.conf or pxed.conf"),
        ("pdhcpd.conf", "[tftp]\nport = 70\n",
         "2: [tftp] port: no server reads it here: put it into ptftpd.conf or pxed.conf"),
        ("pbootpd@eth0.conf", "[remap a]\nmatch = a\n",
         "2: [remap a] match: no server reads it here: put it into ptftpd.conf or pxed.conf"),
    ])  # fmt: skip
    def test_a_file_of_a_server_that_has_no_use_for_it(
        self, tmp_path: Path, name: str, text: str, told: str
    ) -> None:
        """pxed --check reads the files of all servers, but each server only its own."""
        write(tmp_path, {name: text})
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, "eth0")
        assert str(caught.value) == f"{tmp_path}/{name}:{told}"

    def test_where_the_leases_are(self, tmp_path: Path) -> None:
        """The TFTP server looks its clients up in them: its files may say where."""
        write(tmp_path, {"ptftpd.conf": "[dhcp]\nstate_dir = /srv/leases\n"})
        assert load(tmp_path, program=tftpd.PROGRAM).settings.dhcp.state_dir == "/srv/leases"

    def test_a_drop_in_that_leads_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "pxed.conf.d").mkdir()
        (tmp_path / "pxed.conf.d/a.conf").symlink_to("nowhere")
        with pytest.raises(ConfigError, match=r"/pxed\.conf\.d/a\.conf: no such file$"):
            load(tmp_path, "eth0")

    @hypothesis.settings(max_examples=150)
    @given(lines=st.lists(
        st.one_of(
            st.sampled_from([f"[{section}]" for section in SECTIONS.values()]),
            st.builds("{} = {}".format, st.sampled_from([key for _, key, _ in ALL]), st.sampled_from(TEXTS)),
            st.sampled_from(["[", "]", "[]", "[ ]", "=", " = 1", "[tftp", "  more", "\t", "#", "[x] = 1"]),
            st.text(max_size=20),
        ), max_size=12,
    ), end=st.sampled_from(["\n", "\r", "\r\n", "\n  "]))  # fmt: skip
    def test_any_text(self, lines: list[str], end: str) -> None:
        """Whatever a file holds, it is read or refused with a sentence for each fault."""
        self.read_or_refuse(end.join(lines).encode(errors="surrogatepass"))

    @given(octets=st.binary(max_size=60))
    def test_any_octets(self, octets: bytes) -> None:
        self.read_or_refuse(octets)

    def read_or_refuse(self, octets: bytes) -> None:
        """Read a file; any exception but a ConfigError with places fails the test."""
        with tempfile.NamedTemporaryFile(suffix=".conf") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python thinks of a regular expression
            Path(file.name).write_bytes(octets)
            try:
                loaded = config.load(EVERYTHING, ["-c", file.name])
            except ConfigError as error:
                told = str(error)
            else:
                assert isinstance(loaded.settings, settings.Settings)
                return
        for line in told.split("\n"):
            assert re.match(rf"{re.escape(file.name)}(:[1-9][0-9]*)?: .", line), line


class TestDump:
    """--dump-config: what is in force, and where it was written."""

    def test_the_place_of_each_value(self, tmp_path: Path) -> None:
        write(tmp_path, {
            "pxed.conf": "[pxe]\nroot =\n  /a\n  /b\n\ngateway = 192.0.2.1\n",
            "ptftpd.conf": "# x\n[tftp]\n  port = 70\n\n  # x\n  blksize = 512\n",
            "pdhcpd.conf": "[host a b]\naddress = 192.0.2.7\n",
        })  # fmt: skip
        loaded = load(
            tmp_path, "eth0", "--dump-config", "--windowsize", "8", "-n", "192.0.2.2", "-n", "192.0.2.3"
        )
        assert loaded.action == "dump"
        shown = [
            re.split(r"  +# ", line)
            for line in dump(pxed.PROGRAM, loaded.settings).replace(f"{tmp_path}/", "").splitlines()
        ]
        for line in [
            ["root = /a, /b", "pxed.conf:2"],
            ["gateway = 192.0.2.1", "pxed.conf:6"],
            ["port = 70", "ptftpd.conf:3"],
            ["blksize = 512", "ptftpd.conf:6"],
            ["windowsize = 8", "--windowsize"],
            ["name_server = 192.0.2.2, 192.0.2.3", "--name-server"],
            ["retries = 6", "default"],
            ["[host a b]"],
            ["address = 192.0.2.7", "pdhcpd.conf:2"],
        ]:
            assert line in shown

    def test_every_setting_is_shown(self, tmp_path: Path) -> None:
        text = dump(EVERYTHING, load(tmp_path, program=EVERYTHING).settings)
        for section, kind in settings.SECTIONS.items():
            part = text.split(f"[{section}]\n")[1].split("\n\n")[0]
            assert [line.split(" = ")[0].split(" =")[0] for line in part.splitlines()] == list(options(kind))

    @hypothesis.settings(max_examples=60)
    @given(chosen=st.sets(st.sampled_from(CHOICES), max_size=30))
    def test_read_back(self, chosen: set[tuple[str, str, str]]) -> None:
        """What is shown is a configuration file that gives the same settings."""
        lines = []
        for section, kind in TYPES.items():
            lines.append(f"[{section}]")
            for key, item in options(kind).items():
                texts = [text for where, name, text in sorted(chosen) if (where, name) == (section, key)]
                if texts:
                    between = "\n  " if item.metadata["lines"] else ", "
                    lines.append(f"{key} = {between.join(texts if item.metadata['many'] else texts[:1])}")
        with tempfile.TemporaryDirectory() as directory:
            first, second = Path(directory, "first"), Path(directory, "second")
            first.write_text("\n".join(lines))
            loaded = config.load(EVERYTHING, ["-c", str(first)]).settings
            second.write_text(dump(EVERYTHING, loaded))
            again = config.load(EVERYTHING, ["-c", str(second)]).settings
            lines = first.read_text().splitlines()
        assert values(again) == values(loaded)
        for (section, key), place in loaded.sources.items():
            assert lines[int(place.rpartition(":")[2]) - 1].startswith(f"{key} = "), (section, key)


class TestCommandLine:
    """Arguments."""

    @pytest.mark.parametrize("argv", [
        ["eth0", "/r", "b"], ["-v", "eth0", "/r", "b"], ["eth0", "-v", "/r", "b"], ["eth0", "/r", "-v", "b"],
        ["eth0", "/r", "b", "-v"], ["--blksize", "512", "eth0", "-v", "/r", "--daemon", "b"],
        ["--root", "/r", "eth0", "--boot-file", "b"], ["eth0", "--root=/r", "--boot-file=b"],
        ["eth0", "/r", "--boot-file", "b"], ["--", "eth0", "/r", "b"],
    ])  # fmt: skip
    def test_arguments_stand_anywhere(self, tmp_path: Path, argv: list[str]) -> None:
        loaded = load(tmp_path, *argv)
        assert (loaded.interface, loaded.settings.pxe.root, loaded.settings.pxe.boot_file) == (
            "eth0",
            ("/r",),
            "b",
        )

    def test_where_arguments_come_from(self, tmp_path: Path) -> None:
        assert load(tmp_path, "eth0", "/r", "b", "-u", "me").settings.sources == {
            ("pxe", "root"): "ROOT", ("pxe", "boot_file"): "BOOTFILE", ("daemon", "user"): "--user",
        }  # fmt: skip

    def test_a_relative_root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert load(tmp_path, "eth0", "sub/../r").settings.pxe.root == (f"{tmp_path}/r",)

    @pytest.mark.parametrize(
        "argv", [["-n", "192.0.2.1", "-n", "192.0.2.2"], ["--name-server", "192.0.2.1,192.0.2.2"]]
    )
    def test_several_values(self, tmp_path: Path, argv: list[str]) -> None:
        """As in a file, separated by commas; or the option again. They replace those of the files."""
        write(tmp_path, {"pxed.conf": "[pxe]\nname_server = 192.0.2.9\n"})
        servers = load(tmp_path, "eth0", *argv).settings.pxe.name_server
        assert servers == (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))

    @pytest.mark.parametrize(("argv", "told"), [
        ([], "the following arguments are required: IFACE"),
        (["eth0", "a", "b", "c"], "unrecognized arguments: c"),
        (["eth0", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["eth0", "--blk=8"], "unrecognized arguments: --blk=8"),
        (["eth0", "--blksize"], "argument --blksize: expected one argument"),
        (["eth0", "--blksize", "7"], "--blksize 7: must be 8..65464"),
        (["eth0", "-n", "192.0.2.1", "-n", "x"],
         "--name-server 192.0.2.1, x: must be an IPv4 address such as 192.0.2.1"),
        (["eth0", "--boot", "x"],
         "--boot x: must be ARCH=FILE, such as x86_64-efi=grubx64.efi (a name with a comma in it goes into "
         "boot_file of a [class] with arch or ipxe)"),
        (["eth0", "--root", ""], "--root : must not be empty"),
        (["eth0", "/a", "--root", "/b"], "ROOT and --root say the same thing: give one of them"),
    ])  # fmt: skip
    def test_bad_arguments(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], told: str
    ) -> None:
        """They end the program with exit code 2 and a line that says why."""
        with pytest.raises(SystemExit) as caught:
            load(tmp_path, *argv)
        assert caught.value.code == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err == f"pxed: {told}\nTry 'pxed --help'.\n"

    def test_bad_files_are_told_before_bad_values_of_arguments(self, tmp_path: Path) -> None:
        write(tmp_path, {"pxed.conf": "[tftp]\nport = 0\n"})
        with pytest.raises(ConfigError, match="port = 0"):
            load(tmp_path, "eth0", "--blksize", "7")

    @pytest.mark.parametrize(("argv", "fields"), [
        ([], {"action": "serve", "verbose": False, "debug": False, "detach": False, "pidfile": ""}),
        (["--check"], {"action": "check"}),
        (["--check", "--dump-config"], {"action": "dump"}),
        (["-v"], {"verbose": True}),
        (["--verbose", "-D"], {"verbose": True, "debug": True}),
        (["--daemon", "--pidfile", "/run/x"], {"detach": True, "pidfile": "/run/x"}),
    ])  # fmt: skip
    def test_what_is_asked_for(self, tmp_path: Path, argv: list[str], fields: dict[str, Any]) -> None:
        loaded = dataclasses.asdict(load(tmp_path, "eth0", *argv))
        assert {name: loaded[name] for name in fields} == fields

    @pytest.mark.parametrize(
        "program", [tftpd.PROGRAM, dhcpd.PROGRAM, pxed.PROGRAM], ids=["ptftpd", "pdhcpd", "pxed"]
    )
    def test_every_setting_has_its_option(self, program: Program) -> None:
        """Each has its own, long ones made of the key, and none is taken twice."""
        actions = make_parser(program)._actions
        names = [name for action in actions for name in action.option_strings]
        assert len(names) == len(set(names))
        for section in program.sections:
            for key, item in options(settings.SECTIONS[section]).items():
                word = key.replace("_", "-")
                option = f"--{word}"
                if item.metadata["parse"] is syntax.flag:
                    assert (f"--no-{word}" in names) == (option in names)
                assert (option in names) == (key not in program.exclude)
                assert item.metadata["short"] == "" or len(item.metadata["short"]) == 1
        for action in actions:
            assert action.help

    def test_a_flag_and_its_opposite(self, tmp_path: Path) -> None:
        """What a file switches on can be switched off for once, and --help shows what changes the default."""
        write(tmp_path, {"pxed.conf": "[dhcp]\nbootp = yes\n"})
        assert load(tmp_path, "eth0").settings.dhcp.bootp
        loaded = load(tmp_path, "eth0", "--no-bootp", "--no-probe").settings
        assert (loaded.dhcp.bootp, loaded.dhcp.probe) == (False, False)
        assert loaded.sources["dhcp", "bootp"] == "--no-bootp"
        shown = make_parser(pxed.PROGRAM).format_help()
        assert "--no-probe " in shown
        assert "--bootp " in shown
        assert "--probe " not in shown
        assert "--no-bootp" not in shown

    def test_usage_is_one_line(self) -> None:
        """Options are many and stand below; what a user has to say is what the first line is for."""
        assert make_parser(pxed.PROGRAM).format_usage() == "usage: pxed [OPTION]... IFACE [ROOT] [BOOTFILE]\n"

    def test_argv_of_the_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["pxed", "eth7"])
        assert config.load(pxed.PROGRAM, None, str(tmp_path)).interface == "eth7"


@pytest.mark.parametrize(
    ("named", "meant"),
    [("br-lan", "br-lan"), (r"br\x2dlan", "br-lan"), (r"v\x40x", "v@x"), (r"a\x2", r"a\x2")],
)
def test_an_interface_by_the_name_of_its_unit(tmp_path: Path, named: str, meant: str) -> None:
    """systemd-escape(1) writes a dash as \\x2d: who names a unit by the book gets the same server."""
    (tmp_path / "pxed@br-lan.conf").write_text("[pxe]\nboot_file = of-the-bridge\n")
    loaded = config.load(dhcpd.PROGRAM, [named], str(tmp_path))
    assert loaded.interface == meant
    assert loaded.settings.pxe.boot_file == ("of-the-bridge" if meant == "br-lan" else "")
