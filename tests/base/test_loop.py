"""The event loop on a clock of its own: nothing here waits."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptftpd import loop as module
from ptftpd.loop import INF, Loop

READABLE = select.EPOLLIN


class World:
    """What a loop sees of the world: a clock, and descriptors that become readable at given times."""

    EPOLLIN, EPOLLEXCLUSIVE = select.EPOLLIN, select.EPOLLEXCLUSIVE

    def __init__(self) -> None:
        self.now = 100.0
        self.registered: dict[int, int] = {}
        self.arrivals: list[tuple[float, list[int]]] = []  # (time, descriptors), the soonest first
        self.timeouts: list[float] = []
        self.look = 0.0  # how long it takes to find nothing
        self.closed = False

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def epoll(self) -> World:
        """Return what stands for the epoll object."""
        return self

    def register(self, fd: int, mask: int) -> None:
        """Look at fd."""
        assert fd not in self.registered
        self.registered[fd] = mask

    def unregister(self, fd: int) -> None:
        """Look at fd no more."""
        del self.registered[fd]

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        """Return the next arrival, or nothing after timeout seconds; without both this would hang."""
        self.timeouts.append(timeout)
        self.now += self.look if timeout == 0 else 0
        when = self.arrivals[0][0] if self.arrivals else INF
        if timeout < 0:
            assert when < INF, "the loop would sleep for ever"
        if timeout >= 0 and self.now + timeout < when:
            self.now += timeout
            return []
        self.now = max(self.now, when)
        return [(fd, READABLE) for fd in self.arrivals.pop(0)[1] if fd in self.registered][:maxevents]

    def close(self) -> None:
        """Note that the loop is done with it."""
        self.closed = True


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the world that loops of this test live in."""
    made = World()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(module, "select", made)
    return made


class Timer:
    """Notes when it is called; what happens then is up to the test."""

    def __init__(self, loop: Loop, deadline: float, then: Callable[[Timer], None] | None = None) -> None:
        self.deadline, self.scheduled = deadline, INF
        self.ticks: list[float] = []
        self._then = then or Timer.rest
        loop.schedule(self)

    def rest(self) -> None:
        """Have nothing to do any more."""
        self.deadline = INF

    def tick(self, now: float) -> None:
        """Note the time."""
        self.ticks.append(now)
        self._then(self)


def run_until(loop: Loop, when: float) -> None:
    """Run a loop up to a time."""

    def stop(timer: Timer) -> None:
        timer.rest()
        loop.stop()

    Timer(loop, when, stop)
    loop.run()


class TestTimers:
    """tick() is called at the deadline, however that moved."""

    def test_on_time(self, world: World) -> None:
        loop = Loop()
        timers = [Timer(loop, 100.0 + delay) for delay in (3, 1, 2, 1, 0)]
        run_until(loop, 110)
        assert [timer.ticks for timer in timers] == [[103.0], [101.0], [102.0], [101.0], [100.0]]

    def test_moved_away(self, world: World) -> None:
        """Costs nothing when it is moved: the entry that comes up early is pushed again."""
        loop = Loop()
        timer = Timer(loop, 101.0)
        timer.deadline = 107.0
        run_until(loop, 110)
        assert timer.ticks == [107.0]

    def test_moved_away_again_and_again(self, world: World) -> None:
        """As every acknowledgement of a transfer does."""
        loop = Loop()
        timer = Timer(loop, 101.0)

        def acknowledge(now: float) -> None:
            timer.deadline = now + 1

        loop.add(5, acknowledge)
        world.arrivals = [(100 + n / 4, [5]) for n in range(20)]
        run_until(loop, 110)
        assert timer.ticks == [105.75]

    def test_moved_nearer(self, world: World) -> None:
        loop = Loop()
        timer = Timer(loop, 109.0)
        timer.deadline = 102.0
        loop.schedule(timer)
        run_until(loop, 110)
        assert timer.ticks == [102.0]

    def test_moved_nearer_and_back(self, world: World) -> None:
        loop = Loop()
        timer = Timer(loop, 109.0)
        timer.deadline = 102.0
        loop.schedule(timer)
        timer.deadline = 109.0
        run_until(loop, 110)
        assert timer.ticks == [109.0]

    def test_given_up(self, world: World) -> None:
        loop = Loop()
        timer = Timer(loop, 101.0)
        timer.deadline = INF
        run_until(loop, 110)
        assert timer.ticks == []

    def test_given_up_and_wanted_again(self, world: World) -> None:
        loop = Loop()
        timer = Timer(loop, 101.0)
        timer.deadline = INF
        run_until(loop, 105)
        timer.deadline = 106.0
        loop.schedule(timer)
        run_until(loop, 110)
        assert timer.ticks == [106.0]

    def test_never(self, world: World) -> None:
        """A deadline of INF is no deadline."""
        loop = Loop()
        timer = Timer(loop, INF)
        run_until(loop, 1e9)
        assert timer.ticks == []

    def test_again_from_the_tick(self, world: World) -> None:
        def again(timer: Timer) -> None:
            timer.deadline += 2

        loop = Loop()
        timer = Timer(loop, 101.0, again)
        run_until(loop, 106)
        assert timer.ticks == [101.0, 103.0, 105.0]

    def test_more_than_a_month_ahead(self, world: World) -> None:
        """epoll_wait(2) takes milliseconds as an int: 24 days."""
        loop = Loop()
        timer = Timer(loop, 100.0 + 4294967294)
        run_until(loop, 100.0 + 4294967300)
        assert timer.ticks == [100.0 + 4294967294]
        assert max(world.timeouts) < 0x7FFFFFFF / 1000

    def test_late(self, world: World) -> None:
        """What was due while a handler took its time is called once, at once."""
        loop = Loop()
        timer = Timer(loop, 101.0)

        def slow(now: float) -> None:
            world.now += 5

        loop.add(5, slow)
        world.arrivals = [(100.5, [5])]
        run_until(loop, 110)
        assert timer.ticks == [105.5]
        assert 0 in world.timeouts

    def test_one_ends_another(self, world: World) -> None:
        loop = Loop()
        other = Timer(loop, 101.0)
        Timer(loop, 100.5, lambda timer: (timer.rest(), other.rest())[0])
        run_until(loop, 110)
        assert other.ticks == []

    @given(st.lists(st.tuples(st.sampled_from(["begin", "nearer", "end"]), st.floats(1, 255)), max_size=300))
    def test_what_ended_leaves_nothing(self, steps: list[tuple[str, float]]) -> None:
        """Whatever deadlines ended timers had, the heap is no larger than what lives calls for."""
        loop, alive = Loop(), []
        for step, (what, after) in enumerate(steps * 3):
            if what == "begin" or not alive:
                alive.append(Timer(loop, loop.now + after))
            elif what == "nearer":
                alive[step % len(alive)].deadline /= 2
                loop.schedule(alive[step % len(alive)])
            else:
                timer = alive.pop(step % len(alive))
                loop.cancel(timer)
                assert timer.deadline == INF
            assert len(loop._heap) <= 2 * len(alive) + module.FEW + 1
        loop.close()

    def test_a_cancelled_timer_is_not_called(self, world: World) -> None:
        """Nor is another one in its place, and it can be used again."""
        loop = Loop()
        timers = [Timer(loop, world.now + 1 + number) for number in range(3 * module.FEW)]
        for timer in timers[::2] + timers[1::4]:
            loop.cancel(timer)
        loop.cancel(timers[0])
        timers[0].deadline = world.now + 5
        loop.schedule(timers[0])
        run_until(loop, world.now + 4 * module.FEW)
        rung = [number for number, timer in enumerate(timers) if timer.ticks]
        assert rung == [0, *range(3, 3 * module.FEW, 4)]

    def test_equal_deadlines_are_called_in_order(self, world: World) -> None:
        """Timers are never compared with each other."""
        loop = Loop()
        called: list[int] = []
        for number in range(50):
            Timer(loop, 101.0, lambda timer, number=number: (timer.rest(), called.append(number))[0])  # type: ignore[misc]
        run_until(loop, 110)
        assert called == list(range(50))

    @given(
        moves=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([INF, 0.0, 0.5, 1.0, 2.5, 7.0, 30.0])))
    )
    def test_any_moves(self, moves: list[tuple[int, float]]) -> None:
        """Of five timers one is set anew each second, by a descriptor's handler; each is called when due."""
        expected: list[list[float]] = [[] for _ in range(5)]
        deadlines = [INF] * 5
        for second, (number, delay) in enumerate(moves, 101):
            for each, deadline in enumerate(deadlines):
                if deadline < second:
                    expected[each].append(deadline)
                    deadlines[each] = INF
            deadlines[number] = second + delay
        for each, deadline in enumerate(deadlines):
            expected[each] += [deadline] if deadline < INF else []
        world = World()
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(module, "time", world)
            monkeypatch.setattr(module, "select", world)
            loop = Loop()
            timers = [Timer(loop, INF) for _ in range(5)]
            left = iter(moves)

            def move(now: float) -> None:
                number, delay = next(left)
                timers[number].deadline = now + delay
                loop.schedule(timers[number])

            loop.add(5, move)
            world.arrivals = [(101.0 + n, [5]) for n in range(len(moves))]
            run_until(loop, 1000)
        assert [timer.ticks for timer in timers] == expected


class TestDescriptors:
    """Handlers are called with the time when their descriptor is readable."""

    def test_the_time_is_the_one_of_the_wakeup(self, world: World) -> None:
        loop = Loop()
        called: list[tuple[int, float]] = []
        loop.add(5, lambda now: called.append((5, now)))
        loop.add(6, lambda now: called.append((6, now)))
        world.arrivals = [(101.0, [5, 6]), (103.0, [6])]
        run_until(loop, 110)
        assert called == [(5, 101.0), (6, 101.0), (6, 103.0)]

    def test_removed_by_another_in_the_same_wakeup(self, world: World) -> None:
        loop = Loop()
        called: list[int] = []

        def first(now: float) -> None:
            called.append(5)
            loop.remove(6)

        loop.add(5, first)
        loop.add(6, lambda now: called.append(6))
        world.arrivals = [(101.0, [5, 6]), (102.0, [5, 6])]
        run_until(loop, 110)
        assert called == [5, 5]
        assert list(world.registered) == [5]

    def test_removed_by_itself(self, world: World) -> None:
        loop = Loop()
        called: list[float] = []

        def once(now: float) -> None:
            called.append(now)
            loop.remove(5)

        loop.add(5, once)
        world.arrivals = [(101.0, [5]), (102.0, [5])]
        run_until(loop, 110)
        assert called == [101.0]

    def test_removed_twice(self, world: World) -> None:
        loop = Loop()
        loop.add(5, lambda now: None)
        loop.remove(5)
        loop.remove(5)
        assert world.registered == {}

    def test_another_handler(self, world: World) -> None:
        """From the next wake-up on."""
        called: list[str] = []
        loop = Loop()
        loop.add(5, lambda now: called.append("old") or loop.replace(5, lambda now: called.append("new")))
        world.arrivals = [(101.0, [5]), (102.0, [5])]
        run_until(loop, 103.0)
        assert called == ["old", "new"]

    def test_added_by_another(self, world: World) -> None:
        loop = Loop()
        called: list[float] = []
        loop.add(5, lambda now: loop.add(7, called.append))
        world.arrivals = [(101.0, [5]), (102.0, [7])]
        run_until(loop, 110)
        assert called == [102.0]

    def test_exclusive(self, world: World) -> None:
        """EPOLLEXCLUSIVE: of several processes only one is woken."""
        loop = Loop()
        loop.add(5, lambda now: None, exclusive=True)
        loop.add(6, lambda now: None)
        assert world.registered[5] & select.EPOLLEXCLUSIVE
        assert not world.registered[6] & select.EPOLLEXCLUSIVE


class TestWakeup:
    """The order of things within a wake-up."""

    def test_order(self, world: World) -> None:
        """Descriptors, then timers, then what was asked for after every wake-up."""
        loop = Loop()
        called: list[str] = []
        loop.every_wakeup(lambda now: called.append(f"after {now:g}"))
        loop.add(5, lambda now: called.append("descriptor"))
        Timer(loop, 101.0, lambda timer: (timer.rest(), called.append("timer"))[0])
        world.arrivals = [(101.0, [5])]
        run_until(loop, 102)
        assert called == ["descriptor", "timer", "after 101", "after 102"]

    def test_stop_ends_with_the_wakeup_at_hand(self, world: World) -> None:
        loop = Loop()
        called: list[int] = []

        def stop(now: float) -> None:
            called.append(5)
            loop.stop()

        loop.add(5, stop)
        loop.add(6, lambda now: called.append(6))
        loop.every_wakeup(lambda now: called.append(0))
        world.arrivals = [(101.0, [5, 6])]
        loop.run()
        assert called == [5, 6, 0]

    def test_run_again(self, world: World) -> None:
        loop = Loop()
        timer = Timer(loop, 105.0)
        run_until(loop, 101)
        run_until(loop, 110)
        assert timer.ticks == [105.0]

    def test_nothing_due_sleeps_for_ever(self, world: World) -> None:
        loop = Loop()
        loop.add(5, lambda now: loop.stop())
        world.arrivals = [(1e6, [5])]
        loop.run()
        assert world.timeouts == [-1]

    def test_close(self, world: World) -> None:
        Loop().close()
        assert world.closed


class TestLooking:
    """Near clients answer sooner than a processor wakes up: then it is not sent to sleep."""

    @pytest.fixture
    def world(self, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
        """Return a world in which a look takes time, with two processors."""
        world.look = module.LOOK / 10
        monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: {0, 1})
        return world

    def answer(self, world: World, loop: Loop, times: int, after: float) -> int:
        """Let a descriptor be readable so often, that many seconds after each handling; return the sleeps."""
        left = times
        world.timeouts.clear()

        def again(now: float) -> None:
            nonlocal left
            left -= 1
            if left:
                world.arrivals.append((now + after, [5]))
            else:
                loop.stop()

        loop.remove(5)
        loop.add(5, again)
        world.arrivals = [(world.now + after, [5])]
        loop.run()
        return sum(timeout != 0 for timeout in world.timeouts)

    def test_after_many_short_waits_it_stays_awake(self, world: World) -> None:
        assert self.answer(world, Loop(), 1000, module.LOOK / 2) == module.SLEEPS

    def test_a_client_that_is_farther_away_is_awaited_asleep(self, world: World) -> None:
        assert self.answer(world, Loop(), 1000, module.LOOK * 2) == 1000

    def test_one_look_in_vain_is_the_last(self, world: World) -> None:
        """What looking costs is bounded: one in so many waits."""
        loop = Loop()
        self.answer(world, loop, 100, module.LOOK / 2)
        assert self.answer(world, loop, 1000, module.LOOK * 2) == 1000
        assert world.timeouts.count(0) < 20

    def test_timers_are_not_kept_waiting(self, world: World) -> None:
        loop = Loop()
        self.answer(world, loop, 100, module.LOOK / 2)
        due = world.now + module.LOOK / 2
        timer = Timer(loop, due)
        run_until(loop, world.now + 1)
        assert timer.ticks[0] - due <= module.LOOK

    def test_the_only_processor_is_left_to_the_client(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: {1})
        assert self.answer(world, Loop(), 1000, module.LOOK / 2) == 1000


@pytest.fixture
def pipe() -> Iterator[SimpleNamespace]:
    """Return a pipe's ends."""
    reader, writer = os.pipe()
    yield SimpleNamespace(reader=reader, writer=writer)
    os.close(reader)
    os.close(writer)


def test_on_the_real_clock_and_epoll(pipe: SimpleNamespace) -> None:
    loop = Loop()
    read: list[bytes] = []

    def take(now: float) -> None:
        read.append(os.read(pipe.reader, 9))
        loop.remove(pipe.reader)

    loop.add(pipe.reader, take, exclusive=True)
    os.write(pipe.writer, b"x")
    early = Timer(loop, loop.now + 0.01)
    run_until(loop, loop.now + 0.02)
    loop.close()
    assert read == [b"x"]
    assert len(early.ticks) == 1
