"""The whole local engine over real sockets, asked by the product's own clients, sound and broken."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from ai_engine.engines.config import Stage
from ai_engine.engines.http_pool import KEEPALIVE_S
from ai_engine.engines.openai_compatible import OpenAISpeech, OpenAITranscription, OpenAIUnderstanding
from ai_engine.engines.roles import Context, Heard, Understanding
from ai_engine.engines.trace import Trace
from ai_engine.engines.vosk import VoskRecogniser
from ai_engine.errors import EngineError, Kind
from ai_engine.local.engine import HTTP_IDLE_S, EngineConfig, LocalEngine, PortTakenError
from ai_engine.local.faults import Mode, set_fault
from ai_engine.local.second_hearing import AGREED, OWN_WORDS
from tests.ai_engine.local.conftest import PATIENCE_S, Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHUNK_BYTES = 1600
Spoken = Callable[[str], bytes]


async def hear(rig: Rig, pcm: bytes, expect: str = "intent") -> tuple[Heard, list[str]]:
    partials: list[str] = []
    async with VoskRecogniser(rig.stt).open("en", partials.append, Trace(), expect=expect) as stream:
        for start in range(0, len(pcm), CHUNK_BYTES):
            await stream.send(pcm[start : start + CHUNK_BYTES])
        return await stream.finish(), partials


async def understand(rig: Rig, words: str, expect: str = "intent") -> Understanding:
    engine = OpenAIUnderstanding(rig.nlu)
    try:
        return await engine.understand(words, Context(rig.flow, "en", expect), Trace())
    finally:
        await engine.close()


async def transcribe(rig: Rig, pcm: bytes, trace: Trace) -> Heard:
    engine = OpenAITranscription(replace(rig.nlu, name="local-upload", stage=Stage.STT))
    try:
        async with engine.open("en", lambda _: None, trace) as stream:
            await stream.send(pcm)
            return await stream.finish()
    finally:
        await engine.close()


async def speak(rig: Rig, words: str) -> bytes:
    engine = OpenAISpeech(rig.tts)
    try:
        return await engine.speak(words, "en", "en-us", Trace())
    finally:
        await engine.close()


async def until_heard_fault(rig: Rig, mode: Mode) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while rig.engine.fault.mode is not mode:
            await asyncio.sleep(0.02)


async def mend(rig: Rig) -> None:
    set_fault(Mode.NONE, folder=rig.folder)
    await until_heard_fault(rig, Mode.NONE)
    async with asyncio.timeout(PATIENCE_S):
        while not rig.engine.listening:
            await asyncio.sleep(0.02)


async def test_a_call_is_heard_understood_and_answered(rig: Rig, spoken: Spoken) -> None:
    heard, partials = await hear(rig, spoken("what are your opening hours"))
    assert heard.transcript == "what are your opening hours"
    assert partials[-1].startswith("what are your")
    understood = await understand(rig, heard.transcript)
    assert (understood.intent, understood.reply) == ("opening_hours", "Sure, your opening hours.")
    audio = np.frombuffer(await speak(rig, understood.reply), dtype="<i2")
    assert 0.8 < audio.size / 8000 < 4
    assert np.abs(audio).max() > 2000


async def test_a_recording_is_transcribed_as_a_whole(rig: Rig, spoken: Spoken) -> None:
    pcm, trace = spoken("what are your opening hours"), Trace()
    assert (await transcribe(rig, pcm, trace)).transcript == "what are your opening hours"
    assert trace.usage.heard_s == pytest.approx(len(pcm) / 16_000)
    assert "likes fish" in (await transcribe(rig, spoken("my cat likes fish and milk"), Trace())).transcript


async def test_an_answer_is_streamed_with_its_figures(rig: Rig) -> None:
    engine, trace, said = OpenAIUnderstanding(rig.nlu), Trace(), list[Understanding]()
    understood = await engine.understand("when are you open", Context(rig.flow, "en", "intent"), trace, said.append)
    await engine.close()
    assert [one.reply for one in said] == [understood.reply]
    assert said[0].intent == understood.intent == "opening_hours"
    assert trace.usage.tokens_read > 100
    assert trace.usage.tokens_written > 3


async def test_two_hundred_questions_at_once_take_one_connection_cold_or_warm(rig: Rig) -> None:
    engine = OpenAIUnderstanding(replace(rig.nlu, first_byte_s=20.0, total_s=20.0))
    context = Context(rig.flow, "en", "intent")
    traces = [Trace() for _ in range(400)]
    for half in (traces[:200], traces[200:]):
        answers = await asyncio.gather(*(engine.understand("when are you open", context, trace) for trace in half))
        assert {answer.intent for answer in answers} == {"opening_hours"}
    await engine.close()
    assert sum(trace.connect_ms is not None for trace in traces) == 1


async def test_the_thousandth_question_on_a_connection_is_no_different(rig: Rig) -> None:
    """Hypercorn's own limit is a thousand requests: the next one would be refused, and its engine blamed."""
    async with httpx.AsyncClient(base_url=rig.nlu.url, http1=False, http2=True) as client:
        answers = [await client.get("models") for _ in range(1010)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].extensions["stream_id"] == 2 * len(answers) - 1


async def test_digits_fill_the_slot_that_is_expected(rig: Rig, spoken: Spoken) -> None:
    heard, _ = await hear(rig, spoken("four two one seven"))
    understood = await understand(rig, heard.transcript, "account_number")
    assert understood.slots == {"account_number": "4217"}
    assert understood.confidence > 0.9


async def test_callers_at_once_are_kept_apart(rig: Rig, spoken: Spoken) -> None:
    said = ["what is my balance", "when are you open", "four two one seven", "what are your opening hours"]
    answers = await asyncio.gather(*(hear(rig, spoken(words)) for words in said))
    assert [heard.transcript for heard, _ in answers] == said


@pytest.mark.parametrize("level", [0, 20, 60])
async def test_an_idle_line_has_no_words(rig: Rig, level: int) -> None:
    line = np.random.default_rng(1).integers(-level, level, 16_000, endpoint=True).astype("<i2").tobytes()
    heard, partials = await hear(rig, line)
    assert (heard, partials) == (Heard("", engine_heard=False), [])


async def test_speech_outside_the_grammar_is_heard_as_words_that_are_not_sure(rig: Rig, spoken: Spoken) -> None:
    heard, _ = await hear(rig, spoken("my cat likes fish and milk"))
    assert "likes fish" in heard.transcript
    assert heard.engine_heard
    assert heard.confidence == pytest.approx(OWN_WORDS)
    assert (await understand(rig, heard.transcript)).intent == ""


async def test_a_sentence_of_the_flow_is_sure(rig: Rig, spoken: Spoken) -> None:
    heard, _ = await hear(rig, spoken("what are your opening hours"))
    assert heard.confidence >= AGREED


async def test_where_digits_were_asked_for_other_speech_is_no_words(rig: Rig, spoken: Spoken) -> None:
    """The caller is asked again rather than asked about what the second hearing makes of a number."""
    heard, _ = await hear(rig, spoken("my cat likes fish and milk"), expect="account_number")
    assert (heard.transcript, heard.engine_heard) == ("", True)
    heard, _ = await hear(rig, spoken("four two one seven"), expect="account_number")
    assert heard.transcript == "four two one seven"


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.HANG, Mode.GARBAGE, Mode.ERROR, Mode.SILENT, Mode.DELAY])
async def test_a_broken_engine_fails_in_its_own_way_and_mends(rig: Rig, spoken: Spoken, mode: Mode) -> None:
    pcm = spoken("what is my balance")
    set_fault(mode, folder=rig.folder)
    await until_heard_fault(rig, mode)
    failed = await asyncio.gather(
        hear(rig, pcm), understand(rig, "what is my balance"), speak(rig, "Hello."), return_exceptions=True
    )
    stt, nlu, tts = failed
    if mode is Mode.SILENT:
        assert isinstance(stt, tuple)
        assert stt[0].transcript == ""
    else:
        kinds = {
            Mode.REFUSE: {Kind.REFUSED, Kind.RESET}, Mode.HANG: {Kind.HANG, Kind.TIMEOUT}, Mode.DELAY: {Kind.HANG, Kind.TIMEOUT},
            Mode.GARBAGE: {Kind.GARBAGE}, Mode.ERROR: {Kind.RESET},
        }  # fmt: skip
        assert isinstance(stt, EngineError)
        assert stt.kind in kinds[mode]
    assert isinstance(nlu, EngineError)
    assert isinstance(tts, EngineError)
    await mend(rig)
    assert (await hear(rig, pcm))[0].transcript == "what is my balance"
    assert await speak(rig, "Hello.")


async def test_a_fault_of_one_stage_reaches_open_streams_and_spares_the_others(rig: Rig, spoken: Spoken) -> None:
    async with VoskRecogniser(rig.stt).open("en", lambda _: None, Trace()) as stream:
        await stream.send(spoken("yes")[:CHUNK_BYTES])
        set_fault(Mode.REFUSE, "stt", folder=rig.folder)
        with pytest.raises(EngineError) as failure:
            await asyncio.wait_for(stream.heard_end(), PATIENCE_S)
    assert failure.value.kind is Kind.RESET
    assert (await understand(rig, "what is my balance")).intent == "balance"
    await mend(rig)


async def test_a_killed_recogniser_is_replaced(rig: Rig, spoken: Spoken) -> None:
    pids = rig.engine.pids
    os.kill(pids[0], signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S * 2):
        while len(rig.engine.pids) < len(pids) or pids[0] in rig.engine.pids:
            await asyncio.sleep(0.05)
    assert (await hear(rig, spoken("what is my balance")))[0].transcript == "what is my balance"


async def test_a_taken_port_names_its_setting(rig: Rig) -> None:
    port = int(rig.stt.url.rpartition(":")[2])
    config = EngineConfig("127.0.0.1", port, port, rig.folder / "flows.json")
    with pytest.raises(PortTakenError, match="LIFELINE_ENGINE_STT_PORT"):
        await LocalEngine(config).run()


async def test_an_idle_connection_is_given_up_by_us_before_the_engine_closes_it() -> None:
    assert HTTP_IDLE_S > KEEPALIVE_S
