"""Windows that both ends can hold: on a clean cable nothing is sent twice, whatever its MTU."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.conftest import Desk
from tests.client.servers import serving
from tests.lab import CHECKOUT, program
from tests.netns.tftp_site import SERVER, Site, content

SIZE = 8_000_000


@pytest.fixture(scope="module", params=[1500, 4000, 9000])
def wide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site with frames of this size."""
    with Site(tmp_path_factory.mktemp("logs"), mtu=request.param) as site:
        yield site


def facts(done: subprocess.CompletedProcess[bytes]) -> dict[str, int]:
    """Return the record of a transfer that went well."""
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["ptftpd", "atftpd", "tftpd-hpa"])
def test_put_and_get(kind: str, wide: Site) -> None:
    """No block is sent again."""
    root, desk = wide.directory(), Desk(wide, wide.directory())
    (desk.directory / "f").write_bytes(content(SIZE))
    with serving(wide, kind, root, SERVER):
        put = facts(desk.tftp("--json", "put", "f", f"tftp://{SERVER}/f"))
        got = facts(desk.tftp("--json", "get", f"tftp://{SERVER}/f", "-o", "back"))
    assert (root / "f").read_bytes() == (desk.directory / "back").read_bytes() == content(SIZE)
    assert (put["resent"], got["resent"]) == (0, 0)


def test_loopback(site: Site, root: Path) -> None:
    """Blocks of 64 kB, few of which a socket holds."""
    (root / "here").write_bytes(content(SIZE))
    with serving(site, "ptftpd", root, "127.0.0.1"):
        for words in (["put", "here", "tftp://127.0.0.1/f"], ["get", "tftp://127.0.0.1/f", "-o", "back"]):
            client = [*program("tftp"), "--json", *words]
            command = site.server.command("env", f"--chdir={root}", f"PYTHONPATH={CHECKOUT}", *client)
            done = facts(subprocess.run(command, capture_output=True, timeout=60, check=False))
            assert done["resent"] == 0
    assert (root / "back").read_bytes() == content(SIZE)
