"""Leases while ranges and reservations change: no two machines ever go by one address."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from ptftpd.dhcp import options, wire
from ptftpd.dhcp.machine import Outcome
from ptftpd.settings import Dhcp, Host
from tests.machine.dhcp_site import OWN, Site, answer, kind, mac, ranges


class AnyReload(RuleBasedStateMachine):
    """Machines take, renew and give back addresses, between reloads of any kind."""

    machines = st.integers(0, 4)

    def __init__(self) -> None:
        """Nobody has an address yet."""
        super().__init__()
        self.site = Site()
        self.promised: dict[int, tuple[int, float]] = {}  # address -> (machine that goes by it, until when)

    @rule(seconds=st.sampled_from([1, 61, 1800, 3601]))
    def time(self, seconds: int) -> None:
        self.site.now += seconds

    @rule(
        first=st.integers(10, 14),
        size=st.integers(1, 4),
        kept=st.dictionaries(st.integers(9, 15), machines),
        refused=st.booleans(),
    )
    def reload(self, first: int, size: int, kept: dict[int, int], refused: bool) -> None:
        """Change the settings; refused: for something that is found once the networks are made."""
        one_each = {machine: number for number, machine in kept.items()}
        hosts = {f"host {m}": Host(mac=mac(m), address=OWN + number) for m, number in one_each.items()}
        dhcp = Dhcp(range=ranges(f".{first}-.{first + size - 1}"))
        site = Site(dhcp, hosts=hosts, leases=self.site.networks.leases())
        if not refused:
            site.now, self.site = self.site.now, site

    @rule(machine=machines)
    def lease(self, machine: int) -> None:
        offers = [self.site.discover(mac(machine)) for _ in range(2)]
        addresses = [answer(offer).yiaddr for offer in offers if offer.data]
        if not addresses:
            return
        assert addresses == addresses[:1] * 2, "RFC 2131 §4.3.1: the same each time"
        outcome = self.site.select(addresses[0], mac(machine))
        assert kind(answer(outcome)) == options.ACK, "what was offered is granted"
        self.acknowledged(machine, outcome)

    @precondition(lambda self: self.promised)
    @rule(data=st.data(), direct=st.booleans())
    def renew(self, data: st.DataObject, direct: bool) -> None:
        address, machine = self.one_of_them(data)
        outcome = self.site.renew(address, mac(machine), direct=direct)
        if outcome.data and kind(answer(outcome)) == options.ACK:
            self.acknowledged(machine, outcome)
        elif outcome.data:
            del self.promised[address]

    @precondition(lambda self: self.promised)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        address, machine = self.one_of_them(data)
        del self.promised[address]
        said = {"ciaddr": address, "o54": wire.addresses(int(OWN))}
        self.site.say(options.RELEASE, mac(machine), direct=True, **said)

    def teardown(self) -> None:
        """Once every lease has run out, each address of the range is there for somebody new."""
        pool, later = self.site.pool, self.site.now + 3600
        free = set(pool.subnet.dynamic()) - set(pool.subnet.reserved.values())
        offers = (pool.offer(b"\1" + mac(100 + number), 0, later) for number in range(9))
        assert {offer.address for offer in offers if offer} == free

    def one_of_them(self, data: st.DataObject) -> tuple[int, int]:
        """Return an address and who goes by it."""
        address = data.draw(st.sampled_from(sorted(self.promised)))
        return address, self.promised[address][0]

    def acknowledged(self, machine: int, outcome: Outcome) -> None:
        """See that nobody else goes by the address; the machine leaves any other one."""
        address = answer(outcome).yiaddr
        holder, until = self.promised.get(address, (machine, 0.0))
        assert holder == machine or until <= self.site.now, f"{wire.dotted(address)} has two machines"
        self.promised = {ours: who for ours, who in self.promised.items() if who[0] != machine}
        self.promised[address] = machine, self.site.now + 3600


TestAnyReload = AnyReload.TestCase
