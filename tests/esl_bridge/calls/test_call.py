"""One call's decisions: AI first, the keypad when the AI side fails, and an outcome that is never wrong."""

from __future__ import annotations

from datetime import time
from decimal import Decimal

import msgspec
import pytest

from ai_engine.messages import MediaClosed, MediaReport, SpeechEnded, SpeechStarted, TurnDone, TurnTaken
from callflows.definition.flow import Choice, Slot, SlotKind
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.journal.events import (
    AgentJoined,
    CallEnded,
    CallStarted,
    Cause,
    FallbackReason,
    FellBack,
    IncidentClosed,
    IncidentOpened,
    IntentServed,
    Mode,
    Outcome,
    SlotCollected,
    StepEntered,
    TurnFinished,
    TurnOutcome,
)
from tests.esl_bridge.calls.flow import demonstration, phrase
from tests.esl_bridge.calls.harness import UUID, Line


def outcomes(line: Line) -> list[Outcome]:
    return [event.outcome for event in line.journal(IncidentClosed)]


def last_action(line: Line) -> order.RunAction:
    return line.all(order.RunAction)[-1]


def kept_by_switch(line: Line) -> dict[str, str]:
    kept: dict[str, str] = {}
    for one in line.all(order.SetVariables):
        kept |= one.values
    return kept


# --- With AI ---


def test_a_caller_is_greeted_understood_and_told_their_balance() -> None:
    line = Line()
    line.to_listening()
    line.understood("balance", transcript="what is my balance")
    assert line.hear_out() == ["say account"]
    line.understood(slots={"account": "4217"}, transcript="four two one seven")
    assert line.hear_out() == ["read_back", "four", "two", "one", "seven", "yes_or_no"]
    assert line.all(order.RunAction) == []
    line.understood(transcript="yes please")
    action = last_action(line)
    assert (action.action, dict(action.slots)) == ("balance", {"account": "4217"})
    line.tell(told.ActionDone(action.key, "ok", {"balance": Decimal("42.17")}))
    heard = line.hear_out()
    assert heard[0] == "Your balance is"
    assert heard[-1] == "anything_else"
    assert line.journal(IntentServed) == [IntentServed("balance", Mode.AI)]
    assert line.journal(FellBack) == []
    assert line.journal(SlotCollected) == [SlotCollected("account", "4217", "voice")]
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert line.journal(CallEnded) == [CallEnded("NORMAL_CLEARING", "caller")]
    assert outcomes(line) == []


def test_the_reply_plays_before_the_answer_whichever_arrives_first() -> None:
    for file_first in (True, False):
        line = Line()
        line.to_listening()
        if file_first:
            line.speak()
            line.tell(told.ReplyFileReady("/tmp/reply.r8"))
            line.replying("Sure.", "hours")
            line.tell(TurnDone(UUID, line.turn(), "open", "hours", 0.9, {}, "Sure.", True, ()))
        else:
            line.understood("hours", reply=True)
            assert line.playing() is None
            line.tell(told.ReplyFileReady("/tmp/reply.r8"))
        line.tell(told.ActionDone(last_action(line).key, "open", {"closes": time(18, 0)}))
        assert line.hear_out()[:2] == ["/tmp/reply.r8", "We are open until"]


def test_a_reply_that_never_arrives_is_a_failure_and_the_action_is_not_done_twice() -> None:
    line = Line()
    line.to_listening()
    line.understood("hours", reply=True)
    line.wait(1.0)
    assert line.journal(IncidentOpened)[0].kind == "reply_lost"
    assert len(line.all(order.RunAction)) == 1
    line.tell(told.ActionDone(last_action(line).key, "open", {"closes": time(18, 0)}))
    heard = line.hear_out()
    assert heard[:3] == ["transfer_to_team", "menu_hint", "We are open until"]
    assert len(line.all(order.RunAction)) == 1
    assert outcomes(line) == [Outcome.FAILED_OVER]


def test_keys_answer_a_question_that_was_asked_for_the_voice() -> None:
    line = Line()
    line.to_listening()
    line.understood("balance")
    line.begin_play()
    for key in "4217":
        line.tell(told.KeyPressed(key))
    assert order.StopPlayback() in line.orders
    assert dict(last_action(line).slots) == {"account": "4217"}
    assert line.journal(SlotCollected)[0].by == "keypad"


def test_three_times_not_understood_leads_to_the_menu_without_an_incident() -> None:
    line = Line()
    line.to_listening()
    for _ in range(3):
        line.understood("")
        line.hear_out()
    assert line.journal(FellBack) == [FellBack(FallbackReason.NOT_UNDERSTOOD, "")]
    assert line.journal(IncidentOpened) == []


def test_a_caller_who_says_nothing_more_is_let_go() -> None:
    line = Line()
    line.to_listening()
    line.understood("hours")
    line.tell(told.ActionDone(last_action(line).key, "open", {"closes": time(18, 0)}))
    line.hear_out()
    line.understood("", transcript="no thank you")
    assert line.hear_out() == ["goodbye"]
    assert order.HangUp() in line.orders
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert line.journal(CallEnded)[0].ended_by == "lifeline"


def test_who_presses_star_during_the_goodbye_has_the_menu() -> None:
    line = Line()
    line.to_listening()
    line.understood("hours")
    line.tell(told.ActionDone(last_action(line).key, "open", {"closes": time(18, 0)}))
    line.hear_out()
    line.understood("", transcript="no thank you")
    line.tell(told.KeyPressed("*"))
    assert "menu_intro" in line.hear_out()
    assert order.HangUp() not in line.orders


def test_what_a_model_returns_beyond_the_flow_is_ignored() -> None:
    line = Line()
    line.to_listening()
    line.understood("balance", slots={"account": "${system(x)}", "other": "1"})
    assert line.hear_out() == ["say account"]
    assert line.journal(SlotCollected) == []


# --- When the AI side fails ---


@pytest.mark.parametrize("kind", ["refused", "timeout", "http_500", "silent", "garbage", "no_engine"])
def test_an_engine_that_fails_moves_the_caller_to_the_menu(kind: str) -> None:
    line = Line()
    line.to_listening()
    line.turn_fails(kind=kind)
    assert outcomes(line) == [], "the menu has not been heard yet"
    heard = line.hear_out()
    assert heard == ["transfer_to_team", "menu_intro", "balance press 1", "hours press 2", "person press 9"]
    assert outcomes(line) == [Outcome.FAILED_OVER]
    assert line.journal(TurnFinished)[0].outcome is TurnOutcome.FAILED
    assert line.all(order.SettleTurn)[0].verdict is order.TurnVerdict.OK


def served_their_balance() -> Line:
    line = Line()
    line.to_listening()
    line.understood("balance")
    line.hear_out()
    line.understood(slots={"account": "4217"})
    line.hear_out()
    line.understood(transcript="yes")
    line.tell(told.ActionDone(last_action(line).key, "ok", {"balance": Decimal("1.00")}))
    line.hear_out()
    return line


def test_what_was_understood_before_the_failure_is_kept() -> None:
    line = served_their_balance()
    line.turn_fails(stage="tts", kind="silent", intent="balance")
    line.tell(told.ActionDone(last_action(line).key, "ok", {"balance": Decimal("2.00")}))
    heard = line.hear_out()
    assert heard[:4] == ["transfer_to_team", "menu_hint", "Your balance is", "two"]
    assert "key account" not in heard
    assert any(order.SetVariables({"slot_account": "4217"}) == item for item in line.orders)
    assert line.journal(IntentServed)[-1] == IntentServed("balance", Mode.FALLBACK)


def test_who_asks_again_for_what_was_done_has_it_done_again_also_when_the_turn_then_fails() -> None:
    line = served_their_balance()
    first = last_action(line)
    line.turn_fails(stage="tts", kind="silent", intent="balance")
    assert [one.key == first.key for one in line.all(order.RunAction)] == [True, False]
    line.tell(told.ActionDone(first.key, "ok", {"balance": Decimal("1.00")}))
    assert "one" not in line.hear_out(), "the first one's answer is no answer to the second"


def test_an_heir_to_a_wish_that_was_understood_before_the_failure_does_not_begin_it_anew() -> None:
    line = served_their_balance()
    line.turn_fails(stage="tts", kind="silent", intent="balance")
    heir = Line(bridge_id="bridge-2")
    heir.connect(kept=kept_by_switch(line))
    assert [one.key for one in heir.all(order.RunAction)] == [last_action(line).key]


@pytest.mark.parametrize("heard", ["balance", "hours"])
def test_a_failure_in_the_middle_of_a_wish_begins_none_anew(heard: str) -> None:
    """As in the dialogue: what else was heard in the answer to a question is no new wish."""
    line = Line()
    line.to_listening()
    line.understood("balance")
    line.hear_out()
    visits = [one.values["visit"] for one in line.all(order.SetVariables) if "visit" in one.values]
    line.turn_fails(stage="tts", kind="silent", intent=heard)
    assert line.hear_out() == ["transfer_to_team", "menu_hint", "key account"]
    assert [one.values["visit"] for one in line.all(order.SetVariables) if "visit" in one.values] == visits == ["1"]


def test_a_caller_who_hangs_up_before_the_menu_begins_is_a_drop() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert outcomes(line) == [Outcome.DROPPED]
    assert line.journal(CallEnded)[0].hangup_cause == "NORMAL_CLEARING"


def test_a_menu_prompt_whose_file_never_opened_is_no_proof_and_a_person_follows() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    line.end_play("FILE NOT FOUND", started=False)
    assert outcomes(line) == []
    assert line.all(order.TransferToAgent) == [order.TransferToAgent("agent@127.0.0.1:5090")]
    line.tell(told.AgentBridged())
    assert outcomes(line) == [Outcome.FAILED_OVER]
    assert line.journal(AgentJoined) == [AgentJoined()]


def test_a_key_in_the_menu_is_proof() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    line.tell(told.KeyPressed("2"))
    assert outcomes(line) == [Outcome.FAILED_OVER]
    assert last_action(line).action == "opening_hours"


def test_no_worker_takes_the_turn() -> None:
    line = Line()
    line.to_listening()
    line.tell(MediaReport(UUID, line.turn(), 1))
    for _ in range(14):
        line.wait(0.25)
        line.tell(MediaReport(UUID, line.turn(), 1))
    assert line.journal(IncidentOpened)[0].kind == "not_taken"
    assert line.all(order.SettleTurn)[0].verdict is order.TurnVerdict.FAIL


def test_a_gateway_that_reports_no_frames_is_a_failure() -> None:
    line = Line()
    line.to_listening()
    line.wait(1.6)
    assert (line.journal(IncidentOpened)[0].cause.value, line.journal(IncidentOpened)[0].kind) == ("media", "no_frames")


def test_no_answer_within_the_budget_after_the_end_of_speech() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.wait(3.9)
    assert line.journal(IncidentOpened) == []
    line.wait(0.2)
    assert line.journal(IncidentOpened)[0].kind == "deadline"
    assert line.hear_out()[0] == "transfer_to_team"


def test_a_result_after_the_deadline_changes_nothing() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    turn = line.turn()
    line.wait(4.1)
    line.tell(TurnDone(UUID, turn, "late", "hours", 0.9, {}, "", False, ()))
    assert line.all(order.RunAction) == []


def test_redis_lost_in_the_middle_of_a_turn() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.tell(told.QueueLost("redis_away"))
    assert line.journal(IncidentOpened)[0].cause.value == "queue"
    assert line.hear_out()[0] == "transfer_to_team"


def test_a_turn_that_turns_out_unpublished_when_another_runs_fails_neither() -> None:
    line = Line()
    line.to_listening()
    before = line.turn()
    line.key("1")
    assert line.hear_out() == ["say account"]
    assert line.turn() > before
    late = told.QueueLost("not_published", before)
    assert not line.call.in_question(late)
    line.tell(late)
    assert line.journal(IncidentOpened) == []
    line.tell(told.QueueLost("not_published", line.turn()))
    assert [(one.kind, one.turn) for one in line.journal(IncidentOpened)] == [("not_published", line.turn())]


@pytest.mark.parametrize("event", [told.AudioFailed("refused"), MediaClosed(UUID, "gateway-1", 1)])
def test_the_audio_stream_lost_while_listening(event: told.Input) -> None:
    line = Line()
    line.to_listening()
    line.tell(event)
    assert line.journal(IncidentOpened)[0].cause.value == "media"


def test_an_audio_stream_that_never_connects() -> None:
    line = Line()
    line.connect()
    line.hear_out()
    assert line.all(order.PublishTurn) == []
    line.wait(2.1)
    assert line.journal(IncidentOpened)[0].kind == "not_connected"


def test_a_caller_who_begins_late_is_let_finish() -> None:
    line = Line()
    line.to_listening()
    turn = line.turn()
    line.taken()
    for _ in range(7):
        line.wait(1.0)
        line.tell(MediaReport(UUID, turn, 12))
    line.tell(SpeechStarted(UUID, turn))
    for _ in range(3):
        line.wait(1.0)
        line.tell(MediaReport(UUID, turn, 12))
    assert line.all(order.StopListening) == [], "ten seconds after the question, three after the first word"
    line.tell(SpeechEnded(UUID, turn, "vad"))
    line.tell(TurnDone(UUID, turn, "what is my balance", "balance", 0.9, {}, "", False, ()))
    assert line.hear_out() == ["say account"]


def test_a_caller_who_speaks_on_is_cut_at_the_limit_and_then_the_budget_runs() -> None:
    line = Line()
    line.to_listening()
    line.taken()
    line.tell(SpeechStarted(UUID, line.turn()))
    for _ in range(33):
        line.wait(0.25)
        line.tell(MediaReport(UUID, line.turn(), 1))
    assert order.StopListening(line.turn()) in line.orders
    assert line.journal(IncidentOpened) == []
    line.wait(4.0)
    assert line.journal(IncidentOpened)[0].kind == "deadline"


# --- Straight to the menu ---


@pytest.mark.parametrize("use", [told.AiUse.NO_ENGINE, told.AiUse.FORCED, told.AiUse.TURNS_OPEN, told.AiUse.SHED])
def test_with_no_usable_engine_the_call_begins_in_the_menu(use: told.AiUse) -> None:
    line = Line()
    line.connect(use=use)
    assert line.hear_out()[:2] == ["greeting", "menu_intro"]
    assert line.journal(FellBack)[0].reason.value == use.value
    assert line.all(order.PublishTurn) == []
    assert line.all(order.StartAudio) == []
    assert line.journal(IncidentOpened) == []


def test_a_circuit_that_opens_between_turns_is_seen_before_the_next() -> None:
    line = Line()
    line.connect()
    line.stream_up()
    line.tell(told.AiUseChanged(told.AiUse.NO_ENGINE))
    assert line.hear_out()[:2] == ["greeting", "transfer_to_team"]
    assert line.journal(FellBack)[0].reason is FallbackReason.NO_ENGINE


# --- Owning the call ---


def test_the_timer_is_taken_over_rearmed_and_the_counter_emptied() -> None:
    line = Line()
    line.connect()
    assert line.all(order.ArmTimer) == [order.ArmTimer(6)]
    line.tell(told.TimerArmed("11"))
    assert line.all(order.DeleteTimer) == [order.DeleteTimer("")]
    line.wait(4.1)
    assert len(line.all(order.ArmTimer)) == 2
    assert order.SetVariables({"hops": ""}) in line.orders
    line.tell(told.TimerArmed("12"))
    assert line.all(order.DeleteTimer)[-1] == order.DeleteTimer("11")


def test_the_timer_is_disarmed_before_a_person_joins() -> None:
    line = Line()
    line.to_listening()
    line.understood("person")
    line.hear_out()
    kinds = [type(item) for item in line.orders]
    assert kinds.index(order.DeleteTimer) < kinds.index(order.TransferToAgent)
    assert line.call.wake_at() is None


def test_another_owner_makes_this_one_mute() -> None:
    line = Line()
    line.to_listening()
    line.tell(told.OwnerChanged())
    before = len(line.orders)
    line.tell(told.KeyPressed("1"))
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert len(line.orders) == before
    assert line.journal(CallEnded) == []


def test_a_resumed_call_goes_on_where_the_caller_was_and_counts_as_recovered() -> None:
    line = Line(bridge_id="bridge-2")
    line.connect(kept={"owner": "bridge-1:1", "mode": "ai", "step": "slot:account", "intent": "balance", "flow": "demo:3"})
    assert line.call.owner == "bridge-2:2"
    assert line.journal(CallStarted)[0].resumed
    kinds = [type(item) for item in line.orders]
    assert kinds.index(order.DeleteTimer) < kinds.index(order.ArmTimer), "the dead owner's timer would take the call from us"
    assert line.all(order.DeleteTimer) == [order.DeleteTimer("own")]
    line.stream_up()
    assert line.hear_out() == ["say account"]
    assert outcomes(line) == [Outcome.RECOVERED]


def test_what_somebody_else_played_is_no_proof_that_a_resumed_call_hears_us() -> None:
    line = Line(bridge_id="bridge-2")
    line.connect(kept={"owner": "bridge-1:1", "mode": "ai", "step": "slot:account", "intent": "balance", "flow": "demo:3"})
    line.tell(told.PlaybackStarted("/prompts/of-the-owner-before.wav"))
    assert outcomes(line) == []
    line.stream_up()
    line.hear_out()
    assert outcomes(line) == [Outcome.RECOVERED]


def test_a_call_resumed_twice_in_a_row_ends_its_incident_with_the_heirs_first_word() -> None:
    line = Line(bridge_id="bridge-3")
    line.connect(kept={"owner": "bridge-2:2", "mode": "ai", "step": "slot:account", "intent": "balance", "incident": "call:2:1"})
    line.stream_up()
    line.hear_out()
    (closed,) = line.journal(IncidentClosed)
    assert (closed.incident_id, closed.outcome) == ("call:2:1", Outcome.RECOVERED)
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert outcomes(line) == [Outcome.RECOVERED]


def test_what_is_said_before_the_keys_is_no_proof_of_the_menu() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    line.end_play()
    assert outcomes(line) == [], "Let me transfer you to our team"
    line.begin_play()
    assert outcomes(line) == [], "Please choose"
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert outcomes(line) == [Outcome.DROPPED]


def test_a_call_resumed_in_the_menu_stays_there_with_what_it_had() -> None:
    line = Line()
    line.connect(kept={"owner": "b:4", "mode": "fallback", "step": "menu", "slot_account": "4217", "incident": "i1"})
    assert line.call.epoch == 5
    assert line.hear_out()[0] == "menu_intro"
    assert outcomes(line) == [Outcome.FAILED_OVER]
    line.tell(told.KeyPressed("1"))
    assert dict(last_action(line).slots) == {"account": "4217"}


@pytest.mark.parametrize("told_already", [True, False])
def test_a_call_resumed_after_a_star_is_in_the_menu_and_not_in_the_wish_before(told_already: bool) -> None:
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    line.hear_out()
    line.key("2" if told_already else "1")
    if told_already:
        line.tell(told.ActionDone(last_action(line).key, "open", {"closes": time(18, 0)}))
        line.begin_play()
    line.key("*")
    heir = Line(bridge_id="bridge-2")
    heir.connect(kept=kept_by_switch(line))
    assert heir.hear_out()[0] == "menu_intro"
    assert heir.all(order.RunAction) == []


@pytest.mark.parametrize("mode", ["ai", "fallback"])
@pytest.mark.parametrize("incident", ["", "call:3:1"])
def test_a_call_resumed_in_the_goodbye_hears_that_and_no_more_and_was_not_dropped(mode: str, incident: str) -> None:
    line = Line()
    line.connect(kept={"owner": "b:3", "mode": mode, "step": "goodbye", "incident": incident})
    assert line.hear_out() == ["goodbye"]
    assert order.HangUp() in line.orders
    line.tell(told.HungUp("NORMAL_CLEARING", by_switch=True))
    assert outcomes(line) == [Outcome.RECOVERED]


@pytest.mark.parametrize(("mode", "words"), [("ai", "anything_else"), ("fallback", "anything_else_menu")])
def test_a_call_resumed_when_it_was_served_is_asked_whether_there_is_anything_else(mode: str, words: str) -> None:
    line = Line()
    line.connect(kept={"owner": "b:3", "mode": mode, "step": "anything_else"})
    line.stream_up()
    assert line.hear_out()[0] == words
    assert outcomes(line) == [Outcome.RECOVERED]


def test_of_two_that_took_a_call_for_the_same_neither_takes_the_others_sounds_for_its_own() -> None:
    kept = {"owner": "b:2", "mode": "fallback", "step": "anything_else"}
    lines = [Line(bridge_id=name) for name in ("bridge-2", "bridge-3")]
    for line in lines:
        line.connect(kept=kept)
    assert len({play.play_id for line in lines for play in line.all(order.Play)}) == 2


@pytest.mark.parametrize("mode", ["ai", "fallback"])
def test_a_call_resumed_on_its_way_to_a_person_goes_there_and_does_nothing_again(mode: str) -> None:
    line = Line()
    kept = {"owner": "b:3", "mode": mode, "step": "person", "intent": "balance", "slot_account": "4217"}
    line.connect(kept=kept)
    line.stream_up()
    assert line.hear_out() == ["connecting"]
    assert [one.destination for one in line.all(order.TransferToAgent)] == ["agent@127.0.0.1:5090"]
    assert line.all(order.RunAction) == []


@pytest.mark.parametrize(("disposition", "first"), [("SUCCESS", "anything_else_menu"), ("USER_BUSY", "no_agent")])
@pytest.mark.parametrize("owner", [{"owner": "b:1"}, {}], ids=["a bridge sent them there", "the last resort sent them there"])
def test_after_an_agent_the_caller_is_offered_the_menu(disposition: str, first: str, owner: dict[str, str]) -> None:
    line = Line()
    line.connect(kept={**owner, "step": "after_agent"}, disposition=disposition)
    assert line.hear_out()[0] == first
    assert line.journal(IncidentOpened) == []


def test_without_words_and_without_a_person_the_switchs_own_menu_is_next_and_nobody_goes_round() -> None:
    line = Line()
    line.connect(kept={"owner": "b:1", "step": "after_agent"}, disposition="USER_BUSY")
    line.end_play("FILE NOT FOUND", started=False)
    assert line.all(order.TransferToAgent) == []
    assert line.all(order.TransferToLastResort) == [order.TransferToLastResort()]
    assert order.DeleteTimer("own") in line.orders, "or it would be pulled out of there"
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert line.journal(CallEnded)


def without_a_prompt_in_the_menu() -> Line:
    """Straight to the menu, which has no words: a person is rung."""
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    line.end_play("FILE NOT FOUND", started=False)
    assert line.all(order.TransferToAgent)
    return line


@pytest.mark.parametrize("joined", [True, False])
def test_a_menu_without_words_is_a_failure_that_ends_with_a_person_or_as_a_drop(joined: bool) -> None:
    line = without_a_prompt_in_the_menu()
    if joined:
        line.tell(told.AgentBridged())
    line.tell(told.HungUp("NORMAL_CLEARING"))
    (incident,) = line.journal(IncidentOpened)
    assert (incident.cause.value, incident.stage, incident.kind) == ("media", "prompt", "prompt_missing")
    assert outcomes(line) == [Outcome.FAILED_OVER if joined else Outcome.DROPPED]


@pytest.mark.parametrize("words", [True, False])
def test_who_comes_back_to_a_menu_without_words_and_still_hears_none_was_not_kept(words: bool) -> None:
    line = without_a_prompt_in_the_menu()
    heir = Line(bridge_id="bridge-2")
    heir.connect(kept=kept_by_switch(line), disposition="NO_ANSWER")
    if words:
        heir.hear_out()
    else:
        heir.end_play("FILE NOT FOUND", started=False)
        assert heir.all(order.TransferToLastResort)
    heir.tell(told.HungUp("NORMAL_CLEARING"))
    assert heir.journal(IncidentOpened) == [], "it is the same one"
    assert outcomes(heir) == [Outcome.FAILED_OVER if words else Outcome.DROPPED]


def test_a_call_that_somebody_moves_hears_nothing_more_of_us_and_no_timer_of_ours_takes_it_back() -> None:
    """An operator's uuid_transfer: seen on a real switch, where prompts were heard in it and the timer was re-armed."""
    line = Line()
    line.to_listening()
    line.tell(told.TimerArmed("7"))
    assert line.tell(told.TakenElsewhere())[0] == order.DeleteTimer("7")
    assert [one.outcome for one in line.journal(TurnFinished)] == [TurnOutcome.ABANDONED]
    already = len(line.orders)
    line.wait(60)
    line.key("1")
    line.tell(told.AudioFailed("closed"))
    assert line.orders[already:] == [order.LeaveToOthers()], "once, when it is sure that it was not the chain"
    # The one that was asked for, and not yet answered, when the call was moved.
    assert line.tell(told.TimerArmed("8")) == [order.DeleteTimer("8")]
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert line.journal(CallEnded) == [CallEnded("NORMAL_CLEARING", "caller")]
    assert line.journal(IncidentOpened) == []


def test_a_person_to_whom_somebody_else_joins_the_caller_is_one_and_the_caller_comes_back_as_from_ours() -> None:
    line = Line()
    line.to_listening()
    line.tell(told.TakenElsewhere())
    joined = line.tell(told.AgentBridged())
    assert line.journal(AgentJoined) == [AgentJoined()]
    assert line.journal(StepEntered)[-1] == StepEntered("person", Mode.AGENT)
    assert order.SetVariables({"step": "after_agent", "intent": ""}) in joined
    assert order.LeaveToOthers(met_person=True) in joined
    assert order.StopAudio() in joined
    already = len(line.orders)
    line.wait(60)
    assert line.orders[already:] == []


def test_without_a_flow_the_call_goes_to_the_last_resort() -> None:
    line = Line()
    line.connect(flow=False)
    assert order.TransferToLastResort() in line.orders


def test_a_call_that_comes_to_a_bridge_without_its_flow_is_kept_when_the_last_resort_is_heard() -> None:
    line = Line()
    line.connect(flow=False, kept={"owner": "bridge-2:1"})
    assert [(one.cause, one.kind) for one in line.journal(IncidentOpened)] == [(Cause.BRIDGE, "resumed")]
    line.tell(told.PlaybackStarted("/prompts/menu.wav"))
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert outcomes(line) == [Outcome.FAILED_OVER]


def test_a_socket_that_closes_settles_nothing() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    line.tell(told.SocketClosed())
    assert outcomes(line) == []
    assert line.journal(CallEnded) == []


# --- Ends that nobody ordered, and faults of our own ---


def test_an_end_that_nobody_ordered_is_asked_about_and_one_that_was_is_not() -> None:
    line = Line()
    line.connect()
    play = line.playing()
    assert play is not None
    line.begin_play()
    cut = told.PlaybackEnded(play.play_id, "FILE CUT")
    assert line.call.in_question(cut), "it may be the end of our holding this call"
    assert not line.call.in_question(told.PlaybackEnded(play.play_id, "FILE PLAYED"))
    line.tell(told.KeyPressed("9"))
    assert not line.call.in_question(cut), "a key stopped it"


def test_a_failure_that_no_longer_matters_is_not_asked_about() -> None:
    line = Line()
    line.to_listening()
    assert line.call.in_question(told.QueueLost("redis_away"))
    line.turn_fails()
    assert not line.call.in_question(told.QueueLost("redis_away")), "the call is in the menu"
    line.tell(told.OwnerChanged())
    assert not line.call.in_question(told.AudioFailed("closed"))


def test_a_key_between_two_prompts_costs_the_caller_no_two_seconds() -> None:
    """``uuid_break all`` takes the prompt away that was sent and had not begun; its end is never told."""
    line = Line()
    line.connect()
    line.tell(told.KeyPressed("9"))
    assert isinstance(line.orders[-1], order.StopPlayback) or order.StopPlayback() in line.orders
    before = len(line.all(order.Play))
    line.wait(0.3)
    assert len(line.all(order.Play)) == before + 1


def test_a_switch_without_the_audio_module_is_asked_once() -> None:
    line = Line()
    line.connect()
    line.tell(told.StreamRefused(for_good=True))
    line.wait(1.0)
    assert len(line.all(order.StartAudio)) == 1
    line.hear_out()
    assert line.journal(IncidentOpened)[0].kind == "no_module"


def test_a_stream_that_is_refused_while_the_old_one_is_stopped_is_started_again() -> None:
    line = Line()
    line.connect()
    for _ in range(15):
        line.tell(told.StreamRefused())
        line.wait(0.11)
    assert len(line.all(order.StartAudio)) == 16
    line.stream_up()
    line.hear_out()
    assert line.journal(IncidentOpened) == []


def test_a_resume_that_falls_to_the_menu_before_its_first_word_did_not_recover() -> None:
    line = Line(bridge_id="bridge-2")
    line.connect(kept={"owner": "bridge-1:1", "mode": "ai", "step": "slot:account", "intent": "balance", "incident": "call:1:1"})
    line.end_play("FILE NOT FOUND", started=False)
    line.begin_play()
    assert outcomes(line) == [], "Let me transfer you"
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert outcomes(line) == [Outcome.DROPPED]


@pytest.mark.parametrize("proven", [True, False])
def test_a_fault_of_ours_gives_the_caller_to_the_last_resort_and_is_in_the_records(proven: bool) -> None:
    line = Line()
    line.to_listening()
    orders = line.call.faulted()
    line.orders += orders
    assert [type(one) for one in orders[:3]] == [order.DeleteTimer, order.DeleteTimer, order.TransferToLastResort], "first of all"
    assert line.journal(IncidentOpened)[0].kind == "fault"
    if proven:
        line.tell(told.PlaybackStarted("tone_stream://last-resort"))
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert outcomes(line) == [Outcome.FAILED_OVER if proven else Outcome.DROPPED]
    assert len(line.journal(CallEnded)) == 1


def test_the_late_start_of_our_own_prompt_is_no_proof_of_the_last_resort() -> None:
    line = Line()
    line.connect()
    line.orders += line.call.faulted()
    line.begin_play()
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert outcomes(line) == [Outcome.DROPPED]


def test_the_late_start_of_a_prompt_that_was_given_up_is_no_proof_of_the_last_resort_either() -> None:
    line = Line()
    kept = {"owner": "bridge-1:1", "mode": "fallback", "step": "after_agent", "incident": "call:1:1"}
    line.connect(kept=kept, disposition="USER_BUSY")
    play = line.playing()
    assert play is not None
    line.wait(60)
    assert line.all(order.TransferToLastResort), "no prompt can be played, and nobody is free"
    line.tell(told.PlaybackStarted(f"/prompts/{play.file}"))
    assert outcomes(line) == []
    line.tell(told.PlaybackStarted("tone_stream://last-resort"))
    assert outcomes(line) == [Outcome.FAILED_OVER]


def test_a_fault_of_ours_does_not_take_the_caller_from_an_agent() -> None:
    line = Line()
    line.to_listening()
    line.understood("person")
    line.hear_out()
    assert line.call.faulted() == []


def test_how_long_a_turn_waited_for_a_worker_is_told_and_a_later_worker_changes_it_not() -> None:
    line = Line()
    line.to_listening()
    line.tell(TurnTaken(UUID, line.turn(), "worker-1", 12.5))
    line.tell(TurnTaken(UUID, line.turn(), "worker-2", 1800.0))
    line.understood("balance")
    finished = line.journal(TurnFinished)[-1]
    assert (finished.queue_ms, finished.worker_id) == (12.5, "worker-1")


@pytest.mark.parametrize("listening", [True, False])
def test_the_key_of_a_choice_is_taken_while_it_is_asked_for_by_voice(listening: bool) -> None:
    day = Slot("day", SlotKind.CHOICE, "Day", phrase("say the day"), phrase("key the day"),
               choices=(Choice("monday", "1", "on Monday"), Choice("friday", "5", "on Friday")))  # fmt: skip
    flow = demonstration()
    balance = msgspec.structs.replace(flow.intents[0], slots=("day",))
    line = Line(msgspec.structs.replace(flow, intents=(balance, *flow.intents[1:]), slots=(day,)))
    line.to_listening()
    line.understood("balance")
    line.begin_play()
    if listening:
        line.end_play()
        line.taken()
    line.key("3")
    assert line.all(order.RunAction) == [], "no choice's key: the question stands"
    line.key("5")
    assert dict(last_action(line).slots) == {"day": "friday"}
    assert line.journal(SlotCollected) == [SlotCollected("day", "friday", "keypad")]
    assert line.journal(FellBack) == []
