"""Vosk's wire over a real socket, with every way of failing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

import espeak.voice
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.roles import Heard
from ai_engine.engines.trace import Trace
from ai_engine.engines.vosk import VoskRecogniser
from ai_engine.errors import EngineError, Kind
from tests.ai_engine.fake_engines import FakeVosk

CHUNK = bytes(1600)
SPEECH = espeak.voice.render("what are your opening hours on friday and on saturday please")


@pytest.fixture
async def vosk() -> AsyncIterator[FakeVosk]:
    async with FakeVosk().running() as server:
        yield server


def recogniser(url: str) -> VoskRecogniser:
    return VoskRecogniser(EngineConfig("v", Stage.STT, EngineKind.VOSK, url, first_byte_s=0.3))


async def recognise(url: str, chunks: int = 5) -> tuple[Heard, list[str]]:
    partials: list[str] = []
    async with recogniser(url).open("en", partials.append, Trace()) as stream:
        for _ in range(chunks):
            await stream.send(CHUNK)
        return await stream.finish(), partials


async def test_partials_come_while_audio_goes_and_the_final_ends_it(vosk: FakeVosk) -> None:
    heard, partials = await recognise(vosk.url)
    assert heard.transcript == "what are your opening hours"
    assert partials[0] == "what"
    assert len(partials) >= 5
    assert bytes(vosk.heard) == CHUNK * 5


async def test_the_words_own_confidence_is_told_and_who_tells_none_is_sure(vosk: FakeVosk) -> None:
    assert (await recognise(vosk.url))[0].confidence == 1.0
    vosk.confidences = [1.0, 0.5, 0.6]
    assert (await recognise(vosk.url))[0].confidence == pytest.approx(0.7)


async def test_the_engine_may_notice_the_end_itself(vosk: FakeVosk) -> None:
    vosk.endpoint_after = 3
    async with recogniser(vosk.url).open("en", lambda _: None, Trace()) as stream:
        ended = asyncio.create_task(stream.heard_end())
        for _ in range(3):
            await stream.send(CHUNK)
        async with asyncio.timeout(2):
            await ended
        assert (await stream.finish()).transcript == "what are your opening hours"


async def test_speech_without_words_is_told_from_an_engine_that_heard_nothing(vosk: FakeVosk) -> None:
    vosk.fault = "unknown"
    heard, partials = await recognise(vosk.url)
    assert heard == Heard("", engine_heard=True)
    vosk.fault = "empty"
    heard, more = await recognise(vosk.url)
    assert heard == Heard("", engine_heard=False)
    assert partials + more == []


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        ("refuse", Kind.REFUSED, True),
        ("hang", Kind.HANG, False),
        ("delay", Kind.HANG, False),
        ("reset", Kind.RESET, True),
        ("garbage", Kind.GARBAGE, True),
        ("wrong_schema", Kind.WRONG_SCHEMA, True),
        ("401", Kind.HTTP_401, False),
        ("429", Kind.HTTP_429, True),
        ("500", Kind.HTTP_500, True),
    ],
)
async def test_each_failure_has_its_kind(vosk: FakeVosk, fault: str, kind: Kind, retryable: bool) -> None:
    await vosk.break_with(fault)
    with pytest.raises(EngineError) as caught:
        await recognise(vosk.url)
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
    assert caught.value.retry_after_s == (2.0 if fault == "429" else None)


async def test_empty_partials_although_the_caller_speaks_are_a_failure_while_they_speak(vosk: FakeVosk) -> None:
    vosk.fault = "silent"
    with pytest.raises(EngineError) as caught:
        await speak_to(vosk, SPEECH)
    assert (caught.value.kind, caught.value.retryable) == (Kind.NO_PARTIAL, False)


async def test_words_outside_the_grammar_are_partials_too(vosk: FakeVosk) -> None:
    vosk.partial_unknown = True
    await speak_to(vosk, SPEECH)
    assert bytes(vosk.heard) == SPEECH


async def test_a_peer_that_is_there_no_more_is_noticed(vosk: FakeVosk) -> None:
    """Between messages nothing is owed but a pong."""
    vosk.fault = "frozen"
    async with recogniser(vosk.url).open("en", lambda _: None, Trace()) as stream:
        with pytest.raises(EngineError) as caught:
            async with asyncio.timeout(3):
                await stream.heard_end()
    assert caught.value.kind is Kind.NO_PONG


async def speak_to(vosk: FakeVosk, speech: bytes) -> None:
    """At twice the caller's pace."""
    async with recogniser(vosk.url).open("en", lambda _: None, Trace()) as stream:
        for start in range(0, len(speech), len(CHUNK)):
            await stream.send(speech[start : start + len(CHUNK)])
            await asyncio.sleep(0.05)


async def test_an_engine_that_falls_silent_is_noticed_while_the_caller_still_speaks(vosk: FakeVosk) -> None:
    vosk.fault = "hang"
    async with recogniser(vosk.url).open("en", lambda _: None, Trace()) as stream:
        await stream.send(CHUNK)
        with pytest.raises(EngineError) as caught:
            async with asyncio.timeout(2):
                await stream.heard_end()
    assert caught.value.kind is Kind.HANG


async def test_nobody_there_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(EngineError) as caught:
        await recognise(f"ws://127.0.0.1:{port}")
    assert caught.value.kind is Kind.REFUSED


async def test_somebody_who_accepts_and_says_nothing_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(EngineError) as caught:
        await recognise(f"ws://127.0.0.1:{mute.getsockname()[1]}")
    assert caught.value.kind is Kind.HANG


async def test_it_is_asked_by_the_first_voice_not_by_the_silence_before_it(vosk: FakeVosk) -> None:
    now = [0.0]
    trace = Trace(lambda: now[0])
    trace.listens()
    async with recogniser(vosk.url).open("en", lambda _: trace.first_byte(), trace) as stream:
        await stream.send(bytes(1600))
        now[0] = 5.0
        for start in range(0, len(SPEECH), 1600):
            await stream.send(SPEECH[start : start + 1600])
        await stream.finish()
    assert trace.first_byte_ms == 0.0
