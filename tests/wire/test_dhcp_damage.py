"""One broken detail does not condemn a message: each option in each kind of damage.

What stands before the damage counts, and so does what else can be told; the message is dropped only when the
damage is in what the answer hangs on: what it is (53), where the rest stands (52), and whose it is (82).
"""

from __future__ import annotations

import pytest

from ptftpd.dhcp import options, wire
from ptftpd.errors import WireError
from ptftpd.settings import Dhcp
from tests.machine.dhcp_site import MAC, Site, answer, ip, kind, ranges

VITAL = {options.MESSAGE_TYPE, wire.OVERLOAD, wire.RELAY_AGENT}
CODES = [code for code in range(1, 255) if code not in VITAL]
HEAD = (bytes([1, 1, 6, 0]) + b"\0\0\0\1").ljust(28, b"\0") + MAC.ljust(208, b"\0") + wire.COOKIE
DISCOVER, EFI = bytes([53, 1, 1]), bytes([60, 9]) + b"PXEClient"

# What a client sends, and what is asked of it: (name, options before END, where the broken one stands)
DAMAGES = {
    "its length is missing, at the end": lambda code: DISCOVER + EFI + bytes([code]),
    "cut off": lambda code: DISCOVER + EFI + bytes([code, 32]) + b"abc",
    "too long, and padded": lambda code: (DISCOVER + EFI + bytes([code, 200]) + b"abc").ljust(60, b"\0"),
    "empty": lambda code: bytes([code, 0]) + DISCOVER + EFI,
    "of one octet": lambda code: bytes([code, 1, 7]) + DISCOVER + EFI,
    "twice": lambda code: bytes([code, 4, 10, 0, 0, 11]) * 2 + DISCOVER + EFI,
    "twice, and not the same": lambda code: DISCOVER + bytes([code, 4, 10, 0, 0, 11, code, 1, 7]) + EFI,
    "as long as can be": lambda code: bytes([code, 255]) + b"\xc8" * 255 + DISCOVER + EFI,
    "longer than one can be": lambda code: (bytes([code, 255]) + b"\xc8" * 255) * 3 + DISCOVER + EFI,
    "before all others": lambda code: bytes([code, 4, 10, 0, 0, 11]) + EFI + DISCOVER,
}


def offered(octets: bytes) -> int:
    """Return the type of the reply to a datagram, 0 for none."""
    site = Site(Dhcp(range=ranges(".10-.12"), answer_all=True))
    outcome = site.machine.receive(wire.decode(HEAD + octets), site.now, direct=False)
    return kind(answer(outcome)) if outcome.data else 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_option(damage: str) -> None:
    """A DISCOVER is answered whatever is wrong with any option but those three."""
    silent = []
    for code in CODES:
        octets = DAMAGES[damage](code) + (b"" if "off" in damage or "end" in damage else b"\xff")
        try:
            if offered(octets) != options.OFFER:
                silent.append((code, "not answered"))
        except WireError as error:
            silent.append((code, str(error)))
    # Another network is what 118 asks for when it has a network in it (RFC 3011): that is no damage.
    assert [each for each in silent if each[0] != options.SUBNET_SELECTION] == []


@pytest.mark.parametrize("code", sorted(VITAL))
@pytest.mark.parametrize("damage", [[], [32, 1], [200, 1, 0]], ids=["no length", "cut off", "too long"])
def test_what_the_answer_hangs_on(code: int, damage: list[int]) -> None:
    with pytest.raises(WireError, match=f"option {code}"):
        offered(DISCOVER + EFI + bytes([code, *damage]))


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (bytes([53, 0]), "option 53 must have 1 octets, not 0"),
        (bytes([53, 2, 1, 3]), "option 53 must have 1 octets, not 2"),
        (bytes([52, 0]) + DISCOVER, r"option 52 \(overload\) must be 1, 2 or 3"),
        (bytes([12, 9, 1]), "option 12: 8 octets past the end"),  # perhaps option 53 stood in there
    ],
)
def test_what_the_answer_hangs_on_is_there_but_says_nothing(octets: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        offered(EFI + octets)


def test_the_same_message_type_twice() -> None:
    assert offered(DISCOVER + EFI + DISCOVER) == options.OFFER


def test_damage_in_one_field_leaves_the_others() -> None:
    """Option 52 says that file holds options; those in it count though the last of the others is cut off."""
    octets = bytearray(HEAD + EFI + bytes([52, 1, 1, 12, 9]) + b"abc")
    octets[108:112] = DISCOVER + b"\xff"
    assert wire.decode(bytes(octets)).options == {53: b"\1", 60: b"PXEClient"}


def test_which_server_a_request_takes_is_vital_to_it() -> None:
    """With option 54 unreadable it might be another server's; in a DISCOVER the option means nothing."""
    with pytest.raises(WireError, match="option 54 must have 4 octets, not 3"):
        offered(bytes([53, 1, 3, 50, 4, 10, 0, 0, 10, 54, 3, 10, 0, 0]) + EFI)
    assert offered(DISCOVER + EFI + bytes([54, 3, 10, 0, 0])) == options.OFFER


def test_an_address_that_is_unreadable_is_not_asked_for() -> None:
    site = Site()
    offer = answer(site.discover(o50=b"\x0a\0\0"))
    assert offer.yiaddr == ip(".10")
    assert site.say(options.REQUEST, o50=b"\x0a\0\0").ignored == "DHCPREQUEST for no address"
