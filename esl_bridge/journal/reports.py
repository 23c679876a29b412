"""What each process says of its spool, in the volatile Redis: the durable one being away is the usual reason for a full spool.

Owns the form, writing and reading. A report stays for a day, so that what was known last can be said; whether it is of now
is said by a key of its own that expires, by Redis' clock and nobody's else.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, cast

import msgspec
import redis.asyncio

from ai_engine.redis_clients import connect, uninterrupted

REPORTS = "spools"
REPORT_EVERY_S = 1.0
FRESH_MS = 5_000
KEPT_S = 86_400
# From here on a person is warned: at full load more than an hour is left.
WARN_SHARE = 0.5


class SpoolReport(msgspec.Struct, frozen=True):
    """``bytes`` and ``limit_bytes`` are of the folder, which a machine's processes share; the rest is of this process.

    ``waiting``: its events that the recorder has not confirmed. ``oldest_s``: how long the oldest has waited, of those that
    it adopted too. ``place``: machine and folder. ``left_behind``: spools of processes that are gone, which it adopted.
    ``lost``: events for which there was no room, and that are not yet in the journal as lost. ``at_s``: Unix time, by its own
    clock. ``has_namesake``: another process that lives goes by the same name.
    """

    process: str
    boot_id: str
    bytes: int
    limit_bytes: int
    place: str
    waiting: int
    oldest_s: float
    left_behind: int
    lost: int
    at_s: float
    has_namesake: bool = False


def _fresh_key(boot_id: str) -> str:
    return f"spool:fresh:{boot_id}"


async def tell(client: redis.asyncio.Redis, report: SpoolReport, gone: Iterable[str]) -> None:
    """Replaces this boot's report and takes away those of boots that have nothing left. Raises what Redis raises."""
    async with client.pipeline(transaction=False) as pipe:
        pipe.hset(REPORTS, report.boot_id, cast("Any", msgspec.json.encode(report)))
        pipe.set(_fresh_key(report.boot_id), 1, px=FRESH_MS)
        pipe.expire(REPORTS, KEPT_S)
        forgotten = list(gone)
        if forgotten:
            pipe.hdel(REPORTS, *forgotten)
        await uninterrupted(cast("Coroutine[Any, Any, Any]", pipe.execute()))


async def withdraw(client: redis.asyncio.Redis, boot_id: str) -> None:
    """This process ends, and has nothing left to send."""
    await uninterrupted(cast("Coroutine[Any, Any, Any]", client.hdel(REPORTS, boot_id)))


def reports(redis_url: str, now_s: float) -> list[tuple[SpoolReport, bool]]:
    """By process and time, each with whether it is of the last seconds. Raises what Redis raises."""
    with connect(redis_url) as client:
        kept: Any = client.hgetall(REPORTS)
        found = [msgspec.json.decode(one, type=SpoolReport) for one in kept.values()]
        known = sorted((one for one in found if now_s - one.at_s < KEPT_S), key=lambda one: (one.process, one.at_s))
        fresh: Any = client.mget([_fresh_key(one.boot_id) for one in known]) if known else []
    return [(one, mark is not None) for one, mark in zip(known, fresh, strict=True)]
