"""The question --leases: which addresses are leased, to whom and until when, as the database has it."""

from __future__ import annotations

import json
import os
import time

from ptftpd import net
from ptftpd.dhcp import request, wire
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.store import Store
from ptftpd.program import Loaded, Query


def answer(loaded: Loaded, _: str, parameters: dict[str, str]) -> str:
    """Return a line for each lease in force: address, client, architecture and end; Error for no access.

    As JSON it is a list of objects; the end in seconds since 1970, null for none.
    """
    path = loaded.settings.dhcp.database(net.real_name(loaded.interface))
    now = time.monotonic()
    leases = sorted(Store(path).peek(now), key=lambda lease: lease.address)
    in_force = [lease for lease in leases if lease.expires > now]
    if parameters.get("json"):
        return json.dumps([_record(lease, now) for lease in in_force], indent=2)
    lines = [_line(lease, now) for lease in in_force]
    if not os.path.exists(path):
        return f"no address was ever leased on {loaded.interface}: there is no {path}"
    return "\n".join(lines) or f"no address is leased on {loaded.interface}"


def _line(lease: Lease, now: float) -> str:
    end = "for ever"
    if not lease.is_for_ever:
        end = time.strftime("until %Y-%m-%d %H:%M:%S", time.localtime(time.time() + lease.expires - now))
    who = request.name_text(lease.key) if lease.key else "used by a machine without a lease"
    return f"{wire.dotted(lease.address):<15} {who:<17} {lease.architecture:<12} {end}"


def _record(lease: Lease, now: float) -> dict[str, object]:
    return {
        "address": wire.dotted(lease.address),
        "client": request.name_text(lease.key) if lease.key else None,
        "hardware": lease.hardware[1:].hex(":") if lease.hardware else None,
        "architecture": lease.architecture or None,
        "expires": None if lease.is_for_ever else round(time.time() + lease.expires - now),
        "quarantined": not lease.key,
    }


JSON = ("json", "", "with --leases or --explain: print it as JSON")
LEASES = Query(
    "leases", "", "print the leases that are in force: address, client, architecture and end", answer, (JSON,)
)
