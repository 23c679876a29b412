"""Starting, ending and looking at the drill, in the durable Redis alone; blocking, for the console and ``manage.py drill``.

Owns the one key. It is set only where there is none, with an expiry: one drill at a time, and it ends by itself whoever dies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import redis
import structlog

from ai_engine.circuits.sharing import UNREACHABLE
from ai_engine.drills.drill import KEY, Drill, Running, check, decode
from ai_engine.drills.errors import DrillRunningError, DrillsUnreachableError
from ai_engine.redis_clients import connect
from callflows.definition.errors import UNREADABLE

log = structlog.get_logger(__name__)

# Only the drill that was meant: between looking and ending another may have begun.
_END = """
local value = redis.call('GET', KEYS[1])
if not value or cjson.decode(value).drill_id ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
"""


def start(redis_url: str, drill: Drill) -> None:
    """Workers and bridges read it within a quarter of a second. Raises BadDrillError, DrillRunningError or
    DrillsUnreachableError; after the last it may have begun all the same."""
    check(drill)
    ends_ms = int((drill.duration_s + drill.recovery_s) * 1000)
    with _client(redis_url) as client:
        if not client.set(KEY, msgspec.json.encode(drill), nx=True, px=ends_ms):
            raise DrillRunningError("another drill is under way; end it, or wait until it has ended")


def current(redis_url: str) -> Running | None:
    """Raises DrillsUnreachableError."""
    with _client(redis_url) as client, client.pipeline() as pipe:
        pipe.get(KEY)
        pipe.pttl(KEY)
        return running_of(pipe.execute())


def end(redis_url: str, drill_id: str) -> bool:
    """At once, its circuits included. False when it is not under way any more. Raises DrillsUnreachableError."""
    with _client(redis_url) as client:
        return bool(client.eval(_END, 1, KEY, drill_id))


def running_of(answers: Any) -> Running | None:
    """From the answers to GET and PTTL. What cannot be read is no drill; it expires like any other."""
    value, left_ms = answers
    if value is None or left_ms <= 0:
        return None
    try:
        return Running(decode(value), left_ms / 1000)
    except UNREADABLE as error:
        log.warning("drill_unreadable", error=str(error))
        return None


@contextmanager
def _client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        try:
            yield client
        except UNREACHABLE as error:
            raise DrillsUnreachableError(f"the durable Redis does not answer: {error}") from error
