"""When a flow's people can be reached: the rule, against a wall clock painted minute by minute, and what may not be written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from msgspec.structs import replace

from callflows.definition.codec import decode_version, encode_version
from callflows.definition.hours import Hours, Span, SpecialDay, is_open, problems
from tests.callflows.definition.hours_strategies import all_hours, moments
from tests.ivr_fallback.flows import whole_flow

VIENNA = ZoneInfo("Europe/Vienna")
OFFICE = (Span(9 * 60, 12 * 60), Span(13 * 60, 17 * 60))
WEEK = (OFFICE, OFFICE, OFFICE, OFFICE, OFFICE, (), ())
HOURS = Hours("Europe/Vienna", WEEK, (SpecialDay(date(2026, 12, 24), (Span(540, 720),)), SpecialDay(date(2026, 12, 25))))


def painted(hours: Hours, at: datetime) -> bool:
    """A wall clock with a mark at every open minute of the day that it shows."""
    clock = at.astimezone(ZoneInfo(hours.zone))
    by_date = {special.date.isoformat(): special.spans for special in hours.days}
    spans = by_date.get(clock.strftime("%Y-%m-%d"), hours.week[int(clock.strftime("%u")) - 1])
    marks = {f"{minute // 60:02}:{minute % 60:02}" for span in spans for minute in range(span.opens, span.closes)}
    return clock.strftime("%H:%M") in marks


@settings(max_examples=200, deadline=None)
@given(all_hours(), moments())
@example(HOURS, datetime(2026, 12, 24, 11, 0, tzinfo=UTC))
def test_the_wall_clock_of_the_zone_decides(hours: Hours, at: datetime) -> None:
    assert is_open(hours, at) is painted(hours, at)


def at(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=VIENNA, fold=fold)


@pytest.mark.parametrize(
    ("moment", "is_so"),
    [
        ("2026-11-24T08:59:59.999999", False), ("2026-11-24T09:00", True), ("2026-11-24T11:59:59.999999", True),
        ("2026-11-24T12:00", False), ("2026-11-24T16:59:59", True), ("2026-11-24T17:00", False), ("2026-11-28T10:00", False),
        ("2026-12-24T11:59", True), ("2026-12-24T14:00", False), ("2026-12-25T10:00", False), ("2027-12-24T14:00", True),
    ],
)  # fmt: skip
def test_the_ends_and_the_special_days(moment: str, is_so: bool) -> None:
    assert is_open(HOURS, at(moment)) is is_so


def test_an_hour_that_comes_twice_counts_twice_and_one_that_is_left_out_never() -> None:
    night = Hours("Europe/Vienna", ((Span(120, 180),),) * 7)
    back = [at("2026-10-25T01:59"), at("2026-10-25T02:30"), at("2026-10-25T02:30", fold=1), at("2026-10-25T03:00")]
    assert [is_open(night, moment) for moment in back] == [False, True, True, False]
    before = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    forward = [before + timedelta(minutes=minute) for minute in range(180)]
    assert not any(is_open(night, moment) for moment in forward), "the clock goes from 01:59 to 03:00"


def test_over_midnight_is_two_spans_without_a_gap() -> None:
    late = Hours("Europe/Vienna", ((Span(22 * 60, 1440),), (Span(0, 120),), (), (), (), (), ()))
    begin = at("2026-11-23T21:00").astimezone(UTC)
    states = [is_open(late, begin + timedelta(minutes=minute)) for minute in range(6 * 60)]
    assert (states.index(True), states.index(False, 60), sum(states)) == (60, 300, 240)


def test_a_leap_day_is_a_day_of_its_own() -> None:
    hours = replace(HOURS, days=(SpecialDay(date(2028, 2, 29)),))
    assert [is_open(hours, at(day)) for day in ("2028-02-28T10:00", "2028-02-29T10:00", "2028-03-01T10:00")] == [True, False, True]


def test_without_hours_or_with_a_zone_that_this_machine_does_not_know_nobody_is_turned_away() -> None:
    assert is_open(None, at("2026-11-28T03:00"))
    assert is_open(replace(HOURS, zone="Mars/Olympus"), at("2026-11-28T03:00"))
    with pytest.raises(ValueError, match="without a zone"):
        is_open(HOURS, datetime(2026, 11, 24, 9))  # noqa: DTZ001


def test_hours_travel_with_their_version_and_older_versions_have_none() -> None:
    flow = replace(whole_flow(), hours=HOURS)
    assert decode_version(encode_version(flow)) == flow
    assert decode_version(encode_version(whole_flow()).replace(',"hours":null', "")).hours is None


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        (replace(HOURS, zone=""), "the opening hours need a time zone"),
        (replace(HOURS, zone="Mars/Olympus"), "'Mars/Olympus' is not known here; write an IANA name"),
        (replace(HOURS, zone="Europe"), "'Europe' is not known here"),
        (replace(HOURS, zone="../etc/passwd"), "is not known here"),
        (replace(HOURS, week=WEEK[:6]), "the weekly hours have 6 days"),
        (replace(HOURS, week=((Span(1320, 120),), *WEEK[1:])),
         "Monday: 22:00-02:00 goes over midnight: write 22:00-24:00 here and 00:00-02:00 on the next day"),
        (replace(HOURS, week=((Span(1320, 0),), *WEEK[1:])), "Monday: 22:00-00:00 goes over midnight: write 22:00-24:00 here"),
        (replace(HOURS, week=((Span(540, 540),), *WEEK[1:])), "Monday: 09:00-09:00 is no time at all"),
        (replace(HOURS, week=((Span(540, 1500),), *WEEK[1:])), "Monday: 09:00-25:00 is not within the day"),
        (replace(HOURS, week=((Span(780, 1020), Span(540, 781)), *WEEK[1:])), "Monday: 09:00-13:01 and 13:00-17:00 overlap"),
        (replace(HOURS, days=(SpecialDay(date(2026, 12, 24)),) * 2), "2026-12-24 stands there twice"),
        (replace(HOURS, days=(SpecialDay(date(2026, 12, 24), (Span(600, 540),)),)), "2026-12-24: 10:00-09:00 goes over midnight"),
        (replace(HOURS, days=tuple(SpecialDay(date(2026, 1, 1) + timedelta(days=n)) for n in range(367))), "366 are the most"),
    ],
)  # fmt: skip
def test_what_may_not_be_written_is_said_with_what_to_write_instead(hours: Hours, says: str) -> None:
    (found,) = [text for _part, text in problems(hours)]
    assert says in found


@settings(max_examples=30, deadline=None)
@given(all_hours())
def test_spans_that_only_touch_are_no_problem(hours: Hours) -> None:
    assert list(problems(hours)) == []
    assert list(problems(replace(HOURS, week=((Span(540, 720), Span(720, 1440)), *WEEK[1:])))) == []
