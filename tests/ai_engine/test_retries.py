"""Which engine is tried when, and what is recorded of it. By a clock that jumps: no machine is too slow for its times."""

from __future__ import annotations

import asyncio

import pytest

from ai_engine import retries
from ai_engine.circuits.guard import Guard
from ai_engine.circuits.states import CircuitState, Hold
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind, PermanentEngineError, SlowEngineError, TransientEngineError
from ai_engine.limits import Limits
from ai_engine.retries import StageResult, attempt_limit_s, next_delay_s, run_stage
from tests.ai_engine.virtual_clock import LoopTime, jumping
from tests.ai_engine.waiting import until

REFUSED = TransientEngineError(Kind.REFUSED)


@pytest.fixture(autouse=True)
def the_loops_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "time", LoopTime)
    monkeypatch.setattr(retries, "Trace", lambda: Trace(LoopTime.monotonic))


def refused(retry_after_s: float) -> TransientEngineError:
    return TransientEngineError(Kind.HTTP_429, retry_after_s=retry_after_s)


class FakeEngine:
    """Plays a script: an exception is raised, a number slept, anything else returned."""

    def __init__(self, name: str, *script: object, concurrency: int = 0) -> None:
        self.config = EngineConfig(
            name, Stage.NLU, EngineKind.OPENAI, "http://x", first_byte_s=0.3, total_s=0.5, concurrency=concurrency
        )
        self.script = list(script)
        self.called = 0
        self.called_at: list[float] = []

    async def do(self, trace: Trace) -> str:
        self.called += 1
        self.called_at.append(LoopTime.monotonic())
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
        self.limits = Limits()

    async def run(self) -> StageResult[str]:
        end = LoopTime.monotonic() + self.budget_s
        return await run_stage(
            Stage.NLU, self.engines, self.guards.__getitem__, lambda: end - LoopTime.monotonic(),
            lambda engine, trace: engine.do(trace), self.limits, chance=lambda: 0.5,
        )  # fmt: skip


def test_the_delays_are_100_300_and_900_ms_while_they_fit() -> None:
    assert [next_delay_s(n, REFUSED, 4) for n in (1, 2, 3, 4)] == [0.1, 0.3, 0.9, None]
    assert next_delay_s(3, REFUSED, 1.1) is None
    assert next_delay_s(1, PermanentEngineError(Kind.HTTP_401), 4) is None
    assert next_delay_s(1, SlowEngineError(Kind.HANG), 4) is None


def test_the_delays_are_spread_by_a_fifth_either_way() -> None:
    assert [next_delay_s(n, REFUSED, 4, 0.0) for n in (1, 2, 3)] == pytest.approx([0.08, 0.24, 0.72])
    assert [next_delay_s(n, REFUSED, 4, 1.0) for n in (1, 2, 3)] == pytest.approx([0.12, 0.36, 1.08])
    assert next_delay_s(3, REFUSED, 1.3, 1.0) is None
    assert next_delay_s(3, REFUSED, 1.3, 0.0) is not None


def test_what_the_engine_asked_for_is_waited_exactly_if_it_fits() -> None:
    assert next_delay_s(1, refused(0.5), 4, 1.0) == 0.5
    assert next_delay_s(2, refused(0.5), 0.7) is None
    assert next_delay_s(1, refused(0.0), 4) == 0.0
    assert next_delay_s(4, refused(0.1), 4) is None


def test_time_is_kept_for_the_next_engine() -> None:
    assert attempt_limit_s(4, 10, another=True) == pytest.approx(2.8)
    assert attempt_limit_s(4, 10, another=False) == 4
    assert attempt_limit_s(1, 10, another=True) == 1
    assert attempt_limit_s(4, 2, another=True) == 2


@jumping
async def test_a_passing_failure_is_retried_and_counts_as_success() -> None:
    rig = Rig(FakeEngine("a", REFUSED, "fine"))
    result = await rig.run()
    assert result.value == "fine"
    assert [(t.engine, t.attempts, t.kind) for t in result.timings] == [("a", 2, "")]
    assert result.timings[0].first_byte_ms is not None
    assert result.timings[0].total_ms == pytest.approx(100, abs=1)
    assert rig.guards["a"].failures == 0


@jumping
async def test_many_attempts_are_one_failure_and_the_next_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "RETRY_DELAYS_S", (0.01, 0.02, 0.03))
    rig = Rig(FakeEngine("a", *[REFUSED] * 4), FakeEngine("b", "fine"))
    result = await rig.run()
    assert result.value == "fine"
    assert [(t.engine, t.attempts, t.kind) for t in result.timings] == [("a", 4, "refused"), ("b", 1, "")]
    assert rig.guards["a"].failures == 1
    assert result.attempts == 5


@jumping
async def test_a_wrong_key_goes_to_the_next_engine_at_once() -> None:
    rig = Rig(FakeEngine("a", PermanentEngineError(Kind.HTTP_401)), FakeEngine("b", "fine"))
    start = LoopTime.monotonic()
    assert (await rig.run()).value == "fine"
    assert LoopTime.monotonic() - start < 0.01


@jumping
async def test_an_open_circuit_is_passed_over_and_with_none_left_there_is_no_engine() -> None:
    rig = Rig(FakeEngine("a", "x"), FakeEngine("b", "fine"))
    rig.guards["a"].set_hold(Hold(CircuitState.FORCED_OPEN, "ann", "", 0))
    assert (await rig.run()).value == "fine"
    rig.guards["b"].set_hold(Hold(CircuitState.FORCED_OPEN, "ann", "", 0))
    result = await rig.run()
    assert result.error is not None
    assert result.error.kind is Kind.NO_ENGINE
    assert result.timings == []


@jumping
async def test_a_hang_is_cut_and_counted() -> None:
    rig = Rig(FakeEngine("a", 5.0), FakeEngine("b", "fine"))
    result = await rig.run()
    assert result.value == "fine"
    assert result.timings[0].kind == "timeout"
    assert rig.guards["a"].failures == 1


@jumping
async def test_a_turn_with_no_time_left_blames_nobody() -> None:
    rig = Rig(FakeEngine("a", "x"), budget_s=0.1)
    result = await rig.run()
    assert result.error is not None
    assert result.error.kind is Kind.TIMEOUT
    assert rig.guards["a"].failures == 0
    assert rig.engines[0].called == 0


@jumping
async def test_a_caller_who_goes_counts_as_nothing_even_after_a_failed_attempt() -> None:
    rig = Rig(FakeEngine("a", REFUSED, 5.0))
    turn = asyncio.create_task(rig.run())
    await until(lambda: rig.engines[0].called == 2)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert rig.guards["a"].failures == 0


@jumping
async def test_retry_after_is_waited_and_its_answer_counts_as_success() -> None:
    rig = Rig(FakeEngine("a", refused(0.4), "fine"))
    result = await rig.run()
    assert result.value == "fine"
    first, second = rig.engines[0].called_at
    assert second - first == pytest.approx(0.4, abs=0.01)
    assert rig.guards["a"].failures == 0


@jumping
async def test_a_long_retry_after_counts_once_and_the_engine_is_left_alone_by_everybody() -> None:
    rig = Rig(FakeEngine("a", refused(30.0)), FakeEngine("b", *["fine"] * 9))
    results = [await rig.run() for _ in range(9)]
    assert [result.value for result in results] == ["fine"] * 9
    assert rig.engines[0].called == 1
    assert rig.guards["a"].failures == 1, "a 429 is one failure; leaving the engine alone afterwards is none"
    passed_over = results[1].timings[0]
    assert (passed_over.engine, passed_over.attempts, passed_over.kind) == ("a", 0, "busy")
    assert all(result.timings[0].total_ms + result.timings[0].queue_ms < 10 for result in results[1:])


@jumping
async def test_the_only_engine_is_waited_for_while_it_wants_to_be_left_alone() -> None:
    rig = Rig(FakeEngine("a", "fine"))
    rig.limits.of(rig.engines[0].config).back_off(0.2)
    result = await rig.run()
    assert result.value == "fine"
    assert result.timings[0].queue_ms == pytest.approx(200, abs=10)
    assert result.timings[0].total_ms < 10
    rig.limits.of(rig.engines[0].config).back_off(5)
    refused_at_once = await rig.run()
    assert refused_at_once.error is not None
    assert refused_at_once.error.kind is Kind.BUSY
    assert rig.guards["a"].failures == 0


@jumping
async def test_a_full_engine_is_waited_for_and_then_passed_over_without_a_failure() -> None:
    full = FakeEngine("a", 0.45, concurrency=1)
    rig = Rig(full, FakeEngine("b", "fine"))
    holding = asyncio.create_task(rig.run())
    await until(lambda: full.called == 1)
    result = await rig.run()
    assert result.value == "fine"
    assert [(t.engine, t.attempts, t.kind) for t in result.timings] == [("a", 0, "busy"), ("b", 1, "")]
    assert result.timings[0].queue_ms == pytest.approx(300, abs=10), "as long as it may take for a first byte, then the next engine"
    assert (await holding).value == "0.45"
    assert rig.guards["a"].failures == 0


@jumping
async def test_a_place_is_given_back_between_attempts_so_that_a_retry_holds_up_nobody() -> None:
    engine = FakeEngine("a", REFUSED, "second", "third", concurrency=1)
    rig = Rig(engine)
    both = await asyncio.gather(rig.run(), rig.run())
    assert {result.value for result in both} == {"second", "third"}
    assert both[1].timings[0].queue_ms < 10, "not behind the pause of 100 ms"
