"""What callers are just saying, for whoever watches: one small Redis stream, beside the journal and much cheaper.

Owns its shape, its bounds and the bridge's side of it. It may lose anything: a partial is worth nothing a second later, and
what was said in the end is in the journal.
"""

from __future__ import annotations

import asyncio

import msgspec
import redis.asyncio
import redis.exceptions
import structlog

from ai_engine.redis_clients import uninterrupted

log = structlog.get_logger(__name__)

PARTIALS_STREAM = "partials"
FIELD = b"m"
# The live page shows four changes a second; a bridge writes as often, however many of its callers speak.
WRITE_EVERY_S = 0.25
# Half a minute of one bridge, some seconds of ten: a reader is never further behind, or it has stopped reading.
MAX_ENTRIES = 120
EXPIRY_S = 30
# A line of the page; a caller who speaks longer is shown by their last words.
MAX_CHARS = 200
RETRY_S = 1.0


class Partials(msgspec.Struct, frozen=True, array_like=True):
    """By call: the words so far; empty when the caller's turn is over."""

    words: dict[str, str]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Partials)


def decode_partials(data: bytes) -> Partials:
    """Raises one of :data:`callflows.definition.errors.UNREADABLE`."""
    return _decoder.decode(data)


class PartialWriter:
    """``put`` from anywhere on the loop, never waits; ``run`` until cancelled. Only the latest words of each call go out."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._latest: dict[str, str] = {}
        self._news = asyncio.Event()

    def put(self, call_uuid: str, words: str) -> None:
        self._latest[call_uuid] = words[-MAX_CHARS:]
        self._news.set()

    async def run(self) -> None:
        away = False
        while True:
            await self._news.wait()
            self._news.clear()
            latest, self._latest = self._latest, {}
            try:
                await uninterrupted(self._write(Partials(latest)))
                away = False
            except (redis.exceptions.RedisError, OSError) as error:
                if not away:
                    log.warning("partials cannot be shown", error=str(error))
                away = True
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(WRITE_EVERY_S)

    async def _write(self, partials: Partials) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.xadd(PARTIALS_STREAM, {FIELD: _encoder.encode(partials)}, maxlen=MAX_ENTRIES, approximate=False)
            pipe.expire(PARTIALS_STREAM, EXPIRY_S)
            await pipe.execute()
