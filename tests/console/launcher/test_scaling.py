"""Workers are called in while turns wait, and sent home when they have long been too many: the rule, and real processes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.messages import TURNS_GROUP, TURNS_STREAM, Heartbeat
from ai_engine.redis_clients import connect
from console.launcher import rolling
from console.launcher.rolling import roll
from console.launcher.scaling import BUSY_FOR_S, IDLE_FOR_S, Limits, Load, Scale, load_by
from tests.console.launcher.conftest import FakeStack, until
from tests.console.launcher.fake_stack import READY
from tests.console.launcher.test_rolling import PART, socket_of

LIMITS = Limits(waiting=3, least=2, most=4)
QUIET, WAITING, NEARLY_FULL = Load(0, 1, 16), Load(3, 0, 16), Load(0, 13, 16)


@pytest.mark.parametrize("busy", [WAITING, NEARLY_FULL, Load(3, 0, 0)])
def test_one_more_is_called_in_once_it_has_been_too_much_for_a_second(busy: Load) -> None:
    scale = Scale(LIMITS)
    assert scale.step(busy, 2, 0.0) == 0
    assert scale.step(busy, 2, BUSY_FOR_S - 0.1) == 0
    assert scale.step(busy, 2, BUSY_FOR_S) == 1
    assert scale.step(busy, 3, BUSY_FOR_S + 0.5) == 0, "the new one is given its chance"


@pytest.mark.parametrize("between", [QUIET, None])
def test_what_lasts_a_moment_or_is_not_known_calls_nobody(between: Load | None) -> None:
    scale = Scale(LIMITS)
    scale.step(WAITING, 2, 0.0)
    scale.step(between, 2, 0.5)
    assert scale.step(WAITING, 2, BUSY_FOR_S) == 0


def test_one_goes_after_a_minute_in_which_the_others_would_have_been_enough() -> None:
    scale = Scale(LIMITS)
    assert scale.step(Load(0, 5, 24), 3, 0.0) == 0
    assert scale.step(Load(0, 8, 24), 3, IDLE_FOR_S - 1) == 0
    assert scale.step(Load(0, 8, 24), 3, IDLE_FOR_S) == -1
    assert scale.step(Load(0, 9, 24), 3, IDLE_FOR_S * 3) == 0, "two would be more than half taken"


@given(st.lists(st.tuples(st.sampled_from([QUIET, WAITING, NEARLY_FULL, None]), st.floats(0.1, 100)), max_size=60))
def test_there_are_never_more_or_fewer_than_allowed(story: list[tuple[Load | None, float]]) -> None:
    scale, workers, now_s = Scale(LIMITS), LIMITS.least, 0.0
    for load, passes_s in story:
        now_s += passes_s
        workers += scale.step(load, workers, now_s)
        assert LIMITS.least <= workers <= LIMITS.most


def test_the_load_is_what_redis_holds(volatile_redis: str) -> None:
    look = load_by(volatile_redis)
    assert look() == Load(0, 0, 0)
    with connect(volatile_redis) as client:
        client.xgroup_create(TURNS_STREAM, TURNS_GROUP, id="0", mkstream=True)
        for _ in range(5):
            client.xadd(TURNS_STREAM, {"m": b"x"})
        client.xreadgroup(TURNS_GROUP, "worker-1", {TURNS_STREAM: ">"}, count=2)
        client.set("worker:worker-1", msgspec.json.encode(Heartbeat(2, 8)))
    assert look() == Load(waiting=3, turns=2, places=8)
    with connect(volatile_redis) as client:
        client.set("worker:worker-2", b"no heartbeat")
    assert look() is None


def test_without_redis_nothing_is_known(tmp_path: Path) -> None:
    assert load_by(f"unix://{tmp_path}/none")() is None


def test_a_spare_worker_is_called_in_sent_home_in_good_order_and_called_in_again(
    stack: FakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "STEADY_S", 0.3)
    load = tmp_path / "load"
    parts = [("redis", 4, PART), ("worker-1", 2, PART), ("worker-2", 2, PART)]
    stack.start(*parts, spare=["worker-2"], load=load)
    stack.until_said(READY)
    assert stack.part("worker-2")["state"] == "spare"
    roll(socket_of(stack), lambda _line: None)
    assert stack.part("worker-2")["state"] == "spare", "a rolling restart wakes nobody"

    load.write_bytes(msgspec.json.encode(Load(9, 0, 8)))
    stack.until_said("worker-2 is called in: 9 turns wait, 0 of 8 places are taken")
    until(lambda: stack.part("worker-2")["state"] == "running", "it runs")
    load.write_bytes(msgspec.json.encode(Load(0, 0, 16)))
    stack.until_said("worker-2 is not needed any more")
    until(lambda: stack.part("worker-2")["state"] == "spare", "it is spare again")
    assert stack.part("worker-2")["last_exit"] == 0
    assert stack.part("worker-1")["restarts"] == 1, "only by the rolling restart"

    load.write_bytes(msgspec.json.encode(Load(9, 0, 8)))
    until(lambda: stack.part("worker-2")["state"] == "running", "it runs again")
    assert stack.interrupt() == 0
    assert stack.left() == []


def test_a_spare_worker_that_is_held_stays_down_whatever_waits(stack: FakeStack, tmp_path: Path) -> None:
    load = tmp_path / "load"
    parts = [("redis", 4, PART), ("worker-1", 2, PART), ("worker-2", 2, PART), ("worker-3", 2, PART)]
    stack.start(*parts, spare=["worker-2", "worker-3"], load=load)
    stack.until_said(READY)
    stack.ask("hold", "worker-2")
    load.write_bytes(msgspec.json.encode(Load(9, 0, 8)))
    stack.until_said("worker-3 is called in")
    assert stack.part("worker-2")["state"] == "held"


def test_a_fault_in_looking_ends_the_looking_and_nothing_else(stack: FakeStack, tmp_path: Path) -> None:
    load = tmp_path / "load"
    stack.start(("redis", 4, PART), ("worker-1", 2, PART), ("worker-2", 2, PART), spare=["worker-2"], load=load)
    stack.until_said(READY)
    load.write_bytes(b"no load")
    stack.until_said("workers are no longer called in or sent home")
    assert stack.part("worker-1")["state"] == "running"
    assert stack.interrupt() == 0
