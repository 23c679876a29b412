"""From the spool to the durable Redis stream, in order and at least once; the recorder drops what it has already stored.

Owns the journal of one process: numbering, spooling, sending, and adopting the spools of dead ones. ``append`` never
waits and never fails for the caller: a live call does not depend on Redis, the recorder, or a disk with room.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis.asyncio
import redis.exceptions
import structlog

from ai_engine.redis_clients import uninterrupted
from esl_bridge.journal.events import FIELD, JOURNAL_STREAM, Entry, JournalEvent, encode_batch, watermark_key
from esl_bridge.journal.spool import Spool

log = structlog.get_logger(__name__)

BATCH = 200
# Together with the recorder's own batching this keeps the live page within a quarter of a second of the call.
SEND_EVERY_S = 0.05
WATERMARK_EVERY_S = 1.0
ADOPT_EVERY_S = 20.0
RETRY_S = (0.2, 0.5, 1.0, 2.0)
# The recorder may be away for long; sending an adopted spool again costs little and is rare.
RESEND_ADOPTED_S = 60.0
# Beyond this the spool's files are read again instead: memory stays bounded while Redis is away for hours.
MAX_IN_MEMORY = 20_000
# After Redis was away it may have lost its last second: what is still not stored this long afterwards is sent again.
RESEND_AFTER_S = 5.0


@dataclass(slots=True)
class _Adopted:
    spool: Spool
    sent: bool = False
    sent_at: float = 0.0


class Journal:
    """One per process. ``append`` from anywhere on the loop; ``run`` sends until cancelled; ``drain`` waits for the rest."""

    def __init__(self, root: Path, client: redis.asyncio.Redis) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._client = client
        self.boot_id = uuid.uuid4().hex
        self._spool = Spool.create(root, self.boot_id)
        self._seq = 0
        self._sent = 0
        self._stored = 0
        self._progress_at = time.monotonic()
        self._redis_was_away = False
        self._tail: deque[Entry] = deque()
        self._unspooled: deque[Entry] = deque(maxlen=MAX_IN_MEMORY)
        self._wake = asyncio.Event()

    def append(self, call_uuid: str, epoch: int, event: JournalEvent) -> None:
        self._seq += 1
        entry = Entry(self.boot_id, self._seq, call_uuid, epoch, time.time_ns() // 1000, event)
        try:
            self._flush_unspooled()
            self._spool.append(entry)
        except OSError as error:
            if not self._unspooled:
                log.error("the journal cannot be spooled; it is kept in memory", error=str(error))
            self._unspooled.append(entry)
        if len(self._tail) < MAX_IN_MEMORY:
            self._tail.append(entry)
        self._wake.set()

    async def run(self) -> None:
        """Send for ever; Redis may come and go."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_forever())
            tasks.create_task(self._adopt_forever())

    async def drain(self, limit_s: float) -> bool:
        """Wait until everything is sent; False when the limit came first or Redis is away (then the next boot adopts the spool)."""
        try:
            async with asyncio.timeout(limit_s):
                while self._sent < self._seq:
                    await self._send_batch()
        except (TimeoutError, redis.exceptions.RedisError, OSError) as error:
            log.warning("the end of the journal stays in the spool", entries=self._seq - self._sent, error=repr(error))
        return self._sent >= self._seq

    def close(self) -> None:
        self._spool.close()

    def _flush_unspooled(self) -> None:
        while self._unspooled:
            self._spool.append(self._unspooled[0])
            self._unspooled.popleft()

    async def _send_forever(self) -> None:
        failures = 0
        checked_at = 0.0
        while True:
            try:
                while self._sent < self._seq:
                    await self._send_batch()
                if time.monotonic() - checked_at >= WATERMARK_EVERY_S:
                    checked_at = time.monotonic()
                    await self._check_watermark()
                failures = 0
            except (redis.exceptions.RedisError, OSError) as error:
                if failures == 0:
                    log.warning("the journal waits in the spool: Redis cannot be reached", error=str(error))
                await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                self._redis_was_away = True
                self._progress_at = time.monotonic()
                continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), WATERMARK_EVERY_S)
            await asyncio.sleep(SEND_EVERY_S)

    async def _send_batch(self) -> None:
        batch = self._next_batch()
        if not batch:
            return
        await self._add(batch)
        self._sent = batch[-1].seq

    def _next_batch(self) -> list[Entry]:
        """From memory when the next one is there, else from the files."""
        while self._tail and self._tail[0].seq <= self._sent:
            self._tail.popleft()
        if self._tail and self._tail[0].seq == self._sent + 1:
            return [self._tail[index] for index in range(min(BATCH, len(self._tail)))]
        batch = self._spool.read_after(self._sent, BATCH)
        if not batch:
            log.error("journal entries are lost: neither in memory nor on disk", after=self._sent, last=self._seq)
            self._sent = self._seq
        return batch

    async def _check_watermark(self) -> None:
        stored = await self._stored_of(self.boot_id)
        if stored > self._stored or self._sent == stored:
            self._stored = max(stored, self._stored)
            self._progress_at = time.monotonic()
            self._spool.drop_through(self._stored)
        elif self._redis_was_away and time.monotonic() - self._progress_at > RESEND_AFTER_S:
            self._redis_was_away = False
            log.info("sending the journal again from what is stored", stored=self._stored, sent=self._sent)
            self._progress_at = time.monotonic()
            self._tail.clear()
            self._sent = self._stored

    async def _adopt_forever(self) -> None:
        adopted: list[_Adopted] = []
        while True:
            try:
                for spool in Spool.adopt(self._root):
                    adopted.append(_Adopted(spool))
                    log.info("adopting the journal of a process that is gone", boot=spool.boot_id)
                for one in list(adopted):
                    if await self._deliver(one):
                        one.spool.remove()
                        adopted.remove(one)
            except (redis.exceptions.RedisError, OSError) as error:
                log.debug("an adopted journal waits", error=str(error))
            await asyncio.sleep(WATERMARK_EVERY_S if adopted else ADOPT_EVERY_S)

    async def _deliver(self, adopted: _Adopted) -> bool:
        """Send what is left of an adopted spool, once; again only if it is not stored in time. True once all of it is."""
        spool = adopted.spool
        stored = await self._stored_of(spool.boot_id)
        if not spool.read_after(stored, 1):
            return True
        if adopted.sent and time.monotonic() - adopted.sent_at < RESEND_ADOPTED_S:
            return False
        position = stored
        while batch := spool.read_after(position, BATCH):
            await self._add(batch)
            position = batch[-1].seq
        adopted.sent, adopted.sent_at = True, time.monotonic()
        return False

    async def _stored_of(self, boot_id: str) -> int:
        answer: Any = await uninterrupted(cast("Coroutine[Any, Any, Any]", self._client.get(watermark_key(boot_id))))
        return int(answer or 0)

    async def _add(self, batch: list[Entry]) -> None:
        await uninterrupted(
            cast("Coroutine[Any, Any, Any]", self._client.xadd(JOURNAL_STREAM, {FIELD: encode_batch(tuple(batch))}))
        )
