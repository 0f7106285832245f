"""Renders what shells complete command lines with, for bash, zsh and fish, from the programs' parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from ptftpd.client.settings import Settings as Client
from ptftpd.option import options
from ptftpd.settings import SECTIONS

# What can be completed for a value of this name, as (bash, zsh, fish) say it.
WORDS_OF = {
    "FILE": ("compgen -f", "_files", "-rF"),
    "DIR": ("compgen -d", "_directories", "-xa '(__fish_complete_directories)'"),
    "ROOT": ("compgen -d", "_directories", "-xa '(__fish_complete_directories)'"),
    "USER": ("compgen -u", "_users", "-xa '(__fish_complete_users)'"),
    "IFACE": ('compgen -W "$(ls /sys/class/net)"', "_net_interfaces", "-xa '(command ls /sys/class/net)'"),
    "HOST": ("compgen -A hostname", "_hosts", "-xa '(__fish_print_hostnames)'"),
}


@dataclass(frozen=True)
class Argument:
    """One argument of a program. names: of an option, none for another; value: the name of what follows."""

    names: tuple[str, ...]
    help: str
    value: str = ""
    words: tuple[str, ...] = ()  # all that the value may be
    many: bool = False


def arguments(parser: argparse.ArgumentParser, first: tuple[str, ...] = ()) -> list[Argument]:
    """Return what a command line may hold; first: words that may stand where the first plain one does."""
    found = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        takes = action.nargs != 0
        value = str(action.metavar or action.dest) if takes else ""
        many = isinstance(action, argparse._AppendAction)
        help = (action.help or "").replace("%%", "%").partition(" (default:")[0]
        found.append(Argument(tuple(action.option_strings), help, value, _words(action.dest), many))
    if first:
        found.append(Argument((), "what to do, or a server", "HOST", first))
    return found


def _words(dest: str) -> tuple[str, ...]:
    """Return all the values that a setting takes, where they are a list."""
    section, _, key = dest.rpartition(":")
    item = options(SECTIONS.get(section, Client)).get(key)
    return tuple(getattr(item.metadata["parse"], "words", ())) if item else ()


# bash ------------------------------------------------------------------------------------------


def bash(name: str, known: list[Argument]) -> str:
    """Return the completion of a program for bash."""
    values: dict[str, list[str]] = {}  # what completes a value: the options that take such a one
    for argument in known:
        if argument.names and argument.value:
            values.setdefault(_bash_words(argument), []).extend(argument.names)
    cases = "".join(
        f'        {"|".join(names)}) COMPREPLY=($({words} -- "$cur")); return ;;\n'
        for words, names in values.items()
    )
    every = " ".join(option for argument in known for option in argument.names)
    plain = "; ".join(_bash_words(argument) + ' -- "$cur"' for argument in known if not argument.names)
    function = f"_ptftpd_{name}"
    return f"""\
# Made from the settings of ptftpd.
{function}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}}
    compopt -o filenames
    case ${{COMP_WORDS[COMP_CWORD - 1]}} in
{cases}    esac
    case $cur in
        -*) COMPREPLY=($(compgen -W '{every}' -- "$cur")) ;;
        *) COMPREPLY=($({plain})) ;;
    esac
}}
complete -F {function} {name}
"""


def _bash_words(argument: Argument) -> str:
    """Return the command that prints what may stand there."""
    if argument.words:
        return f"compgen -W '{' '.join(argument.words)}'"
    return WORDS_OF[argument.value][0] if argument.value in WORDS_OF else "compgen -W ''"


# zsh -------------------------------------------------------------------------------------------


def zsh(name: str, known: list[Argument]) -> str:
    """Return the completion of a program for zsh."""
    lines = [f"#compdef {name}", "# Made from the settings of ptftpd.", "_arguments -s -S \\"]
    lines += [f"    {spec} \\" for argument in known for spec in _zsh_specs(argument)]
    return "\n".join(lines).removesuffix(" \\") + "\n"


def _zsh_specs(argument: Argument) -> Iterator[str]:
    action = (
        f"({' '.join(argument.words)})" if argument.words else WORDS_OF.get(argument.value, ("", "", ""))[1]
    )
    value = f":{argument.value}:{action}" if argument.value else ""
    if not argument.names:
        yield _quoted(f":{value}" if value else "")
        return
    others = "*" if argument.many else f"({' '.join(argument.names)})"
    help = argument.help.replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    for option in argument.names:
        yield _quoted(f"{others}{option}[{help}]{value}")


# fish ------------------------------------------------------------------------------------------


def fish(name: str, known: list[Argument]) -> str:
    """Return the completion of a program for fish."""
    lines = ["# Made from the settings of ptftpd."]
    for argument in known:
        if not argument.names and argument.value not in WORDS_OF:
            continue
        parts = [f"complete -c {name}"]
        for option in argument.names:
            letter = len(option) == 2
            parts.append(f"-s {_quoted(option[1:])}" if letter else f"-l {option.removeprefix('--')}")
        if argument.words:
            parts.append(f"-xa {_quoted(' '.join(argument.words))}")
        elif argument.value:
            parts.append(WORDS_OF[argument.value][2] if argument.value in WORDS_OF else "-x")
        lines.append(" ".join(part for part in (*parts, f"-d {_quoted(argument.help)}") if part))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return text as one word of bash and zsh; fish, too, takes a quote closed and opened around \\'."""
    return "'" + text.replace("'", "'\\''") + "'"
