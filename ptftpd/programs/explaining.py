"""The question --explain: what a DHCP client would be answered, and why, without sending anything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ptftpd import net, syntax, units
from ptftpd.dhcp import options, pxe, served, wire
from ptftpd.dhcp.explain import Explainer
from ptftpd.dhcp.networks import Networks
from ptftpd.dhcp.plan import plans
from ptftpd.dhcp.pool import Lease
from ptftpd.dhcp.store import Store
from ptftpd.dhcp.wire import Message
from ptftpd.errors import Error
from ptftpd.program import Loaded, Query
from ptftpd.programs import bootfiles
from ptftpd.programs.leases import JSON
from ptftpd.tftp.catalog import Catalog

T = TypeVar("T")


def answer(loaded: Loaded, mac: str, parameters: dict[str, str], *, with_tftp: bool = False) -> str:
    """Return the reply to a DHCPDISCOVER of a client, a line a field; Error for values that cannot be.

    with_tftp: the program serves TFTP too.
    """
    return _explain(loaded, discover(mac, parameters), parameters, with_tftp=with_tftp)


def answer_bootp(loaded: Loaded, mac: str, parameters: dict[str, str]) -> str:
    """Return the reply to a BOOTREQUEST of a client, a line a field; Error for values that cannot be."""
    return _explain(loaded, bootrequest(mac, parameters), parameters)


def _explain(loaded: Loaded, message: Message, parameters: dict[str, str], *, with_tftp: bool = False) -> str:
    settings, now = loaded.settings, time.monotonic()
    link = served.link(loaded.interface, settings)
    leases, lacking = _leases(Store(settings.dhcp.database(net.real_name(link.name))), now)
    networks = Networks(plans(settings, link.name, link.address, link.network, link.addresses), leases)
    with_tftp = with_tftp or units.listening(f"pxed@{link.name}.service")
    explainer = Explainer(settings, link.name, int(link.address), networks, with_tftp=with_tftp)
    told = explainer.explain(message, now, partial(_misfit, loaded))
    if parameters.get("json"):
        told.hints += lacking.splitlines()
        return told.json()
    return lacking + told.text()


def _misfit(loaded: Loaded, architecture: str, boot_file: str) -> str:
    """Return why an architecture cannot start a boot file of this machine; '' when that cannot be told."""
    if loaded.settings.pxe.tftp_server or "://" in boot_file:
        return ""
    try:
        catalog = Catalog(loaded.settings)
    except Error:
        return ""
    try:
        return bootfiles.misfit(catalog, architecture, boot_file)
    finally:
        catalog.close()


def _leases(store: Store, now: float) -> tuple[list[Lease], str]:
    """Return the leases, and what is to be said first when they cannot be read."""
    try:
        return store.peek(now), ""
    except Error as error:
        return [], f"{error}; this is as if nobody had a lease\n"


def discover(mac: str, parameters: dict[str, str]) -> Message:
    """Return the DHCPDISCOVER that a client described by the parameters sends."""
    given = {name: text for name, text in parameters.items() if text}
    said = {options.MESSAGE_TYPE: wire.octets(options.DISCOVER, 1)}
    if "arch" in given:
        said[options.ARCHITECTURE] = wire.octets(_value("arch", _architecture, given["arch"]), 2)
    if "vendor-class" in given:
        vendor_class = _value("vendor-class", syntax.vendor_class, given["vendor-class"])
        said[options.VENDOR_CLASS] = vendor_class.encode("ascii", "surrogateescape")
    if "user-class" in given:
        said[options.USER_CLASS] = os.fsencode(given["user-class"])
    if "client-id" in given:
        said[options.CLIENT_ID] = _value("client-id", syntax.client_id, given["client-id"])
    if "guid" in given:
        said[options.GUID] = b"\0" + pxe.swapped(_value("guid", syntax.guid, given["guid"]))
    for name, number in (("circuit-id", pxe.CIRCUIT_ID), ("remote-id", pxe.REMOTE_ID)):
        if name in given:
            called = _value(name, syntax.identifier, given[name])
            told = wire.octets(number, 1) + wire.octets(len(called), 1) + called
            said[options.RELAY_AGENT] = said.get(options.RELAY_AGENT, b"") + told
    message = bootrequest(mac, given)
    message.options = said
    return message


def bootrequest(mac: str, parameters: dict[str, str]) -> Message:
    """Return the BOOTREQUEST that a client described by the parameters sends."""
    relay = parameters.get("relay", "")
    giaddr = int(_value("relay", syntax.address4, relay)) if relay else 0
    return Message(giaddr=giaddr, chaddr=_value("explain", syntax.mac, mac).ljust(16, b"\0"))


def _value(option: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise Error(f"--{option} {text}: {error}") from None


def _architecture(text: str) -> int:
    """Return a number of option 93, given as number or name."""
    name = pxe.architecture_name(text)
    if name == pxe.IPXE:
        raise ValueError("must be an architecture; for iPXE use --user-class iPXE")
    return int(text) if text.isdigit() else next(n for n, known in pxe.ARCHITECTURES.items() if known == name)


RELAY = ("relay", "ADDRESS", "with --explain: the relay agent that it is behind (giaddr)")
EXPLAIN = Query(
    "explain",
    "MAC",
    "print the reply that the client with this hardware address would get, and which setting or rule put "
    "each field there; nothing is sent",
    answer,
    (
        ("arch", "ARCH", "with --explain: its architecture, by name or number (option 93)"),
        (
            "vendor-class",
            "TEXT",
            "with --explain: its vendor class (option 60); firmware says PXEClient, HTTP Boot HTTPClient",
        ),
        ("user-class", "TEXT", "with --explain: its user class (option 77), such as iPXE"),
        ("client-id", "HEX", "with --explain: its client identifier (option 61)"),
        ("guid", "GUID", "with --explain: its GUID (option 97)"),
        RELAY,
        JSON,
        ("circuit-id", "ID", "with --explain: its switch port, as the relay agent names it (option 82.1)"),
        ("remote-id", "ID", "with --explain: its switch, as that names itself (option 82.2)"),
    ),
)
EXPLAIN_PXED = replace(EXPLAIN, answer=partial(answer, with_tftp=True))
EXPLAIN_BOOTP = Query(EXPLAIN.name, EXPLAIN.metavar, EXPLAIN.help, answer_bootp, (RELAY, JSON))
