"""DHCP options: their numbers, and typed access to those the protocol itself needs (RFC 2132)."""

from __future__ import annotations

from ptftpd.dhcp import wire
from ptftpd.dhcp.wire import Message
from ptftpd.errors import WireError

SUBNET_MASK = 1
ROUTER = 3
NAME_SERVER = 6
BROADCAST_ADDRESS = 28
STATIC_ROUTES = 33
VENDOR = 43  # encapsulated; of PXE where option 60 says so
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
MESSAGE_TYPE = wire.MESSAGE_TYPE
SERVER_ID = 54
PARAMETER_LIST = 55
MESSAGE = 56
MAX_SIZE = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
VENDOR_CLASS = 60
CLIENT_ID = 61
TFTP_SERVER_NAME = 66
BOOT_FILE = 67
USER_CLASS = 77  # RFC 3004; iPXE sends the bare text
RELAY_AGENT = wire.RELAY_AGENT
ARCHITECTURE = 93  # RFC 4578 §2.1
GUID = 97  # RFC 4578 §2.3
SUBNET_SELECTION = 118  # RFC 3011
CLASSLESS_ROUTES = 121  # RFC 3442
TFTP_SERVER_ADDRESS = 150  # RFC 5859
IPXE = 175  # iPXE's own options, encapsulated
PXELINUX_MAGIC = 208  # RFC 5071 §3
CLASSLESS_ROUTES_MS = 249  # the same, as Windows asked for it before it had a number

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
NAMES = {
    DISCOVER: "DHCPDISCOVER",
    OFFER: "DHCPOFFER",
    REQUEST: "DHCPREQUEST",
    DECLINE: "DHCPDECLINE",
    ACK: "DHCPACK",
    NAK: "DHCPNAK",
    RELEASE: "DHCPRELEASE",
    INFORM: "DHCPINFORM",
}


def number(message: Message, code: int, size: int) -> int:
    """Return the number of size octets in an option, 0 when it is absent; WireError for another length.

    One that comes twice and says the same is right.
    """
    value = message.options.get(code)
    if value is None:
        return 0
    if len(value) != size and not (value and value == value[:size] * (len(value) // size)):
        raise WireError(
            f"option {code} must have {size} octets, not {len(value)}", message.offsets.get(code, 0)
        )
    return wire.number(value[:size])


def address(message: Message, code: int) -> int:
    """Return the IPv4 address in an option, 0 when it is absent; WireError for another length."""
    return number(message, code, 4)


def readable_address(message: Message, code: int) -> int:
    """Return the IPv4 address in an option, 0 when it is absent or has another length."""
    try:
        return number(message, code, 4)
    except WireError:
        return 0


def text(value: bytes) -> str:
    """Return option text without the NULs some clients add; octets outside ASCII become surrogates."""
    return value.rstrip(b"\0").decode("ascii", "surrogateescape")
