"""What moved in the circuits, as rows: for the live page and the page of all moves.

Owns reading and wording them; the page itself is ``circuit_pages.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ai_engine.circuits.history import How
from console import circuit_words
from console.models import CircuitMove

# Beside the circuits an operator looks for what has just happened.
SHOWN = 5
NEWEST_FIRST = ("-at", "-pk")


@dataclass(frozen=True, slots=True)
class MoveRow:
    at: datetime
    circuit: str
    states: str
    reason: str
    span: str
    by_hand: bool
    kind: str


def last_moves() -> list[MoveRow]:
    """The newest first; one query."""
    return move_rows(CircuitMove.objects.order_by(*NEWEST_FIRST)[:SHOWN])


def move_rows(found: Iterable[CircuitMove]) -> list[MoveRow]:
    return [_row(move) for move in found]


def _row(move: CircuitMove) -> MoveRow:
    until_s = None if move.until is None else move.until.timestamp()
    return MoveRow(
        at=move.at,
        circuit=circuit_words.name(move.circuit),
        states=circuit_words.states(move.before, move.after),
        reason=circuit_words.reason(move.how, move.before, move.after, why=move.why, by=move.by, until_s=until_s),
        span=circuit_words.span(move.how, move.before, lasted_s=move.lasted_s),
        by_hand=move.how != How.AUTOMATIC,
        kind=move.after.replace("_", "-"),
    )
