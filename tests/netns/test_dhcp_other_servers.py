"""Several DHCP servers on one network: they find each other, and say what follows."""

from __future__ import annotations

from pathlib import Path

from tests.lab import Lab, Namespace, Process, program, reachable, wait_until

PROXY = "going on as proxyDHCP beside it"


def start(lab: Lab, switch: Namespace, number: int, *arguments: str) -> Process:
    """Return pdhcpd, begun on a machine of its own, 10.9.0.NUMBER; it answers PXE clients only."""
    machine = lab.namespace(f"server{number}")
    lab.cable(machine, switch, "eth0", f"port{number}")
    switch.plug(f"port{number}")
    machine.address(f"10.9.0.{number}/24")
    return machine.start(
        *program("dhcpd"), "eth0", "pxelinux.0", "--user", "nobody",
        "--state-dir", lab.logs / f"state{number}", *arguments,
    )  # fmt: skip


def serve(lab: Lab, switch: Namespace, number: int, *arguments: str) -> Process:
    """Return one that is ready."""
    daemon = start(lab, switch, number, *arguments)
    daemon.wait_listening(67)
    return daemon


def test_our_own_kind_is_found(tmp_path: Path) -> None:
    """A second server warns; one in auto mode becomes a proxy; a proxy is no second server."""
    with Lab(reachable(tmp_path)) as lab:  # the servers become somebody else
        switch = lab.namespace("switch")
        switch.bridge()
        serve(lab, switch, 1, "--mode", "proxy")
        first = serve(lab, switch, 2, "--mode", "auto")
        first.wait_for("no other DHCP server answers on eth0: leasing addresses here")
        second = serve(lab, switch, 3, "--mode", "auto")
        second.wait_for(rf"10\.9\.0\.2 serves DHCP on eth0: {PROXY}")
        third = serve(lab, switch, 4)
        third.wait_for(r"warning: 10\.9\.0\.2 serves DHCP on eth0 too: clients get addresses from either")


def test_two_that_start_together(tmp_path: Path) -> None:
    """While both are deciding neither answers the other; still exactly one leases addresses afterwards."""
    with Lab(reachable(tmp_path)) as lab:
        switch = lab.namespace("switch")
        switch.bridge()
        daemons = [start(lab, switch, number, "--mode", "auto") for number in (1, 2)]
        wait_until(lambda: [each for each in daemons if PROXY in each.text()], 20, "one of them to give way")
        (other,) = (each for each in daemons if PROXY not in each.text())
        other.wait_for("no other DHCP server answers on eth0: leasing addresses here")
