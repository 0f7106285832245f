"""Renders what shells complete command lines with, for bash, zsh and fish, from the programs' parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
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


def arguments(parser: argparse.ArgumentParser, verbs: tuple[str, ...] = ()) -> list[Argument]:
    """Return what a command line may hold; verbs: what may stand first instead of a host, before files."""
    found = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or (verbs and not action.option_strings):
            continue
        takes = action.nargs != 0
        value = str(action.metavar or action.dest) if takes else ""
        many = isinstance(action, argparse._AppendAction)
        help = (action.help or "").replace("%%", "%").partition(" (default:")[0]
        found.append(Argument(tuple(action.option_strings), help, value, _words(action.dest), many))
    if verbs:
        found.append(Argument((), "what to do, or a server", "HOST", verbs))
        found.append(Argument((), "file", "FILE", many=True))
    return found


def _words(dest: str) -> tuple[str, ...]:
    """Return all the values that a setting takes, where they are a list."""
    section, _, key = dest.rpartition(":")
    item = options(SECTIONS.get(section, Client)).get(key)
    return tuple(getattr(item.metadata["parse"], "words", ())) if item else ()


# bash ------------------------------------------------------------------------------------------


def bash(names: Sequence[str], known: Sequence[Argument]) -> str:
    """Return the completion of a program, by all its names, for bash."""
    values: dict[str, list[str]] = {}  # what completes a value: the options that take such a one
    for argument in known:
        if argument.names and argument.value:
            values.setdefault(_bash_words(argument), []).extend(argument.names)
    taking = "|".join(option for options in values.values() for option in options)
    cases = "".join(
        f"        {'|'.join(options)}) {_bash_reply(words)}; return ;;\n" for words, options in values.items()
    )
    every = " ".join(option for argument in known for option in argument.names)
    plain = [argument for argument in known if not argument.names]
    places = "".join(
        f"        {'*' if argument.many else place}) {_bash_reply(_bash_words(argument))} ;;\n"
        for place, argument in enumerate(plain)
    )
    function = f"_ptftpd_{names[0]}"
    return f"""\
# Made from the settings of ptftpd.
{function}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} place=0 i
    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
    compopt -o filenames
    case $prev in
{cases}    esac
    if [[ $cur == -* ]]; then
        {_bash_reply(f"compgen -W '{every}'")}
        return
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            {taking}) if [[ ${{COMP_WORDS[i + 1]}} == = ]]; then ((i += 2)); else ((i++)); fi ;;
            -*) ;;
            *) ((place++)) ;;
        esac
    done
    case $place in
{places}    esac
}}
complete -F {function} {" ".join(names)}
"""


def _bash_reply(words: str) -> str:
    """Return what offers words, the output of a command, whatever is in them."""
    return f'mapfile -t COMPREPLY < <({words} -- "$cur")'


def _bash_words(argument: Argument) -> str:
    """Return the command that prints what may stand there."""
    if argument.words:
        return f"compgen -W '{' '.join(argument.words)}'" + (
            " -A hostname" if argument.value == "HOST" else ""
        )
    return WORDS_OF[argument.value][0] if argument.value in WORDS_OF else "compgen -W ''"


# zsh -------------------------------------------------------------------------------------------


def zsh(names: Sequence[str], known: Sequence[Argument]) -> str:
    """Return the completion of a program, by all its names, for zsh."""
    lines = [f"#compdef {' '.join(names)}", "# Made from the settings of ptftpd.", "_arguments -s -S \\"]
    lines += [f"    {spec} \\" for argument in known for spec in _zsh_specs(argument)]
    return "\n".join(lines).removesuffix(" \\") + "\n"


def _zsh_specs(argument: Argument) -> Iterator[str]:
    action = (
        f"({' '.join(argument.words)})" if argument.words else WORDS_OF.get(argument.value, ("", "", ""))[1]
    )
    value = f":{argument.value}:{action}" if argument.value else ""
    if not argument.names:
        yield _quoted(f"*{value}" if argument.many else value)
        return
    others = "*" if argument.many else f"({' '.join(argument.names)})"
    help = argument.help.replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    for option in argument.names:
        equals = "=" if value and option.startswith("--") else ""
        yield _quoted(f"{others}{option}{equals}[{help}]{value}")


# fish ------------------------------------------------------------------------------------------


def fish(names: Sequence[str], known: Sequence[Argument]) -> str:
    """Return the completion of a program, by all its names, for fish."""
    name, *others = names
    lines = ["# Made from the settings of ptftpd."]
    first = True  # of the plain arguments
    for argument in known:
        if argument.names:
            lines.append(f"complete -c {name} {_fish_option(argument)} -d {_quoted(argument.help)}")
            continue
        if argument.value in WORDS_OF:
            when = "__fish_use_subcommand" if first else "not __fish_use_subcommand"
            lines.append(
                f"complete -c {name} -n {_quoted(when)} {_fish_value(argument)} -d {_quoted(argument.help)}"
            )
        first = False
    lines += [f"complete -c {other} -w {name}" for other in others]
    return "\n".join(lines) + "\n"


def _fish_option(argument: Argument) -> str:
    parts = [
        f"-l {option.removeprefix('--')}" if option.startswith("--") else f"-s {_quoted(option[1:])}"
        for option in argument.names
    ]
    return " ".join([*parts, _fish_value(argument)] if argument.value else parts)


def _fish_value(argument: Argument) -> str:
    if argument.words:
        return f"-xa {_quoted(' '.join(argument.words))}"
    return WORDS_OF[argument.value][2] if argument.value in WORDS_OF else "-x"


def _quoted(text: str) -> str:
    """Return text as one word of bash and zsh; fish, too, takes a quote closed and opened around \\'."""
    return "'" + text.replace("'", "'\\''") + "'"
