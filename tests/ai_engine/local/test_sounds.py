"""What was misheard sounds like what was said."""

from __future__ import annotations

import pytest

from ai_engine.local.likely_intent import LEAST_NEARNESS, likeliest
from ai_engine.local.likeness import words_of
from ai_engine.local.meaning import the_meaning
from ai_engine.local.sounds import the_sounds

BALANCE = ["what is the balance on my account", "how much do i owe you"]
ORDER = ["where is my order", "has my parcel been sent"]
EXAMPLES = [[words_of(sentence) for sentence in of_one] for of_one in (BALANCE, ORDER)]


@pytest.mark.parametrize(
    ("misheard", "intent"),
    [
        ("what is the valence on my count", 0),
        ("how munch due i owe ewe", 0),
        ("wears my border", 1),
        ("has my partial bean scent", 1),
    ],
)
def test_what_was_misheard_sounds_like_what_was_said(misheard: str, intent: int) -> None:
    near, apart = the_sounds().compared(words_of(misheard), EXAMPLES)
    assert near.index(max(near)) == apart.index(max(apart)) == intent
    assert apart[intent] > 0


def test_the_same_sounds_in_other_words_are_as_near_as_can_be() -> None:
    near, _ = the_sounds().compared(words_of("wear is my odor"), [[words_of("where is my order")]])
    assert near[0] > 0.5
    near, _ = the_sounds().compared(words_of("where is my order"), [[words_of("where is my order")]])
    assert near[0] == pytest.approx(1.0)


def test_a_word_that_no_dictionary_has_sounds_as_it_is_written() -> None:
    near, _ = the_sounds().compared(["qwzx"], [[["qwzx"]], [["order"]]])
    assert near == [pytest.approx(1.0), 0.0]


@pytest.mark.parametrize("said", [[], ["a"]])
def test_what_makes_no_run_of_sounds_is_like_nothing(said: list[str]) -> None:
    assert the_sounds().compared(said, EXAMPLES) == ([0.0, 0.0], [0.0, 0.0])


def test_an_intent_without_examples_is_like_nothing_that_is_said() -> None:
    near, _ = the_sounds().compared(words_of("where is my order"), [EXAMPLES[1], []])
    assert near[1] == -1.0
    assert the_sounds().compared(["order"], []) == ([], [])


def test_what_was_misheard_is_asked_about_by_its_sound_alone() -> None:
    """Nothing of it is near in meaning: the caller would be asked to say it again."""
    misheard = "partial bean scent"
    assert max(the_meaning().nearness(the_meaning().of(misheard), [BALANCE, ORDER])) < LEAST_NEARNESS
    best, sure = likeliest(words_of(misheard), [BALANCE, ORDER], the_meaning(), the_sounds())
    assert best == 1
    assert sure >= 0.5
