"""Spools that dead processes left: sent by whoever lives, and taken away once all of them is stored.

Owns looking for them and their delivery. One that this version cannot read stays where it is, for one that can.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio
import redis.exceptions
import structlog

from esl_bridge.journal.delivery import Delivery
from esl_bridge.journal.spool import Spool, SpoolUnreadable

log = structlog.get_logger(__name__)

ADOPT_EVERY_S = 20.0
DELIVER_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Adopted:
    spool: Spool
    delivery: Delivery
    oldest_at_us: int | None


class Adopter:
    """``gone`` is told the boot of each spool that was taken away."""

    def __init__(
        self, root: Path, client: redis.asyncio.Redis, gone: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._client = client
        self._gone = gone
        self._clock = clock
        self._adopted: list[_Adopted] = []
        self._unreadable: list[Spool] = []

    @property
    def count(self) -> int:
        return len(self._adopted) + len(self._unreadable)

    @property
    def oldest_at_us(self) -> int | None:
        """When the oldest entry happened that waits here, by the wall clock. A little too old while it is being delivered."""
        return min((one.oldest_at_us for one in self._adopted if one.oldest_at_us is not None), default=None)

    async def run(self) -> None:
        while True:
            try:
                self.look()
                await self.deliver()
            except (redis.exceptions.RedisError, OSError) as error:
                log.debug("an adopted journal waits", error=str(error))
            await asyncio.sleep(DELIVER_EVERY_S if self._adopted else ADOPT_EVERY_S)

    def look(self) -> None:
        """Adopt what is there to adopt."""
        for spool in Spool.adopt(self._root):
            try:
                first = spool.read_after(0, 1)
            except SpoolUnreadable as error:
                self._leave(spool, error)
                continue
            delivery = Delivery(spool.boot_id, self._client, spool.read_after, clock=self._clock)
            self._adopted.append(_Adopted(spool, delivery, first[0].at_us if first else None))
            log.info("adopting the journal of a process that is gone", boot=spool.boot_id)

    async def deliver(self) -> None:
        """A window's worth of each, and what is stored is taken away. Raises what Redis and the disk raise."""
        for one in list(self._adopted):
            try:
                await one.delivery.check()
                while await one.delivery.send():
                    pass
                if one.delivery.stored < one.delivery.sent or one.spool.read_after(one.delivery.stored, 1):
                    continue
            except SpoolUnreadable as error:
                self._adopted.remove(one)
                self._leave(one.spool, error)
                continue
            self._adopted.remove(one)
            one.spool.remove()
            self._gone(one.spool.boot_id)

    def close(self) -> None:
        for spool in [*self._unreadable, *(one.spool for one in self._adopted)]:
            spool.close()
        self._adopted.clear()
        self._unreadable.clear()

    def _leave(self, spool: Spool, error: SpoolUnreadable) -> None:
        """Locked as long as we live, so that nobody tries it again and again."""
        log.error("a journal that this version cannot read is left where it is", folder=str(spool.folder), error=str(error))
        self._unreadable.append(spool)
