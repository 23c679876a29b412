"""English numbers, amounts, dates and times as sequences of fragments.

Owns the words and their order. Knows nothing of templates, audio or flows; :mod:`ivr_fallback.spoken` chooses it by
language. Every function returns only members of :data:`FRAGMENTS`.
"""

from __future__ import annotations

from datetime import date, time
from itertools import chain

SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
BELOW_HUNDRED = (*SMALL, *(ten if not unit else f"{ten}-{SMALL[unit]}" for ten in TENS for unit in range(10)))
SCALES = ((1_000_000, "million"), (1_000, "thousand"))
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
# Nine figures are the most that a caller can follow by ear.
LARGEST_NUMBER = 999_999_999


def _ordinal(number: int) -> str:
    head, hyphen, last = BELOW_HUNDRED[number].rpartition("-")
    if last.endswith("y"):
        return f"{last[:-1]}ieth"
    return head + hyphen + IRREGULAR_ORDINALS.get(last, f"{last}th")


DAYS_OF_MONTH = tuple(f"the {_ordinal(day)}" for day in range(1, 32))
# "A" alone would be read as the article; the full stops keep it a letter.
MORNING, AFTERNOON = "a.m.", "p.m."
FRAGMENTS = (
    *BELOW_HUNDRED, "hundred", "thousand", "million", "and", "minus", "euro", "euros", "cent", "cents", *WEEKDAYS,
    *DAYS_OF_MONTH, "of", *MONTHS, "oh", MORNING, AFTERNOON, "noon", "midnight",
)  # fmt: skip


def number_words(number: int) -> tuple[str, ...]:
    """Whole numbers to :data:`LARGEST_NUMBER` either side of zero; the caller has checked the range."""
    if number < 0:
        return ("minus", *number_words(-number))
    words: list[str] = []
    for scale, name in SCALES:
        count, number = divmod(number, scale)
        if count:
            words += [*_below_thousand(count), name]
    if not words:
        return _below_thousand(number)
    if number:
        words += [*(("and",) if number < 100 else ()), *_below_thousand(number)]
    return tuple(words)


def _below_thousand(number: int) -> tuple[str, ...]:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return (BELOW_HUNDRED[rest],)
    return (BELOW_HUNDRED[hundreds], "hundred", *(("and", BELOW_HUNDRED[rest]) if rest else ()))


def amount_words(total_cents: int) -> tuple[str, ...]:
    """Euros and cents; nothing is said of a part that is zero, unless both are."""
    euros, cents = divmod(abs(total_cents), 100)
    sign = ("minus",) if total_cents < 0 else ()
    in_euros = (*number_words(euros), "euro" if euros == 1 else "euros")
    in_cents = (BELOW_HUNDRED[cents], "cent" if cents == 1 else "cents")
    if not cents:
        return (*sign, *in_euros)
    return (*sign, *in_cents) if not euros else (*sign, *in_euros, "and", *in_cents)


def digit_words(digits: str) -> tuple[str, ...]:
    return tuple(SMALL[int(digit)] for digit in digits)


def date_words(day: date) -> tuple[str, ...]:
    """Without the year: dates that are spoken to a caller are near."""
    return (WEEKDAYS[day.weekday()], DAYS_OF_MONTH[day.day - 1], "of", MONTHS[day.month - 1])


def time_words(moment: time) -> tuple[str, ...]:
    if moment.minute == 0 and moment.hour in (0, 12):
        return ("noon" if moment.hour else "midnight",)
    hour = BELOW_HUNDRED[moment.hour % 12 or 12]
    minutes = BELOW_HUNDRED[moment.minute]
    spoken_minutes = () if not moment.minute else ("oh", minutes) if moment.minute < 10 else (minutes,)
    return tuple(chain((hour,), spoken_minutes, (AFTERNOON if moment.hour >= 12 else MORNING,)))
