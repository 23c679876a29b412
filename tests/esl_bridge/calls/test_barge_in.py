"""Speaking over a prompt: it stops at once, the turn begins, and only what was heard of it is in the history."""

from __future__ import annotations

from datetime import time
from decimal import Decimal

import msgspec
import pytest

from ai_engine.messages import (
    Exchange,
    MediaClosed,
    MediaConnected,
    SpeechEnded,
    SpeechStarted,
    TurnDone,
    TurnFailed,
    TurnPartial,
    TurnReplying,
)
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.speaker import part_heard
from esl_bridge.calls.talk import MAX_FALSE_BARGE_INS
from esl_bridge.journal.events import FellBack, IncidentOpened, TurnFinished, TurnOutcome, TurnStarted
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.calls.harness import UUID, Line


def watched(line: Line) -> int:
    return line.all(order.WatchFor)[-1].turn


def interrupt(line: Line) -> list[order.Order]:
    """The gateway hears a voice over what plays; the switch then ends it."""
    fresh = line.tell(SpeechStarted(UUID, watched(line)))
    play = line.playing()
    if play is not None and order.StopPlayback() in fresh:
        line.end_play("FILE CUT", started=False)
    return fresh


def now_playing(line: Line) -> str:
    play = line.playing()
    return "" if play is None else line.words(play.file)


def greeted(*, for_s: float = 0.5) -> Line:
    """The greeting (one second long) has played so long."""
    line = Line()
    line.connect()
    line.stream_up()
    line.begin_play()
    line.wait(for_s)
    return line


def history(line: Line) -> list[Exchange]:
    return list(line.all(order.PublishTurn)[-1].history)


def done(line: Line, transcript: str, intent: str = "", *, reply: str = "", reply_ms: int = 0) -> None:
    if reply:
        line.tell(TurnReplying(UUID, line.turn(), 1, transcript, intent, 0.9, {}, reply, reply_ms))
    line.tell(TurnDone(UUID, line.turn(), transcript, intent, 0.9, {}, reply, bool(reply), ()))


def test_a_voice_over_the_greeting_stops_it_and_begins_the_turn_in_the_same_step() -> None:
    line = greeted()
    assert line.all(order.PublishTurn) == [], "while nobody speaks no engine and no worker is held"
    fresh = interrupt(line)
    assert fresh[0] == order.StopPlayback()
    assert line.turn() == watched(line)
    assert line.all(order.ListenTo) == [], "the gateway has begun by itself, with the first words"
    assert line.journal(TurnStarted) == [TurnStarted(line.turn(), "intent")]
    line.tell(SpeechEnded(UUID, line.turn(), "vad"))
    done(line, "what is my balance", "balance")
    assert line.hear_out() == ["say account"]


def test_the_listening_limit_counts_from_the_prompts_end() -> None:
    line = greeted(for_s=0.9)
    line.end_play(started=False)
    assert line.all(order.ListenTo) == [order.ListenTo(watched(line))]
    for _ in range(31):
        line.taken()
        line.wait(0.25)
    assert line.journal(TurnFinished) == []
    line.taken()
    line.wait(0.5)
    assert line.journal(TurnFinished)[0].outcome is TurnOutcome.ABANDONED
    assert now_playing(line) == "not_understood"


def test_the_watching_begins_when_the_stream_does() -> None:
    line = Line()
    line.connect()
    line.begin_play()
    assert line.all(order.WatchFor) == []
    line.stream_up()
    assert len(line.all(order.WatchFor)) == 1


def test_a_stream_that_is_replaced_is_watched_anew() -> None:
    line = greeted()
    line.tell(MediaConnected(UUID, "gateway-2", 1))
    first, second = line.all(order.WatchFor)
    assert first.turn != second.turn
    interrupt(line)
    assert line.all(order.PublishTurn)[0].gateway_id == "gateway-2"


def test_every_question_may_be_spoken_over_and_answers_and_transfers_may_not() -> None:
    line = Line()
    line.to_listening()
    line.understood("balance")
    line.hear_out()
    assert len(line.all(order.WatchFor)) == 2, "the greeting, and the question for the account"
    line.understood(slots={"account": "4217"})
    line.hear_out()
    assert len(line.all(order.WatchFor)) == 3, "whether the number is right"
    line.understood(transcript="yes")
    line.tell(told.ActionDone(line.all(order.RunAction)[-1].key, "ok", {"balance": Decimal("1.00")}))
    assert now_playing(line) == "Your balance is"
    assert len(line.all(order.WatchFor)) == 3, "an answer is heard out"
    line.hear_out()
    assert len(line.all(order.WatchFor)) == 4, "anything else?"
    line.understood("person")
    assert line.hear_out() == ["connecting"]
    assert len(line.all(order.WatchFor)) == 4


def test_in_the_menu_only_keys_interrupt() -> None:
    line = Line()
    line.to_listening()
    line.turn_fails()
    before = len(line.all(order.WatchFor))
    line.hear_out()
    assert len(line.all(order.WatchFor)) == before


def test_a_key_over_the_greeting_stops_it_and_the_watching() -> None:
    line = greeted()
    fresh = line.tell(told.KeyPressed("2"))
    assert order.StopPlayback() in fresh
    assert order.StopListening(watched(line)) in fresh
    before = len(line.orders)
    line.tell(SpeechStarted(UUID, watched(line)))
    assert len(line.orders) == before, "a voice that was told late belongs to no prompt any more"


# --- What was heard ---


@pytest.mark.parametrize(
    ("heard_s", "length_s", "expected"),
    [
        (0.2, 2.0, ""),
        (0.4, 3.0, ""),
        (1.0, 2.0, "Please tell me"),
        (1.99, 2.0, "Please tell me your account"),
        (2.5, 2.0, "Please tell me your account number."),
        (1.0, 0.0, "Please tell me"),
    ],
)
def test_whole_words_are_heard_in_proportion(heard_s: float, length_s: float, expected: str) -> None:
    assert part_heard("Please tell me your account number.", heard_s, length_s) == expected


def test_the_history_holds_what_was_played_and_of_an_interrupted_reply_the_part_heard() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.tell(told.ReplyFileReady("/tmp/reply.r8"))
    done(line, "what is my balance", "balance", reply="I can tell you your balance right away.", reply_ms=2000)
    line.begin_play()
    line.wait(1.0)
    interrupt(line)
    assert history(line) == [
        Exchange("lifeline", "greeting"),
        Exchange("caller", "what is my balance"),
        Exchange("lifeline", "I can tell you your"),
    ]


def test_a_prompt_that_had_hardly_begun_was_not_heard() -> None:
    line = greeted(for_s=0.1)
    interrupt(line)
    assert history(line) == []


def test_a_prompt_whose_file_has_not_opened_cannot_be_spoken_over() -> None:
    line = Line()
    line.connect()
    line.stream_up()
    assert line.all(order.WatchFor) == []
    line.begin_play()
    assert len(line.all(order.WatchFor)) == 1


def test_what_a_key_cut_was_not_heard_either() -> None:
    line = greeted(for_s=0.1)
    line.tell(told.KeyPressed("1"))
    line.end_play("FILE CUT", started=False)
    line.hear_out()
    assert history(line) == [Exchange("lifeline", "say account")]


def test_the_reply_of_a_turn_that_was_spoken_over_is_not_taken_for_the_next_ones() -> None:
    line = Line()
    line.to_listening()
    line.speak()
    line.replying("Sure.", "balance", part=1)
    line.tell(told.ReplyFileReady("/tmp/first.r8"))
    line.replying("Let me see.", "balance", part=2)
    line.tell(TurnDone(UUID, line.turn(), "my balance", "balance", 0.9, {}, "Sure. Let me see.", True, ()))
    line.begin_play()
    interrupt(line)
    line.tell(told.ReplyFileReady("/tmp/late.r8"))
    line.wait(1.2)
    line.tell(SpeechEnded(UUID, line.turn(), "vad"))
    line.tell(told.ReplyFileReady("/tmp/own.r8"))
    line.tell(TurnDone(UUID, line.turn(), "no when are you open", "", 0.9, {"account": "4217"}, "", False, ()))
    assert "/tmp/late.r8" not in [play.file for play in line.all(order.Play)]


# --- Noise ---


def noise(line: Line) -> None:
    interrupt(line)
    line.tell(SpeechEnded(UUID, line.turn(), "vad"))
    done(line, "")


def test_noise_that_stopped_a_question_has_it_asked_again_and_is_no_try_of_the_callers() -> None:
    line = greeted()
    noise(line)
    assert line.hear_out() == ["greeting"]
    assert line.journal(FellBack) == []
    line.understood("hours")
    assert line.all(order.RunAction)[-1].action == "opening_hours"


def test_noise_over_anything_else_does_not_end_the_call() -> None:
    line = Line()
    line.to_listening()
    line.understood("hours")
    line.tell(told.ActionDone(line.all(order.RunAction)[-1].key, "open", {"closes": time(18, 0)}))
    while now_playing(line) != "anything_else":
        line.end_play()
    line.begin_play()
    line.wait(0.5)
    noise(line)
    assert line.hear_out() == ["anything_else"]


def test_a_cough_that_an_engine_calls_voice_without_words_is_no_failure_of_the_ai() -> None:
    line = greeted()
    interrupt(line)
    line.tell(TurnFailed(UUID, line.turn(), "stt", "empty", 1, ()))
    assert line.hear_out() == ["greeting"]
    assert line.journal(IncidentOpened) == []
    line.turn_fails(kind="empty")
    assert line.journal(IncidentOpened)[0].kind == "empty", "without a prompt to speak over it is one"


def test_a_line_that_makes_noise_again_and_again_hears_its_questions_out() -> None:
    line = greeted()
    for _ in range(MAX_FALSE_BARGE_INS):
        noise(line)
        if line.playing():
            line.begin_play()
            line.wait(0.5)
    before = len(line.all(order.WatchFor))
    assert line.hear_out() == ["greeting"]
    assert len(line.all(order.WatchFor)) == before == MAX_FALSE_BARGE_INS
    assert line.all(order.ListenTo) != [], "and may speak then"


# --- The AI side fails while a prompt plays ---


@pytest.mark.parametrize("event", [told.AudioFailed("closed"), MediaClosed(UUID, "gateway-1", 1)])
def test_a_stream_lost_under_the_greeting_lets_the_menu_follow_it_without_a_gap(event: told.Input) -> None:
    line = greeted()
    line.tell(event)
    play = line.playing()
    assert play is not None
    assert line.words(play.file) == "greeting"
    line.end_play(started=False)
    play = line.playing()
    assert play is not None, "in the same step"
    assert line.words(play.file) == "transfer_to_team"


def test_an_engine_that_fails_while_the_interrupted_prompt_still_ends_leaves_no_gap() -> None:
    line = greeted()
    line.tell(SpeechStarted(UUID, watched(line)))
    line.tell(TurnFailed(UUID, line.turn(), "stt", "refused", 3, ()))
    assert now_playing(line) == "greeting", "the switch has not told its end yet"
    line.end_play("FILE CUT", started=False)
    assert line.hear_out()[:2] == ["transfer_to_team", "menu_intro"]


def test_a_hang_up_while_a_prompt_is_watched_is_no_failure() -> None:
    line = greeted()
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert line.journal(IncidentOpened) == []
    assert line.journal(TurnFinished) == []


def test_without_a_usable_engine_nobody_is_invited_to_speak_over_a_prompt() -> None:
    line = Line()
    line.connect()
    line.tell(told.AiUseChanged(told.AiUse.NO_ENGINE))
    line.stream_up()
    line.begin_play()
    assert line.all(order.WatchFor) == []


def test_who_speaks_over_a_prompt_when_the_last_engine_has_just_gone_hears_the_menu_at_once() -> None:
    line = greeted()
    line.tell(told.AiUseChanged(told.AiUse.NO_ENGINE))
    fresh = interrupt(line)
    assert order.StopPlayback() in fresh
    assert line.journal(FellBack)[0].reason.value == "no_engine"
    assert line.hear_out()[0] == "transfer_to_team"


# --- What they are just saying ---


def test_partials_are_shown_until_the_turn_is_over() -> None:
    line = greeted()
    interrupt(line)
    line.tell(TurnPartial(UUID, line.turn(), "what is my"))
    line.tell(TurnPartial(UUID, line.turn() - 1, "an older turn's"))
    done(line, "what is my balance", "balance")
    assert line.all(order.ShowPartial) == [order.ShowPartial("what is my"), order.ShowPartial("")]


def test_what_answers_a_sensitive_question_is_shown_to_nobody() -> None:
    flow = demonstration()
    secret = tuple(msgspec.structs.replace(slot, sensitive=True) for slot in flow.slots)
    line = Line(msgspec.structs.replace(flow, slots=secret))
    line.to_listening()
    line.understood("balance")
    line.hear_out()
    line.tell(TurnPartial(UUID, line.turn(), "four two"))
    assert line.all(order.ShowPartial) == []
    line.understood(transcript="four two")
    line.hear_out()
    assert Exchange("caller", "four two") not in history(line), "and no model either"


def test_a_prompt_that_begins_although_it_was_to_stop_is_stopped_once_more_and_the_next_waits_for_its_end() -> None:
    """A break that reaches the switch in the moment of the beginning is lost: measured on a real one."""
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    old = line.playing()
    assert old is not None
    line.tell(told.KeyPressed("1"))
    assert line.all(order.StopPlayback) == [order.StopPlayback()]
    line.tell(told.PlaybackStarted(f"/prompts/{old.file}"))
    line.tell(told.PlaybackStarted(f"/prompts/{old.file}"))
    assert line.all(order.StopPlayback) == [order.StopPlayback()] * 2, "once, however often it is told"
    line.wait(1.0)
    assert line.playing() == old, "what is said next would be flushed, or wait behind it"
    line.tell(told.PlaybackEnded(old.play_id, "FILE PLAYED"))
    assert line.playing() not in (None, old)


def test_a_prompt_that_was_flushed_before_it_began_holds_nothing_up() -> None:
    line = Line()
    line.connect(use=told.AiUse.NO_ENGINE)
    old = line.playing()
    line.tell(told.KeyPressed("1"))
    line.wait(0.2)
    assert line.playing() not in (None, old)
    assert line.all(order.StopPlayback) == [order.StopPlayback()]
