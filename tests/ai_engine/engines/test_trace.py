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
