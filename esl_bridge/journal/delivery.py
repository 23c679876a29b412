"""One boot's entries on their way through the durable Redis: what is sent, what is stored, what has to be sent again.

Owns the order and the window; where entries come from is a function given. Not more than ``WINDOW`` entries are on the way:
while the recorder or its database is away they wait in the spool, on disk, and not in the memory of Redis.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

import redis.asyncio
import structlog

from ai_engine.redis_clients import uninterrupted
from esl_bridge.journal.events import FIELD, JOURNAL_STREAM, Entry, encode_batch, watermark_key

log = structlog.get_logger(__name__)

BATCH = 200
# 4 MB of a stream, and more in each second than a recorder stores in one.
WINDOW = 20_000
# What is neither in the stream nor stored after this long is lost, or could not be stored: send again, more and more seldom.
RESEND_AFTER_S = 5.0
RESEND_AT_MOST_S = 60.0


class Delivery:
    """``read(seq, limit)`` gives entries behind ``seq`` in order. Methods raise what Redis raises; calling again goes on."""

    def __init__(
        self, boot_id: str, client: redis.asyncio.Redis, read: Callable[[int, int], list[Entry]],
        *, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._boot_id = boot_id
        self._client = client
        self._read = read
        self._clock = clock
        self.sent = 0
        self.stored = 0
        # Of the batches that are sent and not stored: the stream's name for each, and its last seq.
        self._on_the_way: deque[tuple[bytes, int]] = deque()
        self._progress_at = clock()
        self._patience_s = RESEND_AFTER_S

    async def send(self) -> bool:
        """The next batch. False when nothing is left to send, or as much is on the way as may be."""
        room = WINDOW - (self.sent - self.stored)
        batch = self._read(self.sent, min(BATCH, room)) if room > 0 else []
        if not batch:
            return False
        if not self._on_the_way:
            self._progress_at = self._clock()
        # Once it is sent, this is noted, whatever becomes of the one who waits.
        await uninterrupted(self._add(batch))
        return True

    async def check(self) -> None:
        """Ask how far the recorder is. When the oldest batch is in neither place for some time, go back to what is stored."""
        stored, in_stream = await uninterrupted(self._ask())
        if stored > self.stored:
            self.stored = stored
            self.sent = max(self.sent, stored)
            self._progress_at, self._patience_s = self._clock(), RESEND_AFTER_S
            while self._on_the_way and self._on_the_way[0][1] <= stored:
                self._on_the_way.popleft()
        elif in_stream or not self._on_the_way:
            self._progress_at = self._clock()
        elif self._clock() - self._progress_at > self._patience_s:
            log.info("sending the journal again from what is stored", boot=self._boot_id, stored=self.stored, sent=self.sent)
            self._progress_at = self._clock()
            self._patience_s = min(2 * self._patience_s, RESEND_AT_MOST_S)
            self._on_the_way.clear()
            self.sent = self.stored

    async def _add(self, batch: list[Entry]) -> None:
        fields: Any = {FIELD: encode_batch(tuple(batch))}
        entry_id: Any = await cast("Coroutine[Any, Any, Any]", self._client.xadd(JOURNAL_STREAM, fields))
        self.sent = batch[-1].seq
        self._on_the_way.append((entry_id, batch[-1].seq))

    async def _ask(self) -> tuple[int, bool]:
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.get(watermark_key(self._boot_id))
            if self._on_the_way:
                oldest: Any = self._on_the_way[0][0]
                pipe.xrange(JOURNAL_STREAM, oldest, oldest)
            answers: Any = await pipe.execute()
        return int(answers[0] or 0), len(answers) > 1 and bool(answers[1])
