"""When people can be reached: a flow's opening hours as values, and the one rule that says whether it is open.

Owns the rule and what may be wrong with such hours. Pure but for the zone's rules, which Python reads from this machine once.
Bridges, the dialplan of last resort and the pages all go by :func:`is_open`, or are tested against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

DAY_MIN = 24 * 60
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Each becomes a condition that a switch evaluates at every key pressed in its last resort.
MOST_SPECIAL_DAYS = 366
# FreeSWITCH knows it by this name as well. It needs no time zone data on this machine.
UTC_NAME = "UTC"


class Span(msgspec.Struct, frozen=True):
    """Open from ``opens`` until just before ``closes``: minutes since midnight by the wall clock, 1440 the day's end."""

    opens: int
    closes: int

    def __str__(self) -> str:
        return f"{self.opens // 60:02}:{self.opens % 60:02}-{self.closes // 60:02}:{self.closes % 60:02}"


class SpecialDay(msgspec.Struct, frozen=True):
    """A date that does not go by its weekday; without spans it is closed."""

    date: date
    spans: tuple[Span, ...] = ()


class Hours(msgspec.Struct, frozen=True):
    """``zone`` is an IANA name; ``week`` has seven days, Monday first."""

    zone: str
    week: tuple[tuple[Span, ...], ...]
    days: tuple[SpecialDay, ...] = ()


class Part(StrEnum):
    """What of the hours a problem is about."""

    ZONE = "zone"
    WEEK = "week"
    DAYS = "days"


def is_open(hours: Hours | None, at: datetime) -> bool:
    """Whether people can be reached at an aware moment. Without hours they always can.

    The wall clock of the hours' zone decides, so a clock put back has an hour twice, both times alike, and one put forward
    skips what falls into the gap. A zone that this machine does not know counts as open: a caller may then hear that nobody is
    free, but nobody is turned away by a missing file. :func:`problems` says so before anything is published.
    Raises ValueError for a moment without a zone.
    """
    if at.tzinfo is None:
        raise ValueError("a moment without a zone is no moment")
    if hours is None:
        return True
    zone = zone_of(hours.zone)
    if zone is None:
        return True
    local = at.astimezone(zone)
    minute = local.hour * 60 + local.minute
    return any(span.opens <= minute < span.closes for span in spans_of(hours, local.date()))


def spans_of(hours: Hours, day: date) -> tuple[Span, ...]:
    special = next((special for special in hours.days if special.date == day), None)
    return hours.week[day.weekday()] if special is None else special.spans


def zone_of(name: str) -> tzinfo | None:
    if name == UTC_NAME:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A name of a folder, or with "..", is no zone either.
        return None


def problems(hours: Hours) -> Iterator[tuple[Part, str]]:
    """Everything that stands against these hours, with what to write instead."""
    if not hours.zone:
        yield Part.ZONE, "the opening hours need a time zone, such as Europe/Berlin"
    elif zone_of(hours.zone) is None:
        yield Part.ZONE, f"the time zone {hours.zone!r} is not known here; write an IANA name, such as Europe/Berlin"
    if len(hours.week) != len(WEEKDAYS):
        yield Part.WEEK, f"the weekly hours have {len(hours.week)} days and not seven"
    for name, spans in zip(WEEKDAYS, hours.week, strict=False):
        for text in _span_problems(spans):
            yield Part.WEEK, f"{name}: {text}"
    if len(hours.days) > MOST_SPECIAL_DAYS:
        yield Part.DAYS, f"there are {len(hours.days)} special days; {MOST_SPECIAL_DAYS} are the most, remove those that are past"
    seen: set[date] = set()
    for special in hours.days:
        if special.date in seen:
            yield Part.DAYS, f"{special.date} stands there twice; put all its times on one line"
        seen.add(special.date)
        for text in _span_problems(special.spans):
            yield Part.DAYS, f"{special.date}: {text}"


def _span_problems(spans: tuple[Span, ...]) -> Iterator[str]:
    for span in spans:
        if not (0 <= span.opens < DAY_MIN and 0 <= span.closes <= DAY_MIN):
            yield f"{span} is not within the day, 00:00 to 24:00"
        elif span.opens == span.closes:
            yield f"{span} is no time at all; around the clock is 00:00-24:00"
        elif span.opens > span.closes:
            first, rest = Span(span.opens, DAY_MIN), Span(0, span.closes)
            yield f"{span} goes over midnight: write {first} here" + (f" and {rest} on the next day" if rest.closes else "")
    ordered = sorted(spans, key=lambda span: (span.opens, span.closes))
    for earlier, later in pairwise(ordered):
        if later.opens < earlier.closes:
            yield f"{earlier} and {later} overlap; make them one"
