"""What --check and --map-test look at as the servers do: as their user, without what systemd hides.

Who runs them is mostly root, who may read everything. The rule: what root alone can read is not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ptftpd import account, units
from ptftpd.errors import ConfigError, Faults
from ptftpd.ini import files, read_file
from ptftpd.log import Log
from ptftpd.program import DIRECTORY, Program
from ptftpd.settings import Settings
from ptftpd.tftp.permissions import EXAMPLES, HIDDEN
from ptftpd.values import Values

OWN = ("/tmp", "/var/tmp")  # by PrivateTmp=: systemd.exec(5)


@contextmanager
def as_the_server(settings: Settings, log: Log | None = None) -> Iterator[None]:
    """Let root see files as the servers' user, within the block; record it when that cannot be."""
    default = ("daemon", "user") not in settings.sources
    with account.acting_as(settings.daemon.user, default=default) as lacking:
        if lacking and log:
            log.warning("", lacking)
        yield


def check_configuration(program: Program, settings: Settings, interface: str) -> None:
    """Raise ConfigError about files of DIRECTORY that cannot be read, unless --config was given."""
    if any(not _of_the_service(source) for source in settings.sources.values() if ":" in source):
        return
    values = Values()
    for file in files(values, program, None, interface, DIRECTORY):
        read_file(values, file)
    values.check()


def check_hidden(settings: Settings, interface: str) -> None:
    """Raise ConfigError about each root, set in a file of DIRECTORY, that systemd hides from the service."""
    source = settings.sources.get(("pxe", "root"), "")
    if not _of_the_service(source):
        return
    unit = f"ptftpd@{interface}.service" if interface else "ptftpd.service"
    shown = units.properties(unit, "ProtectHome", "PrivateTmp")
    home = HIDDEN if shown.get("ProtectHome") in {"yes", "tmpfs"} else ()
    own = OWN if shown.get("PrivateTmp") in {"yes", "disconnected"} else ()
    faults = Faults()
    for root in filter(os.path.exists, settings.pxe.root):  # else it is told by who looks into it
        real = os.path.realpath(root) + "/"
        for top in (*home, *own):
            if real.startswith(f"{top}/"):
                remedy = (
                    f"or see home.conf in {EXAMPLES}" if top in HIDDEN else "the service has one of its own"
                )
                reason = f"root directory {root}: systemd hides {top} from {unit}: name another; {remedy}"
                faults.note(ConfigError(reason.replace("; or", ", or"), source=source))
    faults.check()


def _of_the_service(source: str) -> bool:
    return source.startswith(f"{DIRECTORY}/")
