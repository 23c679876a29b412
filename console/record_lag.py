"""How far what is shown lags behind what happened, and what a page says of it.

Owns from when on it is said, and the words. How long the oldest entry has waited the recorder's position tells (``lag_s``).
"""

from __future__ import annotations

from typing import Any

import redis
from django.conf import settings

from console import words
from console.recorder import lag_s

# A recorder that is well stores within a quarter of a second, and one that was started again has caught up after two.
SHOWN_S = 3.0


def recording_lag_s() -> float | None:
    """None with the durable Redis away. Raises what the database raises."""
    try:
        return lag_s(settings.LIFELINE_REDIS_DURABLE_URL)
    except (redis.RedisError, OSError):
        return None


def is_behind(waits_s: float | None) -> bool:
    return waits_s is not None and waits_s > SHOWN_S


def behind(waits_s: float | None, now_s: float) -> dict[str, Any]:
    """What ``console/behind.html`` needs, on every page that shows records. ``now_s``: seconds since 1970."""
    return {
        "lag_is_known": waits_s is not None,
        "behind_since_ms": int((now_s - (waits_s or 0)) * 1000) if is_behind(waits_s) else None,
        "behind_for": words.duration(waits_s or 0),
    }
