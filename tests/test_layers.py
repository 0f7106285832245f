"""The layers of the package: imports go strictly down; the machines reach neither clock nor I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module imports only from the lines below its own. One that needs a neighbour of its line gets a line
# of its own above. The packages themselves hold no code and stand at the bottom.
LAYERS = """
programs.manual
programs.pxed programs.bootpd programs.tftp
programs.tftpd programs.dhcpd client.errand
client.arguments client.prompt
client.session client.editing programs.checking programs.companions
client.display client.probe_table client.commands client.locations programs.explaining
service
process
manual completions workers byhand units programs.bootfiles programs.leases
config
commandline ini
values
program
client.probe client.reasons
tftp.server client.transfer dhcp.server
client.asking
client.attempt tftp.answers tftp.openings tftp.ports
dhcp.prober dhcp.held dhcp.served
tftp.transfer tftp.catalog client.channel client.local client.trace client.progress
tftp.clients tftp.uploads tftp.sources tftp.record client.job client.place
links runs rivals
tftp.pools
loop net neighbours log tftp.files tftp.chunks tftp.space dhcp.store
tftp.permissions
tftp.roots account orders sinks systemd trust
tftp.casefold tftp.mounts
dhcp.explain
dhcp.machine dhcp.proxy dhcp.bootp dhcp.loadable dhcp.advice
dhcp.networks
dhcp.outcome dhcp.plan dhcp.origin
dhcp.reservations tftp.remap
tftp.sender tftp.receiver tftp.names tftp.limits dhcp.pool dhcp.sheets dhcp.decision
dhcp.rules dhcp.menu dhcp.monitor
settings client.settings
syntax
dhcp.reply
tftp.request dhcp.request dhcp.sheet
dhcp.boot
dhcp.pxe
tftp.options tftp.outcome tftp.netascii tftp.codes tftp.rates tftp.memory dhcp.options dhcp.registry
tftp.wire dhcp.wire dhcp.subnet
change
errors option texts patience patterns tftp.content client.waiting tftp dhcp client programs
"""

# A machine is handed octets and the time; with these it could fetch them, and its tests would not be exact.
IMPURE = {"socket", "os", "time", "logging", "random"}

LEVEL = {
    f"ptftpd.{name}": level
    for level, line in enumerate(reversed(LAYERS.strip().splitlines()))
    for name in line.split()
} | {"ptftpd": 0}
MACHINES = LEVEL["ptftpd.dhcp.machine"]


def modules() -> dict[str, Path]:
    """Return {dotted name: file} of every module of the package."""
    found = {}
    for path in sorted((ROOT / "ptftpd").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(source: str) -> Iterator[tuple[str, int]]:
    """Yield (dotted name, line) of every import, those in functions and under TYPE_CHECKING too.

    'from ptftpd.tftp import wire' yields ptftpd.tftp.wire if that is a module, else ptftpd.tftp;
    a relative import yields its dots and what follows them.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in LEVEL else base, node.lineno


def complaint(name: str, target: str) -> str:
    """Return why the module may not import target, or nothing."""
    package = target.split(".")[0]
    if not package:
        return "which is relative: write the whole name"
    if package != "ptftpd":
        forbidden = package in IMPURE and LEVEL[name] <= MACHINES
        return "which nothing from the machines down may do" if forbidden else ""
    if target not in LEVEL:
        return "which has no line in LAYERS of tests/test_layers.py"
    if LEVEL[target] > LEVEL[name]:
        return "which is in a higher layer"
    return "which is in the same layer" if LEVEL[target] == LEVEL[name] else ""


def complaints(name: str, source: str) -> list[str]:
    """Return a sentence for each import that the module's layer forbids."""
    if name not in LEVEL:
        return [f"{name} has no layer: put it on a line of LAYERS in tests/test_layers.py"]
    return [
        f"{name}, line {line}, imports {target}, {why}"
        for target, line in imports(source)
        if (why := complaint(name, target))
    ]


@pytest.mark.parametrize("name", modules())
def test_imports_go_down(name: str) -> None:
    assert complaints(name, modules()[name].read_text()) == []


def test_every_module_is_looked_at() -> None:
    assert {"ptftpd", "ptftpd.errors", "ptftpd.tftp.sender"} <= modules().keys()


def test_each_module_has_one_layer() -> None:
    names = LAYERS.split()
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "ptftpd.tftp.sender",
            "import struct\nfrom ptftpd.errors import WireError\nfrom ptftpd.tftp import wire",
        ),
        ("ptftpd.tftp.server", "import os, socket\nfrom ptftpd.tftp.sender import Sender"),
        ("ptftpd.programs.tftpd", "from ptftpd import __version__, config"),
    ],
)
def test_what_is_allowed(name: str, source: str) -> None:
    assert complaints(name, source) == []


@pytest.mark.parametrize(
    ("name", "source", "why"),
    [
        ("ptftpd.tftp.wire", "from ptftpd.tftp.sender import Sender", "higher layer"),
        ("ptftpd.tftp.wire", "from ptftpd.tftp import sender", "higher layer"),
        ("ptftpd.tftp.wire", "import ptftpd.tftp.sender as s", "higher layer"),
        ("ptftpd.errors", "def f():\n    from ptftpd import loop", "higher layer"),
        ("ptftpd.loop", "if TYPE_CHECKING:\n    from ptftpd.service import main", "higher layer"),
        ("ptftpd", "from ptftpd import settings", "higher layer"),
        ("ptftpd.tftp.sender", "from ptftpd.tftp import receiver", "same layer"),
        ("ptftpd.tftp.sender", "import time", "machines down"),
        ("ptftpd.dhcp.wire", "import os.path", "machines down"),
        ("ptftpd.dhcp.pool", "from random import choice", "machines down"),
        ("ptftpd.dhcp.machine", "import math, logging", "machines down"),
        (
            "ptftpd.dhcp.bootp",
            "try:\n    from socket import inet_aton\nexcept ImportError: pass",
            "machines down",
        ),
        ("ptftpd.tftp.server", "from . import sender", "write the whole name"),
        ("ptftpd.tftp.server", "from ..nowhere import thing", "write the whole name"),
        ("ptftpd.tftp.server", "import ptftpd.nowhere", "no line in LAYERS"),
        ("ptftpd.nowhere", "", "put it on a line of LAYERS"),
    ],
)
def test_what_is_found(name: str, source: str, why: str) -> None:
    found = complaints(name, source)
    assert len(found) == 1
    assert why in found[0]


def test_what_is_found_names_the_line() -> None:
    assert complaints("ptftpd.errors", "import re\n\nimport ptftpd.loop\n") == [
        "ptftpd.errors, line 3, imports ptftpd.loop, which is in a higher layer"
    ]
