"""Opening hours as people write them: one line for each weekday, or days that share their times, and one for each date.

Owns the grammar, both ways. What the times may be is ``callflows.definition.hours``'s.
"""

from __future__ import annotations

import re
from datetime import date, datetime

from callflows.definition.hours import WEEKDAYS, Hours, Part, Span, SpecialDay, is_open, problems, spans_of, zone_of

CLOSED = "closed"
_SHORT = tuple(name[:3].lower() for name in WEEKDAYS)
_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})")
_WEEK_LINE = re.compile(r"([A-Za-z,\s–-]+?)\s*:\s*(.+)")
_DAY_LINE = re.compile(r"(\d{4}-\d{2}-\d{2})\s*:\s*(.+)")


class HoursTextError(Exception):
    """Lines that cannot be read, with the place in them and what to write instead."""

    def __init__(self, part: Part, text: str) -> None:
        super().__init__(text)
        self.part = part
        self.text = text


def read_hours(zone: str, week: str, days: str) -> Hours | None:
    """None when nothing is written: people can be reached around the clock. Raises :class:`HoursTextError`."""
    if not (week.strip() or days.strip()):
        return None
    if not week.strip():
        raise HoursTextError(Part.WEEK, "special days need weekly hours beside them; around the clock is Mon-Sun: 00:00-24:00")
    return Hours(zone.strip(), read_week(week), read_days(days))


def read_week(text: str) -> tuple[tuple[Span, ...], ...]:
    """A weekday that no line names is closed. Raises :class:`HoursTextError`."""
    week: list[tuple[Span, ...] | None] = [None] * len(WEEKDAYS)
    for line in _lines(text):
        found = _WEEK_LINE.fullmatch(line)
        if not found:
            raise HoursTextError(Part.WEEK, f"{line!r} cannot be read; write it like Mon-Fri: 09:00-12:00, 13:00-17:00")
        for weekday in _weekdays(found[1]):
            if week[weekday] is not None:
                raise HoursTextError(Part.WEEK, f"{WEEKDAYS[weekday]} stands in two lines; put all its times on one")
            week[weekday] = _spans(found[2], Part.WEEK)
    return tuple(spans or () for spans in week)


def read_days(text: str) -> tuple[SpecialDay, ...]:
    """In the order of their dates. Raises :class:`HoursTextError`."""
    found = []
    for line in _lines(text):
        match = _DAY_LINE.fullmatch(line)
        if not match:
            raise HoursTextError(
                Part.DAYS, f"{line!r} cannot be read; write it like 2026-12-24: 09:00-12:00, or 2026-12-25: closed"
            )
        try:
            day = date.fromisoformat(match[1])
        except ValueError as error:
            raise HoursTextError(Part.DAYS, f"{match[1]} is no date") from error
        found.append(SpecialDay(day, _spans(match[2], Part.DAYS)))
    return tuple(sorted(found, key=lambda special: special.date))


def faults(zone: str, week: str, days: str) -> list[tuple[Part, str]]:
    """Everything that is wrong with what was written; empty when it may be published."""
    try:
        hours = read_hours(zone, week, days)
    except HoursTextError as error:
        return [(error.part, error.text)]
    return [] if hours is None else list(problems(hours))


def hours_lines(hours: Hours) -> list[str]:
    """One line for each weekday and special day, in words that :func:`read_week` and :func:`read_days` take."""
    week = [f"{name}: {spans_text(spans)}" for name, spans in zip(WEEKDAYS, hours.week, strict=True)]
    return week + [f"{special.date}: {spans_text(special.spans)}" for special in hours.days]


def spans_text(spans: tuple[Span, ...]) -> str:
    return ", ".join(map(str, spans)) or CLOSED


def people_now(hours: Hours | None, at: datetime) -> str:
    """Whether people can be reached at an aware moment, and when they can that day."""
    zone = None if hours is None else zone_of(hours.zone)
    if hours is None or zone is None:
        return "Open around the clock" if hours is None else f"Open: {hours.zone} is not known here"
    state = "Open now" if is_open(hours, at) else "Closed now"
    return f"{state} (today {spans_text(spans_of(hours, at.astimezone(zone).date()))}, {hours.zone})"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _weekdays(text: str) -> list[int]:
    """``Mon-Fri``, ``Sat, Sun``, ``sunday``; a range may go over the week's end."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = re.sub(r"\s*[-–]\s*", "-", part.strip()).partition("-")
        start = _weekday(first)
        end = _weekday(last) if dash else start
        found += [(start + step) % len(WEEKDAYS) for step in range((end - start) % len(WEEKDAYS) + 1)]
    return found


def _weekday(text: str) -> int:
    wanted = text.strip().lower()
    if wanted[:3] in _SHORT and WEEKDAYS[_SHORT.index(wanted[:3])].lower().startswith(wanted):
        return _SHORT.index(wanted[:3])
    raise HoursTextError(Part.WEEK, f"{text.strip()!r} is no weekday; write Mon, Tue, Wed, Thu, Fri, Sat or Sun")


def _spans(text: str, part: Part) -> tuple[Span, ...]:
    if text.strip().lower() == CLOSED:
        return ()
    return tuple(sorted((_span(piece.strip(), part) for piece in text.split(",")), key=lambda span: (span.opens, span.closes)))


def _span(text: str, part: Part) -> Span:
    found = _SPAN.fullmatch(text)
    if not found:
        raise HoursTextError(part, f"{text!r} is no time of opening; write it like 09:00-17:30, or {CLOSED}")
    first, last = (int(found[1]), int(found[2])), (int(found[3]), int(found[4]))
    for hour, minute in (first, last):
        if minute > 59 or hour * 60 + minute > 24 * 60:
            raise HoursTextError(part, f"{text!r}: {hour:02}:{minute:02} is no time of day; the latest is 24:00")
    return Span(first[0] * 60 + first[1], last[0] * 60 + last[1])
