"""Renders what people read from the settings: manual pages and the sample configuration files."""

from __future__ import annotations

import argparse
import inspect
import textwrap
from collections.abc import Iterable, Mapping

import ptftpd
from ptftpd.config import DIRECTORY, NAMED, SECTIONS, Program, make_parser, options, render

WIDTH = 100  # columns of the sample files
EXIT_CODES = (
    ("0", "done"),
    ("1", "failed; the last line on standard error or in the journal says why"),
    ("2", "the command line cannot be understood"),
    ("78", "the configuration cannot be used; every fault was named with its file and line"),
)


def sample(sections: Iterable[str]) -> str:
    """Return a sample configuration file with these sections, every line a commented default."""
    lines = [
        "# Every setting with its default. Remove the '#' in front of what you change.",
        f"# {DIRECTORY}/NAME.conf.d/*.conf is read after NAME.conf and wins over it; see ptftpd.conf(5).",
    ]
    for name in sections:
        kind = _dataclass(name)
        header = f"[{name}]" if name in SECTIONS else f"#[{name} NAME]"
        lines += ["", *_comment(_about(kind)), header]
        for key, item in options(kind).items():
            lines += ["", *_comment(item.metadata["help"]), f"#{key} = {render(item.default)}".rstrip()]
    return "\n".join(lines) + "\n"


def program_page(program: Program) -> str:
    """Return the manual page of a program, section 8, in troff."""
    parser = make_parser(program)
    parts = [
        _head(program.name, 8),
        _section("NAME"),
        f"{program.name} \\- {_troff(_first_words(program.summary))}",
    ]
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split()[1:])
    parts += [_section("SYNOPSIS"), f".B {program.name}", _troff(usage)]
    parts += [_section("DESCRIPTION"), _troff(program.summary)]
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if actions:
            parts.append(_section((group.title or "options").upper()))
            parts += [
                _item(_invocation(action), (action.help or "").replace("%%", "%")) for action in actions
            ]
    parts.append(_section("FILES"))
    parts += [_item(f"{DIRECTORY}/{name}", "configuration, see ptftpd.conf(5)") for name in program.files]
    parts.append(_section("EXIT STATUS"))
    parts += [_item(code, meaning) for code, meaning in EXIT_CODES]
    parts += [_section("SEE ALSO"), ".BR ptftpd (8), pxed (8), pdhcpd (8), ptftp (1), ptftpd.conf (5)"]
    return "\n".join(parts) + "\n"


def configuration_page(files: Mapping[str, Iterable[str]]) -> str:
    """Return the manual page of the configuration, section 5; files: file name -> its sections."""
    parts = [
        _head("ptftpd.conf", 5),
        _section("NAME"),
        f"{', '.join(files)} \\- configuration of the network boot suite",
        _section("DESCRIPTION"),
        _troff(
            f"Files in {DIRECTORY} of one grammar: [section] lines, and lines of the form key = value, where "
            "indented lines go on and # begins a comment. pxed.conf is read first by every program, "
            "then its own file, each followed by what is in its NAME.conf.d; then NAME@IFACE.conf; what is "
            "read later wins, and the command line over all. Any section may stand in any file. Every "
            "key is also an option of the programs, with dashes for underscores."
        ),
    ]
    for name in [*SECTIONS, *NAMED]:
        kind = _dataclass(name)
        parts += [_section(f"[{name}]" if name in SECTIONS else f"[{name} NAME]"), _troff(_about(kind))]
        for key, item in options(kind).items():
            default = render(item.default)
            text = f"{item.metadata['help']}. Default: {default or 'none'}."
            parts.append(_item(f"{key} = {item.metadata['metavar']}", text))
    return "\n".join(parts) + "\n"


def _dataclass(section: str) -> type:
    return SECTIONS[section] if section in SECTIONS else NAMED[section][0]


def _about(kind: type) -> str:
    """Return what a section is for: its docstring without the name in front."""
    return inspect.cleandoc(kind.__doc__ or "").partition(": ")[2].replace("\n", " ")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _head(name: str, section: int) -> str:
    return f'.TH {name.upper()} {section} "" "ptftpd {ptftpd.__version__}"'


def _section(title: str) -> str:
    return f".SH {_troff(title)}"


def _item(term: str, text: str) -> str:
    return f".TP\n.B {_troff(term)}\n{_troff(text)}"


def _invocation(action: argparse.Action) -> str:
    """Return how an argument is written, such as '-u, --user USER'."""
    metavar = action.metavar or ("" if action.option_strings else action.dest)
    metavar = metavar if isinstance(metavar, str) else " ".join(metavar)
    return " ".join(part for part in (", ".join(action.option_strings), metavar) if part)


def _first_words(summary: str) -> str:
    return summary.partition(":")[0].rstrip(".").lower()


def _troff(text: str) -> str:
    """Return text as troff prints it: backslashes and dashes as they are, no line taken for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in {".", "'"} else escaped
