"""Real renderings by espeak-ng: shape, errors, threads."""

import io
import threading
import wave

import numpy as np
import pytest

from espeak.errors import InvalidRequestError, SpeechError, UnknownVoiceError
from espeak.voice import MAX_TEXT_CHARS, render, wav


def test_speech_is_eight_kilohertz_pcm_of_a_plausible_length_and_level() -> None:
    pcm = render("what is my balance")
    samples = np.frombuffer(pcm, "<i2")
    assert 0.6 < samples.size / 8000 < 2.0
    assert np.abs(samples).max() > 5000


@pytest.mark.parametrize("rate_hz", [16000, 22050, 24000, 48000])
def test_another_sample_rate_lasts_as_long(rate_hz: int) -> None:
    reference_s = len(render("good morning")) / 2 / 8000
    assert len(render("good morning", sample_rate_hz=rate_hz)) / 2 / rate_hz == pytest.approx(reference_s, abs=0.1)


def test_a_faster_rate_is_shorter() -> None:
    text = "how much money do I have in my account"
    assert len(render(text, rate_wpm=250)) < len(render(text, rate_wpm=120))


@pytest.mark.parametrize("voice", ["en-us+f3", "en-gb", "en-gb+f2", "es", "de"])
def test_known_voices_speak(voice: str) -> None:
    assert len(render("one two three", voice=voice)) > 8000


@pytest.mark.parametrize("voice", ["zz", "../en", "en/us", "", "a" * 65])
def test_an_unknown_voice_is_refused(voice: str) -> None:
    with pytest.raises(UnknownVoiceError):
        render("hello", voice=voice)


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": "  \n\x00 "},
        {"text": "a" * (MAX_TEXT_CHARS + 1)},
        {"text": "hello", "rate_wpm": 10},
        {"text": "hello", "pitch": 101},
        {"text": "hello", "sample_rate_hz": 7999},
    ],
)
def test_a_bad_request_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        render(**arguments)  # type: ignore[arg-type]


def test_text_is_read_out_and_never_obeyed() -> None:
    marked_up = len(render('<audio src="/etc/passwd"/> [[h@l0U]] hello'))
    assert marked_up > len(render("hello"))


def test_threads_take_turns() -> None:
    """Two threads inside the library at once abort the process, so surviving this is the test."""
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.extend(len(render("hold the line please")) for _ in range(10)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 40
    assert max(results) - min(results) < 1600  # at most 100 ms apart: nobody got another's audio


def test_errors_share_a_root() -> None:
    assert issubclass(UnknownVoiceError, SpeechError)


def test_wav_wraps_the_same_samples() -> None:
    pcm = render("hello")
    with wave.open(io.BytesIO(wav(pcm, 8000))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        assert file.readframes(file.getnframes()) == pcm
