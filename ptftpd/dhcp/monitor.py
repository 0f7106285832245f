"""Finds other DHCP servers on a network: asks for an address as a relay agent would. No I/O, no clock.

    deciding      the first probes are out; nobody is answered yet              tick()
    alone         no other server answered                                      tick()
    accompanied   one answers; alone again after SILENT probes without answer   receive(), tick()

The probe names this server's own address as relay (giaddr), so that others answer to port 67, which this
server has; port 68, where clients are answered, belongs to the machine's own DHCP client. It is that of
a PXE client: another server of this kind answers no other. A proxy's offer has no address and does not count.

Only an answer to a probe changes the state. Each probe has a number of its own (xid), which nobody can guess
who does not see the cable, and an answer names a server that can be one. Anything else that is heard is at
most a reason to probe at once, and that not more often than probes are sent anyway.

Servers that decide by themselves whether to lease addresses say so in their probes while they do, and once as
they begin. Who hears that and is to give way probes at once: the other one leases, and answers. A server
gives way while it is deciding; of two that lease, the one with the higher address does. Both found nobody
then, because they began together or a switch kept them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.wire import Message

DECIDING, ALONE, ACCOMPANIED = "deciding", "alone", "accompanied"
WAIT = 4.0  # seconds for an answer: some servers first ping the address that they are about to offer, for 3 s
AGAIN = 60.0  # seconds between two probes, and between two for which somebody else is the reason
SILENT = 3  # probes without answer after which another server counts as gone
LEASING = b"\x0eptftpd-leasing"  # user class (RFC 3004) of the probes of one that decided to lease addresses
LOOPBACK, MULTICAST = 127, 224  # first octets of addresses that are no server's


class Monitor:
    """Knows whether another DHCP server is there."""

    def __init__(
        self, own: int, hardware: bytes, nonce: Callable[[], int], *, gives_way: bool = False
    ) -> None:
        """own: this server's address. hardware: its Ethernet address. nonce returns random 32-bit numbers.

        gives_way: this server leases addresses only while no other does.
        """
        self._own, self._hardware, self._nonce, self._gives_way = own, hardware, nonce, gives_way
        self.state = DECIDING
        self.other = 0  # the address of the other server, 0 for none
        self.deadline = 0.0
        self._xid = -1  # of the last probe
        self._waiting = False  # whether a probe is out
        self._heard = False  # whether it was answered
        self._silent = 0  # probes in a row that were not
        self._hurried = -inf  # when somebody else was the reason for a probe

    def tick(self, now: float) -> bytes | None:
        """Return the next probe to broadcast to port 67 when it is due."""
        if now < self.deadline:
            return None
        if not self._waiting:
            self._waiting, self._heard = True, False
            self.deadline = now + WAIT
            return self._probe()
        self._waiting = False
        self.deadline = now + AGAIN - WAIT
        self._silent = 0 if self._heard else self._silent + 1
        if self._heard or not (self.state == DECIDING or self._silent >= SILENT):
            return None
        begins = self.state != ALONE
        self.state, self.other = ALONE, 0
        return self._probe() if begins and self._gives_way else None

    def receive(self, message: Message, now: float) -> bool:
        """Return whether a message was the monitor's own business: the probe itself, an answer, a hint.

        deadline may be nearer afterwards.
        """
        if message.xid != self._xid or message.chaddr[:6] != self._hardware:
            return self._gives_way and self._hears_of(message, now)
        server = options.readable_address(message, options.SERVER_ID)
        if message.op == wire.BOOTREPLY and message.yiaddr and self._can_be(server):
            self.other = min(self.other, server) if self._heard else server  # the same of several each time
            self.state, self._heard = ACCOMPANIED, True
        return True

    def _can_be(self, server: int) -> bool:
        """Return whether an address can be that of another server."""
        first = server >> 24
        return server != self._own and 0 < first < MULTICAST and first != LOOPBACK

    def _hears_of(self, message: Message, now: float) -> bool:
        """Return whether a message says that another server leases addresses, to which this one gives way.

        It has to answer a probe to be believed. The other one is answered, and gives way by that, if its
        address is the higher one.
        """
        other = message.giaddr
        if message.op != wire.BOOTREQUEST or message.options.get(options.USER_CLASS) != LEASING or not other:
            return False
        if self.state == ALONE and self._own < other:
            return False
        if self.state != ACCOMPANIED and now - self._hurried >= AGAIN:
            self._hurried = self.deadline = now
            self._waiting = False
        return True

    def _probe(self) -> bytes:
        self._xid = self._nonce()
        leasing = {options.USER_CLASS: LEASING} if self._gives_way and self.state == ALONE else {}
        probe = Message(
            xid=self._xid,
            hops=1,
            giaddr=self._own,
            chaddr=self._hardware.ljust(16, b"\0"),
            options={
                options.MESSAGE_TYPE: wire.octets(options.DISCOVER, 1),
                options.VENDOR_CLASS: b"PXEClient:Arch:00000:UNDI:002001",
                options.ARCHITECTURE: b"\0\0",
                options.PARAMETER_LIST: bytes([options.SUBNET_MASK, options.ROUTER]),
            }
            | leasing,
        )
        return wire.encode(probe)
