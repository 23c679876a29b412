"""The figures count calls, never mix the three, and say when something cannot be known."""

from __future__ import annotations

import json
import time
from dataclasses import fields
from datetime import timedelta
from io import StringIO

import msgspec
import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ai_engine.circuits import keys
from ai_engine.circuits.guard import turns_name
from ai_engine.messages import TURNS_GROUP, TURNS_STREAM, Heartbeat
from ai_engine.models import Engine
from ai_engine.redis_clients import connect
from console import tasks
from console.figures import KEPT_FOR, figures
from console.lost_calls import end_found_gone
from console.metrics import COUNTS, FiguresCollector
from console.models import Call, Incident, Turn
from console.recorder import Recorder
from esl_bridge.control_answers import Channel
from esl_bridge.control_errors import SwitchAwayError
from esl_bridge.journal.events import FIELD, JOURNAL_STREAM, CallEnded, FallbackReason, Mode, Outcome, StepEntered, encode_batch
from tests.console.journal import Boot, closed, opened, report_bridge, send, started, whole_call
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def records(durable_redis: str, volatile_redis: str, settings) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_redis
    settings.LIFELINE_REDIS_VOLATILE_URL = volatile_redis
    boot = Boot(at_us=int(time.time() * 1_000_000) - 60_000_000)
    calls = [
        whole_call(boot, "ai", None),
        whole_call(boot, "kept-1", Outcome.FAILED_OVER),
        whole_call(boot, "kept-2", Outcome.FAILED_OVER),
        whole_call(boot, "lost", Outcome.DROPPED),
        whole_call(boot, "recovered", Outcome.RECOVERED),
        whole_call(boot, "forced", None, reason=FallbackReason.FORCED),
        whole_call(boot, "open", None, reason=FallbackReason.NO_ENGINE),
        whole_call(boot, "own-choice", None, reason=FallbackReason.CALLER_CHOICE),
        whole_call(boot, "live", Outcome.FAILED_OVER)[:-2],
    ]
    send(durable_redis, *calls)
    recorder = Recorder(durable_redis, lambda: None)
    while recorder.step():
        pass


def test_each_call_is_counted_once_and_in_its_own_figure(records: None) -> None:
    found = figures()
    assert found.ai_failures_failed_over == 2
    assert found.ai_failures_dropped == 1
    assert found.ai_failures_recovered == 1
    assert found.ai_failures_open == 1
    assert found.sent_straight_to_menu == 2
    assert (found.live_calls, found.live_in_fallback, found.calls_total, found.calls_ended) == (1, 1, 9, 8)
    assert found.answer_ms.count == 1
    assert found.answer_ms.p50 == 120.0
    assert found.circuits is not None
    assert found.workers == []


def test_many_answers_are_read_once_in_some_seconds_and_few_each_time(records: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each render, each look whether something changed and each scrape read them all: at 2,000 calls more than a core."""
    call, now = Call.objects.get(call_uuid="ai"), timezone.now()

    def answered(turn: int) -> None:
        Turn.objects.create(call=call, turn=turn, outcome="understood", answer_ms=100.0, finished_at=now)

    def counted(after_s: float) -> int:
        return figures(now + timedelta(seconds=after_s)).answer_ms.count

    answered(1)
    before = counted(0)
    answered(2)
    assert counted(0) == before + 1
    monkeypatch.setattr("console.figures.MANY_ANSWERS", before + 1)
    answered(3)
    assert counted(KEPT_FOR.total_seconds() - 1) == before + 1
    assert counted(KEPT_FOR.total_seconds()) == before + 2
    assert counted(0) == before + 2, "a clock that was set back reads anew"


def test_a_call_that_was_both_kept_and_lost_is_lost(records: None) -> None:
    Incident.objects.create(
        incident_id="second", call=Call.objects.get(call_uuid="kept-1"), opened_at=timezone.now(), outcome="dropped"
    )
    found = figures()
    assert (found.ai_failures_failed_over, found.ai_failures_dropped) == (1, 2)


def test_who_rang_before_midnight_and_was_lost_after_it_is_lost_today(records: None) -> None:
    midnight = figures().since
    Call.objects.filter(call_uuid__in=["lost", "kept-1", "recovered"]).update(started_at=midnight - timedelta(minutes=2))
    Incident.objects.filter(call__call_uuid="kept-1").update(opened_at=midnight - timedelta(seconds=1))
    yesterday = midnight - timedelta(minutes=1)
    Incident.objects.filter(call__call_uuid="recovered").update(opened_at=yesterday, closed_at=yesterday)
    found = figures()
    assert (found.ai_failures_dropped, found.ai_failures_failed_over, found.ai_failures_recovered) == (1, 2, 0)
    assert found.calls_total == 6


def test_who_was_lost_before_midnight_and_recorded_after_it_is_said_for_a_week_and_counted_for_good(records: None) -> None:
    midnight = figures().since
    lost, before = Incident.objects.filter(call__call_uuid="lost"), []
    for ago in (timedelta(minutes=5), timedelta(days=7), timedelta(days=7, minutes=5)):
        lost.update(opened_at=midnight - ago, closed_at=midnight - ago)
        found = figures()
        before.append(found.ai_failures_dropped_before)
        assert (found.ai_failures_dropped, found.ai_failures_dropped_ever) == (0, 1)
    assert before == [1, 1, 0]
    lost.update(closed_at=midnight)
    found = figures()
    assert (found.ai_failures_dropped, found.ai_failures_dropped_before, found.ai_failures_dropped_ever) == (1, 0, 1)


def test_what_waits_to_be_recorded_is_said_until_it_is_stored(durable_redis: str, settings) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_redis
    assert figures().recording_lag_s == 0
    with connect(durable_redis) as client:
        batch = encode_batch((Boot().entry(started()),))
        client.xadd(JOURNAL_STREAM, {FIELD: batch}, id=f"{int((time.time() - 40) * 1000)}-0")
    assert figures().recording_lag_s == pytest.approx(40, abs=5)
    Recorder(durable_redis, lambda: None).step()
    assert figures().recording_lag_s == 0


def test_the_number_of_queries_does_not_grow(records: None) -> None:
    with CaptureQueriesContext(connection) as seen:
        figures()
    assert len(seen) <= 7


def test_page_command_and_metrics_agree(records: None) -> None:
    out = StringIO()
    call_command("figures", "--json", stdout=out)
    said = json.loads(out.getvalue())
    scraped = {metric.name: metric.samples[0].value for metric in FiguresCollector().collect() if len(metric.samples) == 1}
    for name in COUNTS:
        assert said[name] == scraped[f"lifeline_{name}"] == getattr(figures(), name)
    assert {circuit["name"] for circuit in said["circuits"]} >= {"local-stt", "local-nlu", "local-tts"}


def test_turns_that_wait_for_a_worker_are_a_metric(records: None, volatile_redis: str) -> None:
    with connect(volatile_redis) as client:
        for _ in range(3):
            client.xadd(TURNS_STREAM, {b"m": b"x"})
        client.xgroup_create(TURNS_STREAM, TURNS_GROUP, id="0")
        client.xreadgroup(TURNS_GROUP, "w", {TURNS_STREAM: ">"}, count=1)
    scraped = {metric.name: metric.samples for metric in FiguresCollector().collect()}
    assert [sample.value for sample in scraped["lifeline_turns_waiting"]] == [2]


def test_with_redis_away_circuits_and_workers_are_not_known(records: None, settings) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = settings.LIFELINE_REDIS_VOLATILE_URL = "unix:///nowhere/redis.sock"
    found = figures()
    assert found.circuits is None
    assert found.workers is None
    assert found.turns_waiting is None
    assert found.recording_lag_s is None
    assert found.ai_failures_failed_over == 2
    assert next(metric for metric in FiguresCollector().collect() if metric.name == "lifeline_turns_waiting").samples == []


def test_the_table_names_every_figure_and_circuit(records: None, durable_redis: str) -> None:
    report_bridge(durable_redis)
    out = StringIO()
    call_command("figures", stdout=out)
    lines = out.getvalue().splitlines()
    assert "ai_failures_failed_over  2" in lines
    assert [line.split() for line in lines if line.startswith("bridges")] == [["bridges", "bridge-1"]]
    assert any(line.startswith("circuits") and "local-stt" in line for line in lines)
    assert {line.split()[0] for line in lines} == {
        *(field.name for field in fields(figures())), "speed_since", "stages", "caches", "used_today",
    }  # fmt: skip


class FakeSwitch:
    """Answers as the control port would: which channels are listed, then whether a call exists."""

    def __init__(self, exists: bool | Exception = True, *, listed: tuple[str, ...] = (), destination: str = "9200") -> None:
        self._exists = exists
        self._listed = listed
        self._destination = destination
        self.asked: list[str] = []

    def __call__(self, *_: object, **__: object) -> FakeSwitch:
        return self

    def channels(self) -> list[Channel]:
        now, doing = timezone.now(), "play_and_get_digits"
        return [Channel(uuid, "", "CS_EXECUTE", now, "", self._destination, doing) for uuid in self._listed]

    def exists(self, call_uuid: str) -> bool:
        self.asked.append(call_uuid)
        if isinstance(self._exists, Exception):
            raise self._exists
        return self._exists


@pytest.fixture
def orphan(durable_redis: str, settings) -> Call:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_redis
    boot = Boot(at_us=int(time.time() * 1_000_000) - 600_000_000)
    send(durable_redis, [boot.entry(started()), boot.entry(opened())])
    Recorder(durable_redis, lambda: None).step()
    return Call.objects.get()


@pytest.mark.parametrize(
    ("answer", "ended", "outcome"),
    [(False, True, "dropped"), (True, False, ""), (SwitchAwayError("away"), False, ""), (ValueError("no uuid"), False, "")],
)
def test_an_orphan_is_settled_only_when_the_switch_says_it_is_gone(
    orphan: Call, monkeypatch: pytest.MonkeyPatch, answer: bool | Exception, ended: bool, outcome: str
) -> None:
    monkeypatch.setattr(tasks, "control_of", FakeSwitch(answer))
    assert tasks.settle_orphans() == int(ended)
    orphan.refresh_from_db()
    assert (orphan.ended_at is not None) is ended
    assert orphan.hangup_cause == ("FOUND_GONE" if ended else "")
    assert Incident.objects.get(kind="refused").outcome == outcome
    assert list(Incident.objects.filter(kind="lost").values_list("outcome", flat=True)) == ([outcome] if ended else [])


def test_a_call_that_was_gone_while_a_person_had_it_was_not_lost(orphan: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Call.objects.update(mode="agent")
    monkeypatch.setattr(tasks, "control_of", FakeSwitch(exists=False))
    assert tasks.settle_orphans() == 1
    assert not Incident.objects.filter(kind="lost").exists()


def test_a_call_seen_in_the_last_resort_failed_over_and_what_was_open_with_it(
    orphan: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = FakeSwitch(exists=True, listed=(orphan.call_uuid,), destination="ll-last-resort")
    monkeypatch.setattr(tasks, "control_of", switch)
    assert tasks.settle_orphans() == 0
    orphan.refresh_from_db()
    assert (orphan.mode, orphan.step, orphan.ended_at) == ("last_resort", "last_resort", None)
    assert Incident.objects.get(kind="no_bridge").outcome == "failed_over"
    monkeypatch.setattr(tasks, "control_of", FakeSwitch(exists=False))
    assert tasks.settle_orphans() == 1
    outcomes = dict(Incident.objects.values_list("kind", "outcome"))
    assert outcomes == {"no_bridge": "failed_over", "refused": "failed_over"}


def test_a_call_that_its_bridge_sent_to_the_last_resort_is_no_failure_of_the_switchs_finding(
    orphan: Call, durable_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = Boot("boot-b", at_us=int(time.time() * 1_000_000) - 30_000_000)
    send(durable_redis, [later.entry(StepEntered("last_resort", Mode.LAST_RESORT), epoch=2)])
    Recorder(durable_redis, lambda: None).step()
    switch = FakeSwitch(exists=True, listed=(orphan.call_uuid,), destination="ll-last-resort")
    monkeypatch.setattr(tasks, "control_of", switch)
    tasks.settle_orphans()
    assert not Incident.objects.filter(kind="no_bridge").exists()
    assert figures().live_in_fallback == 1


def test_what_was_seen_in_the_last_resort_stands_whenever_the_end_is_told(
    orphan: Call, durable_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = FakeSwitch(exists=True, listed=(orphan.call_uuid,), destination="ll-key-1")
    for switch in (listed, FakeSwitch(exists=False)):
        monkeypatch.setattr(tasks, "control_of", switch)
        tasks.settle_orphans()
    late = Boot("boot-late", at_us=int(time.time() * 1_000_000))
    send(durable_redis, [late.entry(CallEnded("NORMAL_CLEARING", "caller"))])
    Recorder(durable_redis, lambda: None).step()
    assert Incident.objects.get(kind="no_bridge").outcome == "failed_over"


def test_a_call_whose_end_was_told_late_was_not_lost(
    orphan: Call, durable_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "control_of", FakeSwitch(exists=False))
    assert tasks.settle_orphans() == 1
    assert Incident.objects.filter(kind="lost").exists()
    late = Boot("boot-late", at_us=int(time.time() * 1_000_000))
    send(durable_redis, [late.entry(closed(Outcome.RECOVERED)), late.entry(CallEnded("NORMAL_CLEARING", "caller"))])
    Recorder(durable_redis, lambda: None).step()
    orphan.refresh_from_db()
    assert orphan.ended_by == "caller"
    assert dict(Incident.objects.values_list("kind", "outcome")) == {"refused": "recovered"}


@pytest.mark.parametrize(
    ("bridge_lives", "silent_s", "asked"),
    [(True, tasks.SILENT_S - 5, False), (True, tasks.SILENT_S + 5, True), (False, tasks.BRIDGE_GONE_S - 5, False),
     (False, tasks.BRIDGE_GONE_S + 5, True)],
)  # fmt: skip
def test_a_call_that_spoke_lately_is_not_looked_up_and_sooner_without_its_bridge(
    orphan: Call, durable_redis: str, monkeypatch: pytest.MonkeyPatch, bridge_lives: bool, silent_s: int, asked: bool
) -> None:
    if bridge_lives:
        report_bridge(durable_redis)
    Call.objects.update(last_event_at=timezone.now() - timedelta(seconds=silent_s))
    switch = FakeSwitch(exists=False)
    monkeypatch.setattr(tasks, "control_of", switch)
    assert tasks.settle_orphans() == int(asked)
    assert bool(switch.asked) is asked


def test_a_call_whose_bridge_is_gone_is_found_in_the_last_resort_at_the_next_look(
    orphan: Call, durable_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Call.objects.update(last_event_at=timezone.now())
    monkeypatch.setattr(tasks, "control_of", FakeSwitch(listed=(orphan.call_uuid,), destination="ll-last-resort"))
    report_bridge(durable_redis)
    assert tasks.settle_orphans() == 0
    assert Call.objects.get().mode == "ai", "its bridge lives, and the call may be on its way through"
    report_bridge(durable_redis, "bridge-2")
    with connect(durable_redis) as client:
        client.delete(keys.local_key(turns_name("bridge-1")))
    assert figures().live_unwatched == 1
    tasks.settle_orphans()
    assert Call.objects.get().mode == "last_resort"
    assert figures().live_unwatched == 0


def test_a_call_that_was_heard_of_later_than_now_is_looked_up_all_the_same(orphan: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock was ahead for a moment: nobody waits for an hour until it comes true."""
    Call.objects.update(last_event_at=timezone.now() + timedelta(hours=1))
    monkeypatch.setattr(tasks, "control_of", FakeSwitch(exists=False))
    assert tasks.settle_orphans() == 1


def test_under_load_a_call_is_settled_once_the_records_have_come_past_its_being_missed(
    orphan: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something always waits to be recorded then; its end may be among it."""
    monkeypatch.setattr(tasks, "control_of", FakeSwitch(exists=False))
    monkeypatch.setattr(tasks, "records_lag", lambda: timedelta(seconds=2))
    missed = timezone.now()
    for later_s, settled in ((0, 0), (2.5, 0), (3.5, 1)):
        monkeypatch.setattr(timezone, "now", lambda later_s=later_s: missed + timedelta(seconds=later_s))
        assert tasks.settle_orphans() == settled


def test_calls_that_the_switch_lists_cost_no_question_each(orphan: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = FakeSwitch(exists=False, listed=(orphan.call_uuid,))
    monkeypatch.setattr(tasks, "control_of", switch)
    assert tasks.settle_orphans() == 0
    assert switch.asked == []


def test_nothing_is_guessed_while_the_end_may_wait_in_the_journal(
    orphan: Call, durable_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "control_of", FakeSwitch(exists=False))
    send(durable_server.url, [Boot("other").entry(started(), "another")])
    assert tasks.settle_orphans() == 0
    durable_server.kill()
    assert tasks.settle_orphans() == 0
    durable_server.start()
    Recorder(durable_server.url, lambda: None).step()
    Call.objects.exclude(pk=orphan.pk).delete()
    assert tasks.settle_orphans() == 1


def test_a_call_that_speaks_while_it_is_looked_up_is_not_ended(orphan: Call) -> None:
    Call.objects.update(last_event_at=timezone.now())
    assert end_found_gone(orphan, timezone.now()) is False
    assert Call.objects.get().ended_at is None


def test_disabled_engines_and_workers_that_keep_older_ones_are_told(records: None, volatile_redis: str) -> None:
    for name, order, enabled in (("second", 2, True), ("first", 1, True), ("off", 3, False)):
        Engine.objects.create(name=name, stage="stt", order=order, kind="vosk", address="ws://10.0.0.1", enabled=enabled)
    beat = Heartbeat(1, 16, "the environment variable LIFELINE_SECRET_X is not set")
    with connect(volatile_redis) as client:
        client.set("worker:w1", msgspec.json.encode(beat), px=3000)
    found = figures()
    assert found.circuits is not None
    assert [view.name for view in found.circuits][:2] == ["first", "second"]
    assert found.disabled_engines == [("off", "stt")]
    assert found.engine_problems == [("w1", beat.engines_problem)]
    assert found.workers == [("w1", 1, 16)]
    assert found.worker_namesakes == []
    out = StringIO()
    call_command("figures", stdout=out)
    assert "LIFELINE_SECRET_X is not set" in out.getvalue()
