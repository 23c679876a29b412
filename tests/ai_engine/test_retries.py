"""Which engine is tried when, and what is recorded of it."""

from __future__ import annotations

import asyncio
import time

import pytest

from ai_engine import retries
from ai_engine.circuits.guard import Guard
from ai_engine.circuits.states import CircuitState, Hold
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind, PermanentEngineError, SlowEngineError, TransientEngineError
from ai_engine.retries import StageResult, attempt_limit_s, next_delay_s, run_stage
from tests.ai_engine.waiting import until

REFUSED = TransientEngineError(Kind.REFUSED)


class FakeEngine:
    """Plays a script: an exception is raised, a number slept, anything else returned."""

    def __init__(self, name: str, *script: object) -> None:
        self.config = EngineConfig(name, Stage.NLU, EngineKind.OPENAI, "http://x", total_s=0.5)
        self.script = list(script)
        self.called = 0

    async def do(self, trace: Trace) -> str:
        self.called += 1
        step = self.script.pop(0)
        if isinstance(step, EngineError):
            raise step
        if isinstance(step, float):
            await asyncio.sleep(step)
        trace.first_byte()
        return str(step)


class Rig:
    def __init__(self, *engines: FakeEngine, budget_s: float = 4.0) -> None:
        self.engines = engines
        self.guards = {e.config.name: Guard(e.config.name, "nlu", threshold=3) for e in engines}
        self.budget_s = budget_s

    async def run(self) -> StageResult[str]:
        end = time.monotonic() + self.budget_s
        return await run_stage(
            Stage.NLU, self.engines, self.guards.__getitem__, lambda: end - time.monotonic(),
            lambda engine, trace: engine.do(trace),
        )  # fmt: skip


def test_the_delays_are_100_300_and_900_ms_while_they_fit() -> None:
    assert [next_delay_s(n, REFUSED, 4) for n in (1, 2, 3, 4)] == [0.1, 0.3, 0.9, None]
    assert next_delay_s(3, REFUSED, 1.1) is None
    assert next_delay_s(1, PermanentEngineError(Kind.HTTP_401), 4) is None
    assert next_delay_s(1, SlowEngineError(Kind.HANG), 4) is None


def test_time_is_kept_for_the_next_engine() -> None:
    assert attempt_limit_s(4, 10, another=True) == pytest.approx(2.8)
    assert attempt_limit_s(4, 10, another=False) == 4
    assert attempt_limit_s(1, 10, another=True) == 1
    assert attempt_limit_s(4, 2, another=True) == 2


async def test_a_passing_failure_is_retried_and_counts_as_success() -> None:
    rig = Rig(FakeEngine("a", REFUSED, "fine"))
    result = await rig.run()
    assert result.value == "fine"
    assert [(t.engine, t.attempts, t.kind) for t in result.timings] == [("a", 2, "")]
    assert result.timings[0].first_byte_ms is not None
    assert result.timings[0].total_ms >= 100
    assert rig.guards["a"].failures == 0


async def test_many_attempts_are_one_failure_and_the_next_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "RETRY_DELAYS_S", (0.01, 0.02, 0.03))
    rig = Rig(FakeEngine("a", *[REFUSED] * 4), FakeEngine("b", "fine"))
    result = await rig.run()
    assert result.value == "fine"
    assert [(t.engine, t.attempts, t.kind) for t in result.timings] == [("a", 4, "refused"), ("b", 1, "")]
    assert rig.guards["a"].failures == 1
    assert result.attempts == 5


async def test_a_wrong_key_goes_to_the_next_engine_at_once() -> None:
    rig = Rig(FakeEngine("a", PermanentEngineError(Kind.HTTP_401)), FakeEngine("b", "fine"))
    start = time.monotonic()
    assert (await rig.run()).value == "fine"
    assert time.monotonic() - start < 0.09


async def test_an_open_circuit_is_passed_over_and_with_none_left_there_is_no_engine() -> None:
    rig = Rig(FakeEngine("a", "x"), FakeEngine("b", "fine"))
    rig.guards["a"].set_hold(Hold(CircuitState.FORCED_OPEN, "ann", "", 0))
    assert (await rig.run()).value == "fine"
    rig.guards["b"].set_hold(Hold(CircuitState.FORCED_OPEN, "ann", "", 0))
    result = await rig.run()
    assert result.error is not None
    assert result.error.kind is Kind.NO_ENGINE
    assert result.timings == []


async def test_a_hang_is_cut_and_counted() -> None:
    rig = Rig(FakeEngine("a", 5.0), FakeEngine("b", "fine"))
    result = await rig.run()
    assert result.value == "fine"
    assert result.timings[0].kind == "timeout"
    assert rig.guards["a"].failures == 1


async def test_a_turn_with_no_time_left_blames_nobody() -> None:
    rig = Rig(FakeEngine("a", "x"), budget_s=0.1)
    result = await rig.run()
    assert result.error is not None
    assert result.error.kind is Kind.TIMEOUT
    assert rig.guards["a"].failures == 0
    assert rig.engines[0].called == 0


async def test_a_caller_who_goes_counts_as_nothing_even_after_a_failed_attempt() -> None:
    rig = Rig(FakeEngine("a", REFUSED, 5.0))
    turn = asyncio.create_task(rig.run())
    await until(lambda: rig.engines[0].called == 2)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert rig.guards["a"].failures == 0
