"""One turn's stages as bars and numbers: where its time went, who answered, what that used. Pure.

Each bar begins when its stage began and all of a turn have one scale; when a stage began is not recorded. Of a stage that
was tried more than once only the last attempt's connecting and first sign are known, and those of hearing are mostly from
before the end of speech, where its bar begins: these bars are not divided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ai_engine.engines.config import Stage
from ai_engine.messages import StageTiming
from console import words
from console.tally import ANSWER, QUEUE, timings

BAR_WIDTH = 200.0
# A part that happened is seen, however short it was.
LEAST_WIDTH = 1.5
SCALE_WIDTH = BAR_WIDTH - 4 * LEAST_WIDTH


@dataclass(frozen=True, slots=True)
class Part:
    css: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    parts: list[Part]
    waited_ms: float | None
    connect_ms: float | None
    first_byte_ms: float | None
    total_ms: float | None
    attempts: int
    result: str
    tokens: str
    cost: float


def waterfall(stages: object, queue_ms: float | None, answer_ms: float | None) -> list[Bar]:
    """In the order in which the stages were asked; the queue before them, the whole answer last. Empty without stages."""
    found = timings(stages)
    if not found:
        return []
    longest = max(queue_ms or 0.0, answer_ms or 0.0, *(one.queue_ms + one.total_ms for one in found), 1.0)
    bars = [_stage(one, longest) for one in found]
    if queue_ms is not None:
        bars.insert(0, _plain(QUEUE, queue_ms, "waited", longest))
    if answer_ms is not None:
        bars.append(_plain(ANSWER, answer_ms, "whole", longest))
    return bars


# --- Inside ---


def _stage(one: StageTiming, longest: float) -> Bar:
    usage = one.usage
    tokens = ""
    if usage.tokens_read or usage.tokens_written:
        cached = f" ({words.thousands(usage.tokens_cached)} cached)" if usage.tokens_cached else ""
        tokens = f"{words.thousands(usage.tokens_read)}{cached} / {words.thousands(usage.tokens_written)}"
    return Bar(
        name=words.who_did(one.stage, one.engine, one.cache),
        parts=_parts(_lengths(one), longest),
        waited_ms=one.queue_ms,
        connect_ms=one.connect_ms,
        first_byte_ms=one.first_byte_ms,
        total_ms=one.total_ms,
        attempts=one.attempts,
        result=words.kind(one.kind).capitalize() if one.kind else "Answered",
        tokens=tokens,
        cost=one.cost,
    )


def _plain(measure: str, total_ms: float, css: str, longest: float) -> Bar:
    return Bar(words.who_did(measure, "", ""), _parts([(css, total_ms)], longest), None, None, None, total_ms, 0, "", "", 0.0)


def _lengths(one: StageTiming) -> list[tuple[str, float]]:
    waited = [("waited", one.queue_ms)]
    if one.kind:
        return [*waited, ("failed", one.total_ms)]
    if one.attempts > 1 or one.cache or one.stage == Stage.STT:
        return [*waited, ("rest", one.total_ms)]
    connected = min(one.connect_ms or 0.0, one.total_ms)
    first = max(connected, min(one.first_byte_ms or connected, one.total_ms))
    return [*waited, ("connect", connected), ("first", first - connected), ("rest", one.total_ms - first)]


def _parts(lengths: Sequence[tuple[str, float]], longest: float) -> list[Part]:
    parts, x = [], 0.0
    for css, length_ms in lengths:
        if length_ms > 0:
            width = max(LEAST_WIDTH, length_ms / longest * SCALE_WIDTH)
            parts.append(Part(css, round(x, 1), round(width, 1)))
            x += width
    return parts
