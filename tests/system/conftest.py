"""The Debian systems of the tests: made once, our packages built for each and installed in a booted one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.system import building, container, roots, testbed
from tests.system.machine import Machine

MINUTES = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first of these tests the time to make the Debian systems."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(20 * MINUTES))


@pytest.fixture(scope="session", autouse=True)
def trees() -> None:
    """Make the Debian systems that are not there yet."""
    roots.make_all()


@pytest.fixture(scope="session", params=roots.SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """Return a suite of Debian; every test that asks for one runs in all."""
    return str(request.param)


@dataclass(frozen=True)
class Workshop:
    """What is made of the source in one suite of Debian, as soon as it is there."""

    builds: Future[tuple[Path, Path]]
    tests: Future[str]  # what autopkgtest printed


@pytest.fixture(scope="session")
def workshops(
    request: pytest.FixtureRequest, trees: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Workshop]]:
    """Return the suites' workshops, at work while the tests of what is there already go on."""
    wanted = [
        suite for suite in roots.SUITES if any(suite in str(item.name) for item in request.session.items)
    ]
    with ThreadPoolExecutor(1) as work:
        directories = {suite: tmp_path_factory.mktemp(suite) for suite in wanted}
        builds = {suite: work.submit(building.twice, suite, directories[suite]) for suite in wanted}
        yield {
            suite: Workshop(
                builds[suite],
                work.submit(
                    testbed.run,
                    roots.workshop(suite).path,
                    directories[suite] / "one",
                    directories[suite] / "tests",
                    *(f"--test-name={name}" for name in testbed.ALWAYS),
                    testbed.BRIEFLY,
                ),
            )
            for suite in wanted
        }
        work.shutdown(cancel_futures=True)  # what no test has asked for


@pytest.fixture(scope="session")
def workshop(suite: str, workshops: dict[str, Workshop]) -> Workshop:
    """Return the workshop of the suite."""
    return workshops[suite]


@pytest.fixture(scope="session")
def builds(workshop: Workshop) -> tuple[Path, Path]:
    """Return the directories of two builds, which differ in all that must not matter."""
    return workshop.builds.result()


@pytest.fixture(scope="session")
def packages(builds: tuple[Path, Path]) -> list[Path]:
    """Return our packages."""
    return sorted(builds[0].glob("*.deb"))


@pytest.fixture(scope="module")
def fresh(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Return a booted system on which nothing of ours is installed."""
    with Lab(tmp_path_factory.mktemp(f"box-{suite}")) as lab:
        machine = Machine(lab, roots.system(suite).path)
        yield machine
    container.remove_cgroups(machine.name)


@pytest.fixture(scope="module")
def installed(fresh: Machine, packages: list[Path]) -> Machine:
    """Return the system after 'apt install' of our packages."""
    fresh.install(*packages)
    return fresh


@pytest.fixture
def machine(installed: Machine) -> Iterator[Machine]:
    """Return the system with our packages; what a test starts, writes or enables is undone after it."""
    installed.mark()
    yield installed
    installed.reset()


@pytest.fixture
def server(machine: Machine) -> Machine:
    """Return the machine with a boot file, which pxed.conf names; UEFI has another, or that would be told."""
    machine.serve()
    rules = "boot_file = pxelinux.0\nboot = x86_64-efi=http://192.0.2.1/boot.efi\n"
    machine.configure(f"[pxe]\n{rules}", "pxed.conf.d/test.conf")
    return machine
