"""From the stream of circuits' moves in the durable Redis to the database: each once, with the position in one transaction.

Owns reading and storing; blocking, called by the recorder's process. What is told, and when, is ``ai_engine.circuits``'.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import redis
import structlog
from django.db import models, transaction

from ai_engine.circuits import keys
from ai_engine.circuits.history import CircuitMove as Told
from ai_engine.circuits.history import read_after
from console.models import CircuitMove, RecorderPosition

log = structlog.get_logger(__name__)

# Circuits move seldom; whoever watches one sees its move within a second of its state.
LOOK_EVERY_S = 0.25
READ_COUNT = 500
BEGINNING = "0-0"


class MoveRecorder:
    """``nudge`` is called after each stored batch."""

    def __init__(self, client: redis.Redis, nudge: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = client
        self._nudge = nudge
        self._clock = clock
        self._looked_at = float("-inf")

    def step(self) -> int:
        """The number of moves stored; mostly it is not yet time to look. Raises what Redis and the database raise."""
        if self._clock() - self._looked_at < LOOK_EVERY_S:
            return 0
        found = read_after(self._redis, self._position(), READ_COUNT)
        self._looked_at = self._clock()
        if not found:
            return 0
        rows = [row for _, told in found if told is not None and (row := _row(told)) is not None]
        with transaction.atomic():
            # What is there already was read before: the stream was begun anew, or another recorder runs.
            CircuitMove.objects.bulk_create(rows, ignore_conflicts=True)
            RecorderPosition.objects.update_or_create(stream=keys.MOVES, defaults={"entry_id": found[-1][0]})
        self._nudge()
        return len(rows)

    def _position(self) -> str:
        """Where the database says we are; the beginning, when the stream ends before that and so was begun anew."""
        row = RecorderPosition.objects.filter(stream=keys.MOVES).first()
        if row is None:
            return BEGINNING
        try:
            info: Any = self._redis.xinfo_stream(keys.MOVES)
        except redis.ResponseError:  # There is no stream: whatever comes will be new.
            return BEGINNING
        return row.entry_id if _order(info["last-generated-id"].decode()) >= _order(row.entry_id) else BEGINNING


def _row(told: Told) -> CircuitMove | None:
    try:
        move = CircuitMove(
            entry_id=told.entry_id,
            circuit=told.circuit,
            how=told.how.value,
            before=told.before,
            after=told.after,
            by=told.by,
            why=told.why,
            at=datetime.fromtimestamp(told.at, tz=UTC),
            until=None if told.until is None else datetime.fromtimestamp(told.until, tz=UTC),
            lasted_s=told.lasted_s,
        )
    except (ValueError, OverflowError, OSError) as error:
        # A date that no database takes must not stop the moves after it.
        log.warning("circuit_move_not_stored", entry=told.entry_id, error=str(error))
        return None
    for field in CircuitMove._meta.concrete_fields:
        if isinstance(field, models.CharField):  # PostgreSQL takes no NUL.
            setattr(move, field.attname, getattr(move, field.attname).replace("\0", "")[: field.max_length])
    return move


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
