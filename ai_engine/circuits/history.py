"""What moved: each circuit's moves by itself and by operators' orders, read from the durable Redis.

Owns the value and the reading; blocking, for the console's recorder and ``manage.py circuit history``. The scripts write
the stream together with each move.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
import redis
import structlog

from ai_engine.circuits import keys, scripts

log = structlog.get_logger(__name__)


class How(StrEnum):
    """``automatic``: by failures, time and probes; also beneath a hold. The others are an operator's hold."""

    AUTOMATIC = "automatic"
    FORCED = "forced"
    RELEASED = "released"
    EXPIRED = "expired"


class CircuitMove(msgspec.Struct, frozen=True):
    """``before`` and ``after`` are values of CircuitState, or empty where nothing single can be said (every bridge's
    ``turns`` at once). ``why`` is a failure's kind, ``timeout``, ``probe``, or the operator's reason; ``by`` the operator.

    ``at`` and ``until`` are seconds since 1970. ``lasted_s``: to open, how long it was closed; from open or half-open, how
    long it was out of use; at a hold's end, how long it held.
    """

    entry_id: str
    circuit: str
    how: How
    before: str
    after: str
    at: float
    lasted_s: float
    by: str = ""
    why: str = ""
    until: float | None = None


def read_after(client: redis.Redis, entry_id: str, count: int) -> list[tuple[str, CircuitMove | None]]:
    """The oldest ``count`` moves after that entry; None stands for one that cannot be read. Raises what redis raises."""
    rows: Any = client.xrange(keys.MOVES, min=f"({entry_id}", count=count)
    return [(row[0].decode(), _decoded(*row)) for row in rows]


def newest(client: redis.Redis, count: int) -> list[CircuitMove]:
    """The newest first, in the order of arrival; holds whose time has come are told first. Raises what redis raises."""
    client.eval(scripts.REAP, 0)
    rows: Any = client.xrevrange(keys.MOVES, count=count)
    return [move for row in rows if (move := _decoded(*row)) is not None]


def _decoded(entry_id: bytes, fields: Mapping[bytes, bytes]) -> CircuitMove | None:
    """Another version of Lifeline may have written it: what cannot be read is said and left out."""
    try:
        text = {name.decode(): value.decode() for name, value in fields.items()}
        return CircuitMove(
            entry_id=entry_id.decode(),
            circuit=text["circuit"],
            how=How(text["how"]),
            before=text["before"],
            after=text["after"],
            at=int(text["at"]) / 1000,
            lasted_s=int(text["lasted"]) / 1000,
            by=text["by"],
            why=text["why"],
            until=int(text["until"]) / 1000 if text["until"] else None,
        )
    except (KeyError, ValueError) as error:
        log.warning("circuit_move_unreadable", entry=entry_id.decode(), error=repr(error))
        return None
