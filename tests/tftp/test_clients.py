"""Who a client is: by its lease, else by the neighbour table; its [host] and its [class]."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ptftpd import neighbours
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.store import Store
from ptftpd.settings import Class, Dhcp, Host, Remap, Settings, Tftp
from ptftpd.tftp.clients import Clients
from ptftpd.tftp.names import Facts

ADDRESS, MAC = "192.0.2.7", bytes.fromhex("525400123456")
EVERYTHING = ("{mac}", "{class}", "{host}")


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Return what stands for the kernel's neighbour table."""
    entries: dict[str, bytes] = {}
    monkeypatch.setattr(neighbours, "hardware_address", lambda address, _: entries.get(address, b""))
    return entries


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return an open lease database of eth0, as a running DHCP server has it."""
    made = Store(str(tmp_path / "leases-eth0.sqlite"))
    made.load(0)
    yield made
    made.close()


def lease(store: Store, hardware: bytes = b"\1" + MAC, architecture: str = "x86_64-efi") -> None:
    """Store the lease of ADDRESS."""
    made = Lease(int(IPv4Address(ADDRESS)), b"key", 100.0, 100.0, hardware, architecture=architecture)
    store.commit([made], 0)


def facts(tmp_path: Path, address: str = ADDRESS, **sections: object) -> Facts:
    """Return what is known of a client where every placeholder is used."""
    tftp = Tftp(client_directory=EVERYTHING)
    settings = Settings(tftp=tftp, dhcp=Dhcp(state_dir=str(tmp_path)), **sections)  # type: ignore[arg-type]
    return Clients(settings).facts(address, 2)


class TestHardwareAddress:
    def test_of_a_lease(self, tmp_path: Path, store: Store, table: dict[str, bytes]) -> None:
        """It is the client's own, also behind a router, whose address the neighbour table has."""
        table[ADDRESS] = bytes.fromhex("feffffffffff")
        lease(store)
        assert facts(tmp_path).mac == "52:54:00:12:34:56"

    def test_of_a_neighbour(self, tmp_path: Path, store: Store, table: dict[str, bytes]) -> None:
        table[ADDRESS] = MAC
        assert facts(tmp_path).mac == "52:54:00:12:34:56"

    @pytest.mark.parametrize("content", [b"", b"no database", None])
    def test_no_database(self, tmp_path: Path, table: dict[str, bytes], content: bytes | None) -> None:
        """One that is not there, or is none, keeps nobody from being served."""
        if content is not None:
            (tmp_path / "leases-eth0.sqlite").write_bytes(content)
        assert facts(tmp_path) == Facts(ADDRESS)
        table[ADDRESS] = MAC
        assert facts(tmp_path).mac == "52:54:00:12:34:56"

    def test_no_ethernet(self, tmp_path: Path, store: Store) -> None:
        """RFC 2131 htype: an address of another kind is no MAC address."""
        lease(store, hardware=b"\x20" + MAC)
        assert facts(tmp_path).mac == ""

    def test_quarantine(self, tmp_path: Path, store: Store) -> None:
        """The row of an address that nobody has tells nothing."""
        lease(store, hardware=b"", architecture="")
        assert facts(tmp_path) == Facts(ADDRESS)

    def test_it_is_not_looked_up_in_vain(
        self, tmp_path: Path, store: Store, table: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where no setting asks for it, no request waits for a database."""
        table[ADDRESS] = MAC
        lease(store)
        settings = Settings(tftp=Tftp(client_directory=("{address}",)), dhcp=Dhcp(state_dir=str(tmp_path)))
        assert Clients(settings).facts(ADDRESS, 2) == Facts(ADDRESS)
        rule = Settings(remaps={"r": Remap("a", "{mac}")}, dhcp=Dhcp(state_dir=str(tmp_path)))
        assert Clients(rule).facts(ADDRESS, 2).mac == "52:54:00:12:34:56"


class TestMatching:
    """[host] and [class] are those that DHCP uses."""

    def test_a_host(self, tmp_path: Path, table: dict[str, bytes]) -> None:
        """By its hardware address, else by the address that is kept for it."""
        table["192.0.2.8"] = MAC
        hosts = {"desk": Host(mac=MAC), "shelf": Host(address=IPv4Address("192.0.2.9")), "ghost": Host()}
        assert facts(tmp_path, "192.0.2.8", hosts=hosts).host == "desk"
        assert facts(tmp_path, "192.0.2.9", hosts=hosts).host == "shelf"
        assert facts(tmp_path, "192.0.2.10", hosts=hosts).host == ""
        assert facts(tmp_path, "fd00::9", hosts=hosts).host == ""

    def test_a_class_by_maker(self, tmp_path: Path, table: dict[str, bytes]) -> None:
        """The longest prefix counts, wherever it is written."""
        table[ADDRESS] = MAC
        classes = {"qemu": Class(mac=(MAC[:3],)), "one": Class(mac=(MAC[:5],)), "pi": Class(mac=(b"\xb8",))}
        assert facts(tmp_path, classes=classes).cls == "one"

    def test_a_class_by_architecture(self, tmp_path: Path, store: Store) -> None:
        """Which the client told the DHCP server; by TFTP it tells nothing."""
        classes = {"efi": Class(arch=("x86_64-efi",)), "bios": Class(arch=("bios",))}
        assert facts(tmp_path, classes=classes).cls == ""
        lease(store)
        assert facts(tmp_path, classes=classes).cls == "efi"

    def test_rollover(self, tmp_path: Path, table: dict[str, bytes]) -> None:
        """By class, and 0 for everybody else; it alone makes clients be looked up."""
        table[ADDRESS] = MAC
        classes = {"odd": Class(mac=(MAC[:3],), rollover=1)}
        clients = Clients(Settings(classes=classes, dhcp=Dhcp(state_dir=str(tmp_path))))
        assert clients.rollover(clients.facts(ADDRESS, 2)) == 1
        assert clients.rollover(clients.facts("192.0.2.99", 2)) == 0
