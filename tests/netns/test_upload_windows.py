"""Uploads in windows: what the receiving socket cannot hold is not granted, so that nothing is lost in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import Lab, program
from tests.netns.tftp_site import CLIENT, SERVER, content

SIZE = 8_000_000


@pytest.mark.parametrize("mtu", [1500, 4000, 9000, 65536], ids=lambda mtu: f"MTU {mtu}")
@pytest.mark.parametrize("single_port", [False, True], ids=["ports of their own", "single_port"])
def test_nothing_is_sent_again(tmp_path: Path, mtu: int, single_port: bool) -> None:
    """With default options at both ends; the largest MTU is that of the loopback interface."""
    with Lab(tmp_path) as lab:
        server = client = lab.namespace("server")
        address = "127.0.0.1" if mtu > 9000 else SERVER
        if mtu <= 9000:
            client = lab.namespace("client")
            lab.cable(server, client)
            for end, own in ((server, SERVER), (client, CLIENT)):
                end.address(f"{own}/24")
                end.run("ip", "link", "set", "eth0", "mtu", mtu)
        root, octets = tmp_path / "root", content(SIZE)
        root.mkdir()
        (tmp_path / "file").write_bytes(octets)
        more = ("--single-port", "--single-port-rate", "1G", "--windowsize", "64") if single_port else ()
        arguments = ("--user", "root", "--uploads", "create", *more, root)
        running = server.start(*program("tftpd"), *arguments, name="ptftpd")
        running.wait_for("serving ")
        client.run(*program("tftp"), "put", tmp_path / "file", f"tftp://{address}/new")
        running.wait_for("received new from")
        assert (root / "new").read_bytes() == octets
        said = re.findall(r"received new .*", running.text())[0]
        assert "resent" not in said, said
        assert float(re.findall(r"in ([0-9.]+) s", said)[0]) < 1.0, said
