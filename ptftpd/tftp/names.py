"""The names that clients ask for: cleaned, mended, tried in the client's own directories."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ptftpd.errors import FileError

# What old ROMs leave behind a name: octets from 0x80 on (0xFF above all: they read DHCP option 67 as a C
# string), the ':' that one GRUB appends, blanks and control characters. A name in UTF-8 is not touched.
_DIRT = "".join(map(chr, (*range(0x21), ord(":"), 0x7F, 0xFF, *range(0xDC80, 0xDD00))))

# A Raspberry Pi asks for its files in a directory named after its serial number, 8 hex digits, first.
_SERIAL = re.compile(r"[0-9a-f]{8}/(?=.)")

# Forms of one name that are looked up: three quirks and the path of a root in front make 16 of them.
MAX_FORMS = 32

# What a file on its way in is called, in a directory whose file system needs that.
UNFINISHED = ".tftp.{n}.part"
_UNFINISHED = re.compile(r"\.tftp\.[0-9]+\.part", re.IGNORECASE)

# The names that shim has built in for what it loads next, beside itself: GRUB, or MokManager for its keys.
_SECOND_STAGE = re.compile(r"(?P<program>grub|mm)(?P<machine>x64|ia32|aa64|riscv64)\.efi")
# What Debian's packages grub-efi-*-signed and shim-signed call them; this GRUB is the one for the network.
_SIGNED = {"grub": "grubnet", "mm": "mm"}


@dataclass(frozen=True)
class Facts:
    """What is known of a client, for the {placeholders}; '' for what is not."""

    address: str
    mac: str = ""
    cls: str = ""
    host: str = ""

    def fill(self, template: str, *, escape: bool = False) -> str | None:
        """Return the template with its placeholders filled; None when one of them is not known.

        escape: the result is a template of re's, in which a backslash has a meaning.
        """
        known = {"address": self.address, "mac": self.mac, "class": self.cls, "host": self.host}
        missing = False

        def value(match: re.Match[str]) -> str:
            nonlocal missing
            text = known.get(match[1], "")
            missing = missing or not text
            return text.replace("\\", r"\\") if escape else text

        filled = re.sub(r"\{(address|mac|class|host)\}", value, template)
        return None if missing else filled


def relative(name: str) -> str:
    r"""Return the name below a root; FileError when it climbs above it.

    '/name' and 'name' are the same file and '\' is a '/': firmware says either.
    """
    path = posixpath.normpath(name.replace("\\", "/").lstrip("/") or ".")
    if path == ".." or path.startswith("../"):
        raise FileError(FileError.DENIED, "the name leads out of the root directory")
    return path


def unwritable(name: str) -> str:
    """Return why no file may be uploaded under a name, '' if one may.

    A control character can do anything to the terminal of whoever lists the directory; 0x80 to 0x9f are
    such, as Unicode and as octets that are not UTF-8. The server's own names are not for clients.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f\udc80-\udc9f]", name):
        return "the name has control characters"
    if is_unfinished(name):
        return "such names are the server's own"
    return ""


def is_unfinished(name: str) -> bool:
    """Return whether a name is one that an upload has while it is on its way in: it is never served."""
    return bool(_UNFINISHED.fullmatch(posixpath.basename(name)))


def cleaned(name: str) -> str:
    """Return the name without the dirt that known firmware leaves at its end, in time linear in it."""
    return name.rstrip(_DIRT)


def without_serial(name: str) -> str:
    """Return the name without the serial-number directory of a Raspberry Pi, which few sites make."""
    return _SERIAL.sub("", name, count=1) if _SERIAL.match(name) else name


def signed_by_debian(name: str) -> str:
    """Return the name under which Debian has the signed program that shim asks for; others as they are."""
    directory, slash, base = name.replace("\\", "/").rpartition("/")
    asked = _SECOND_STAGE.fullmatch(base)
    if not asked:
        return name
    return f"{directory}{slash}{_SIGNED[asked['program']]}{asked['machine']}.efi.signed"


Quirk = tuple[Callable[[str], str], str]  # what mends a name, and the words for the record of the transfer

# When there is no file of the name asked for, what these make of it is tried, alone and after each other. A
# quirk of further firmware is a function and a line here, and what a later one has to see clean stands first.
QUIRKS: tuple[Quirk, ...] = (
    (cleaned, "garbage behind the name"),
    (without_serial, "no directory for this Raspberry Pi's serial number"),
    (signed_by_debian, "the signed one of Debian's package, which has another name"),
)


def mended(name: str, quirks: Iterable[Quirk] = QUIRKS) -> list[tuple[str, tuple[str, ...]]]:
    """Return (name, its quirks) as it came and for all quirks that it may have at once, the fewest first.

    A machine that leaves dirt behind a name has its other quirks as well: each is tried on what those before
    it have made, in their order. No name is there twice, and of what combinations give MAX_FORMS at most.
    """
    forms: dict[str, tuple[str, ...]] = {name: ()}
    for mend, quirk in quirks:
        for form, used in list(forms.items()):
            result = mend(form)
            if result and len(forms) < MAX_FORMS:
                forms.setdefault(result, (*used, quirk))
    return sorted(forms.items(), key=lambda form: len(form[1]))


def candidates(name: str, directories: Iterable[str], facts: Facts) -> Iterator[str]:
    """Yield the relative names to try for a client, in order: its own directories first."""
    path = relative(name)
    for template in directories:
        directory = facts.fill(template)
        if directory is not None:
            yield posixpath.join(relative(directory), path)
    yield path
