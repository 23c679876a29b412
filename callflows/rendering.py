"""Prompt audio: text through espeak-ng, or an uploaded recording, made into the one form that a switch plays.

Owns that form (WAV, 8 kHz, mono, 16 bits, trimmed, of one loudness) and the name that the content gives a file.
Knows nothing of flows and rows. Rendering blocks: never call it on an event loop.
"""

from __future__ import annotations

import hashlib
import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callflows.errors import SilentSpeechError, UploadRefusedError
from espeak import voice as espeak_voice
from espeak.resample import resample

RATE_HZ = 8000
RATE_WPM = 155
"""A little slower than espeak's own pace: the listener is on a telephone and may be writing."""
# Part of every rendered file's name: raise it when the processing below changes, and all is rendered anew.
PROCESSING = 1
# Quieter than this beside the loudest sample is silence: -40 dB keeps soft consonants.
SILENCE_BELOW = 0.01
PADDING_MS = 60
# Joined fragments must not differ in loudness. -20 dB full scale of speech, peaks at most -1 dB, is telephone practice.
TARGET_RMS = 32767 * 10 ** (-20 / 20)
PEAK_LIMIT = 32767 * 10 ** (-1 / 20)
WINDOW_MS = 20

MAX_UPLOAD_BYTES = 20_000_000
# Longer than any announcement; keeps one upload from filling memory and every switch's disk.
MAX_UPLOAD_S = 120
UPLOAD_RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished prompt: the bytes of its WAV file and how long it lasts."""

    wav: bytes
    duration_ms: int


def rendered_hash(text: str, voice: str) -> str:
    """The name of a text rendered by a voice, known before it is rendered."""
    return hashlib.sha256("\x1f".join((text, voice, str(RATE_WPM), str(PROCESSING))).encode()).hexdigest()


def speak(text: str, voice: str) -> bytes:
    """Raw speech, int16 mono at 8 kHz. Raises a :class:`espeak.errors.SpeechError`."""
    return espeak_voice.render(text, voice=voice, rate_wpm=RATE_WPM, sample_rate_hz=RATE_HZ)


def finish(pcm: bytes) -> Recording:
    """Trim, level and pad int16 mono 8 kHz samples. Raises :class:`SilentSpeechError` when they hold no sound."""
    return _finish(np.frombuffer(pcm, dtype="<i2"))


def transcode(upload: bytes) -> tuple[str, Recording]:
    """An uploaded WAV file in the switch's form, and the hash of the result. Raises :class:`UploadRefusedError`."""
    if len(upload) > MAX_UPLOAD_BYTES:
        raise UploadRefusedError(f"The file is larger than {MAX_UPLOAD_BYTES // 1_000_000} MB.")
    try:
        with wave.open(io.BytesIO(upload)) as file:
            channels, width, rate_hz, frames = (
                file.getnchannels(),
                file.getsampwidth(),
                file.getframerate(),
                file.getnframes(),
            )
            if rate_hz not in UPLOAD_RATES_HZ:
                raise UploadRefusedError(f"Its sample rate is {rate_hz} Hz: save it at 8000, 16000, 44100 or 48000 Hz.")
            if frames > MAX_UPLOAD_S * rate_hz:
                raise UploadRefusedError(f"The recording is longer than {MAX_UPLOAD_S} seconds.")
            if channels not in (1, 2):
                raise UploadRefusedError(f"It has {channels} channels: save it as mono or stereo.")
            data = file.readframes(frames)
    except (wave.Error, EOFError) as error:
        raise UploadRefusedError(f"This is not a plain PCM WAV file ({error or 'it ends too early'}).") from error
    # A file that was cut off may end inside a frame.
    data = data[: len(data) - len(data) % (channels * width)]
    samples = _samples(data, width).reshape(-1, channels).mean(axis=1)
    try:
        recording = _finish(resample(np.rint(samples).astype(np.int16), rate_hz, RATE_HZ))
    except SilentSpeechError as error:
        raise UploadRefusedError("There is no sound in the recording.") from error
    return hashlib.sha256(recording.wav).hexdigest(), recording


def _samples(data: bytes, width: int) -> NDArray[np.float64]:
    """PCM of 8 (unsigned), 16, 24 or 32 bits as values of 16 bits, channels interleaved."""
    match width:
        case 1:
            return (np.frombuffer(data, dtype=np.uint8).astype(np.float64) - 128) * 256
        case 2:
            return np.frombuffer(data, dtype="<i2").astype(np.float64)
        case 3:
            upper = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)[:, 1:]
            return np.ascontiguousarray(upper).view("<i2").ravel().astype(np.float64)
        case 4:
            return np.clip(np.frombuffer(data, dtype="<i4") / 65536, -32768, 32767)
        case _:
            raise UploadRefusedError(f"It has {width * 8} bits a sample: save it with 16.")


def _finish(samples: Samples) -> Recording:
    sound = _trimmed(samples.astype(np.float64))
    padding = np.zeros(RATE_HZ * PADDING_MS // 1000)
    levelled = np.concatenate((padding, sound * _gain(sound), padding))
    pcm = np.clip(np.rint(levelled), -32768, 32767).astype("<i2")
    return Recording(espeak_voice.wav(pcm.tobytes(), RATE_HZ), pcm.size * 1000 // RATE_HZ)


def _trimmed(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    loudness = np.abs(samples)
    peak = float(loudness.max(initial=0.0))
    # A few units are an idle line, not sound.
    if peak < 16:
        raise SilentSpeechError("the speech engine gave no sound")
    audible = np.flatnonzero(loudness >= peak * SILENCE_BELOW)
    return samples[audible[0] : audible[-1] + 1]


def _gain(sound: NDArray[np.float64]) -> float:
    """By the louder half of its windows, so that pauses inside a sentence do not make it louder than a single word."""
    window = RATE_HZ * WINDOW_MS // 1000
    padded = np.pad(sound, (0, -sound.size % window))
    powers = np.sort((padded.reshape(-1, window) ** 2).mean(axis=1))
    rms = float(np.sqrt(powers[powers.size // 2 :].mean()))
    return min(TARGET_RMS / rms, PEAK_LIMIT / float(np.abs(sound).max()))
