"""Templates of words and typed places, and the order of audio pieces that speaks one.

``Your balance is {balance:amount}.`` with a balance of 42.17 becomes ``Your balance is`` · ``forty-two`` · ``euros`` ·
``and`` · ``seventeen`` · ``cents``. Each piece is a key of ``FlowVersion.phrases`` (through ``flow.phrase(piece)``).
Owns the template's grammar and the checks on values; the words are the language's (:mod:`ivr_fallback.english`).
Pure. Nothing but ``{name:kind}`` is ever substituted, and a value never becomes part of a template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import StrEnum

from ivr_fallback import english

SpokenValue = str | int | Decimal | date | time

# Longer strings of digits are never read back to a caller, and a limit bounds the playlist.
LONGEST_DIGITS = 32
_CENT = Decimal("0.01")
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*):([a-z]+)\}")
# Punctuation between pieces has no sound of its own; a piece keeps what ends its sentence.
_LEADING = " \t\n,.;:!?-–—"
_TRAILING = " \t\n,;:-–—"


class SpokenError(Exception):
    """Words cannot be put together; the root of this module's errors."""


class TemplateError(SpokenError):
    """A template holds a brace that is not part of ``{name:kind}``."""


class UnknownKindError(TemplateError):
    """A place names a kind that does not exist."""


class UnknownNameError(SpokenError):
    """A place names a value that was not given."""


class UnspeakableValueError(SpokenError):
    """A value is not of its place's kind, or too large to be spoken."""


class UnsupportedLanguageError(SpokenError):
    """There are no words for this language."""


class Kind(StrEnum):
    AMOUNT = "amount"
    NUMBER = "number"
    DIGITS = "digits"
    DATE = "date"
    TIME = "time"
    WORDS = "words"


KINDS: frozenset[str] = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, slots=True)
class Place:
    """``{name:kind}`` in a template."""

    name: str
    kind: Kind


def compose(template: str, values: Mapping[str, SpokenValue], language: str) -> tuple[str, ...]:
    """The words of each piece in order. Text forms of numbers, dates (ISO) and times (ISO) are taken as well, so that
    values may have travelled as JSON. Raises a :class:`SpokenError`."""
    _check_language(language)
    words: list[str] = []
    for part in parse(template):
        if isinstance(part, str):
            words.append(part)
        elif part.name not in values:
            raise UnknownNameError(f"the template speaks of {part.name!r}, and no such value was given")
        else:
            words += _place_words(part, values[part.name])
    return tuple(words)


def parse(template: str) -> tuple[str | Place, ...]:
    """Literal pieces (ready to be looked up) and places, in order. Raises :class:`TemplateError`."""
    parts: list[str | Place] = []
    end = 0
    for match in _PLACE.finditer(template):
        parts += _literal(template[end : match.start()])
        name, kind = match.groups()
        if kind not in KINDS:
            raise UnknownKindError(
                f"{{{name}:{kind}}}: there is no kind {kind!r}; there are {', '.join(sorted(KINDS))}"
            )
        parts.append(Place(name, Kind(kind)))
        end = match.end()
    parts += _literal(template[end:])
    return tuple(parts)


def literal_pieces(template: str) -> tuple[str, ...]:
    """The literal words of a template, piece by piece, as :func:`compose` emits them."""
    return tuple(part for part in parse(template) if isinstance(part, str))


def places(template: str) -> tuple[Place, ...]:
    return tuple(part for part in parse(template) if isinstance(part, Place))


def fragments(language: str) -> tuple[str, ...]:
    """Every piece that :func:`compose` can emit for a place, but for places of kind ``words``."""
    _check_language(language)
    return english.FRAGMENTS


def _check_language(language: str) -> None:
    if re.split("[-_]", language.lower())[0] != "en":
        raise UnsupportedLanguageError(f"numbers and dates cannot be spoken in {language!r} yet; there is 'en'")


def _literal(text: str) -> list[str]:
    if "{" in text or "}" in text:
        raise TemplateError(f"a brace in {text.strip()!r} is not part of a place: write {{name:kind}}")
    piece = " ".join(text.lstrip(_LEADING).rstrip(_TRAILING).split())
    return [piece] if any(character.isalnum() for character in piece) else []


def _place_words(place: Place, value: SpokenValue) -> tuple[str, ...]:
    try:
        match place.kind:
            case Kind.AMOUNT:
                return english.amount_words(_cents(value))
            case Kind.NUMBER:
                return english.number_words(_whole(value))
            case Kind.DIGITS:
                return english.digit_words(_digits(value))
            case Kind.DATE:
                return english.date_words(_date(value))
            case Kind.TIME:
                return english.time_words(_time(value))
            case Kind.WORDS:
                return (_words(value),)
    except (ValueError, InvalidOperation):
        # The value itself may be private (an account number) and stays out of the message.
        raise UnspeakableValueError(f"the value of {place.name!r} cannot be spoken as {place.kind}") from None


def _decimal(value: SpokenValue) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise ValueError
    number = Decimal(value)
    if not number.is_finite() or abs(number) > english.LARGEST_NUMBER:
        raise ValueError
    return number


def _cents(value: SpokenValue) -> int:
    return int(_decimal(value).quantize(_CENT, ROUND_HALF_UP) * 100)


def _whole(value: SpokenValue) -> int:
    number = _decimal(value)
    if number != number.to_integral_value():
        raise ValueError
    return int(number)


def _digits(value: SpokenValue) -> str:
    digits = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= LONGEST_DIGITS):
        raise ValueError
    return digits


def _date(value: SpokenValue) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    if not isinstance(value, date):
        raise ValueError
    return value


def _time(value: SpokenValue) -> time:
    if isinstance(value, str):
        return time.fromisoformat(value)
    if isinstance(value, datetime):
        return value.time()
    if not isinstance(value, time):
        raise ValueError
    return value


def _words(value: SpokenValue) -> str:
    pieces = _literal(value) if isinstance(value, str) and "{" not in value and "}" not in value else []
    if not pieces:
        raise ValueError
    return pieces[0]
