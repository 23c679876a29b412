"""What a caller wants, found by comparing their words with the example utterances that the request brings.

Owns reading the request, the values of slots and the short replies. It keeps nothing: everything is in the messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from ai_engine.local.likely_intent import likeliest
from ai_engine.local.likeness import words_of
from ai_engine.local.meaning import the_meaning
from ai_engine.local.sounds import the_sounds
from ai_engine.messages import INTENT
from callflows.definition.errors import UNREADABLE

S = TypeVar("S", bound=msgspec.Struct)

# Below this the best intent is a guess.
MATCHES = 0.5
# What a filled slot is worth when it was asked for: digits in the right number are hardly said by chance.
SLOT_CONFIDENCE = 0.95
NOT_UNDERSTOOD = "Sorry, I did not understand that."
THANKS = "Thank you."
_DIGITS = {
    "zero": "0", "oh": "0", "o": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_REPEATS = {"double": 2, "triple": 3}


class Choice(msgspec.Struct, frozen=True):
    value: str
    words: str = ""


class Slot(msgspec.Struct, frozen=True):
    name: str
    kind: str = "digits"
    min_length: int = 1
    max_length: int = 12
    choices: list[Choice] = []


class Intent(msgspec.Struct, frozen=True):
    name: str
    label: str = ""
    utterances: list[str] = []
    slots: list[str] = []


class Described(msgspec.Struct, frozen=True):
    """The service, as the system message describes it."""

    intents: list[Intent]
    slots: list[Slot] = []
    expect: str = INTENT


class Understood(msgspec.Struct, frozen=True):
    """In the form that the client's JSON schema asks for."""

    intent: str | None
    confidence: float
    slots: dict[str, str | None]
    reply: str


SILENT = Understood(None, 0.0, {}, "")


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[dict[str, object]] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return " ".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class Asked(msgspec.Struct, frozen=True):
    """The last user message, when it says what was expected as well."""

    said: str
    expect: str = INTENT


def understand(messages: Sequence[Message]) -> Understood:
    """The last user message, judged by the last paragraph of a system message that describes a service."""
    said = next((message.text() for message in reversed(messages) if message.role == "user"), "")
    described = Described([])
    for message in messages:
        if message.role in ("system", "developer"):
            for paragraph in message.text().split("\n\n"):
                described = _decoded(paragraph, Described) or described  # others are instructions in prose
    asked = _decoded(said, Asked)
    if asked is None:
        return judge(said, described)
    return judge(asked.said, msgspec.structs.replace(described, expect=asked.expect))


def _decoded(text: str, shape: type[S]) -> S | None:
    try:
        return msgspec.json.decode(text, type=shape)
    except UNREADABLE:
        return None


def judge(said: str, described: Described) -> Understood:
    words = words_of(said)
    slots = {slot.name: slot_value(words, slot) for slot in described.slots}
    if slots.get(described.expect) is not None:
        return Understood(None, SLOT_CONFIDENCE, slots, THANKS)
    sentences = [tuple(filter(None, (*intent.utterances, intent.label))) for intent in described.intents]
    best, score = likeliest(words, sentences, the_meaning(), the_sounds())
    if score < MATCHES:
        return Understood(None, round(score, 3), slots, NOT_UNDERSTOOD)
    intent = described.intents[best]
    return Understood(intent.name, round(score, 3), slots, f"Sure, {_subject(intent)}.")


def slot_value(words: Sequence[str], slot: Slot) -> str | None:
    if slot.kind == "choice":
        return _choice(words, slot.choices)
    for run in _digit_runs(words):
        if slot.min_length <= len(run) <= slot.max_length:
            return run
    return None


def _choice(words: Sequence[str], choices: Iterable[Choice]) -> str | None:
    said = f" {' '.join(words)} "
    found = [
        choice.value
        for choice in choices
        if any(f" {' '.join(words_of(name))} " in said for name in (choice.words, choice.value) if words_of(name))
    ]
    return found[0] if len(found) == 1 else None


def _digit_runs(words: Sequence[str]) -> Iterable[str]:
    """Digits said in a row, as numerals or as words, with ``double`` and ``triple``."""
    run, repeat = "", 1
    for word in (*words, ""):
        if word in _REPEATS:
            repeat = _REPEATS[word]
            continue
        digits = word if word.isdigit() else _DIGITS.get(word, "")
        if digits:
            run += digits * repeat
        elif run:
            yield run
            run = ""
        repeat = 1


def _subject(intent: Intent) -> str:
    label = (intent.label or intent.name.replace("_", " ")).strip().rstrip(".").lower()
    return label if label.startswith(("a ", "an ", "the ", "your ")) else f"your {label}"
