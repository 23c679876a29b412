"""Times in conditions as FreeSWITCH reads them: to the second, both ends included, by the channel's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from simulator.moments import holds, local, strftime_tz

# A Sunday, 11:53:07 in Vienna.
NOW = datetime(2026, 11, 22, 10, 53, 7, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "wanted", "is_so"),
    [
        ("time-of-day", "10:53:07-10:53:07", True), ("time-of-day", "10:53:08-11:00", False),
        ("time-of-day", "09:00-10:53:07", True),
        ("time-of-day", "09:00-10:53", False), ("time-of-day", "10:53", False), ("time-of-day", "10-11", False),
        ("time-of-day", "23:00-10:54", True), ("time-of-day", "23:00-10:53", False), ("time-of-day", "x,10:00-11:00", True),
        ("wday", "1", True), ("wday", "sun", True), ("wday", "SUNDAY", True), ("wday", "sat-mon", True), ("wday", "6-2", True),
        ("wday", "2-6", False), ("wday", "2,1", True), ("wday", "2, 1", False), ("wday", "mon-fri,sun", True), ("wday", "0", False),
        ("mday", "22", True), ("mday", "23-22", True), ("mday", "23-21", False), ("mday", "1,20-25", True), ("mday", "x", False),
        ("mon", "11", True), ("mon", "+11", True), ("year", "2026", True), ("year", "2025-2027", True), ("year", "2026x,3", True),
        ("hour", "10", True), ("minute", "53", True), ("minute-of-day", "654", True), ("minute-of-day", "653", False),
        ("mday", "", False),
    ],
)  # fmt: skip
def test_a_value_is_read_as_far_as_freeswitch_reads_it(name: str, wanted: str, is_so: bool) -> None:
    assert holds([(name, wanted)], NOW) is is_so


def test_all_of_them_must_hold_and_none_always_does() -> None:
    assert holds([], NOW)
    assert holds([("mon", "11"), ("mday", "22")], NOW)
    assert not holds([("mon", "11"), ("mday", "23")], NOW)


def test_the_channels_offset_wins_over_its_zone_and_both_over_the_switchs_own() -> None:
    def clock(zone: str, offset: str = "") -> str:
        found = local(NOW, zone, offset)
        return "" if found is None else f"{found:%H:%M}"

    assert [clock(""), clock("UTC"), clock("Europe/Vienna"), clock("Europe/Vienna", "-2")] == ["10:53", "10:53", "11:53", "08:53"]
    assert (clock("Europe/Vienna", "none"), clock("Mars/Olympus")) == ("11:53", "")
    assert not holds([("mon", "1-12")], local(NOW, "Mars/Olympus"))


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("Europe/Vienna 1766570400|%Y-%m-%d %H:%M", "2025-12-24 11:00"), ("Europe/Vienna %H:%M", "11:53"),
        ("UTC", "2026-11-22 10:53:07"), ("", "2026-11-22 10:53:07"), ("Mars/Olympus %H", "-ERR Invalid timezone/format\n"),
    ],
)  # fmt: skip
def test_a_switch_says_what_time_it_is_somewhere(argument: str, says: str) -> None:
    assert strftime_tz(argument, NOW) == says
