"""What can be told from audio by itself: how much of it is a voice, and whether a rendering is speech at all. Pure."""

from __future__ import annotations

import string

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from ai_engine.errors import EmptyAnswerError, Kind, TransientEngineError
from ai_engine.messages import AUDIO_RATE_HZ
from espeak.resample import resample

_FRAME_MS = 20
_FRAME_BYTES = AUDIO_RATE_HZ * _FRAME_MS // 1000 * 2
# The strictest of WebRTC's modes: line noise must not look like a caller whom the engine failed to hear.
_VAD_MODE = 3
# Quieter than this no caller can be made out on a telephone line (-43 dBFS); the detector alone takes hiss for a voice.
_VOICE_RMS = 230
# Speech that nobody can hear: a peak of 64 of 32768 is -54 dBFS.
_SILENT_PEAK = 64
# An error in place of audio, in JSON or HTML: text by its beginning, of which another encoding makes a few bytes unprintable.
# Of a voice's bytes hardly four in ten are printable, of a quiet one's fewer.
_HEAD_BYTES = 64
_TEXT_SHARE = 0.9
_PRINTABLE = string.printable.encode()
# Random bytes read as samples are louder (18,900 of 32,768) and change sign more often (half the time) than any speech.
_NOISE_RMS = 12_000
_NOISE_CROSSINGS = 0.4


class VoiceMeter:
    """How much of what is fed to it is a voice loud enough to understand, piece by piece: int16 little-endian mono, 8000 Hz."""

    def __init__(self) -> None:
        self._detector = webrtcvad.Vad(_VAD_MODE)
        self._rest = b""
        self.voiced_ms = 0

    def hear(self, pcm: bytes) -> int:
        """Milliseconds of voice so far."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % _FRAME_BYTES
        self._rest = pcm[whole:]
        for start in range(0, whole, _FRAME_BYTES):
            frame = pcm[start : start + _FRAME_BYTES]
            loud = _rms(np.frombuffer(frame, dtype="<i2")) >= _VOICE_RMS
            if loud and self._detector.is_speech(frame, AUDIO_RATE_HZ):
                self.voiced_ms += _FRAME_MS
        return self.voiced_ms


def voiced_ms(pcm: bytes) -> int:
    """Milliseconds of ``pcm`` (int16 little-endian mono, 8000 Hz) that hold a voice loud enough to understand."""
    return VoiceMeter().hear(pcm)


def rendered(pcm: bytes, rate_hz: int) -> bytes:
    """An engine's rendering at 8000 Hz. Raises EmptyAnswerError when there is nothing to hear, TransientEngineError
    when it is not audio.
    """
    if not pcm:
        raise EmptyAnswerError(Kind.EMPTY, "no audio")
    if len(pcm) % 2 or pcm[:4] in (b"RIFF", b"OggS", b"ID3\x04") or _is_text(pcm[:_HEAD_BYTES]):
        raise TransientEngineError(Kind.GARBAGE, "not 16-bit samples")
    samples = np.frombuffer(pcm, dtype="<i2")
    if int(np.abs(samples.astype(np.int32)).max()) < _SILENT_PEAK:
        raise EmptyAnswerError(Kind.SILENT, "silent audio")
    crossings = float(np.mean(np.signbit(samples[1:]) != np.signbit(samples[:-1]))) if samples.size > 1 else 0.0
    if _rms(samples) > _NOISE_RMS and crossings > _NOISE_CROSSINGS:
        raise TransientEngineError(Kind.GARBAGE, "noise, not speech")
    if rate_hz == AUDIO_RATE_HZ:
        return pcm
    return resample(samples.astype(np.int16), rate_hz, AUDIO_RATE_HZ).astype("<i2").tobytes()


def _is_text(head: bytes) -> bool:
    return sum(byte in _PRINTABLE for byte in head) >= _TEXT_SHARE * len(head)


def _rms(samples: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64))))) if samples.size else 0.0
