"""A spool that fills is said on the page, in the metrics and by an alert; what is old or was never told is not known, not zero."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from io import StringIO
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from ai_engine.messages import Heartbeat
from ai_engine.redis_clients import connect, connect_async
from ai_engine.worker import heartbeat_key
from console import spools
from console.figures import figures
from console.metrics import FiguresCollector
from console.recorder import Recorder
from esl_bridge.journal.events import EventsLost
from esl_bridge.journal.reports import SpoolReport, tell
from tests.console.journal import Boot, report_bridge, send, started

pytestmark = pytest.mark.django_db(transaction=True)

MB = 1 << 20


@pytest.fixture(autouse=True)
def _redis(settings: Any, durable_redis: str, volatile_redis: str) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_redis
    settings.LIFELINE_REDIS_VOLATILE_URL = volatile_redis


async def told(url: str, *, process: str = "bridge-1", boot: str = "b1", fresh: bool = True, **fields: Any) -> SpoolReport:
    given: dict[str, Any] = {
        "bytes": 600 * MB, "limit_bytes": 1024 * MB, "place": "east:/spool", "waiting": 412_000, "oldest_s": 2600.0,
        "left_behind": 0, "lost": 0, "at_s": time.time(),
    }  # fmt: skip
    report = SpoolReport(process=process, boot_id=boot, **{**given, **fields})
    client = connect_async(url)
    await tell(client, report, ())
    if not fresh:
        await client.delete(f"spool:fresh:{boot}")
    await client.aclose()
    return report


def page() -> str:
    user = User.objects.create_user("watcher")
    user.user_permissions.add(Permission.objects.get(codename="view_call"))
    client = Client()
    client.force_login(user)
    return client.get("/").content.decode().replace("\xa0", " ")


def metrics() -> dict[str, dict[str, float]]:
    families = FiguresCollector().collect()
    return {
        one.name: {each.labels.get("process", ""): each.value for each in one.samples}
        for one in families
        if one.name.startswith("lifeline_spool")
    }


async def in_thread(work: Any) -> Any:
    return await sync_to_async(work, thread_sensitive=True)()


async def test_more_than_half_full_is_said_with_size_and_age_and_what_to_do(volatile_redis: str) -> None:
    await told(volatile_redis)
    await told(volatile_redis, process="bridge-2", boot="b2", waiting=1000, oldest_s=10.0)
    shown = await in_thread(page)
    assert "spool in east:/spool is 58% full (600.0 MB of 1.0 GB): 413,000 events wait there" in shown
    assert "the oldest for 43 min 20 s. Callers are not affected. Look whether Redis, the recorder and the database run" in shown
    assert shown.count("% full") == 1
    scraped = await in_thread(metrics)
    assert scraped["lifeline_spool_bytes"] == {"bridge-1": 600 * MB, "bridge-2": 600 * MB}
    assert scraped["lifeline_spool_limit_bytes"]["bridge-1"] == 1024 * MB
    assert scraped["lifeline_spool_events_waiting"] == {"bridge-1": 412_000, "bridge-2": 1000}
    assert scraped["lifeline_spool_oldest_seconds"]["bridge-1"] == 2600


async def test_below_half_nothing_is_said(volatile_redis: str) -> None:
    await told(volatile_redis, bytes=500 * MB)
    shown = await in_thread(page)
    assert "spool" not in shown


async def test_an_old_word_is_not_known_and_no_zero(volatile_redis: str) -> None:
    await told(volatile_redis, fresh=False, bytes=3 * MB, at_s=time.time() - 3700)
    shown = await in_thread(page)
    assert "What waits in the spool of bridge-1 is not known: it last told 1 h 1 min ago" in shown
    assert "and had 412,000 events (3.0 MB) then" in shown
    scraped = await in_thread(metrics)
    assert scraped["lifeline_spool_bytes"] == scraped["lifeline_spool_events_waiting"] == {}
    assert scraped["lifeline_spool_told_at_seconds"]["bridge-1"] == pytest.approx(time.time() - 3700, abs=30)


async def test_of_two_boots_of_one_process_the_one_that_lives_counts(volatile_redis: str) -> None:
    await told(volatile_redis, boot="old", fresh=False, at_s=time.time() - 60)
    await told(volatile_redis, boot="new", bytes=2 * MB)
    shown = await in_thread(page)
    assert "spool" not in shown
    assert (await in_thread(metrics))["lifeline_spool_bytes"] == {"bridge-1": 2 * MB}


async def test_two_that_live_and_have_one_name_are_told(volatile_redis: str) -> None:
    await told(volatile_redis, bytes=MB, has_namesake=True)
    await told(volatile_redis, process="bridge-2", boot="b2", bytes=MB, has_namesake=True, fresh=False)
    client = connect_async(volatile_redis)
    await client.set(heartbeat_key("worker-1"), msgspec.json.encode(Heartbeat(1, 16, has_namesake=True)))
    await client.aclose()
    shown = await in_thread(page)
    assert "Two processes that run are both called bridge-1" in shown
    assert "Two AI workers that run are both called worker-1" in shown
    assert shown.count("are both called") == 2
    assert shown.count("LIFELINE_HOST_NAME") == 2


def test_a_bridge_that_lives_and_never_told_is_not_known(durable_redis: str) -> None:
    report_bridge(durable_redis, "bridge-7")
    assert "How full the spool of bridge-7 is is not known" in page()


def test_without_the_volatile_redis_nothing_is_known(settings: Any) -> None:
    settings.LIFELINE_REDIS_VOLATILE_URL = "unix:///nowhere/redis.sock"
    assert figures().spools is None
    shown = page()
    assert "How full the journal’s spools are is not known" in shown
    assert shown.index("No bridge is running") < shown.index("How full the journal’s spools"), "what callers feel comes first"
    assert "no caller comes to the AI: they get the keypad menu" in shown
    assert "which workers run is not known" in shown
    assert set(map(len, metrics().values())) == {0}


async def test_what_is_being_lost_is_said_at_once(volatile_redis: str) -> None:
    await told(volatile_redis, lost=1234)
    assert "1,234 events of calls found no room so far and are lost" in await in_thread(page)
    assert (await in_thread(metrics))["lifeline_spool_events_lost"] == {"bridge-1": 1234}


def test_what_the_journal_tells_as_lost_is_counted_today_and_only_then(durable_redis: str) -> None:
    now_us = int(timezone.now().timestamp() * 1_000_000)
    today, yesterday = Boot("today", now_us), Boot("yesterday", now_us - 86_400_000_000)
    send(durable_redis, [yesterday.entry(EventsLost(5, 0), "", 0)], [today.entry(EventsLost(30, 0), "", 0)])
    send(durable_redis, [today.entry(started()), today.entry(EventsLost(4, 0), "", 0)])
    Recorder(durable_redis, lambda: None).step()
    out = StringIO()
    call_command("figures", "--json", stdout=out)
    assert json.loads(out.getvalue())["journal_events_lost"] == figures().journal_events_lost == 34
    assert "34 events of today’s calls found no room and were lost" in page()


async def test_what_waits_in_a_spool_is_not_recorded_yet(volatile_redis: str) -> None:
    assert await in_thread(spools.records_lag) == timedelta()
    await told(volatile_redis)
    lag = await in_thread(spools.records_lag)
    assert lag is not None
    assert lag > timedelta(seconds=spools.LATE_S)
    with connect(volatile_redis) as client:
        client.delete("spool:fresh:b1")
    assert await in_thread(spools.records_lag) == timedelta(), "whoever has it is gone, and no waiting brings it"
