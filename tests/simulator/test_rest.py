"""A call's thread that stands still, and what ends it."""

from __future__ import annotations

import asyncio

from simulator.clock import Clock
from simulator.rest import Rest

# So slow that no frame and no time ends by itself while a test runs.
SLOW = Clock(0.000001)


async def resting(work: asyncio.Task[object]) -> bool:
    """Whether it still is, once everything that is ready has run."""
    for _ in range(3):
        await asyncio.sleep(0)
    return not work.done()


async def test_what_happens_is_seen_at_the_end_of_the_frame_and_a_hang_up_at_once() -> None:
    rest = Rest(SLOW)
    work: asyncio.Task[object] = asyncio.ensure_future(rest.frames(None))
    assert await resting(work)
    rest.wake()
    assert await resting(work)
    rest.wake(at_once=True)
    assert not await resting(work)
    assert work.result() is None


async def test_time_that_has_gone_by_leaves_nothing_and_a_wake_up_leaves_the_rest() -> None:
    assert await Rest(Clock(1000)).frames(1.0) == 0.0
    rest = Rest(SLOW)
    work: asyncio.Task[object] = asyncio.ensure_future(rest.frames(1.0))
    assert await resting(work)
    rest.wake(at_once=True)
    await resting(work)
    left_s = work.result()
    assert isinstance(left_s, float)
    assert 0.9 < left_s <= 1.0


async def test_the_frames_end_comes_by_itself_once_something_has_happened() -> None:
    rest = Rest(Clock(10))
    work: asyncio.Task[object] = asyncio.ensure_future(rest.frames(None))
    assert await resting(work)
    rest.wake()
    await asyncio.wait_for(work, 20)


async def test_where_no_media_runs_a_wake_up_counts_at_once_and_none_before_the_rest_does() -> None:
    rest = Rest(SLOW)
    rest.wake()
    work: asyncio.Task[object] = asyncio.ensure_future(rest.until_woken())
    assert await resting(work)
    rest.wake()
    assert not await resting(work)
    assert work.result() is True
    assert await Rest(Clock(1000)).until_woken(1.0) is False
