"""The OpenAI-compatible wire over real HTTP/2 sockets, with every way of failing."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import numpy as np
import pytest

from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.openai_compatible import OpenAISpeech, OpenAIUnderstanding
from ai_engine.engines.roles import Context
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind
from ai_engine.messages import Exchange
from tests.ai_engine.fake_engines import TONE, FakeOpenAI
from tests.ai_engine.flows import demo_flow

CONTEXT = Context(demo_flow(), "en", "intent", (Exchange("lifeline", "How can I help?"), Exchange("caller", "hello")))


@pytest.fixture
async def server() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI().running() as server:
        yield server


def config(server: FakeOpenAI, stage: Stage, **more: object) -> EngineConfig:
    settings = {"http2_cleartext": True, "first_byte_s": 0.4, **more}
    return EngineConfig("o", stage, EngineKind.OPENAI, server.url, model="m", **settings)  # type: ignore[arg-type]


@pytest.fixture
async def nlu(server: FakeOpenAI) -> AsyncIterator[OpenAIUnderstanding]:
    engine = OpenAIUnderstanding(config(server, Stage.NLU))
    yield engine
    await engine.close()


@pytest.fixture
async def tts(server: FakeOpenAI) -> AsyncIterator[OpenAISpeech]:
    engine = OpenAISpeech(config(server, Stage.TTS))
    yield engine
    await engine.close()


async def test_a_question_has_the_agreed_layout_over_http2(server: FakeOpenAI, nlu: OpenAIUnderstanding) -> None:
    server.answer["slots"] = {"account_number": "12 34 56", "language": None, "made_up": "x"}
    understood = await nlu.understand("when do you open", CONTEXT, Trace())
    assert understood.intent == "opening_hours"
    assert understood.slots == {"account_number": "123456"}
    assert server.http_versions == {"2"}
    request = server.requests[0]
    messages = request["messages"]
    assert isinstance(messages, list)
    assert [m["role"] for m in messages] == ["system", "system", "assistant", "user", "user"]
    service = json.loads(messages[1]["content"])
    assert set(service) == {"flow", "version", "expect", "language", "intents", "slots"}
    assert messages[-1]["content"] == "when do you open"
    assert request["response_format"]["type"] == "json_schema"  # type: ignore[index]


async def test_a_value_out_of_form_is_left_out(server: FakeOpenAI, nlu: OpenAIUnderstanding) -> None:
    server.answer["slots"] = {"account_number": "${system(id)}", "language": "Spanish"}
    understood = await nlu.understand("x", CONTEXT, Trace())
    assert understood.slots == {"language": "es"}


async def test_many_questions_at_once_share_connections(server: FakeOpenAI, nlu: OpenAIUnderstanding) -> None:
    answers = await asyncio.gather(*(nlu.understand("x", CONTEXT, Trace()) for _ in range(50)))
    assert {answer.intent for answer in answers} == {"opening_hours"}


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        ("hang", Kind.HANG, False),
        ("401", Kind.HTTP_401, False),
        ("429", Kind.HTTP_429, True),
        ("500", Kind.HTTP_500, True),
        ("garbage", Kind.GARBAGE, True),
        ("wrong_schema", Kind.WRONG_SCHEMA, True),
        ("foreign_intent", Kind.WRONG_SCHEMA, True),
        ("empty", Kind.EMPTY, True),
        ("silent", Kind.EMPTY, True),
    ],
)
async def test_each_failure_to_understand_has_its_kind(
    server: FakeOpenAI, nlu: OpenAIUnderstanding, fault: str, kind: Kind, retryable: bool
) -> None:
    server.fault = fault
    with pytest.raises(EngineError) as caught:
        await nlu.understand("x", CONTEXT, Trace())
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)


async def test_after_a_hang_the_next_question_uses_another_connection(
    server: FakeOpenAI, nlu: OpenAIUnderstanding
) -> None:
    server.fault, server.faults_left = "hang", 1
    with pytest.raises(EngineError):
        await nlu.understand("x", CONTEXT, Trace())
    assert (await nlu.understand("x", CONTEXT, Trace())).intent == "opening_hours"


async def test_speech_arrives_at_8_khz(server: FakeOpenAI, tts: OpenAISpeech) -> None:
    trace = Trace()
    assert await tts.speak("Hello.", "en", "en-us", trace) == TONE
    assert trace.first_byte_ms is not None
    assert server.requests[0]["sample_rate"] == 8000
    assert server.requests[0]["response_format"] == "pcm"


async def test_speech_at_24_khz_is_brought_to_8(server: FakeOpenAI) -> None:
    engine = OpenAISpeech(config(server, Stage.TTS, rate_hz=24000))
    pcm = await engine.speak("Hello.", "en", "en-us", Trace())
    await engine.close()
    assert abs(len(pcm) - len(TONE) / 3) < 8
    assert int(np.abs(np.frombuffer(pcm, "<i2")).max()) > 5000


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("hang", Kind.HANG),
        ("401", Kind.HTTP_401),
        ("500", Kind.HTTP_500),
        ("garbage", Kind.GARBAGE),
        ("empty", Kind.EMPTY),
        ("silent", Kind.SILENT),
    ],
)
async def test_each_failure_to_speak_has_a_kind(server: FakeOpenAI, tts: OpenAISpeech, fault: str, kind: Kind) -> None:
    server.fault = fault
    with pytest.raises(EngineError) as caught:
        await tts.speak("Hello.", "en", "en-us", Trace())
    assert caught.value.kind is kind


async def test_nobody_there_is_refused_and_somebody_who_hangs_up_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = {"http2_cleartext": True, "first_byte_s": 0.4}
    engine = OpenAIUnderstanding(
        EngineConfig("o", Stage.NLU, EngineKind.OPENAI, f"http://127.0.0.1:{port}/v1", **settings)  # type: ignore[arg-type]
    )
    with pytest.raises(EngineError) as caught:
        await engine.understand("x", CONTEXT, Trace())
    assert caught.value.kind is Kind.REFUSED

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.transport.abort()

    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        with pytest.raises(EngineError) as caught:
            await engine.understand("x", CONTEXT, Trace())
    assert caught.value.kind is Kind.RESET
    await engine.close()
