"""The OpenAI-compatible wire over real HTTP/2 sockets, with every way of failing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import wave
from collections.abc import AsyncIterator

import numpy as np
import pytest

from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.openai_compatible import OpenAISpeech, OpenAITranscription, OpenAIUnderstanding
from ai_engine.engines.roles import Context, Heard, Understanding
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind
from ai_engine.messages import Exchange, Usage
from tests.ai_engine.fake_engines import TONE, FakeOpenAI
from tests.ai_engine.flows import demo_flow
from tests.ai_engine.waiting import until

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


@pytest.fixture
async def stt(server: FakeOpenAI) -> AsyncIterator[OpenAITranscription]:
    engine = OpenAITranscription(config(server, Stage.STT))
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
    assert [m["role"] for m in messages] == ["system", "assistant", "user", "user"]
    _instructions, service, customer = messages[0]["content"].split("\n\n")
    assert set(json.loads(service)) == {"flow", "version", "intents", "slots"}
    assert json.loads(customer) == {"language": "en"}
    assert json.loads(messages[-1]["content"]) == {"expect": "intent", "said": "when do you open"}
    assert request["response_format"]["type"] == "json_schema"  # type: ignore[index]


async def test_a_value_out_of_form_is_left_out(server: FakeOpenAI, nlu: OpenAIUnderstanding) -> None:
    server.answer["slots"] = {"account_number": "${system(id)}", "language": "Spanish"}
    understood = await nlu.understand("x", CONTEXT, Trace())
    assert understood.slots == {"language": "es"}


async def test_many_questions_at_once_share_a_connection(server: FakeOpenAI) -> None:
    nlu = OpenAIUnderstanding(config(server, Stage.NLU, first_byte_s=5.0, total_s=5.0))
    answers = await asyncio.gather(*(nlu.understand("x", CONTEXT, Trace()) for _ in range(50)))
    await nlu.close()
    assert {answer.intent for answer in answers} == {"opening_hours"}
    assert server.connections == 1


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        ("refuse", Kind.REFUSED, True),
        ("reset", Kind.RESET, True),
        ("delay", Kind.HANG, False),
        ("hang", Kind.HANG, False),
        ("mute", Kind.NO_TOKEN, False),
        ("stall", Kind.STALLED, False),
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
    await server.break_with(fault)
    with pytest.raises(EngineError) as caught:
        await nlu.understand("x", CONTEXT, Trace())
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
    assert caught.value.retry_after_s == (2.0 if fault == "429" else None)


@pytest.mark.parametrize(
    ("fault", "kind"), [("garbage", Kind.GARBAGE), ("wrong_schema", Kind.WRONG_SCHEMA), ("empty", Kind.EMPTY)]
)
async def test_a_server_that_does_not_stream_fails_alike(
    server: FakeOpenAI, nlu: OpenAIUnderstanding, fault: str, kind: Kind
) -> None:
    server.streams, server.fault = False, fault
    with pytest.raises(EngineError) as caught:
        await nlu.understand("x", CONTEXT, Trace())
    assert caught.value.kind is kind


@pytest.mark.parametrize("streams", [True, False])
async def test_a_server_that_streams_and_one_that_does_not_say_the_same(
    server: FakeOpenAI, nlu: OpenAIUnderstanding, streams: bool
) -> None:
    server.streams, server.cached_tokens = streams, 256
    server.answer["reply"] = "We are open. On Sundays, too! Come"
    trace, said = Trace(), list[Understanding]()
    understood = await nlu.understand("x", CONTEXT, trace, said.append)
    assert understood.reply == "We are open. On Sundays, too! Come"
    assert [one.reply for one in said] == ["We are open.", "On Sundays, too!", "Come"]
    assert said[0].intent == "opening_hours"
    assert trace.usage == Usage(300, 256, 20)
    assert trace.first_byte_ms is not None
    assert trace.connect_ms is not None
    again = Trace()
    await nlu.understand("x", CONTEXT, again)
    assert again.connect_ms is None  # the connection was there


@pytest.mark.parametrize(("fault", "written"), [("none", 20), ("stall", 9)])
async def test_what_was_used_so_far_may_come_with_every_chunk_and_counts_once(
    server: FakeOpenAI, nlu: OpenAIUnderstanding, fault: str, written: int
) -> None:
    server.counts_always, server.fault, server.breaks_at = True, fault, 10
    trace = Trace()
    with contextlib.suppress(EngineError):
        await nlu.understand("x", CONTEXT, trace)
    assert trace.usage == Usage(300, 0, written)


async def test_no_sentence_is_told_before_what_it_belongs_to_is_valid(
    server: FakeOpenAI, nlu: OpenAIUnderstanding
) -> None:
    server.fault = "foreign_intent"
    said: list[Understanding] = []
    with pytest.raises(EngineError):
        await nlu.understand("x", CONTEXT, Trace(), said.append)
    assert said == []


async def test_two_turns_of_a_call_begin_with_the_same_bytes(server: FakeOpenAI, nlu: OpenAIUnderstanding) -> None:
    history = CONTEXT.history
    later = Context(CONTEXT.flow, "en", "account_number", (*history, Exchange("lifeline", "Which account?")))
    await nlu.understand("my balance", CONTEXT, Trace())
    await nlu.understand("four two", later, Trace())
    first, second = (json.dumps(request["messages"][:-1])[:-1] for request in server.requests)  # type: ignore[index]
    assert "expect" not in second.replace("`expect`", "")
    assert second.startswith(first)
    schemas = [json.dumps(request["response_format"]) for request in server.requests]
    assert schemas[0] == schemas[1]


async def test_a_drip_ends_with_the_time_of_the_attempt(server: FakeOpenAI, nlu: OpenAIUnderstanding) -> None:
    server.fault = "drip"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await nlu.understand("x", CONTEXT, Trace())


async def test_after_a_hang_the_next_question_uses_another_connection(
    server: FakeOpenAI, nlu: OpenAIUnderstanding
) -> None:
    server.fault, server.faults_left = "hang", 1
    with pytest.raises(EngineError):
        await nlu.understand("x", CONTEXT, Trace())
    assert (await nlu.understand("x", CONTEXT, Trace())).intent == "opening_hours"


async def test_callers_who_hang_up_leave_no_connection_full_of_dead_streams(server: FakeOpenAI) -> None:
    nlu = OpenAIUnderstanding(config(server, Stage.NLU, first_byte_s=20.0, total_s=20.0))
    server.fault = "stall"
    for round_number in range(3):
        gone = [asyncio.create_task(nlu.understand("x", CONTEXT, Trace())) for _ in range(40)]
        await until(lambda asked=40 * (round_number + 1): len(server.requests) == asked)  # type: ignore[misc]
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
    server.fault = "none"
    answers = await asyncio.gather(*(nlu.understand("x", CONTEXT, Trace()) for _ in range(90)))
    assert len(answers) == 90
    assert server.connections <= 4
    await nlu.close()


async def test_speech_arrives_at_8_khz(server: FakeOpenAI, tts: OpenAISpeech) -> None:
    trace = Trace()
    assert await tts.speak("Hello.", "en", "en-us", trace) == TONE
    assert trace.first_byte_ms is not None
    assert trace.usage.characters == len("Hello.")
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
        ("refuse", Kind.REFUSED),
        ("reset", Kind.RESET),
        ("delay", Kind.HANG),
        ("hang", Kind.HANG),
        ("mute", Kind.GARBAGE),
        ("stall", Kind.STALLED),
        ("wrong_schema", Kind.GARBAGE),
        ("401", Kind.HTTP_401),
        ("429", Kind.HTTP_429),
        ("500", Kind.HTTP_500),
        ("garbage", Kind.GARBAGE),
        ("empty", Kind.EMPTY),
        ("silent", Kind.SILENT),
    ],
)
async def test_each_failure_to_speak_has_a_kind(server: FakeOpenAI, tts: OpenAISpeech, fault: str, kind: Kind) -> None:
    await server.break_with(fault)
    with pytest.raises(EngineError) as caught:
        await tts.speak("Hello.", "en", "en-us", Trace())
    assert caught.value.kind is kind


async def test_an_answer_without_a_sample_is_no_audio(server: FakeOpenAI, tts: OpenAISpeech) -> None:
    server.fault = "mute_audio"
    with pytest.raises(EngineError) as caught:
        await tts.speak("Hello.", "en", "en-us", Trace())
    assert (caught.value.kind, caught.value.retryable) == (Kind.NO_AUDIO, False)


async def test_an_upload_is_a_wav_of_all_that_was_said(server: FakeOpenAI, stt: OpenAITranscription) -> None:
    server.transcript = "What are your opening hours?"
    trace = Trace()
    heard = await transcribe(stt, trace)
    assert heard.transcript == "what are your opening hours"
    with wave.open(io.BytesIO(server.uploads[0])) as sent:
        assert (sent.getframerate(), sent.getsampwidth(), sent.getnchannels()) == (8000, 2, 1)
        assert sent.readframes(9999) == TONE
    assert server.requests[0] == {"model": "m", "language": "en", "response_format": "json"}
    assert trace.usage.heard_s == 0.5


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("refuse", Kind.REFUSED),
        ("reset", Kind.RESET),
        ("delay", Kind.HANG),
        ("hang", Kind.HANG),
        ("mute_audio", Kind.NO_TOKEN),
        ("stall", Kind.STALLED),
        ("401", Kind.HTTP_401),
        ("429", Kind.HTTP_429),
        ("500", Kind.HTTP_500),
        ("garbage", Kind.GARBAGE),
        ("wrong_schema", Kind.WRONG_SCHEMA),
    ],
)
async def test_each_failure_to_transcribe_has_a_kind(
    server: FakeOpenAI, stt: OpenAITranscription, fault: str, kind: Kind
) -> None:
    await server.break_with(fault)
    with pytest.raises(EngineError) as caught:
        await transcribe(stt, Trace())
    assert caught.value.kind is kind


@pytest.mark.parametrize("fault", ["empty", "silent"])
async def test_a_transcript_of_nothing_is_the_turns_to_judge(
    server: FakeOpenAI, stt: OpenAITranscription, fault: str
) -> None:
    server.fault = fault
    assert await transcribe(stt, Trace()) == Heard("", engine_heard=False)


async def test_until_the_end_of_speech_its_silence_is_no_failure(server: FakeOpenAI, stt: OpenAITranscription) -> None:
    async with stt.open("en", lambda _: None, Trace()) as stream:
        await stream.send(TONE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await stream.heard_end()
        assert (await stream.finish()).transcript == server.transcript


async def transcribe(stt: OpenAITranscription, trace: Trace) -> Heard:
    async with stt.open("en-US", lambda _: None, trace) as stream:
        for start in range(0, len(TONE), 1600):
            await stream.send(TONE[start : start + 1600])
        return await stream.finish()


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
