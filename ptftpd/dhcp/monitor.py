"""Finds other DHCP servers on a network: asks for an address as a relay agent would. No I/O, no clock.

    deciding      the first probes are out; nobody is answered yet              tick()
    alone         no other server answered                                      tick()
    accompanied   one answers; alone again after SILENT probes without answer   receive(), tick()

The probe names this server's own address as relay (giaddr), so that others answer to port 67, which this
server has; port 68, where clients are answered, belongs to the machine's own DHCP client. It is that of
a PXE client: another server of this kind answers no other. A proxy's offer has no address and does not count.

Servers that decide by themselves whether to lease addresses say so in their probes while they do, and once as
they begin. Who is deciding gives way to them. Of two that lease, which both found nobody when they began
together or a switch kept them apart, the one with the higher address gives way.
"""

from __future__ import annotations

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.wire import Message

DECIDING, ALONE, ACCOMPANIED = "deciding", "alone", "accompanied"
WAIT = 4.0  # seconds for an answer: some servers first ping the address that they are about to offer, for 3 s
AGAIN = 60.0  # seconds between two probes
SILENT = 3  # probes without answer after which another server counts as gone
LEASING = b"\x0eptftpd-leasing"  # user class (RFC 3004) of the probes of one that decided to lease addresses


class Monitor:
    """Knows whether another DHCP server is there."""

    def __init__(self, own: int, hardware: bytes, xid: int, *, gives_way: bool = False) -> None:
        """own: this server's address. hardware: its Ethernet address. xid: a random 32-bit number.

        gives_way: this server leases addresses only while no other does.
        """
        self._own, self._hardware, self._xid, self._gives_way = own, hardware, xid, gives_way
        self.state = DECIDING
        self.other = 0  # the address of the other server, 0 for none
        self.deadline = 0.0
        self._waiting = False  # whether a probe is out
        self._heard = False  # whether it was answered
        self._silent = 0  # probes in a row that were not

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

    def receive(self, message: Message) -> bool:
        """Return whether a message was the monitor's own business: the probe itself, or an answer to it."""
        if message.xid != self._xid or message.chaddr[:6] != self._hardware:
            return self._gives_way and self._hears_of(message)
        server = options.address(message, options.SERVER_ID)
        if message.op == wire.BOOTREPLY and message.yiaddr and server and server != self._own:
            self.state, self.other, self._heard = ACCOMPANIED, server, True
        return True

    def _hears_of(self, message: Message) -> bool:
        """Return whether a message says that another server leases addresses, to which this one gives way.

        The other one is answered, and gives way by that, if its address is the higher one.
        """
        other = message.giaddr
        if message.op != wire.BOOTREQUEST or message.options.get(options.USER_CLASS) != LEASING or not other:
            return False
        if self.state == ALONE and self._own < other:
            return False
        self.state, self.other, self._heard = ACCOMPANIED, other, True
        return True

    def _probe(self) -> bytes:
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
