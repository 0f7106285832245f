"""What every test has: hypothesis keeps its examples elsewhere, and a skipped test is a failed one."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Generator
from typing import Any

import pytest

from tests.debs import cache

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(cache() / "hypothesis"))

# A run has a directory of its own: pytest's own is closed again, by every run that starts, to the users that
# another run's servers have become.
TEMPORARY = tempfile.mkdtemp(prefix="ptftpd-tests-")
os.chmod(TEMPORARY, 0o755)
atexit.register(shutil.rmtree, TEMPORARY, ignore_errors=True)
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", TEMPORARY)

from hypothesis import HealthCheck, settings  # noqa: E402  # reads the variable set above

settings.register_profile(
    "ptftpd",
    deadline=None,  # a busy machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    max_examples=int(os.environ.get("PTFTPD_EXAMPLES", "100")),  # of each test; more find more
    derandomize=bool(os.environ.get("CI")),  # the same commit always gives the same verdict
)
settings.load_profile("ptftpd")


def pytest_sessionfinish(exitstatus: int) -> None:
    """Leave the run's directory where there is a failure to look into."""
    if exitstatus:
        atexit.unregister(shutil.rmtree)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    """Turn a skipped test into a failed one: a tool that is missing must not go unnoticed."""
    report = (yield).get_result()
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as failed here: {report.longrepr}"


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    """Do the same for a module that skips itself when it is imported."""
    report = (yield).get_result()
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as failed here: {report.longrepr}"
