"""What nobody knows is not asserted: pages say how old their records are, and whether anybody asks for calls that are missing."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from ai_engine.redis_clients import connect
from console import regions
from console.models import SwitchReport
from console.spools import LATE_S
from console.switches import STALE, switches
from esl_bridge.journal.events import FIELD, JOURNAL_STREAM
from tests.console.journal import report_bridge, report_spool
from tests.console.test_pages import browser_of, make_call, text
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db
AWAY = "unix:///nowhere/redis.sock"
NONE_LOST = '<span aria-hidden="true">✓</span> none lost today<'


@pytest.fixture(autouse=True)
def _redis(settings: Any, durable_server: RedisServer, tmp_path: Path) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = settings.LIFELINE_REDIS_VOLATILE_URL = durable_server.url
    settings.LIFELINE_DATA_DIR = tmp_path
    report_bridge(durable_server.url)
    report_spool(durable_server.url)


@pytest.fixture
def client() -> Client:
    return browser_of("view_call")


def look(state: str = "reachable", ago: timedelta = timedelta()) -> None:
    """As the worker that looks stores it."""
    now = timezone.now()
    row = {"place": switches()[0].place, "state": state, "since": now - ago, "looked_at": now - ago, "reason": "it is off"}
    SwitchReport.objects.update_or_create(name=switches()[0].name, defaults=row)


def test_every_page_of_records_says_how_far_they_are_behind(client: Client, settings: Any) -> None:
    pages = ["/", "/calls/", f"/calls/{make_call().call_uuid}/", "/incidents/", "/speed/"]
    for url in pages:
        assert 'id="behind"' not in text(client, url), url
    assert NONE_LOST in text(client, "/")
    with connect(settings.LIFELINE_REDIS_DURABLE_URL) as redis:
        redis.xadd(JOURNAL_STREAM, {FIELD: b""}, id=f"{int((time.time() - 3600) * 1000)}-0")
    for url in pages:
        assert ">1:00:0" in text(client, url).partition("The records are behind by")[2][:100], url
    assert "none lost today as far as known" in text(client, "/")
    settings.LIFELINE_REDIS_DURABLE_URL = AWAY
    for url in pages:
        assert "Redis does not answer: what happens now is recorded later" in text(client, url), url
    assert NONE_LOST not in text(client, "/")


def test_of_a_call_without_a_bridge_the_page_says_that_nobody_asks_when_nobody_does(client: Client, settings: Any) -> None:
    make_call(bridge_id="bridge-9")
    nobody = "What became of it cannot be asked: the worker that asks (celery) is not running. Start it."
    assert nobody in (page := text(client, "/"))
    assert "Until then nobody knows whether it was lost." in page
    assert "none lost today as far as known" in page
    look(ago=STALE + timedelta(seconds=1))
    assert nobody in text(client, "/")
    look("unreachable")
    assert "cannot be asked: switch main is not reachable. Look under Switches." in text(client, "/")
    look()
    page = text(client, "/")
    assert "cannot be asked" not in page
    assert "The switches are asked what became of it" in page
    assert NONE_LOST not in page, "it is not known yet"
    report_bridge(settings.LIFELINE_REDIS_DURABLE_URL, "bridge-9")
    report_spool(settings.LIFELINE_REDIS_DURABLE_URL, "bridge-9")
    assert NONE_LOST in text(client, "/")


@pytest.mark.parametrize(
    ("process", "told"),
    [
        ("bridge-1", {"waiting": 40, "oldest_s": LATE_S + 1}),
        ("bridge-1", {"lost": 3}),
        ("bridge-1", {"fresh": False}),
        ("bridge-of-before", {"fresh": False, "waiting": 7}),
        ("switch-watch-1", {"waiting": 1, "oldest_s": 3600.0}),
    ],
)
def test_none_lost_has_its_tick_only_while_no_spool_may_hold_the_loss_of_a_call(
    client: Client, settings: Any, process: str, told: dict[str, Any]
) -> None:
    assert NONE_LOST in text(client, "/")
    before = regions.fingerprint()
    report_spool(settings.LIFELINE_REDIS_DURABLE_URL, process, **told)
    assert "none lost today as far as known" in text(client, "/")
    assert regions.fingerprint() != before, "an open page is told"
    report_spool(settings.LIFELINE_REDIS_DURABLE_URL, process, waiting=40, oldest_s=0.4)
    assert NONE_LOST in text(client, "/")


def test_none_lost_has_no_tick_while_spools_cannot_be_asked_or_a_bridge_has_not_told(client: Client, settings: Any) -> None:
    report_bridge(settings.LIFELINE_REDIS_DURABLE_URL, "bridge-2")
    assert "none lost today as far as known" in text(client, "/")
    report_spool(settings.LIFELINE_REDIS_DURABLE_URL, "bridge-2")
    assert NONE_LOST in text(client, "/")
    settings.LIFELINE_REDIS_VOLATILE_URL = AWAY
    assert NONE_LOST not in text(client, "/")


def test_a_call_s_end_that_is_not_recorded_is_not_said_not_to_have_happened(client: Client) -> None:
    call = make_call(bridge_id="bridge-9")
    assert "No end of it is recorded." in text(client, f"/calls/{call.call_uuid}/")
    assert "no end recorded" in text(client, "/calls/")
