"""What one turn has heard and how long it may still take: its clock, its audio from the beginning, its partial results.

Owns no decision about stages; the turn does. Audio is int16 little-endian mono at 8000 Hz.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple, Protocol

from ai_engine.engines.audio import voiced_ms
from ai_engine.errors import AiError
from ai_engine.messages import AudioChunk, BridgeMessage, SpeakReply, TurnPartial, TurnRequest

# A page that is read by people needs no more; every partial of every call is a message through Redis.
PARTIAL_EVERY_S = 0.15
# The bridge's own deadline must not pass while our result is on its way to it.
MARGIN_S = 0.15
# The gateway sends ten chunks a second: this long without one means that it, or the call, is gone.
NO_AUDIO_S = 3.0


class NoAudioError(AiError):
    """The call's audio stopped without an end: nothing to be said about any engine."""


class Outlet(Protocol):
    async def tell(self, message: BridgeMessage) -> None: ...

    async def speak(self, reply: SpeakReply) -> None: ...


class Arrival(NamedTuple):
    """``ago_s``: how long the turn's end had been there when it was read; of other chunks it is not asked."""

    chunk: AudioChunk
    ago_s: float


class TurnClock:
    """How much of the turn is left: until it is worthless, and, once the caller has spoken, within its budget."""

    def __init__(self, left_s: float, budget_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._budget_s = budget_s
        self._deadline = clock() + left_s
        self.ended_at: float | None = None
        """When the caller had stopped speaking, by the clock; None while they may still speak."""
        self._at_end: list[Callable[[], None]] = []

    def speech_ended(self, ago_s: float = 0.0) -> None:
        """Whoever says the earliest is right: an engine that hears a turn again, later, notices its end later as well."""
        ended_at = self._clock() - ago_s
        self.ended_at = ended_at if self.ended_at is None else min(self.ended_at, ended_at)
        self._deadline = min(self._deadline, self.ended_at + self._budget_s - MARGIN_S)
        told, self._at_end = self._at_end, []
        for tell in told:
            tell()

    @contextlib.contextmanager
    def when_ended(self, tell: Callable[[], None]) -> Iterator[None]:
        """Calls ``tell`` once when the caller has stopped speaking, at once if that is so already, never after the block."""
        if self.ended_at is not None:
            tell()
        else:
            self._at_end.append(tell)
        try:
            yield
        finally:
            if tell in self._at_end:
                self._at_end.remove(tell)

    def left_s(self) -> float:
        return self._deadline - self._clock()


class Recording:
    """The turn's audio so far, for every engine that has to hear it from the beginning."""

    def __init__(self, on_end: Callable[[float], None]) -> None:
        self._on_end = on_end
        self._chunks: list[bytes] = []
        self._ended = False
        self._news = asyncio.Event()

    async def fill(self, chunks: AsyncIterator[Arrival]) -> None:
        async for chunk, ago_s in chunks:
            if chunk.pcm:
                self._chunks.append(chunk.pcm)
            if chunk.end:
                self._ended = True
                self._on_end(ago_s)
            self._news.set()

    async def play(self) -> AsyncIterator[bytes]:
        """All of it, then what comes, until the end. Raises :class:`NoAudioError`."""
        position = 0
        while True:
            while position < len(self._chunks):
                yield self._chunks[position]
                position += 1
            if self._ended:
                return
            self._news.clear()
            try:
                async with asyncio.timeout(NO_AUDIO_S):
                    await self._news.wait()
            except TimeoutError:
                raise NoAudioError(f"no audio for {NO_AUDIO_S:.0f} s") from None

    def voiced_ms(self) -> int:
        return voiced_ms(b"".join(self._chunks))


class Partials:
    """What is heard so far, told at most every 150 ms."""

    def __init__(self, request: TurnRequest, outlet: Outlet) -> None:
        self._request = request
        self._outlet = outlet
        self._latest = ""
        self._news = asyncio.Event()

    def hear(self, transcript: str) -> None:
        if transcript != self._latest:
            self._latest = transcript
            self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._outlet.tell(TurnPartial(self._request.call_uuid, self._request.turn, self._latest))
            await asyncio.sleep(PARTIAL_EVERY_S)
