"""What one attempt at an engine took and used, marked by the adapter as it happens and read into the turn's record.

Owns the marks and the price of what was used; decides nothing. Times are milliseconds since the attempt began.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

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
    """One engine's part in a turn, attempt by attempt. The first mark of each kind counts; a new attempt marks anew, what
    was used adds up. ``clock``: in the same seconds as the turn's.

    An engine is asked when its attempt begins, unless it listens (:meth:`listens`): then there is nothing to answer before
    the caller speaks, and nobody waits for all of it before they have ended.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at = self._started_at = clock()
        self._asked_at: float | None = self._started_at
        self._idle: list[tuple[float, float]] = []
        self.connect_ms: float | None = None
        self.first_byte_ms: float | None = None
        self.usage = Usage()

    def restart(self) -> None:
        """Another attempt begins: its times are its own, what the one before used was used all the same."""
        self._started_at = self._asked_at = self._clock()
        self.connect_ms = self.first_byte_ms = None

    def listens(self) -> None:
        """To a caller who may think for seconds: it is asked nothing before :meth:`asked`."""
        self._asked_at = None

    def asked(self) -> None:
        """There is something to answer, a voice or all of a recording: the time to the first byte runs from here."""
        if self._asked_at is None:
            self._asked_at = self._clock()

    def awaited_since(self, at: float) -> None:
        """The caller has ended, by the clock: only now anybody waits for the answer. Told again, it changes nothing."""
        self._began_at = max(self._began_at, at)
        if self._asked_at is None:
            self._asked_at = max(self._started_at, at)

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """What the block takes is not the engine's time."""
        since = self._clock()
        try:
            yield
        finally:
            self._idle.append((since, self._clock()))

    def connected(self) -> None:
        """A new connection stands. Not marked by a request on a connection that was there."""
        if self.connect_ms is None:
            # One that hears whole recordings connects only when it has one.
            self.connect_ms = _ms(self._clock() - (self._started_at if self._asked_at is None else self._asked_at))

    def first_byte(self) -> None:
        """The first token, partial or sample of the answer."""
        if self.first_byte_ms is None and self._asked_at is not None:
            self.first_byte_ms = _ms(self._clock() - self._asked_at)

    def used(self, usage: Usage) -> None:
        """By the provider's own figures where it gives any. Those that cannot be are none: the answer is good all the same."""
        if usage.is_credible:
            self.usage = self.usage.plus(usage)

    @property
    def total_ms(self) -> float:
        """All attempts and the pauses between them, without what was idle."""
        idle_s = sum(max(0.0, until - max(since, self._began_at)) for since, until in self._idle)
        return _ms(self._clock() - self._began_at - idle_s)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
