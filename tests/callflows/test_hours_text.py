"""Opening hours as people write them, and what an editor is told who wrote something else."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings

from callflows.definition.hours import Hours, Part, Span, SpecialDay
from callflows.hours_text import faults, hours_lines, people_now, read_days, read_hours, read_week
from tests.callflows.definition.hours_strategies import all_hours

OFFICE = (Span(540, 720), Span(780, 1050))


def test_days_that_share_their_times_stand_on_one_line_and_days_without_a_line_are_closed() -> None:
    week = read_week("Mon-Thu: 13:00-17:30, 9:00 - 12:00\nfriday: 09:00-12:00\n\n Saturday , Sun : closed")
    assert week == (OFFICE, OFFICE, OFFICE, OFFICE, (Span(540, 720),), (), ())
    assert read_week("Sat-Mon: 00:00-24:00") == ((Span(0, 1440),), (), (), (), (), (Span(0, 1440),), (Span(0, 1440),))


def test_dates_stand_in_their_order_with_their_own_times_or_closed() -> None:
    assert read_days("2026-12-25: Closed\n2026-12-24: 09:00-12:00") == (
        SpecialDay(date(2026, 12, 24), (Span(540, 720),)), SpecialDay(date(2026, 12, 25)),
    )  # fmt: skip


def test_nothing_written_is_no_hours() -> None:
    assert read_hours("Europe/Vienna", " \n", "") is None
    assert faults("", "", "") == []


@settings(max_examples=30, deadline=None)
@given(all_hours())
def test_what_is_shown_can_be_written(hours: Hours) -> None:
    lines = hours_lines(hours)
    assert read_hours(hours.zone, "\n".join(lines[:7]), "\n".join(lines[7:])) == hours


@pytest.mark.parametrize(
    ("week", "days", "part", "says"),
    [
        ("Montag: 09:00-12:00", "", Part.WEEK, "'Montag' is no weekday; write Mon"),
        ("Mon 09:00-12:00", "", Part.WEEK, "cannot be read; write it like Mon-Fri: 09:00-12:00"),
        ("Mon: 9-12", "", Part.WEEK, "'9-12' is no time of opening; write it like 09:00-17:30, or closed"),
        ("Mon: 09:00-12:60", "", Part.WEEK, "12:60 is no time of day"),
        ("Mon: 09:00-24:01", "", Part.WEEK, "24:01 is no time of day; the latest is 24:00"),
        ("Mon-Fri: 09:00-12:00\nFri: 13:00-14:00", "", Part.WEEK, "Friday stands in two lines"),
        ("Mon: 22:00-02:00", "", Part.WEEK, "Monday: 22:00-02:00 goes over midnight: write 22:00-24:00 here and 00:00-02:00 on"),
        ("Mon: 09:00-12:00, 11:59-13:00", "", Part.WEEK, "Monday: 09:00-12:00 and 11:59-13:00 overlap; make them one"),
        ("Mon: 09:00-12:00", "24.12.2026: closed", Part.DAYS, "write it like 2026-12-24: 09:00-12:00, or 2026-12-25: closed"),
        ("Mon: 09:00-12:00", "2026-02-29: closed", Part.DAYS, "2026-02-29 is no date"),
        ("Mon: 09:00-12:00", "2026-12-24: closed\n2026-12-24: 09:00-10:00", Part.DAYS, "2026-12-24 stands there twice"),
        ("", "2026-12-24: closed", Part.WEEK, "special days need weekly hours beside them"),
    ],
)  # fmt: skip
def test_faults_are_said_with_what_to_write_instead(week: str, days: str, part: Part, says: str) -> None:
    ((found, text),) = faults("Europe/Vienna", week, days)
    assert found is part
    assert says in text


def test_a_zone_is_asked_for() -> None:
    ((part, text),) = faults(" ", "Mon: 09:00-12:00", "")
    assert (part, text) == (Part.ZONE, "the opening hours need a time zone, such as Europe/Berlin")


def test_a_supervisor_reads_whether_people_can_be_reached_now() -> None:
    hours = read_hours("Europe/Vienna", "Mon-Fri: 09:00-12:00", "2026-12-24: closed")
    tuesday = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
    assert people_now(None, tuesday) == "Open around the clock"
    assert people_now(hours, tuesday) == "Open now (today 09:00-12:00, Europe/Vienna)"
    assert people_now(hours, tuesday.replace(hour=11)) == "Closed now (today 09:00-12:00, Europe/Vienna)"
    assert people_now(hours, datetime(2026, 12, 23, 23, 30, tzinfo=UTC)) == "Closed now (today closed, Europe/Vienna)"
    assert people_now(Hours("Mars/Olympus", ((),) * 7), tuesday) == "Open: Mars/Olympus is not known here"
