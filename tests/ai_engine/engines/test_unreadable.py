"""An engine that answers in another encoding, or with brackets without an end, gives garbage like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from ai_engine.engines import anthropic_messages, deepgram, openai_answers, prompt, vosk
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.silence import Silence
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind
from tests.ai_engine.flows import demo_flow

READERS: dict[str, Callable[[bytes], object]] = {
    "completion": openai_answers.read_completion,
    "chunk": lambda body: openai_answers.read_chunk(body),  # type: ignore[arg-type]
    "transcription": lambda body: openai_answers.read_transcription(body, 1.0),
    "vosk": vosk._decode,
    "deepgram": lambda body: deepgram._decode(body, deepgram._Message),
    "anthropic": lambda body: anthropic_messages._decode(body, anthropic_messages._Message),
    "answer": lambda body: prompt.read_answer(body, demo_flow()),  # type: ignore[arg-type]
}
LATIN_1 = '{"choices": [{"message": {"content": "é"}}], "text": "é", "type": "é", "content": [{"type": "é"}], "intent": "é"}'


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("body", [LATIN_1.encode("latin-1"), b'{"x":' + b"[" * 100_000], ids=["latin-1", "deep"])
def test_what_is_no_text_or_has_no_end_is_garbage(reader: str, body: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        READERS[reader](body)
    assert caught.value.kind in (Kind.GARBAGE, Kind.WRONG_SCHEMA)
    assert caught.value.retryable


async def test_a_tool_s_input_in_another_encoding_is_garbage() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield '{"usage": {}, "content": [{"type": "tool_use", "input": {"reply": "é"}}]}'.encode("latin-1")

    trace = Trace()
    config = EngineConfig("a", Stage.NLU, EngineKind.ANTHROPIC, "http://x")
    with pytest.raises(EngineError) as caught:
        async with Silence(config, trace, Kind.NO_TOKEN) as silence:
            await anthropic_messages._read_whole(body(), prompt.StreamedAnswer(demo_flow(), None), silence, trace)
    assert caught.value.kind is Kind.GARBAGE
