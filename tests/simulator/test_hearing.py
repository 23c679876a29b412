"""Words of prompts, and what they ask a caller to do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from simulator.hearing import Option, PromptTexts, menu_options, understand
from simulator.media import Part


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("for your balance, press 1. for order status, press 2.", [("your balance", "1"), ("order status", "2")]),
        ("press one for sales, press 2 for support.", [("sales", "1"), ("support", "2")]),
        ("for opening hours please press three. to speak to a person press zero", [
            ("opening hours", "3"), ("speak to a person", "0")]),
        ("to go back to the menu, press star. to finish, press the hash key.", [
            ("go back to the menu", "*"), ("finish", "#")]),
        ("to confirm, press 1. to choose another time, press 2", [("confirm", "1"), ("choose another time", "2")]),
        ("thank you for calling. how can i help?", []),
        ("for your balance, press 10", []),
    ],
)  # fmt: skip
def test_menu_options(words: str, expected: list[tuple[str, str]]) -> None:
    assert menu_options(words) == tuple(Option(what, key) for what, key in expected)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Please enter your account number, followed by the hash key.", "wants_digits"),
        ("Sorry, I did not understand. Please say that again.", "again"),
        ("I didn’t catch that.", "again"),
        ("Is there anything else I can help you with?", "anything_else"),
        ("What is your account number, please?", "account"),
        ("You would like Monday at ten. Is that right?", "confirm"),
        ("Shall I book that for you?", "confirm"),
        ("I have Monday at ten or Tuesday at two. Which time suits you?", "offer"),
        ("Welcome to Lifeline. How can I help you today?", "open_question"),
        ("Let me transfer you to our team.", "to_team"),
        ("Thank you for calling. Goodbye.", "goodbye"),
        ("One moment, please.", "please_wait"),
    ],
)
def test_what_words_ask_for(text: str, field: str) -> None:
    assert getattr(understand(text), field)


def test_a_statement_asks_for_nothing() -> None:
    heard = understand("Your balance is ten pounds.")
    assert not any(getattr(heard, name) for name in heard.__dataclass_fields__ if name not in ("text", "options"))
    assert heard.options == ()


def test_texts_come_from_the_manifest_and_follow_its_changes(tmp_path: Path) -> None:
    texts = PromptTexts(tmp_path)
    part = Part("a.wav", 1.0, audible=True)
    assert texts.text_of(part) == ""
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"a.wav": {"text": "Hello."}}))
    assert texts.text_of(part) == "Hello."
    assert texts.text_of(Part("", 1.0, audible=True)) == ""
    manifest.write_text("not json")
    os.utime(manifest, ns=(1, 1))
    assert texts.text_of(Part("b.wav", 1.0, audible=True)) == ""
    assert texts.text_of(part) == "Hello."
    assert PromptTexts(None).text_of(part) == ""
