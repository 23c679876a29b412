"""Places at an engine, by a clock that jumps."""

from __future__ import annotations

import asyncio

import pytest

from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.limits import MAX_BACK_OFF_S, BusyEngineError, EngineLimit, Limits
from tests.ai_engine.virtual_clock import run


def now() -> float:
    return asyncio.get_running_loop().time()


async def ask(limit: EngineLimit, log: list[tuple[int, float]], number: int, *, hold_s: float = 0, within_s: float = 99) -> None:
    async with limit.place(within_s):
        log.append((number, round(now(), 3)))
        await asyncio.sleep(hold_s)


async def many(limit: EngineLimit, count: int, **more: float) -> list[tuple[int, float]]:
    """In the order in which they got their places, and when."""
    log: list[tuple[int, float]] = []
    await asyncio.gather(*(ask(limit, log, number, **more) for number in range(count)))
    return log


def test_no_limits_no_waiting() -> None:
    assert run(many(EngineLimit(), 500, hold_s=1.0)) == [(n, 0) for n in range(500)]


def test_never_more_at_once_than_the_concurrency_and_in_order() -> None:
    log = run(many(EngineLimit(concurrency=3), 9, hold_s=1.0))
    assert log == [(n, n // 3) for n in range(9)]


def test_a_burst_of_one_seconds_worth_then_the_rate_in_order() -> None:
    log = run(many(EngineLimit(per_second=10), 40))
    assert [number for number, _ in log] == list(range(40))
    assert [at for _, at in log[:10]] == [0] * 10
    assert [at for _, at in log[10:]] == pytest.approx([n / 10 for n in range(1, 31)], abs=0.01)


def test_less_than_one_a_second() -> None:
    assert [at for _, at in run(many(EngineLimit(per_second=0.5), 3))] == pytest.approx([0, 2, 4], abs=0.01)


def test_a_wait_is_bounded_and_leaves_nothing_behind() -> None:
    async def scene() -> None:
        limit = EngineLimit(concurrency=1, per_second=1)
        async with limit.place(1):
            for _ in range(20):
                with pytest.raises(BusyEngineError):
                    async with limit.place(0.3):
                        raise AssertionError("there was a place")
        assert now() == pytest.approx(6, abs=0.01)
        async with limit.place(0):
            pass

    run(scene())


def test_a_free_place_is_given_with_no_time_to_wait_for_one() -> None:
    async def scene() -> float:
        async with EngineLimit(concurrency=1, per_second=1).place(-1):
            return now()

    assert run(scene()) < 0.001


def test_cancelled_waiters_take_no_place_and_hold_up_nobody() -> None:
    async def scene() -> list[tuple[int, float]]:
        limit, log = EngineLimit(concurrency=2, per_second=4), list[tuple[int, float]]()
        tasks = [asyncio.create_task(ask(limit, log, number, hold_s=0.5)) for number in range(30)]
        await asyncio.sleep(0.1)
        for task in tasks[2:26]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(one, asyncio.CancelledError) for one in done) == 24
        return log

    assert run(scene()) == [(0, 0), (1, 0), (26, 0.5), (27, 0.5), (28, 1.0), (29, 1.0)]


def test_a_place_is_not_lost_to_one_who_goes_in_the_moment_it_is_given() -> None:
    async def scene() -> None:
        limit, log = EngineLimit(concurrency=1), list[tuple[int, float]]()
        first = asyncio.create_task(ask(limit, log, 1, hold_s=1.0))
        second = asyncio.create_task(ask(limit, log, 2))
        await first
        second.cancel()  # Its place is given, but it has not run since.
        with pytest.raises(asyncio.CancelledError):
            await second
        async with limit.place(0):
            pass

    run(scene())


def test_nobody_asks_before_the_time_that_the_engine_named_has_passed() -> None:
    async def scene() -> None:
        limit, log = EngineLimit(concurrency=1), list[tuple[int, float]]()

        async def refused() -> None:
            async with limit.place(0):
                await asyncio.sleep(0.1)
                limit.back_off(2.0)
                limit.back_off(1.0)  # An earlier answer that came later shortens nothing.

        asked = [asyncio.create_task(refused()), *(asyncio.create_task(ask(limit, log, n)) for n in (1, 2))]
        impatient = asyncio.create_task(ask(limit, log, 3, within_s=1.0))
        await asyncio.gather(*asked)
        assert log == [(1, 2.1), (2, 2.1)]
        with pytest.raises(BusyEngineError):
            await impatient
        limit.back_off(5.0)
        asked_at = now()
        with pytest.raises(BusyEngineError):
            await ask(limit, log, 4, within_s=4.0)
        assert now() - asked_at < 0.001, "it is known at once that it will not do"

    run(scene())


def test_an_engine_that_says_a_day_is_asked_again_in_ten_minutes() -> None:
    async def scene() -> float:
        limit = EngineLimit()
        limit.back_off(86_400)
        return limit.peace_s()

    assert run(scene()) == pytest.approx(MAX_BACK_OFF_S)


async def test_an_engine_keeps_its_limit_until_its_configuration_changes() -> None:
    limits = Limits()
    one = EngineConfig("one", Stage.NLU, EngineKind.OPENAI, "http://x", concurrency=2)
    same = EngineConfig("one", Stage.NLU, EngineKind.OPENAI, "http://x", concurrency=2)
    other = EngineConfig("other", Stage.NLU, EngineKind.OPENAI, "http://x", concurrency=2)
    assert limits.of(one) is limits.of(same)
    assert limits.of(one) is not limits.of(other)
    before = limits.of(one)
    assert limits.peace_s("one") == limits.peace_s("unknown") == 0
    before.back_off(100)
    assert limits.peace_s("one") > 90
    mended = EngineConfig("one", Stage.NLU, EngineKind.OPENAI, "http://x", concurrency=2, secret="LIFELINE_SECRET_NEW")
    assert limits.of(mended).peace_s() == 0, "a new key is not bound by what the old one was told"
