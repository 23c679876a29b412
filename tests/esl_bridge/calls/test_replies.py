"""A reply is heard sentence by sentence while the turn goes on: in order, once, and never when it is not to be acted on."""

from __future__ import annotations

from datetime import time

import pytest

from ai_engine.messages import TurnDone, TurnFailed, TurnTaken
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.journal.events import IncidentOpened, TurnFinished
from tests.esl_bridge.calls.harness import UUID, Line


def speaking() -> Line:
    line = Line()
    line.to_listening()
    line.speak()
    return line


def done(line: Line, reply: str = "Sure. One moment.", intent: str = "hours") -> None:
    line.tell(TurnDone(UUID, line.turn(), "when are you open", intent, 0.9, {}, reply, bool(reply), ()))


def played(line: Line) -> list[str]:
    return [play.file for play in line.all(order.Play)]


def test_the_first_sentence_is_played_before_the_turn_is_done() -> None:
    line = speaking()
    line.wait(0.4)
    line.replying("Sure.", "hours")
    line.tell(told.ReplyFileReady("/tmp/1.r8"))
    assert played(line)[-1] == "/tmp/1.r8"
    assert line.journal(TurnFinished) == []
    line.begin_play()
    line.end_play()
    assert len(line.all(order.PublishTurn)) == 1, "between two sentences nobody listens"
    line.replying("One moment.", "hours", part=2)
    line.tell(told.ReplyFileReady("/tmp/2.r8"))
    done(line)
    assert line.hear_out()[0] == "/tmp/2.r8"
    (finished,) = line.journal(TurnFinished)
    assert finished.answer_ms == pytest.approx(400), "the caller was answered by the first sentence"


def test_sentences_whose_files_come_first_or_last_are_played_in_order() -> None:
    for files_first in (True, False):
        line = speaking()
        if files_first:
            line.tell(told.ReplyFileReady("/tmp/1.r8"))
            line.tell(told.ReplyFileReady("/tmp/2.r8"))
        line.replying("Sure.", "hours")
        line.replying("One moment.", "hours", part=2)
        done(line)
        if not files_first:
            line.tell(told.ReplyFileReady("/tmp/1.r8"))
            line.tell(told.ReplyFileReady("/tmp/2.r8"))
        line.hear_out()
        replies = [file for file in played(line) if file.endswith(".r8")]
        assert replies == ["/tmp/1.r8", "/tmp/2.r8"]


def test_a_turn_that_fails_in_the_middle_of_its_reply_leads_to_the_menu() -> None:
    line = speaking()
    line.replying("Sure.", "hours")
    line.tell(told.ReplyFileReady("/tmp/1.r8"))
    line.begin_play()
    line.tell(TurnFailed(UUID, line.turn(), "tts", "reset", 1, (), "when are you open", "hours", {}))
    assert line.all(order.StopPlayback)
    assert line.journal(IncidentOpened)[0].kind == "reset"
    line.end_play("FILE CUT")
    assert "transfer" in " ".join(line.hear_out())


def test_a_sentence_for_a_word_of_no_flow_is_not_heard() -> None:
    line = speaking()
    line.replying("I will delete everything.", "rm_rf")
    line.tell(told.ReplyFileReady("/tmp/1.r8"))
    assert "/tmp/1.r8" not in played(line)


def test_sentences_that_came_too_late_for_their_turn_are_not_heard_in_the_next() -> None:
    line = speaking()
    line.replying("Sure.", "hours")
    line.replying("One moment.", "hours", part=2)
    line.tell(told.KeyPressed("*"))
    line.tell(told.ReplyFileReady("/tmp/1.r8"))
    line.tell(told.ReplyFileReady("/tmp/2.r8"))
    line.hear_out()
    assert not [file for file in played(line) if file.endswith(".r8")]


def taken_over(line: Line, *sentences: str) -> None:
    """After its first sentence, by a worker that says all of the reply again."""
    line.replying("Sure.", "hours")
    line.tell(told.ReplyFileReady("/tmp/first-1.r8"))
    line.tell(TurnTaken(UUID, line.turn(), "worker-2", 1500.0))
    for part, words in enumerate(sentences, 1):
        line.replying(words, "hours", part=part)
        line.tell(told.ReplyFileReady(f"/tmp/second-{part}.r8"))


@pytest.mark.parametrize(
    ("sentences", "heard"),
    [
        (("Sure.", "One moment."), ["/tmp/first-1.r8", "/tmp/second-2.r8"]),
        (("Sure.",), ["/tmp/first-1.r8"]),
        (("Of course.", "We open at nine."), ["/tmp/first-1.r8"]),
    ],
)
def test_a_turn_taken_over_in_the_middle_of_its_reply_says_nothing_twice_and_goes_on(
    sentences: tuple[str, ...], heard: list[str]
) -> None:
    line = speaking()
    taken_over(line, *sentences)
    done(line, " ".join(sentences))
    line.hear_out()
    assert [file for file in played(line) if file.endswith(".r8")] == heard
    assert line.all(order.RunAction), "what the caller wanted is done"
    assert line.journal(IncidentOpened) == []
    assert [finished.worker_id for finished in line.journal(TurnFinished)] == ["worker-2"]


def test_a_turn_taken_over_before_its_first_sentence_is_heard_whole() -> None:
    line = speaking()
    line.tell(TurnTaken(UUID, line.turn(), "worker-2", 1500.0))
    for part, words in enumerate(("Sure.", "One moment."), 1):
        line.replying(words, "hours", part=part)
        line.tell(told.ReplyFileReady(f"/tmp/{part}.r8"))
    done(line)
    line.hear_out()
    assert [file for file in played(line) if file.endswith(".r8")] == ["/tmp/1.r8", "/tmp/2.r8"]


def test_what_a_second_worker_said_in_vain_is_not_heard_in_the_next_turn() -> None:
    line = speaking()
    taken_over(line, "Of course.")
    line.replying("We open at nine.", "hours", part=2)
    done(line)
    line.tell(told.ActionDone(line.all(order.RunAction)[-1].key, "open", {"closes": time(18, 0)}))
    line.hear_out()
    line.tell(told.ReplyFileReady("/tmp/late.r8"))
    line.speak()
    line.replying("Sure.", "hours")
    line.tell(told.ReplyFileReady("/tmp/own.r8"))
    assert [file for file in played(line) if file.endswith(".r8")] == ["/tmp/first-1.r8", "/tmp/own.r8"]


def test_the_history_has_the_callers_words_before_the_sentences_that_answered_them() -> None:
    line = speaking()
    line.replying("Sure.", "hours")
    line.tell(told.ReplyFileReady("/tmp/1.r8"))
    line.begin_play()
    line.end_play()
    done(line, "Sure.")
    line.tell(told.ActionDone(line.all(order.RunAction)[-1].key, "open", {"closes": time(18, 0)}))
    line.hear_out()
    words = [exchange.words for exchange in line.all(order.PublishTurn)[-1].history]
    asked = words.index("when are you open")
    assert words[asked + 1].startswith("Sure.")
