"""What a process tells the fleet counts once, although an answer was lost and it is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import redis.exceptions

from ai_engine.circuits import operators
from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.sharing import FleetState, Push, SharedCircuits
from ai_engine.circuits.states import CircuitState, Hold, Verdict
from tests.ai_engine.circuits.boards import board, claimed, running, spend, state
from tests.ai_engine.waiting import until

NLU = "local-nlu"


class LosesAnswers(SharedCircuits):
    """``lose`` answers of exchanges that told something are lost; with ``cut`` the exchange does not reach Redis."""

    lose = 0
    cut = False

    async def exchange(self, pushes: Sequence[Push], forced: Sequence[str]) -> tuple[list[FleetState], dict[str, Hold]]:
        if self.cut:
            raise redis.exceptions.ConnectionError("cut off")
        answer = await super().exchange(pushes, forced)
        if self.lose and any(push.failures or push.own_state for push in pushes):
            self.lose -= 1
            raise redis.exceptions.TimeoutError("no answer")
        return answer


async def losing(mine: CircuitBoard, url: str) -> LosesAnswers:
    await mine._shared.close()
    mine._shared = shared = LosesAnswers(url)
    return shared


async def test_failures_whose_answer_was_lost_count_once(durable_redis: str) -> None:
    one, two = board(durable_redis, "one", open_s=30), board(durable_redis, "two", open_s=30)
    shared = await losing(one, durable_redis)
    async with running(one, two):
        shared.lose = 2
        spend(one, NLU, Verdict.FAIL, 2)
        await until(lambda: not shared.lose and not one.redis_away)
        assert (state(one, NLU), one.guard(NLU).failures) == (CircuitState.CLOSED, 2)
        spend(one, NLU, Verdict.FAIL)  # What comes later counts.
        await until(lambda: state(two, NLU) is CircuitState.OPEN)


async def test_a_move_whose_answer_was_lost_is_told_once(durable_redis: str) -> None:
    one = board(durable_redis, "one", open_s=30)
    shared = await losing(one, durable_redis)
    async with running(one):
        shared.lose = 3
        spend(one, NLU, Verdict.FAIL, 3)
        await until(lambda: not shared.lose and not one.guard(NLU).dirty)
    assert [(move.before, move.after) for move in operators.moves(durable_redis, 9)] == [("closed", "open")]


async def test_a_probes_failure_is_not_told_again_as_the_processs_own_move(durable_redis: str) -> None:
    """Ages are of whole milliseconds and grow on the way, so that the same move may look a little later."""
    shared = SharedCircuits(durable_redis)
    await shared.exchange([Push("x", 0, 3, 0.001, own_state="open", own_age_ms=9000, own_move=1)], [])
    assert await shared.claim("x", "token", lock_ms=8000, open_s=0.001)
    version = await shared.settle("x", "token", Verdict.FAIL, threshold=3, why="refused", own_move=2)
    assert version is not None
    push = Push("x", version, 3, 30.0, why="refused", own_state="open", own_age_ms=-5, own_move=2)
    (after,), _ = await shared.exchange([push], [])
    assert after.version == version
    moves = [(move.before, move.after) for move in operators.moves(durable_redis, 9)[::-1]]
    assert moves == [("closed", "open"), ("open", "half_open"), ("half_open", "open")]
    await shared.close()


async def test_a_move_is_dated_when_it_happened_also_when_its_failures_come_with_it(durable_redis: str) -> None:
    shared = SharedCircuits(durable_redis)
    push = Push("x", 0, 3, 30.0, failures=3, why="timeout", own_state="open", own_age_ms=5000, number=1, own_move=1, was_away=True)
    (after,), _ = await shared.exchange([push], [])
    assert (after.state, after.failures, after.version) == (CircuitState.OPEN, 3, 1)
    assert after.age_s >= 5
    await shared.close()


async def test_failures_from_before_the_fleets_moves_do_not_count_after_them(durable_redis: str) -> None:
    """One is cut off and sees failures; meanwhile the fleet opens the circuit, tests it, and closes it."""
    one, two = board(durable_redis, "one", threshold=5), board(durable_redis, "two", threshold=5)
    shared = await losing(one, durable_redis)
    async with running(one, two):
        shared.cut = True
        spend(one, NLU, Verdict.FAIL, 2)
        await until(lambda: one.redis_away)
        spend(one, NLU, Verdict.FAIL, 2)
        spend(two, NLU, Verdict.FAIL, 5)
        await until(lambda: state(two, NLU) is CircuitState.HALF_OPEN)
        two.guard(NLU).record(await claimed(two, NLU), Verdict.OK)
        await until(lambda: not two.guard(NLU).dirty)
        shared.cut = False
        await until(lambda: not one.redis_away)
        await asyncio.gather(one.refresh(), two.refresh())
        assert (one.guard(NLU).failures, two.guard(NLU).failures) == (0, 0)
