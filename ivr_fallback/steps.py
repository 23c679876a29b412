"""What the keypad menu decides, as values: said by the menu, carried out by whoever holds the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal

from callflows.definition.flow import Phrase

SpokenValue = str | int | Decimal | date | time
ActionValues = Mapping[str, SpokenValue]


@dataclass(frozen=True, slots=True)
class Say:
    """Play these phrases in order. ``names_keys``: they tell the caller which keys to press, so hearing one begin is
    hearing the menu begin. A key stops them. The holder calls ``on_said`` at the end."""

    phrases: tuple[Phrase, ...]
    names_keys: bool = False


@dataclass(frozen=True, slots=True)
class AwaitKey:
    """Nothing more to say: call ``on_silence`` when no key came for ``timeout_ms`` after the last word."""

    timeout_ms: int


@dataclass(frozen=True, slots=True)
class EnterStep:
    """Where the caller is now; mirrored to the switch, so that another process can go on from here."""

    step: str


@dataclass(frozen=True, slots=True)
class ChooseIntent:
    intent: str


@dataclass(frozen=True, slots=True)
class KeepSlot:
    name: str
    value: str
    by_voice: bool = False
    """It was said, though a key confirmed it."""


@dataclass(frozen=True, slots=True)
class ForgetSlots:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """Run the intent's action with what was collected; the holder calls ``on_action`` or ``on_action_failed``."""

    intent: str
    slots: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Served:
    """The caller heard the outcome of this intent to its end."""

    intent: str


@dataclass(frozen=True, slots=True)
class DropIntent:
    """What the caller wanted cannot be had now, or is not wanted any more: another process that goes on from here does not
    begin it again."""


@dataclass(frozen=True, slots=True)
class ToPerson:
    destination: str


@dataclass(frozen=True, slots=True)
class ToLastResort:
    """There are neither words nor a person: the switch's own menu is the next thing down."""


@dataclass(frozen=True, slots=True)
class End:
    """Say nothing more and hang up."""


MenuStep = (
    Say | AwaitKey | EnterStep | ChooseIntent | KeepSlot | ForgetSlots | Act | Served | DropIntent | ToPerson | ToLastResort | End
)
