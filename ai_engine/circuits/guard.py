"""One circuit in one process: a pybreaker with memory storage, and around it what pybreaker does not do.

Owns: permits with generations, abandoned outcomes that count as nothing, a monotonic open time, one probe at a time,
an operator's hold outside the automatic states. Everything is synchronous and takes microseconds; nothing is awaited
inside the breaker. Knows nothing of Redis: the board adopts the fleet's state into it and hears of its moves.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import pybreaker

from ai_engine.circuits.states import TURNS, USABLE, CircuitState, CircuitView, Hold, Permit, Verdict

_AUTOMATIC = {
    pybreaker.STATE_CLOSED: CircuitState.CLOSED,
    pybreaker.STATE_OPEN: CircuitState.OPEN,
    pybreaker.STATE_HALF_OPEN: CircuitState.HALF_OPEN,
}
# A probe whose holder never reported (it was cancelled without a word) is given up after this time. Longer than a
# probe may take: first byte and total limits of an engine stay below five seconds.
PROBE_LIMIT_S = 8.0
# Unlike any other in this process, also of a guard that was removed and came again.
_own_moves = itertools.count(1)


class Move(NamedTuple):
    """The state as seen from outside changed. ``why``: a failure's kind, ``probe``, ``timeout`` or operator's words."""

    name: str
    before: CircuitState
    after: CircuitState
    why: str


class _EngineFailedError(Exception):
    """Carries a failure into the breaker; never leaves the guard."""


def _fail() -> NoReturn:
    raise _EngineFailedError


def _succeed() -> None:
    return None


class Guard:
    """One engine's circuit. ``clock`` is monotonic seconds; ``wall_clock``, seconds since 1970, only ends a hold."""

    def __init__(
        self,
        name: str,
        stage: str,
        *,
        threshold: int = 3,
        open_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.stage = stage
        self.threshold = threshold
        self.open_s = open_s
        self.generation = 1
        self.own_move = 0
        """The number of a move made here that the fleet has not confirmed yet; 0: there is none."""
        self.is_read = True
        """False: the fleet's state of it was never asked for, so nobody may use the engine yet. A matter of milliseconds."""
        self.on_outcome: Callable[[Guard, Permit, Verdict, str], None] | None = None
        self.on_move: Callable[[Move], None] | None = None
        self._clock = clock
        self._wall_clock = wall_clock
        self._storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=threshold, state_storage=self._storage, name=name, throw_new_error_on_trip=False
        )
        self._changed_at = clock()
        self._changed_wall = 0.0
        self._why = ""
        self._hold: Hold | None = None
        self._probe: Permit | None = None
        self._probe_at = 0.0
        self._shown = CircuitState.CLOSED

    # --- what callers ask -------------------------------------------------------------------------------------------
    @property
    def automatic(self) -> CircuitState:
        """The state beneath any hold, with the open time applied."""
        state = _AUTOMATIC[self._storage.state]
        if state is CircuitState.OPEN and self._clock() - self._changed_at >= self.open_s:
            self._breaker.half_open()
            self.generation += 1
            self._probe = None
            self._show("timeout")
            return CircuitState.HALF_OPEN
        return state

    @property
    def state(self) -> CircuitState:
        automatic = self.automatic
        hold = self.hold
        return automatic if hold is None else hold.state

    @property
    def hold(self) -> Hold | None:
        if self._hold is not None and not self._hold.holds_at(self._wall_clock()):
            self.set_hold(None)
        return self._hold

    @property
    def usable(self) -> bool:
        return self.is_read and self.state in USABLE

    @property
    def dirty(self) -> bool:
        return self.own_move > 0

    @property
    def failures(self) -> int:
        return self._storage.counter

    @property
    def age_s(self) -> float:
        """Seconds since the automatic state last moved between open and closed."""
        return self._clock() - self._changed_at

    def permit(self) -> Permit | None:
        """Leave for one caller's turn; None means: do not use this engine now. Never a probe."""
        return Permit(self.generation) if self.usable else None

    def permit_probe(self, token: str = "") -> Permit | None:
        """Leave for the one probe while half-open, else None. An operator's forced open means no probe either."""
        if self.state is CircuitState.FORCED_OPEN or self.automatic is not CircuitState.HALF_OPEN:
            return None
        if self._probe is not None and self._clock() - self._probe_at < PROBE_LIMIT_S:
            return None
        self._probe = Permit(self.generation, is_probe=True, token=token)
        self._probe_at = self._clock()
        return self._probe

    def record(self, permit: Permit, verdict: Verdict, kind: str = "") -> None:
        """What came of a permit. An outcome of an older generation is ignored; an abandoned one counts as nothing."""
        if permit.is_probe:
            self._record_probe(permit, verdict, kind)
        elif permit.generation == self.generation and verdict is not Verdict.ABANDONED:
            if self.automatic is not CircuitState.CLOSED:
                return
            if self.on_outcome is not None:
                self.on_outcome(self, permit, verdict, kind)
            self._feed(verdict, kind)

    def view(self) -> CircuitView:
        state, hold = self.state, self._hold
        opened = self.automatic is CircuitState.OPEN
        return CircuitView(
            name=self.name,
            stage=self.stage,
            state=state,
            failures=self.failures,
            threshold=self.threshold,
            retry_in_s=max(0.0, self.open_s - self.age_s) if opened and hold is None else None,
            by="" if hold is None else hold.by,
            why=self._why if hold is None else hold.why,
            until=None if hold is None else hold.until,
            since=self._changed_wall if hold is None else hold.since,
        )

    # --- what the board tells it ------------------------------------------------------------------------------------
    def set_hold(self, hold: Hold | None) -> None:
        """An operator's order, or None: released. What lies beneath goes on counting all the while."""
        before, self._hold = self._hold, hold
        if before != hold:
            self._show("released" if hold is None else f"{hold.by}: {hold.why}")

    def retune(self, stage: str, threshold: int, open_s: float) -> None:
        """Other limits from now on; state, count and hold stay, and an open circuit waits the new open time."""
        self.stage, self.threshold, self.open_s = stage, threshold, open_s
        self._breaker.fail_max = threshold

    def adopt(self, state: CircuitState, *, failures: int, age_s: float, why: str, moved: bool) -> None:
        """The fleet's automatic state (closed or open) and count. ``moved``: by another move than the one known here,
        so that outcomes of permits given before it are stale.
        """
        was_open = self._storage.state != pybreaker.STATE_CLOSED
        self.own_move, self.is_read = 0, True
        if moved or was_open != (state is CircuitState.OPEN):
            self._enter(state, why, self._clock() - age_s)
        if self._storage.counter != failures:
            self._storage.reset_counter()
            for _ in range(failures):
                self._storage.increment_counter()
        if not moved and state is CircuitState.OPEN and self._storage.state == pybreaker.STATE_OPEN:
            self._changed_at = self._clock() - age_s

    # --- inside -----------------------------------------------------------------------------------------------------
    def _record_probe(self, permit: Permit, verdict: Verdict, kind: str) -> None:
        if self._probe != permit:
            # The fleet's state moved meanwhile, so the result says nothing any more; its lock must not outlive it.
            if permit.token and self.on_outcome is not None:
                self.on_outcome(self, permit, Verdict.ABANDONED, "")
            return
        self._probe = None
        if verdict is not Verdict.ABANDONED and self.automatic is CircuitState.HALF_OPEN:
            self._feed(verdict, kind or "probe")
        if self.on_outcome is not None:  # After the move, whose number goes to the fleet with the verdict.
            self.on_outcome(self, permit, verdict, kind)

    def _feed(self, verdict: Verdict, kind: str) -> None:
        """One outcome into the breaker, outside any await; notices when it moved."""
        before = self._breaker.current_state
        with contextlib.suppress(_EngineFailedError):  # The breaker hands every failure back; it has counted it.
            self._breaker.call(_succeed if verdict is Verdict.OK else _fail)
        if self._breaker.current_state != before:
            self._moved(kind, self._clock())
            self.own_move = next(_own_moves)

    def _enter(self, state: CircuitState, why: str, changed_at: float) -> None:
        if state is CircuitState.OPEN:
            self._breaker.open()
        else:
            self._breaker.close()
        self._probe = None
        self._moved(why, changed_at)

    def _moved(self, why: str, changed_at: float) -> None:
        self.generation += 1
        self._changed_at = changed_at
        self._changed_wall = self._wall_clock() - (self._clock() - changed_at)
        self._why = why if self._storage.state != pybreaker.STATE_CLOSED else ""
        self._show(why)

    def _show(self, why: str) -> None:
        """Tells of a change of the state as seen from outside: under a hold the automatic one moves unseen."""
        hold = self._hold
        after = _AUTOMATIC[self._storage.state] if hold is None else hold.state
        before, self._shown = self._shown, after
        if before is not after and self.on_move is not None:
            self.on_move(Move(self.name, before, after, why))


def turns_name(bridge_id: str) -> str:
    """The name of a bridge's own circuit around queue, workers and Redis together."""
    return f"{TURNS}:{bridge_id}"
