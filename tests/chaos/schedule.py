"""What is broken when: made from a seed, so that a run can be repeated. Pure.

Owns times and choices. What a fault does is in ``faults.py``.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

# The first calls are in the middle of something by then.
FIRST_AT_S = 10.0
# Between the end of one round and the next: circuits probe, processes start again.
REST_S = (2.0, 6.0)
PAIR_SHARE = 0.5
# The last fault is over so long before the last call begins, and those calls see the way back.
LAST_REST_S = 15.0


@dataclass(frozen=True, slots=True)
class Kind:
    """``clashes``: what it is never paired with, because the two together take away what any design needs."""

    name: str
    lasts_s: tuple[float, float]
    clashes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Planned:
    """``round``: those of one number overlap."""

    round: int
    fault: str
    at_s: float
    lasts_s: float


def plan(seed: int, duration_s: float, kinds: Sequence[Kind]) -> list[Planned]:
    """Every kind comes before any comes twice; singly and in pairs; nothing begins that would not end in time."""
    source = random.Random(seed)
    planned: list[Planned] = []
    waiting: list[Kind] = []
    at_s, number = FIRST_AT_S, 0
    while True:
        number += 1
        chosen = _draw(source, waiting, kinds, ())
        pair = [chosen]
        apart = {kind.name for kind in kinds if kind is chosen or kind.name in chosen.clashes or chosen.name in kind.clashes}
        if source.random() < PAIR_SHARE and len(apart) < len(kinds):
            pair.append(_draw(source, waiting, kinds, apart))
        begun = [
            Planned(number, kind.name, at_s + source.uniform(0, 2) * index, source.uniform(*kind.lasts_s))
            for index, kind in enumerate(pair)
        ]
        over_s = max(one.at_s + one.lasts_s for one in begun)
        if over_s > duration_s - LAST_REST_S:
            return planned
        planned += begun
        at_s = over_s + source.uniform(*REST_S)


def _draw(source: random.Random, waiting: list[Kind], kinds: Sequence[Kind], without: Collection[str]) -> Kind:
    allowed = [kind for kind in waiting if kind.name not in without]
    if not allowed:
        fresh = [kind for kind in kinds if kind not in waiting]
        source.shuffle(fresh)
        waiting += fresh
        allowed = [kind for kind in waiting if kind.name not in without]
    chosen = allowed[0]
    waiting.remove(chosen)
    return chosen
