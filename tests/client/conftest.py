"""A network for each module of tests of the client, servers in it, and the client run there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake import Fake
from tests.client.servers import serving
from tests.lab import CHECKOUT, Argument, missing, program
from tests.netns.tftp_site import SERVER, SERVER6, Site, ack, content, data

URL = f"tftp://{SERVER}"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def mounted(path: Path, options: str, script: str = 'exec "$@"') -> tuple[str, ...]:
    """Return the words that run a command, by this script, with a tmpfs of its own at path."""
    mount = f"mount -t tmpfs -o {options} tmpfs {path}"
    return ("unshare", "--mount", "sh", "-c", f"{mount}; {script}", "sh")


class Desk:
    """Where somebody sits: a directory of the client's machine."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site, self.directory = site, directory
        self._started: list[subprocess.Popen[bytes]] = []

    def command(self, *arguments: Argument, wrap: tuple[str, ...] = ()) -> list[str]:
        """Return the command that runs the client in the directory; wrap: words before its own command."""
        words = [*wrap, *program("tftp"), *map(str, arguments)]
        return self.site.client.command("env", f"--chdir={self.directory}", f"PYTHONPATH={CHECKOUT}", *words)

    def tftp(
        self, *arguments: Argument, stdin: bytes = b"", wrap: tuple[str, ...] = (), timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Return the finished client."""
        command = self.command(*arguments, wrap=wrap)
        return subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)

    def start(self, *arguments: Argument, wrap: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Return the client, started; the test ends it, or the fixture does."""
        # exec keeps the process: it gets the signals that are sent to it.
        command = self.command(*arguments, wrap=wrap)
        client = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._started.append(client)
        return client

    def close(self) -> None:
        """End what a failed test left running."""
        for client in self._started:
            with client:
                client.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a server machine and a client machine, one cable long."""
    packages = (Path(__file__).parent / "packages").read_text().splitlines()
    assert missing(line for line in packages if line and not line.startswith("#")) == []
    with Site(tmp_path_factory.mktemp("logs")) as site:
        yield site


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[Path]:
    """Return the directory that ptftpd, and tftpd-hpa for IPv6, serve meanwhile, with some files."""
    root = site.directory()
    for size in (5, 100_000, 3_000_000):
        (root / f"f{size}").write_bytes(content(size))
    with serving(site, "ptftpd", root, SERVER), serving(site, "tftpd-hpa", root, SERVER6):
        yield root


@pytest.fixture
def root(site: Site) -> Path:
    """Return the directory that a server serves."""
    return site.directory()


@pytest.fixture
def desk(site: Site) -> Iterator[Desk]:
    """Return a place to get files to, with the client."""
    desk = Desk(site, site.directory())
    yield desk
    desk.close()


@pytest.fixture
def fake(site: Site) -> Iterator[Fake]:
    """Return the server to play."""
    with Fake(site) as fake:
        yield fake


def end(client: subprocess.Popen[bytes], status: int = 0) -> str:
    """Return what the client said; it must end with this status."""
    said, complaints = client.communicate(timeout=30)
    assert said == b""
    assert client.returncode == status, complaints
    return complaints.decode()


def get(desk: Desk, *options: str) -> subprocess.Popen[bytes]:
    """Start to get the file 'a'."""
    return desk.start(*options, "get", f"tftp://{SERVER}/a")


def finish(fake: Fake, desk: Desk, client: subprocess.Popen[bytes]) -> str:
    """Serve 'a' in one short block; return what the client says."""
    fake.send(data(1, b"whole"))
    fake.expect(ack(1))
    said = end(client)
    assert (desk.directory / "a").read_bytes() == b"whole"
    return said
