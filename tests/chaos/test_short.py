"""The chaos run in short, with a plan by hand: one of each kind of end, with callers who speak and callers who press keys."""

from __future__ import annotations

import pytest

from tests.chaos import agreement, report
from tests.chaos.compare import LIMITS_S
from tests.chaos.faults import all_faults
from tests.chaos.run import run
from tests.chaos.schedule import Planned
from tests.chaos.world import Load, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

SEED = 11
DURATION_S = 34.0
PLAN = [
    Planned(1, "kill bridge", 4.0, 3.0),
    Planned(2, "engine hang all", 9.0, 4.0),
    Planned(2, "kill worker-1", 10.0, 3.0),
    Planned(3, "freeze bridge-2", 16.0, 8.0),
    Planned(4, "kill redis-volatile", 27.0, 3.0),
]


def test_nothing_that_dies_drops_a_call_and_the_records_agree_with_the_callers() -> None:
    said: list[str] = []
    with World(bridges=3, small=True) as world:
        ran = run(world, all_faults(world), PLAN, Load(speaking=2, keyed=3), DURATION_S, SEED, said.append)
    found = ran.findings
    shown = "\n".join([*said, *report.lines(found, ran.happened)])
    assert found.calls >= 5, shown
    assert found.dropped == [], shown
    assert found.wrong == [], shown
    assert found.last_resort_as_lost == [], shown
    # No measure of the machine: who waits for twice as long as may be has been forgotten, not served late.
    assert [notice for notice, ms in found.longest_ms.items() if ms > 2000 * LIMITS_S[notice]] == [], shown
    assert agreement.compare(found.ways) == [], shown
    assert (found.journal_lost, found.journal_repeated) == (0, 0), shown
    assert sorted(fault.name for fault in ran.happened) == sorted(one.fault for one in PLAN)
