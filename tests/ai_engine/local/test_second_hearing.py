"""Which of two hearings is believed, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ai_engine.local.decoding import UNKNOWN
from ai_engine.local.second_hearing import AGREED, OWN_WORDS, Words, believed, spoken_part, subjects
from callflows.definition.certainty import SURE

ABOUT = subjects(["what is my balance", "where is my order", "i want to track my package", "has my delivery arrived"])


def by_grammar(text: str, confidence: float = 0.6) -> Words:
    return [(word, confidence) for word in text.split()]


def text_of(words: Words) -> str:
    return " ".join(word for word, _ in words)


def test_two_that_agree_are_sure() -> None:
    heard = believed(by_grammar("what is my balance"), "What's my balance?", ABOUT)
    assert heard == [(word, AGREED) for word in ("what", "is", "my", "balance")]


@pytest.mark.parametrize(
    ("grammar", "own"),
    [
        ("can you check my balance please", "Can you check on my delivery?"),
        ("what is my balance", "What is my order?"),
    ],
)
def test_a_sentence_that_only_the_grammar_heard_is_not_believed(grammar: str, own: str) -> None:
    heard = believed(by_grammar(grammar, 0.99), own, ABOUT)
    assert text_of(heard) != grammar
    assert {confidence for _, confidence in heard} == {OWN_WORDS}


def test_a_sentence_of_the_grammar_is_worth_a_question_when_the_words_are_about_nothing_here() -> None:
    heard = believed(by_grammar("where is my order", 0.99), "Wearing my odour.", ABOUT)
    assert text_of(heard) == "where is my order"
    assert max(confidence for _, confidence in heard) < SURE


def test_own_words_alone_are_never_sure() -> None:
    """A model that leans to the flow's words hears them where they were not said: then the caller is asked."""
    heard = believed([(UNKNOWN, 0.0)], "I want to track my package.", ABOUT)
    assert text_of(heard) == "i want to track my package"
    assert max(confidence for _, confidence in heard) < SURE


@pytest.mark.parametrize("own", ["4217", "Four, two, one, seven.", "farcoo won't happen"])
def test_digits_are_the_grammars_when_the_words_are_about_nothing_here(own: str) -> None:
    assert text_of(believed(by_grammar("four two one seven"), own, ABOUT)) == "four two one seven"


@pytest.mark.parametrize("own", ["one order", "where are my packages"])
def test_digits_are_not_believed_in_a_sentence_about_something(own: str) -> None:
    assert text_of(believed(by_grammar("four two one seven"), own, ABOUT)) == own


def test_a_sentence_that_the_grammar_took_for_digits_is_not() -> None:
    heard = believed(by_grammar("five four five seven"), "My order was last week.", ABOUT)
    assert text_of(heard) == "my order was last week"


def test_without_own_words_nothing_changes() -> None:
    assert believed([(UNKNOWN, 0.0)], "...", ABOUT) == [(UNKNOWN, 0.0)]


def test_a_grammar_without_a_second_hearing_is_worth_a_question() -> None:
    heard = believed(by_grammar("where is my order", 0.99), None, ABOUT)
    assert heard == [(word, OWN_WORDS) for word in ("where", "is", "my", "order")]
    assert believed(by_grammar("where is my order", 0.4), None, ABOUT)[0][1] == 0.4


def test_the_quiet_before_and_after_is_cut_and_nothing_of_the_voice(spoken: Callable[[str], bytes]) -> None:
    pcm = spoken("what is my balance")
    cut = spoken_part(pcm)
    assert 0.3 * len(pcm) < len(cut) < len(pcm) - 6000
    assert cut in pcm
    assert spoken_part(b"") == spoken_part(bytes(20)) == b""
    assert len(spoken_part(np.full(1600, 900, "<i2").tobytes())) <= 3200
