"""The fleet's side of circuits: what one process sends to the durable Redis and reads back, asynchronously.

Owns the commands; knows nothing of guards or when to call. Every method may raise what :data:`UNREACHABLE` lists.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

import msgspec
import redis.exceptions
import structlog

from ai_engine.circuits import keys, scripts
from ai_engine.circuits.states import CircuitState, CircuitView, Hold, Verdict
from ai_engine.redis_clients import connect_async
from callflows.definition.errors import UNREADABLE

UNREACHABLE = (redis.exceptions.RedisError, OSError, TimeoutError)

# A bridge's own circuit vanishes from the page this long after its bridge; it is refreshed every second.
LOCAL_EXPIRY_MS = 3000
log = structlog.get_logger(__name__)


class Push(msgspec.Struct, frozen=True):
    """What a process has to say about a circuit since it last spoke. ``own_state``: its unconfirmed move, or empty.

    ``number`` of the outcomes and ``own_move`` of the move rise within the process: what comes again is not taken again.
    """

    name: str
    version: int
    threshold: int
    open_s: float
    ok_seen: bool = False
    failures: int = 0
    why: str = ""
    own_state: str = ""
    own_age_ms: int = 0
    number: int = 0
    own_move: int = 0
    was_away: bool = False


class FleetState(msgspec.Struct, frozen=True):
    """A circuit as the fleet has it: closed or open, and how long for."""

    name: str
    state: CircuitState
    failures: int
    age_s: float
    version: int
    why: str


class Known(msgspec.Struct, frozen=True):
    """What an operator's view needs of a circuit when none of its processes is there. ``seen``: seconds since 1970."""

    name: str
    stage: str
    threshold: int
    open_s: float
    seen: float


class LocalMove(msgspec.Struct, frozen=True):
    """A bridge's own circuit moved so long ago. ``mark`` is unlike any other move's, in whatever process."""

    mark: str
    name: str
    before: CircuitState
    after: CircuitState
    age_s: float
    lasted_s: float
    why: str


class SharedCircuits:
    def __init__(self, redis_url: str) -> None:
        self._redis = connect_async(redis_url)
        self._told = keys.process_key(uuid.uuid4().hex)

    async def close(self) -> None:
        await self._redis.aclose()

    async def revision(self) -> int:
        return int(await self._redis.get(keys.REVISION) or 0)

    async def exchange(self, pushes: Sequence[Push], forced: Sequence[str]) -> tuple[list[FleetState], dict[str, Hold]]:
        """Sends every push, reads every circuit and the holds named in ``forced``, in one round trip.

        Tells by the way of holds whose time has come.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for push in pushes:
                pipe.eval(
                    scripts.EXCHANGE, 3, keys.state_key(push.name), keys.REVISION, self._told,
                    push.version, int(push.ok_seen), push.failures, push.threshold, push.why,
                    push.own_state, push.own_age_ms, int(push.was_away), int(push.open_s * 1000),
                    push.number, push.own_move,
                )  # fmt: skip
            pipe.eval(scripts.REAP, 0)
            pipe.mget([keys.forced_key(name) for name in forced])
            *answers, _, holds = await pipe.execute()
        states = [_fleet_state(push.name, answer) for push, answer in zip(pushes, answers, strict=True)]
        return states, decode_holds(forced, holds)

    async def claim(self, name: str, token: str, *, lock_ms: int, open_s: float) -> bool:
        """True for exactly one caller in the fleet, while the circuit's open time is over and nobody else probes."""
        answer = await self._redis.eval(
            scripts.CLAIM, 3, keys.state_key(name), keys.REVISION, keys.probe_key(name),
            token, str(lock_ms), str(int(open_s * 1000)),
        )  # fmt: skip
        return bool(int(answer) == 1)

    async def settle(
        self, name: str, token: str, verdict: Verdict, *, threshold: int, why: str, own_move: int
    ) -> int | None:
        """A probe's result and the release of its lock: the circuit's version now, None when the lock had expired."""
        answer = await self._redis.eval(
            scripts.SETTLE, 4, keys.state_key(name), keys.REVISION, keys.probe_key(name), self._told,
            token, verdict.value, str(threshold), why, str(own_move),
        )  # fmt: skip
        return None if int(answer) < 0 else int(answer)

    async def tell_local(self, move: LocalMove) -> None:
        """Into the history; repeating it after a lost answer tells it once."""
        await self._redis.eval(
            scripts.TELL_LOCAL, 1, keys.told_key(move.mark), move.name, move.before.value, move.after.value,
            int(move.age_s * 1000), int(move.lasted_s * 1000), move.why, scripts.TOLD_MS,
        )  # fmt: skip

    async def register(self, known: Sequence[Known], *, leaving: Collection[str] = ()) -> None:
        """Circuits this process guards, and those it guards no more; another that still does enters them again."""
        async with self._redis.pipeline(transaction=False) as pipe:
            if known:
                pipe.hset(keys.ENGINES, mapping={one.name: msgspec.json.encode(one) for one in known})
            if leaving:
                pipe.hdel(keys.ENGINES, *leaving)
            await pipe.execute()

    async def publish_local(self, views: Sequence[CircuitView]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for view in views:
                pipe.sadd(keys.LOCALS, view.name)
                pipe.set(keys.local_key(view.name), msgspec.json.encode(view), px=LOCAL_EXPIRY_MS)
            await pipe.execute()


def decode_holds(names: Sequence[str], values: Sequence[bytes | None]) -> dict[str, Hold]:
    """Holds by name. One that cannot be read is said and left out: it must not stop the others."""
    holds: dict[str, Hold] = {}
    for name, value in zip(names, values, strict=True):
        if value is None:
            continue
        try:
            holds[name] = msgspec.json.decode(value, type=Hold)
        except UNREADABLE as error:
            log.warning("circuit_hold_unreadable", circuit=name, error=str(error))
    return holds


def _fleet_state(name: str, answer: list[bytes | int]) -> FleetState:
    state, failures, age_ms, version, why = answer
    return FleetState(
        name=name,
        state=CircuitState(_text(state)),
        failures=int(failures),
        age_s=max(0, int(age_ms)) / 1000,
        version=int(version),
        why=_text(why),
    )


def _text(value: bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
