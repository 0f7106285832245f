"""The TFTP servers that the client is to get on with, each run in a namespace by a test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests import debs
from tests.lab import Argument, Process, program
from tests.netns.tftp_site import Site

KINDS = ("ptftpd", "tftpd-hpa", "atftpd", "dnsmasq")
WRITABLE = ("ptftpd", "tftpd-hpa", "atftpd")  # dnsmasq takes no files


def _command(kind: str, root: Path, address: str) -> list[Argument]:
    version = "-6" if ":" in address else "-4"
    if kind == "ptftpd":
        return [*program("tftpd"), "--user", "nobody", "--uploads", "overwrite", "-a", address, root]
    if kind == "tftpd-hpa":
        place = f"[{address}]:69" if ":" in address else f"{address}:69"
        return ["in.tftpd", "-L", version, "-a", place, "-c", "-p", "-u", "nobody", "-s", root]
    if kind == "atftpd":
        binary = debs.unpacked("atftpd") / "usr/sbin/atftpd"
        user = ("--user", "nobody.nogroup", "--group", "nogroup")
        return [binary, "--daemon", "--no-fork", *user, "--bind-address", address, "--logfile", "-", root]
    return [
        "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=nobody", "--enable-tftp",
        f"--tftp-root={root}", f"--listen-address={address}", "--bind-interfaces",
    ]  # fmt: skip


@contextlib.contextmanager
def serving(site: Site, kind: str, root: Path, address: str) -> Iterator[Process]:
    """Run a server for the files below root, at port 69 of one address."""
    process = site.server.start(*_command(kind, root, address), name=kind)
    process.wait_listening(69)
    try:
        yield process
    finally:
        process.stop()
