"""When a caller is asked whether they were understood, in which words, and what counts as yes and no. Pure.

Owns the question and the reading of its answer. How sure is sure enough is said in ``callflows.definition.certainty``; what
follows from the answer is the dialogue's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from callflows.definition.flow import UNSPOKEN, FlowVersion, Intent, Phrase, Slot, SlotKind
from ivr_fallback.parity import NO_KEY, YES_KEY
from ivr_fallback.spoken import SpokenError, compose

# What a turn expects while such a question is open; no slot may have the name, its letters are a slot's all the same.
YES_OR_NO = "yes_or_no"
# "Is this number right?" and its digits take twelve seconds for as many; longer ones are quicker keyed in.
LONGEST_READ_BACK = 12

_YES = frozenset({"yes", "yeah", "yep", "yup", "correct", "right", "exactly", "sure", "ok", "okay"})
_NO = frozenset({"no", "nope", "wrong", "incorrect"})
_NOT = frozenset({"not", "isn't", "don't", "didn't"})


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Doubt:
    """What was understood and is not acted on yet: an intent, or (``slot`` set) a value of a slot."""

    intent: Intent | None
    slot: Slot | None = None
    value: str = ""


def is_read_back(flow: FlowVersion, slot: Slot) -> bool:
    """Numbers that were heard are: a wrong digit sounds like a right one. A sensitive one is never said by us."""
    known = UNSPOKEN not in (flow.system.read_back, flow.system.yes_or_no)
    return known and slot.kind is SlotKind.DIGITS and not slot.sensitive and slot.max_length <= LONGEST_READ_BACK


def question(flow: FlowVersion, doubt: Doubt) -> tuple[Phrase, ...]:
    if doubt.slot is None:
        asked: tuple[Phrase, ...] = () if doubt.intent is None else (doubt.intent.confirm,)
    else:
        asked = (flow.system.read_back, *_digits(flow, doubt.value))
    return (*asked, flow.system.yes_or_no)


def _digits(flow: FlowVersion, value: str) -> tuple[Phrase, ...]:
    try:
        pieces = compose("{value:digits}", {"value": value}, flow.language)
    except SpokenError:
        return ()
    return tuple(phrase for piece in pieces if (phrase := flow.phrase(piece)) is not None)


def read_answer(transcript: str) -> Answer:
    """The first clear word decides: "no, that is right" is rarer than "no, the right one is …"."""
    words = [word.strip(".,;:!?") for word in transcript.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()]
    for word in words:
        if word in _NO or word in _NOT:
            return Answer.NO
        if word in _YES:
            return Answer.NO if _NOT & set(words) else Answer.YES
    return Answer.UNCLEAR


def is_clear(transcript: str) -> bool:
    return read_answer(transcript) is not Answer.UNCLEAR


def keyed_answer(key: str) -> Answer:
    return {YES_KEY: Answer.YES, NO_KEY: Answer.NO}.get(key, Answer.UNCLEAR)
