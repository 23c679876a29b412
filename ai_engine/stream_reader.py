"""One Redis stream, read from a position on: each entry once, in order, and also when the stream begins anew with lower ids.

Owns the position. A stream whose key expired gets its next ids from Redis' clock; after that was set back, or from a new
Redis whose clock is behind, they lie before the position, and XREAD alone would find nothing for the size of the step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis.asyncio

from ai_engine.redis_clients import BLOCK_MS

BEGINNING = "0-0"
# How late the first entries of a stream with lower ids may be heard. A turn's budget is three seconds and more.
LOOK_S = 1.0

Entry = tuple[bytes, dict[bytes, bytes]]


class StreamReader:
    """``position`` None: from the end that the stream has at the first read. Methods raise redis-py's errors."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        stream: str,
        *,
        position: str | None = BEGINNING,
        count: int | None = None,
        block_ms: int = BLOCK_MS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._stream = stream
        self._position = position
        self._count = count
        self._block_ms = block_ms
        self._clock = clock
        self._look_at = float("-inf")

    async def read(self) -> list[Entry]:
        """What came since the last read; waits ``block_ms`` for the first. After a failed read nothing is skipped."""
        if self._position is None:
            self._position = await self._last()
        found: Any = await self._client.xread({self._stream: self._position}, count=self._count, block=self._block_ms)
        entries: list[Entry] = [entry for _, there in found or () for entry in there]
        if entries:
            self._position = _text(entries[-1][0])
        elif self._clock() >= self._look_at:
            if comes_before(await self._last(), self._position):
                self._position = BEGINNING
            self._look_at = self._clock() + LOOK_S
        return entries

    async def _last(self) -> str:
        last: Any = await self._client.xrevrange(self._stream, count=1)
        return _text(last[0][0]) if last else BEGINNING


def comes_before(one: str, other: str) -> bool:
    """Of two ids in one stream."""
    return _number(one) < _number(other)


def _number(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
