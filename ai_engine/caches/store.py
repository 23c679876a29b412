"""Answers and replies' audio that were made once, in the volatile Redis, shared by every worker.

Owns keys, time limits and failing quietly: without Redis, or with a slow one, a turn goes the long way. Which answers may
be kept is the neighbour's (:mod:`ai_engine.caches.rules`).
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from enum import StrEnum
from typing import Any, cast

import msgspec
import redis.exceptions
import structlog

from ai_engine.circuits.sharing import UNREACHABLE
from ai_engine.engines.roles import Understanding
from ai_engine.errors import BadEngineConfigError
from ai_engine.redis_clients import connect_async, uninterrupted
from callflows.definition.errors import UNREADABLE

# A look must be cheaper than what it saves: an answer takes some hundred milliseconds to make.
LIMIT_S = 0.1
# How long a wrong answer, once kept, can do harm; what is common is asked again within seconds anyway.
INTENT_EXPIRY_S = 3600
SPEECH_EXPIRY_S = 3600
# A reply of 20 s. Longer ones are rare, and the volatile Redis holds 256 MB for everything.
MAX_SPEECH_BYTES = 320_000

log = structlog.get_logger(__name__)


class Cache(StrEnum):
    """The names by which a cache is switched on, and by which a stage's record says what answered."""

    INTENTS = "intents"
    SPEECH = "speech"


def configured_caches(names: Iterable[str]) -> frozenset[Cache]:
    """Those of LIFELINE_CACHES. Raises BadEngineConfigError for a name that is none."""
    try:
        return frozenset(Cache(name) for name in names if name != "none")
    except ValueError as error:
        raise BadEngineConfigError(f"LIFELINE_CACHES: {error}; use {', '.join(Cache)} with commas between, or none") from None


class Caches:
    """``used``: which of them; without any, Redis is never asked."""

    def __init__(self, redis_url: str, used: Iterable[Cache] = tuple(Cache)) -> None:
        self._used = frozenset(used)
        self._redis = connect_async(redis_url, reply_timeout_s=LIMIT_S)
        self._away = False

    async def close(self) -> None:
        await self._redis.aclose()

    def uses(self, cache: Cache) -> bool:
        return cache in self._used

    async def answer(self, question: str) -> Understanding | None:
        """What these words meant the last time; None for words nobody has asked, or that may not be kept."""
        value = await self._get(Cache.INTENTS, question)
        if value is None:
            return None
        try:
            kept = msgspec.msgpack.decode(value, type=Understanding)
        except UNREADABLE as error:
            log.warning("kept_answer_unreadable", error=str(error))  # Another version of this program wrote it.
            return None
        return kept if kept.reply else None  # Half an answer, as an earlier version kept it.

    async def keep_answer(self, question: str, understood: Understanding) -> None:
        await self._set(Cache.INTENTS, question, msgspec.msgpack.encode(understood), INTENT_EXPIRY_S)

    async def speech(self, name: str) -> bytes | None:
        """PCM as an engine rendered it: int16 little-endian mono at 8000 Hz."""
        return await self._get(Cache.SPEECH, name)

    async def keep_speech(self, name: str, pcm: bytes) -> None:
        if len(pcm) <= MAX_SPEECH_BYTES:
            await self._set(Cache.SPEECH, name, pcm, SPEECH_EXPIRY_S)

    async def _get(self, cache: Cache, name: str) -> bytes | None:
        if not name or cache not in self._used:
            return None
        try:
            reading = cast("Coroutine[Any, Any, bytes | None]", self._redis.get(f"cache:{cache}:{name}"))
            value = await uninterrupted(reading)
        except UNREACHABLE as error:
            self._went_away(error)
            return None
        self._away = False
        return value

    async def _set(self, cache: Cache, name: str, value: bytes, expiry_s: int) -> None:
        if not name or cache not in self._used:
            return
        try:
            writing = cast("Coroutine[Any, Any, object]", self._redis.set(f"cache:{cache}:{name}", value, ex=expiry_s))
            await uninterrupted(writing)
        except redis.exceptions.OutOfMemoryError:
            return  # Full of what matters more.
        except UNREACHABLE as error:
            self._went_away(error)
        else:
            self._away = False

    def _went_away(self, error: BaseException) -> None:
        if not self._away:
            log.warning("caches_redis_away", error=str(error))
        self._away = True
