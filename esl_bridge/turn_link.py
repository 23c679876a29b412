"""A bridge's link to the queue: turns out, results in, over the volatile Redis.

Owns the two clients, the one reader of ``results:{bridge}``, and noticing that Redis is gone. Decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import redis.exceptions
import structlog

from ai_engine.messages import FIELD, BridgeMessage, TurnRequest, decode_bridge_message, results_stream
from ai_engine.redis_clients import connect_async, uninterrupted
from ai_engine.stream_reader import StreamReader
from ai_engine.turn_queue import publish_turn
from callflows.definition.errors import UNREADABLE

log = structlog.get_logger(__name__)

READ_COUNT = 500
RETRY_S = 0.25
# A publish that takes longer is as good as lost: the caller is already speaking.
PUBLISH_TIMEOUT_S = 0.5


class TurnLink:
    """``on_message(message)`` for each result in order; ``on_lost(kind)`` each time Redis stops answering."""

    def __init__(
        self, url: str, bridge_id: str, on_message: Callable[[BridgeMessage], None], on_lost: Callable[[str], None]
    ) -> None:
        self._writer = connect_async(url, reply_timeout_s=PUBLISH_TIMEOUT_S)
        self._reader = connect_async(url)
        self._results = StreamReader(self._reader, results_stream(bridge_id), position=None, count=READ_COUNT)
        self._on_message = on_message
        self._on_lost = on_lost
        self.lost = False

    async def publish(self, request: TurnRequest) -> bool:
        """False when it could not be published; it is not tried again (the call falls over at once)."""
        try:
            await publish_turn(self._writer, request)
        except (redis.exceptions.RedisError, OSError) as error:
            log.warning("a turn could not be published", call=request.call_uuid, error=str(error))
            return False
        return True

    async def run(self) -> None:
        """Read results until cancelled. Results from before the start belong to calls of an earlier process.

        One failed read is tried again at once, from where it was: after a stall of this process it means nothing, and what
        came meanwhile is still wanted. A Redis that is away fails the second time as well.
        """
        failures = 0
        while True:
            try:
                await self._read()
                failures = 0
                if self.lost:
                    self.lost = False
                    log.info("the queue is back")
            except (redis.exceptions.RedisError, OSError) as error:
                failures += 1
                if failures == 1:
                    continue
                if not self.lost:
                    self.lost = True
                    log.warning("the queue is lost", error=str(error))
                self._on_lost("redis_away")
                await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        await self._writer.aclose()
        await self._reader.aclose()

    async def _read(self) -> None:
        for entry_id, fields in await uninterrupted(self._results.read()):
            try:
                message = decode_bridge_message(fields[FIELD])
            except (*UNREADABLE, KeyError) as error:
                log.error("a message to this bridge cannot be read", entry=entry_id.decode(), error=str(error))
                continue
            self._on_message(message)
