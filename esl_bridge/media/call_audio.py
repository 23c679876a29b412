"""The audio of one call, frame by frame: what to publish, and what to tell its bridge. Pure; the gateway does the I/O.

Owns which turn is being listened to. Between turns frames are counted and thrown away: audio is kept only while listening.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from ai_engine.messages import AudioChunk, BridgeMessage, MediaReport, SpeechEnded, SpeechStarted
from esl_bridge.media.voice import FRAME_BYTES, Change, VoiceActivity

FRAMES_A_CHUNK = 5
FRAMES_A_REPORT = 12
# mod_audio_stream sends 20 ms a message, or a few times that; a second of audio in one message is nobody we know.
MAX_MESSAGE_BYTES = 16_000


class Order(msgspec.Struct, frozen=True):
    """A text message of the bridge's on the call's stream: ``{"listen":N}`` or ``{"hush":N}``."""

    listen: int = 0
    hush: int = 0


class BadAudio(Exception):
    """The peer sends what mod_audio_stream would not."""


@dataclass(slots=True)
class Output:
    chunks: list[AudioChunk] = field(default_factory=list)
    messages: list[BridgeMessage] = field(default_factory=list)


class CallAudio:
    """``turn`` is 0 while nobody listens."""

    def __init__(self, call_uuid: str) -> None:
        self._call_uuid = call_uuid
        self.turn = 0
        self.last_turn = 0
        self._seq = 0
        self._frames = 0
        self._pending = bytearray()
        self._rest = bytearray()
        self._voice = VoiceActivity()

    def on_text(self, text: str) -> Output:
        """Raises BadAudio for text that is not the bridge's."""
        try:
            wanted = msgspec.json.decode(text, type=Order)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadAudio("a text message is not an order of the bridge") from error
        if wanted.hush and wanted.hush == self.turn:
            return self._end_turn()
        if wanted.listen:
            output = self._end_turn() if self.turn else Output()
            self.turn = self.last_turn = wanted.listen
            self._seq = self._frames = 0
            self._pending.clear()
            self._voice = VoiceActivity()
            # At once, so that the bridge sees the gateway alive and the worker finds this turn's stream.
            output.messages.append(MediaReport(self._call_uuid, self.turn, 0))
            return output
        return Output()

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
        return output

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
