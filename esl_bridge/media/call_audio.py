"""The audio of one call, frame by frame: what to publish, and what to tell its bridge. Pure; the gateway does the I/O.

Owns which turn is being listened to. Between turns audio is thrown away. While a prompt plays it is *watched*: judged for
voice here, with a little of it kept, and published only from the moment the caller speaks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from ai_engine.messages import AudioChunk, BridgeMessage, MediaReport, SpeechEnded, SpeechStarted
from callflows.definition.errors import UNREADABLE
from esl_bridge.media.voice import FRAME_BYTES, OVER_WINDOW_FRAMES, Change, VoiceActivity, VoiceOverPrompt

FRAMES_A_CHUNK = 5
FRAMES_A_REPORT = 12
# A barge-in is known 140 to 300 ms after it began, and the first consonant is too soft to count: so much goes with it.
KEPT_FRAMES = 30
# mod_audio_stream sends 20 ms a message, or a few times that; a second of audio in one message is nobody we know.
MAX_MESSAGE_BYTES = 16_000


class Order(msgspec.Struct, frozen=True):
    """A text message of the bridge's on the call's stream: ``{"watch":N}``, ``{"listen":N}`` or ``{"hush":N}``."""

    watch: int = 0
    listen: int = 0
    hush: int = 0


class BadAudio(Exception):
    """The peer sends what mod_audio_stream would not."""


@dataclass(slots=True)
class Output:
    chunks: list[AudioChunk] = field(default_factory=list)
    messages: list[BridgeMessage] = field(default_factory=list)


class CallAudio:
    """``turn`` is 0 while nobody listens; ``last_turn`` is the one that last began, and whose reply may still come."""

    def __init__(self, call_uuid: str) -> None:
        self._call_uuid = call_uuid
        self.turn = 0
        self.last_turn = 0
        self._watched = 0
        self._seq = 0
        self._frames = 0
        self._pending = bytearray()
        self._rest = bytearray()
        self._voice = VoiceActivity()
        self._over_prompt = VoiceOverPrompt()
        self._kept: deque[bytes] = deque(maxlen=KEPT_FRAMES)

    def on_text(self, text: str) -> Output:
        """Raises BadAudio for text that is not the bridge's."""
        try:
            wanted = msgspec.json.decode(text, type=Order)
        except UNREADABLE as error:
            raise BadAudio("a text message is not an order of the bridge") from error
        if wanted.hush:
            if wanted.hush == self._watched:
                self._watched = 0
            return self._end_turn() if wanted.hush == self.turn else Output()
        if wanted.watch:
            output = self._end_turn() if self.turn else Output()
            self._watched = wanted.watch
            self._kept.clear()
            self._over_prompt = VoiceOverPrompt()
            return output
        # A barge-in that the bridge had not heard of when the prompt ended has begun this turn already.
        if wanted.listen and wanted.listen != self.last_turn:
            return self._listen(wanted.listen)
        return Output()

    def _listen(self, turn: int) -> Output:
        output = self._end_turn() if self.turn else Output()
        watched = turn == self._watched
        self._begin(turn, VoiceActivity())
        # At once, so that the bridge sees the gateway alive and the worker finds this turn's stream.
        output.messages.append(MediaReport(self._call_uuid, turn, 0))
        if watched and self._over_prompt.perhaps_begun:
            for frame in list(self._kept)[-OVER_WINDOW_FRAMES:]:
                self._frame(frame, output)
        return output

    def _begin(self, turn: int, voice: VoiceActivity) -> None:
        self.turn = self.last_turn = turn
        self._watched = 0
        self._seq = self._frames = 0
        self._pending.clear()
        self._voice = voice

    def on_audio(self, data: bytes) -> Output:
        if len(data) > MAX_MESSAGE_BYTES:
            raise BadAudio("an audio message is too large")
        output = Output()
        self._rest += data
        while len(self._rest) >= FRAME_BYTES:
            frame = bytes(self._rest[:FRAME_BYTES])
            del self._rest[:FRAME_BYTES]
            if self.turn:
                self._frame(frame, output)
            elif self._watched:
                self._watch(frame, output)
        return output

    def _watch(self, frame: bytes, output: Output) -> None:
        self._kept.append(frame)
        if self._over_prompt.feed(frame):
            turn = self._watched
            self._begin(turn, VoiceActivity(speaking=True))
            output.messages.append(SpeechStarted(self._call_uuid, turn))
            for kept in self._kept:
                self._frame(kept, output)

    def _frame(self, frame: bytes, output: Output) -> None:
        self._frames += 1
        self._pending += frame
        if len(self._pending) >= FRAMES_A_CHUNK * FRAME_BYTES:
            output.chunks.append(self._chunk(end=False))
        if self._frames % FRAMES_A_REPORT == 0:
            output.messages.append(MediaReport(self._call_uuid, self.turn, self._frames))
        change = self._voice.feed(frame)
        if change is Change.BEGAN:
            output.messages.append(SpeechStarted(self._call_uuid, self.turn))
        elif change is Change.ENDED:
            output.messages.append(SpeechEnded(self._call_uuid, self.turn, "vad"))
            output.chunks += self._end_turn().chunks

    def _end_turn(self) -> Output:
        output = Output(chunks=[self._chunk(end=True)])
        self.turn = 0
        return output

    def _chunk(self, *, end: bool) -> AudioChunk:
        chunk = AudioChunk(self.turn, self._seq, bytes(self._pending), end)
        self._seq += 1
        self._pending.clear()
        return chunk
