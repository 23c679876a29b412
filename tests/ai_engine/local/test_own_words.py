"""The real model on real audio, and how far it leans."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ai_engine.local.grammar import build_grammar, read_dictionary, spoken_words
from ai_engine.local.likely_intent import LIKE_AN_EXAMPLE
from ai_engine.local.likeness import likeness
from ai_engine.local.own_words import LETTER, LONGEST_S, PAIR, STRANGER, Hypothesis, Leaning, OwnWords, model_folder, read_pieces
from ai_engine.local.recogniser_process import Audio, Final, Finish, Open, Streams
from ai_engine.local.second_hearing import OWN_WORDS
from callflows import demo

SENTENCES = ("what are your opening hours", "i want to track my package", "until when is the shop open")
DEMONSTRATION = [utterance for intent in demo.INTENTS for utterance in intent.utterances]


@pytest.fixture(scope="module")
def own_words() -> OwnWords:
    return OwnWords(Leaning(DEMONSTRATION), longest_s=60)


@pytest.mark.parametrize(
    "words", ["what happened to my parcel", "please check my order", "please put me through to a representative"]
)
def test_words_that_no_sentence_of_the_flow_has_in_this_order_are_heard(
    own_words: OwnWords, spoken: Callable[[str], bytes], words: str
) -> None:
    assert likeness(spoken_words(own_words.hear(spoken(words)) or ""), words.split()) > LIKE_AN_EXAMPLE


@pytest.mark.parametrize("pcm", [b"", b"\0", bytes(1000), b"\x10\0" * 700, b"\x10\0" * 8000 * 16])
def test_what_is_too_short_or_too_long_for_a_sentence_has_no_words(own_words: OwnWords, pcm: bytes) -> None:
    assert own_words.hear(pcm) == ""


def test_it_gives_up_when_the_machine_has_no_time(spoken: Callable[[str], bytes]) -> None:
    """Otherwise the process is taken for dead, with every caller that it hears."""
    times = iter([0.0, 0.1, 0.2])  # the third piece would be looked for after that
    late = OwnWords(clock=lambda: next(times, LONGEST_S + 0.1))
    assert late.hear(spoken("what are your opening hours")) is None


def test_the_time_that_a_caller_has_waited_for_others_counts(spoken: Callable[[str], bytes]) -> None:
    """Six who stop at once are heard one after the other by one process."""
    grammar = build_grammar(None, read_dictionary())
    streams = Streams(replace(grammar, phrases=("what are your opening hours",)))
    streams.answer(Open(1))
    streams.answer(Audio(1, spoken("four two one seven")))
    final = streams.answer(Finish(1, at_s=time.monotonic() - LONGEST_S))
    assert isinstance(final, Final)
    assert 0 < max(confidence for _, confidence in final.words) <= OWN_WORDS


def test_leaning_changes_what_is_heard(own_words: OwnWords, spoken: Callable[[str], bytes]) -> None:
    """The model alone writes what is common in its own texts."""
    sentences = ("could you put me through to customer service", "where is my parcel", "track my package")
    recordings = [spoken(words) for words in sentences]
    leant = [own_words.hear(pcm) or "" for pcm in recordings]
    assert spoken_words(leant[0])[-2:] == ["customer", "service"]
    alone = OwnWords(longest_s=60)
    assert leant != [alone.hear(pcm) for pcm in recordings]


def test_every_piece_of_the_model_is_read() -> None:
    pieces = read_pieces(model_folder() / "tokenizer.bin")
    assert len(pieces) == 32_768
    assert pieces[1:3] == ("<s>", "</s>")
    assert "\N{LOWER ONE EIGHTH BLOCK}the" in pieces


def test_words_of_the_flow_gain_and_strangers_cost() -> None:
    leaning = Leaning(SENTENCES)
    assert leaning.begun("pack") == 4 * LETTER
    assert leaning.begun("pock") == 0
    assert leaning.whole(("track", "my"), "package") == 7 * LETTER + PAIR
    assert leaning.whole(("your",), "package") == 7 * LETTER
    assert leaning.whole(("my",), "banana") == -STRANGER
    assert Leaning().whole(("my",), "banana") == 0


def test_saying_it_again_gains_nothing() -> None:
    assert Leaning(SENTENCES).whole(("my", "package", "my"), "package") == -STRANGER


def test_a_word_counts_in_full_only_when_it_is_over() -> None:
    leaning = Leaning(SENTENCES)
    begun = Hypothesis().with_piece("\N{LOWER ONE EIGHTH BLOCK}pack", -1.0, leaning).with_piece("age", -1.0, leaning)
    assert (begun.text, begun.words, begun.word) == (" package", (), "package")
    assert begun.total == pytest.approx(-2.0 + 7 * LETTER)
    other = begun.with_piece("s", -1.0, leaning).with_piece("\N{LOWER ONE EIGHTH BLOCK}of", -1.0, leaning)
    assert other.words == ("packages",)
    assert other.total == pytest.approx(-4.0 - STRANGER + leaning.begun("of"))
    assert begun.ended(-0.5, leaning).total == pytest.approx(-2.5 + 7 * LETTER)
