"""What moved, told once in the fleet and kept in Redis: by itself, by operators, in a bridge alone, while Redis was away."""

from __future__ import annotations

import time

import pytest

from ai_engine.circuits import keys, operators
from ai_engine.circuits.history import CircuitMove, How
from ai_engine.circuits.states import TRANSITIONS, CircuitState, Verdict
from ai_engine.redis_clients import connect
from tests.ai_engine.circuits.boards import board, claimed, running, spend, state
from tests.ai_engine.waiting import until
from tests.redis_server import RedisServer


def told(url: str) -> list[CircuitMove]:
    """The oldest first."""
    return operators.moves(url, 100)[::-1]


def steps(moves: list[CircuitMove]) -> list[tuple[str, str, str]]:
    return [(move.before, move.after, move.why) for move in moves]


async def test_each_move_is_told_once_however_many_processes_saw_it(durable_redis: str) -> None:
    boards = [board(durable_redis, f"p{n}") for n in range(4)]
    async with running(*boards):
        spend(boards[1], "local-stt", Verdict.FAIL, 3)
        await until(lambda: all(state(b, "local-stt") is CircuitState.HALF_OPEN for b in boards))
        probe = await claimed(boards[2])
        boards[2].guard("local-stt").record(probe, Verdict.FAIL, "refused")
        await until(lambda: all(state(b, "local-stt") is CircuitState.OPEN for b in boards))
        probe = await claimed(boards[3])
        boards[3].guard("local-stt").record(probe, Verdict.OK)
        await until(lambda: all(state(b, "local-stt") is CircuitState.CLOSED for b in boards))
    moves = told(durable_redis)
    assert steps(moves) == [
        ("closed", "open", "timeout"),
        ("open", "half_open", "timeout"),
        ("half_open", "open", "refused"),
        ("open", "half_open", "timeout"),
        ("half_open", "closed", "probe"),
    ]
    assert {(move.circuit, move.how, move.by) for move in moves} == {("local-stt", How.AUTOMATIC, "")}
    assert {(row.before.value, row.after.value) for row in TRANSITIONS} >= {(move.before, move.after) for move in moves}
    assert [move.at for move in moves] == sorted(move.at for move in moves)
    assert moves[-1].lasted_s == pytest.approx(moves[-1].at - moves[0].at, abs=0.002)
    assert abs(time.time() - moves[-1].at) < 30


async def test_the_end_of_the_open_time_is_told_without_traffic_and_dated_rightly(durable_redis: str) -> None:
    one = board(durable_redis, "one")
    async with running(one):
        spend(one, "local-tts", Verdict.FAIL, 3)
        await until(lambda: len(told(durable_redis)) == 2)
    opened, halved = told(durable_redis)
    assert (halved.before, halved.after) == ("open", "half_open")
    assert halved.at - opened.at == pytest.approx(0.3, abs=0.002)


async def test_holds_are_told_with_who_why_and_until_apart_from_what_moves_beneath(durable_redis: str) -> None:
    one = board(durable_redis, "one", open_s=30)
    async with running(one):
        ends = time.time() + 60
        operators.force("nlu", CircuitState.FORCED_CLOSED, "ann", "a drill", ends, redis_url=durable_redis)
        await until(lambda: state(one, "local-nlu") is CircuitState.FORCED_CLOSED)
        spend(one, "local-nlu", Verdict.FAIL, 3)
        await until(lambda: not one.guard("local-nlu").dirty)
        operators.force("nlu", CircuitState.FORCED_OPEN, "bob", "enough", redis_url=durable_redis)
        operators.release("nlu", redis_url=durable_redis, by="cy", why="over")
        operators.release("nlu", redis_url=durable_redis, by="cy", why="again")
    moves = told(durable_redis)
    assert [(move.how, move.before, move.after, move.by, move.why) for move in moves] == [
        (How.FORCED, "closed", "forced_closed", "ann", "a drill"),
        (How.AUTOMATIC, "closed", "open", "", "timeout"),
        (How.FORCED, "forced_closed", "forced_open", "bob", "enough"),
        (How.RELEASED, "forced_open", "open", "cy", "over"),
    ]
    assert moves[0].until == pytest.approx(ends, abs=0.002)
    assert moves[2].until is None


async def test_a_hold_that_ends_by_itself_is_told_once_with_its_own_time(durable_redis: str) -> None:
    boards = [board(durable_redis, f"p{n}") for n in range(3)]
    async with running(*boards):
        ends = time.time() + 0.5
        operators.force("tts", CircuitState.FORCED_OPEN, "ann", "short", ends, redis_url=durable_redis)
        await until(lambda: len(told(durable_redis)) > 1)
    held, ended = told(durable_redis)
    assert (ended.how, ended.before, ended.after, ended.by) == (How.EXPIRED, "forced_open", "closed", "ann")
    assert ended.at == pytest.approx(ends, abs=0.002)
    assert ended.lasted_s == pytest.approx(ends - held.at, abs=0.01)


async def test_every_bridges_turns_and_one_bridges_own_moves_are_told(durable_redis: str) -> None:
    one = board(durable_redis, "one", local=["turns:one"], open_s=0.2)
    async with running(one):
        spend(one, "turns:one", Verdict.FAIL, 3)
        await until(lambda: state(one, "turns:one") is CircuitState.HALF_OPEN)
        probe = await claimed(one, "turns:one")
        one.guard("turns:one").record(probe, Verdict.OK)
        await until(lambda: len(told(durable_redis)) == 3)
        operators.force("turns", CircuitState.FORCED_OPEN, "ann", "drill", redis_url=durable_redis)
        await until(lambda: one.usable("turns").forced)
        operators.release("turns", redis_url=durable_redis, by="ann")
        await until(lambda: one.usable("turns").usable)
    moves = told(durable_redis)
    assert steps(moves[:3]) == [
        ("closed", "open", "timeout"), ("open", "half_open", "timeout"), ("half_open", "closed", "probe"),
    ]  # fmt: skip
    assert [(move.circuit, move.how, move.before, move.after) for move in moves[3:]] == [
        ("turns", How.FORCED, "", "forced_open"),
        ("turns", How.RELEASED, "forced_open", ""),
    ]
    assert moves[2].lasted_s == pytest.approx(moves[2].at - moves[0].at, abs=0.05)


async def test_what_moved_while_redis_was_away_is_told_when_it_is_back(durable_server: RedisServer) -> None:
    url = durable_server.url
    one = board(url, "one", local=["turns:one"], open_s=30)
    async with running(one):
        durable_server.kill()
        await until(lambda: one.redis_away)
        spend(one, "local-nlu", Verdict.FAIL, 3)
        spend(one, "turns:one", Verdict.FAIL, 3)
        moved_at = time.time()
        durable_server.start()
        await until(lambda: not one.redis_away and not one.guard("local-nlu").dirty)
        await until(lambda: len(told(url)) == 2)
    moves = told(url)
    assert {(move.circuit, move.before, move.after) for move in moves} == {
        ("local-nlu", "closed", "open"), ("turns:one", "closed", "open"),
    }  # fmt: skip
    assert all(abs(move.at - moved_at) < 0.1 for move in moves), "dated when it happened, not when it was told"


def test_an_entry_of_another_version_is_left_out(durable_redis: str) -> None:
    with connect(durable_redis) as client:
        client.xadd(keys.MOVES, {"shape": "unknown"})
    operators.force("turns", CircuitState.FORCED_OPEN, "ann", "", redis_url=durable_redis)
    assert [move.circuit for move in told(durable_redis)] == ["turns"]
