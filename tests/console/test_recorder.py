"""The recorder stores each event once, whatever comes twice, comes broken, or comes in another order."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import override_settings
from django.utils import timezone

from ai_engine.redis_clients import connect
from console import recorder as recorder_module
from console.intake import Stored, store
from console.management.commands.run_recorder import Nudge
from console.models import Call, Incident, JournalLine, Producer, Turn
from console.newer_schema import NewerSchemaError, known_migrations, refuse_newer_schema
from console.recorder import GAP_LIMIT_S, LOOK_EVERY_S, MARK_KEPT_S, REFUSED_STREAM, Recorder
from console.spools import events_lost
from esl_bridge.journal.events import (
    FIELD,
    JOURNAL_STREAM,
    CallEnded,
    CallStarted,
    FallbackReason,
    FellBack,
    Mode,
    Outcome,
    StepEntered,
    TurnFinished,
    TurnOutcome,
    encode_batch,
    watermark_key,
)
from tests.console.journal import Boot, closed, opened, send, started, whole_call
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


class Nudges:
    count = 0

    def __call__(self) -> None:
        self.count += 1


def recorded(url: str) -> Recorder:
    recorder = Recorder(url, Nudges())
    while recorder.step():
        pass
    return recorder


def test_a_call_is_recorded_with_its_turns_and_its_end(durable_redis: str) -> None:
    boot = Boot()
    send(durable_redis, whole_call(boot, "call-1", None))
    recorded(durable_redis)
    call = Call.objects.get()
    assert (call.caller, call.flow_slug, call.mode, call.ended_by, call.served_by_ai) == ("1000", "demo", "ai", "caller", 1)
    assert call.last_transcript == "what is my balance"
    turn = Turn.objects.get()
    assert (turn.outcome, turn.answer_ms, turn.expect) == ("understood", 120.0, "intent")
    assert JournalLine.objects.count() == boot.seq == Producer.objects.get().stored_seq


def test_what_comes_twice_is_stored_once(durable_redis: str) -> None:
    entries = whole_call(Boot(), "call-1", Outcome.FAILED_OVER)
    send(durable_redis, entries[:4], entries[:4], entries[2:], entries)
    recorded(durable_redis)
    assert JournalLine.objects.count() == len(entries)
    assert Call.objects.get().served_by_ai == 0
    assert Incident.objects.get().outcome == "failed_over"


def test_the_watermark_is_told_and_the_stream_trimmed_behind_it(durable_redis: str) -> None:
    boot = Boot()
    send(durable_redis, whole_call(boot, "call-1", None))
    recorded(durable_redis)
    with connect(durable_redis) as client:
        assert int(client.get(watermark_key(boot.boot_id)) or 0) == boot.seq
        assert client.ttl(watermark_key(boot.boot_id)) > MARK_KEPT_S / 2, "kept as long as its process may live, and not for ever"
        assert client.xlen(JOURNAL_STREAM) == 0


def test_a_batch_that_cannot_be_read_is_put_aside_and_the_rest_goes_on(durable_redis: str) -> None:
    boot = Boot()
    entries = whole_call(boot, "call-1", None)
    send(durable_redis, entries[:2])
    with connect(durable_redis) as client:
        client.xadd(JOURNAL_STREAM, {"m": b"garbage"})
        client.xadd(JOURNAL_STREAM, {"other": b"x"})
    send(durable_redis, entries[2:])
    recorded(durable_redis)
    assert JournalLine.objects.count() == len(entries)
    with connect(durable_redis) as client:
        assert client.xlen(REFUSED_STREAM) == 2


def test_a_new_recorder_goes_on_where_the_old_one_was_killed(durable_redis: str) -> None:
    entries = whole_call(Boot(), "call-1", None)
    send(durable_redis, entries[:3])
    Recorder(durable_redis, Nudges()).step()
    send(durable_redis, entries[3:])
    recorded(durable_redis)
    assert JournalLine.objects.count() == len(entries)


def test_redis_away_raises_and_loses_nothing(durable_server: RedisServer) -> None:
    entries = whole_call(Boot(), "call-1", None)
    send(durable_server.url, entries)
    recorder = Recorder(durable_server.url, Nudges())
    durable_server.kill()
    with pytest.raises(redis.RedisError):
        recorder.step()
    durable_server.start()
    recorded(durable_server.url)
    assert JournalLine.objects.count() == len(entries)


def test_a_stream_that_was_lost_and_begun_anew_is_read_from_its_beginning(durable_redis: str) -> None:
    entries = whole_call(Boot(), "call-1", None)
    send(durable_redis, entries[:3])
    recorded(durable_redis)
    with connect(durable_redis) as client:
        client.delete(JOURNAL_STREAM)
        client.xadd(JOURNAL_STREAM, {FIELD: encode_batch(tuple(entries))}, id="1-1")
    recorded(durable_redis)
    assert JournalLine.objects.count() == len(entries)


def test_an_older_owner_changes_no_live_state_and_settles_nothing_twice(durable_redis: str) -> None:
    old, new = Boot("old"), Boot("new")
    send(durable_redis, [old.entry(started()), old.entry(opened()), old.entry(FellBack(FallbackReason.INCIDENT))])
    send(
        durable_redis,
        [
            new.entry(started("bridge-2", resumed=True), epoch=2),
            new.entry(StepEntered("menu", Mode.FALLBACK), epoch=2),
            new.entry(closed(Outcome.FAILED_OVER), epoch=2),
        ],
    )
    send(durable_redis, [old.entry(StepEntered("listening", Mode.AI)), old.entry(closed(Outcome.DROPPED))])
    recorded(durable_redis)
    call = Call.objects.get()
    assert (call.epoch, call.bridge_id, call.step, call.mode) == (2, "bridge-2", "menu", "fallback")
    assert Incident.objects.get().outcome == "failed_over"


def test_a_call_that_ends_with_an_open_incident_is_a_drop_until_its_bridge_says_otherwise(durable_redis: str) -> None:
    boot, late = Boot("a"), Boot("b")
    send(durable_redis, [boot.entry(started()), boot.entry(opened()), boot.entry(CallEnded("NORMAL_CLEARING", "caller"))])
    recorded(durable_redis)
    assert Incident.objects.get().outcome == "dropped"
    send(durable_redis, [late.entry(closed(Outcome.FAILED_OVER))])
    recorded(durable_redis)
    assert Incident.objects.get().outcome == "failed_over"


def test_one_end_is_kept_and_a_found_one_gives_way(durable_redis: str) -> None:
    boot = Boot()
    send(durable_redis, [boot.entry(started()), boot.entry(CallEnded("FOUND_GONE", "unknown"))])
    send(durable_redis, [boot.entry(CallEnded("NORMAL_CLEARING", "caller")), boot.entry(CallEnded("OTHER", "lifeline"))])
    recorded(durable_redis)
    assert Call.objects.get().hangup_cause == "NORMAL_CLEARING"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def watermark(url: str, boot_id: str = "boot-a") -> int:
    with connect(url) as client:
        return int(client.get(watermark_key(boot_id)) or 0)


def test_what_redis_lost_in_between_is_waited_for_and_still_stored(durable_redis: str) -> None:
    boot = Boot()
    entries = whole_call(boot, "call-1", Outcome.FAILED_OVER)
    send(durable_redis, entries[:2], entries[5:])
    recorder = recorded(durable_redis)
    assert watermark(durable_redis) == 2
    assert Call.objects.get().ended_by == "caller"
    send(durable_redis, entries[2:7])  # The producer sends again from the watermark.
    assert recorder.step() == 3
    assert watermark(durable_redis) == boot.seq == JournalLine.objects.count()
    call = Call.objects.get()
    assert (call.step, call.mode, call.fell_back_reason) == ("menu", "fallback", "incident")
    assert Incident.objects.get().outcome == "failed_over"


def test_a_gap_that_is_never_filled_is_given_up_in_time(durable_redis: str) -> None:
    entries = whole_call(Boot(), "call-1", None)
    clock = Clock()
    recorder = Recorder(durable_redis, Nudges(), clock=clock)
    send(durable_redis, entries[2:4])
    recorder.step()
    assert watermark(durable_redis) == 0
    clock.now += GAP_LIMIT_S + 1
    send(durable_redis, entries[2:5])
    recorder.step()
    assert watermark(durable_redis) == 5
    assert JournalLine.objects.exclude(kind="events_lost").count() == 3
    assert events_lost(timezone.now() - timedelta(minutes=1)) == 2, "what never came is said to be lost"
    send(durable_redis, entries[:2])
    recorder.step()
    assert events_lost(timezone.now() - timedelta(minutes=1)) == 2


def test_a_gap_is_not_given_up_for_the_time_in_which_nothing_was_read(
    durable_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was away: what is missing had been sent again long before, behind what cannot wait."""
    entries = whole_call(Boot(), "call-1", None)
    clock, stop = Clock(), threading.Event()
    send(durable_redis, entries[2:3])

    def away(*args: Any) -> Stored:
        clock.now += GAP_LIMIT_S + 1
        monkeypatch.setattr(recorder_module, "store", store)
        raise OperationalError("the database is away")

    class Until(Recorder):
        def step(self) -> int:
            stored = super().step()
            if stored == 1:
                send(durable_redis, entries[3:4], entries[:2])
                monkeypatch.setattr(recorder_module, "READ_COUNT", 1)
                monkeypatch.setattr(recorder_module, "store", away)
            elif watermark(durable_redis) == 4:
                stop.set()
            return stored

    recorder = Until(durable_redis, Nudges(), clock=clock)
    recorder.run(stop)
    assert JournalLine.objects.count() == 4
    assert events_lost(timezone.now() - timedelta(minutes=1)) == 0


def test_what_is_missing_is_taken_although_it_comes_very_late_and_in_pieces(durable_redis: str) -> None:
    """Its bridge was dead all the time, and whoever adopts its spool sends batch after batch: the first is not the last."""
    entries = [*whole_call(boot := Boot(), "call-1", None), *whole_call(boot, "call-2", None)]
    clock = Clock()
    recorder = Recorder(durable_redis, Nudges(), clock=clock)
    send(durable_redis, entries[:1], entries[8:])
    recorder.step()
    clock.now += GAP_LIMIT_S + 1
    for piece in (entries[1:3], entries[3:5], entries[5:9]):
        send(durable_redis, piece)
        recorder.step()
    assert JournalLine.objects.count() == len(entries) == watermark(durable_redis)


def test_what_the_database_cannot_take_is_put_aside_alone(durable_redis: str) -> None:
    bad = Boot("bad")
    entries = whole_call(Boot(), "call-1", None)
    broken = TurnFinished(1001, TurnOutcome.UNDERSTOOD, "", "", math.nan, {}, (), 120.0)
    send(durable_redis, entries[:2], [bad.entry(broken, "call-2")], entries[2:])
    recorder = recorded(durable_redis)
    assert JournalLine.objects.filter(boot_id="boot-a").count() == len(entries)
    assert not Call.objects.filter(call_uuid="call-2").exists()
    with connect(durable_redis) as client:
        assert client.xlen(REFUSED_STREAM) == 1
        assert client.xlen(JOURNAL_STREAM) == 0
    assert recorder.step() == 0


def test_what_a_newer_database_refuses_waits_for_the_newer_recorder(durable_redis: str) -> None:
    """An older recorder beside a migrated database: a new column has no value from it, and it lost the records of a minute."""
    send(durable_redis, whole_call(Boot(), "call-1", None))
    newer = MigrationRecorder(connection)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE console_turn ADD COLUMN of_tomorrow varchar(9) CHECK (of_tomorrow IS NOT NULL)")
        newer.record_applied("console", "9999_of_tomorrow")
        try:
            with pytest.raises(NewerSchemaError, match="9999_of_tomorrow"):
                recorded(durable_redis)
        finally:
            newer.record_unapplied("console", "9999_of_tomorrow")
            cursor.execute("ALTER TABLE console_turn DROP COLUMN of_tomorrow")
    with connect(durable_redis) as client:
        assert client.xlen(REFUSED_STREAM) == 0
    recorded(durable_redis)
    assert Call.objects.get().ended_at is not None


def test_an_upgrade_in_place_makes_no_newer_migration_known_to_who_runs_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files lie in the same folder by then."""
    known = known_migrations()
    newer = MigrationRecorder(connection)
    newer.record_applied("console", "9999_of_tomorrow")
    try:
        monkeypatch.setattr(MigrationLoader, "disk_migrations", {("console", "9999_of_tomorrow"): None}, raising=False)
        assert known_migrations() == known
        with pytest.raises(NewerSchemaError, match="9999_of_tomorrow"):
            refuse_newer_schema(known)
    finally:
        newer.record_unapplied("console", "9999_of_tomorrow")
    refuse_newer_schema(known)


def test_a_nul_in_a_callers_name_is_in_no_row(durable_redis: str) -> None:
    """SQLite would take it; PostgreSQL refuses it, and the whole batch with it."""
    boot = Boot()
    send(durable_redis, [boot.entry(CallStarted("10\x0000", "9200", "demo", 1, "en", "bridge-1", False))])
    recorded(durable_redis)
    assert Call.objects.get().caller == "1000"
    assert JournalLine.objects.get().data["caller"] == "1000"


def test_a_stream_begun_anew_under_a_running_recorder_is_noticed(durable_redis: str) -> None:
    entries = whole_call(Boot(), "call-1", None)
    clock = Clock()
    recorder = Recorder(durable_redis, Nudges(), clock=clock)
    send(durable_redis, entries[:3])
    assert recorder.step() == 3
    with connect(durable_redis) as client:
        client.delete(JOURNAL_STREAM)
        client.xadd(JOURNAL_STREAM, {FIELD: encode_batch(tuple(entries[3:]))}, id="1-1")
    assert recorder.step() == 0
    clock.now += LOOK_EVERY_S
    assert recorder.step() == len(entries) - 3


def test_it_waits_while_the_database_refuses_and_then_stores(durable_redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failures are the database's own; only where they come from is replaced."""
    entries = whole_call(Boot(), "call-1", None)
    send(durable_redis, entries)
    failed: list[Any] = []
    stop = threading.Event()

    def store_later(*args: Any) -> Stored:
        if len(failed) < 2:
            failed.append(args)
            raise OperationalError("the database is away")
        stop.set()
        return store(*args)

    monkeypatch.setattr(recorder_module, "store", store_later)
    Recorder(durable_redis, Nudges()).run(stop)
    assert len(failed) == 2
    assert JournalLine.objects.count() == len(entries)


def test_redis_may_be_killed_under_a_running_recorder(durable_server: RedisServer) -> None:
    entries = whole_call(Boot(), "call-1", None)
    stop, stored = threading.Event(), threading.Event()

    def work() -> None:
        Recorder(durable_server.url, stored.set).run(stop)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        send(durable_server.url, entries[:3])
        assert stored.wait(10)
        durable_server.kill()
        durable_server.start()
        stored.clear()
        send(durable_server.url, entries[3:])
        assert stored.wait(10)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert JournalLine.objects.count() == len(entries)


def test_a_layer_that_is_away_is_logged_once_and_stops_nothing() -> None:
    away = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": ["unix:///nowhere/redis.sock"]},
    }
    tried = threading.Semaphore(0)
    with override_settings(CHANNEL_LAYERS={"default": away}), structlog.testing.capture_logs() as logs:
        nudge = Nudge(tried.release)
        for _ in range(2):
            nudge()
            assert tried.acquire(timeout=10)
    assert [line["event"] for line in logs] == ["consoles cannot be told of changes"]


def test_many_nudges_are_told_over_one_connection(volatile_redis: str) -> None:
    layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [volatile_redis]}}
    tried = threading.Semaphore(0)
    client = connect(volatile_redis)
    with override_settings(CHANNEL_LAYERS={"default": layer}):
        nudge = Nudge(tried.release)
        nudge()
        assert tried.acquire(timeout=10)
        before = client.info("stats")["total_connections_received"]
        for _ in range(20):
            nudge()
            assert tried.acquire(timeout=10)
        assert client.info("stats")["total_connections_received"] == before


def test_the_process_stores_what_is_sent_and_stops_on_sigterm(durable_redis: str, volatile_redis: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIFELINE_")}
    environment = {
        **kept, "DJANGO_SETTINGS_MODULE": "console.settings", "LIFELINE_DEMO": "1", "LIFELINE_DATA_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/records.sqlite3",
        "LIFELINE_REDIS_DURABLE_URL": durable_redis, "LIFELINE_REDIS_VOLATILE_URL": volatile_redis,
    }  # fmt: skip
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    subprocess.run([*manage, "migrate", "-v0"], env=environment, check=True, timeout=60)
    boot = Boot()
    with subprocess.Popen([*manage, "run_recorder"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            send(durable_redis, whole_call(boot, "call-1", None))
            deadline = time.monotonic() + 30
            while watermark(durable_redis) < boot.seq and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            assert watermark(durable_redis) == boot.seq
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
    with sqlite3.connect(tmp_path / "records.sqlite3") as records:
        assert records.execute("SELECT ended_by FROM console_call").fetchall() == [("caller",)]
    records.close()


def test_entries_gather_once_all_have_been_read_and_not_before(durable_redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "READ_COUNT", 2)
    boot, stop = Boot(), threading.Event()
    read: list[int] = []
    send(durable_redis, *([boot.entry(started(), f"call-{number}")] for number in range(3)))

    class Read(Recorder):
        def step(self) -> int:
            read.append(super().step())
            return read[-1]

    def gathered(delay_s: float) -> None:
        assert delay_s == recorder_module.GATHER_S
        read.append(-1)
        stop.set()

    monkeypatch.setattr("console.recorder.time.sleep", gathered)
    Read(durable_redis, Nudges()).run(stop)
    assert read == [2, 1, -1]
