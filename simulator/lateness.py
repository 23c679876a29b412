"""How late this process is itself: callers of a simulator that has no time hear silence that is nobody else's.

Owns the measuring, by a timer ten times a second.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from simulator.records import percentile

_EVERY_S: Final = 0.1
# Half an hour.
_KEPT: Final = 18_000


class Lateness:
    def __init__(self) -> None:
        self._late_s: deque[float] = deque(maxlen=_KEPT)

    async def run(self) -> None:
        """For ever."""
        while True:
            due_s = time.monotonic() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            self._late_s.append(max(0.0, time.monotonic() - due_s))

    def as_dict(self) -> dict[str, int]:
        """Milliseconds by which its timers came late."""
        late_s = list(self._late_s)
        return {"p50": round(percentile(late_s, 0.5) * 1000), "p99": round(percentile(late_s, 0.99) * 1000),
                "max": round(max(late_s, default=0.0) * 1000)}  # fmt: skip
