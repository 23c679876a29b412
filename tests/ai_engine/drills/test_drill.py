"""Which calls a drill covers, and which drills may begin."""

from __future__ import annotations

import uuid

import pytest

from ai_engine.drills.drill import MOST_RECOVERY_S, Drill, Running, Scope, check, recovery_s
from ai_engine.drills.errors import BadDrillError
from tests.ai_engine.drills.examples import drill

CALLS = [str(uuid.UUID(int=number * 7919)) for number in range(4000)]


def share(one: Drill) -> float:
    return sum(one.covers(call, simulated=False) for call in CALLS) / len(CALLS)


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_a_percentage_of_calls_is_covered_and_always_the_same_ones(percent: int) -> None:
    one = drill(scope=Scope.PERCENT, percent=percent)
    assert share(one) == pytest.approx(percent / 100, abs=0.02)
    assert [one.covers(call, simulated=False) for call in CALLS] == [one.covers(call, simulated=True) for call in CALLS]


def test_a_hundred_percent_is_every_call() -> None:
    assert share(drill(scope=Scope.PERCENT, percent=100)) == 1


def test_a_larger_share_holds_the_smaller_one() -> None:
    small, large = (drill(scope=Scope.PERCENT, percent=percent) for percent in (10, 20))
    assert all(large.covers(call, simulated=False) for call in CALLS if small.covers(call, simulated=False))


def test_another_drill_meets_other_callers() -> None:
    first, second = (drill(scope=Scope.PERCENT, percent=10, drill_id=name) for name in ("d1", "d2"))
    both = sum(first.covers(call, simulated=False) and second.covers(call, simulated=False) for call in CALLS)
    assert both / len(CALLS) < 0.03


def test_a_drill_for_simulated_calls_never_covers_a_real_one() -> None:
    one = drill(percent=100)
    assert not any(one.covers(call, simulated=False) for call in CALLS)
    assert all(one.covers(call, simulated=True) for call in CALLS)


def test_its_circuits_are_no_engines() -> None:
    assert drill().circuit("local-nlu") == "drill:d1:local-nlu"


@pytest.mark.parametrize(
    "bad",
    [
        drill(duration_s=1), drill(duration_s=1e9), drill(scope=Scope.PERCENT, percent=0),
        drill(scope=Scope.PERCENT, percent=101), drill(recovery_s=1e9),
    ],
)  # fmt: skip
def test_what_must_not_begin_is_refused(bad: Drill) -> None:
    with pytest.raises(BadDrillError):
        check(bad)


def test_it_fails_first_and_then_lets_circuits_close() -> None:
    one = drill(duration_s=30, recovery_s=5)
    assert Running(one, 35).failing_left_s == 30
    assert Running(one, 4).failing_left_s == 0
    assert recovery_s(15) == 23
    assert recovery_s(3600) == MOST_RECOVERY_S
