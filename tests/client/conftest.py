"""A network for each module of tests of the client, and the client run in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import CHECKOUT, Argument, missing, program
from tests.netns.tftp_site import Site


class Desk:
    """Where somebody sits: a directory of the client's machine."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site, self.directory = site, directory

    def tftp(
        self, *arguments: Argument, stdin: bytes = b"", wrap: tuple[str, ...] = (), timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Return the finished client, run in the directory; wrap: words before its command."""
        words = [*wrap, *program("tftp"), *map(str, arguments)]
        return subprocess.run(
            self.site.client.command("env", f"--chdir={self.directory}", f"PYTHONPATH={CHECKOUT}", *words),
            input=stdin, capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a server machine and a client machine, one cable long."""
    packages = (Path(__file__).parent / "packages").read_text().splitlines()
    assert missing(line for line in packages if line and not line.startswith("#")) == []
    with Site(tmp_path_factory.mktemp("logs")) as site:
        yield site


@pytest.fixture
def root(site: Site) -> Path:
    """Return the directory that a server serves."""
    return site.directory()


@pytest.fixture
def desk(site: Site) -> Desk:
    """Return a place to get files to, with the client."""
    return Desk(site, site.directory())
