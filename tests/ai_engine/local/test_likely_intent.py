"""What callers mean by words that no example has."""

from __future__ import annotations

import pytest

from ai_engine.local.likely_intent import LIKE_AN_EXAMPLE, likeliest
from ai_engine.local.likeness import FILLERS, likeness, word_likeness, words_of
from ai_engine.local.meaning import the_meaning
from ai_engine.local.sounds import the_sounds
from callflows import demo
from callflows.definition.certainty import SURE

NAMES = [intent.name for intent in demo.INTENTS]
SENTENCES = [(*intent.utterances, intent.label) for intent in demo.INTENTS]
ASKED = 0.5



def meant(said: str) -> tuple[str, float]:
    best, sure = likeliest(words_of(said), SENTENCES, the_meaning(), the_sounds())
    return NAMES[best], sure


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_as_sure_as_can_be(name: str) -> None:
    for example in SENTENCES[NAMES.index(name)]:
        assert meant(example) == (name, 1.0)


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("could you tell me how much is left on my account", "balance"),
        ("can you check on my delivery", "order_status"),  # "can you check" is of an example of another intent
        ("I ordered something last week and it has not come", "order_status"),
        ("is the shop open tomorrow", "opening_hours"),
        ("I want to arrange a visit from a technician", "appointment"),
        ("I have a complaint", "person"),
        ("where are my packages", "order_status"),
    ],
)
def test_other_words_are_understood_but_asked_back(said: str, intent: str) -> None:
    found, sure = meant(said)
    assert found == intent
    assert ASKED <= sure < SURE


@pytest.mark.parametrize("said", ["the quick brown fox", "the sun is shining", "um well", "hello", "could you please"])
def test_what_is_about_nothing_here_is_not_even_asked_about(said: str) -> None:
    assert meant(said)[1] < ASKED


def test_fillers_alone_make_no_sentence_like_another() -> None:
    assert likeness(words_of("can you check on my delivery"), words_of("can you check my balance please")) < 0.7
    assert likeness(words_of("where is my package now"), words_of("where is my package")) > LIKE_AN_EXAMPLE
    assert not FILLERS & {"balance", "order", "open", "appointment", "person"}


def test_a_word_heard_or_bent_differently_is_nearly_the_same_word() -> None:
    assert word_likeness("orders", "order") == word_likeness("ordered", "order") == 0.9
    assert 0.75 <= word_likeness("ballance", "balance") < 1
    assert word_likeness("man", "may") == word_likeness("visit", "order") == 0


def test_nothing_said_and_nothing_to_mean() -> None:
    for said, sentences in (([], SENTENCES), (["balance"], [])):
        assert likeliest(said, sentences, the_meaning(), the_sounds()) == (0, 0.0)
