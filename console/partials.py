"""What callers are just saying, for the live page: read from Redis while somebody watches, and kept in memory only.

Owns the reading and the forgetting. Nothing of it is stored; without Redis the page shows what was said last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import redis.exceptions
import structlog
from django.conf import settings

from ai_engine.redis_clients import connect_async, uninterrupted
from ai_engine.stream_reader import StreamReader
from callflows.definition.errors import UNREADABLE
from esl_bridge.partials import FIELD, PARTIALS_STREAM, decode_partials

log = structlog.get_logger(__name__)

# Shorter than the clients' reply time-out; whoever leaves the page waits for it at most.
BLOCK_MS = 200
RETRY_S = 1.0
# An engine that goes on hearing says so within this; older words are of a turn whose end was lost.
SHOWN_FOR_S = 5.0
# Far more than speak at once on one page; a full table forgets the oldest.
MAX_CALLS = 1000


class Hearing:
    """Words by call, with the moment they came. Filled on the loop, read from the thread that renders."""

    def __init__(self) -> None:
        self._words: dict[str, tuple[str, float]] = {}

    def take(self, words: dict[str, str], now: float) -> None:
        for call_uuid, text in words.items():
            self._words.pop(call_uuid, None)
            if text:
                self._words[call_uuid] = text, now
        while len(self._words) > MAX_CALLS:
            del self._words[next(iter(self._words))]

    def now(self, now: float) -> dict[str, str]:
        """What is being said, by call."""
        return {uuid: text for uuid, (text, at) in list(self._words.items()) if now - at < SHOWN_FOR_S}

    def forget(self) -> None:
        self._words.clear()


hearing = Hearing()


async def follow(on_news: Callable[[], None]) -> None:
    """Until cancelled: fill :data:`hearing` and say when there is something new."""
    away = False
    client = connect_async(settings.LIFELINE_REDIS_VOLATILE_URL)
    partials = StreamReader(client, PARTIALS_STREAM, position=None, block_ms=BLOCK_MS)
    try:
        while True:
            try:
                entries = await uninterrupted(partials.read())
                away = False
            except (redis.exceptions.RedisError, OSError) as error:
                if not away:
                    log.warning("partials_not_read", error=str(error))
                away = True
                await asyncio.sleep(RETRY_S)
                continue
            for _, fields in entries:
                _take(fields)
            if entries:
                on_news()
    finally:
        hearing.forget()
        await client.aclose()


def _take(fields: dict[bytes, bytes]) -> None:
    try:
        hearing.take(decode_partials(fields[FIELD]).words, time.monotonic())
    except (*UNREADABLE, KeyError) as error:
        log.warning("partials_unreadable", error=str(error))
