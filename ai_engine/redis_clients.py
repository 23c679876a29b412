"""The one place where Redis clients are built, with every time-out said (redis-py's defaults are traps).

Owns nothing else: no keys, no scripts. ``durable`` holds journal, circuits and Celery; ``volatile`` turns and audio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

# A local socket answers in well under a millisecond; a second of silence means the server is gone or frozen.
CONNECT_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 1.0
# A blocking read waits at most 50 ms in the server (a blocked XREAD ignores streams added meanwhile), see TRAPS.md.
BLOCK_MS = 50
# More are no faster: one thread sends them all. An asynchronous command beyond them waits for its turn.
POOL_CONNECTIONS = 64

T = TypeVar("T")


def connect_async(url: str, *, reply_timeout_s: float = REPLY_TIMEOUT_S) -> redis.asyncio.Redis:
    """A client that never repeats a command: a lost reply raises, the caller decides (XADD would be stored twice).

    What finds every connection busy waits in line, as long as for a reply: redis-py's own pool refuses the 65th command at
    once, and a healthy Redis would pass for one that is away. All wait at the same time, so that silence costs each of
    them two such times at most.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        timeout=reply_timeout_s,
        socket_timeout=reply_timeout_s,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        max_connections=POOL_CONNECTIONS,
        retry=AsyncRetry(NoBackoff(), 0),
        health_check_interval=0,
    )
    return redis.asyncio.Redis.from_pool(pool)


def connect(url: str, *, reply_timeout_s: float = REPLY_TIMEOUT_S) -> redis.Redis:
    """The blocking twin, for management commands, Celery and views."""
    return redis.Redis.from_url(
        url,
        socket_timeout=reply_timeout_s,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        max_connections=POOL_CONNECTIONS,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


async def uninterrupted(exchange: Coroutine[Any, Any, T]) -> T:
    """Awaits an exchange with Redis to its end although the caller is cancelled; then the cancellation goes on.

    Every endless loop needs it: redis-py sends under ``asyncio.wait_for``, which in Python 3.11 swallows a cancellation
    that arrives as the send ends (measured: 8 of 200 cancelled loops ran on for ever), and a cancelled command leaks
    its connection. The client's time-outs bound the wait.
    """
    task = asyncio.create_task(exchange)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # Looked at, so that nobody warns about it.
        raise
