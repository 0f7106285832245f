"""Several DHCP servers on one network: they find each other, and say what follows."""

from __future__ import annotations

import os
from pathlib import Path

from tests.lab import Lab, Namespace, Process, program


def serve(lab: Lab, switch: Namespace, number: int, *arguments: str) -> Process:
    """Return pdhcpd on a machine of its own, 10.9.0.NUMBER, which answers PXE clients only."""
    machine = lab.namespace(f"server{number}")
    lab.cable(machine, switch, "eth0", f"port{number}")
    switch.plug(f"port{number}")
    machine.address(f"10.9.0.{number}/24")
    daemon = machine.start(
        *program("dhcpd"), "eth0", "pxelinux.0", "--user", "nobody",
        "--state-dir", lab.logs / f"state{number}", *arguments,
    )  # fmt: skip
    daemon.wait_listening(67)
    return daemon


def test_our_own_kind_is_found(tmp_path: Path) -> None:
    """A second server warns; one in auto mode becomes a proxy; a proxy is no second server."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        os.chmod(directory, 0o755)  # the servers become somebody else
    with Lab(tmp_path) as lab:
        switch = lab.namespace("switch")
        switch.bridge()
        serve(lab, switch, 1, "--mode", "proxy")
        first = serve(lab, switch, 2, "--mode", "auto")
        first.wait_for("no other DHCP server answers on eth0: leasing addresses here")
        second = serve(lab, switch, 3, "--mode", "auto")
        second.wait_for(r"10\.9\.0\.2 serves DHCP on eth0: going on as proxyDHCP beside it")
        third = serve(lab, switch, 4)
        third.wait_for(r"warning: 10\.9\.0\.2 serves DHCP on eth0 too: clients get addresses from either")
