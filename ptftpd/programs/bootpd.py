"""pbootpd: the BOOTP server."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ptftpd import service
from ptftpd.program import Program
from ptftpd.programs import dhcpd
from ptftpd.programs.dhcpd import BOOT_FILE, INTERFACE, Dhcpd
from ptftpd.programs.explaining import EXPLAIN_BOOTP
from ptftpd.programs.leases import LEASES

# What only DHCP, or the firmware that speaks it, has a use for.
DHCP_ONLY = {
    "lease_time", "min_lease_time", "max_lease_time", "mode", "answer_all", "authoritative", "identity",
    "bootp", "menu_prompt", "menu_timeout",
}  # fmt: skip

PROGRAM = Program(
    name="pbootpd",
    summary="Hand out addresses and boot files by BOOTP: RFC 951, 1497 and 1542.",
    sections=("bootp", "dhcp", "pxe", "daemon"),
    positionals=(INTERFACE, BOOT_FILE),
    exclude=dhcpd.PROGRAM.exclude | DHCP_ONLY,
    queries=(EXPLAIN_BOOTP, LEASES),
)


class Bootpd(Dhcpd):
    """The DHCP daemon with only its BOOTP half."""

    serves = "BOOTP"
    only_bootp = True


def main(argv: Sequence[str] | None = None) -> int:
    """Run pbootpd; return its exit code."""
    return service.main(PROGRAM, argv, Bootpd)


if __name__ == "__main__":
    sys.exit(main())
