"""Who else is on a port of ours: what counts, what is said, and what the kernel's answer is made of."""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from ptftpd import rivals
from ptftpd.errors import ConfigError
from ptftpd.log import Log
from ptftpd.loop import Loop
from ptftpd.net import Link
from ptftpd.rivals import Listener, Lookout, Rival

ETH0 = Link("eth0", 2, bytes(6), IPv4Address("10.9.0.1"), IPv4Network("10.9.0.0/24"))
OURS, DNSMASQ, SYSTEMD, SOCKET_UNIT = 7, 31, 32, 33
UNITS = {DNSMASQ: "dnsmasq.service", SYSTEMD: "init.scope", SOCKET_UNIT: "ptftpd.socket", 34: ""}
Output = pytest.CaptureFixture[str]


def found(monkeypatch: pytest.MonkeyPatch, other: Listener, link: Link | None, address: str) -> list[Rival]:
    """Return what is in the way of a socket of ours, beside which there is another one."""
    both = (Listener(address, 0, OURS, SYSTEMD), other)
    monkeypatch.setattr(rivals, "listeners", lambda port, family: both)
    monkeypatch.setattr(rivals, "owner", UNITS.__getitem__)
    return rivals.find(67, link, own={OURS}, address=address)


@pytest.mark.parametrize(("address", "interface", "link", "ours", "takes"), [
    # One interface: its own, another's, none; the address of the interface, another one, the machine's own.
    ("0.0.0.0", 2, ETH0, "0.0.0.0", "all"),
    ("0.0.0.0", 3, ETH0, "0.0.0.0", ""),
    ("0.0.0.0", 0, ETH0, "0.0.0.0", "some"),
    ("10.9.0.1", 0, ETH0, "::", "all"),
    ("10.9.0.1", 2, ETH0, "::", "all"),
    ("10.9.0.1", 3, ETH0, "::", ""),
    ("192.168.122.1", 0, ETH0, "::", ""),
    ("127.0.0.1", 0, ETH0, "::", ""),
    # All interfaces.
    ("::", 0, None, "::", "all"),
    ("0.0.0.0", 0, None, "::", "all"),
    ("0.0.0.0", 2, None, "::", "some"),
    ("192.168.122.1", 0, None, "::", "some"),
    ("127.0.0.1", 0, None, "::", ""),
    # One address.
    ("10.9.0.1", 0, None, "10.9.0.1", "all"),
    ("10.9.0.2", 0, None, "10.9.0.1", ""),
    ("0.0.0.0", 0, None, "10.9.0.1", ""),
])  # fmt: skip
def test_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, address: str, interface: int, link: Link | None, ours: str, takes: str
) -> None:
    """All that is meant for ours, some of it, or nothing: by the interface and the address of each."""
    told = found(monkeypatch, Listener(address, interface, 99, DNSMASQ), link, ours)
    assert ["all" if rival.takes_all else "some" for rival in told] == ([takes] if takes else [])


@pytest.mark.parametrize(("inode", "cgroup", "counts"), [
    (99, DNSMASQ, True),
    (99, 34, True),  # a program that is no unit's
    (99, SYSTEMD, False),  # of another socket unit: it is not bound to its interface until its service runs
    (99, SOCKET_UNIT, False),
    (99, 0, False),  # a kernel that does not tell: nobody is accused
    (OURS, DNSMASQ, False),
])  # fmt: skip
def test_whose_it_is(monkeypatch: pytest.MonkeyPatch, inode: int, cgroup: int, counts: bool) -> None:
    """Our own sockets, and those that systemd holds, are in nobody's way."""
    monkeypatch.setitem(UNITS, 0, "")
    assert bool(found(monkeypatch, Listener("0.0.0.0", 2, inode, cgroup), ETH0, "0.0.0.0")) is counts


def test_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others can fill has a bound, and each is told once."""
    many = [Listener(f"10.0.{number >> 8}.{number & 255}", 0, number, number) for number in range(1000)]
    monkeypatch.setattr(rivals, "listeners", lambda port, family: iter(many))
    monkeypatch.setattr(rivals, "owner", lambda cgroup: f"{cgroup}.service")
    assert len(rivals.find(69)) == rivals.MOST
    monkeypatch.setattr(rivals, "owner", lambda cgroup: "one.service")
    assert len(rivals.find(69)) == 1


def test_sentences() -> None:
    """Whose it is, as far as that is known, and what to do."""
    shown = "stop that one (ss -ulpn 'sport = 67' shows it)"
    where = "UDP port 67 on eth0"
    assert str(Rival(where, "dnsmasq.service", True)) == (
        f"{where} is taken by another program, dnsmasq.service: {shown}"
    )
    assert str(Rival(where, "", True)) == f"{where} is taken by another program: {shown}"
    assert str(Rival(where, "dnsmasq.service", False)) == (
        f"{where} is open in another program, dnsmasq.service, too, which gets some of the requests: {shown}"
    )


def test_refused(capsys: Output) -> None:
    """One that takes everything is an error, one that takes some a warning."""
    some, every = (Rival("UDP port 67", "x.service", takes) for takes in (False, True))
    rivals.refuse([some], Log("test"))
    assert "warning: UDP port 67 is open in another program, x.service, too" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"is taken by another program, x\.service"):
        rivals.refuse([some, every], Log("test"), ConfigError)


def test_the_lookout(capsys: Output) -> None:
    """Told once when one comes, and once when the last is gone; looked for at most once a minute."""
    one, other = (Rival("UDP port 67", f"{name}.service", False) for name in "ab")
    seen: list[list[Rival]] = [[one], [one], [one, other], [], [], [one]]
    lookout = Lookout(Loop(), Log("test"), lambda: seen.pop(0))
    told = []
    now = lookout.deadline
    while seen:
        lookout.tick(now)
        assert lookout.deadline - now == rivals.EVERY == 60
        now = lookout.deadline
        told.append(capsys.readouterr().err)
    assert [text.count("\n") for text in told] == [1, 0, 1, 1, 0, 1]
    assert "b.service" in told[2]
    assert told[3] == "test: UDP port 67 is open in no other program any more\n"


def answer(address: bytes, *attributes: tuple[int, bytes], kind: int = 20, cut: int = 0) -> bytes:
    """Return a netlink message about a socket of IPv4, bound to interface 2, of inode 99."""
    body = struct.pack("=BBBB2s2s16s16sI8s12sII", 2, 7, 0, 0, b"\0C", b"", address, b"", 2, b"", b"", 0, 99)
    for number, value in attributes:
        body += struct.pack("=HH", 4 + len(value), number) + value.ljust((len(value) + 3) & ~3, b"\0")
    body = body[: len(body) - cut]
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


END = struct.pack("=IHHII", 20, 3, 0, 1, 0) + bytes(4)
SEVEN = struct.pack("=Q", 7)
HERE = b"\x0a\x09\0\x01"


@pytest.mark.parametrize(("octets", "told"), [
    (answer(HERE, (8, b"\0"), (21, SEVEN)), [Listener("10.9.0.1", 2, 99, 7)]),
    (answer(HERE) + answer(bytes(4)), [Listener("10.9.0.1", 2, 99, 0), Listener("0.0.0.0", 2, 99, 0)]),
    (answer(HERE, (21, b"\0\0")), [Listener("10.9.0.1", 2, 99, 0)]),
    (answer(HERE, (21, SEVEN), cut=4), [Listener("10.9.0.1", 2, 99, 0)]),
    (answer(HERE, cut=1), []),
    (answer(HERE)[:16], []),
    (answer(HERE, kind=2), []),
    (struct.pack("=IHHII", 3, 20, 0, 1, 0), []),
    (b"", []),
], ids=["one", "two", "short", "cut off", "too short", "header", "error", "length", "nothing"])  # fmt: skip
def test_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch, octets: bytes, told: list[Listener]) -> None:
    """Anything that breaks the format ends it, without an error: who cannot look says nothing."""
    parts = iter([octets, END])

    class Kernel:
        """A netlink socket."""

        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> Kernel:
            return self

        def __exit__(self, *_: object) -> None: ...
        def settimeout(self, _: float) -> None: ...
        def send(self, _: bytes) -> None: ...
        def recv(self, _: int) -> bytes:
            return next(parts)

    monkeypatch.setattr(rivals.socket, "socket", Kernel)
    assert list(rivals.listeners(67, socket.AF_INET)) == told


def test_a_socket_of_this_process() -> None:
    """By the kernel itself: its address, inode and group; not one that is connected, nor on another port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port, inode = sock.getsockname()[1], os.fstat(sock.fileno()).st_ino
        [listener] = rivals.listeners(port, socket.AF_INET)
        assert (listener.address, listener.interface, listener.inode) == ("127.0.0.1", 0, inode)
        assert list(rivals.listeners(port, socket.AF_INET6)) == []
        sock.connect(("127.0.0.1", 9))
        assert list(rivals.listeners(port, socket.AF_INET)) == []


def test_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit whose directory has the number of the control group."""
    unit = tmp_path / "system.slice/system-x.slice/x@1.service"
    unit.mkdir(parents=True)
    monkeypatch.setattr(rivals, "CGROUPS", (f"{tmp_path}/absent", str(tmp_path)))
    assert rivals.owner(unit.stat().st_ino) == "", "no hierarchy of this kind"
    (tmp_path / "cgroup.procs").touch()
    assert rivals.owner(unit.stat().st_ino) == "x@1.service"
    assert rivals.owner(tmp_path.stat().st_ino) == ""
    assert rivals.owner(0) == ""
