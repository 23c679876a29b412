"""Whether the keypad can do everything that the AI can do in a flow, and whether all of it can be heard.

Owns the rules that a version must keep before it may be published, each said in plain words. Pure: it looks at the
flow as a value, never at a disk or a database.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from callflows.definition import hours as opening
from callflows.definition.flow import UNSPOKEN, FlowVersion, Intent, Phrase, Policy, Slot, SlotKind, SystemPhrases
from callflows.definition.kept import CHOICE_VALUE, CHOICE_VALUE_WORDS, SLOT_BYTES, slots_fit
from ivr_fallback.actions import Actions, action_problems
from ivr_fallback.english import SMALL
from ivr_fallback.spoken import Kind, SpokenError, fragments, literal_pieces, places

MENU_DIGITS = "123456789"
# What answers a confirming question.
YES_KEY, NO_KEY = "1", "2"
RESERVED_KEYS = {
    "0": "0 always leads to a person",
    "*": "* always leads back to the menu",
    "#": "# always ends a number",
}
# Names become channel variables and Redis fields: an allow-list, not an escape.
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# What the dialplan's `ll-agent-…` dials, and nothing else: other forms would ring whoever is rung last of all. A destination
# becomes part of a dial string; "$", "{", "[", "," and spaces have a meaning there.
DESTINATION = re.compile(r"(?=.{1,120}$)[A-Za-z0-9+][A-Za-z0-9_.+-]{0,63}(?:@[A-Za-z0-9_.-]{1,255}(?::[0-9]{1,5})?)?")
DESTINATION_WORDS = "may hold NAME, NAME@HOST or NAME@HOST:PORT, of letters, digits and . _ + - only"
HOURS = "Opening hours"
FILE = re.compile(r"[0-9a-f]{64}\.wav")
# A complete AI response is promised within 3 to 5 seconds.
TURN_BUDGET_MS = (3000, 5000)
# Less cuts people off; more is a dead line.
LISTEN_LIMIT_MS = (2000, 30_000)
# The longest number that a caller will type (an IBAN's digits).
LONGEST_SLOT = 32


@dataclass(frozen=True, slots=True)
class Problem:
    """``where`` names the part of the flow as its editor sees it, ``text`` says what is wrong and what to do."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def problems(
    flow: FlowVersion, known_files: frozenset[str] | None = None, actions: Actions | None = None
) -> list[Problem]:
    """All of them, in the order of the flow. ``known_files``: the prompt files that exist, and ``actions``: what the business can
    do, when that is known."""
    found = [*_flow_problems(flow), *_phrase_problems(flow, known_files)]
    if flow.hours is not None:
        found += [Problem(HOURS, text) for _part, text in opening.problems(flow.hours)]
    for intent in flow.intents:
        found += [Problem(f"Intent {intent.label or intent.name}", text) for text in _intent_problems(flow, intent, actions)]
    for slot in flow.slots:
        found += [Problem(f"Slot {slot.label or slot.name}", text) for text in _slot_problems(flow, slot)]
    return list(dict.fromkeys(found))


def _flow_problems(flow: FlowVersion) -> Iterator[Problem]:
    where = "Flow"
    if not re.fullmatch(r"\*|[0-9A-Za-z+*#]{1,32}", flow.destination_number):
        yield Problem(where, "the dialled number is missing or holds other signs than digits; * alone means every number")
    if not flow.intents:
        yield Problem(where, "there is no intent: a caller could do nothing")
    if not flow.human_destination:
        yield Problem(where, "there is no human destination: a caller could not reach a person")
    elif not DESTINATION.fullmatch(flow.human_destination):
        yield Problem(where, f"the human destination {DESTINATION_WORDS}")
    for what, value, (least, most) in (
        ("the time for an AI response", flow.turn_budget_ms, TURN_BUDGET_MS),
        ("the listening limit", flow.listen_limit_ms, LISTEN_LIMIT_MS),
    ):
        if not least <= value <= most:
            yield Problem(where, f"{what} is {value} ms; it must be from {least} to {most} ms")
    for what, names in (("intents", [i.name for i in flow.intents]), ("slots", [s.name for s in flow.slots])):
        for name, count in Counter(names).items():
            if count > 1:
                yield Problem(where, f"{count} {what} are called {name!r}; give each a name of its own")
    if not slots_fit(flow):
        yield Problem(
            where,
            f"its slots could take more than the {SLOT_BYTES} bytes that a call can keep on the switch when its bridge is lost: "
            "shorten their names or their longest values, or mark as sensitive what need not be kept",
        )
    yield from _shared_utterances(flow)


def _shared_utterances(flow: FlowVersion) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for intent in flow.intents:
        for utterance in intent.utterances:
            said = " ".join(utterance.lower().split())
            first = owner.setdefault(said, intent.name)
            if first != intent.name:
                yield Problem("Flow", f"{utterance!r} is an example of both {first} and {intent.name}; keep one")


def _phrase_problems(flow: FlowVersion, known_files: frozenset[str] | None) -> Iterator[Problem]:
    for name in SystemPhrases.__struct_fields__:
        if _may_stay_silent(flow, name):
            continue
        for text in _audible(getattr(flow.system, name), known_files):
            yield Problem(f"Phrase {name.replace('_', ' ')!r}", text)
    question = flow.system.yes_or_no.text
    if question and not all(_names_key(question, key) for key in (YES_KEY, NO_KEY)):
        yield Problem("Phrase 'yes or no'", f"{question!r} does not name the keys {YES_KEY} for yes and {NO_KEY} for no")
    for words, phrase in flow.phrases.items():
        for text in _audible(phrase, known_files):
            yield Problem(f"Spoken piece {words!r}", text)
    try:
        wanted = fragments(flow.language)
    except SpokenError as error:
        yield Problem("Flow", str(error))
        return
    lacking = [words for words in wanted if flow.phrase(words) is None]
    if lacking:
        some = ", ".join(lacking[:5])
        yield Problem("Flow", f"{len(lacking)} pieces of numbers and dates have no audio ({some} …)")
    for intent in flow.intents:
        for text in () if intent.confirm == UNSPOKEN else _audible(intent.confirm, known_files):
            yield Problem(f"Intent {intent.label or intent.name}", f"its confirming question: {text}")
        for text in _audible(intent.menu, known_files):
            yield Problem(f"Intent {intent.label or intent.name}", f"its menu phrase: {text}")
    for slot in flow.slots:
        for how, phrase in (("question", slot.ask), ("keypad question", slot.ask_keypad)):
            for text in _audible(phrase, known_files):
                yield Problem(f"Slot {slot.label or slot.name}", f"its {how}: {text}")


def _may_stay_silent(flow: FlowVersion, name: str) -> bool:
    """Versions without hours never say that they are closed, and those from before there were hours cannot."""
    said: Phrase = getattr(flow.system, name)
    return said == UNSPOKEN and (name == "closed_greeting" or (name == "closed" and flow.hours is None))


def _audible(phrase: Phrase, known_files: frozenset[str] | None) -> Iterator[str]:
    if not phrase.text.strip():
        yield "there are no words to say"
    elif not FILE.fullmatch(phrase.file):
        yield "it has no audio file"
    elif known_files is not None and phrase.file not in known_files:
        yield f"its audio file {phrase.file} does not exist"


def _intent_problems(flow: FlowVersion, intent: Intent, actions: Actions | None) -> Iterator[str]:
    if not NAME.fullmatch(intent.name):
        yield "its name must begin with a small letter and hold small letters, digits and _ only"
    yield from _digit_problems(flow, intent)
    if not intent.utterances:
        yield "there is no example of what a caller says, so the AI can never understand it"
    if intent.destination and not DESTINATION.fullmatch(intent.destination):
        yield f"its destination {DESTINATION_WORDS}"
    for name in intent.slots:
        if flow.slot(name) is None:
            yield f"it needs the slot {name!r}, which the flow does not have"
    if intent.policy is Policy.HUMAN:
        if not (intent.destination or flow.human_destination):
            yield "it leads to a person, and neither it nor the flow names a destination"
        return
    if not intent.action:
        yield "it is automated, and no action is chosen"
    if not intent.outcomes:
        yield "there is no outcome, so the caller would hear nothing of what was done"
    for outcome, template in intent.outcomes.items():
        for text in _template_problems(flow, template):
            yield f"outcome {outcome!r}: {text}"
    if actions is not None:
        yield from action_problems(intent, actions)


def _digit_problems(flow: FlowVersion, intent: Intent) -> Iterator[str]:
    if not intent.digit:
        yield "it has no key in the keypad menu, so it could not be reached without the AI"
    elif intent.digit in RESERVED_KEYS:
        yield f"key {intent.digit} cannot be used: {RESERVED_KEYS[intent.digit]}"
    elif len(intent.digit) != 1 or intent.digit not in MENU_DIGITS:
        yield f"key {intent.digit!r} is not one of 1 to 9"
    else:
        others = [other.label or other.name for other in flow.intents if other.digit == intent.digit]
        if len(others) > 1:
            yield f"key {intent.digit} is used by {' and '.join(others)}; give each a key of its own"
        if intent.menu.text and not _names_key(intent.menu.text, intent.digit):
            yield f"its menu phrase {intent.menu.text!r} does not name its key, {intent.digit}"


def _names_key(text: str, digit: str) -> bool:
    return not {*re.findall(r"[0-9]+|[a-z]+", text.lower())}.isdisjoint({digit, SMALL[int(digit)]})


def _template_problems(flow: FlowVersion, template: str) -> Iterator[str]:
    try:
        pieces, spoken_places = literal_pieces(template), places(template)
    except SpokenError as error:
        yield str(error)
        return
    if not pieces and not spoken_places:
        yield "there are no words to say"
    for piece in pieces:
        if flow.phrase(piece) is None:
            yield f"the words {piece!r} have no audio"
    for place in spoken_places:
        slot = flow.slot(place.name)
        if place.kind is Kind.WORDS and slot is not None and slot.kind is SlotKind.DIGITS:
            yield f"{{{place.name}:words}} is a number; write {{{place.name}:digits}}"


def _slot_problems(flow: FlowVersion, slot: Slot) -> Iterator[str]:
    if not NAME.fullmatch(slot.name):
        yield "its name must begin with a small letter and hold small letters, digits and _ only"
    if slot.kind is SlotKind.DIGITS:
        if not 1 <= slot.min_length <= slot.max_length <= LONGEST_SLOT:
            yield f"its length must be from 1 to {LONGEST_SLOT} digits, the shortest first"
        return
    if not slot.choices:
        yield "there is nothing to choose from, so it cannot be collected by keypad"
    for what, values in (("key", [c.digit for c in slot.choices]), ("value", [c.value for c in slot.choices])):
        for value, count in Counter(values).items():
            if count > 1:
                yield f"{what} {value!r} is used {count} times; give each choice its own"
    for choice in slot.choices:
        if not CHOICE_VALUE.fullmatch(choice.value):
            yield f"choice {choice.value!r}: its value {CHOICE_VALUE_WORDS}"
        if choice.digit in RESERVED_KEYS:
            yield f"choice {choice.value!r}: key {choice.digit} cannot be used: {RESERVED_KEYS[choice.digit]}"
        elif len(choice.digit) != 1 or choice.digit not in MENU_DIGITS:
            yield f"choice {choice.value!r}: its key must be one of 1 to 9"
        elif not _names_key(slot.ask_keypad.text, choice.digit):
            yield f"choice {choice.value!r}: the keypad question does not name its key, {choice.digit}"
        if flow.phrase(choice.words) is None:
            yield f"choice {choice.value!r}: the words {choice.words!r} have no audio"
