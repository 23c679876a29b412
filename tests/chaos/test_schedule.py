"""The plan of a run: repeatable, complete, singly and in pairs, and over in time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.chaos.__main__ import seconds
from tests.chaos.schedule import LAST_REST_S, Kind, plan

KINDS = [Kind(f"fault {number}", (2.0, 4.0)) for number in range(8)]


def test_a_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(7, 300, KINDS) == plan(7, 300, KINDS)
    assert plan(7, 300, KINDS) != plan(8, 300, KINDS)


def test_every_fault_comes_before_the_run_ends_singly_and_in_pairs() -> None:
    planned = plan(3, 300, KINDS)
    assert {one.fault for one in planned} == {kind.name for kind in KINDS}
    sizes = [sum(other.round == one.round for other in planned) for one in planned]
    assert set(sizes) == {1, 2}
    assert all(one.at_s + one.lasts_s <= 300 - LAST_REST_S for one in planned)
    starts = {one.round: one.at_s for one in planned if one.at_s == min(o.at_s for o in planned if o.round == one.round)}
    assert all(one < other for one, other in pairwise(starts.values()))


def test_what_clashes_is_never_at_the_same_time_whoever_says_so() -> None:
    kinds = [Kind("a", (1.0, 2.0), frozenset({"b"})), Kind("b", (1.0, 2.0)), Kind("c", (1.0, 2.0))]
    rounds: dict[int, set[str]] = {}
    for one in plan(5, 3000, kinds):
        rounds.setdefault(one.round, set()).add(one.fault)
    assert {"a", "b"} not in rounds.values()
    assert {"a", "c"} in rounds.values()


def test_one_fault_alone_has_no_partner() -> None:
    assert len({one.round for one in plan(1, 100, KINDS[:1])}) == len(plan(1, 100, KINDS[:1])) > 1


@pytest.mark.parametrize(("text", "wanted"), [("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600)])
def test_durations_as_people_write_them(text: str, wanted: float) -> None:
    assert seconds(text) == wanted
