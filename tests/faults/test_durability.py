"""What was acknowledged is on the disk when the acknowledgement leaves: the system calls in their order.

Why this proves that it is there after power is cut: when fsync(2) or fdatasync(2) has returned, the kernel
has had the disk confirm that it keeps the data, and strace shows the calls of a process in order. So if each
acknowledgement is sent after such a call, which came after the last write of what is acknowledged, there is
no moment at which a client knows of something that the disk may still lose. A virtual machine that is killed
would show that for one moment of the many only.
"""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ptftpd.dhcp import options, wire
from tests.faults.patched import patched
from tests.lab import Process
from tests.netns.dhcp_load import Load
from tests.netns.tftp_site import Peer, Site, ack, content, wrq

LAZY_DATABASE = """
import sqlite3

class Lazy(sqlite3.Connection):
    def execute(self, text, *values):
        return super().execute(text.replace("synchronous = FULL", "synchronous = NORMAL"), *values)

connect = sqlite3.connect
sqlite3.connect = lambda *words, **more: connect(*words, factory=Lazy, **more)
"""
LAZY_FILES = """
import os, stat

fsync = os.fsync
os.fsync = lambda number: None if stat.{kind}(os.fstat(number).st_mode) else fsync(number)
"""
TRACED = "write,pwrite64,fsync,fdatasync,linkat,rename,renameat,renameat2,sendto,sendmsg"
LONGEST = 8192  # octets shown of what is written: a page of the database with its header
CALL = re.compile(r"(?:\d+ +)?(\w+)\((?:\d+<([^>]*)>)?(.*)\) += (-?\d+)")


@dataclass
class Call:
    """A system call: the path of the descriptor that it is about, and the octets that it passes."""

    name: str
    path: str
    octets: bytes
    result: int


def octets_of(shown: str) -> bytes:
    """Return the octets of the longest string among shown arguments: another one may be an address."""
    found = re.findall(r'"((?:\\x[0-9a-f]{2})*)"', shown)
    return bytes.fromhex(max(found, key=len, default="").replace(r"\x", ""))


def calls_of(lines: list[str]) -> list[Call]:
    """Return the calls that strace -y -xx has written down."""
    calls = []
    begun: dict[str, str] = {}  # what another thread came in between of, by thread
    for line in lines:
        thread, _, text = line.partition(" ")
        if text.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix(" <unfinished ...>")
            continue
        if "<... " in text:
            line = begun.pop(thread, "") + text.partition("resumed>")[2]
        if found := CALL.match(line):
            name, path, rest, result = found.groups()
            place = bytes.fromhex((path or "").replace(r"\x", "")) if r"\x" in (path or "") else b""
            calls.append(Call(name, place.decode(), octets_of(rest), int(result)))
    return calls


@contextmanager
def traced(process: Process, directory: Path) -> Iterator[list[Call]]:
    """Trace a process for the with block; the list is filled at its end."""
    out = directory / "calls"
    calls: list[Call] = []
    words = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        LONGEST,
        "-e",
        f"trace={TRACED}",
        "-o",
        out,
        "-p",
        process.pid,
    ]
    tracer = process.namespace.start(*words)
    tracer.wait_for("attached")
    yield calls
    tracer.signal(signal.SIGINT)
    tracer.wait(10)
    calls += calls_of(out.read_text().splitlines())


def unsafe_leases(calls: list[Call]) -> tuple[int, list[str]]:
    """Return how many DHCPACKs were sent, and the addresses of those that were not on the disk then."""
    written: list[bytes] = []
    durable: list[bytes] = []
    acknowledged, unsafe = 0, []
    for call in calls:
        if call.name == "pwrite64" and call.path.endswith("-wal"):
            written.append(call.octets)
        elif call.name in ("fsync", "fdatasync") and call.path.endswith("-wal") and call.result == 0:
            durable += written
            written.clear()
        elif call.name == "sendmsg" and len(call.octets) >= 240:
            message = wire.decode(call.octets)
            if message.options.get(options.MESSAGE_TYPE) == bytes([options.ACK]):
                acknowledged += 1
                address = wire.dotted(message.yiaddr)
                row = f"{address}01:{message.chaddr[:6].hex(':')}".encode()  # as the table has it
                if not any(row in page for page in durable):
                    unsafe.append(address)
    return acknowledged, unsafe


def leases_traced(load: Load, wrap: tuple[str, ...] = ()) -> list[str]:
    """Return the addresses whose leases were not on the disk when they were acknowledged."""
    daemon = load.pdhcpd(wrap=wrap)
    with traced(daemon, load.directory) as calls:
        report = load.perfdhcp(100, 1)
    assert daemon.stop() == 0
    acknowledged, unsafe = unsafe_leases(calls)
    assert acknowledged == report.acknowledged > 50
    return unsafe


def test_leases(tmp_path: Path) -> None:
    """RFC 2131 §3.1: a server commits before it acknowledges."""
    with Load(tmp_path) as load:
        assert leases_traced(load) == []


def test_this_test_of_leases(tmp_path: Path) -> None:
    """A server that leaves it to the kernel when a commit is written to the disk is found out."""
    with Load(tmp_path) as load:
        assert len(leases_traced(load, patched(tmp_path / "lazy", LAZY_DATABASE))) > 50


def unsafe_upload(calls: list[Call], last: bytes) -> str:
    """Return what was missing of an upload when its last ACK was sent, '' when nothing was."""
    missing = "it was never written"
    for call in calls:
        of_the_file, of_the_directory = "/root/" in call.path, call.path.endswith("/root")
        if call.name == "write" and of_the_file and call.octets:
            missing = "the file was not flushed"
        elif call.name == "fsync" and of_the_file and missing == "the file was not flushed":
            missing = "it has no name"
        elif call.name.startswith(("rename", "link")) and missing in (
            "it has no name",
            "its name is not flushed",
        ):
            missing = "its name is not flushed"
        elif call.name == "fsync" and of_the_directory and missing == "its name is not flushed":
            missing = ""
        elif call.name == "sendto" and call.octets == last:
            return missing
    return "it was never acknowledged"


def upload_traced(site: Site, uploads: str, wrap: tuple[str, ...] = ()) -> str:
    """Return what was missing of an upload when its last ACK was sent."""
    octets = content(5000)
    root = site.directory() / "root"
    root.mkdir()
    root.chmod(0o777)
    with site.serving(root, "--uploads", uploads, wrap=wrap) as server:
        if uploads != "create":
            with Peer(site) as peer:
                peer.put(wrq("file"), b"before")
        with traced(server, site.directory()) as calls, Peer(site) as peer:
            peer.put(wrq("file"), octets)
            server.wait_for("received file from .*: 5 kB")
    assert (root / "file").read_bytes() == octets
    return unsafe_upload(calls, ack(10))


@pytest.mark.parametrize("uploads", ["create", "overwrite", "version"])
def test_uploads(tmp_path: Path, uploads: str) -> None:
    """The file, then its name; only then the ACK of the last block."""
    with Site(tmp_path) as site:
        assert upload_traced(site, uploads) == ""


@pytest.mark.parametrize(
    ("kind", "missing"), [("S_ISREG", "the file was not flushed"), ("S_ISDIR", "its name is not flushed")]
)
def test_this_test_of_uploads(tmp_path: Path, kind: str, missing: str) -> None:
    """A server that does not wait for the disk, with the file or with its name, is found out."""
    with Site(tmp_path) as site:
        lazy = patched(site.directory() / "lazy", LAZY_FILES.format(kind=kind))
        assert upload_traced(site, "create", lazy) == missing


WAL = "<" + "".join(rf"\x{octet:02x}" for octet in b"/leases.sqlite-wal") + ">"


def shown(octets: bytes) -> str:
    """Return octets as strace does."""
    return '"' + "".join(rf"\x{octet:02x}" for octet in octets) + '"'


def test_this_test() -> None:
    """It finds an acknowledgement that leaves before the flush, and one whose lease was never written."""
    hardware = bytes.fromhex("525400000001")
    reply = wire.Message(
        op=wire.BOOTREPLY, yiaddr=wire.number(socket.inet_aton("10.0.0.9")), chaddr=hardware.ljust(16, b"\0"),
        options={options.MESSAGE_TYPE: bytes([options.ACK])},
    )  # fmt: skip
    write = f"pwrite64(5{WAL}, {shown(b'..10.0.0.901:' + hardware.hex(':').encode())}, 40, 0) = 40"
    sync, send = (
        f"fdatasync(5{WAL}) = 0",
        f"sendmsg(3<x>, [{{iov_base={shown(wire.encode(reply))}}}], 0) = 300",
    )
    assert unsafe_leases(calls_of([write, sync, send])) == (1, [])
    for order in ([write, send, sync], [sync, write, send], [sync, send], [write, f"{sync[:-1]}-1", send]):
        assert unsafe_leases(calls_of(order)) == (1, ["10.0.0.9"])
