"""Voice activity: when a caller began to speak, over a prompt or after it, and when they stopped.

Pure but for webrtcvad's own state. Frames are 20 ms: int16 little-endian mono, 8000 Hz, 320 bytes.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

import numpy as np
import webrtcvad

FRAME_BYTES = 320
FRAME_MS = 20
# What a switch has in the place of a packet that was lost, FreeSWITCH 20 ms of -1: nothing of the line's is below +-8, but silence.
# Beside it any noise is a voice for webrtcvad: of lines with a noise of 10 to 300 LSB that lose a packet in fifty, three of four
# "spoke" within five seconds, and of those that lose one in ten none ever stopped (measured).
NOTHING_PEAK = 4
PACKET_SAMPLES = 80  # of 10 ms, the shortest
# Mode 2 of 0–3: hears through line noise of ±20 LSB and flags about one frame in a hundred of it.
AGGRESSIVENESS = 2
# 120 ms of voice within 240 ms: a click is shorter, the shortest word ("no") is not.
WINDOW_FRAMES, VOICED_FRAMES = 12, 6
# People pause between words for up to half a second; longer, and they wait for an answer.
SILENCE_FRAMES = 35
# Over a prompt the line may carry the prompt back. Prompts are at -20 dB full scale (callflows.rendering), replies no louder
# (loudness.py); a line that returns 20 dB less has frames of up to 670 RMS (measured). Callers speak at 900 to 3000.
OVER_PROMPT_RMS = 800.0
# What a line really returns is known after 0.8 s of a prompt, half of which was speech for certain: then 10 dB above its loudest
# tenth of a second are enough, down to soft speech. None of our prompts stopped itself so at -15 to -39 dB (measured).
KNOWN_FRAMES, ECHO_FRAMES = 40, 5
ABOVE_ECHO = 3.0
SOFT_VOICE_RMS = 300.0
# 140 ms of loud voice within 300 ms: two syllables' worth, and "no" has more. Without a prompt 120 ms of any voice do.
OVER_WINDOW_FRAMES, OVER_FRAMES = 15, 7


class _Line:
    """webrtcvad, which follows the line's noise from frame to frame; a frame with a gap in it is none of the line's."""

    def __init__(self) -> None:
        self._vad = webrtcvad.Vad(AGGRESSIVENESS)

    def is_voice(self, frame: bytes) -> bool:
        peaks = np.abs(np.frombuffer(frame, dtype="<i2").astype(np.int32)).reshape(-1, PACKET_SAMPLES).max(axis=1)
        return bool(peaks.min() >= NOTHING_PEAK) and self._vad.is_speech(frame, 8000)


class Change(StrEnum):
    BEGAN = "began"
    ENDED = "ended"


class VoiceActivity:
    """Hear of the two changes, each once. ``speaking``: the beginning is known already, and only the end is waited for."""

    def __init__(self, *, speaking: bool = False) -> None:
        self._line = _Line()
        self._window: list[bool] = []
        self._silent = 0
        self.speaking = speaking
        self.ended = False

    def feed(self, frame: bytes) -> Change | None:
        voiced = self._line.is_voice(frame)
        if self.ended:
            return None
        if not self.speaking:
            self._window = [*self._window[-WINDOW_FRAMES + 1 :], voiced]
            if sum(self._window) >= VOICED_FRAMES:
                self.speaking = True
                self._silent = 0
                return Change.BEGAN
            return None
        self._silent = 0 if voiced else self._silent + 1
        if self._silent >= SILENCE_FRAMES:
            self.ended = True
            return Change.ENDED
        return None


class VoiceOverPrompt:
    """Whether somebody speaks over a prompt, fed from its beginning: stricter than :class:`VoiceActivity`, so that the prompt's
    echo is nobody."""

    def __init__(self) -> None:
        self._line = _Line()
        self._window: deque[bool] = deque(maxlen=OVER_WINDOW_FRAMES)
        # Of the frames under judgement, and of the tenth of a second before them, which is taken for echo.
        self._powers: deque[float] = deque(maxlen=OVER_WINDOW_FRAMES + ECHO_FRAMES)
        self._frames = 0
        self._echo_rms = 0.0

    def feed(self, frame: bytes) -> bool:
        """True once the caller has begun to speak."""
        self._frames += 1
        power = float(np.mean(np.square(np.frombuffer(frame, dtype="<i2").astype(np.float64))))
        self._powers.append(power)
        if len(self._powers) == self._powers.maxlen:
            earlier = [self._powers[index] for index in range(ECHO_FRAMES)]
            self._echo_rms = max(self._echo_rms, (sum(earlier) / ECHO_FRAMES) ** 0.5)
        # Asked of every frame: it follows the line's noise.
        voiced = self._line.is_voice(frame)
        self._window.append(voiced and power**0.5 >= self._least_rms)
        return sum(self._window) >= OVER_FRAMES

    @property
    def _least_rms(self) -> float:
        if self._frames < KNOWN_FRAMES:
            return OVER_PROMPT_RMS
        return min(OVER_PROMPT_RMS, max(SOFT_VOICE_RMS, ABOVE_ECHO * self._echo_rms))

    @property
    def perhaps_begun(self) -> bool:
        """A first syllable may be among the last frames: too little for a barge-in, too much to throw away."""
        return sum(self._window) >= OVER_FRAMES // 2
