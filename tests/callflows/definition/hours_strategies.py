"""Opening hours and moments that are worth trying: clocks put forward and back, midnights, leap days, and the ends of spans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from callflows.definition.hours import DAY_MIN, Hours, Span, SpecialDay

# In each the clock is put forward and back: by an hour, by half an hour, the other way round (Dublin), on the other half of the
# earth; Kathmandu and UTC never, with and without whole hours.
ZONES = ("Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Europe/Dublin", "Pacific/Auckland", "Asia/Kathmandu", "UTC")
TURNS = (
    datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2026, 4, 4, 14, tzinfo=UTC), datetime(2026, 9, 26, 14, tzinfo=UTC),
    datetime(2028, 2, 29, 0, tzinfo=UTC), datetime(2028, 3, 1, 0, tzinfo=UTC), datetime(2027, 1, 1, 0, tzinfo=UTC),
)  # fmt: skip
START = datetime(2026, 1, 1, tzinfo=UTC)
DATES = tuple(sorted({(turn + timedelta(days=days)).date() for turn in TURNS for days in (-1, 0, 1)}))


def minutes(most: int) -> st.SearchStrategy[int]:
    """Quarters and the nights' hours mostly, where the clocks are put."""
    return st.one_of(st.integers(0, most), st.sampled_from([0, 60, 90, 120, 150, 180, 540, 1020, most]))


@st.composite
def span_lists(draw: st.DrawFn) -> tuple[Span, ...]:
    edges = sorted(draw(st.sets(minutes(DAY_MIN), max_size=6)))
    return tuple(Span(opens, closes) for opens, closes in zip(edges[::2], edges[1::2], strict=False))


@st.composite
def all_hours(draw: st.DrawFn, zones: tuple[str, ...] = ZONES) -> Hours:
    some = draw(st.lists(span_lists(), min_size=1, max_size=3))
    week = draw(st.tuples(*[st.sampled_from(some)] * 7))
    days = draw(st.dictionaries(st.sampled_from(DATES), st.sampled_from(some), max_size=4))
    special = tuple(SpecialDay(day, spans) for day, spans in sorted(days.items()))
    return Hours(draw(st.sampled_from(zones)), week, special)


def moments() -> st.SearchStrategy[datetime]:
    near = st.builds(lambda turn, seconds: turn + timedelta(seconds=seconds), st.sampled_from(TURNS), st.integers(-90_000, 90_000))
    return st.one_of(near, st.integers(0, 94_608_000).map(lambda seconds: START + timedelta(seconds=seconds)))


