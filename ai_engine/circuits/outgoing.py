"""What one process has yet to tell the fleet: outcomes of engines, results of probes, moves of its own circuits.

Owns the bookkeeping, memory only; the board sends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from ai_engine.circuits.guard import Move
from ai_engine.circuits.sharing import LocalMove
from ai_engine.circuits.states import FORCED, CircuitState, Verdict

# While Redis is away a bridge's own circuit may open and close every few seconds; beyond an hour of that the oldest
# moves matter least.
MAX_MOVES = 1000


class Pending(msgspec.Struct):
    """One circuit's outcomes not yet sent. Consecutive counting needs no list: a success, and the failures after it."""

    ok_seen: bool = False
    failures: int = 0
    why: str = ""

    def add(self, verdict: Verdict, kind: str) -> None:
        if verdict is Verdict.OK:
            self.ok_seen, self.failures = True, 0
        else:
            self.failures += 1
            self.why = kind

    @property
    def empty(self) -> bool:
        return not self.ok_seen and not self.failures


class Outcomes:
    """The pending outcomes of every shared circuit."""

    def __init__(self) -> None:
        self._of: dict[str, Pending] = {}
        self._sent: dict[str, Pending] | None = None
        self.number = 0
        """Of what :meth:`take` gave last."""

    def keep_only(self, names: Iterable[str]) -> None:
        self._of = {name: self._of.get(name) or Pending() for name in names}

    def add(self, name: str, verdict: Verdict, kind: str) -> None:
        self._of[name].add(verdict, kind)

    def take(self) -> dict[str, Pending]:
        """Everything, to be sent; the same again, under the same number, until it was :meth:`confirmed`: nobody knows
        whether what got no answer was taken. What came meanwhile waits.
        """
        if self._sent is None:
            self._sent, self._of = self._of, {name: Pending() for name in self._of}
            self.number += 1
        return self._sent

    def confirmed(self, sent: dict[str, Pending]) -> None:
        if self._sent is sent:
            self._sent = None

    def forget(self, name: str) -> None:
        """The circuit moved: what is pending was seen before that."""
        self._of[name] = Pending()

    def has(self, name: str) -> bool:
        return not self._of[name].empty

    @property
    def any(self) -> bool:
        return any(not pending.empty for pending in self._of.values())


class Settle(msgspec.Struct, frozen=True):
    """A probe's result on its way to the fleet."""

    token: str
    verdict: Verdict
    why: str
    threshold: int
    own_move: int


class _Queued(NamedTuple):
    mark: str
    move: Move
    at: float
    lasted_s: float


class LocalMoves:
    """Moves of this process' own circuits until they are in the history; holds are told where they are ordered."""

    def __init__(self, process_id: str, clock: Callable[[], float]) -> None:
        # Two boots of one bridge have one name; the moment tells their marks apart.
        self._prefix = f"{process_id}:{clock():.6f}"
        self._clock = clock
        self._count = 0
        self._left_closed: dict[str, float] = {}
        self._queue: deque[_Queued] = deque(maxlen=MAX_MOVES)

    def add(self, move: Move) -> None:
        if move.before in FORCED or move.after in FORCED:
            return
        now = self._clock()
        if move.before is CircuitState.CLOSED:
            self._left_closed[move.name] = now
        self._count += 1
        lasted_s = now - self._left_closed.get(move.name, now)
        self._queue.append(_Queued(f"{self._prefix}:{self._count}", move, now, lasted_s))

    @property
    def first(self) -> LocalMove | None:
        if not self._queue:
            return None
        mark, move, at, lasted_s = self._queue[0]
        return LocalMove(mark, move.name, move.before, move.after, self._clock() - at, lasted_s, move.why)

    def told(self, move: LocalMove) -> None:
        if self._queue and self._queue[0].mark == move.mark:
            self._queue.popleft()
