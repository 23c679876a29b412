"""Utterances against intents, and values for slots."""

from __future__ import annotations

import json

import pytest

from ai_engine.local.understanding import Choice, Described, Intent, Message, Slot, judge, understand

SERVICE = Described(
    [
        Intent("balance", "Balance", ["what is my balance", "how much do i owe you"]),
        Intent("hours", "Opening hours", ["what are your opening hours", "when are you open"]),
    ],
    [
        Slot("account", min_length=4, max_length=4),
        Slot("day", "choice", choices=[Choice("mon", "Monday"), Choice("tue", "Tuesday")]),
    ],
)


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("what is my balance", "balance"),
        ("what's my balance please", "balance"),
        ("opening hours", "hours"),
        ("when do you open", "hours"),
        ("my cat likes fish", None),
        ("yes", None),
        ("", None),
    ],
)
def test_the_likest_utterance_decides(said: str, intent: str | None) -> None:
    understood = judge(said, SERVICE)
    assert understood.intent == intent
    assert understood.reply


@pytest.mark.parametrize(
    ("said", "value"),
    [("four two one seven", "4217"), ("it is 4217", "4217"), ("double oh one seven", "0017"), ("four two one", None)],
)
def test_digits_are_taken_in_any_form_but_only_in_the_right_number(said: str, value: str | None) -> None:
    assert judge(said, SERVICE).slots["account"] == value


def test_a_choice_is_taken_only_when_it_is_clear() -> None:
    assert judge("on tuesday", SERVICE).slots["day"] == "tue"
    assert judge("monday or tuesday", SERVICE).slots["day"] is None


def test_the_last_user_message_is_judged_by_the_description_among_the_system_messages() -> None:
    described = json.dumps({"expect": "intent", "intents": [{"name": "hours", "utterances": ["when are you open"]}]})
    messages = [
        Message("system", "You understand callers."),
        Message("system", described),
        Message("user", "nonsense"),
        Message("assistant", "Sorry?"),
        Message("user", "when are you open"),
    ]
    assert understand(messages).intent == "hours"
