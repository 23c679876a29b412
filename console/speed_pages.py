"""The page "How fast the AI answers". Owns its address and rows; the figures are ``console/speed.py``'s."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console import words
from console.at_once import at_each_minute, most_in
from console.figures import Percentiles, waiting_turns
from console.record_lag import behind, recording_lag_s
from console.speed import CacheUse, Speed, StageSpeed, Window, speed
from console.speed_chart import load_chart, moment, times_chart
from console.tallies import MixedReadingError
from console.tally import ANSWER, By
from console.views import watcher

WINDOW_NAMES = {Window.HOUR: "Last hour", Window.DAY: "Last 24 hours", Window.WEEK: "Last 7 days"}


@require_GET
@watcher
def how_fast(request: HttpRequest) -> HttpResponse:
    chosen = request.GET.get("window", "")
    window = Window(chosen) if chosen in list(Window) else Window.HOUR
    shown = By(*(request.GET.get(name, "")[:64] for name in ("stage", "engine", "cache")))
    lag = behind(recording_lag_s(), time.time())
    try:
        found = speed(window, shown if shown.stage else By(ANSWER))
    except MixedReadingError:
        return render(request, "console/speed.html", {**lag, "catching_up": True}, status=503)
    return render(request, "console/speed.html", {**lag, **_context(found)})


def _context(found: Speed) -> dict[str, Any]:
    name = words.who_did(found.shown.stage, found.shown.engine, found.shown.cache)
    starts = [point.start for point in found.points]
    at_once = most_in(at_each_minute(found.since, found.until), starts, found.span_s)
    return {
        "speed": found,
        "waiting": waiting_turns(),
        "windows": [(_address(window, found.shown), text, window is found.window) for window, text in WINDOW_NAMES.items()],
        "span": "five minutes" if found.span_s < 3600 else "hour",
        "name": name,
        "chart": times_chart(name, found.points, found.span_s, found.window),
        "load": load_chart(name, found.points, at_once),
        "points": [
            (moment(point.start, found.window), point.times, calls)
            for point, calls in zip(found.points, at_once, strict=True)
            if point.times.count
        ],
        "rows": [_row(stage, found) for stage in found.stages],
        "caches": [_cache_row(cache) for cache in found.caches],
        "today": [
            (words.who_did(*one.by), one)
            for one in found.today
            if one.cost or one.tokens_read or one.tokens_written or one.characters or one.heard_s
        ],
        "cost_today": sum(one.cost for one in found.today),
    }


def _row(stage: StageSpeed, found: Speed) -> dict[str, Any]:
    return {
        "name": words.who_did(*stage.by),
        "address": _address(found.window, stage.by),
        "is_shown": stage.by == found.shown,
        "uses": stage.uses,
        "failed": stage.failed,
        "kinds": [f"{words.thousands(count)} × {words.kind(kind)}" for kind, count in stage.failures.items()],
        "retries": stage.retries,
        "times": _three(stage.total),
        "first_byte": _three(stage.first_byte),
        "waited": stage.queue.p95,
    }


def _three(times: Percentiles) -> tuple[float | None, float | None, float | None]:
    return times.p50, times.p95, times.p99


def _cache_row(cache: CacheUse) -> dict[str, Any]:
    return {
        "name": words.who_did(cache.stage, "", cache.cache),
        "hits": cache.hits,
        "answers": cache.answers,
        "share": f"{cache.share:.0%}",
    }


def _address(window: Window, by: By) -> str:
    asked = {"window": window.value, "stage": by.stage, "engine": by.engine, "cache": by.cache}
    return "?" + urlencode({name: value for name, value in asked.items() if value})
