"""Circuits of several processes over a real Redis: shared counts, states, holds, one probe; Redis killed and back."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from ai_engine.circuits import keys, operators
from ai_engine.circuits.errors import BadHoldError, CircuitsUnreachableError, UnknownCircuitError
from ai_engine.circuits.sharing import Push, SharedCircuits, decode_holds
from ai_engine.circuits.states import CircuitState, Hold, Permit, Verdict
from ai_engine.redis_clients import REPLY_TIMEOUT_S, connect
from tests.ai_engine.circuits.boards import ENGINES, board, claimed, running, spend, state
from tests.ai_engine.waiting import until
from tests.redis_server import RedisServer


async def test_failures_in_different_processes_count_together(durable_redis: str) -> None:
    one, two = board(durable_redis, "one", open_s=5), board(durable_redis, "two", open_s=5)
    async with running(one, two):
        spend(one, "local-nlu", Verdict.FAIL, 2)
        await until(lambda: two.guard("local-nlu").failures == 2)
        spend(two, "local-nlu", Verdict.FAIL)
        assert state(two, "local-nlu") is CircuitState.OPEN
        await until(lambda: state(one, "local-nlu") is CircuitState.OPEN)
        assert not one.usable("nlu").usable
        assert not one.usable("nlu").forced
        assert one.usable("stt").usable
        view = next(v for v in operators.views(durable_redis) if v.name == "local-nlu")
        assert (view.state, view.failures, view.why) == (CircuitState.OPEN, 3, "timeout")
        assert view.retry_in_s is not None
        assert 0 < view.retry_in_s <= 5


async def test_a_success_anywhere_begins_the_count_anew(durable_redis: str) -> None:
    one, two = board(durable_redis, "one"), board(durable_redis, "two")
    async with running(one, two):
        spend(one, "local-tts", Verdict.FAIL, 2)
        await until(lambda: two.guard("local-tts").failures == 2)
        spend(two, "local-tts", Verdict.OK)
        await until(lambda: one.guard("local-tts").failures == 0)
        spend(one, "local-tts", Verdict.FAIL, 2)
        assert state(one, "local-tts") is CircuitState.CLOSED


async def test_every_process_sees_a_move(durable_redis: str) -> None:
    """How soon is measured by ``bench.circuits``: aim 200 ms."""
    boards = [board(durable_redis, f"p{n}", open_s=60) for n in range(4)]
    async with running(*boards):
        for engine in ("local-stt", "local-nlu", "local-tts"):
            spend(boards[0], engine, Verdict.FAIL, 3)
            await until(lambda e=engine: all(state(b, e) is CircuitState.OPEN for b in boards))  # type: ignore[misc]


async def test_half_open_one_probe_succeeds_and_all_close(durable_redis: str) -> None:
    one, two = board(durable_redis, "one"), board(durable_redis, "two")
    async with running(one, two):
        spend(one, "local-stt", Verdict.FAIL, 3)
        await until(lambda: all(state(b, "local-stt") is CircuitState.HALF_OPEN for b in (one, two)))
        assert one.guard("local-stt").permit() is None
        probes: list[Permit | None] = []
        deadline = time.monotonic() + 2
        while not any(probes) and time.monotonic() < deadline:
            probes = [await b.claim_probe("local-stt") for b in (one, two)]
        assert [p is not None for p in probes].count(True) == 1
        holder, probe = next((b, p) for b, p in zip((one, two), probes, strict=True) if p)
        holder.guard("local-stt").record(probe, Verdict.OK)
        await until(lambda: all(state(b, "local-stt") is CircuitState.CLOSED for b in (one, two)))


async def test_an_abandoned_probe_frees_the_lock_and_a_failed_one_opens_everywhere(durable_redis: str) -> None:
    one, two = board(durable_redis, "one"), board(durable_redis, "two")
    async with running(one, two):
        spend(one, "local-stt", Verdict.FAIL, 3)
        await until(lambda: all(state(b, "local-stt") is CircuitState.HALF_OPEN for b in (one, two)))
        probe = await claimed(one)
        one.guard("local-stt").record(probe, Verdict.ABANDONED)
        probe = await claimed(two)
        two.guard("local-stt").record(probe, Verdict.FAIL, "refused")
        await until(lambda: all(state(b, "local-stt") is CircuitState.OPEN for b in (one, two)))
        await until(lambda: one.guard("local-stt").view().why == "refused")


async def test_redis_dies_circuits_go_on_and_the_later_transition_wins(durable_server: RedisServer) -> None:
    one, two = board(durable_server.url, "one", open_s=30), board(durable_server.url, "two", open_s=30)
    async with running(one, two):
        durable_server.kill()
        await until(lambda: one.redis_away and two.redis_away)
        spend(one, "local-nlu", Verdict.FAIL, 3)
        assert state(one, "local-nlu") is CircuitState.OPEN
        assert state(two, "local-nlu") is CircuitState.CLOSED
        spend(two, "local-nlu", Verdict.OK)
        durable_server.start()
        await until(lambda: state(two, "local-nlu") is CircuitState.OPEN)
        assert state(one, "local-nlu") is CircuitState.OPEN


async def test_with_redis_away_a_process_probes_on_its_own(durable_server: RedisServer) -> None:
    one = board(durable_server.url, "one")
    async with running(one):
        spend(one, "local-stt", Verdict.FAIL, 3)
        await until(lambda: not one.guard("local-stt").dirty)
        durable_server.kill()
        await until(lambda: state(one, "local-stt") is CircuitState.HALF_OPEN)
        probe = await claimed(one)
        assert await one.claim_probe("local-stt") is None
        one.guard("local-stt").record(probe, Verdict.OK)
        durable_server.start()
        await until(lambda: not one.redis_away and not one.guard("local-stt").dirty)
        assert state(one, "local-stt") is CircuitState.CLOSED
        assert operators.views(durable_server.url)[0].state is CircuitState.CLOSED


@pytest.mark.parametrize(
    ("own", "own_age_ms", "fleet_age_ms", "after"),
    [("open", 100, 400, "open"), ("closed", 100, 400, "closed"), ("closed", 400, 100, "open")],
)
async def test_after_an_outage_the_later_transition_wins_whichever_it_is(
    durable_redis: str, own: str, own_age_ms: int, fleet_age_ms: int, after: str
) -> None:
    """The fleet opened the circuit so long ago; the process that was cut off made its own last move so long ago."""
    shared = SharedCircuits(durable_redis)
    moved = Push("x", 0, 3, 30.0, own_state="open", own_age_ms=fleet_age_ms, own_move=1, was_away=True, why="refused")
    await shared.exchange([moved], [])
    ours = Push("x", 0, 3, 30.0, own_state=own, own_age_ms=own_age_ms, own_move=2, was_away=True, why="timeout")
    (merged,), _ = await shared.exchange([ours], [])
    assert merged.state.value == after
    assert merged.age_s == pytest.approx(min(own_age_ms, fleet_age_ms) / 1000, abs=0.09)
    await shared.close()


async def test_a_clock_that_is_set_back_keeps_no_circuit_open(durable_redis: str) -> None:
    """Redis' clock by an hour: the last move, and the lock of a prober that is gone, then lie in its future."""
    one, two = board(durable_redis, "one"), board(durable_redis, "two")
    async with running(one, two):
        spend(one, "local-stt", Verdict.FAIL, 3)
        await until(lambda: state(two, "local-stt") is CircuitState.HALF_OPEN)
        with connect(durable_redis) as client:
            ahead_ms = int((time.time() + 3600) * 1000)
            client.hset(keys.state_key("local-stt"), mapping={"changed": ahead_ms, "opened": ahead_ms})
            client.set(keys.probe_key("local-stt"), "of one that is gone", px=3600_000)
        two.guard("local-stt").record(await claimed(two), Verdict.OK)
        await until(lambda: all(state(b, "local-stt") is CircuitState.CLOSED for b in (one, two)))


async def test_a_redis_that_stands_still_holds_up_nobody_on_the_loop(durable_server: RedisServer) -> None:
    """Its clients wait a second for an answer; whoever asks the guard does not, and the loop goes round all the while."""
    one = board(durable_server.url, "one", open_s=0.2)
    gaps = []
    async with running(one):
        durable_server.freeze()
        last = time.monotonic()
        while not one.redis_away:
            for engine in ("local-stt", "local-nlu"):
                permit = one.guard(engine).permit()
                if permit is not None:
                    one.guard(engine).record(permit, Verdict.FAIL, "timeout")
            one.usable("stt")
            one.set_engines(ENGINES)
            await asyncio.sleep(0)
            gaps.append(time.monotonic() - last)
            last += gaps[-1]
        assert state(one, "local-stt") is not CircuitState.CLOSED
        durable_server.thaw()
        await until(lambda: not one.redis_away)
    assert sum(gaps) > REPLY_TIMEOUT_S / 2, "it was asked and did not answer"
    assert max(gaps) < REPLY_TIMEOUT_S / 2


async def test_a_hold_reaches_every_process_survives_redis_and_is_released(durable_server: RedisServer) -> None:
    url = durable_server.url
    one, two = board(url, "one"), board(url, "two")
    async with running(one, two):
        assert operators.force("stt", CircuitState.FORCED_OPEN, "ann", "drill", redis_url=url) == ["local-stt"]
        await until(lambda: all(b.usable("stt").forced for b in (one, two)), within_s=1)
        view = one.guard("local-stt").view()
        assert (view.by, view.why) == ("ann", "drill")
        await asyncio.sleep(1.1)  # appendfsync everysec: what an outage may cost is the last second.
        durable_server.kill()
        durable_server.start()
        late = board(url, "late")
        async with running(late):
            assert late.usable("stt").forced
        assert operators.views(url)[0].state is CircuitState.FORCED_OPEN
        operators.release("local-stt", redis_url=url)
        await until(lambda: all(b.usable("stt").usable for b in (one, two)))


async def test_a_hold_ends_by_itself_at_its_time(durable_redis: str) -> None:
    one = board(durable_redis, "one")
    async with running(one):
        operators.force("local-tts", CircuitState.FORCED_CLOSED, "ann", "", time.time() + 0.4, redis_url=durable_redis)
        await until(lambda: state(one, "local-tts") is CircuitState.FORCED_CLOSED)
        await until(lambda: state(one, "local-tts") is CircuitState.CLOSED, within_s=2)
        await until(lambda: all(not view.by for view in operators.views(durable_redis)), within_s=2)


async def test_a_bridges_own_circuit_counts_alone_but_is_held_with_all(durable_redis: str) -> None:
    one = board(durable_redis, "one", local=["turns:one"], open_s=30)
    two = board(durable_redis, "two", local=["turns:two"], open_s=30)
    async with running(one, two):
        spend(one, "turns:one", Verdict.FAIL, 3)
        assert not one.usable("turns").usable
        assert two.usable("turns").usable

        def shown() -> dict[str, CircuitState]:
            return {v.name: v.state for v in operators.views(durable_redis) if v.stage == "turns"}

        await until(lambda: shown() == {"turns:one": CircuitState.OPEN, "turns:two": CircuitState.CLOSED})
        operators.force("turns", CircuitState.FORCED_OPEN, "ann", "", redis_url=durable_redis)
        await until(lambda: two.usable("turns").forced and one.usable("turns").forced)
        assert set(shown().values()) == {CircuitState.FORCED_OPEN}
        operators.release("turns:two", redis_url=durable_redis)
        await until(lambda: two.usable("turns").usable)
    await until(lambda: not shown(), within_s=5, what="dead bridges' circuits vanish")


def test_a_hold_that_cannot_be_read_is_left_out_and_the_others_hold() -> None:
    hold = Hold(CircuitState.OPEN, "ops", "a test", 1.0)
    values = [msgspec.json.encode(hold), None, b"{", msgspec.json.encode(hold).replace(b"ops", b"\xff\xfes")]
    assert decode_holds(["kept", "none", "broken", "no-utf-8"], values) == {"kept": hold}


def test_orders_that_make_no_sense_are_refused(durable_redis: str) -> None:
    with pytest.raises(UnknownCircuitError, match="local-stt"):
        operators.release("nonsense", redis_url=durable_redis, engines=ENGINES)
    with pytest.raises(BadHoldError):
        operators.force("stt", CircuitState.OPEN, "ann", "", redis_url=durable_redis, engines=ENGINES)
    with pytest.raises(BadHoldError, match="passed"):
        operators.force("stt", CircuitState.FORCED_OPEN, "ann", "", 5.0, redis_url=durable_redis, engines=ENGINES)


def test_a_dead_redis_is_said(volatile_server: RedisServer) -> None:
    volatile_server.kill()
    with pytest.raises(CircuitsUnreachableError):
        operators.views(volatile_server.url)
