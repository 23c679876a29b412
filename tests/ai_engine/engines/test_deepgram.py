"""Deepgram's wire over a real socket, with every way of failing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

import espeak.voice
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.deepgram import DeepgramRecogniser, listen_url
from ai_engine.engines.roles import Heard
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind
from tests.ai_engine.fake_deepgram import FakeDeepgram

CHUNK = bytes(1600)
LIMIT_S = 0.4


@pytest.fixture
async def server() -> AsyncIterator[FakeDeepgram]:
    async with FakeDeepgram().running() as server:
        yield server


def config(url: str) -> EngineConfig:
    return EngineConfig("d", Stage.STT, EngineKind.DEEPGRAM, url, model="nova-3", first_byte_s=LIMIT_S)


async def recognise(url: str, trace: Trace | None = None, chunks: int = 5) -> tuple[Heard, list[str]]:
    partials: list[str] = []
    async with DeepgramRecogniser(config(url)).open("en", partials.append, trace or Trace()) as stream:
        for _ in range(chunks):
            await stream.send(CHUNK)
        async with asyncio.timeout(2):  # as the turn does with its engine's total_s
            return await stream.finish(), partials


async def speak_to(url: str, pcm: bytes) -> Heard:
    """At twice the caller's pace."""
    async with DeepgramRecogniser(config(url)).open("en", lambda _: None, Trace()) as stream:
        for start in range(0, len(pcm), len(CHUNK)):
            await stream.send(pcm[start : start + len(CHUNK)])
            await asyncio.sleep(0.05)
        return await stream.finish()


async def test_audio_goes_up_words_come_down_and_the_stream_is_closed(
    server: FakeDeepgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFELINE_SECRET_DEEPGRAM", "k")
    settings = EngineConfig("d", Stage.STT, EngineKind.DEEPGRAM, server.url, secret="LIFELINE_SECRET_DEEPGRAM")
    partials: list[str] = []
    trace = Trace()
    async with DeepgramRecogniser(settings).open("es", partials.append, trace) as stream:
        for _ in range(5):
            await stream.send(CHUNK)
        await stream.send(b"")  # An empty message would close the real one.
        heard = await stream.finish()
    assert heard == Heard("what are your opening hours", engine_heard=True, confidence=0.99)
    assert partials[0] == "what"
    assert bytes(server.heard) == CHUNK * 5
    assert server.ended_with == '{"type":"CloseStream"}'
    assert server.authorization == ["Token k"]
    asked = urlsplit(server.paths[0])
    assert asked.path == "/v1/listen"
    query = {name: values[0] for name, values in parse_qs(asked.query).items()}
    assert query["encoding"] == "linear16"
    assert (query["sample_rate"], query["channels"], query["language"]) == ("8000", "1", "es")
    assert query["interim_results"] == "true"
    assert trace.usage.heard_s == pytest.approx(0.5)
    assert trace.connect_ms is not None


def test_an_address_may_bring_parameters_of_its_own_but_not_another_kind_of_audio() -> None:
    url = listen_url(config("wss://eu.example/v1/listen?keyterm=tariff&endpointing=300&sample_rate=48000"), "en")
    query = parse_qs(urlsplit(url).query)
    assert (query["keyterm"], query["endpointing"], query["sample_rate"]) == (["tariff"], ["300"], ["8000"])
    assert query["model"] == ["nova-3"]


async def test_the_engine_may_notice_the_end_itself(server: FakeDeepgram) -> None:
    server.endpoint_after = 3
    async with DeepgramRecogniser(config(server.url)).open("en", lambda _: None, Trace()) as stream:
        for _ in range(3):
            await stream.send(CHUNK)
        async with asyncio.timeout(2):
            await stream.heard_end()
        assert (await stream.finish()).transcript == "what are your opening hours"


async def test_sentences_are_words_like_any_other_engines(server: FakeDeepgram) -> None:
    server.punctuated = True
    assert (await recognise(server.url))[0].transcript == "what are your opening hours"


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        ("refuse", Kind.REFUSED, True),
        ("reset", Kind.RESET, True),
        ("delay", Kind.HANG, False),
        ("hang", Kind.HANG, False),
        ("garbage", Kind.GARBAGE, True),
        ("wrong_schema", Kind.WRONG_SCHEMA, True),
        ("401", Kind.HTTP_401, False),
        ("429", Kind.HTTP_429, True),
        ("500", Kind.HTTP_500, True),
    ],
)
async def test_each_failure_has_its_kind(server: FakeDeepgram, fault: str, kind: Kind, retryable: bool) -> None:
    await server.break_with(fault)
    with pytest.raises(EngineError) as caught:
        await recognise(server.url)
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
    assert caught.value.retry_after_s == (2.0 if fault == "429" else None)


@pytest.mark.parametrize("fault", ["silent", "empty"])
async def test_nothing_heard_is_told_from_words_unknown(server: FakeDeepgram, fault: str) -> None:
    """The turn, which knows how much voice there was, makes a failure of it."""
    server.fault = fault
    assert await recognise(server.url) == (Heard("", engine_heard=False), [])


async def test_a_drip_ends_with_the_time_of_the_attempt(server: FakeDeepgram) -> None:
    server.fault = "drip"
    with pytest.raises(TimeoutError):
        await recognise(server.url)


@pytest.mark.parametrize("fault", ["silent", "empty", "hang"])
async def test_no_words_although_the_caller_speaks_is_a_failure_while_they_speak(
    server: FakeDeepgram, fault: str
) -> None:
    server.fault = fault
    started_at = time.monotonic()
    with pytest.raises(EngineError) as caught:
        await speak_to(server.url, espeak.voice.render("what are your opening hours on friday and on saturday please"))
    assert (caught.value.kind, caught.value.retryable) == (Kind.NO_PARTIAL, False)
    assert time.monotonic() - started_at < 2


async def test_a_caller_who_is_silent_is_no_failure(server: FakeDeepgram) -> None:
    server.fault = "silent"
    assert (await speak_to(server.url, CHUNK * 20)).transcript == ""


async def test_a_peer_that_is_there_no_more_is_noticed_by_its_missing_pong(server: FakeDeepgram) -> None:
    server.fault = "frozen"
    async with DeepgramRecogniser(config(server.url)).open("en", lambda _: None, Trace()) as stream:
        await stream.send(CHUNK)
        with pytest.raises(EngineError) as caught:
            async with asyncio.timeout(3):
                await stream.heard_end()
    assert caught.value.kind is Kind.NO_PONG
