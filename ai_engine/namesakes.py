"""Whether another process that lives goes by the name of this one: two stacks that share their Redis, most likely.

Owns the question, in the volatile Redis. Both go on; what it means is for the log and the page to say.
"""

from __future__ import annotations

import uuid
from collections.abc import Coroutine
from typing import Any, cast

import redis.asyncio
import structlog

from ai_engine.redis_clients import uninterrupted

# Asked every second. What a process that ended left behind is gone by then.
KEPT_MS = 3_000

log = structlog.get_logger(__name__)


class Namesake:
    """Of one process. ``name`` is its own among those of the same ``kind``."""

    def __init__(self, kind: str, name: str) -> None:
        self.is_there = False
        self._name = name
        self._key = f"name:{kind}:{name}"
        self._boot_id = uuid.uuid4().hex
        self._looked = False

    async def look(self, client: redis.asyncio.Redis) -> None:
        """Write down that this process has the name, and see who has it. Raises what Redis raises.

        Whoever wrote since we did is alive. At the first time it may be what a process before us left.
        """
        wrote = client.set(self._key, self._boot_id, px=KEPT_MS, get=True)
        before = await uninterrupted(cast("Coroutine[Any, Any, bytes | None]", wrote))
        is_there = self._looked and before is not None and before.decode() != self._boot_id
        self._looked = True
        if is_there and not self.is_there:
            log.error("another process has the same name: give each host a LIFELINE_HOST_NAME of its own", name=self._name)
        elif self.is_there and not is_there:
            log.info("no other process has the same name any more", name=self._name)
        self.is_there = is_there
