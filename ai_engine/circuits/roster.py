"""Which circuits one process guards: the engines' by stage and order, and its own; both may change while it runs.

Owns the guards and who they are; memory only. What they tell the fleet is the board's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ai_engine.circuits.errors import UnknownCircuitError
from ai_engine.circuits.guard import Guard
from ai_engine.circuits.states import TURNS
from ai_engine.engines.config import EngineConfig

# Turns that began with an engine since removed may still ask for its guard; no turn lasts this long.
RETIRED_S = 60.0


class Roster:
    """``new_guard(name, stage, threshold, open_s)`` makes those not yet there. ``threshold`` and ``open_s`` hold for
    engines that have none of their own. ``local``: names of circuits counted in this process only.
    """

    def __init__(
        self,
        local: Sequence[str],
        threshold: int,
        open_s: float,
        new_guard: Callable[[str, str, int, float], Guard],
        clock: Callable[[], float],
    ) -> None:
        self.local = tuple(local)
        self.guards: dict[str, Guard] = {}
        self.fleet: list[Guard] = []
        """Those that all processes share: the engines'."""
        self._stages: dict[str, list[Guard]] = {}
        self._retired: dict[str, tuple[float, Guard]] = {}
        self._threshold, self._open_s = threshold, open_s
        self._new_guard = new_guard
        self._clock = clock

    def install(self, configs: Sequence[EngineConfig]) -> set[str]:
        """These engines from now on, in this order. Guards of names that were there stay, with their new limits.

        Returns the names that are new.
        """
        before, now = self.guards, self._clock()
        limits = {one.name: (one.stage.value, one.failures or self._threshold, one.open_s or self._open_s) for one in configs}
        limits |= dict.fromkeys(self.local, (TURNS, self._threshold, self._open_s))
        self.guards = {name: before.get(name) or self._new_guard(name, *limit) for name, limit in limits.items()}
        self._stages = {}
        for guard in self.guards.values():
            guard.retune(*limits[guard.name])
            self._stages.setdefault(guard.stage, []).append(guard)
        self.fleet = [guard for guard in self.guards.values() if guard.name not in self.local]
        self._retire({name: before[name] for name in before.keys() - self.guards.keys()}, now)
        return self.guards.keys() - before.keys()

    def guard(self, name: str) -> Guard:
        """Also, for a minute, that of a removed engine: for turns that began with it."""
        if name in self.guards:
            return self.guards[name]
        if name in self._retired:
            return self._retired[name][1]
        raise UnknownCircuitError(f"no circuit {name!r}; there are {', '.join(sorted(self.guards))}")

    def stage(self, stage: str) -> Sequence[Guard]:
        return self._stages.get(stage, ())

    def _retire(self, leaving: dict[str, Guard], now: float) -> None:
        kept = {name: (since, guard) for name, (since, guard) in self._retired.items() if now - since < RETIRED_S}
        for name, guard in leaving.items():
            guard.on_outcome = guard.on_move = None  # A probe of it under way frees its lock by the lock's expiry.
            kept[name] = (now, guard)
        self._retired = {name: entry for name, entry in kept.items() if name not in self.guards}
