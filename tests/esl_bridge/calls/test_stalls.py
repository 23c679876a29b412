"""A bridge that stood still and wakes: what waits unread is heard before any deadline is past, the dead man's timer first."""

from __future__ import annotations

from datetime import time

import pytest

from ai_engine.messages import MediaReport, SpeechStarted
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.call import CATCH_UP_S
from esl_bridge.calls.ownership import TIMER_S
from esl_bridge.calls.speaker import GRACE_S
from esl_bridge.journal.events import IncidentClosed, IncidentOpened, IntentServed, Outcome
from tests.esl_bridge.calls.harness import UUID, Line

# Shorter than what makes the call's owner doubtful; longer than the gateway may be silent.
STALL_S = 2.4


@pytest.fixture
def woken() -> Line:
    """Listening, and then no one ran this process: its timer comes late."""
    line = Line()
    line.to_listening()
    line.taken()
    line.now += STALL_S
    line.tell(told.TimePassed())
    return line


def test_no_engine_and_no_gateway_is_blamed_for_a_stall_of_ours(woken: Line) -> None:
    woken.tell(MediaReport(UUID, woken.turn(), 12))
    woken.wait(1.4)
    assert woken.journal(IncidentOpened) == []


def test_a_gateway_that_says_nothing_after_the_stall_either_is_a_failure(woken: Line) -> None:
    assert woken.journal(IncidentOpened) == []
    woken.wait(CATCH_UP_S)
    assert [(one.stage, one.kind) for one in woken.journal(IncidentOpened)] == [("gateway", "no_frames")]


def test_the_dead_mans_timer_is_armed_without_waiting() -> None:
    line = Line()
    line.connect()
    line.begin_play()
    line.tell(told.TimerArmed("timer-1"))
    armed = len(line.all(order.ArmTimer))
    line.now += 4.9
    line.tell(told.TimePassed())
    assert len(line.all(order.ArmTimer)) == armed + 1


def test_a_key_pressed_during_the_stall_counts_before_the_end_of_waiting_for_it() -> None:
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    line.hear_out()
    said = len(line.all(order.Play))
    line.now += 30.0
    line.tell(told.TimePassed())
    assert len(line.all(order.Play)) == said, "the menu was not repeated"
    line.key("3")
    assert line.all(order.Play)[said:], "the key was acted on"


def test_a_loop_that_is_always_late_asks_again_all_the_same() -> None:
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    line.hear_out()
    said = len(line.all(order.Play))
    for late_s in (6.0, 1.0):
        line.now += late_s
        line.tell(told.TimePassed())
    assert len(line.all(order.Play)) > said, "the menu was repeated"


def test_a_prompt_that_a_slow_switch_begins_late_is_heard_to_its_end() -> None:
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    line.hear_out()
    line.wait(6.0)
    said = len(line.all(order.Play))
    prompt = line.playing()
    assert prompt is not None, "the menu is said again"
    line.wait(GRACE_S - 0.1)
    line.begin_play()
    line.wait(line.length_s(prompt.file) + 0.2)
    assert len(line.all(order.Play)) == said, "nothing is said over it"
    line.end_play()
    assert len(line.all(order.Play)) == said + 1


def served(use: told.AiUse = told.AiUse.USABLE) -> Line:
    """They have heard their answer, and are asked whether there is anything else."""
    line = Line()
    if use is told.AiUse.USABLE:
        line.to_listening()
        line.understood("hours")
    else:
        line.connect(use=use)
        line.hear_out()
        line.key("2")
    line.tell(told.ActionDone(line.all(order.RunAction)[-1].key, "open", {"closes": time(18, 0)}))
    line.hear_out()
    assert line.journal(IntentServed), "the answer was heard"
    return line


def lost_in_a_stall(line: Line) -> list[tuple[str, Outcome]]:
    """The bridge stands still here, and its caller goes meanwhile."""
    line.tell(told.StoodStill())
    line.tell(told.HungUp("NORMAL_CLEARING"))
    ends = {one.incident_id: one.outcome for one in line.journal(IncidentClosed)}
    return [(one.kind, ends[one.incident_id]) for one in line.journal(IncidentOpened)]


def test_who_has_been_served_and_goes_while_we_stand_still_was_not_lost() -> None:
    assert lost_in_a_stall(served()) == []
    assert lost_in_a_stall(served(told.AiUse.NO_ENGINE)) == []


def test_who_has_been_served_and_says_no_thank_you_was_not_lost_either() -> None:
    line = served()
    line.understood("", transcript="no thank you")
    line.begin_play()
    assert lost_in_a_stall(line) == []


def test_who_has_been_served_and_says_nothing_more_was_not_lost_either() -> None:
    line = served(told.AiUse.NO_ENGINE)
    line.wait(6.0)
    assert line.hear_out() == ["goodbye"]
    assert lost_in_a_stall(line) == []


def test_who_has_been_served_and_asks_for_more_while_we_stand_still_was_lost() -> None:
    line = served()
    line.taken()
    line.tell(SpeechStarted(UUID, line.turn()))
    assert lost_in_a_stall(line) == [("stood_still", Outcome.DROPPED)]


@pytest.mark.parametrize(("use", "key"), [(told.AiUse.USABLE, "0"), (told.AiUse.NO_ENGINE, "0"), (told.AiUse.NO_ENGINE, "*")])
@pytest.mark.parametrize("held", [True, False])
def test_who_has_been_served_and_then_pressed_a_key_was_lost(use: told.AiUse, key: str, held: bool) -> None:
    line = served(use)
    if held:
        line.tell(told.PutOnHold())
    line.key(key)
    assert lost_in_a_stall(line) == [("stood_still", Outcome.DROPPED)]


@pytest.mark.parametrize("intent", ["balance", ""])
def test_who_has_been_served_and_said_what_we_are_not_sure_of_was_lost(intent: str) -> None:
    line = served()
    line.understood(intent, confidence=0.6)
    line.begin_play()
    assert lost_in_a_stall(line) == [("stood_still", Outcome.DROPPED)]


@pytest.mark.parametrize("intent", ["balance", ""])
def test_who_has_been_served_and_spoke_in_a_turn_that_failed_was_lost_though_they_had_heard_the_keys(intent: str) -> None:
    line = served()
    line.turn_fails(stage="tts", intent=intent)
    while not line.journal(IncidentClosed):
        line.end_play()
    assert lost_in_a_stall(line) == [("refused", Outcome.FAILED_OVER), ("stood_still", Outcome.DROPPED)]


def test_who_waits_for_an_answer_and_goes_while_we_stand_still_was_lost() -> None:
    line = Line()
    line.to_listening()
    line.understood("hours")
    line.tell(told.StoodStill())
    assert [one.kind for one in line.journal(IncidentOpened)] == ["stood_still"]


def test_a_busy_loop_is_no_stall() -> None:
    line = Line()
    line.to_listening()
    line.taken()
    line.now += 1.7
    line.tell(told.TimePassed())
    assert [one.kind for one in line.journal(IncidentOpened)] == ["no_frames"]


def confirmed_after_a_stall() -> Line:
    """The switch named us when it was asked; the timer fired before its answer was read, and ours is armed into another's call."""
    line = Line()
    line.to_listening()
    line.tell(told.TimerArmed("4"))
    line.now += TIMER_S + 1
    assert line.call.in_doubt(line.now)
    line.orders += line.call.owner_confirmed(line.now)
    assert isinstance(line.orders[-1], order.ArmTimer)
    return line


@pytest.mark.parametrize("answer_comes_first", [True, False])
def test_a_timer_that_was_armed_upon_an_answer_that_was_true_no_more_is_taken_back(*, answer_comes_first: bool) -> None:
    line = confirmed_after_a_stall()
    if answer_comes_first:
        line.tell(told.TimerArmed("77"))
        assert line.tell(told.OwnerChanged())[-1:] == [order.DeleteTimer("77")]
    else:
        assert order.DeleteTimer("77") not in line.tell(told.OwnerChanged())
        assert line.tell(told.TimerArmed("77")) == [order.DeleteTimer("77")]
    assert line.call.wake_at() is None


def test_of_a_timer_that_has_fired_nothing_is_said_when_another_has_the_call() -> None:
    line = Line()
    line.to_listening()
    line.tell(told.TimerArmed("4"))
    line.now += TIMER_S
    assert [one for one in line.tell(told.OwnerChanged()) if isinstance(one, order.DeleteTimer)] == []


def test_the_answer_to_a_timer_of_a_call_that_is_over_is_followed_by_nothing() -> None:
    line = confirmed_after_a_stall()
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert line.tell(told.TimerArmed("77")) == []
