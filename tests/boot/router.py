"""Answers IPv6 router solicitations on an interface: there is no router, no prefix, nothing to wait for.

QEMU's boot ROM, iPXE, configures IPv6 beside IPv4 and waits 13 s for a router before it goes on.
Argument: the interface.
"""

from __future__ import annotations

import socket
import struct
import sys

ETH_P_IPV6 = 0x86DD
ICMPV6 = 58
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134
ROUTER = bytes.fromhex("fe80000000000000 0000000000000001")
ALL_NODES = bytes.fromhex("ff02000000000000 0000000000000001")
ALL_NODES_ETHERNET = bytes.fromhex("333300000001")


def advertisement(ethernet: bytes) -> bytes:
    """Return the frame of a router advertisement with lifetime 0 and no options (RFC 4861 §4.2)."""
    message = struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, 64, 0, 0, 0, 0)
    pseudo_header = ROUTER + ALL_NODES + struct.pack("!II", len(message), ICMPV6)  # RFC 8200 §8.1
    message = message[:2] + checksum(pseudo_header + message) + message[4:]
    packet = struct.pack("!IHBB", 6 << 28, len(message), ICMPV6, 255) + ROUTER + ALL_NODES + message
    return ALL_NODES_ETHERNET + ethernet + struct.pack("!H", ETH_P_IPV6) + packet


def checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071) of an even number of octets."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", total ^ 0xFFFF)


def solicits(frame: bytes) -> bool:
    """Return whether an Ethernet frame of IPv6 without extension headers is a router solicitation."""
    return len(frame) > 54 and frame[20] == ICMPV6 and frame[54] == ROUTER_SOLICITATION


def main(interface: str) -> None:
    """Answer for ever."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IPV6)) as link:
        link.bind((interface, 0))
        answer = advertisement(link.getsockname()[4])
        while True:
            frame, (_, _, kind, *_) = link.recvfrom(2048)
            if kind != socket.PACKET_OUTGOING and solicits(frame):
                link.send(answer)


if __name__ == "__main__":
    main(sys.argv[1])
