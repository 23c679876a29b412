"""The recorder stores each event once, whatever comes twice, comes broken, or comes in another order."""

from __future__ import annotations

import pytest
import redis

from ai_engine.redis_clients import connect
from console.models import Call, Incident, JournalLine, Producer, Turn
from console.recorder import REFUSED_STREAM, Recorder
from esl_bridge.journal.events import (
    JOURNAL_STREAM,
    CallEnded,
    FallbackReason,
    FellBack,
    Mode,
    Outcome,
    StepEntered,
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
        from esl_bridge.journal.events import FIELD, encode_batch

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
