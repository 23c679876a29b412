"""A published flow in plain words, line by line, and what changed between two of them.

Owns the wording. Pure: it looks at flows as values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from callflows.definition.flow import FlowVersion, Intent, Policy, Slot, SystemPhrases
from callflows.hours_text import hours_lines


class Change(StrEnum):
    ADDED = "Added"
    REMOVED = "Removed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One line that only one of two versions has."""

    change: Change
    line: str


def differences(before: FlowVersion, after: FlowVersion) -> list[Difference]:
    """What was removed and added, in the order of the flow."""
    compared = difflib.ndiff(describe(before), describe(after))
    marks = {"- ": Change.REMOVED, "+ ": Change.ADDED}
    return [Difference(marks[line[:2]], line[2:]) for line in compared if line[:2] in marks]


def describe(flow: FlowVersion) -> list[str]:
    """Every line stands for itself, so that a changed one says where it belongs."""
    described = [
        f"Name: {flow.name}",
        f"Dialled number: {flow.destination_number}",
        f"Language: {flow.language}",
        f"Voice: {flow.voice}",
        f"Human destination: {flow.human_destination}",
        f"Time for an AI response: {flow.turn_budget_ms} ms",
        f"Listening limit: {flow.listen_limit_ms} ms",
    ]
    if flow.hours is not None:
        described += [f"Opening hours: {line} ({flow.hours.zone})" for line in hours_lines(flow.hours)]
    described += [
        f"{name.replace('_', ' ').capitalize()}: {getattr(flow.system, name).text}" for name in SystemPhrases.__struct_fields__
    ]
    for intent in flow.intents:
        described += _intent_lines(intent)
    for slot in flow.slots:
        described += _slot_lines(slot)
    # A recording that replaces rendered words changes the file alone.
    described += [f"Spoken piece: {words} ({phrase.file[:8]})" for words, phrase in flow.phrases.items()]
    return described


def keypad_menu(flow: FlowVersion) -> list[str]:
    """What a caller hears when the keypad menu begins, sentence by sentence."""
    return [phrase.text for phrase in (flow.system.menu_intro, *(i.menu for i in flow.intents)) if phrase.text]


def _intent_lines(intent: Intent) -> Iterator[str]:
    where = f"Intent {intent.name}"
    yield f"{where}: {intent.label}"
    if intent.policy is Policy.HUMAN:
        yield f"{where} leads to a person ({intent.destination or 'the human destination'})"
    else:
        yield f"{where} runs the action {intent.action or '(none)'}"
    yield f"{where} has key {intent.digit or '(none)'}: {intent.menu.text}"
    yield f"{where} is confirmed by: {intent.confirm.text}" + (", unless nearly certain" if intent.careful else "")
    yield f"{where} needs: {', '.join(intent.slots) or 'nothing'}"
    yield from (f"{where} example: {utterance}" for utterance in intent.utterances)
    yield from (f"{where} outcome {name}: {template}" for name, template in intent.outcomes.items())


def _slot_lines(slot: Slot) -> Iterator[str]:
    where = f"Slot {slot.name}"
    yield f"{where}: {slot.label}, {slot.kind}, {slot.min_length} to {slot.max_length} signs"
    yield f"{where} is {'sensitive' if slot.sensitive else 'not sensitive'}"
    yield f"{where} question: {slot.ask.text}"
    yield f"{where} keypad question: {slot.ask_keypad.text}"
    yield from (f"{where} choice {choice.value}: key {choice.digit}, {choice.words}" for choice in slot.choices)
