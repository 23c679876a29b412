"""A caller whose telephone puts us on hold: no audio of theirs comes, and that is nobody's failure."""

from __future__ import annotations

from datetime import time

import pytest

from ai_engine.messages import SpeechStarted, TurnDone
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.listening import MEDIA_SILENCE_S
from esl_bridge.journal.events import (
    CallEnded,
    FellBack,
    IncidentClosed,
    IncidentOpened,
    IntentServed,
    Outcome,
    SlotCollected,
    TurnFinished,
    TurnOutcome,
)
from tests.esl_bridge.calls.harness import UUID, Line

LONG_S = 600.0


def test_a_hold_while_we_listen_is_no_failure_and_the_question_is_put_again() -> None:
    line = Line()
    line.to_listening()
    line.taken()
    line.tell(told.PutOnHold())
    line.wait(LONG_S)
    assert not line.journal(IncidentOpened)
    assert [one.outcome for one in line.journal(TurnFinished)] == [TurnOutcome.ABANDONED]
    turns = len(line.all(order.PublishTurn))
    line.tell(told.TakenOffHold())
    assert line.hear_out() == [line.flow.system.greeting.text]
    assert len(line.all(order.PublishTurn)) == turns + 1
    assert line.all(order.SettleTurn)[0].verdict is order.TurnVerdict.ABANDONED


def test_a_prompt_that_ends_while_we_are_held_is_followed_by_no_turn_until_they_are_back() -> None:
    line = Line()
    line.connect()
    line.stream_up()
    line.begin_play()
    line.tell(told.PutOnHold())
    line.hear_out()
    line.wait(MEDIA_SILENCE_S * 2)
    assert not line.all(order.PublishTurn)
    line.tell(told.TakenOffHold())
    line.hear_out()
    assert len(line.all(order.PublishTurn)) == 1


def test_what_was_said_before_the_hold_is_answered_after_it() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.tell(told.PutOnHold())
    line.tell(TurnDone(UUID, line.turn(), "words", "hours", 0.95, {}, "", False, ()))
    line.wait(LONG_S)
    assert not line.journal(IncidentOpened)
    assert line.playing() is None, "nobody would hear it"
    assert not line.journal(IntentServed)
    line.tell(told.TakenOffHold())
    assert line.all(order.RunAction)


def test_what_plays_when_the_hold_begins_is_broken_off_and_said_again() -> None:
    line = Line()
    line.connect()
    line.stream_up()
    line.begin_play()
    line.tell(told.PutOnHold())
    assert line.all(order.StopPlayback)
    line.end_play("FILE PLAYED")
    line.wait(LONG_S)
    assert line.playing() is None
    assert not line.all(order.PublishTurn)
    line.tell(told.TakenOffHold())
    assert line.hear_out() == [line.flow.system.greeting.text]


def test_a_menu_that_nobody_could_hear_is_no_proof_that_the_caller_was_kept() -> None:
    """The worst of errors: a record that says failed over of a caller who heard nothing of it."""
    line = Line()
    line.to_listening()
    line.speak()
    line.tell(told.PutOnHold())
    line.turn_fails()
    assert line.journal(IncidentOpened)
    line.wait(LONG_S)
    assert line.playing() is None
    assert not line.journal(IncidentClosed)
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert [one.outcome for one in line.journal(IncidentClosed)] == [Outcome.DROPPED]


def test_the_menu_of_a_failure_in_a_hold_is_heard_after_it_and_then_counts() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.tell(told.PutOnHold())
    line.turn_fails()
    line.wait(LONG_S)
    line.tell(told.TakenOffHold())
    line.hear_out()
    (closed,) = line.journal(IncidentClosed)
    assert (closed.outcome, closed.silence_ms) == (Outcome.FAILED_OVER, None), "the silence was the caller's own"


def test_a_hold_before_the_menu_s_first_word_is_no_silence_of_ours() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    line.tell(told.PutOnHold())
    line.hear_out()
    line.wait(LONG_S)
    line.tell(told.TakenOffHold())
    line.hear_out()
    assert [one.silence_ms for one in line.journal(IncidentClosed)] == [None]


def test_a_hold_that_is_over_before_the_failure_leaves_no_silence_either() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.tell(told.PutOnHold())
    line.wait(1.0)
    line.tell(told.TakenOffHold())
    line.turn_fails()
    line.hear_out()
    assert [one.silence_ms for one in line.journal(IncidentClosed)] == [None]


def test_a_hold_after_the_first_word_of_a_reply_changes_nothing_of_the_silence_before_it() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.wait(0.5)
    line.replying("One moment.", "hours")
    line.tell(told.ReplyFileReady("/r1.wav"))
    line.begin_play()
    line.tell(told.PutOnHold())
    line.end_play(started=False)
    line.wait(1.0)
    line.turn_fails()
    line.tell(told.TakenOffHold())
    line.hear_out()
    assert [one.silence_ms for one in line.journal(IncidentClosed)] == [500.0]


def test_the_menu_is_offered_again_after_a_hold_and_then_waits_as_long_as_ever() -> None:
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    offered = line.hear_out()
    line.tell(told.PutOnHold())
    line.wait(LONG_S)
    assert line.playing() is None, "not one try of three is used up"
    line.tell(told.TakenOffHold())
    assert line.hear_out() == offered
    line.wait(4.0)
    assert line.playing() is None
    line.wait(2.0)
    assert line.playing() is not None


def test_who_interrupted_the_question_and_then_holds_us_is_asked_it_again() -> None:
    line = Line()
    line.connect()
    line.stream_up()
    line.begin_play()
    watched = line.all(order.WatchFor)[-1]
    line.tell(SpeechStarted(UUID, watched.turn))
    line.end_play()
    line.taken()
    line.tell(told.PutOnHold())
    line.wait(LONG_S)
    line.tell(told.TakenOffHold())
    assert line.hear_out() == [line.flow.system.greeting.text]


def test_who_has_pressed_some_digits_and_then_holds_us_is_asked_for_the_rest() -> None:
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    line.hear_out()
    line.key("1")
    asked = line.hear_out()
    line.key("4")
    line.key("2")
    line.tell(told.PutOnHold())
    line.wait(LONG_S)
    assert line.playing() is None
    line.tell(told.TakenOffHold())
    assert line.hear_out() == asked
    line.wait(30.0)
    assert line.playing() is not None, "and the wait for a key is bounded again"


def test_a_caller_in_a_hold_is_neither_hung_up_on_nor_given_to_a_person() -> None:
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    line.hear_out()
    line.tell(told.PutOnHold())
    line.key("0")  # by SIP INFO, which needs no audio
    line.wait(LONG_S)
    assert not line.all(order.TransferToAgent)
    assert not line.all(order.HangUp)
    line.tell(told.TakenOffHold())
    line.hear_out()
    assert line.all(order.TransferToAgent)


def test_what_is_keyed_in_a_hold_is_kept_when_another_key_follows() -> None:
    """By SIP INFO, which needs no audio."""
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    line.hear_out()
    line.tell(told.PutOnHold())
    for key in ("1", "4", "2", "1", "7"):
        line.key(key)
    line.tell(told.TakenOffHold())
    (action,) = line.all(order.RunAction)
    assert dict(action.slots) == {"account": "4217"}
    assert line.journal(SlotCollected) == [SlotCollected("account", "4217", "keypad")]
    visits = [one.values["visit"] for one in line.all(order.SetVariables) if "visit" in one.values]
    assert visits == ["1"], "the choice is a visit of its own"


def test_a_question_that_is_answered_is_not_asked_again_after_a_hold_in_the_reply() -> None:
    line = Line()
    line.to_listening()
    line.understood("balance", reply=True)
    line.tell(told.ReplyFileReady("/reply.wav"))
    line.begin_play()
    line.tell(told.PutOnHold())
    line.end_play()
    line.tell(told.TakenOffHold())
    assert line.hear_out() == ["say account"]


OUTCOME = ["We are open until", "six", "p.m.", "anything_else"]


def act(line: Line) -> None:
    line.tell(told.ActionDone(line.all(order.RunAction)[-1].key, "open", {"closes": time(18, 0)}))


@pytest.mark.parametrize("comes", ["before the reply", "in the reply", "in the hold"])
def test_after_a_hold_in_the_reply_the_answer_is_told_and_nothing_before_it(comes: str) -> None:
    line = Line()
    line.to_listening()
    line.understood("hours", reply=True)
    if comes == "before the reply":
        act(line)
    line.tell(told.ReplyFileReady("/reply.wav"))
    line.begin_play()
    if comes == "in the reply":
        act(line)
    line.tell(told.PutOnHold())
    line.end_play(started=False)
    if comes == "in the hold":
        act(line)
    line.tell(told.TakenOffHold())
    assert line.hear_out() == OUTCOME


def test_after_a_hold_in_the_answer_the_answer_is_told_and_nothing_before_it() -> None:
    line = Line()
    line.to_listening()
    line.understood("hours", reply=True)
    line.tell(told.ReplyFileReady("/reply.wav"))
    act(line)
    line.end_play()
    line.begin_play()
    line.tell(told.PutOnHold())
    line.end_play(started=False)
    line.tell(told.TakenOffHold())
    assert line.hear_out() == OUTCOME


def test_a_question_that_the_last_digit_has_answered_is_not_asked_again() -> None:
    """Also where the switch has not yet told that it stopped."""
    line = Line()
    line.to_listening()
    line.understood("balance")
    line.begin_play()
    for digit in "4217":
        line.tell(told.KeyPressed(digit))
    assert line.all(order.RunAction)
    line.tell(told.PutOnHold())
    line.end_play(started=False)
    line.tell(told.TakenOffHold())
    assert line.hear_out() == []


@pytest.mark.parametrize("file_first", [True, False])
def test_a_reply_whose_beginning_was_not_heard_for_a_hold_is_left_out_whole(file_first: bool) -> None:
    """As when all of it had been told: what counts is the question, or the answer, behind it."""
    line = Line()
    line.to_listening()
    line.speak()
    line.replying("First.", "balance")
    if file_first:
        line.tell(told.ReplyFileReady("/1.wav"))
        line.begin_play()
    line.tell(told.PutOnHold())
    if file_first:
        line.end_play(started=False)
    else:
        line.tell(told.ReplyFileReady("/1.wav"))
    line.replying("Second.", "balance", part=2)
    line.tell(told.ReplyFileReady("/2.wav"))
    line.tell(TurnDone(UUID, line.turn(), "words", "balance", 0.9, {}, "First. Second.", True, ()))
    line.tell(told.TakenOffHold())
    assert line.hear_out() == ["say account"]
    assert not line.journal(IncidentOpened)


def test_a_reply_that_comes_in_a_hold_is_heard_after_it() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.tell(told.PutOnHold())
    line.replying("First.", "balance")
    line.tell(told.ReplyFileReady("/1.wav"))
    line.tell(TurnDone(UUID, line.turn(), "words", "balance", 0.9, {}, "First.", True, ()))
    line.tell(told.TakenOffHold())
    assert line.hear_out() == ["/1.wav", "say account"]


def test_a_call_that_is_resumed_while_it_is_held_begins_no_turn_either() -> None:
    line = Line()
    flow = f"{line.flow.slug}:{line.flow.number}"
    kept = {"owner": "bridge-2:1", "step": "listening", "mode": "ai", "flow": flow}
    line.tell(told.Connected(UUID, "1000", "9200", True, kept, "", line.flow, told.AiUse.USABLE, held=True, at=line.began_at))
    line.stream_up()
    line.hear_out()
    assert not line.all(order.PublishTurn)
    assert not line.journal(FellBack)
    line.tell(told.TakenOffHold())
    line.hear_out()
    assert len(line.all(order.PublishTurn)) == 1


def test_a_call_that_the_switch_ends_was_not_ended_by_its_caller() -> None:
    line = Line()
    line.to_listening()
    line.tell(told.HungUp("NO_ROUTE_DESTINATION", by_switch=True))
    assert line.journal(CallEnded) == [CallEnded("NO_ROUTE_DESTINATION", "switch")]
