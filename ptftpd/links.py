"""Follows the interface that is served: its address, or its cable, comes, goes or changes meanwhile."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Callable

from ptftpd.errors import Error, InterfaceReplacedError
from ptftpd.log import Log
from ptftpd.net import Link, link

RTMGRP_LINK, RTMGRP_IPV4_IFADDR = 0x01, 0x10  # <linux/rtnetlink.h>
SIOCGIFFLAGS, IFF_UP, IFF_RUNNING = 0x8913, 0x1, 0x40  # <linux/sockios.h>, <linux/if.h>


def trouble(name: str) -> str:
    """Return why nobody can reach an interface that may have an address, and what to do; else ''."""
    request = struct.pack("=16sH14x", name.encode()[:15], 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            (flags,) = struct.unpack_from("=H", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)
    except OSError:
        return ""  # there is none such, which is told elsewhere
    if not flags & IFF_UP:
        return f"interface {name} is down: ip link set {name} up"
    if not flags & IFF_RUNNING:
        return f"interface {name} has no carrier: look for its cable, or for what is at the other end of it"
    return ""


class LinkWatch:
    """A descriptor that is readable when addresses change (rtnetlink(7)), and what is to be done then."""

    def __init__(self, name: str, log: Log, reload: Callable[[], None]) -> None:
        """reload() is called when the interface has another address; Error from it is recorded."""
        self._name, self._log, self._reload = name, log, reload
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        self._socket.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR))
        self._first = self._known = self._look()
        self._trouble = ""  # what was told last

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def follow(self, now: float) -> None:
        """Look at the interface again; to be called when the descriptor is readable.

        InterfaceReplacedError when it is another one: only root may bind the sockets to that.
        """
        self._drain()
        found = self._look()
        self._tell(trouble(self._name) if isinstance(found, Link) else "")
        if found == self._known:
            return
        self._known = found
        if isinstance(found, str):
            self._log.warning("", f"{found}; nothing can be served until then")
        elif isinstance(self._first, Link) and found.index != self._first.index:
            raise InterfaceReplacedError(f"interface {self._name} was replaced by a new one of that name")
        else:
            self._change(found)

    def close(self) -> None:
        """Stop watching."""
        self._socket.close()

    def _tell(self, why: str) -> None:
        """Say that nobody can reach the interface, or that they can again, if that has changed."""
        if why:
            if why != self._trouble:
                self._log.warning("", why)
        elif self._trouble:
            self._log.info("", f"interface {self._name} can be reached again")
        self._trouble = why

    def _change(self, found: Link) -> None:
        several = "es" if len(found.addresses) > 1 else ""
        has = f"has the address{several} {', '.join(map(str, found.addresses))} now"
        if not found.addresses:
            has = "has no IPv4 address now"
        try:
            self._reload()
            self._log.info("reloaded", f"interface {self._name} {has}")
        except Error as error:
            if found.addresses:
                self._log.error("reload-failed", f"interface {self._name} {has}: {error}")
            else:  # whoever needs one says so, and how to give it one
                self._log.warning("", f"{error}; nothing can be served until then")

    def _drain(self) -> None:
        """Read what the kernel said: how the interface is now counts, not what happened on the way."""
        try:
            while self._socket.recv(65536):
                pass
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ENOBUFS}:
                raise

    def _look(self) -> Link | str:
        """Return the interface's facts, or the sentence that says why it has none."""
        try:
            return link(self._name, ipv4=False)  # TFTP is served by IPv6 too
        except Error as error:
            return str(error)
