"""Who has which address: the ranges to lease from, and the leases and offers made from them.

An address is fresh (no record), nobody's, held by an offer, leased, expired, or in quarantine. It is free
when neither its lease nor an offer of it runs any more; the record stays, so that its client gets it back,
until another client needs it. Fresh addresses go first, then those that have been free for longest.

What proves nothing takes nothing: when no address is free, a newcomer is given the least proven one.
That is the oldest offer, as a DISCOVER does not even prove that whoever it names is there, but not one of the
last 2 s, in which its client may answer; then the oldest lease granted on its client's word, when no record
said that it had the address. A lease that followed an offer, or was renewed in its own time, is never taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush, nsmallest
from itertools import islice
from math import inf

from ptftpd.dhcp.subnet import Subnet

OFFER_TIME = 60.0  # seconds an offer is kept: firmware waits up to 16 s for others, then may start over
FIRM = 2.0  # seconds in which an offer gives way to nobody: firmware compares offers before it takes one
SHORTEST_QUARANTINE = (
    60.0  # seconds, though no address is left: whoever declined one would get it back at once
)
MAX_QUARANTINE = 86400.0  # seconds: what a machine that is in the way for good costs, once a day
FOREVER = 4_294_967_295.0  # seconds; DHCP's infinity (RFC 2131 §3.3), 136 years: a BOOTP client's
MAX_LEASES = 1 << 17  # records, about 500 octets each; more than a full /15, far above any broadcast domain


@dataclass(slots=True)
class Lease:
    """The record of one address; times in monotonic seconds."""

    address: int
    key: bytes = b""  # whose; b'' for nobody's
    expires: float = -inf  # when its lease, or its quarantine, ends
    seconds: float = 0.0  # how long that lasts from the last commit on: bounds it after a restart
    hardware: bytes = b""  # hardware type and address, if key is something else or not
    client_id: bytes = b""
    architecture: str = ""  # what the client said it is: its later programs do not say
    held: float = -inf  # until when it is kept for the client that was offered it; never stored
    promised: float = -inf  # when it would have ended without the RELEASE, which may be forged; never stored
    on_word: bool = False  # leased on its client's word alone; never stored, a restart believes what is
    conflicts: int = 0  # how often in a row another machine was found to use it

    @property
    def is_for_ever(self) -> bool:
        """Whether a BOOTP client has it, which cannot give it back (RFC 951)."""
        return self.seconds >= FOREVER and bool(self.key)

    def is_quarantined(self, now: float) -> bool:
        """Whether it is kept from everyone because another machine uses it."""
        return not self.key and self.expires > now

    @property
    def free_at(self) -> float:
        """When it may be given to another client."""
        return max(self.expires, self.held)


class Pool:
    """The leases of one subnet. Bounded: by MAX_LEASES and the reservations.

    The pool that a reload makes has the same Lease objects, and may be thrown away again: what belongs to one
    pool, such as its queue, is in no Lease.
    """

    def __init__(self, subnet: Subnet, leases: Iterable[Lease] = ()) -> None:
        """leases are those known already; what the subnet has no place for is left out.

        That of an address which is kept for another client by now stays until it ends.
        """
        self.subnet = subnet
        self._by_address: dict[int, Lease] = {}
        self._by_key: dict[bytes, Lease] = {}
        self._queue: list[tuple[float, int]] = []  # (free_at, address), lazily: some come up early
        self._queued: dict[int, float] = {}  # address -> the time of its entry in the queue that counts
        self._kept = frozenset(subnet.reserved.values())
        self._untouched = subnet.dynamic()
        self._fresh: deque[int] = deque()  # those of them looked at already
        # Address -> when it was offered first, in this order; some are leased since. Who asks again is not
        # given more time: whoever did so each second would keep all of them.
        self._offered: dict[int, float] = {}
        for lease in sorted(leases, key=lambda lease: lease.expires):
            if subnet.is_dynamic(lease.address) or lease.address in self._kept:
                self._by_address[lease.address] = lease
                if lease.key:
                    self._by_key[lease.key] = lease  # of two leases of one client, the later
                self._enqueue(lease)
        self._quarantined = {each.address: None for each in self._by_address.values() if not each.key}
        held = (each for each in self._by_address.values() if each.held > -inf and each.expires == -inf)
        by_age = sorted(held, key=lambda lease: lease.held)
        self._offered |= {lease.address: lease.held - OFFER_TIME for lease in by_age}
        self._kept_on: dict[int, None] = {}  # addresses that their last clients still use, as was seen
        # Leases granted on their clients' word, the oldest first; some have been proven, or ended, since.
        self._on_word = {lease.address: None for lease in self._by_address.values() if lease.on_word}

    def find(self, key: bytes) -> Lease | None:
        """Return the record of a client's address: held, leased or expired."""
        return self._by_key.get(key)

    def holder(self, address: int) -> Lease | None:
        """Return the record of an address, None for a fresh one."""
        return self._by_address.get(address)

    def leases(self) -> Iterable[Lease]:
        """Return every record."""
        return self._by_address.values()

    def leased(self, now: float) -> int:
        """Return how many addresses clients have at this moment."""
        return sum(1 for lease in self._by_address.values() if lease.key and lease.expires > now)

    def suits(self, key: bytes, address: int, now: float) -> bool:
        """Return whether a client may have an address.

        That is its reservation if that is free; else what it has or was offered; without either a free one.
        """
        kept, own = self.subnet.reserved.get(key), self._by_key.get(key)
        if kept is not None and kept != address and self._available(key, kept, now):
            return False
        record = self._by_address.get(address)
        has_another = own is not None and own.expires > now and address != kept
        if has_another and (record is None or record.key != key):
            return False
        return self._available(key, address, now)

    def offer(self, key: bytes, wanted: int, now: float) -> Lease | None:
        """Hold an address for a client, the same each time, and return its record; None when none is free.

        Preference: its reservation, its lease or past lease, the address it asks for, any (RFC 2131 §4.3.1).
        """
        address = self._choose(key, wanted, now)
        if address is None:
            return None
        lease = self._claim(key, address)
        if address not in self._offered or lease.held <= now:
            self._offered.pop(address, None)
            self._offered[address] = now
        lease.held = now + OFFER_TIME
        self._enqueue(lease)
        return lease

    def grant(self, key: bytes, address: int, seconds: float, now: float) -> tuple[Lease, ...]:
        """Lease an address that suits(); return the records to store, the client's own one last.

        A lease that was promised for longer keeps its end: who forges a renewal shortens nobody's.
        """
        on_word = not self._is_proven(key, address, now)
        lease = self._claim(key, address)
        lease.on_word = on_word
        if on_word:
            self._on_word.setdefault(address)
        else:
            self._on_word.pop(address, None)
        before = self._by_key[key]
        if lease.expires > now:
            lease.conflicts = 0  # its client has had it, and goes on with it
        if not lease.is_for_ever:  # what a BOOTP client has, its DHCP client does not shorten
            promised = lease.expires
            lease.expires, lease.seconds = now + seconds, seconds
            if promised > lease.expires:
                lease.expires, lease.seconds = promised, promised - now
        lease.held = -inf
        self._offered.pop(address, None)
        self._enqueue(lease)
        if before is lease:
            return (lease,)
        self._by_key[key] = lease
        before.key, before.expires, before.held, before.on_word = b"", -inf, -inf, False
        self._enqueue(before)
        return before, lease

    def withdraw(self, key: bytes) -> None:
        """Forget what was offered to a client: it took another server's offer."""
        lease = self._by_key.get(key)
        if lease is not None:
            lease.held = -inf
            self._enqueue(lease)

    def release(self, lease: Lease, now: float, hold: float = 0.0) -> None:
        """End a lease; its client gets the address back, and nobody else for so many seconds."""
        if not lease.is_for_ever:
            if lease.expires > now:
                lease.promised = lease.expires
            lease.expires = min(lease.expires, now)
            lease.held = lease.expires + hold
            self._offered.pop(lease.address, None)
            self._enqueue(lease)

    def keep(self, lease: Lease, until: float) -> None:
        """Keep an address for its last client, which still uses it, until nothing else is free.

        Not before the end of the lease that was promised to it, though, if it was released.
        """
        self._kept_on.setdefault(lease.address)
        lease.held = max(lease.held, until)
        self._offered.pop(lease.address, None)
        self._enqueue(lease)

    def kept(self, now: float) -> list[int]:
        """Return the addresses that are kept for their last clients."""
        by = self._by_address
        self._kept_on = {each: None for each in self._kept_on if by[each].held > now >= by[each].expires}
        return list(self._kept_on)

    def quarantine(self, address: int, seconds: float, now: float) -> Lease:
        """Keep an address from everyone: another machine uses it. Each time in a row for twice as long."""
        lease = self._by_address.get(address) or self._by_address.setdefault(address, Lease(address))
        seconds = min(seconds * 2**lease.conflicts, max(seconds, MAX_QUARANTINE))
        lease.conflicts = min(lease.conflicts + 1, 16)
        self._forget_client(lease)
        lease.expires, lease.seconds, lease.held = now + seconds, seconds, -inf
        self._quarantined[address] = None
        self._enqueue(lease)
        return lease

    def quarantined(self, now: float) -> list[int]:
        """Return the addresses in quarantine."""
        by = self._by_address
        self._quarantined = {each: None for each in self._quarantined if by[each].is_quarantined(now)}
        return list(self._quarantined)

    def reclaim(self, now: float) -> bool:
        """End the oldest quarantine, where none can be looked at, unless it began just now; return whether.

        A client finds out itself whether the address is still in use, and declines it again.
        """
        for address in self.quarantined(now):
            lease = self._by_address[address]
            if now - (lease.expires - lease.seconds) >= SHORTEST_QUARANTINE:
                self.lift(lease)
                return True
        return False

    def lift(self, lease: Lease) -> None:
        """End a quarantine: nobody uses the address, or there was nothing to tell it by."""
        lease.expires = lease.held = -inf
        self._enqueue(lease)

    def is_firm(self, now: float) -> bool:
        """Return whether newcomers are to wait for offers of the last 2 s to be taken, or to give way."""
        return now - next(iter(self._offered.values()), -inf) < FIRM

    def upcoming(self, count: int, now: float) -> list[int]:
        """Return the addresses that the next new clients would get, at most so many."""
        fresh = self._next_fresh(count)
        if len(fresh) == count:
            return fresh
        queued = (self._by_address[address] for address, when in self._queued.items() if when <= now)
        ready = (lease for lease in queued if lease.free_at <= now)
        oldest = nsmallest(count - len(fresh), ready, key=lambda lease: (lease.free_at, lease.address))
        return fresh + [lease.address for lease in oldest]

    def _available(self, key: bytes, address: int, now: float) -> bool:
        own = self.subnet.reserved.get(key) == address
        if not own and (address in self._kept or not self.subnet.is_dynamic(address)):
            return False
        lease = self._by_address.get(address)
        if lease is None:
            return own or len(self._by_address) < MAX_LEASES
        return lease.free_at <= now or (lease.key == key and key != b"")

    def _choose(self, key: bytes, wanted: int, now: float) -> int | None:
        own = self._by_key.get(key)
        for address in (self.subnet.reserved.get(key), own and own.address, self._instead(key, now), wanted):
            if address and self._available(key, address, now):
                return address
        for find in (self._next_free, self._oldest_offer, self._oldest_on_word, self._oldest_kept):
            if (address := find(now)) is not None:
                return address
        return None

    def _instead(self, key: bytes, now: float) -> int:
        """Return what a client is offered whose address is kept for another by now; 0 for nothing."""
        own = self._by_key.get(key)
        if own is None or own.address not in self._kept or own.address == self.subnet.reserved.get(key):
            return 0
        offers = (each.address for each in self.leases() if each.key == key and each.held > now)
        return next((address for address in offers if self._available(key, address, now)), 0)

    def _next_free(self, now: float) -> int | None:
        """Return a fresh address, else the one that has been free for longest, else None."""
        if fresh := self._next_fresh(1):
            return fresh[0]
        queue = self._queue
        while queue and queue[0][0] <= now:
            when, address = heappop(queue)
            lease = self._by_address[address]
            if when != self._queued.get(address):
                continue  # an earlier entry of the same address took its place
            del self._queued[address]
            if lease.free_at == when:
                return address
            self._enqueue(lease)  # renewed since: back to where it belongs
        return None

    def _oldest_offer(self, now: float) -> int | None:
        """Return the address of the oldest offer that was not taken; not of one of the last 2 s."""
        offered = self._offered
        while offered:
            address, since = next(iter(offered.items()))
            lease = self._by_address[address]
            gives_way = lease.held > now >= lease.expires and address not in self._kept
            if gives_way and now - since < FIRM:
                return None
            del offered[address]
            if gives_way:
                return address
        return None

    def _oldest_on_word(self, now: float) -> int | None:
        """Return the address of the oldest lease that was granted on its client's word, None for none."""
        while self._on_word:
            address = next(iter(self._on_word))
            del self._on_word[address]
            lease = self._by_address[address]
            if lease.on_word and lease.expires > now and address not in self._kept:
                return address
        return None

    def _oldest_kept(self, now: float) -> int | None:
        """Return the address that has been kept for longest for its last client, None for none."""
        for address in self.kept(now) if self._kept_on else ():
            promised = self._by_address[address].promised
            if promised <= now and address not in self._kept and address not in self._offered:
                del self._kept_on[address]
                return address
        return None

    def _is_proven(self, key: bytes, address: int, now: float) -> bool:
        """Return whether anything but its own word says that a client may have an address.

        That is a reservation, an offer of it, or a lease before; where that was granted on its word too, an
        offer since, or that it goes on with the lease when half of it is over, as clients do.
        """
        if self.subnet.reserved.get(key) == address:
            return True
        lease = self._by_address.get(address)
        if lease is None or lease.key != key:
            return False
        return not lease.on_word or lease.held > now or now >= lease.expires - lease.seconds / 2

    def _next_fresh(self, count: int) -> list[int]:
        """Return addresses without a record that any client may be given, at most so many."""
        fresh = self._fresh
        while fresh and fresh[0] in self._by_address:
            fresh.popleft()
        while len(fresh) < count and (address := next(self._untouched, None)) is not None:
            if address not in self._kept and address not in self._by_address:
                fresh.append(address)
        room = max(0, min(count, MAX_LEASES - len(self._by_address)))  # reservations do not count
        return [address for address in islice(fresh, room) if address not in self._by_address]

    def _claim(self, key: bytes, address: int) -> Lease:
        """Return the record of an address, made this client's; nothing else of the client changes."""
        lease = self._by_address.get(address)
        if lease is None:
            lease = self._by_address[address] = Lease(address)
        if lease.key != key:
            self._forget_client(lease)
            lease.key, lease.expires, lease.seconds = key, -inf, 0.0
        self._by_key.setdefault(key, lease)
        return lease

    def _forget_client(self, lease: Lease) -> None:
        """Leave nothing in a record by which whoever has the address next is taken for who had it."""
        if self._by_key.get(lease.key) is lease:
            del self._by_key[lease.key]
        lease.key, lease.hardware, lease.client_id, lease.architecture = b"", b"", b"", ""
        lease.on_word, lease.promised = False, -inf

    def _enqueue(self, lease: Lease) -> None:
        """See to it that the address comes up when it is free; an entry that is early enough stays.

        Entries of one address only ever get earlier until one is popped, and that is by RELEASE or
        quarantine alone, so that there are few of them.
        """
        if lease.free_at < self._queued.get(lease.address, inf) and lease.address not in self._kept:
            self._queued[lease.address] = lease.free_at
            heappush(self._queue, (lease.free_at, lease.address))
