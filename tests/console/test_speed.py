"""How fast the AI answers: page, metrics, command and database say the same, in words, at a bounded cost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ai_engine.messages import FIELD, TURNS_GROUP, TURNS_STREAM, StageTiming, Usage
from ai_engine.redis_clients import connect
from console import tallies, words
from console.at_once import at_each_minute, most_in
from console.figures import Percentiles, waiting_turns
from console.metrics import SpeedCollector
from console.models import Call, Turn
from console.speed import NOTHING, Point, Window, speed
from console.speed_chart import load_chart, times_chart
from console.tallies import tally_turns
from console.tally import ANSWER, QUEUE, By, percentiles, tally
from tests.console.test_pages import browser_of, make_call, text
from tests.redis_server import RedisServer

DAYS = {Window.HOUR: 0.04, Window.DAY: 0.9, Window.WEEK: 6.9}


@pytest.fixture(autouse=True)
def _redis(settings: Any, volatile_server: RedisServer, tmp_path: Path) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = settings.LIFELINE_REDIS_VOLATILE_URL = volatile_server.url
    settings.LIFELINE_DATA_DIR = tmp_path


def take_turn(call: Call, number: int, *stages: StageTiming, ago: timedelta = timedelta(minutes=2), **fields: Any) -> Turn:
    defaults: dict[str, Any] = {
        "outcome": "understood", "answer_ms": 700.0, "queue_ms": 4.0, "finished_at": timezone.now() - ago,
        "stages": [msgspec.to_builtins(stage) for stage in stages],
    }  # fmt: skip
    return Turn.objects.create(call=call, turn=number, **{**defaults, **fields})


@pytest.fixture
def an_hour() -> Call:
    """Forty turns in the last three quarters of an hour, half of them tallied; one engine fails in ten, a cache helps in ten."""
    call = make_call(started_at=timezone.now() - timedelta(minutes=50))
    for number in range(40):
        hearing = StageTiming("stt", "deepgram", 1, 200.0 + 10 * number, 90.0, queue_ms=3.0, usage=Usage(heard_s=2.5), cost=0.0002)
        if number % 4 == 0:
            hearing = StageTiming("stt", "deepgram", 4, 900.0, kind="http_429")
        understanding = StageTiming(
            "nlu", "claude", 2, 400.0 + number, 150.0, connect_ms=30.0, usage=Usage(1000, 800, 50), cost=0.003
        )
        if number % 4 == 1:
            understanding = StageTiming("nlu", "", 0, 0.4, 0.4, cache="intents")
        outcome = "failed" if number % 4 == 0 else "understood"
        take_turn(call, number, hearing, understanding, ago=timedelta(minutes=number), outcome=outcome)
        if number == 20:
            tally_turns()
    return call


def metrics() -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value for family in SpeedCollector().collect() for sample in family.samples
    }


def command() -> dict[str, Any]:
    out = StringIO()
    call_command("figures", "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


@pytest.mark.django_db
def test_page_metrics_command_and_rows_agree(an_hour: Call) -> None:
    since = speed().since
    rows = Turn.objects.filter(finished_at__gte=since)
    assert rows.filter(is_tallied=True).exists()
    assert rows.filter(is_tallied=False).exists()
    straight: dict[By, Any] = {}
    for (_, by), one in tally([tallies.result_of(turn) for turn in rows], 300).items():
        straight.setdefault(by, type(one)()).merge(one)
    said, scraped, page = command(), metrics(), text(browser_of("view_call"), "/speed/")
    assert {By(one["stage"], one["engine"], one["cache"]) for one in said["stages"]} == straight.keys()
    for one in said["stages"]:
        by = By(one["stage"], one["engine"], one["cache"])
        raw = straight[by]
        p50, p95, p99, count = percentiles(raw.histograms.get("total"))
        assert one["total"] == {"p50": p50, "p95": p95, "p99": p99, "count": count}
        assert (one["uses"], one["failures"], one["retries"]) == (raw.uses, raw.kinds, raw.retries)
        assert scraped["lifeline_stage_uses", *by] == raw.uses
        assert scraped.get(("lifeline_stage_seconds", *by, "0.95")) == (None if p95 is None else p95 / 1000)
        row = page[page.index(f">{words.who_did(*by)}</a>") :].split("</tr>")[0]
        cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
        assert cells[0] == str(raw.uses)
        assert cells[3:6] == [words.milliseconds(value) for value in (p50, p95, p99)]
    assert scraped["lifeline_stage_failures", "stt", "deepgram", "", "http_429"] == 10
    assert "10 × said that we ask too much (error 429)" in page


@pytest.mark.django_db
def test_tokens_cost_and_caches_agree_too(an_hour: Call) -> None:
    midnight = speed().today_since
    stages = [
        stage for turn in Turn.objects.filter(finished_at__gte=midnight) for stage in turn.stages if stage["engine"] == "claude"
    ]
    read, cached = sum(s["usage"]["tokens_read"] for s in stages), sum(s["usage"]["tokens_cached"] for s in stages)
    cost = sum(stage["cost"] for stage in stages)
    said, scraped, page = command(), metrics(), text(browser_of("view_call"), "/speed/")
    [claude] = [one for one in said["used_today"] if one["engine"] == "claude"]
    assert (claude["tokens_read"], claude["tokens_cached"]) == (read, cached)
    assert claude["cost"] == pytest.approx(cost) == scraped["lifeline_cost_today", "nlu", "claude", ""]
    assert scraped["lifeline_tokens_today", "nlu", "claude", "", "read"] == read
    assert f">{words.thousands(read)}</td>" in page
    assert f">{words.money(cost)}</td>" in page
    assert said["caches"] == [{"stage": "nlu", "cache": "intents", "hits": 10, "answers": 40, "share": 0.25}]
    assert scraped["lifeline_cache_answers", "nlu", "intents"] == 10
    assert scraped["lifeline_cache_answers_of", "nlu", "intents"] == 40
    assert "10 of 40" in page
    assert ">25%<" in page


@pytest.mark.django_db
@pytest.mark.parametrize("window", list(Window))
def test_a_window_holds_what_finished_in_it_and_begins_where_it_says(window: Window) -> None:
    now = datetime(2026, 11, 24, 15, 47, 12, tzinfo=UTC)
    call = make_call()
    since = speed(window, now=now).since
    assert since.minute % 5 == 0
    assert timedelta(days=DAYS[window]) < now - since
    for number, at in enumerate((since - timedelta(microseconds=1), since, now)):
        take_turn(call, number, finished_at=at)
    for _ in range(2):
        found = speed(window, now=now)
        assert [(one.by.stage, one.uses) for one in found.stages] == [(ANSWER, 2), (QUEUE, 2)]
        assert [point.times.count for point in found.points if point.times.count] == [1, 1]
        assert (found.points[0].times.count, found.points[-1].times.count) == (1, 1)
        tally_turns()


@pytest.mark.django_db
def test_the_page_costs_as_many_queries_for_many_turns_as_for_few() -> None:
    client, call, counts = browser_of("view_call"), make_call(), []
    for size in (3, 30):
        for number in range(size):
            take_turn(call, 100 * size + number, StageTiming("stt", f"engine-{number}", 1, 100.0))
        tally_turns()
        text(client, "/speed/")
        with CaptureQueriesContext(connection) as queries:
            text(client, "/speed/?window=24h")
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 14


@pytest.mark.django_db
def test_the_page_is_for_who_may_watch_and_shows_any_part_in_the_chart(an_hour: Call) -> None:
    assert Client().get("/speed/")["Location"].startswith("/login/")
    assert browser_of().get("/speed/").status_code == 403
    client = browser_of("view_call")
    page = text(client, "/speed/?window=24h&stage=nlu&engine=claude")
    assert "<h2>Understanding by claude</h2>" in page
    assert 'aria-label="Understanding by claude, from' in page
    assert 'href="?window=7d&amp;stage=nlu&amp;engine=claude"' in page
    assert "No answer in this time" in text(client, "/speed/?stage=tts&engine=<script>")
    assert "<script>alert" not in text(client, "/speed/?stage=<script>alert(1)</script>")
    assert "<h2>The whole answer</h2>" in text(client, "/speed/?window=nonsense")


@pytest.mark.django_db
def test_with_nothing_recorded_and_redis_away_the_page_says_so(settings: Any) -> None:
    settings.LIFELINE_REDIS_VOLATILE_URL = "unix:///nowhere/redis.sock"
    page = text(browser_of("view_call"), "/speed/")
    assert "The AI was not asked in this time" in page
    assert "not known, Redis does not answer" in page


@pytest.mark.django_db
def test_while_a_recorder_catches_up_nothing_wrong_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: Iterator[int] = iter(range(1000))
    monkeypatch.setattr(tallies, "_round", lambda: next(rounds))
    answer = browser_of("view_call").get("/speed/")
    assert (answer.status_code, b"brought up to date" in answer.content) == (503, True)
    assert command()["stages"] is None
    assert not any(name.startswith("lifeline_stage") for name, *_ in metrics())


def test_the_queue_s_depth_is_what_nobody_has_taken(volatile_redis: str, settings: Any) -> None:
    settings.LIFELINE_REDIS_VOLATILE_URL = volatile_redis
    assert waiting_turns() == 0
    with connect(volatile_redis) as client:
        for _ in range(5):
            client.xadd(TURNS_STREAM, {FIELD: b"x"})
        assert waiting_turns() == 5
        client.xgroup_create(TURNS_STREAM, TURNS_GROUP, "0")
        client.xreadgroup(TURNS_GROUP, "worker-1", {TURNS_STREAM: ">"}, count=2)
        assert waiting_turns() == 3


# --- Calls at once ---


@pytest.mark.django_db
def test_calls_at_once_are_exact_at_every_minute() -> None:
    since = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
    for number in range(60):
        began = since + timedelta(seconds=97 * number - 600)
        ended = began + timedelta(seconds=31 * (number % 17) + 1)
        make_call(started_at=began, ended_at=None if number % 11 == 0 else ended)
    found = at_each_minute(since, since + timedelta(minutes=59))
    calls = list(Call.objects.all())
    for minute, count in found.items():
        assert count == sum(c.started_at < minute and (c.ended_at is None or c.ended_at >= minute) for c in calls)
    assert len(found) == 60
    spans = [since, since + timedelta(minutes=30)]
    values = list(found.values())
    assert most_in(found, spans, 1800) == [max(values[:30]), max(values[30:])]


# --- Charts ---


def points(*p95s: float | None) -> list[Point]:
    start = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
    times = [NOTHING if value is None else Percentiles(100.0, value, value + 50, 9) for value in p95s]
    return [Point(start + timedelta(minutes=5 * number), one) for number, one in enumerate(times)]


def test_a_chart_breaks_where_nothing_was_measured_and_a_lone_span_is_a_dot() -> None:
    assert times_chart("The whole answer", points(None, None), 300, Window.HOUR) is None
    chart = times_chart("The whole answer", points(300, 400, None, 900, None, 500, 600, 700), 300, Window.HOUR)
    assert chart is not None
    p95 = chart.lines[1]
    assert (len(p95.runs), len(p95.dots)) == (2, 1)
    assert [tick.words for tick in chart.up] == ["0 ms", "250 ms", "500 ms", "750 ms", "1.00 s"]
    assert "slowest from 10:15 on, when 95 of 100 came within 900 ms" in chart.words
    assert all(chart.left <= float(place.split(",")[0]) <= chart.right for run in p95.runs for place in run.split())


def test_the_chart_by_load_has_a_dot_a_span_and_needs_two() -> None:
    assert load_chart("The whole answer", points(300, None), [4, 5]) is None
    chart = load_chart("The whole answer", points(300, None, 2000), [4, 9, 18])
    assert chart is not None
    assert [words for _, _, words in chart.dots] == ["4 calls: 300 ms", "18 calls: 2.00 s"]
    assert [tick.words for tick in chart.across] == ["0", "5", "10", "15", "20"]
    assert "with 4, 95 of 100 came within 300 ms; with 18, the most, within 2.00 s" in chart.words
