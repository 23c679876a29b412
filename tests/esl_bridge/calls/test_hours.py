"""Opening hours in a live call, spoken or by keypad: no person outside them, and everything else as ever."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from callflows.definition.flow import UNSPOKEN
from callflows.definition.hours import Hours, Span
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.call import Call
from esl_bridge.journal.events import AgentRequested, StepEntered
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.calls.harness import Line

# In November Vienna is an hour ahead of UTC: open from 8:00 to 16:00 UTC.
OFFICE = Hours("Europe/Vienna", ((Span(9 * 60, 17 * 60),),) * 7)
EVENING = datetime(2026, 11, 24, 19, 0, tzinfo=UTC)
LAST_MINUTE = datetime(2026, 11, 24, 15, 59, 30, tzinfo=UTC)


def line(began_at: datetime = EVENING, *, closed_greeting: bool = False) -> Line:
    flow = demonstration()
    system = flow.system if closed_greeting else replace(flow.system, closed_greeting=UNSPOKEN)
    made = Line(replace(flow, hours=OFFICE, system=system))
    made.began_at = began_at
    return made


def asks_for_nobody(closed: Line) -> None:
    assert (closed.all(order.TransferToAgent), closed.journal(AgentRequested)) == ([], [])
    assert "closed" in [event.step for event in closed.journal(StepEntered)]
    assert order.SetVariables({"intent": ""}) in closed.orders, "a heir does not begin it again"


def test_a_speaking_caller_is_told_and_goes_on_talking_to_the_ai() -> None:
    closed = line()
    closed.to_listening()
    closed.understood("person")
    assert closed.hear_out() == ["closed", "anything_else"]
    asks_for_nobody(closed)
    closed.understood("hours")
    assert closed.all(order.RunAction)[-1].action == "opening_hours"


def test_the_models_own_promise_of_a_person_is_not_heard() -> None:
    closed = line()
    closed.to_listening()
    closed.understood("person", reply=True)
    closed.tell(told.ReplyFileReady("/tmp/reply.wav"))
    assert closed.hear_out() == ["closed", "anything_else"]
    there = line(LAST_MINUTE)
    there.to_listening()
    there.understood("person", reply=True)
    there.tell(told.ReplyFileReady("/tmp/reply.wav"))
    assert there.hear_out()[-1] == "connecting"
    assert any("reply.wav" in play.file for play in there.all(order.Play))


def test_a_caller_who_presses_zero_while_talking_is_told_as_well() -> None:
    closed = line()
    closed.to_listening()
    closed.key("0")
    assert closed.hear_out() == ["closed", "anything_else"]
    asks_for_nobody(closed)


@pytest.mark.parametrize("key", ["0", "9"])
def test_in_the_keypad_menu_the_same_holds_and_the_call_ends_in_a_goodbye(key: str) -> None:
    closed = line()
    closed.connect(use=told.AiUse.TURNS_OPEN)
    closed.hear_out()
    closed.key(key)
    assert closed.hear_out() == ["closed", "anything_else_menu"]
    asks_for_nobody(closed)
    closed.wait(6)
    assert closed.hear_out() == ["goodbye"]
    assert closed.all(order.HangUp)


def test_an_action_that_fails_leads_to_nobody_either() -> None:
    closed = line()
    closed.to_listening()
    closed.understood("hours")
    closed.tell(told.ActionFailed(closed.all(order.RunAction)[-1].key, "timeout"))
    assert closed.hear_out() == ["action_failed", "closed", "anything_else"]
    asks_for_nobody(closed)


def test_the_clock_runs_on_during_the_call() -> None:
    late = line(LAST_MINUTE)
    late.to_listening()
    late.now += 29
    late.key("0")
    assert late.hear_out() == ["connecting"]
    assert late.all(order.TransferToAgent)
    later = line(LAST_MINUTE)
    later.to_listening()
    later.now += 30
    later.key("0")
    assert later.hear_out() == ["closed", "anything_else"]


@pytest.mark.parametrize("use", [told.AiUse.USABLE, told.AiUse.NO_ENGINE])
def test_a_new_call_hears_that_it_is_closed_before_the_greeting_when_the_flow_says_so(use: told.AiUse) -> None:
    closed = line(closed_greeting=True)
    closed.connect(use=use)
    assert closed.hear_out()[:2] == ["closed_greeting", "greeting"]
    there = line(LAST_MINUTE, closed_greeting=True)
    there.connect(use=use)
    assert there.hear_out()[0] == "greeting"
    silent = line()
    silent.connect(use=use)
    assert silent.hear_out()[0] == "greeting"


def test_a_call_that_another_bridge_takes_over_goes_by_that_bridges_clock() -> None:
    closed = line(LAST_MINUTE)
    closed.connect()
    heir = line(EVENING)
    heir.call = Call("bridge-2")
    heir.connect(kept={"owner": "bridge-1:1", "step": "listening", "mode": "fallback"})
    heir.hear_out()
    heir.key("0")
    assert heir.hear_out() == ["closed", "anything_else_menu"]
