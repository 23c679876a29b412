"""Audio of every turn that this process works on, read by one blocking reader.

Owns the reading of ``audio:{call}`` streams and its distribution. A stream is read from its beginning for each turn, so
that a worker which took a turn over hears all of it. A hundred blocked readers would exhaust a client's pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import cast

import structlog

from ai_engine.circuits.sharing import UNREACHABLE
from ai_engine.messages import FIELD, AudioChunk, audio_stream, decode_chunk
from ai_engine.recording import Arrival
from ai_engine.redis_clients import BLOCK_MS, connect_async, uninterrupted
from ai_engine.stream_reader import BEGINNING, LOOK_S, comes_before
from ai_engine.turn_queue import entry_age_ms
from callflows.definition.errors import UNREADABLE

# Of one stream at once: more than a listening limit holds, so that one reply catches a taken-over turn up.
READ_COUNT = 200
AWAY_PAUSE_S = 0.25

_Entry = tuple[bytes, dict[bytes, bytes]]

log = structlog.get_logger(__name__)


class AudioFeed:
    """The chunks of one turn, each once, in order, from the first."""

    def __init__(self, turn: int) -> None:
        self._turn = turn
        self._last_seq = -1
        self._queue: asyncio.Queue[Arrival] = asyncio.Queue()

    def offer(self, arrival: Arrival) -> None:
        if arrival.chunk.turn == self._turn and arrival.chunk.seq > self._last_seq:
            self._last_seq = arrival.chunk.seq
            self._queue.put_nowait(arrival)

    async def chunks(self) -> AsyncIterator[Arrival]:
        """Ends after the chunk that is marked as the end."""
        while True:
            arrival = await self._queue.get()
            yield arrival
            if arrival.chunk.end:
                return


class AudioHub:
    def __init__(self, redis_url: str) -> None:
        self._redis = connect_async(redis_url)
        self._feeds: dict[str, list[AudioFeed]] = {}
        self._positions: dict[str, str] = {}
        self._wanted = asyncio.Event()
        self._look_at = float("-inf")

    @contextlib.contextmanager
    def listen(self, call_uuid: str, turn: int) -> Iterator[AudioFeed]:
        """Everything of this turn that is there already, and what comes, until the block is left."""
        stream, feed = audio_stream(call_uuid), AudioFeed(turn)
        self._feeds.setdefault(stream, []).append(feed)
        self._positions[stream] = BEGINNING  # Another feed of this call sees old chunks again and knows them by their number.
        self._wanted.set()
        try:
            yield feed
        finally:
            self._feeds[stream].remove(feed)
            if not self._feeds[stream]:
                del self._feeds[stream], self._positions[stream]
            if not self._feeds:
                self._wanted.clear()

    async def run(self) -> None:
        """Until cancelled; goes on when Redis comes back."""
        away = False
        try:
            while True:
                await self._wanted.wait()
                try:
                    await uninterrupted(self._read())
                except UNREACHABLE as error:
                    if not away:
                        log.warning("audio_redis_away", error=str(error))
                    away = True
                    await asyncio.sleep(AWAY_PAUSE_S)
                else:
                    if away:
                        log.info("audio_redis_back")
                    away = False
        finally:
            await self.close()

    async def close(self) -> None:
        await self._redis.aclose()

    async def _read(self) -> None:
        if time.monotonic() >= self._look_at:
            await self._notice_what_began_anew()
            self._look_at = time.monotonic() + LOOK_S
        asked = dict(self._positions)
        if not asked:
            return
        answer = await self._redis.xread(asked, count=READ_COUNT, block=BLOCK_MS)  # type: ignore[arg-type]
        entries_of = cast("list[tuple[bytes, list[_Entry]]]", answer)
        found = [(raw.decode(), entries[-1][0].decode(), _decoded(raw, entries)) for raw, entries in entries_of]
        # A turn's budget runs from the end of its speech, not from when a worker came to read of it.
        ended = any(chunk.end for _, _, chunks in found for _, chunk in chunks)
        now = await self._redis.time() if ended else (0, 0)
        for stream, last_id, chunks in found:
            if self._positions.get(stream) != asked[stream]:
                continue  # A new turn of this call began meanwhile: read again from the beginning.
            self._positions[stream] = last_id
            for entry_id, chunk in chunks:
                for feed in self._feeds.get(stream, ()):
                    feed.offer(Arrival(chunk, entry_age_ms(entry_id, now) / 1000 if chunk.end else 0.0))

    async def _notice_what_began_anew(self) -> None:
        """A new turn clears the stream; when Redis' clock was set back since, its ids lie before what was read."""
        read = {stream: position for stream, position in self._positions.items() if position != BEGINNING}
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in read:
                pipe.xrevrange(stream, count=1)
            ends = await pipe.execute()
        for (stream, position), end in zip(read.items(), ends, strict=True):
            last = end[0][0].decode() if end else BEGINNING
            if comes_before(last, position) and self._positions.get(stream) == position:
                self._positions[stream] = BEGINNING


def _decoded(stream: bytes, entries: Sequence[_Entry]) -> list[tuple[str, AudioChunk]]:
    """What can be read of them, each with its entry's id."""
    found = []
    for entry_id, fields in entries:
        try:
            found.append((entry_id.decode(), decode_chunk(fields[FIELD])))
        except (*UNREADABLE, KeyError) as error:
            log.warning("audio_unreadable", stream=stream.decode(), entry=entry_id.decode(), error=str(error))
    return found
