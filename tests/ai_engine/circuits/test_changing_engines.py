"""Engines added, removed, reordered and changed while a process runs, over a real Redis."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from ai_engine.circuits import operators
from ai_engine.circuits.errors import UnknownCircuitError
from ai_engine.circuits.states import CircuitState, Verdict
from ai_engine.engines.build import Engines
from ai_engine.prober import Prober
from callflows.definition.flow import Snapshot
from tests.ai_engine.circuits.boards import ENGINES, board, claimed, running, spend, state
from tests.ai_engine.waiting import until
from tests.redis_server import RedisServer

STT, NLU, TTS = ENGINES
OTHER = msgspec.structs.replace(NLU, name="other-nlu")


async def test_engines_have_thresholds_and_open_times_of_their_own(durable_redis: str) -> None:
    one = board(durable_redis, "one", open_s=20, threshold=4)
    one.set_engines([STT, msgspec.structs.replace(NLU, failures=5, open_s=7.0), TTS])
    limits = {view.name: view.threshold for view in one.views()}
    assert limits == {"local-stt": 4, "local-nlu": 5, "local-tts": 4}
    async with running(one):
        spend(one, "local-nlu", Verdict.FAIL, 4)
        assert state(one, "local-nlu") is CircuitState.CLOSED
        spend(one, "local-nlu", Verdict.FAIL)
        assert state(one, "local-nlu") is CircuitState.OPEN
        retry_in_s = one.guard("local-nlu").view().retry_in_s
        assert retry_in_s is not None
        assert retry_in_s <= 7
        await until(lambda: not one.guard("local-nlu").dirty)
    shown = next(view for view in operators.views(durable_redis) if view.name == "local-nlu")
    assert (shown.state, shown.threshold) == (CircuitState.OPEN, 5)


async def test_unchanged_names_keep_state_count_and_hold_under_new_limits(durable_redis: str) -> None:
    one = board(durable_redis, "one", open_s=20, local=["turns:one"])
    async with running(one):
        operators.force("tts", CircuitState.FORCED_OPEN, "ann", "", redis_url=durable_redis)
        spend(one, "local-stt", Verdict.FAIL, 3)
        spend(one, "local-nlu", Verdict.FAIL, 2)
        spend(one, "turns:one", Verdict.FAIL, 2)
        await until(lambda: one.usable("tts").forced and not one.guard("local-stt").dirty)
        guard = one.guard("local-nlu")
        one.set_engines([OTHER, msgspec.structs.replace(NLU, url="http://127.0.0.1:3/v1", failures=5), STT, TTS])
        assert one.guard("local-nlu") is guard
        assert (guard.failures, guard.threshold) == (2, 5)
        assert state(one, "local-stt") is CircuitState.OPEN
        assert one.usable("tts").forced
        assert one.guard("turns:one").failures == 2
        assert [each.name for each in one.stage("nlu")] == ["other-nlu", "local-nlu"]


async def test_a_new_engine_is_read_from_the_fleet_before_anybody_uses_it(durable_redis: str) -> None:
    there, here = board(durable_redis, "there", open_s=20), board(durable_redis, "here", open_s=20)
    there.set_engines([*ENGINES, OTHER])
    async with running(there, here):
        spend(there, "other-nlu", Verdict.FAIL, 3)
        await until(lambda: not there.guard("other-nlu").dirty)
        here.set_engines([STT, OTHER, TTS])
        assert here.guard("other-nlu").permit() is None
        assert here.usable("nlu").usable, "nothing is known against it: calls are not sent to the menu for this"
        await here.settled()
        assert state(here, "other-nlu") is CircuitState.OPEN
        assert not here.usable("nlu").usable


async def test_a_new_engine_is_used_unread_when_redis_is_away(durable_server: RedisServer) -> None:
    one = board(durable_server.url, "one")
    async with running(one):
        durable_server.kill()
        await until(lambda: one.redis_away)
        one.set_engines([*ENGINES, OTHER])
        await one.settled()
        assert one.guard("other-nlu").permit() is not None
        durable_server.start()
        await until(lambda: not one.redis_away)


async def test_a_removed_engine_goes_but_turns_that_began_with_it_end_well(durable_redis: str) -> None:
    one, two = board(durable_redis, "one"), board(durable_redis, "two")
    async with running(one, two):
        permit = one.guard("local-nlu").permit()
        assert permit is not None
        one.set_engines([STT, OTHER, TTS])
        assert "local-nlu" not in [view.name for view in one.views()]
        for _ in range(4):
            one.guard("local-nlu").record(permit, Verdict.FAIL, "timeout")
        await one.settled()
        spend(one, "other-nlu", Verdict.FAIL)
        assert one.guard("other-nlu").failures == 1
        assert two.guard("local-nlu").failures == 0
        with pytest.raises(UnknownCircuitError):
            two.guard("other-nlu")
        two.set_engines([STT, OTHER, TTS])
        await until(lambda: two.guard("other-nlu").failures == 1)
    assert [view.name for view in operators.views(durable_redis)] == ["local-stt", "other-nlu", "local-tts"]


async def test_engines_changed_in_the_middle_of_every_exchange_lose_no_count(durable_redis: str) -> None:
    one, two = board(durable_redis, "one", open_s=20), board(durable_redis, "two", open_s=20)
    async with running(one, two):
        for turn in range(60):
            one.set_engines([*ENGINES, OTHER] if turn % 2 else [TTS, NLU, STT])
            if turn in (10, 30):
                spend(one, "local-stt", Verdict.FAIL)
            await asyncio.sleep(0)
        await until(lambda: two.guard("local-stt").failures == 2)
        spend(one, "local-stt", Verdict.FAIL)
        await until(lambda: state(two, "local-stt") is CircuitState.OPEN)


async def test_an_engine_that_comes_back_is_what_the_fleet_last_knew(durable_redis: str) -> None:
    one = board(durable_redis, "one", open_s=20)
    async with running(one):
        spend(one, "local-nlu", Verdict.FAIL, 3)
        await until(lambda: not one.guard("local-nlu").dirty)
        one.set_engines([STT, TTS])
        one.set_engines(ENGINES)
        assert one.guard("local-nlu").permit() is None
        await one.settled()
        assert state(one, "local-nlu") is CircuitState.OPEN


async def test_the_prober_follows_the_engines(durable_redis: str) -> None:
    one = board(durable_redis, "one", open_s=0.2)
    prober = Prober(one, Engines(ENGINES), lambda: Snapshot(()))
    async with running(one):
        probing = asyncio.create_task(prober.run())
        engines = [STT, OTHER, TTS]
        one.set_engines(engines)
        prober.set_engines(Engines(engines))
        await one.settled()
        spend(one, "other-nlu", Verdict.FAIL, 3)
        await until(lambda: state(one, "other-nlu") is CircuitState.CLOSED, what="the new engine's probe closes it")
        one.set_engines(ENGINES)
        prober.set_engines(Engines(ENGINES))
        await one.settled()
        spend(one, "local-nlu", Verdict.FAIL, 3)
        await until(lambda: state(one, "local-nlu") is CircuitState.CLOSED)
        assert not probing.done()
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)


async def test_a_probe_under_way_of_a_removed_engine_closes_nothing(durable_redis: str) -> None:
    one = board(durable_redis, "one", open_s=0.2)
    async with running(one):
        spend(one, "local-nlu", Verdict.FAIL, 3)
        await until(lambda: state(one, "local-nlu") is CircuitState.HALF_OPEN)
        probe, guard = await claimed(one, "local-nlu"), one.guard("local-nlu")
        one.set_engines([STT, TTS])
        assert await one.claim_probe("local-nlu") is None
        guard.record(probe, Verdict.OK)
        one.set_engines(ENGINES)
        await one.settled()
        assert state(one, "local-nlu") is not CircuitState.CLOSED
