"""`make bench`: everything that is measured, one after the other, and the chart of it, into build/bench."""

from __future__ import annotations

import sys

from tests.bench import client, dhcp, micro, report, start, tftp

PARTS = (micro, start, tftp, dhcp, client, report)


def main() -> int:
    """Return 1 when a part found something out of bounds."""
    sys.argv[1:] = []
    return max([part.main() for part in PARTS])


if __name__ == "__main__":
    sys.exit(main())
