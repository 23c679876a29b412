"""Operators' orders to circuits and what they see of them, from the durable Redis alone.

Owns storing and removing holds and the views; blocking, for the console's views and ``manage.py circuit``. No worker,
no bridge and no database need be there. An order is stored first; processes read it within 200 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

import msgspec
import redis

from ai_engine.circuits import keys, scripts
from ai_engine.circuits.errors import BadHoldError, CircuitsUnreachableError, UnknownCircuitError
from ai_engine.circuits.history import CircuitMove, newest
from ai_engine.circuits.sharing import UNREACHABLE, Known, decode_holds
from ai_engine.circuits.states import FORCED, TURNS, CircuitState, CircuitView, Hold
from ai_engine.engines.config import EngineConfig
from ai_engine.redis_clients import connect
from callflows.definition.errors import UNREADABLE

# A circuit that nobody refreshed for this long while others were refreshed is no longer configured anywhere.
FORGOTTEN_S = 60.0
# Beyond it nobody means a time; and a date far enough away is none that a database could keep.
LONGEST_HOLD_S = 366 * 86_400.0

# As ai_engine/drills/drill.py names a drill's circuits; that module imports this package.
DRILL_PREFIX = "drill:"

_Do = Callable[[redis.Redis, list[str]], None]


def force(
    name: str,
    state: CircuitState,
    by: str,
    why: str,
    until: float | None = None,
    *,
    redis_url: str,
    engines: Sequence[EngineConfig] = (),
) -> list[str]:
    """Holds a circuit, every circuit of a stage, or every bridge's ``turns``. Returns the names held.

    ``until`` is seconds since 1970; without it the hold never expires. Doing it again replaces the earlier hold.
    Raises BadHoldError, UnknownCircuitError or CircuitsUnreachableError.
    """
    now = time.time()
    if state not in FORCED:
        raise BadHoldError(f"{state} is no state to force: use forced_open or forced_closed")
    if until is not None and until <= now:
        raise BadHoldError("the chosen time has passed already")
    if until is not None and until > now + LONGEST_HOLD_S:
        raise BadHoldError("longer than a year: leave the time out, and it holds until it is released")
    hold = msgspec.json.encode(Hold(state, by, why, since=now, until=until))

    def store(client: redis.Redis, names: list[str]) -> None:
        forced = [keys.forced_key(one) for one in names]
        ends = "" if until is None else str(int(until * 1000))
        client.eval(scripts.HOLD, 1 + len(forced), keys.REVISION, *forced, hold, ends, *names)

    return _order(name, redis_url, engines, store)


def release(
    name: str, *, redis_url: str, engines: Sequence[EngineConfig] = (), by: str = "", why: str = ""
) -> list[str]:
    """Ends the hold of a circuit, a stage or ``turns``: its automatic state shows again. Repeating changes nothing.

    ``by`` and ``why`` are for the history.

    For one bridge's circuit that is held only together with all bridges', that common hold ends.
    """

    def remove(client: redis.Redis, names: list[str]) -> None:
        if name == TURNS:  # Also what was held for one bridge alone.
            names[:] = [TURNS, *_local_names(client)]
        elif name.startswith(f"{TURNS}:") and not client.exists(keys.forced_key(name)):
            names[:] = [TURNS]
        forced = [keys.forced_key(one) for one in names]
        client.eval(scripts.RELEASE, 1 + len(forced), keys.REVISION, *forced, by, why, *names)

    return _order(name, redis_url, engines, remove)


def views(redis_url: str, engines: Sequence[EngineConfig] = ()) -> list[CircuitView]:
    """Every circuit known to Redis, and those of ``engines`` even if no process ever guarded them. Sorted by stage.

    Raises CircuitsUnreachableError.
    """
    with closing(connect(redis_url)) as client:
        try:
            return _views(client, engines)
        except UNREACHABLE as error:
            raise CircuitsUnreachableError(f"the durable Redis does not answer: {error}") from error


def moves(redis_url: str, count: int) -> list[CircuitMove]:
    """What moved last, the newest first: by itself, and by orders. Raises CircuitsUnreachableError."""
    with closing(connect(redis_url)) as client:
        try:
            return newest(client, count)
        except UNREACHABLE as error:
            raise CircuitsUnreachableError(f"the durable Redis does not answer: {error}") from error


def _order(name: str, redis_url: str, engines: Sequence[EngineConfig], do: _Do) -> list[str]:
    with closing(connect(redis_url)) as client:
        try:
            names = _resolve(name, client, engines)
            do(client, names)
        except UNREACHABLE as error:
            raise CircuitsUnreachableError(f"the durable Redis does not answer: {error}") from error
    return names


def _resolve(name: str, client: redis.Redis, engines: Sequence[EngineConfig]) -> list[str]:
    if name == TURNS:
        return [TURNS]
    known = _known(client, engines)
    local = _local_names(client)
    if name in known or name in local:
        return [name]
    of_stage = [one.name for one in known.values() if one.stage == name]
    if not of_stage:
        stages = sorted({one.stage for one in known.values()})
        raise UnknownCircuitError(
            f"there is no circuit {name!r}; circuits: {', '.join([*known, *local]) or 'none yet'};"
            f" stages: {', '.join([*stages, TURNS])}"
        )
    return of_stage


def _known(client: redis.Redis, engines: Sequence[EngineConfig]) -> dict[str, Known]:
    """Registered circuits that are still configured somewhere, over those of ``engines``, by stage and in their order."""
    known = {one.name: Known(one.name, one.stage.value, 0, 0.0, 0.0) for one in engines}
    registered: list[Known] = []
    for value in client.hgetall(keys.ENGINES).values():
        try:
            registered.append(msgspec.json.decode(value, type=Known))
        except UNREADABLE:
            continue  # An entry of another version of Lifeline: its processes show it, we cannot.
    registered = [one for one in registered if not one.name.startswith(DRILL_PREFIX)]  # Those are the drill's, no operator's.
    newest = max((one.seen for one in registered), default=0.0)
    for one in registered:
        if one.name in known or one.seen >= newest - FORGOTTEN_S:
            known[one.name] = one
    stages = {"stt": 0, "nlu": 1, "tts": 2}
    places = {one.name: place for place, one in enumerate(engines)}
    in_order = sorted(known.values(), key=lambda one: (stages.get(one.stage, 3), places.get(one.name, len(places)), one.name))
    return {one.name: one for one in in_order}


def _local_names(client: redis.Redis) -> list[str]:
    return sorted(v.decode() if isinstance(v, bytes) else v for v in client.smembers(keys.LOCALS))


def _views(client: redis.Redis, engines: Sequence[EngineConfig]) -> list[CircuitView]:
    known = list(_known(client, engines).values())
    local = _local_names(client)
    names = [one.name for one in known]
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.mget([keys.forced_key(name) for name in [*names, *local, TURNS]])
        pipe.mget([keys.local_key(name) for name in local] or [keys.LOCALS + ":none"])
        for name in names:
            pipe.hmget(keys.state_key(name), "state", "failures", "changed", "why")
        (seconds, micros), hold_values, local_values, *states = pipe.execute()
    now_ms = seconds * 1000 + micros // 1000
    holds = decode_holds([*names, *local, TURNS], hold_values)
    shown = [
        _with_hold(_engine_view(one, fields, now_ms), holds.get(one.name))
        for one, fields in zip(known, states, strict=True)
    ]
    shown_local = []
    for name, value in zip(local, local_values, strict=False):
        if value is None:
            client.srem(keys.LOCALS, name)  # Its bridge is gone; it comes back with its bridge.
        else:
            shown_local.append(
                _with_hold(msgspec.json.decode(value, type=CircuitView), holds.get(name) or holds.get(TURNS))
            )
    if not shown_local and TURNS in holds:
        closed = CircuitView(TURNS, TURNS, CircuitState.CLOSED, failures=0, threshold=0)
        shown_local.append(_with_hold(closed, holds[TURNS]))
    return shown + shown_local


def _engine_view(known: Known, fields: list[bytes | None], now_ms: int) -> CircuitView:
    state_text, failures, changed, why = (b"" if value is None else value for value in fields)
    state = CircuitState(state_text.decode() or "closed")
    changed_ms = int(changed or 0)
    retry_in_s = None
    if state is CircuitState.OPEN:
        retry_in_s = max(0.0, known.open_s - (now_ms - changed_ms) / 1000)
        if not retry_in_s:
            state, retry_in_s = CircuitState.HALF_OPEN, None
    return CircuitView(
        name=known.name,
        stage=known.stage,
        state=state,
        failures=int(failures or 0),
        threshold=known.threshold,
        retry_in_s=retry_in_s,
        why=why.decode(),
        since=changed_ms / 1000,
    )


def _with_hold(view: CircuitView, hold: Hold | None) -> CircuitView:
    """The view as it is under a hold. A bridge's own view may be a second old: the stored hold is what counts."""
    if hold is None:
        if view.state not in FORCED:
            return view
        return msgspec.structs.replace(view, state=CircuitState.CLOSED, by="", why="", until=None, since=time.time())
    return msgspec.structs.replace(
        view, state=hold.state, by=hold.by, why=hold.why, until=hold.until, since=hold.since, retry_in_s=None
    )
