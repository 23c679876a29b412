"""Each silence of an answer has its own limit and its own kind."""

from __future__ import annotations

import asyncio
import time

import pytest

from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.server_events import EventReader
from ai_engine.engines.silence import Silence
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind, SlowEngineError

CONFIG = EngineConfig("x", Stage.TTS, EngineKind.OPENAI, "http://x", first_byte_s=0.1)


async def silent(*, answered: bool, pieces: int, pause_s: float = 0.05) -> None:
    async with Silence(CONFIG, Trace(), Kind.NO_AUDIO) as silence:
        if answered:
            silence.answered()
        for _ in range(pieces):
            await asyncio.sleep(pause_s)
            silence.piece()
        await asyncio.sleep(5)


@pytest.mark.parametrize(
    ("answered", "pieces", "kind"), [(False, 0, Kind.HANG), (True, 0, Kind.NO_AUDIO), (True, 3, Kind.STALLED)]
)
async def test_each_silence_has_its_kind(answered: bool, pieces: int, kind: Kind) -> None:
    started_at = time.monotonic()
    with pytest.raises(SlowEngineError) as caught:
        await silent(answered=answered, pieces=pieces)
    assert caught.value.kind is kind
    assert time.monotonic() - started_at < 2


async def test_an_answer_in_time_is_left_alone_and_so_is_another_error() -> None:
    async with Silence(CONFIG, Trace(), Kind.NO_TOKEN) as silence:
        silence.piece()
    with pytest.raises(EngineError) as caught:
        async with Silence(CONFIG, Trace(), Kind.NO_TOKEN):
            raise EngineError(Kind.GARBAGE)
    assert caught.value.kind is Kind.GARBAGE


async def test_giving_up_is_not_a_failure_of_the_engine() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await silent(answered=False, pieces=0)


def test_events_are_read_line_by_line() -> None:
    reader = EventReader()
    lines = [": hello", "event: x", "data: {", "data:}", "id: 3", "", "", "data: [DONE]", ""]
    assert [reader.feed(line) for line in lines] == [None, None, None, None, None, "{\n}", None, None, "[DONE]"]
