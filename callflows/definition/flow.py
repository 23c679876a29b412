"""A published flow as pure values: what a call to one number should do.

Owns the shape of a version and the look-ups in it. Knows nothing of Django, files or audio bytes; anyone may import it.
A value of this module is immutable and travels as JSON (:func:`encode_snapshot`, :func:`decode_snapshot`).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from callflows.definition.errors import UNREADABLE, BadSnapshot
from callflows.definition.hours import Hours

SNAPSHOT_FORMAT = 1


class Policy(StrEnum):
    AUTOMATE = "automate"
    HUMAN = "human"


class SlotKind(StrEnum):
    DIGITS = "digits"
    CHOICE = "choice"


class Phrase(msgspec.Struct, frozen=True):
    """One piece of audio. ``file`` is the name in the prompt folder (``<content hash>.wav``), ``text`` its words."""

    text: str
    file: str
    duration_ms: int = 0


# What a flow says that leaves these empty.
READ_BACK = "Is this number right?"
YES_OR_NO = "Say yes or no, or press 1 for yes, 2 for no."
CLOSED = "Sorry, nobody is here to take your call now. Please call again during our opening hours."
# What a version published before these phrases existed has in their place.
UNSPOKEN = Phrase("", "")


class Choice(msgspec.Struct, frozen=True):
    """One value of a slot of kind ``choice``: the digit that picks it and how it is spoken."""

    value: str
    digit: str
    words: str


class Slot(msgspec.Struct, frozen=True):
    """A value a call needs. ``ask`` invites the caller to say it, ``ask_keypad`` names the keys."""

    name: str
    kind: SlotKind
    label: str
    ask: Phrase
    ask_keypad: Phrase
    min_length: int = 1
    max_length: int = 12
    sensitive: bool = False
    choices: tuple[Choice, ...] = ()


class Intent(msgspec.Struct, frozen=True):
    """Something a caller wants.

    ``menu`` is the phrase of its keypad mapping (``For your balance, press 1.``), ``digit`` the key.
    ``outcomes`` maps an action's outcome name to a template of words and typed places
    (``Your balance is {balance:amount}.``), spoken from fragments: see ``ivr_fallback.spoken``.
    ``confirm`` asks whether it was this that the caller wanted (``Did you want your balance?``). ``careful``: it moves
    money or books something, so only an AI that is nearly certain is taken at its word.
    """

    name: str
    label: str
    policy: Policy
    utterances: tuple[str, ...]
    digit: str
    menu: Phrase
    slots: tuple[str, ...] = ()
    action: str = ""
    outcomes: dict[str, str] = {}
    destination: str = ""
    confirm: Phrase = UNSPOKEN
    careful: bool = False


class SystemPhrases(msgspec.Struct, frozen=True):
    """What every flow must be able to say, with any engine dead."""

    greeting: Phrase
    not_understood: Phrase
    transfer_to_team: Phrase
    menu_intro: Phrase
    menu_hint: Phrase
    """Names the key that leads back to the menu (``*``); played first when the menu itself can be skipped."""
    invalid_choice: Phrase
    anything_else: Phrase
    anything_else_menu: Phrase
    connecting: Phrase
    no_agent: Phrase
    action_failed: Phrase
    goodbye: Phrase
    read_back: Phrase = UNSPOKEN
    """Before the digits of a number that was understood by voice."""
    yes_or_no: Phrase = UNSPOKEN
    """After every question that is answered by yes or no; names the keys 1 and 2."""
    closed: Phrase = UNSPOKEN
    """In place of a person, outside opening hours."""
    closed_greeting: Phrase = UNSPOKEN
    """Before the greeting, outside opening hours; may stay empty."""


class FlowVersion(msgspec.Struct, frozen=True):
    """One immutable version of a flow.

    ``phrases`` maps every fragment's words (lower case, as ``ivr_fallback.spoken`` names them) to its file, so that
    numbers, dates and amounts can be spoken without an engine. Durations are in milliseconds.
    """

    slug: str
    number: int
    name: str
    destination_number: str
    language: str
    voice: str
    system: SystemPhrases
    intents: tuple[Intent, ...]
    slots: tuple[Slot, ...]
    phrases: dict[str, Phrase]
    human_destination: str
    turn_budget_ms: int = 4000
    listen_limit_ms: int = 8000
    hours: Hours | None = None
    """When people can be reached; None: around the clock."""

    def intent(self, name: str) -> Intent | None:
        return next((intent for intent in self.intents if intent.name == name), None)

    def intent_for_digit(self, digit: str) -> Intent | None:
        return next((intent for intent in self.intents if intent.digit == digit), None)

    def slot(self, name: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.name == name), None)

    def greeting(self, *, is_open: bool) -> tuple[Phrase, ...]:
        """What a new call hears first."""
        closed = () if is_open or self.system.closed_greeting == UNSPOKEN else (self.system.closed_greeting,)
        return (*closed, self.system.greeting)

    def phrase(self, words: str) -> Phrase | None:
        return self.phrases.get(words.strip().lower())

    def files(self) -> frozenset[str]:
        """Every audio file that a call of this version may play."""
        system = (getattr(self.system, name) for name in SystemPhrases.__struct_fields__)
        owned = [phrase.file for phrase in system]
        owned += [phrase.file for intent in self.intents for phrase in (intent.menu, intent.confirm)]
        owned += [phrase.file for slot in self.slots for phrase in (slot.ask, slot.ask_keypad)]
        owned += [phrase.file for phrase in self.phrases.values()]
        return frozenset(file for file in owned if file)


class Snapshot(msgspec.Struct, frozen=True):
    """Every published flow, newest version of each first, with earlier versions that live calls may still use."""

    flows: tuple[FlowVersion, ...]
    format: int = SNAPSHOT_FORMAT

    def for_number(self, destination_number: str) -> FlowVersion | None:
        """The newest version for a dialled number; a flow for ``*`` takes every other number.

        Earlier versions answer only :meth:`version`: the number that one of them had may be another flow's by now.
        """
        newest: dict[str, FlowVersion] = {}
        for flow in self.flows:
            if flow.slug not in newest or flow.number > newest[flow.slug].number:
                newest[flow.slug] = flow
        exact = [flow for flow in newest.values() if flow.destination_number == destination_number]
        wild = [flow for flow in newest.values() if flow.destination_number == "*"]
        return max(exact or wild, key=lambda flow: flow.number, default=None)

    def version(self, slug: str, number: int) -> FlowVersion | None:
        return next((flow for flow in self.flows if flow.slug == slug and flow.number == number), None)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return msgspec.json.format(msgspec.json.encode(snapshot), indent=1)


def decode_snapshot(data: bytes) -> Snapshot:
    """Bytes of a snapshot file. Raises :class:`BadSnapshot` with the place of the first fault."""
    try:
        snapshot = msgspec.json.decode(data, type=Snapshot)
    except UNREADABLE as error:
        raise BadSnapshot(str(error)) from error
    if snapshot.format != SNAPSHOT_FORMAT:
        raise BadSnapshot(f"snapshot format {snapshot.format}, this program reads {SNAPSHOT_FORMAT}")
    return snapshot
