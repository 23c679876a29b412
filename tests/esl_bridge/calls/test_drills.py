"""What a drill leaves in a call's journal, and what it must not be blamed for."""

from __future__ import annotations

import msgspec
import pytest

from ai_engine.messages import SpeechEnded
from callflows.definition.flow import FlowVersion
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.journal.events import (
    CallStarted,
    Entry,
    FallbackReason,
    FellBack,
    IncidentClosed,
    IncidentOpened,
    Outcome,
    TurnFinished,
    decode_batch,
    encode_batch,
)
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.calls.harness import UUID, Line


def test_a_drilled_failure_is_marked_and_counts_like_any_other() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails(drill="d1")
    line.hear_out()
    assert line.journal(IncidentOpened)[0].drill == "d1"
    assert line.journal(TurnFinished)[0].drill == "d1"
    assert line.journal(IncidentClosed)[0].outcome is Outcome.FAILED_OVER
    assert line.journal(FellBack)[0].drill == ""


def test_what_fails_without_a_drill_bears_no_mark() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    assert line.journal(IncidentOpened)[0].drill == ""


def test_the_silence_lasts_from_the_end_of_speech_to_the_first_sound() -> None:
    line = Line()
    line.to_listening()
    line.speak("d1")
    line.wait(1.5)
    line.turn_fails(drill="d1")
    line.wait(0.25)
    line.hear_out()
    assert line.journal(IncidentClosed)[0].silence_ms == pytest.approx(1750)


def test_the_silence_ends_with_the_first_word_of_a_reply_that_fails_later() -> None:
    line = Line()
    line.to_listening()
    line.speak("d1")
    line.wait(0.5)
    line.replying("We are open until six.", "hours", length_ms=3000)
    line.tell(told.ReplyFileReady("/r1.wav"))
    line.wait(0.1)
    line.begin_play()
    line.wait(2.5)
    line.turn_fails(stage="tts", drill="d1")
    line.end_play(started=False)
    line.hear_out()
    assert line.journal(IncidentClosed)[0].silence_ms == pytest.approx(600)


def test_a_failure_after_an_answered_turn_has_none_of_its_silence() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.wait(0.5)
    line.understood("balance")
    line.end_play("FILE NOT FOUND", started=False)
    line.hear_out()
    (closed,) = line.journal(IncidentClosed)
    assert (closed.outcome, closed.silence_ms) == (Outcome.FAILED_OVER, None)


def test_who_goes_in_the_silence_is_counted_with_it() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    line.wait(2)
    line.tell(told.HungUp("NORMAL_CLEARING"))
    closed = line.journal(IncidentClosed)[0]
    assert closed.outcome is Outcome.DROPPED
    assert closed.silence_ms == pytest.approx(2000)


def test_no_turns_silence_is_guessed_for_a_failure_beside_it() -> None:
    line = Line()
    line.connect(kept={"owner": "bridge-0:1", "step": "intent"})
    line.hear_out()
    assert line.journal(IncidentClosed)[0].silence_ms is None


def _waits_for_its_budget(line: Line, drill: str) -> order.TurnVerdict:
    line.to_listening()
    line.taken(drill)
    line.tell(SpeechEnded(UUID, line.turn(), "vad"))
    flow: FlowVersion = demonstration()
    line.wait(flow.turn_budget_ms / 1000 + 0.1)
    assert line.journal(IncidentOpened)[0].drill == drill
    return line.all(order.SettleTurn)[0].verdict


def test_a_drilled_turn_that_brings_nothing_does_not_count_against_queue_and_workers() -> None:
    assert _waits_for_its_budget(Line(), "d1") is order.TurnVerdict.ABANDONED
    assert _waits_for_its_budget(Line(), "") is order.TurnVerdict.FAIL


def test_only_the_channel_says_that_a_call_is_simulated() -> None:
    real, simulated = Line(), Line()
    real.connect()
    simulated.connect(kept={"simulated": "true"})
    assert (real.call.simulated, simulated.call.simulated) == (False, True)
    assert [line.journal(CallStarted)[0].simulated for line in (real, simulated)] == [False, True]


def test_a_call_that_comes_back_is_still_simulated() -> None:
    line = Line()
    line.connect(kept={"simulated": "true", "owner": "bridge-0:1", "step": "intent"})
    assert line.call.simulated


def test_journals_written_before_there_were_drills_are_read() -> None:
    old = (
        {"type": "incident_opened", "incident_id": "i", "cause": "ai", "stage": "stt", "kind": "hang", "attempts": 1, "turn": 1},
        {"type": "incident_closed", "incident_id": "i", "outcome": "recovered", "proof": "x"},
        {"type": "fell_back", "reason": "forced"},
    )
    batch = msgspec.msgpack.encode([["boot", number, UUID, 1, 0, event] for number, event in enumerate(old)])
    assert [entry.event for entry in decode_batch(batch)][1] == IncidentClosed("i", Outcome.RECOVERED, "x")
    entries = (Entry("boot", 1, UUID, 1, 0, CallStarted("1", "2", "demo", 1, "en", "b", simulated=True)),)
    assert decode_batch(encode_batch(entries)) == entries


def test_a_call_that_the_drills_open_circuit_keeps_off_the_ai_goes_straight_to_the_menu_and_says_why() -> None:
    line = Line()
    line.tell(told.Connected(UUID, "1000", "9200", True, {"simulated": "true"}, "", line.flow, told.AiUse.NO_ENGINE, "d1",
                             at=line.began_at))
    line.hear_out()
    fell = line.journal(FellBack)[0]
    assert (fell.reason, fell.drill) == (FallbackReason.NO_ENGINE, "d1")
    assert line.journal(IncidentOpened) == []


def test_a_circuit_that_opens_before_the_next_turn_is_named_too() -> None:
    line = Line()
    line.connect()
    line.stream_up()
    line.tell(told.AiUseChanged(told.AiUse.NO_ENGINE, "d1"))
    line.hear_out()
    assert line.journal(FellBack)[0].drill == "d1"
    line = Line()
    line.connect()
    line.stream_up()
    line.tell(told.AiUseChanged(told.AiUse.FORCED))
    line.hear_out()
    assert line.journal(FellBack)[0].drill == ""
