"""The commands of the tftp prompt: how each is written and what it does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ptftpd.errors import Error


@dataclass(frozen=True)
class Command:
    """usage: what may stand behind the name. more: what else to know. short: an abbreviation of its own."""

    name: str
    usage: str
    help: str
    more: str = ""
    short: str = ""
    values: tuple[str, ...] = ()


REMOTE = "REMOTE is a name on the server, HOST:NAME or tftp://HOST/NAME; the last host and port are kept."

COMMANDS = (
    Command("connect", "HOST [PORT]", "name the server for the next transfers"),
    Command(
        "get", "[-f] REMOTE [LOCAL]", "get a file", short="g",
        more="get [-f] REMOTE REMOTE REMOTE... gets three or more, each under its own name. An existing file "
        "is only replaced with -f, and only by a complete one; a terminal (LOCAL -) gets binary files only "
        f"with -f, too. {REMOTE}",
    ),
    Command(
        "put", "LOCAL [REMOTE]", "send a file", short="p",
        more="put LOCAL LOCAL... DIRECTORY sends two or more to a directory on the server; write a single "
        f"one as put LOCAL DIRECTORY/. {REMOTE}",
    ),
    Command("probe", "REMOTE", "see which options the server takes for a file, and how fast each is"),
    Command("mode", "[octet|netascii]", "send files as they are, or as text with the line ends converted",
            short="m", values=("octet", "netascii", "binary", "ascii")),
    Command("binary", "", "the same as mode octet"),
    Command("ascii", "", "the same as mode netascii"),
    Command("blksize", "[N|auto]", "block size to ask for, octets: 8..65464, or what the route carries",
            values=("auto", "512", "1428", "1468", "8192", "65464")),
    Command("windowsize", "[N|auto]", "blocks between two acknowledgements to ask for: 1..65535", short="w",
            values=("auto", "1", "4", "8", "16", "64")),
    Command("rexmt", "[SECONDS|auto]", "time to the first retransmission", short="r",
            more="The server is asked for a whole number too.", values=("auto", "1", "2", "5")),
    Command("timeout", "[SECONDS|auto]", "how long to go on without an answer, as with tftp-hpa",
            more="With a number, a server that is not there yet is waited for; it sets retries.",
            values=("auto", "10", "25", "60")),
    Command("retries", "[N|auto]", "retransmissions without an answer before giving up",
            values=("auto", "3", "6", "20")),
    Command("option", "[NAME [VALUE]]", "set a TFTP option, as with atftp: option blksize 1428",
            more="VALUE may be disable.",
            values=("blksize", "windowsize", "timeout")),
    Command("rfc1350", "[on|off]", "ask for no TFTP options at all", values=("on", "off")),
    Command("literal", "[on|off]", "a : in a name does not end a host name", values=("on", "off")),
    Command("verbose", "[on|off]", "show what is negotiated with the server", values=("on", "off")),
    Command("trace", "[on|off]", "show each packet", values=("on", "off")),
    Command("status", "", "show the server and the settings"),
    Command("help", "[COMMAND]", "list the commands, or explain one"),
    Command("quit", "", "leave", short="q"),
)  # fmt: skip

ALIASES = {"?": "help", "exit": "quit", "bye": "quit"}
_NO_LIST = "TFTP cannot list files; ask for one by its full name"
_NO_DIRECTORY = "TFTP has no current directory; write the full name with each get and put"
NOT_IN_TFTP = {  # what is typed out of habit from ftp, and from atftp
    "ls": _NO_LIST, "dir": _NO_LIST, "cd": _NO_DIRECTORY, "lcd": _NO_DIRECTORY, "pwd": _NO_DIRECTORY,
    "open": "connect HOST names the server", "close": "TFTP keeps no connection",
    "delete": "TFTP cannot delete", "rename": "TFTP cannot rename", "mkdir": "TFTP cannot make directories",
    "mget": "get takes several names", "mput": "put takes several names", "mtftp": "no multicast here",
}  # fmt: skip
NAMED = {command.name: command for command in COMMANDS}
_WORD = re.compile(r""""([^"]*)"|'([^']*)'|(\S+)""")  # no escapes: names such as C:\boot\file are common


def find(word: str) -> Command:
    """Return the command of a name, alias or abbreviation; Error when there is none or more than one."""
    lowered = word.lower()
    if lowered in ALIASES or lowered in NAMED:
        return NAMED[ALIASES.get(lowered, lowered)]
    matches = [command for command in COMMANDS if command.name.startswith(lowered)]
    short = [command for command in matches if command.short == lowered]
    if len(matches) == 1 or short:
        return (short or matches)[0]
    if matches:
        raise Error(f"{word} could be {' or '.join(command.name for command in matches)}: write more of it")
    raise Error(f"there is no command {word}: {NOT_IN_TFTP.get(lowered, 'help lists them')}")


def split(line: str) -> list[str]:
    """Return the words of a line; quotes of either kind keep blanks together. Error for one without end.

    A comment has none: its quotes are apostrophes.
    """
    if line.lstrip().startswith("#"):
        return []
    words = []
    for match in _WORD.finditer(line):
        if match[3] and match[3][0] in "\"'":
            raise Error(f"the quote in {match[3]} is not closed: put it at the end of the name too")
        words.append(next(part for part in match.groups() if part is not None))
    return words
