"""The journal loses nothing and keeps its order: through crashes, a broken record, and Redis away and back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ai_engine.redis_clients import connect, connect_async
from esl_bridge.journal.events import (
    FIELD,
    JOURNAL_STREAM,
    AgentJoined,
    CallEnded,
    Entry,
    decode_batch,
    watermark_key,
)
from esl_bridge.journal.sender import Journal
from esl_bridge.journal.spool import Spool
from tests.redis_server import RedisServer

DEADLINE_S = 15.0


def entry(boot: str, seq: int) -> Entry:
    return Entry(boot, seq, f"call-{seq}", 1, 1_000_000 + seq, AgentJoined())


def stored(url: str) -> list[Entry]:
    with connect(url) as client:
        return [one for _, fields in client.xrange(JOURNAL_STREAM) for one in decode_batch(fields[FIELD])]


async def until(condition, what: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.02)


def test_entries_are_read_back_in_order_across_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esl_bridge.journal.spool.SEGMENT_BYTES", 300)
    spool = Spool.create(tmp_path, "boot")
    for seq in range(1, 51):
        spool.append(entry("boot", seq))
    assert [one.seq for one in spool.read_after(17, 10)] == list(range(18, 28))
    spool.drop_through(30)
    assert [one.seq for one in spool.read_after(30, 100)] == list(range(31, 51))
    assert len(list((tmp_path / "boot").glob("*.journal"))) < 20
    spool.close()


def test_a_record_cut_short_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, "boot")
    for seq in (1, 2, 3):
        spool.append(entry("boot", seq))
    spool.close()
    [segment] = (tmp_path / "boot").glob("*.journal")
    segment.write_bytes(segment.read_bytes()[:-3])
    [adopted] = Spool.adopt(tmp_path)
    assert [one.seq for one in adopted.read_after(0, 10)] == [1, 2]
    adopted.close()


def test_a_living_processs_spool_is_not_adopted(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, "alive")
    assert list(Spool.adopt(tmp_path)) == []
    spool.close()


async def test_events_reach_the_stream_in_order(tmp_path: Path, durable_redis: str) -> None:
    client = connect_async(durable_redis)
    journal = Journal(tmp_path, client)
    sending = asyncio.create_task(journal.run())
    for _ in range(500):
        journal.append("call", 1, AgentJoined())
    journal.append("call", 1, CallEnded("NORMAL_CLEARING", "caller"))
    await until(lambda: len(stored(durable_redis)) == 501, "all events")
    assert [one.seq for one in stored(durable_redis)] == list(range(1, 502))
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    journal.close()
    await client.aclose()


async def test_an_event_is_in_the_spool_before_anybody_waits_for_anything(tmp_path: Path, durable_redis: str) -> None:
    client = connect_async(durable_redis)
    journal = Journal(tmp_path, client)
    journal.append("call", 1, AgentJoined())
    spool = Spool(tmp_path / journal.boot_id, os.open(os.devnull, os.O_RDONLY))
    assert [one.seq for one in spool.read_after(0, 10)] == [1]
    spool.close()
    journal.close()
    await client.aclose()


async def test_redis_away_costs_nothing(tmp_path: Path, durable_server: RedisServer) -> None:
    client = connect_async(durable_server.url)
    journal = Journal(tmp_path, client)
    sending = asyncio.create_task(journal.run())
    journal.append("call", 1, AgentJoined())
    await until(lambda: len(stored(durable_server.url)) == 1, "the first event")
    durable_server.kill()
    for _ in range(100):
        journal.append("call", 1, AgentJoined())
    durable_server.start()
    await until(lambda: {one.seq for one in stored(durable_server.url)} >= set(range(2, 102)), "the events of the outage")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    journal.close()
    await client.aclose()


async def test_a_dead_processs_spool_is_adopted_and_taken_away_once_stored(tmp_path: Path, durable_redis: str) -> None:
    dead = Spool.create(tmp_path, "dead")
    for seq in (1, 2, 3):
        dead.append(entry("dead", seq))
    dead.close()
    client = connect_async(durable_redis)
    journal = Journal(tmp_path, client)
    sending = asyncio.create_task(journal.run())
    await until(lambda: [one.seq for one in stored(durable_redis) if one.boot_id == "dead"] == [1, 2, 3], "the dead one's events")
    await client.set(watermark_key("dead"), 3)
    await until(lambda: not (tmp_path / "dead").exists(), "the folder to go")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    journal.close()
    await client.aclose()
