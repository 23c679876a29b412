"""Which workers are there and what they say of themselves, read from the volatile Redis. Blocks."""

from __future__ import annotations

from typing import Any

import msgspec
import redis

from ai_engine.messages import Heartbeat
from ai_engine.redis_clients import connect


def workers_seen(redis_url: str) -> list[tuple[str, Heartbeat]] | None:
    """Workers that reported within three seconds, by name; None when Redis cannot be asked."""
    try:
        with connect(redis_url) as client:
            keys = sorted(client.scan_iter("worker:*", count=1000))
            values: Any = client.mget(keys) if keys else []
    except (redis.RedisError, OSError):
        return None
    return [
        (key.decode().removeprefix("worker:"), msgspec.json.decode(value, type=Heartbeat))
        for key, value in zip(keys, values, strict=True)
        if value is not None
    ]
