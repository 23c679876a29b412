"""The spool has a bound: calls go on beyond it, what is lost is counted and told, and how full it is is known elsewhere."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis.asyncio
import redis.exceptions
import structlog

from ai_engine.redis_clients import connect, connect_async
from esl_bridge.journal import sender
from esl_bridge.journal.delivery import RESEND_AFTER_S, Delivery
from esl_bridge.journal.events import AgentJoined, Entry, EventsLost, watermark_key
from esl_bridge.journal.reports import FRESH_MS, REPORTS, SpoolReport, reports
from esl_bridge.journal.sender import Journal
from esl_bridge.journal.spool import Spool, SpoolUnreadable, bytes_under
from tests.esl_bridge.journal.test_spool_and_sender import entry, stored, until
from tests.redis_server import RedisServer

NOWHERE = "unix:///nowhere/redis.sock"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments and memory for a few events, and looks that follow each other sooner."""
    monkeypatch.setattr("esl_bridge.journal.spool.SEGMENT_BYTES", 1000)
    monkeypatch.setattr(sender, "MAX_IN_MEMORY", 20)
    monkeypatch.setattr(sender, "SPOOLED_AT_ONCE", 7)
    monkeypatch.setattr(sender, "WATERMARK_EVERY_S", 0.05)
    monkeypatch.setattr(sender, "REPORT_EVERY_S", 0.05)
    monkeypatch.setattr("esl_bridge.journal.adoption.DELIVER_EVERY_S", 0.05)


@asynccontextmanager
async def running(journal: Journal, *clients: redis.asyncio.Redis) -> AsyncIterator[None]:
    task = asyncio.create_task(journal.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        journal.close()
        for client in clients:
            await client.aclose()


async def test_two_journals_of_one_name_both_tell_so(
    small: None, tmp_path: Path, durable_redis: str, volatile_redis: str
) -> None:
    clients = [connect_async(url) for url in (durable_redis, volatile_redis, durable_redis, volatile_redis)]
    first = Journal(tmp_path / "east", clients[0], volatile=clients[1], process="bridge-1")
    second = Journal(tmp_path / "west", clients[2], volatile=clients[3], process="bridge-1")

    def told() -> dict[str, bool]:
        return {report.boot_id: report.has_namesake for report, _ in reports(volatile_redis, time.time())}

    async with running(first, *clients[:2]):
        await until(lambda: told() == {first.boot_id: False}, "the first one's word")
        async with running(second, *clients[2:]):
            await until(lambda: told() == {first.boot_id: True, second.boot_id: True}, "both to tell")
        await until(lambda: not told()[first.boot_id], "the first to be alone again")


def confirm(url: str, journal: Journal) -> int:
    """As a recorder does that has stored all there is; returns how far."""
    last = max((one.seq for one in stored(url) if one.boot_id == journal.boot_id), default=0)
    with connect(url) as client:
        client.set(watermark_key(journal.boot_id), last)
    return last


@pytest.mark.usefixtures("small")
async def test_at_the_bound_calls_go_on_and_what_is_lost_is_counted_and_journalled(tmp_path: Path, durable_redis: str) -> None:
    away = connect_async(NOWHERE)
    journal = Journal(tmp_path, away, limit_bytes=4000)
    with structlog.testing.capture_logs() as logs:
        for _ in range(500):
            journal.append("call", 1, AgentJoined())
    lost = journal.report(time.monotonic()).lost
    assert 0 < lost < 500
    assert bytes_under(tmp_path) <= 4000
    assert [line["event"] for line in logs if "lost" in line["event"]] == [
        "journal events are lost: there is no room for them on disk or in memory"
    ]
    client = connect_async(durable_redis)
    journal._delivery._client = client
    async with running(journal, client, away):
        await until(lambda: confirm(durable_redis, journal) == 500 - lost + 1, "what was kept, and the word of what was not")
        journal.append("call", 1, AgentJoined())
        await until(lambda: confirm(durable_redis, journal) == 500 - lost + 2, "a later event")
    kept = stored(durable_redis)
    assert [one.seq for one in kept] == list(range(1, 500 - lost + 3))
    assert [one.event.count for one in kept if isinstance(one.event, EventsLost)] == [lost]
    assert [type(one.event) for one in kept[-2:]] == [EventsLost, AgentJoined]


@pytest.mark.usefixtures("small")
async def test_what_has_no_room_on_disk_waits_in_memory_and_is_sent_from_there(tmp_path: Path, durable_redis: str) -> None:
    client = connect_async(durable_redis)
    journal = Journal(tmp_path, client, limit_bytes=1000)
    for _ in range(30):
        journal.append("call", 1, AgentJoined())
    assert await journal.drain(5.0)
    assert [one.seq for one in stored(durable_redis)] == list(range(1, 31))
    assert journal.report(time.monotonic()).lost == 0
    journal.close()
    await client.aclose()


@pytest.mark.usefixtures("small")
async def test_a_disk_that_stays_full_stops_nothing_as_long_as_redis_takes_the_events(tmp_path: Path, durable_redis: str) -> None:
    client = connect_async(durable_redis)
    journal = Journal(tmp_path, client, limit_bytes=1)
    async with running(journal, client):
        for turn in range(1, 4):
            for _ in range(20):
                journal.append("call", 1, AgentJoined())
            await until(lambda done=20 * turn: confirm(durable_redis, journal) == done, "this piece")
            await until(lambda: not journal._unspooled, "the memory to be free again")
    assert journal.report(time.monotonic()).lost == 0


@pytest.mark.usefixtures("small")
async def test_events_that_come_while_a_long_backlog_is_sent_leave_no_gap(tmp_path: Path, durable_redis: str) -> None:
    """What is kept in memory must follow each other: else the middle, which is on disk only, would be passed over."""
    client = connect_async(durable_redis)
    journal = Journal(tmp_path, client)
    for _ in range(70):
        journal.append("call", 1, AgentJoined())
    while journal._delivery.sent < journal._seq:
        assert await journal._delivery.send()
        if journal._seq < 100:
            journal.append("call", 1, AgentJoined())
    assert [one.seq for one in stored(durable_redis)] == list(range(1, journal._seq + 1))
    journal.close()
    await client.aclose()


@pytest.mark.usefixtures("small")
async def test_what_a_damaged_disk_does_not_give_back_is_counted_as_lost(tmp_path: Path, durable_redis: str) -> None:
    client = connect_async(durable_redis)
    journal = Journal(tmp_path, client)
    for _ in range(100):
        journal.append("call", 1, AgentJoined())
    # The first twenty are in memory as well; of the rest a part is gone.
    first, second, third = (int(one.stem) for one in journal._spool._segments[3:6])
    (tmp_path / journal.boot_id / f"{second:012d}.journal").write_bytes(b"")
    assert await journal.drain(5.0)
    assert journal.report(time.monotonic()).lost == third - second
    journal.append("call", 1, AgentJoined())
    assert await journal.drain(5.0)
    kept = stored(durable_redis)
    assert [one.event.count for one in kept if isinstance(one.event, EventsLost)] == [third - second]
    assert {one.seq for one in kept} == set(range(1, 103)) - set(range(second, third))
    assert first > 20
    journal.close()
    await client.aclose()


async def test_spools_of_others_beside_it_count_for_the_bound(tmp_path: Path) -> None:
    other = Spool.create(tmp_path, "other")
    for seq in range(1, 40):
        other.append(entry("other", seq))
    away = connect_async(NOWHERE)
    journal = Journal(tmp_path, away, limit_bytes=other.total_bytes + 10)
    async with running(journal, away):
        await until(lambda: journal._spool.others_bytes == other.total_bytes, "a look at the folder")
        journal.append("call", 1, AgentJoined())
        assert journal.report(time.monotonic()).bytes == other.total_bytes
        assert len(journal._unspooled) == 1
    other.close()


def test_a_segment_that_cannot_be_opened_leaves_no_number_of_a_closed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number may be a caller's socket a moment later: a second close of it would cut that call off."""
    monkeypatch.setattr("esl_bridge.journal.spool.SEGMENT_BYTES", 1)
    spool = Spool.create(tmp_path, "boot")
    spool.append(entry("boot", 1))
    really_open = os.open

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for seq in range(2, 6):
        monkeypatch.setattr(os, "open", full)
        with pytest.raises(OSError, match="No space"):
            spool.append(entry("boot", seq))
        monkeypatch.setattr(os, "open", really_open)
    socket, far = os.pipe()
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space"):
        spool.append(entry("boot", 6))
    os.fstat(socket)
    os.fstat(far)
    monkeypatch.setattr(os, "open", really_open)
    spool.append(entry("boot", 2))
    assert [one.seq for one in spool.read_after(0, 10)] == [1, 2]
    os.close(socket)
    os.close(far)
    spool.close()


def test_zeros_behind_the_last_entry_as_a_power_cut_leaves_them_are_no_entry(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, "boot")
    spool.append(entry("boot", 1))
    spool.close()
    [segment] = (tmp_path / "boot").glob("*.journal")
    segment.write_bytes(segment.read_bytes() + bytes(4096))
    [adopted] = Spool.adopt(tmp_path)
    assert [one.seq for one in adopted.read_after(0, 10)] == [1]
    adopted.close()


def test_a_spool_is_not_adopted_while_it_is_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[list[Spool]] = []
    really_lock = fcntl.flock

    def lock(fd: int, operation: int) -> None:
        if not taken:
            taken.append(list(Spool.adopt(tmp_path)))
        really_lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    spool = Spool.create(tmp_path, "boot")
    assert taken == [[]]
    spool.close()


async def test_a_spool_of_a_newer_version_is_left_for_one_and_stops_nothing_else(tmp_path: Path, durable_redis: str) -> None:
    newer = Spool.create(tmp_path, "newer")
    newer.close()
    body = b"\x96not an entry of this version"
    (tmp_path / "newer" / "000000000001.journal").write_bytes(struct.pack("<II", len(body), zlib.crc32(body)) + body)
    client = connect_async(durable_redis)
    journal = Journal(tmp_path, client)
    async with running(journal, client):
        await until(lambda: journal.report(0.0).left_behind == 1, "the spool to be seen")
        journal.append("call", 1, AgentJoined())
        await until(lambda: [one.seq for one in stored(durable_redis)] == [1], "this process's own event")
    assert (tmp_path / "newer" / "000000000001.journal").exists()
    [left] = [one for one in Spool.adopt(tmp_path) if one.boot_id == "newer"]
    with pytest.raises(SpoolUnreadable):
        left.read_after(0, 1)
    left.close()


async def test_draining_while_redis_is_away_gives_up_in_time_and_leaves_the_spool(tmp_path: Path) -> None:
    away = connect_async(NOWHERE)
    journal = Journal(tmp_path, away, volatile=away)
    journal.append("call", 1, AgentJoined())
    assert not await journal.drain(0.1)
    journal.close()
    await away.aclose()
    [left] = Spool.adopt(tmp_path)
    assert [one.seq for one in left.read_after(0, 10)] == [1]
    left.close()


# --- On the way ---


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_what_waits_for_the_recorder_is_bounded_in_redis_and_not_sent_twice(
    durable_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esl_bridge.journal.delivery.WINDOW", 500)
    entries = [entry("boot", seq) for seq in range(1, 2001)]
    clock, client = Clock(), connect_async(durable_redis)
    delivery = Delivery("boot", client, lambda seq, limit: entries[seq : seq + limit], clock=clock)
    for _ in range(100):
        while await delivery.send():
            pass
        await delivery.check()
        clock.now += RESEND_AFTER_S + 1
    assert [one.seq for one in stored(durable_redis)] == list(range(1, 501))
    await client.set(watermark_key("boot"), 300)
    await delivery.check()
    while await delivery.send():
        pass
    assert [one.seq for one in stored(durable_redis)] == list(range(1, 801))
    await client.aclose()


async def test_what_redis_lost_without_the_sender_noticing_is_sent_again(durable_server: RedisServer) -> None:
    entries = [entry("boot", seq) for seq in range(1, 11)]
    clock, client = Clock(), connect_async(durable_server.url)
    delivery = Delivery("boot", client, lambda seq, limit: entries[seq : seq + limit], clock=clock)
    await delivery.send()
    durable_server.kill()
    (durable_server.folder / "appendonly.aof").unlink()
    durable_server.start()
    entries += [entry("boot", seq) for seq in range(11, 21)]
    with suppress(redis.exceptions.ConnectionError):  # Of the connection that is no more, when it is noticed.
        await delivery.send()
    while await delivery.send():
        pass
    assert [one.seq for one in stored(durable_server.url)] == list(range(11, 21))
    await delivery.check()
    clock.now += RESEND_AFTER_S + 0.1
    await delivery.check()
    await delivery.send()
    assert {one.seq for one in stored(durable_server.url)} == set(range(1, 21))
    await client.aclose()


# --- Telling ---


async def test_the_volatile_redis_is_told_how_full_the_spool_is_while_the_durable_one_is_away(
    tmp_path: Path, volatile_redis: str
) -> None:
    away, volatile = connect_async(NOWHERE), connect_async(volatile_redis)
    journal = Journal(tmp_path, away, volatile=volatile, process="bridge-1", limit_bytes=1 << 24)

    def told() -> list[tuple[SpoolReport, bool]]:
        return reports(volatile_redis, time.time())

    for _ in range(3):
        journal.append("call", 1, AgentJoined())
    async with running(journal, away, volatile):
        await until(lambda: told() and told()[0][0].waiting == 3 and told()[0][0].oldest_s > 0, "a report")
    [(report, is_fresh)] = told()
    assert is_fresh
    assert (report.process, report.limit_bytes, report.lost) == ("bridge-1", 1 << 24, 0)
    assert report.bytes == bytes_under(tmp_path) > 0
    with connect(volatile_redis) as client:
        assert 0 < client.pttl(f"spool:fresh:{report.boot_id}") <= FRESH_MS
        client.delete(f"spool:fresh:{report.boot_id}")
    assert [(one.waiting, is_fresh) for one, is_fresh in told()] == [(3, False)]


@pytest.mark.usefixtures("small")
async def test_the_report_of_a_process_that_is_gone_goes_with_its_spool_once_all_is_stored(
    tmp_path: Path, durable_redis: str, volatile_redis: str
) -> None:
    dead = Spool.create(tmp_path, "dead")
    dead.append(Entry("dead", 1, "call", 1, time.time_ns() // 1000 - 90_000_000, AgentJoined()))
    dead.close()
    durable, volatile = connect_async(durable_redis), connect_async(volatile_redis)
    await volatile.hset(REPORTS, "dead", "")
    journal = Journal(tmp_path, durable, volatile=volatile, process="bridge-1")
    async with running(journal, durable, volatile):
        await until(lambda: bool(stored(durable_redis)), "the dead one's event")
        report = journal.report(time.monotonic())
        assert report.left_behind == 1
        assert 90 <= report.oldest_s < 120
        await durable.set(watermark_key("dead"), 1)
        await until(lambda: "dead" not in _boots(volatile_redis), "the old report to go")
        assert journal.report(time.monotonic()).left_behind == 0
        assert await journal.drain(1.0)
        assert journal.boot_id not in _boots(volatile_redis)


def _boots(url: str) -> set[str]:
    with connect(url) as client:
        return {boot.decode() for boot in client.hkeys(REPORTS)}
