"""Every way in which a run breaks the product: how it begins, how it ends, and what a caller may notice of it.

Owns the list. The rows are those of the failure matrix; when each comes is the schedule's.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.proxy import Toxic
from tests.chaos.schedule import Kind
from tests.chaos.world import DRAIN_S, World

SHORT_S = (3.0, 6.0)
# A circuit opens after three failures and is probed 5 s later in a run: long enough for both to be seen.
ENGINE_S = (4.0, 10.0)
# Longer than the dead man's timer takes (6 s at most), so that every call of a frozen bridge has left it.
FROZEN_S = (8.0, 10.0)
# Shorter than that: it wakes while its calls are still its own.
STALL_S = (2.0, 3.5)
# The calls that are left at the drain limit must move within it, or their silence is held against nobody's limit.
RESTART_S = (DRAIN_S + 1.0, DRAIN_S + 4.0)
CLOCK_STEP_S = 600
Do = Callable[[World], None]


class Notice(StrEnum):
    """Which limit of silence holds while it lasts."""

    TURN = "turn"
    BRIDGE_KILLED = "bridge_killed"
    BRIDGE_FROZEN = "bridge_frozen"


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    begin: Do
    end: Do
    notice: Notice = Notice.TURN


def all_faults(world: World) -> dict[str, Fault]:
    """Those that this world can do, by name."""
    faults = [
        *_engines(world), *_processes(world), *_bridges(world), *_redis(), *_database(world), *_machine(world),
    ]  # fmt: skip
    return {fault.kind.name: fault for fault in faults}


def _engines(world: World) -> list[Fault]:
    modes = ("refuse", "delay", "hang", "garbage", "error", "silent")
    places = [("all", ()), *((stage, ("--stage", stage)) for stage in ("stt", "nlu", "tts"))]
    broken = [
        Fault(Kind(f"engine {mode} {place}", ENGINE_S, _ENGINE), _break(mode, *words), _break("none"))
        for mode in modes
        for place, words in places
        if place == "all" or mode in ("hang", "error")
    ]
    return broken + [fault for name in world.engine_proxies for fault in _spoilt(f"engine-{name}", ENGINE_S)]


def _processes(world: World) -> list[Fault]:
    # Beat is within celery.
    names = ("engine", "recorder", "console", "gateway", "celery", "switch-watch", "worker-1", "worker-2")
    restarted = ("engine", "recorder", "console", "gateway", "celery", "switch-watch", "worker-1")
    killed = [Fault(Kind(f"kill {name}", SHORT_S), _hold(name), _release(name)) for name in names]
    frozen = [Fault(Kind(f"freeze {name}", SHORT_S), _stop(name), _continue(name)) for name in names]
    workers = ("worker-1", "worker-2")
    return [
        *killed, *frozen,
        Fault(Kind("kill every worker", ENGINE_S), _hold(*workers), _release(*workers)),
        Fault(Kind("freeze every worker", ENGINE_S), _stop(*workers), _continue(*workers)),
        *(Fault(Kind(f"restart {name}", SHORT_S), _restart(name), _nothing) for name in restarted),
    ]  # fmt: skip


def _bridges(world: World) -> list[Fault]:
    every = world.bridges
    found: list[Fault] = []
    for name in every:
        # One bridge must be left, or it is another row.
        found += [
            Fault(Kind(f"kill {name}", SHORT_S, _BRIDGE), _hold(name), _release(name), Notice.BRIDGE_KILLED),
            Fault(Kind(f"freeze {name}", FROZEN_S, _BRIDGE), _stop(name), _continue(name), Notice.BRIDGE_FROZEN),
            Fault(Kind(f"stall {name}", STALL_S, _BRIDGE), _stop(name), _continue(name), Notice.BRIDGE_FROZEN),
            Fault(Kind(f"restart {name}", RESTART_S, _BRIDGE), _restart(name), _nothing, Notice.BRIDGE_KILLED),
        ]
    if len(every) > 1:
        found.append(Fault(Kind("kill every bridge", SHORT_S, _BRIDGE), _hold(*every), _release(*every), Notice.BRIDGE_KILLED))
    return found


def _redis() -> list[Fault]:
    found: list[Fault] = []
    for name in ("redis-volatile", "redis-durable"):
        apart = frozenset({"full disk for the spool", f"freeze {name}"})
        found += [
            Fault(Kind(f"kill {name}", SHORT_S, apart), _kill_redis(name), _start_redis(name)),
            Fault(Kind(f"freeze {name}", SHORT_S), lambda w, n=name: w.redis[n].freeze(), lambda w, n=name: w.redis[n].thaw()),  # type: ignore[misc]
            *_spoilt(name, SHORT_S),
        ]
    return found


def _database(world: World) -> list[Fault]:
    if world.postgres is None:
        return []
    server = world.postgres
    return [
        Fault(Kind("kill database", SHORT_S, frozenset({"freeze database"})), lambda _: server.kill(), lambda _: server.start()),
        Fault(Kind("freeze database", SHORT_S), lambda _: server.freeze(), lambda _: server.thaw()),
        *_spoilt("database", SHORT_S),
    ]


def _machine(world: World) -> list[Fault]:
    found = [
        # With a bridge killed as well what is in its memory alone is lost with it: there is nowhere else to write it.
        Fault(Kind("full disk for the spool", ENGINE_S, _BRIDGE | {"kill redis-durable"}), World.fill_disk, World.free_disk)
    ]
    if world.clock is not None:
        clock = world.clock
        for name, seconds in (("forward", CLOCK_STEP_S), ("back", -CLOCK_STEP_S)):
            found.append(Fault(Kind(f"clock {name}", SHORT_S), lambda _, s=seconds: clock.step(s), lambda _: clock.step(0)))  # type: ignore[misc]
    return found


def _spoilt(name: str, lasts_s: tuple[float, float]) -> list[Fault]:
    toxics = (Toxic.LATENCY, Toxic.RESET, Toxic.HALF_OPEN, Toxic.DRIP)
    return [Fault(Kind(f"{name} {toxic.value}", lasts_s), _spoil(name, toxic), _spoil(name, Toxic.NONE)) for toxic in toxics]


# --- What is done ---


def _break(mode: str, *words: str) -> Do:
    return lambda world: world.break_engine(mode, *words)


def _hold(*names: str) -> Do:
    return lambda world: world.hold(*names)


def _release(*names: str) -> Do:
    return lambda world: world.stack.release(*names)


def _stop(*names: str) -> Do:
    return lambda world: world.signal(signal.SIGSTOP, *names)


def _continue(*names: str) -> Do:
    return lambda world: world.signal(signal.SIGCONT, *names)


def _restart(name: str) -> Do:
    return lambda world: world.restart(name)


def _kill_redis(name: str) -> Do:
    return lambda world: world.redis[name].kill()


def _start_redis(name: str) -> Do:
    return lambda world: world.redis[name].start()


def _spoil(name: str, toxic: Toxic) -> Do:
    return lambda world: world.proxies[name].spoil(toxic)


def _nothing(_world: World) -> None:
    """It comes back by itself."""


# One file says how the local engine is broken: two at once would be one.
_ENGINE = frozenset(
    f"engine {mode} {place}"
    for mode in ("refuse", "delay", "hang", "garbage", "error", "silent")
    for place in ("all", "stt", "nlu", "tts")
)
_BRIDGE = frozenset(
    f"{verb} {name}"
    for verb in ("kill", "freeze", "stall", "restart")
    for name in ("every bridge", "bridge", *(f"bridge-{number}" for number in range(2, 10)))
) | {"full disk for the spool"}  # fmt: skip
