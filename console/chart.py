"""The chart of the AI's answer times: places of an inline SVG, and the same in words for who does not see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from console.words import milliseconds

WIDTH, HEIGHT, MARGIN = 320, 90, 6
# A scale that does not jump: at least one second high.
LEAST_TOP_MS = 1000.0
Point = tuple[datetime, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """``p50`` and ``p95`` are polylines in a box of ``width`` by ``height``."""

    p50: str
    p95: str
    top: str
    first: str
    last: str
    words: str
    width: int = WIDTH
    height: int = HEIGHT


def latency_chart(series: Sequence[Point]) -> Chart | None:
    """None when there are not two minutes to draw a line between."""
    points = [(minute, p50, p95) for minute, p50, p95 in series if p50 is not None and p95 is not None]
    if len(points) < 2:
        return None
    top_ms = max(LEAST_TOP_MS, *(p95 for _, _, p95 in points))
    start, end = points[0][0], points[-1][0]
    span_s = max(1.0, (end - start).total_seconds())

    def line(values: Sequence[tuple[datetime, float]]) -> str:
        return " ".join(
            f"{MARGIN + (at - start).total_seconds() / span_s * (WIDTH - 2 * MARGIN):.1f},"
            f"{HEIGHT - MARGIN - value / top_ms * (HEIGHT - 2 * MARGIN):.1f}"
            for at, value in values
        )

    highest = max(points, key=lambda point: point[2])
    first, last = (f"{timezone.localtime(at):%H:%M}" for at in (start, end))
    return Chart(
        p50=line([(at, p50) for at, p50, _ in points]),
        p95=line([(at, p95) for at, _, p95 in points]),
        top=milliseconds(top_ms),
        first=first,
        last=last,
        words=(
            f"Answer times from {first} to {last}: at the end half of the answers came within "
            f"{milliseconds(points[-1][1])} and 95 of 100 within {milliseconds(points[-1][2])}; "
            f"the slowest minute was {timezone.localtime(highest[0]):%H:%M} with {milliseconds(highest[2])}."
        ),
    )
