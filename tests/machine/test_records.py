"""Every text that a DHCP client fills is cut in the sentence of a record."""

from __future__ import annotations

import pytest

from ptftpd.dhcp import options
from ptftpd.dhcp.outcome import Outcome
from ptftpd.errors import WireError
from ptftpd.settings import Dhcp
from ptftpd.texts import TEXT
from tests.machine.dhcp_site import MAC, Site, ranges

LONG = bytes(range(32, 127)) * 600
KINDS = (options.DISCOVER, options.REQUEST, options.DECLINE, options.RELEASE, options.INFORM)
ROOM = 200  # characters of a sentence that are the server's


def check(outcome: Outcome) -> None:
    """Fail when something of an outcome is longer than a record is to be."""
    for sentence in (outcome.asked, outcome.done):
        assert len(sentence) <= 2 * TEXT + ROOM, sentence[:100]
    for name, value in outcome.fields.items():
        assert len(str(value)) <= TEXT + ROOM, name


@pytest.mark.parametrize("hardware", [MAC, bytes(6)], ids=["with a MAC", "with an option 61 alone"])
@pytest.mark.parametrize("kind", KINDS)
def test_dhcp(kind: int, hardware: bytes) -> None:
    """Every option once with 57,000 octets, which RFC 3396 lets a client send."""
    site = Site(Dhcp(range=ranges(".10-.12"), answer_all=True))
    for number in range(1, 255):
        if number != options.MESSAGE_TYPE:
            said = {"o61": b"\0me", f"o{number}": LONG, "vendor": b""}
            malformed = ""
            try:
                check(site.say(kind, hardware, **said))
            except WireError as error:
                malformed = str(error)
            assert len(malformed) <= ROOM  # it becomes the example of a drop


@pytest.mark.parametrize("kind", KINDS)
def test_dhcp_with_everything(kind: int) -> None:
    site = Site(Dhcp(range=ranges(".10-.12"), answer_all=True))
    check(site.say(kind, bytes(6), o60=LONG, o61=LONG, o77=LONG, o97=LONG, o12=LONG, o56=LONG, vendor=b""))
