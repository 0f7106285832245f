"""Loads the settings of a program from INI files and the command line.

Read in this order, later wins: pxed.conf and then the program's own NAME.conf, each followed by its
NAME.conf.d/*.conf; the files of the interface, pxed@IFACE.conf and then NAME@IFACE.conf; the command line.
--config FILE is read instead of all those files. Every file has the same grammar. What is common to the
servers may stand in any of them, what only one kind has a use for in pxed.conf and the files of that kind.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from functools import partial

from ptftpd import trust
from ptftpd.commandline import make_parser, read_arguments
from ptftpd.ini import files, read_file
from ptftpd.program import DIRECTORY, Loaded, Program
from ptftpd.settings import Settings
from ptftpd.values import Values, build


def _unescaped(interface: str) -> str:
    r"""Return the name of an interface as ip(8) has it, also where it is that of a unit: pxed@br\x2dlan."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), interface)


def load(program: Program, argv: Sequence[str] | None, directory: str = DIRECTORY) -> Loaded:
    """Return the effective settings. ConfigError lists all that is wrong; bad arguments exit with 2."""
    parser = make_parser(program)
    arguments = parser.parse_intermixed_args(argv)  # 'pxed eth0 -v ROOT BOOTFILE' is one way to say it
    named = getattr(arguments, "IFACE", None) or getattr(arguments, "tftp:interface", None) or ""
    interface = _unescaped(named)
    values = Values()
    for file in files(values, program, arguments.config, interface, directory):
        read_file(values, file)
    build(values)
    values.check()
    read_arguments(values, program, arguments)
    settings = build(values)
    loaded = Loaded(
        settings=settings,
        interface=interface or settings.tftp.interface,
        action="dump" if arguments.dump_config else "check" if arguments.check else "serve",
        verbose=arguments.verbose,
        debug=arguments.debug,
        pidfile=arguments.pidfile or "",
        detach=arguments.daemon,
        doubts_of_files=tuple(_doubts_of_files(values, settings)),
        serves_files="tftp" in program.sections,
    )
    for query in program.queries:
        value = getattr(arguments, f"?{query.name}")
        if value is not None:
            given = {name: getattr(arguments, f"?{name}") or "" for name, _, _ in query.parameters}
            return dataclasses.replace(
                loaded, action="answer", answer=partial(query.answer, loaded, value, given)
            )
    return loaded


def _doubts_of_files(values: Values, settings: Settings) -> Iterator[str]:
    """Yield a sentence for each configuration file that others can write; each once."""
    found: dict[str, None] = {}
    for path, status in values.files.items():
        found |= dict.fromkeys(trust.doubts_of_file(path, status, [settings.daemon.user]))
    yield from found
