"""What an engine says that it used is its own word: a figure that cannot be costs itself, and not the answer."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest

from ai_engine.engines import anthropic_messages, openai_answers, prompt
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.silence import Silence
from ai_engine.engines.trace import Trace
from ai_engine.errors import Kind
from ai_engine.messages import MOST_HEARD_S, MOST_UNITS, Usage
from tests.ai_engine.engines.test_deepgram import recognise
from tests.ai_engine.fake_deepgram import FakeDeepgram
from tests.ai_engine.flows import demo_flow

HUGE = 10**19
ABSURD = (
    Usage(tokens_read=HUGE), Usage(tokens_cached=-1), Usage(tokens_written=MOST_UNITS + 1), Usage(characters=HUGE),
    Usage(heard_s=1e300), Usage(heard_s=-0.1), Usage(heard_s=math.inf), Usage(heard_s=math.nan),
)  # fmt: skip


@pytest.mark.parametrize("usage", ABSURD)
def test_a_usage_that_cannot_be_is_none_and_takes_nothing_from_what_was_used_before(usage: Usage) -> None:
    trace = Trace()
    most = Usage(MOST_UNITS, MOST_UNITS, MOST_UNITS, MOST_UNITS, MOST_HEARD_S)
    trace.used(most)
    trace.used(usage)
    assert trace.usage == most


@pytest.mark.parametrize("figures", ['{"prompt_tokens": 10000000000000000000}', '{"completion_tokens": -7}'])
def test_tokens_that_cannot_be_are_no_reason_to_throw_a_completion_away(figures: str) -> None:
    answer = '{"choices": [{"message": {"content": "yes"}, "delta": {"content": "yes"}}], "usage": ' + figures + "}"
    assert openai_answers.read_completion(answer.encode()) == ("yes", Usage())
    chunk = openai_answers.read_chunk(answer)
    assert (chunk.content, chunk.usage) == ("yes", Usage())


@pytest.mark.parametrize(
    "figures", ['{"seconds": 1e300}', '{"seconds": -3}', '{"seconds": 2, "input_tokens": 10000000000000000000}']
)
def test_of_a_transcript_with_a_duration_that_cannot_be_counts_what_was_sent(figures: str) -> None:
    answer = '{"text": "Yes.", "usage": ' + figures + "}"
    assert openai_answers.read_transcription(answer.encode(), 1.5) == ("yes", Usage(heard_s=1.5))


async def test_of_a_stream_the_last_figures_that_can_be_count() -> None:
    async def lines() -> AsyncIterator[str]:
        for data in (
            '{"type": "message_start", "message": {"usage": {"input_tokens": 40, "output_tokens": 1}}}',
            '{"type": "content_block_delta", "delta": {"partial_json": "{}"}}',
            '{"type": "message_delta", "usage": {"output_tokens": 10000000000000000000}}',
            '{"type": "message_stop"}',
        ):
            yield f"data: {data}"
            yield ""

    trace = Trace()
    async with Silence(EngineConfig("a", Stage.NLU, EngineKind.ANTHROPIC, "http://x"), trace, Kind.NO_TOKEN) as silence:
        await anthropic_messages._read_stream(lines(), prompt.StreamedAnswer(demo_flow(), None), silence, trace)
    assert trace.usage == Usage(40, 0, 1)
    body = '{"usage": {"input_tokens": 1, "cache_read_input_tokens": 10000000000000000000}}'
    assert anthropic_messages._decode(body, anthropic_messages._Message).usage.usage() == Usage()


@pytest.mark.parametrize("billed_s", [1e300, -1.0])
async def test_of_a_recogniser_with_a_duration_that_cannot_be_counts_what_was_sent(billed_s: float) -> None:
    trace = Trace()
    async with FakeDeepgram().running() as server:
        server.billed_s = billed_s
        heard, _ = await recognise(server.url, trace)
    assert heard.transcript == "what are your opening hours"
    assert trace.usage == Usage(heard_s=0.5)
