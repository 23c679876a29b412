"""What one process of the stack is: how it is started, when it counts as ready, and when its turn to stop comes.

Owns the values only; which parts Lifeline has is in ``stack_plan``, and running them is the supervisor's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class StopOrder(IntEnum):
    """Parts of a lower number are gone before the next number is asked to stop: callers first, Redis last."""

    CALLERS = 0
    BRIDGE = 1
    AROUND_THE_CALL = 2
    RECORDER = 3
    REDIS = 4


class StartPhase(IntEnum):
    """A phase begins when the one before it is ready."""

    DATA = 0  # before the database is prepared
    SERVICES = 1
    CALLERS = 2


class PartState(StrEnum):
    WAITING = "waiting"  # to be started, for the first time or again after its back-off
    RUNNING = "running"
    HELD = "held"  # killed by hand, and kept down until released
    SPARE = "spare"  # not needed at the moment
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Part:
    """``ready`` is asked in a thread and may block for a second; without one a part is ready once it runs.

    ``grace_s`` is how long it may take to end after SIGTERM before it is killed. ``nice`` is how far it gives way to the
    others when the processor is full, from 0 (an equal) to 19: above 0 only where no caller waits for it. A ``spare`` one is
    started when it is needed.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_order: StopOrder = StopOrder.AROUND_THE_CALL
    grace_s: float = 5.0
    nice: int = 0
    ready: Callable[[], bool] | None = None
    phase: StartPhase = StartPhase.SERVICES
    spare: bool = False


def in_fleet(host: str, name: str) -> str:
    """What Redis, records and page call it: different on each host that has a name."""
    return f"{host}-{name}" if host else name


def choose(parts: Sequence[Part], only: Sequence[str], without: Sequence[str]) -> list[Part]:
    """The parts that ``only`` names (all, when it is empty) less those that ``without`` names. Raises ValueError."""
    known = {part.name for part in parts}
    unknown = sorted((set(only) | set(without)) - known)
    if unknown:
        names = ", ".join(part.name for part in parts)
        raise ValueError(f"there is no process {', '.join(unknown)}; there are {names}")
    return [part for part in parts if (not only or part.name in only) and part.name not in without]
