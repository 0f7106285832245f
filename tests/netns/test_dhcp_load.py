"""Many DHCP clients at once, played by perfdhcp as a relay agent: every one is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.netns.dhcp_load import Load, Report

RATE, SECONDS = 1000, 4
ATTEMPTS = 3  # the machine may be busy with something else for a moment


@pytest.mark.timeout(120)
def test_a_thousand_exchanges_a_second(tmp_path: Path) -> None:
    """None is lost, no address is given twice; each lease is on the disk before it is acknowledged."""
    with Load(tmp_path) as load:
        daemon = load.pdhcpd()
        reports: list[Report] = []
        while len(reports) < ATTEMPTS and (not reports or reports[-1].lost):
            reports.append(load.perfdhcp(RATE, SECONDS, batch=len(reports)))
        assert reports[-1].lost == 0, reports
        assert reports[-1].acknowledged > RATE * SECONDS * 0.95
        assert not any(report.twice for report in reports), reports
        daemon.stop()
        assert "Traceback" not in daemon.text()
