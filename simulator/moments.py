"""What a dialplan's condition asks of the wall clock, as FreeSWITCH reads it. Pure.

Owns the attributes and their values. Answers to ``switch_xml_std_datetime_check`` (``switch_xml.c``) and ``switch_tod_cmp``,
``switch_dow_cmp`` and ``switch_number_cmp`` (``switch_utils.c``) of FreeSWITCH 1.11, read in its sources; of the attributes
there, ``date-time``, ``yday``, ``week``, ``mweek``, ``tz-offset`` and ``dst`` are not here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FIELDS: Final = ("year", "mon", "mday", "wday", "hour", "minute", "minute-of-day", "time-of-day")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY: Final = re.compile("[1-7]|" + "|".join(_DAYS), re.IGNORECASE)
_NUMBER: Final = re.compile(r"\s*([+-]?\d+)?")
# Both ends with hour and minute, seconds where they are wanted; a time alone is none.
_SPAN: Final = re.compile(r"\s*(\d+):(\d+)(?::(\d+))?-\s*(\d+):(\d+)(?::(\d+))?.*", re.DOTALL)


def local(now: datetime, zone: str, offset_h: str = "") -> datetime | None:
    """The wall clock that counts for a call: by ``tod_tz_offset`` (whole hours), else by ``timezone``, else the switch's own.

    None for a zone that is not known. FreeSWITCH knows those of its ``timezones.conf.xml``; of another it says so in its log
    and compares with whatever its memory holds at that moment.
    """
    if re.fullmatch(r"[+-]?\d+", offset_h):
        return now.astimezone(timezone(timedelta(hours=int(offset_h))))
    if not zone:
        return now
    if zone == "UTC":
        return now.astimezone(UTC)
    try:
        return now.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def strftime_tz(argument: str, now: datetime) -> str:
    """The API command of that name: ``<timezone_name> [<epoch>|][format string]`` (strftime_tz_api_function, mod_commands.c)."""
    zone, _, form = argument.partition(" ")
    epoch, bar, rest = form.partition("|")
    moment = datetime.fromtimestamp(int(epoch), UTC) if bar and epoch.isdecimal() and int(epoch) else now
    there = local(moment, zone or "UTC")
    form = rest if bar else form
    return "-ERR Invalid timezone/format\n" if there is None else there.strftime(form or "%Y-%m-%d %T")


def holds(times: Iterable[tuple[str, str]], moment: datetime | None) -> bool:
    """Whether all of them do; none at all always do. With no moment to compare with (an unknown zone) none does."""
    return all(moment is not None and _holds(name, wanted, moment) for name, wanted in times)


def _holds(name: str, wanted: str, moment: datetime) -> bool:
    match name:
        case "time-of-day":
            return _time_of_day(wanted, moment.hour * 3600 + moment.minute * 60 + moment.second)
        case "wday":
            return _weekday(wanted, moment.isoweekday() % 7 + 1)
        case "minute-of-day":
            return _number(wanted, moment.hour * 60 + moment.minute + 1)
        case "mon" | "mday":
            return _number(wanted, moment.month if name == "mon" else moment.day)
        case _:
            return _number(wanted, int(getattr(moment, name)))


def _between(low: int, high: int, actual: int) -> bool:
    """Both ends included; a range that runs backwards holds outside of it."""
    return low <= actual <= high if low <= high else actual >= low or actual <= high


def _number(wanted: str, actual: int) -> bool:
    """A list of numbers and ranges, read as far as ``strtol`` can."""
    at = 0
    while True:
        low, at = _read_number(wanted, at)
        high = low
        if wanted.startswith("-", at):
            high, at = _read_number(wanted, at + 1)
        if _between(low, high, actual):
            return True
        if not wanted.startswith(",", at):
            return False
        at += 1


def _read_number(text: str, at: int) -> tuple[int, int]:
    found = _NUMBER.match(text, at)
    return (int(found[1]), found.end()) if found and found[1] else (0, at)


def _weekday(wanted: str, actual: int) -> bool:
    """Days by number (1 is Sunday) or by the first three letters, and ranges; what is neither ends the reading."""
    at, start, before = 0, 0, 0
    while at < len(wanted):
        if wanted[at] == ",":
            before, at = 0, at + 1
            continue
        if wanted[at] == "-":
            start, before, at = before, 0, at + 1
            continue
        found = _DAY.match(wanted, at)
        if not found:
            return False
        day = int(found[0]) if found[0].isdecimal() else _DAYS.index(found[0].lower()) + 1
        if _between(start, day, actual) if start else day == actual:
            return True
        start, before, at = 0, day, found.end()
    return False


def _time_of_day(wanted: str, second: int) -> bool:
    """Spans with both ends included, to the second; one that runs backwards goes over midnight."""
    for part in wanted.split(","):
        found = _SPAN.fullmatch(part)
        if found:
            start, end = (int(h) * 3600 + int(m) * 60 + int(s or 0) for h, m, s in (found.group(1, 2, 3), found.group(4, 5, 6)))
            if _between(start, end, second):
                return True
    return False
