"""What is known of a TFTP client: its hardware address, and the [host] and [class] that it belongs to."""

from __future__ import annotations

import glob

from ptftpd import neighbours
from ptftpd.dhcp import pxe
from ptftpd.dhcp.boot import Rules
from ptftpd.dhcp.rules import class_rules
from ptftpd.settings import Settings
from ptftpd.tftp.names import Facts


class Clients:
    """Looks clients up in the lease databases and the neighbour table, when any setting asks for it."""

    def __init__(self, settings: Settings) -> None:
        """The databases are opened for each look-up: the DHCP server may make them later, or never."""
        self._leases = settings.dhcp.database("*")
        self._by_mac = {host.mac: name for name, host in settings.hosts.items() if host.mac}
        self._by_address = {str(host.address): name for name, host in settings.hosts.items()}
        self._rules = Rules(
            rule for name, group in settings.classes.items() for rule in class_rules(name, group)
        )
        self._rollover = {name: group.rollover for name, group in settings.classes.items()}
        templates = [*settings.tftp.client_directory, *(rule.replace for rule in settings.remaps.values())]
        placeholders = ("{mac}", "{class}", "{host}")
        self._needed = any(self._rollover.values()) or any(
            placeholder in template for template in templates for placeholder in placeholders
        )

    def facts(self, address: str, ifindex: int) -> Facts:
        """Return what is known of the client at an address, seen on an interface."""
        if not self._needed:
            return Facts(address)
        hardware, architecture = self._lease(address)
        hardware = hardware or neighbours.hardware_address(address, ifindex)
        client = pxe.Client(hardware, (architecture,) if architecture else (), "", False)
        rule = self._rules.choose(client)
        return Facts(
            address,
            mac=hardware.hex(":"),
            cls=rule.origin if rule else "",
            host=self._by_mac.get(hardware, "") or self._by_address.get(address, ""),
        )

    def rollover(self, facts: Facts) -> int:
        """Return the block number that follows 65535 for a client, 0 or 1."""
        return self._rollover.get(facts.cls, 0)

    def _lease(self, address: str) -> tuple[bytes, str]:
        """Return (hardware address, architecture) of the lease of an address; empty when there is none."""
        import sqlite3  # here and not at the top: few installations look clients up

        for path in glob.glob(self._leases):
            try:
                database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.1)
                try:
                    row = database.execute(
                        "SELECT hardware, architecture FROM lease WHERE address = ?", (address,)
                    ).fetchone()
                finally:
                    database.close()
            except sqlite3.Error:
                continue  # locked or not readable for this user: the neighbour table knows the rest
            if row and row[0]:
                key = bytes.fromhex(row[0].replace(":", ""))
                return (key[1:] if key[0] == 1 else b""), row[1]
        return b"", ""
