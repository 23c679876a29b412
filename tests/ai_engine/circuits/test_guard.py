"""One circuit in one process, in virtual time."""

from __future__ import annotations

import pytest

from ai_engine.circuits.guard import PROBE_LIMIT_S, Guard, Move
from ai_engine.circuits.states import TRANSITIONS, CircuitState, Hold, Permit, Verdict


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wall() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock, wall: Clock) -> Guard:
    return Guard("one", "stt", threshold=3, open_s=15, clock=clock, wall_clock=wall)


def spend(guard: Guard, verdict: Verdict, times: int = 1, kind: str = "timeout") -> None:
    for _ in range(times):
        permit = guard.permit()
        assert permit is not None
        guard.record(permit, verdict, kind)


def test_consecutive_failures_open_it_and_nothing_is_permitted(guard: Guard) -> None:
    spend(guard, Verdict.FAIL, 2)
    spend(guard, Verdict.OK)
    spend(guard, Verdict.FAIL, 2)
    assert guard.view().state is CircuitState.CLOSED
    spend(guard, Verdict.FAIL)
    assert guard.view().state is CircuitState.OPEN
    assert guard.permit() is None
    assert guard.permit_probe() is None
    assert guard.view().why == "timeout"
    assert guard.view().retry_in_s == 15


def test_half_open_gives_callers_nothing_and_the_prober_one(guard: Guard, clock: Clock) -> None:
    spend(guard, Verdict.FAIL, 3)
    clock.now_s += 14.9
    assert guard.view().state is CircuitState.OPEN
    clock.now_s += 0.2
    assert guard.view().state is CircuitState.HALF_OPEN
    assert guard.permit() is None
    probe = guard.permit_probe()
    assert probe is not None
    assert guard.permit_probe() is None
    guard.record(probe, Verdict.OK)
    assert guard.view().state is CircuitState.CLOSED
    assert guard.failures == 0


def test_a_failed_probe_opens_it_for_the_whole_time_again(guard: Guard, clock: Clock) -> None:
    spend(guard, Verdict.FAIL, 3)
    clock.now_s += 15
    probe = guard.permit_probe()
    assert probe is not None
    guard.record(probe, Verdict.FAIL, "refused")
    assert guard.view().retry_in_s == 15
    assert guard.view().why == "refused"


def test_an_abandoned_outcome_counts_as_nothing(guard: Guard, clock: Clock) -> None:
    spend(guard, Verdict.FAIL, 2)
    spend(guard, Verdict.ABANDONED, 5)
    assert guard.failures == 2
    spend(guard, Verdict.FAIL)
    clock.now_s += 15
    probe = guard.permit_probe()
    assert probe is not None
    guard.record(probe, Verdict.ABANDONED)
    assert guard.view().state is CircuitState.HALF_OPEN
    assert guard.permit_probe() is not None


def test_outcomes_of_calls_begun_before_the_trip_are_ignored(guard: Guard, clock: Clock) -> None:
    early = [guard.permit() for _ in range(4)]
    spend(guard, Verdict.FAIL, 3)
    clock.now_s += 5
    for permit, verdict in zip(early, (Verdict.OK, Verdict.FAIL, Verdict.OK, Verdict.FAIL), strict=True):
        assert permit is not None
        guard.record(permit, verdict)
    assert guard.view().state is CircuitState.OPEN
    assert guard.view().retry_in_s == 10


def test_a_late_outcome_does_not_count_after_it_closed_again(guard: Guard, clock: Clock) -> None:
    early = guard.permit()
    assert early is not None
    spend(guard, Verdict.FAIL, 3)
    clock.now_s += 15
    probe = guard.permit_probe()
    assert probe is not None
    guard.record(probe, Verdict.OK)
    for _ in range(3):
        guard.record(early, Verdict.FAIL)
    assert guard.view().state is CircuitState.CLOSED
    assert guard.failures == 0


def test_a_probe_that_never_reports_is_given_up(guard: Guard, clock: Clock) -> None:
    spend(guard, Verdict.FAIL, 3)
    clock.now_s += 15
    lost = guard.permit_probe()
    assert lost is not None
    clock.now_s += PROBE_LIMIT_S
    second = guard.permit_probe(token="second")
    assert second is not None
    guard.record(lost, Verdict.OK)
    assert guard.view().state is CircuitState.HALF_OPEN


def test_the_wall_clock_does_not_matter_to_an_open_circuit(guard: Guard, clock: Clock, wall: Clock) -> None:
    spend(guard, Verdict.FAIL, 3)
    wall.now_s -= 3600
    clock.now_s += 15
    assert guard.view().state is CircuitState.HALF_OPEN


def test_forced_open_holds_whatever_succeeds_and_gives_no_probe(guard: Guard, clock: Clock) -> None:
    permit = guard.permit()
    assert permit is not None
    guard.set_hold(Hold(CircuitState.FORCED_OPEN, "ops", "drill", since=100))
    guard.record(permit, Verdict.OK)
    assert guard.permit() is None
    clock.now_s += 1000
    assert guard.view().state is CircuitState.FORCED_OPEN
    assert guard.permit_probe() is None
    guard.set_hold(None)
    assert guard.view().state is CircuitState.CLOSED


def test_forced_closed_serves_although_it_fails_and_released_shows_what_lies_beneath(guard: Guard) -> None:
    guard.set_hold(Hold(CircuitState.FORCED_CLOSED, "ops", "", since=100))
    spend(guard, Verdict.FAIL, 10)
    assert guard.usable
    guard.set_hold(None)
    assert guard.view().state is CircuitState.OPEN


def test_a_hold_ends_at_its_chosen_wall_clock_time(guard: Guard, wall: Clock) -> None:
    guard.set_hold(Hold(CircuitState.FORCED_OPEN, "ops", "", since=100, until=160))
    wall.now_s = 159.9
    assert guard.view().state is CircuitState.FORCED_OPEN
    wall.now_s = 160
    assert guard.view().state is CircuitState.CLOSED


def test_every_move_is_told_once_and_stands_in_the_table(guard: Guard, clock: Clock) -> None:
    moves: list[Move] = []
    guard.on_move = moves.append
    spend(guard, Verdict.FAIL, 3)
    clock.now_s += 15
    for verdict in (Verdict.FAIL, Verdict.OK):
        probe = guard.permit_probe()
        assert probe is not None
        guard.record(probe, verdict)
        clock.now_s += 15
    guard.set_hold(Hold(CircuitState.FORCED_OPEN, "ops", "x", since=1))
    guard.set_hold(Hold(CircuitState.FORCED_CLOSED, "ops", "x", since=1))
    guard.set_hold(None)
    table = {(row.before, row.after) for row in TRANSITIONS}
    assert {(move.before, move.after) for move in moves} <= table
    assert [move.after.value for move in moves] == [
        "open", "half_open", "open", "half_open", "closed", "forced_open", "forced_closed", "closed",
    ]  # fmt: skip


def test_the_fleets_count_and_state_are_adopted(guard: Guard, clock: Clock) -> None:
    old = guard.permit()
    guard.adopt(CircuitState.CLOSED, failures=2, age_s=0, why="", moved=False)
    spend(guard, Verdict.FAIL)
    assert guard.view().state is CircuitState.OPEN
    guard.adopt(CircuitState.OPEN, failures=3, age_s=4, why="hang", moved=True)
    assert guard.view().retry_in_s == 11
    assert guard.view().why == "hang"
    guard.adopt(CircuitState.CLOSED, failures=0, age_s=1, why="", moved=True)
    assert guard.permit() is not None
    assert isinstance(old, Permit)
    guard.record(old, Verdict.FAIL)
    assert guard.failures == 0


def test_a_probe_overtaken_by_the_fleet_gives_its_lock_back_and_says_nothing(guard: Guard, clock: Clock) -> None:
    told: list[tuple[str, Verdict]] = []
    guard.on_outcome = lambda _guard, permit, verdict, _kind: told.append((permit.token, verdict))
    spend(guard, Verdict.FAIL, 3)
    told.clear()
    clock.now_s += 15
    probe = guard.permit_probe("token")
    assert probe is not None
    guard.adopt(CircuitState.OPEN, failures=3, age_s=1, why="refused", moved=True)
    guard.record(probe, Verdict.OK)
    assert guard.view().state is CircuitState.OPEN
    assert told == [("token", Verdict.ABANDONED)]
