"""A bridge that stops gives its calls back at a pace, and has none left when its time is over."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from esl_bridge.draining import GIVEN_BACK_A_SECOND, part_from, until_one_goes_s


class Calls(set["Session"]):
    """As a bridge keeps them: a session that is closed leaves a moment later."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.idle = asyncio.Event()
        self.gone: list[Session] = []
        self.update(Session(self) for _ in range(number))
        self.noted()

    def noted(self) -> None:
        if self:
            self.idle.clear()
        else:
            self.idle.set()


class Session:
    is_over = False
    ends = True

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def close(self) -> None:
        self._calls.gone.append(self)
        if self.ends:
            asyncio.get_running_loop().call_soon(self.end)

    def end(self) -> None:
        self._calls.discard(self)
        self._calls.noted()


def given_back(calls: int, limit_s: float) -> list[float]:
    """When each goes, by the rule alone."""
    moments, at_s = [], 0.0
    for left in range(calls, 0, -1):
        at_s += until_one_goes_s(left, limit_s - at_s)
        moments.append(at_s)
    return moments


@pytest.mark.parametrize(
    ("calls", "limit_s"), [(1, 20.0), (3, 20.0), (500, 20.0), (1000, 20.0), (1001, 20.0), (500, 4.0), (7, 0.01)]
)
def test_all_are_gone_in_time_and_no_two_together(calls: int, limit_s: float) -> None:
    moments = given_back(calls, limit_s)
    assert moments[-1] == pytest.approx(limit_s)
    apart_s = min(1 / GIVEN_BACK_A_SECOND, limit_s / calls)
    assert all(later - earlier == pytest.approx(apart_s, rel=0.01) for earlier, later in itertools.pairwise(moments))


def test_calls_have_all_the_time_there_is_before_the_first_goes() -> None:
    assert given_back(10, 20.0)[0] == pytest.approx(20.0 - 9 / GIVEN_BACK_A_SECOND)


def test_without_time_all_go_at_once() -> None:
    assert given_back(5, 0.0) == [0.0] * 5


async def test_those_who_have_not_finished_are_given_back_once_and_all_of_them() -> None:
    calls = Calls(10)
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, next(iter(calls)).end)
    async with asyncio.timeout(10):
        await part_from(calls, calls.idle, 0.3, loop.time)
        await calls.idle.wait()
    assert len(calls.gone) == len(set(calls.gone)) == 9


async def test_one_that_is_still_being_closed_is_not_waited_for_and_holds_up_no_other() -> None:
    calls = Calls(3)
    deaf = next(iter(calls))
    deaf.ends = False  # as when its peer does not read
    async with asyncio.timeout(10):
        await part_from(calls, calls.idle, 0.2, asyncio.get_running_loop().time)
        while len(calls) > 1:
            await asyncio.sleep(0)
    assert calls == {deaf}


async def test_what_is_over_takes_no_call_s_place_and_stays_to_the_end() -> None:
    """Closing the socket of a call that another bridge has would take the call away from there."""
    calls = Calls(4)
    loop = asyncio.get_running_loop()
    over = list(calls)[:2]
    for session in over:
        session.is_over = True
    async with asyncio.timeout(10):
        await part_from(calls, calls.idle, 0.2, loop.time)
        await calls.idle.wait()
    assert calls.gone[2:] == over or calls.gone[2:] == over[::-1]


async def test_when_all_have_finished_nothing_is_waited_for() -> None:
    calls = Calls(2)
    for session in list(calls):
        session.end()
    async with asyncio.timeout(10):
        await part_from(calls, calls.idle, 3600.0, asyncio.get_running_loop().time)
    assert not calls.gone
