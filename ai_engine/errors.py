"""What can go wrong on the AI side. An engine's error carries the policy: its kind and whether to try again."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from enum import StrEnum


class AiError(Exception):
    """The root of this app's errors."""


class BadEngineConfigError(AiError):
    """The engines' settings cannot be used; the message says which and how to mend it."""


class Kind(StrEnum):
    """How an engine failed, as it is counted, logged and shown."""

    REFUSED = "refused"
    RESET = "reset"
    TIMEOUT = "timeout"
    HANG = "hang"
    NO_PARTIAL = "no_partial"
    NO_TOKEN = "no_token"
    NO_AUDIO = "no_audio"
    NO_PONG = "no_pong"
    STALLED = "stalled"
    HTTP_400 = "http_400"
    HTTP_401 = "http_401"
    HTTP_403 = "http_403"
    HTTP_404 = "http_404"
    HTTP_429 = "http_429"
    HTTP_500 = "http_500"
    GARBAGE = "garbage"
    WRONG_SCHEMA = "wrong_schema"
    EMPTY = "empty"
    SILENT = "silent"
    BUSY = "busy"
    NO_ENGINE = "no_engine"
    NO_FLOW = "no_flow"
    INTERNAL = "internal"


class EngineError(AiError):
    """An engine did not do its part. ``retryable``: the same engine may do it a moment later; not before
    ``retry_after_s`` when it said so itself.
    """

    retryable = True

    def __init__(self, kind: Kind, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}" if detail else str(kind))
        self.kind = kind
        self.detail = detail
        self.retry_after_s = retry_after_s


class TransientEngineError(EngineError):
    """Refused, reset, 429, 5xx, garbage: a moment later it may work."""


class SlowEngineError(EngineError):
    """Silence past a limit. Trying it again would cost the same wait once more, so the next engine gets the time."""

    retryable = False


class LateTurnError(SlowEngineError):
    """The turn had too little time left for this attempt. No failure of the engine."""

    def __init__(self) -> None:
        super().__init__(Kind.TIMEOUT, "too little time left in the turn")


class PermanentEngineError(EngineError):
    """A wrong key, a wrong address, a request it will never take: only another engine can help."""

    retryable = False


class EmptyAnswerError(EngineError):
    """An answer in form with nothing in it."""


_BY_STATUS = {400: Kind.HTTP_400, 401: Kind.HTTP_401, 403: Kind.HTTP_403, 404: Kind.HTTP_404, 429: Kind.HTTP_429}



def http_error(status: int, headers: Mapping[str, str] | None = None) -> EngineError:
    """The error for an HTTP answer that is none: 408, 429 and 5xx may pass, any other says that we are wrong."""
    wait_s = retry_after_s(headers or {}, time.time())
    if status >= 500:
        return TransientEngineError(Kind.HTTP_500, f"status {status}", retry_after_s=wait_s)
    if status in (408, 429):
        return TransientEngineError(_BY_STATUS.get(status, Kind.TIMEOUT), f"status {status}", retry_after_s=wait_s)
    return PermanentEngineError(_BY_STATUS.get(status, Kind.HTTP_400), f"status {status}")


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """How long the server asks to be left alone: ``Retry-After`` in seconds or as a date, or the milliseconds that some
    clouds give beside it. None when it says nothing, or nothing readable.
    """
    found = {name.lower(): value for name, value in headers.items() if name.lower().startswith("retry-after")}
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(found[name]) / scale
        except (KeyError, ValueError):
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        until = email.utils.parsedate_to_datetime(found.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, until.timestamp() - now)
