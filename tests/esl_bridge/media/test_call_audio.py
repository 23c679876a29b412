"""Which audio goes out for which turn, and whose voice stops a prompt: real speech, and a prompt's echo at -20 dB."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from numpy.typing import NDArray

from ai_engine.messages import AudioChunk, MediaReport, SpeechEnded, SpeechStarted
from callflows.rendering import finish, speak
from esl_bridge.media.call_audio import KEPT_FRAMES, CallAudio, Output
from esl_bridge.media.loudness import PROMPT_RMS, no_louder_than_prompts
from espeak.voice import render

CALL = "67f4668d-b17d-4b43-a9e9-a79e324546cd"
FRAME = 320
FRAME_MS = 20
ECHO = 10 ** (-20 / 20)
PROMPTS = (
    "Welcome to the demonstration. How can I help you?",
    "Please tell me your account number.",
    "Is there anything else I can help you with today?",
)
Samples = NDArray[np.float64]


def line_noise(samples: int) -> Samples:
    return np.random.default_rng(7).integers(-20, 20, samples, endpoint=True).astype(np.float64)


def prompt(text: str) -> Samples:
    with wave.open(io.BytesIO(finish(speak(text, "en-us")).wav)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64)


def voice(text: str, name: str = "en-us+f1") -> Samples:
    return np.frombuffer(render(text, voice=name, rate_wpm=150), dtype="<i2").astype(np.float64)


def line(*heard: tuple[Samples, float]) -> bytes:
    """Line noise with each sound from its second on."""
    length = max(round(at_s * 8000) + len(samples) for samples, at_s in heard) + 8000
    mixed = line_noise(length)
    for samples, at_s in heard:
        at = round(at_s * 8000)
        mixed[at : at + len(samples)] += samples
    return bytes(np.clip(mixed, -32768, 32767).astype("<i2").tobytes())


def feed(audio: CallAudio, pcm: bytes) -> tuple[Output, float | None]:
    """Everything that comes of it, and when somebody was heard to speak, in ms from the beginning."""
    every, began_ms = Output(), None
    for at in range(0, len(pcm) - FRAME + 1, FRAME):
        output = audio.on_audio(pcm[at : at + FRAME])
        every.chunks += output.chunks
        every.messages += output.messages
        if any(isinstance(message, SpeechStarted) for message in output.messages):
            began_ms = (at / FRAME + 1) * FRAME_MS
    return every, began_ms


def watching(turn: int = 7) -> CallAudio:
    audio = CallAudio(CALL)
    assert audio.on_text(f'{{"watch":{turn}}}') == Output()
    return audio


@pytest.mark.parametrize("loss_db", [15, 20, 25, 30, 35])
@pytest.mark.parametrize("text", PROMPTS)
def test_a_prompts_echo_is_nobody_speaking(text: str, loss_db: int) -> None:
    for begins_s in (0.0, 0.2):
        output, began_ms = feed(watching(), line((prompt(text) * 10 ** (-loss_db / 20), begins_s)))
        assert began_ms is None
        assert output.chunks == [], "no audio is published for a prompt that nobody interrupts"


@pytest.mark.parametrize("name", ["en-us+f1", "en-us+f2", "en-us+m6", "en-us+klatt", "en-us+klatt2"])
@pytest.mark.parametrize("echo", [ECHO, 0.0])
def test_a_voice_over_the_prompt_is_heard_within_a_third_of_a_second(name: str, echo: float) -> None:
    heard = line((prompt(PROMPTS[0]) * echo, 0.0), (voice("what is my balance", name), 1.2))
    _, began_ms = feed(watching(), heard)
    assert began_ms is not None
    is_soft = "klatt" in name and echo
    assert 1200 < began_ms < 1200 + (900 if is_soft else 340), "klatt voices are 10 dB softer than people"


def test_a_click_and_a_soft_noise_do_not_stop_a_prompt() -> None:
    click = np.full(800, 9000.0)
    hum = 250 * np.sin(np.arange(16000) / 8000 * 2 * np.pi * 150)
    _, began_ms = feed(watching(), line((click, 0.5), (hum, 0.8)))
    assert began_ms is None


def test_what_was_said_before_the_voice_was_certain_goes_with_it() -> None:
    spoken = voice("what is my balance")
    output, began_ms = feed(watching(), line((spoken, 1.0)))
    assert began_ms is not None
    published = b"".join(chunk.pcm for chunk in output.chunks)
    first = np.flatnonzero(np.abs(np.frombuffer(published, dtype="<i2")) > 500)[0]
    assert 0 < first / 8 <= KEPT_FRAMES * FRAME_MS - 120
    assert len(published) / 16 > len(spoken) / 8
    assert [chunk.seq for chunk in output.chunks] == list(range(len(output.chunks)))
    assert output.chunks[-1].end
    kinds = [type(message) for message in output.messages if not isinstance(message, MediaReport)]
    assert kinds == [SpeechStarted, SpeechEnded]


def test_listening_after_the_prompt_begins_anew_and_a_turn_that_a_voice_began_is_not_begun_twice() -> None:
    audio = watching()
    feed(audio, line((voice("what is my balance"), 0.5)))
    assert (audio.last_turn, audio.turn) == (7, 0)
    assert audio.on_text('{"listen":7}') == Output(), "the bridge had not heard of it yet"
    assert audio.turn == 0

    audio = watching(8)
    feed(audio, line_noise(8000).astype("<i2").tobytes())
    assert audio.last_turn == 0, "the reply of the turn before may still come"
    assert audio.on_text('{"listen":8}') == Output(messages=[MediaReport(CALL, 8, 0)])
    output, _ = feed(audio, line((voice("what is my balance"), 0.5)))
    assert isinstance(output.chunks[0], AudioChunk)


def test_a_syllable_at_the_very_end_of_the_prompt_is_not_lost() -> None:
    audio = watching()
    spoken = voice("no")
    feed(audio, line((spoken[:800], 1.0))[: (8000 + 900) * 2])
    output = audio.on_text('{"listen":7}')
    published = b"".join(chunk.pcm for chunk in output.chunks)
    assert np.abs(np.frombuffer(published, dtype="<i2")).max() > 1500


def test_hush_ends_the_watching() -> None:
    audio = watching()
    assert audio.on_text('{"hush":7}') == Output()
    output, began_ms = feed(audio, line((voice("what is my balance"), 0.5)))
    assert (output, began_ms) == (Output(), None)


def test_a_reply_is_made_no_louder_than_prompts_and_never_louder_than_it_was() -> None:
    loud = (voice("Sure, I can help you with your balance.") * 2).clip(-32768, 32767).astype("<i2").tobytes()
    samples = np.frombuffer(no_louder_than_prompts(loud), dtype="<i2").astype(np.float64)
    powers = np.sort((samples[: len(samples) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1))
    assert np.sqrt(powers[len(powers) // 2 :].mean()) == pytest.approx(PROMPT_RMS, rel=0.02)
    soft = (voice("Sure.") * 0.05).astype("<i2").tobytes()
    assert no_louder_than_prompts(soft) == soft
    assert no_louder_than_prompts(b"\x01\x02") == b"\x01\x02"
