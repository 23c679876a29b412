"""Looking at switches, what is said of them, and their channels: against the simulated switch, and none at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from console import switches, tasks, words
from console.celery import app
from console.dialplan_reading import RETRY
from console.metrics import switch_metrics
from console.models import Call, SwitchReport, SwitchState
from console.switch_panel import Known, SwitchRow, fingerprint, switch_rows
from console.switch_settings import SwitchAddress
from console.switches import STALE, look_at_all
from esl_bridge.control_answers import Channel
from esl_bridge.control_errors import ControlUnavailableError, SwitchAwayError
from simulator import moments
from simulator.channel import Identity
from simulator.errors import DialplanError
from simulator.switch import Switch
from tests.console.switch_thread import PASSWORD, running_switch
from tests.console.test_pages import browser_of, make_call, text

pytestmark = pytest.mark.django_db
CALLER = "+441632960217"


@pytest.fixture
def switch(tmp_path: Path, settings: Any) -> Iterator[Switch]:
    with running_switch(tmp_path, max_sessions=50) as running:
        settings.LIFELINE_SWITCH_HOST, settings.LIFELINE_SWITCH_PORT = "127.0.0.1", running.inbound_port
        settings.LIFELINE_SWITCH_PASSWORD = PASSWORD
        yield running


@pytest.fixture
def nobody(settings: Any) -> SwitchAddress:
    """A further switch where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = SwitchAddress("east", "127.0.0.1", port, PASSWORD, "LIFELINE_SECRET_SWITCH_PASSWORD_EAST")
    settings.LIFELINE_SWITCHES = (address,)
    return address


def place(switch: Switch) -> str:
    """From the switch's own thread, as a caller arrives there."""

    async def arrive() -> str:
        identity = Identity(caller_number=CALLER, destination="9200", context="lifeline")
        return switch.place_call(identity, switch.answering("9200")).channel.uuid

    assert switch._server is not None
    return asyncio.run_coroutine_threadsafe(arrive(), switch._server.get_loop()).result(5)


def row(name: str = "main", now: datetime | None = None) -> SwitchRow:
    return next(row for row in switch_rows(now or timezone.now()) if row.name == name)


def test_every_switch_is_looked_at_and_one_that_is_away_delays_no_other(switch: Switch, nobody: SwitchAddress) -> None:
    place(switch)
    tasks.watch_switches()
    main, east = switch_rows(timezone.now())
    assert main.known is Known.REACHABLE
    assert main.report is not None
    assert (main.report.sessions, main.report.sessions_most, main.report.sessions_per_s_most) == (1, 50, 1000)
    assert main.report.version == "1.11.3-dev 64bit"
    assert main.what.startswith("Answers since ")
    assert east.known is Known.UNREACHABLE
    assert f"The switch at {nobody.place} cannot be reached: Connection refused." in east.what


def test_a_wrong_password_is_said_with_the_setting_to_correct(switch: Switch, settings: Any) -> None:
    password_setting = "LIFELINE_SECRET_SWITCH_PASSWORD_EAST"
    settings.LIFELINE_SWITCHES = (SwitchAddress("east", "127.0.0.1", switch.inbound_port, "x", password_setting),)
    look_at_all()
    assert "set LIFELINE_SECRET_SWITCH_PASSWORD_EAST to the one in" in row("east").what


def test_since_when_it_answers_is_kept_until_it_changes_or_nobody_looked(switch: Switch, settings: Any) -> None:
    look_at_all()
    first = SwitchReport.objects.get()
    look_at_all()
    again = SwitchReport.objects.get()
    assert (again.since, again.state) == (first.since, SwitchState.REACHABLE)
    assert again.looked_at > first.looked_at
    settings.LIFELINE_SWITCH_PASSWORD = "wrong"
    look_at_all()
    away = SwitchReport.objects.get()
    assert away.since > again.looked_at
    assert away.seen_at == again.looked_at
    assert "It last answered at" in row().what
    long_ago = timezone.now() - 2 * STALE
    SwitchReport.objects.update(since=long_ago, looked_at=long_ago)
    look_at_all()
    assert SwitchReport.objects.get().since > long_ago + STALE


def test_a_look_that_is_old_says_nothing_of_now(switch: Switch) -> None:
    assert row().known is Known.NEVER
    look_at_all()
    now = timezone.now()
    assert row(now=now).known is Known.REACHABLE
    later = now + STALE + timedelta(seconds=1)
    assert row(now=later).known is Known.STALE
    looked = words.local_time(SwitchReport.objects.get().looked_at.timestamp())
    assert row(now=later).what == f"Not looked at since {looked}, when it answered: the worker that looks (celery) is not running."
    assert fingerprint(now) == fingerprint(now + timedelta(seconds=1))
    assert fingerprint(now) != fingerprint(later)
    page = text(browser_of("view_call"), "/")
    assert "0 of 50 sessions" in page
    SwitchReport.objects.update(looked_at=now - STALE - timedelta(seconds=1))
    page = text(browser_of("view_call"), "/")
    assert "Not looked at since" in page
    assert "of 50 sessions" not in page
    assert "FreeSWITCH 1.11" not in page


def test_a_switch_that_was_moved_is_another_one(switch: Switch, settings: Any) -> None:
    look_at_all()
    settings.LIFELINE_SWITCH_HOST = "localhost"
    assert row().known is Known.NEVER
    look_at_all()
    assert row().known is Known.REACHABLE


def test_what_nobody_can_ask_from_here_is_not_known(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unavailable:
        def status(self) -> None:
            raise ControlUnavailableError("The switch's control port needs python-ESL: install it.")

    look_at_all()
    monkeypatch.setattr(switches, "control_of", lambda _switch: Unavailable())
    look_at_all()
    assert row().known is Known.UNKNOWN
    assert row().what.startswith("The switch's control port needs python-ESL: install it. It last answered at")
    assert "lifeline_switch_reachable" not in metrics()


def test_a_full_switch_and_one_that_is_not_ready_are_said(switch: Switch) -> None:
    look_at_all()
    SwitchReport.objects.update(sessions=50, is_ready=False)
    page = text(browser_of("view_call"), "/")
    assert "50 of 50 sessions: it is full, and refuses calls" in page
    assert "but is starting or shutting down" in page


def metrics() -> dict[str, float]:
    families = switch_metrics(switch_rows(timezone.now()))
    return {f"{sample.name} {sample.labels['switch']}": sample.value for family in families for sample in family.samples}


def test_metrics_hold_numbers_of_now_or_none(switch: Switch, nobody: SwitchAddress) -> None:
    assert metrics() == {}
    look_at_all()
    found = metrics()
    assert found["lifeline_switch_reachable main"] == 1
    assert found["lifeline_switch_reachable east"] == 0
    assert found["lifeline_switch_sessions main"] == 0
    assert found["lifeline_switch_sessions_limit main"] == 50
    assert found["lifeline_switch_uptime_seconds main"] < 60
    assert "lifeline_switch_sessions east" not in found
    assert 'lifeline_switch_reachable{switch="main"} 1.0' in Client().get("/metrics").content.decode()
    SwitchReport.objects.update(looked_at=timezone.now() - 2 * STALE)
    assert {name.split()[0] for name in metrics()} == {"lifeline_switch_looked_at_seconds"}


def test_the_channels_are_listed_with_callers_for_who_may_see_them(switch: Switch) -> None:
    uuid = place(switch)
    make_call(CALLER, call_uuid=uuid)
    page = text(browser_of("view_call", "see_channels"), "/switches/main/channels/")
    assert "1 channel at" in page
    assert "•••0217" in page
    assert f"/calls/{uuid}/" in page
    assert "1632960217" not in page
    assert CALLER in text(browser_of("view_call", "see_channels", "see_caller"), "/switches/main/channels/")


def test_the_channels_are_for_who_may_and_a_switch_that_is_away_is_said(switch: Switch, nobody: SwitchAddress) -> None:
    assert browser_of("view_call").get("/switches/main/channels/").status_code == 403
    assert "Channels" not in text(browser_of("view_call"), "/")
    client = browser_of("view_call", "see_channels")
    assert "Nobody is on this switch" in text(client, "/switches/main/channels/")
    assert client.get("/switches/none/channels/").status_code == 404
    answer = client.get("/switches/east/channels/")
    assert answer.status_code == 503
    assert "cannot be reached: Connection refused" in answer.content.decode()


def test_numbers_of_people_are_hidden_in_names_and_destinations_too() -> None:
    assert words.endpoint(f"sofia/internal/{CALLER}@192.0.2.1:5060") == "sofia/internal"
    assert words.endpoint("loopback/9200-b") == "loopback"
    assert [words.dialled(number) for number in ("9200", "ll-agent-x", CALLER)] == ["9200", "ll-agent-x", "•••0217"]


def test_long_durations_have_two_units_at_most() -> None:
    spans = [-1, 4, 60, 278, 3600, 15_120, 273_600, 31_536_000]
    said = ["0 s", "4 s", "1 min", "4 min 38 s", "1 h", "4 h 12 min", "3 d 4 h", "365 d"]
    assert [words.long_duration(span) for span in spans] == said


class FakeControl:
    """What each switch (by host) says to the settling of orphans."""

    def __init__(self, known: dict[str, set[str] | Exception]) -> None:
        self._known = known

    def __call__(self, switch: SwitchAddress) -> FakeControl:
        return FakeControl({"": self._known[switch.host]})

    def _calls(self) -> set[str]:
        calls = self._known[""]
        if isinstance(calls, Exception):
            raise calls
        return calls

    def channels(self) -> list[Channel]:
        self._calls()
        return []

    def exists(self, call_uuid: str) -> bool:
        return call_uuid in self._calls()


ORPHAN = "1a2b3c4d-0000-4000-8000-00000000abcd"


@pytest.mark.parametrize(
    ("first", "second", "settled"),
    [
        (set(), set(), 1), ({ORPHAN}, set(), 0), (set(), {ORPHAN}, 0),
        (SwitchAwayError("away"), set(), 0), (set(), SwitchAwayError("away"), 0),
    ],
)  # fmt: skip
def test_a_call_is_gone_only_when_every_switch_denies_it(
    monkeypatch: pytest.MonkeyPatch, settings: Any, durable_redis: str,
    first: set[str] | Exception, second: set[str] | Exception, settled: int,
) -> None:  # fmt: skip
    settings.LIFELINE_REDIS_DURABLE_URL = durable_redis
    settings.LIFELINE_SWITCH_HOST = "one"
    settings.LIFELINE_SWITCHES = (SwitchAddress("east", "two", 8021, PASSWORD),)
    monkeypatch.setattr(tasks, "control_of", FakeControl({"one": first, "two": second}))
    call = make_call(call_uuid=ORPHAN, last_event_at=timezone.now() - timedelta(seconds=tasks.SILENT_S + 1))
    assert tasks.settle_orphans() == settled
    assert (Call.objects.get(pk=call.pk).ended_at is not None) is bool(settled)


def test_the_schedule_names_tasks_that_exist() -> None:
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
    assert app.conf.beat_schedule["watch-switches"]["schedule"] * 3 <= STALE.total_seconds()


def test_further_switches_are_asked_beside_the_first(settings: Any) -> None:
    settings.LIFELINE_SWITCHES = (SwitchAddress("east", "two", 8021, PASSWORD),)
    assert [switch.name for switch in switches.switches()] == ["main", "east"]
    east = switches.switch_named("east")
    assert east is not None
    assert switches.control_of(replace(east, password="own")).password == "own"
    assert switches.switch_named("west") is None


def last_resort(settings: Any, tmp_path: Path, text: str) -> None:
    path = tmp_path / "last_resort.xml"
    path.write_text(text)
    settings.LIFELINE_LAST_RESORT_DIALPLAN = path


def test_a_switch_reads_a_new_last_resort_once(switch: Switch, settings: Any, tmp_path: Path) -> None:
    last_resort(settings, tmp_path, "<include>\n</include>\n")
    look_at_all()
    read_at = SwitchReport.objects.get(name="main").dialplan_read_at
    assert read_at is not None
    look_at_all()
    assert SwitchReport.objects.get(name="main").dialplan_read_at == read_at
    last_resort(settings, tmp_path, "<include>\n\n</include>\n")
    look_at_all()
    again_at = SwitchReport.objects.get(name="main").dialplan_read_at
    assert again_at is not None
    assert again_at > read_at
    assert not row().not_read


def test_a_switch_that_did_not_read_it_is_shown_with_the_age_of_what_it_has(
    switch: Switch, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_resort(settings, tmp_path, "<include>\n</include>\n")
    look_at_all()
    asked: list[str] = []

    def broken() -> None:
        asked.append("reloadxml")
        raise DialplanError('line 3: <"x">')

    monkeypatch.setattr(switch, "reload_dialplan", broken)
    last_resort(settings, tmp_path, "<include>")
    look_at_all()
    look_at_all()
    assert asked == ["reloadxml"], "not at every look"
    assert "line 3" in row().not_read
    shown = text(browser_of("view_call"), "/")
    assert "did not read the menu of last resort" in shown
    assert "What it has was read" in shown


def test_a_switch_that_does_not_know_a_flows_time_zone_is_shown_and_asked_again(
    switch: Switch, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_zone = '<include>\n<action application="set" data="timezone=Mars/Olympus" inline="true" />\n</include>\n'
    last_resort(settings, tmp_path, with_zone)
    look_at_all()
    assert "does not know the time zone Mars/Olympus" in row().wrong_hours
    assert not row().not_read
    shown = text(browser_of("view_call"), "/")
    assert "goes by wrong opening hours: it does not know the time zone Mars/Olympus" in shown
    before = row().read_ms
    look_at_all()
    assert row().read_ms == before, "not at every look"
    a_minute_ago = timezone.now() - RETRY
    SwitchReport.objects.update(dialplan_read_at=a_minute_ago, dialplan_tried_at=a_minute_ago)
    monkeypatch.setattr(moments, "ZoneInfo", lambda _name: ZoneInfo("Europe/Vienna"))
    look_at_all()
    assert "it takes an unknown time for" in row().wrong_hours, "the switch knows it now, this machine does not"


def test_a_switch_whose_rules_of_a_zone_are_others_is_shown(
    switch: Switch, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_zone = '<include>\n<action application="set" data="timezone=Europe/Vienna" inline="true" />\n</include>\n'
    last_resort(settings, tmp_path, with_zone)
    look_at_all()
    assert row().wrong_hours == ""
    # As a file of old rules has it: no summer time. One of two moments half a year apart shows it.
    monkeypatch.setattr(moments, "ZoneInfo", lambda _name: ZoneInfo("Africa/Lagos"))
    last_resort(settings, tmp_path, with_zone + "\n")
    look_at_all()
    assert "in Europe/Vienna it takes" in row().wrong_hours
