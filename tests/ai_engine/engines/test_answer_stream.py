"""A reply is found in the answer, and cut into the same sentences, whatever the pieces in which it comes."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.engines.answer_stream import MAX_REPLY_CHARS, ReplyReader, SentenceCutter, sentences


def read(text: str, cuts: list[int]) -> tuple[list[str], str]:
    reader = ReplyReader()
    found: list[str] = []
    marks = sorted({0, *(cut % (len(text) + 1) for cut in cuts), len(text)})
    for start, end in itertools.pairwise(marks):
        found += reader.feed(text[start:end])
    assert reader.text == text
    return found, reader.head


heads = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name != "reply"),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
replies = st.text() | st.text(alphabet="ab .!?\\\"\n\u00e9\U0001f600", max_size=60)


@given(heads, replies, st.booleans(), st.lists(st.integers(0, 2000)), st.sampled_from([None, 1]))
def test_pieces_change_nothing(head: dict[str, object], reply: str, plain: bool, cuts: list[int], indent: int | None) -> None:
    text = json.dumps({**head, "reply": reply}, ensure_ascii=not plain, indent=indent)
    found, head_text = read(text, cuts)
    assert tuple(found) == sentences(reply)
    assert json.loads(head_text) == head


@given(heads, replies)
def test_one_byte_at_a_time_changes_nothing(head: dict[str, object], reply: str) -> None:
    text = json.dumps({**head, "reply": reply})  # ASCII: a character is a byte
    found, _ = read(text, list(range(len(text))))
    assert tuple(found) == sentences(reply)


@given(st.text())
def test_anything_else_is_read_without_an_error(text: str) -> None:
    read(text, list(range(len(text))))


def test_a_sentence_is_told_as_soon_as_the_next_begins() -> None:
    reader = ReplyReader()
    assert reader.feed('{"intent": "x", "slots": {"reply": "no."}, "reply": "It is 3.50 now') == []
    assert reader.feed(". ") == ["It is 3.50 now."]
    assert json.loads(reader.head) == {"intent": "x", "slots": {"reply": "no."}}
    assert reader.feed('Good?" ,') == ["Good?"]
    assert reader.feed('"more": "Not. This."}') == []


def test_only_whole_sentences_are_kept_within_the_limit_but_never_none() -> None:
    assert sentences("a" * 400 + ". b.") == ("a" * MAX_REPLY_CHARS,)
    assert sentences("One. " + "b" * 400 + ". Three.") == ("One.",)
    assert sum(map(len, sentences("Nine nine. " * 100))) <= MAX_REPLY_CHARS


@pytest.mark.parametrize("text", ["", "  ", "...", "?! ... !"])
def test_nothing_to_say_is_no_sentence(text: str) -> None:
    assert sentences(text) == ()


def test_signs_without_words_belong_to_what_follows() -> None:
    assert sentences("... Well. Yes ?!") == ("... Well.", "Yes ?!")


def test_half_a_character_is_replaced() -> None:
    found, _ = read(r'{"reply": "a \ud83d b \ude00 c \ud83d\ude00 \uzzzz \x"}', [])
    assert found == ["a \ufffd b \ufffd c \U0001f600 \ufffd \ufffd"]


def test_a_cutter_goes_on_after_an_end() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Yes. No") == ["Yes."]
    assert cutter.end() == ["No"]
    assert cutter.end() == []
