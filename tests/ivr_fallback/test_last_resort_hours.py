"""Opening hours in the dialplan of last resort: a switch that reads it decides as a bridge does, to the second."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from callflows.definition.flow import UNSPOKEN, FlowVersion, Phrase, Snapshot
from callflows.definition.hours import Hours, Span, SpecialDay, is_open
from ivr_fallback import last_resort_checks as checks
from ivr_fallback.last_resort import LastResortError, Place, phrases_in_use, render
from simulator.dialplan import Action, Dialplan, parse_dialplan
from tests.callflows.definition.hours_strategies import all_hours, moments
from tests.ivr_fallback.flows import whole_flow

PLACE = Place("/prompts")
FLOW = whole_flow()
SYSTEM = FLOW.system
OFFICE = Hours(
    "Europe/Vienna",
    ((Span(540, 720), Span(780, 1020)),) * 4 + ((Span(540, 720),), (), (Span(0, 60), Span(1320, 1440))),
    (SpecialDay(date(2026, 12, 24), (Span(600, 660),)), SpecialDay(date(2026, 12, 25)), SpecialDay(date(2028, 2, 29))),
)
PERSON_KEYS = ("0", "9", "1")


def with_hours(hours: Hours = OFFICE, **system: Phrase) -> FlowVersion:
    return replace(FLOW, hours=hours, system=replace(SYSTEM, **system))


def plan_of(flow: FlowVersion) -> Dialplan:
    text = render(Snapshot((flow,)), PLACE)
    assert checks.problems(text) == []
    inside = text.replace("<include>", "").replace("</include>", "")
    return parse_dialplan(f'<include><context name="lifeline">{inside}</context></include>', {})


def at(plan: Dialplan, step: str, moment: datetime) -> list[tuple[str, str]]:
    """What a call does that is transferred to ``step`` at this moment, on a switch whose own zone is far from the flow's."""
    variables = {"destination_number": f"ll-lr-utility:1:{step}", "ll_lr_open": "yes"}

    def inline(action: Action) -> None:
        name, _, value = action.data.partition("=")
        variables[name] = value

    found = plan.route("lifeline", lambda name: variables.get(name, ""), moment.astimezone(ZoneInfo("Asia/Tokyo")), inline)
    assert found is not None
    return [(action.application, action.data) for action in found]


def sound(words: Phrase) -> tuple[str, str]:
    return "playback", f"/prompts/{words.file}"


def leads_to_a_person(plan: Dialplan, step: str, moment: datetime) -> bool:
    actions = at(plan, step, moment)
    bridges = any(application == "bridge" for application, _data in actions)
    assert bridges is (sound(SYSTEM.closed) not in actions)
    assert bridges is (actions[-1][1] != "ll-lr-utility:1:more XML lifeline")
    return bridges


@settings(max_examples=120, deadline=None)
@given(all_hours(), moments())
def test_a_switch_says_open_when_the_one_rule_does(hours: Hours, moment: datetime) -> None:
    plan = plan_of(with_hours(hours))
    assert leads_to_a_person(plan, "2:0", moment) is is_open(hours, moment)


@pytest.mark.parametrize("step", [*(f"new:{key}" for key in PERSON_KEYS), "3:none", "3:5"])
def test_every_way_to_a_person_goes_by_the_hours_at_their_very_ends(step: str) -> None:
    plan = plan_of(with_hours())
    for day in ("2026-11-23", "2026-11-27", "2026-11-28", "2026-11-29", "2026-12-24", "2026-12-25", "2028-02-29"):
        midnight = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=ZoneInfo("Europe/Vienna")).astimezone(UTC)
        for minute in (0, 60, 540, 600, 660, 720, 780, 1020, 1320, 1440):
            for seconds in (-1, -0.000001, 0, 0.999999):
                moment = midnight + timedelta(minutes=minute, seconds=seconds)
                assert leads_to_a_person(plan, step, moment) is is_open(OFFICE, moment), moment


def test_a_day_of_a_changed_clock_is_right_in_every_minute() -> None:
    night = replace(OFFICE, week=((Span(90, 150), Span(165, 195)),) * 7)
    plan = plan_of(with_hours(night))
    for begin in (datetime(2026, 3, 29, 0, tzinfo=UTC), datetime(2026, 10, 25, 0, tzinfo=UTC)):
        for minute in range(0, 240, 5):
            moment = begin + timedelta(minutes=minute)
            assert leads_to_a_person(plan, "1:0", moment) is is_open(night, moment), moment


SHUT_AT, OPEN_AT = datetime(2026, 11, 28, 12, tzinfo=UTC), datetime(2026, 11, 24, 10, tzinfo=UTC)


def test_outside_the_hours_the_caller_is_told_what_a_bridge_would_tell_and_may_choose_again() -> None:
    plan = plan_of(with_hours())
    more = ("transfer", "ll-lr-utility:1:more XML lifeline")
    assert at(plan, "1:0", SHUT_AT) == [("set", "ll_lr_choice=person"), sound(SYSTEM.closed), more]
    assert at(plan, "1:1", SHUT_AT) == [
        ("set", "ll_lr_choice=balance"), sound(SYSTEM.action_failed), sound(SYSTEM.closed), more,
    ]  # fmt: skip
    assert at(plan, "3:none", SHUT_AT) == [sound(SYSTEM.closed), more]
    assert at(plan, "3:7", SHUT_AT) == [sound(SYSTEM.invalid_choice), sound(SYSTEM.closed), more]
    assert at(plan, "more:none", SHUT_AT) == [sound(SYSTEM.goodbye), ("hangup", "")]


def test_the_closed_greeting_comes_before_the_greeting_and_only_then() -> None:
    both = f"file_string:///prompts/{SYSTEM.closed_greeting.file}!/prompts/{SYSTEM.greeting.file}!"
    plan = plan_of(with_hours())
    (shut,) = [data for application, data in at(plan, "new", SHUT_AT) if application == "play_and_get_digits"]
    (opened,) = [data for application, data in at(plan, "new", OPEN_AT) if application == "play_and_get_digits"]
    assert both in shut
    assert shut.replace(f"/prompts/{SYSTEM.closed_greeting.file}!", "") == opened
    assert SYSTEM.closed_greeting not in phrases_in_use(with_hours(closed_greeting=UNSPOKEN))
    silent = plan_of(with_hours(closed_greeting=UNSPOKEN))
    assert at(silent, "new", SHUT_AT) == at(silent, "new", OPEN_AT) == at(plan, "new", OPEN_AT)


def test_a_flow_without_hours_asks_nothing_of_the_clock() -> None:
    text = render(Snapshot((FLOW,)), PLACE)
    assert not re.search(r"ll_lr_open|timezone|continue=|wday=|inline=", text)
    assert SYSTEM.closed not in phrases_in_use(FLOW)


def test_files_of_both_branches_are_found_and_equal_weekdays_share_a_condition() -> None:
    flow = with_hours()
    text = render(Snapshot((flow,)), PLACE)
    assert checks.files_named(text) == {f"/prompts/{phrase.file}" for phrase in phrases_in_use(flow)}
    found = [each.get("wday") for each in ElementTree.fromstring(text).iter("condition") if each.get("wday")]
    assert found == ["2,3,4,5", "6", "1"]


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        (replace(OFFICE, zone="${system(id)}"), "the time zone's name holds other signs"),
        (replace(OFFICE, zone="Mars/Olympus"), "is not known here"),
        (replace(OFFICE, week=((Span(1320, 60),), *OFFICE.week[1:])), "goes over midnight"),
    ],
)
def test_hours_that_a_switch_would_read_otherwise_are_refused_in_words(hours: Hours, says: str) -> None:
    with pytest.raises(LastResortError, match=says):
        render(Snapshot((with_hours(hours),)), PLACE)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('data="timezone=Europe/Vienna" inline', 'data="timezone=a b" inline', "may not run inline"),
        ('data="ll_lr_open=no" inline', 'data="ll_owner=x" inline', "may not run inline"),
        ('data="ll_lr_open=no" inline="true"', 'data="ll_lr_open=no" inline="yes"', "may not run inline"),
        ('data="ll_lr_open=no" inline="true"', 'data="ll_lr_open=no"', "an action that is not inline"),
        ('continue="true"', 'continue="yes"', "goes on 'yes'"),
        ('break="never"', 'break="on-true"', "breaks 'on-true'"),
        ('wday="6"', 'wday="fri"', "wday is 'fri'"),
        ('wday="6"', 'wday="6" field="destination_number"', "a time and for something else"),
        ('mon="12"', 'mon="13"', "mon is '13'"),
        ('mday="24"', 'mday="024"', "mday is '024'"),
        ('year="2026"', 'year="26"', "year is '26'"),
        ('time-of-day="10:00:00-10:59:59"', 'time-of-day="10:00-11:00"', "FreeSWITCH might read otherwise"),
        ('time-of-day="10:00:00-10:59:59"', 'time-of-day="11:00:00-10:59:59"', "goes over midnight"),
        ('time-of-day="10:00:00-10:59:59"', 'hour="10"', "attribute 'hour'"),
    ],
)
def test_what_an_editor_may_have_made_of_the_hours_is_found(old: str, new: str, says: str) -> None:
    text = render(Snapshot((with_hours(),)), PLACE)
    assert old in text
    assert any(says in problem for problem in checks.problems(text.replace(old, new)))


def test_an_extension_that_is_only_passed_takes_no_call() -> None:
    text = render(Snapshot((with_hours(),)), PLACE)
    gone = re.sub(r'(<extension name="ll-lr-utility:1 after">.*?expression=")\^[^"]*', r"\1^gone$", text, flags=re.DOTALL)
    assert set(checks.problems(gone)) == {"nothing takes a call that is transferred to 'll-lr-utility:1:after'"}
