"""Voice activity of one turn: when the caller began to speak, and when they stopped. Pure but for webrtcvad's own state."""

from __future__ import annotations

from enum import StrEnum

import webrtcvad

FRAME_BYTES = 320
FRAME_MS = 20
# Mode 2 of 0–3: hears through line noise of ±20 LSB and flags about one frame in a hundred of it.
AGGRESSIVENESS = 2
# 120 ms of voice within 240 ms: a click is shorter, the shortest word ("no") is not.
WINDOW_FRAMES, VOICED_FRAMES = 12, 6
# People pause between words for up to half a second; longer, and they wait for an answer.
SILENCE_FRAMES = 35


class Change(StrEnum):
    BEGAN = "began"
    ENDED = "ended"


class VoiceActivity:
    """Feed 20 ms frames (int16 little-endian mono, 8000 Hz, 320 bytes); hear of the two changes, each once."""

    def __init__(self) -> None:
        self._vad = webrtcvad.Vad(AGGRESSIVENESS)
        self._window: list[bool] = []
        self._silent = 0
        self.speaking = False
        self.ended = False

    def feed(self, frame: bytes) -> Change | None:
        voiced = self._vad.is_speech(frame, 8000)
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
