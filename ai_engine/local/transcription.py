"""A whole recording's words, from the same decoders that hear streams. Owns reading the file and feeding it on."""

from __future__ import annotations

import io
import wave

import numpy as np

from ai_engine.local.recogniser_pool import RecogniserPool
from ai_engine.messages import AUDIO_RATE_HZ
from espeak.resample import resample

# What a stream's message holds: a tenth of a second.
_CHUNK_BYTES = AUDIO_RATE_HZ // 10 * 2
# A minute of speech is no sentence: whoever sends more must not hold a decoder.
MAX_SPEECH_S = 60


class NotSpeechError(Exception):
    """The upload is no recording that can be heard; the text says why."""


class NoDecoderError(Exception):
    """Every decoder is taken."""


def read_wav(data: bytes) -> bytes:
    """Its samples at 8000 Hz. Raises NotSpeechError for anything but 16-bit mono PCM of at most a minute."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            rate_hz, frames = file.getframerate(), file.getnframes()
            if (file.getsampwidth(), file.getnchannels()) != (2, 1) or not 8000 <= rate_hz <= 48_000:
                raise NotSpeechError("use a WAV file of 16-bit mono samples at 8000 to 48000 Hz")
            if frames > MAX_SPEECH_S * rate_hz:
                raise NotSpeechError(f"the recording is longer than {MAX_SPEECH_S} seconds")
            pcm = file.readframes(frames)
    except (wave.Error, EOFError) as error:
        raise NotSpeechError(f"not a WAV file: {error}") from error
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2").astype(np.int16)
    return resample(samples, rate_hz, AUDIO_RATE_HZ).astype("<i2").tobytes()


async def transcribe(pool: RecogniserPool, pcm: bytes) -> str:
    """Raises NoDecoderError, and RecogniserDiedError as a stream does."""
    stream = await pool.open()
    if stream is None:
        raise NoDecoderError("every decoder is taken")
    try:
        for start in range(0, len(pcm), _CHUNK_BYTES):
            await stream.hear(pcm[start : start + _CHUNK_BYTES])
        words, _ = await stream.finish()
    finally:
        stream.close()
    return words
