"""What is the same question, and what must never be kept for another caller."""

from __future__ import annotations

import msgspec
import pytest

from ai_engine.caches.rules import may_keep, normalised, question, rendering
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.roles import Understanding
from ai_engine.messages import Exchange, TurnRequest
from tests.ai_engine.test_turn_queue import request

ENGINES = (EngineConfig("n", Stage.NLU, EngineKind.OPENAI, "http://x/v1", model="m"),)
SURE = Understanding("opening_hours", 0.9, {}, "We are open.")


def key(words: str, asked: TurnRequest | None = None) -> str:
    return question(asked or request(), words, ENGINES)


@pytest.mark.parametrize(
    "said", ["What are your opening hours?", "um what are your  opening hours", "WHAT ARE YOUR, uh, opening hours!"]
)
def test_case_punctuation_and_hesitation_make_no_difference(said: str) -> None:
    assert key(said) == key("what are your opening hours") != ""


def test_apostrophes_belong_to_words() -> None:
    assert normalised("What's my 'Balance'?") == "what's my balance"


@pytest.mark.parametrize(
    "said",
    ["my number is 4711", "my account is one two three", "card ending in 42nd", "", "um", "yes", "billing", "so " * 17],
)
def test_figures_single_words_and_long_stories_have_no_name(said: str) -> None:
    assert key(said) == ""


def test_version_language_and_engine_are_part_of_the_name() -> None:
    words = "what is my balance"
    others = [
        key(words, msgspec.structs.replace(request(), flow_version=9)),
        key(words, msgspec.structs.replace(request(), language="es")),
        key(words, msgspec.structs.replace(request(), flow_slug="other")),
        question(request(), words, (msgspec.structs.replace(ENGINES[0], model="m2"),)),
    ]
    assert len({key(words), *others}) == 5


def test_an_answer_to_a_slots_question_has_no_name() -> None:
    assert key("to my savings account", msgspec.structs.replace(request(), expect="account")) == ""


def test_only_a_sure_answer_without_slots_to_first_words_is_kept() -> None:
    assert may_keep(request(), SURE)
    assert not may_keep(request(), msgspec.structs.replace(SURE, confidence=0.8))
    assert not may_keep(request(), msgspec.structs.replace(SURE, intent=""))
    assert not may_keep(request(), msgspec.structs.replace(SURE, slots={"account_number": "12345"}))
    assert not may_keep(request(), msgspec.structs.replace(SURE, reply="")), "what a model left that broke off"
    greeted = msgspec.structs.replace(request(), history=(Exchange("lifeline", "Welcome. How can I help you?"),))
    assert may_keep(greeted, SURE), "what we said first, everybody hears"
    later = msgspec.structs.replace(request(), history=(Exchange("caller", "my balance"),))
    assert not may_keep(later, SURE)


def test_a_renderings_name_tells_voices_and_engines_apart() -> None:
    assert rendering("We are open.", "en-us", ENGINES) != rendering("We are open.", "en-us", ())
    assert rendering("We are open.", "en-us", ENGINES) != rendering("We are open.", "en-gb", ENGINES) != ""
