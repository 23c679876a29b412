"""What one attempt at an engine took and used, marked by the adapter as it happens and read into the turn's record.

Owns the marks and the price of what was used; decides nothing. Times are milliseconds since the attempt began.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from ai_engine.messages import Usage


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an engine costs, in the operator's currency: per million tokens or characters, and per minute of audio heard."""

    read_m: float = 0.0
    cached_m: float = 0.0
    written_m: float = 0.0
    characters_m: float = 0.0
    heard_minute: float = 0.0

    def of(self, usage: Usage) -> float:
        tokens = (
            (usage.tokens_read - usage.tokens_cached) * self.read_m
            + usage.tokens_cached * self.cached_m
            + usage.tokens_written * self.written_m
        )
        return (tokens + usage.characters * self.characters_m) / 1e6 + usage.heard_s / 60 * self.heard_minute


class Trace:
    """One attempt. The first mark of each kind counts; a new attempt starts a new trace, what was used adds up."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._started_at = clock()
        self.connect_ms: float | None = None
        self.first_byte_ms: float | None = None
        self.usage = Usage()

    def restart(self) -> None:
        """Another attempt begins: its times are its own, what the one before used was used all the same."""
        self._started_at = self._clock()
        self.connect_ms = self.first_byte_ms = None

    def connected(self) -> None:
        """A new connection stands. Not marked by a request on a connection that was there."""
        if self.connect_ms is None:
            self.connect_ms = self._since_ms()

    def first_byte(self) -> None:
        """The first token, partial or sample of the answer."""
        if self.first_byte_ms is None:
            self.first_byte_ms = self._since_ms()

    def used(self, usage: Usage) -> None:
        """By the provider's own figures where it gives any."""
        self.usage = self.usage.plus(usage)

    def _since_ms(self) -> float:
        return round((self._clock() - self._started_at) * 1000, 1)
