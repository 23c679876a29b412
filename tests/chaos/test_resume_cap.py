"""A bridge dies with more calls than the other one may take: those beyond its cap get the switch's own menu at once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from console.projection import NO_BRIDGE
from tests.chaos.compare import Happened, compare
from tests.chaos.faults import Notice
from tests.chaos.world import Load, World

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(400)]

# Of new calls that get the AI; 1.2 times as many may be there at all, which makes three.
MAX_CALLS = 2
CAP = 3
CALLERS = 2 * CAP
SEED = 5


def test_resumes_beyond_the_cap_go_to_the_last_resort_and_none_is_lost() -> None:
    with World(bridges=2, small=True, LIFELINE_MAX_CALLS=str(MAX_CALLS)) as world:
        world.call(Load(speaking=0, keyed=CALLERS, keyed_scenario="keys_balance"), 45.0, SEED)
        # Both as full as they may be.
        world.stack.until(lambda: world.stack.figures()["live_calls"] >= CALLERS - 1, "both bridges full", 90.0)
        began_s = time.monotonic()
        world.stack.hold("bridge")
        world.stack.until(lambda: no_bridge_took(world.stored()), "somebody in the last resort", 60.0)
        world.stack.release("bridge")
        killed = Happened("kill bridge", Notice.BRIDGE_KILLED, began_s, time.monotonic())
        world.wait_for_the_last_call()
        figures = world.settled_figures()
        stored = world.stored()
        found = compare(world.records(), stored, [killed])
    shown = (found, figures)
    assert found.calls >= CALLERS, shown
    assert found.dropped == [], shown
    assert found.wrong == [], shown
    assert found.last_resort_as_lost == [], shown
    assert found.longest_ms[Notice.BRIDGE_KILLED] < 1000, shown
    # A bridge had had them: the incident that no bridge took them is of a later epoch than its.
    turned_away = no_bridge_took(stored)
    assert turned_away, "every call of the dead bridge was taken: the cap does not hold"
    assert {one["outcome"] for one in turned_away} == {"failed_over"}
    # The console's figures say the same as the callers.
    assert figures["calls_total"] == found.calls, shown
    failed_over = [call for call in stored["calls"] if any(one["outcome"] == "failed_over" for one in call["incidents"])]
    assert figures["ai_failures_failed_over"] == len(failed_over), shown
    assert (figures["live_calls"], figures["ai_failures_open"], figures["ai_failures_dropped"]) == (0, 0, 0), shown


def no_bridge_took(stored: dict[str, Any]) -> list[dict[str, Any]]:
    """The incidents of calls that a bridge had before, and none then."""
    incidents = [one for call in stored["calls"] for one in call["incidents"]]
    return [one for one in incidents if one["kind"] == NO_BRIDGE and one["opened_epoch"] > 1]
