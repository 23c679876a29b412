"""What an attempt's marks and prices come to."""

from __future__ import annotations

from itertools import count

import pytest

from ai_engine.engines.trace import Price, Trace
from ai_engine.messages import Usage


def test_the_first_mark_of_each_kind_counts_and_a_new_attempt_marks_anew() -> None:
    seconds = count()
    trace = Trace(clock=lambda: next(seconds))
    trace.connected()
    trace.connected()
    trace.first_byte()
    assert (trace.connect_ms, trace.first_byte_ms) == (1000, 2000)
    trace.restart()
    assert (trace.connect_ms, trace.first_byte_ms) == (None, None)


class Watch:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_idle_and_what_was_before_the_end_of_speech_is_no_time_of_the_engine() -> None:
    watch = Watch()
    trace = Trace(watch)
    with trace.idle():
        watch.now = 2.0
    watch.now = 3.0
    assert trace.total_ms == 1000
    trace.awaited_since(2.5)
    trace.awaited_since(2.5)
    assert trace.total_ms == 500, "the idle time was before"
    with trace.idle():
        watch.now = 7.0
    assert trace.total_ms == 500
    trace.restart()
    watch.now = 7.5
    assert trace.total_ms == 1000, "both attempts"


def test_who_listens_is_asked_by_the_first_voice_or_else_by_the_end_of_speech() -> None:
    watch = Watch()
    trace = Trace(watch)
    trace.listens()
    watch.now = 4.0
    trace.first_byte()
    nothing_to_answer = trace.first_byte_ms
    assert nothing_to_answer is None
    trace.asked()
    watch.now = 4.3
    trace.asked()
    trace.first_byte()
    assert trace.first_byte_ms == 300
    trace.restart()
    trace.listens()
    watch.now = 6.0
    trace.awaited_since(5.8)
    trace.connected()
    trace.first_byte()
    assert (trace.connect_ms, trace.first_byte_ms) == (200, 200)


def test_what_both_attempts_used_is_added() -> None:
    trace = Trace()
    trace.used(Usage(tokens_read=100, tokens_cached=80, tokens_written=5))
    trace.restart()
    trace.used(Usage(tokens_read=100, tokens_written=7, heard_s=1.5))
    assert trace.usage == Usage(tokens_read=200, tokens_cached=80, tokens_written=12, heard_s=1.5)


def test_cached_tokens_cost_their_own_price() -> None:
    usage = Usage(tokens_read=1_000_000, tokens_cached=900_000, tokens_written=10_000, characters=1000, heard_s=30)
    assert Price(read_m=3, cached_m=0.3, written_m=15).of(usage) == pytest.approx(0.3 + 0.27 + 0.15)
    assert Price(characters_m=15, heard_minute=0.006).of(usage) == pytest.approx(0.015 + 0.003)
