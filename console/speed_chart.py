"""The charts of the page on speed, as places in an SVG, each with the same in words for who does not see it.

Owns geometry and the sentence; the template owns the SVG, ``console/words.py`` the units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from console.speed import Point, Window
from console.words import milliseconds

WIDTH, LOAD_WIDTH, HEIGHT = 720, 360, 240
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 26
LINES = (("p50", "P50"), ("p95", "P95"), ("p99", "P99"))
STEPS = 4
# A scale that does not make a mountain of two milliseconds.
LEAST_TOP_MS = 100.0
# More labels than these run into one another on the axis of time.
MOST_LABELS = 8


@dataclass(frozen=True, slots=True)
class Line:
    """``runs``: polylines, broken where nothing was measured; ``dots``: spans with no neighbour to draw a line to."""

    name: str
    words: str
    runs: list[str]
    dots: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    words: str
    across: list[Tick]
    up: list[Tick]
    lines: list[Line]
    dots: list[tuple[float, float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT

    @property
    def right(self) -> int:
        return self.width - RIGHT


def times_chart(name: str, points: Sequence[Point], span_s: int, window: Window) -> Chart | None:
    """None when nothing was measured."""
    measured = [point for point in points if point.times.count]
    if not measured:
        return None
    top_ms = _top(max(point.times.p99 or 0.0 for point in measured), LEAST_TOP_MS)
    places = [_x(number + 0.5, len(points)) for number in range(len(points))]
    lines = [
        Line(key, words, *_runs([(x, _y(getattr(point.times, key), top_ms)) for x, point in zip(places, points, strict=True)]))
        for key, words in LINES
    ]
    slowest = max(measured, key=lambda point: point.times.p95 or 0.0)
    last = measured[-1]
    words = (
        f"{name}, from {moment(points[0].start, window)} to {moment(points[-1].start + timedelta(seconds=span_s), window)}: lately "
        f"half within {milliseconds(last.times.p50)}, 95 of 100 within {milliseconds(last.times.p95)}, 99 of 100 within "
        f"{milliseconds(last.times.p99)}; slowest from {moment(slowest.start, window)} on, when 95 of 100 came within "
        f"{milliseconds(slowest.times.p95)}."
    )
    return Chart(words, _across(points, window), _up(top_ms), lines, [])


def load_chart(name: str, points: Sequence[Point], at_once: Sequence[int]) -> Chart | None:
    """One dot a span: the P95 by the calls on the line at once. None when there are not two spans to compare."""
    pairs = [(calls, point) for calls, point in zip(at_once, points, strict=True) if point.times.count]
    if len(pairs) < 2:
        return None
    top_ms = _top(max(point.times.p95 or 0.0 for _, point in pairs), LEAST_TOP_MS)
    most = max(STEPS, STEPS * math.ceil(max(calls for calls, _ in pairs) / STEPS))
    dots = [
        (
            _x(calls, most, LOAD_WIDTH),
            _y(point.times.p95, top_ms) or 0.0,
            f"{calls} call{'' if calls == 1 else 's'}: {milliseconds(point.times.p95)}",
        )
        for calls, point in pairs
    ]
    across = [Tick(_x(step, STEPS, LOAD_WIDTH), str(most * step // STEPS)) for step in range(STEPS + 1)]
    fewest, busiest = min(pairs, key=lambda pair: pair[0]), max(pairs, key=lambda pair: (pair[0], pair[1].times.p95 or 0.0))
    words = (
        f"{name} by calls on the line at once: with {fewest[0]}, 95 of 100 came within {milliseconds(fewest[1].times.p95)}; "
        f"with {busiest[0]}, the most, within {milliseconds(busiest[1].times.p95)}."
    )
    return Chart(words, across, _up(top_ms), [], dots, LOAD_WIDTH)


def moment(at: datetime, window: Window) -> str:
    return f"{timezone.localtime(at):%H:%M}" if window is not Window.WEEK else f"{timezone.localtime(at):%a %d %H:%M}"


# --- Inside ---


def _x(place: float, places: float, width: int = WIDTH) -> float:
    return round(LEFT + place / places * (width - LEFT - RIGHT), 1)


def _across(points: Sequence[Point], window: Window) -> list[Tick]:
    starts = [timezone.localtime(point.start) for point in points]
    if window is Window.WEEK:
        return [Tick(_x(number, len(starts)), f"{at:%a %d}") for number, at in enumerate(starts) if at.hour == 0]
    every = max(1, math.ceil(len(starts) / MOST_LABELS))
    return [Tick(_x(number, len(starts)), f"{starts[number]:%H:%M}") for number in range(0, len(starts), every)]


def _y(value: float | None, top: float) -> float | None:
    return None if value is None else round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM), 1)


def _top(value: float, least: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten, which a quarter of it divides well."""
    value = max(value, least)
    power = 10 ** math.floor(math.log10(value))
    return float(next(power * factor for factor in (1, 2, 4, 8, 10) if power * factor >= value))


def _up(top_ms: float) -> list[Tick]:
    return [Tick(_y(top_ms * step / STEPS, top_ms) or 0.0, milliseconds(top_ms * step / STEPS)) for step in range(STEPS + 1)]


def _runs(places: Sequence[tuple[float, float | None]]) -> tuple[list[str], list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in places:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    lines = [" ".join(f"{x},{y}" for x, y in run) for run in runs if len(run) > 1]
    return lines, [run[0] for run in runs if len(run) == 1]
