"""A call's alarm rings at the moment that was set last, and leaves the loop's timer alone when that lies later."""

from __future__ import annotations

import asyncio

import pytest

from esl_bridge.alarm import Alarm


class Clock:
    def __init__(self) -> None:
        self.at = 100.0
        self.rung: list[float] = []

    def now(self) -> float:
        return self.at

    def ring(self) -> None:
        self.rung.append(self.at)


async def test_it_rings_at_the_moment_that_was_set_last_and_once() -> None:
    clock = Clock()
    alarm = Alarm(clock.now, clock.ring)
    alarm.set(130.0)
    alarm.set(160.0)
    clock.at = 130.0
    alarm._fired()
    assert clock.rung == []
    clock.at = 160.0
    alarm._fired()
    alarm._fired()
    assert clock.rung == [160.0]
    alarm.cancel()


@pytest.mark.parametrize(("now", "then"), [(100.0, 100.0), (170.0, 160.0)], ids=["an earlier one", "one that has passed"])
async def test_a_moment_that_is_nearer_by_our_clock_is_not_waited_for_by_the_loops(now: float, then: float) -> None:
    """After a stall, or where the two clocks go apart, the timer that runs would fire a minute late."""
    clock = Clock()
    alarm = Alarm(clock.now, clock.ring)
    rung = asyncio.Event()
    alarm._ring = rung.set
    alarm.set(160.0)
    clock.at = now
    alarm.set(then)
    async with asyncio.timeout(5):
        await rung.wait()


async def test_a_later_moment_leaves_the_timer_that_runs() -> None:
    clock = Clock()
    alarm = Alarm(clock.now, clock.ring)
    alarm.set(130.0)
    first = alarm._handle
    alarm.set(160.0)
    assert alarm._handle is first
    alarm.cancel()


async def test_no_moment_is_no_ring() -> None:
    clock = Clock()
    alarm = Alarm(clock.now, clock.ring)
    alarm.set(130.0)
    alarm.set(None)
    clock.at = 130.0
    alarm._fired()
    assert clock.rung == []
