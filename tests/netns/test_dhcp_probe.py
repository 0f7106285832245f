"""An address that a machine took by itself is never leased, and no client waits for finding that out."""

from __future__ import annotations

from pathlib import Path

from tests.lab import Lab, program, reachable


def test_an_address_in_use_is_passed_over(tmp_path: Path) -> None:
    """RFC 2131 §2.2: the server should probe it; here before anyone asks, by the kernel's own ARP."""
    with Lab(reachable(tmp_path)) as lab:
        server, client, squatter = (lab.namespace(name) for name in ("server", "client", "squatter"))
        server.bridge()
        for machine, port in ((client, "port1"), (squatter, "port2")):
            lab.cable(machine, server, "eth0", port)
            server.plug(port)
        server.address("10.9.0.1/24", "br0")
        squatter.address("10.9.0.50/24")
        daemon = server.start(
            *program("dhcpd"), "br0", "--answer-all", "--range", "10.9.0.50-10.9.0.60", "--user", "nobody",
            "--state-dir", tmp_path / "state",
        )  # fmt: skip
        found = daemon.wait_for(r"10\.9\.0\.50 is in use by (\S+) on br0, which has no lease for it")
        assert found[1] in squatter.run("ip", "link", "show", "eth0").stdout
        udhcpc = ("busybox", "udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", 2, "-T", 5, "-s", "/bin/true")
        done = client.run(*udhcpc, check=False)
        said = done.stdout + done.stderr
        assert "lease of 10.9.0.51 obtained" in said
        assert said.count("discover") == 1, "the first one was not answered"
        assert daemon.stop() == 0
