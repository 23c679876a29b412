"""The line between a switch's channel and the person at its far end.

Owns what the person says as audio, and the interface by which the switch tells them what can be heard. Decides nothing.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from simulator.media import FRAME_S, RATE_HZ, Part

FRAME_BYTES: Final = int(RATE_HZ * FRAME_S) * 2  # 320 bytes of int16 little-endian mono
# An idle line through a PCMA codec, whose smallest step is 16; digital silence, or speech without any noise under it,
# would be unlike any telephone, and recognisers trained on real audio do badly with both.
_NOISE_LSB: Final = 20
_NOISE_FRAMES: Final = 251  # prime, so that the loop does not line up with anything


def _line_noise() -> bytes:
    count = FRAME_BYTES // 2 * _NOISE_FRAMES
    samples = np.random.default_rng(8021).integers(-_NOISE_LSB, _NOISE_LSB, size=count, endpoint=True)
    return samples.astype("<i2").tobytes()


_NOISE: Final = _line_noise()


class FarEnd(Protocol):
    """What the switch tells the person on a channel. Calls return at once; they run on the switch's loop."""

    def on_answered(self) -> None: ...

    def on_audio_started(self, part: Part) -> None: ...

    def on_audio_ended(self, part: Part, heard_s: float) -> None: ...

    def on_bridged(self, agent: str) -> None: ...

    def on_unbridged(self) -> None: ...

    def on_hung_up(self, cause: str) -> None: ...


class Microphone:
    """What the person says, on the switch's clock: speech where they spoke, and line noise all the time."""

    def __init__(self) -> None:
        self._speech = b""
        self._speech_from_frame = 0

    def say(self, pcm: bytes, at_s: float) -> float:
        """Begin to speak ``pcm`` (int16 little-endian, 8 kHz) now; what was being said stops. How long it takes."""
        self._speech = pcm
        self._speech_from_frame = round(at_s / FRAME_S)
        return len(pcm) / 2 / RATE_HZ

    def stop(self) -> None:
        self._speech = b""

    def frame(self, number: int) -> bytes:
        """The 20 ms that begin ``number`` frames after the epoch of the switch's clock."""
        offset = (number - self._speech_from_frame) * FRAME_BYTES
        noise_at = (number % _NOISE_FRAMES) * FRAME_BYTES
        noise = _NOISE[noise_at : noise_at + FRAME_BYTES]
        if not 0 <= offset < len(self._speech):
            return noise
        spoken = np.frombuffer(self._speech[offset : offset + FRAME_BYTES].ljust(FRAME_BYTES, b"\0"), dtype="<i2")
        mixed = spoken.astype(np.int32) + np.frombuffer(noise, dtype="<i2")
        return bytes(np.clip(mixed, -32768, 32767).astype("<i2").tobytes())
