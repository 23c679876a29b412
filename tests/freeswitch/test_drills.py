"""A drill on a real switch: it meets the calls that it was begun for, and no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.freeswitch.conftest import ESL
from tests.freeswitch.figures import over, until
from tests.freeswitch.test_whole_calls import Caller
from tests.stack import Stack

pytestmark = [
    pytest.mark.freeswitch,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ESL, reason="no real switch: set FREESWITCH_ESL=host:port:password"),
]
DRILL = ("drill", "start", "hang", "stt", "--for", "60")


@pytest.fixture
def caller(stack: Stack) -> Iterator[Caller]:
    made = Caller(stack.data_dir)
    yield made
    made.hang_up()
    stack.manage("drill", "end", check=False)


def incidents(stack: Stack) -> list[tuple[str, bool]]:
    """Of a drill's: the outcome, and whether its call was a simulated one."""
    with closing(sqlite3.connect(f"file:{stack.data_dir / 'lifeline.sqlite3'}?mode=ro", uri=True)) as records:
        rows = records.execute(
            "select i.outcome, c.is_simulated from console_incident i join console_call c on c.id = i.call_id where i.drill != ''"
        )
        return [(outcome, bool(simulated)) for outcome, simulated in rows]


def test_a_drill_for_simulated_calls_meets_one_that_says_so_through_a_loopback_and_no_other(stack: Stack, caller: Caller) -> None:
    stack.manage(*DRILL)
    before = stack.figures()
    real = Caller(stack.data_dir)
    try:
        real.call((5.5, "what is my balance"))
        caller.call((5.5, "what is my balance"), simulated=True)
        wanted = before["ai_failures_failed_over"] + 1
        until(stack, lambda figures: figures["ai_failures_failed_over"] >= wanted, "the simulated call hears the menu")
    finally:
        real.hang_up()
        caller.hang_up()
    after = over(stack)
    assert after["ai_failures_failed_over"] == wanted
    assert after["ai_failures_dropped"] == before["ai_failures_dropped"]
    assert incidents(stack) == [("failed_over", True)]


def test_a_drill_for_every_call_wants_its_number_twice_and_meets_a_real_one(stack: Stack, caller: Caller) -> None:
    refused = stack.manage(*DRILL, "--percent", "100", check=False)
    assert refused.returncode != 0
    stack.manage(*DRILL, "--percent", "100", "--confirm", "100")
    before = stack.figures()
    caller.call((5.5, "what is my balance"))
    wanted = before["ai_failures_failed_over"] + 1
    until(stack, lambda figures: figures["ai_failures_failed_over"] >= wanted, "the call hears the menu")
    caller.hang_up()
    assert over(stack)["ai_failures_dropped"] == before["ai_failures_dropped"]
    assert ("failed_over", False) in incidents(stack)
