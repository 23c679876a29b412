"""Real speech and real uploads become the one form that a switch plays."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from callflows import rendering
from callflows.errors import SilentSpeechError, UploadRefusedError
from espeak import voice
from ivr_fallback.spoken import fragments


def samples_of(wav: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64)


def tone(rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    return 12000 * np.sin(2 * np.pi * 440 * np.arange(int(rate_hz * seconds)) / rate_hz)


def wav_of(data: bytes, rate_hz: int, width: int = 2, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(data)
    return buffer.getvalue()


def test_speech_is_padded_by_60_ms_and_no_more() -> None:
    quiet = np.zeros(8000, dtype="<i2").tobytes()
    recording = rendering.finish(quiet + rendering.speak("forty-two", "en-us") + quiet)
    samples = samples_of(recording.wav)
    sound = np.flatnonzero(np.abs(samples) > 0)
    assert 460 <= sound[0] <= 500
    assert 460 <= samples.size - sound[-1] <= 520
    assert recording.duration_ms == samples.size // 8
    assert recording.duration_ms < 1000


def test_fragments_are_of_one_loudness_and_never_clipped() -> None:
    levels = []
    for text in (*fragments("en")[::15], "Your appointment is booked for", "Sorry, that is not one of the choices."):
        samples = samples_of(rendering.finish(rendering.speak(text, "en-us")).wav)
        assert np.abs(samples).max() <= 29_300
        windows = np.sort((samples[: samples.size // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1))
        levels.append(10 * np.log10(windows[windows.size // 2 :].mean()))
    assert max(levels) - min(levels) < 3, "decibels between the loudest and the quietest"


def test_silence_is_refused() -> None:
    for pcm in (b"", bytes(16000), np.full(8000, 3, dtype="<i2").tobytes()):
        with pytest.raises(SilentSpeechError):
            rendering.finish(pcm)


def test_a_rendered_name_depends_on_words_and_voice_alone() -> None:
    name = rendering.rendered_hash("one", "en-us")
    assert name == rendering.rendered_hash("one", "en-us")
    assert len({name, rendering.rendered_hash("one", "en"), rendering.rendered_hash("One", "en-us")}) == 3
    assert len(name) == 64


@pytest.mark.parametrize("rate_hz", rendering.UPLOAD_RATES_HZ)
def test_an_upload_of_any_usual_rate_keeps_its_pitch_and_length(rate_hz: int) -> None:
    _, recording = rendering.transcode(wav_of(tone(rate_hz).astype("<i2").tobytes(), rate_hz))
    samples = samples_of(recording.wav)
    assert abs(recording.duration_ms - 620) <= 3
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(float(np.argmax(spectrum)) * 8000 / samples.size - 440) < 4


def test_an_upload_of_any_width_and_of_two_channels_is_taken() -> None:
    base = tone(16000)
    stereo = np.repeat(base.astype("<i2"), 2).tobytes()
    wide = (base * 65536).astype("<i4")
    three = wide.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    narrow = (base / 256 + 128).astype(np.uint8).tobytes()
    plain = samples_of(rendering.transcode(wav_of(base.astype("<i2").tobytes(), 16000))[1].wav)
    for data, width, channels in ((stereo, 2, 2), (wide.tobytes(), 4, 1), (three, 3, 1), (narrow, 1, 1)):
        samples = samples_of(rendering.transcode(wav_of(data, 16000, width, channels))[1].wav)
        size = min(samples.size, plain.size)
        assert np.corrcoef(samples[:size], plain[:size])[0, 1] > 0.98, (width, channels)


def test_the_name_of_an_upload_is_its_contents() -> None:
    first, _ = rendering.transcode(wav_of(tone(8000).astype("<i2").tobytes(), 8000))
    again, _ = rendering.transcode(wav_of(tone(8000).astype("<i2").tobytes(), 8000))
    other, _ = rendering.transcode(wav_of(tone(8000, 0.6).astype("<i2").tobytes(), 8000))
    assert first == again != other


@pytest.mark.parametrize(
    ("upload", "said"),
    [
        (b"", "not a plain PCM WAV"),
        (b"ID3 an mp3 perhaps", "not a plain PCM WAV"),
        (wav_of(bytes(1000), 12345), "12345 Hz"),
        (wav_of(bytes(8000), 8000), "no sound"),
        (wav_of(bytes(6000), 8000, 2, 3), "3 channels"),
        (wav_of(bytes(2 * 8000 * 121), 8000), "longer than 120 seconds"),
        (bytes(rendering.MAX_UPLOAD_BYTES + 1), "larger than 20 MB"),
    ],
)
def test_an_unusable_upload_is_refused_in_words(upload: bytes, said: str) -> None:
    with pytest.raises(UploadRefusedError, match=said):
        rendering.transcode(upload)


def test_an_upload_that_was_cut_off_is_taken_as_far_as_it_goes() -> None:
    whole = wav_of(tone(8000).astype("<i2").tobytes(), 8000)
    _, recording = rendering.transcode(whole[:-1001])
    assert 540 < recording.duration_ms < 600


def test_a_sentence_of_an_unknown_voice_is_an_error_of_the_speech_engine() -> None:
    from espeak.errors import UnknownVoiceError

    with pytest.raises(UnknownVoiceError):
        rendering.speak("hello", "xx-unknown")
    assert voice.render("hello")
