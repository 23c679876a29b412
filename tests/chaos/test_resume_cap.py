"""A bridge dies with more calls than the other one may take: those beyond its cap get the switch's own menu at once."""

from __future__ import annotations

import time

import pytest

from tests.chaos.compare import Happened, compare
from tests.chaos.faults import Notice
from tests.chaos.world import Load, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

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
        world.stack.until(lambda: in_last_resort(world) >= 1, "somebody in the last resort", 60.0)
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
    turned_away = [call for call in stored["calls"] if call["mode"] == "last_resort" and call["epoch"] >= 1]
    resumed = [call for call in stored["calls"] if call["epoch"] >= 2]
    assert turned_away, "every call of the dead bridge was taken: the cap does not hold"
    assert len(resumed) <= CALLERS, shown
    # The console's figures say the same as the callers.
    assert figures["calls_total"] == found.calls, shown
    assert (figures["live_calls"], figures["ai_failures_open"], figures["ai_failures_dropped"]) == (0, 0, 0), shown


def in_last_resort(world: World) -> int:
    return sum(call["mode"] == "last_resort" for call in world.stored()["calls"])
