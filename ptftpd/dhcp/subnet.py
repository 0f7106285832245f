"""The addresses of one network as they are configured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Subnet:
    """The addresses of one network, and which of them may be leased."""

    network: int
    mask: int
    ranges: tuple[tuple[int, int], ...]  # (first, last), in order, without overlap
    excluded: frozenset[int] = frozenset()  # never leased: network, broadcast, servers
    reserved: dict[bytes, int] = field(default_factory=dict)  # key -> address that is its alone

    def __contains__(self, address: int) -> bool:
        return address & self.mask == self.network

    def is_edge(self, address: int) -> bool:
        """Return whether no host has the address: the network's own and broadcast; a /31 has none such."""
        hosts = ~self.mask & 0xFFFFFFFF
        return hosts > 1 and address & hosts in {0, hosts}

    def is_dynamic(self, address: int) -> bool:
        """Return whether any client may be given the address."""
        return any(first <= address <= last for first, last in self.ranges) and address not in self.excluded

    def dynamic(self) -> Iterator[int]:
        """Yield every address that any client may be given."""
        for first, last in self.ranges:
            yield from (address for address in range(first, last + 1) if address not in self.excluded)

    def size(self) -> int:
        """Return how many addresses can be leased at once, the reserved ones included."""
        in_ranges = sum(last - first + 1 for first, last in self.ranges)
        left_out = sum(any(first <= a <= last for first, last in self.ranges) for a in self.excluded)
        return in_ranges - left_out + sum(not self.is_dynamic(a) for a in self.reserved.values())
