"""How the console tells of a circuit's move: from where to where, why, and for how long.

Owns wording only: no database, no Redis, no HTML.
"""

from __future__ import annotations

from ai_engine.circuits.history import How
from ai_engine.circuits.states import CircuitState
from ai_engine.drills.drill import CIRCUIT_PREFIX
from console import words

STATES = {
    "": "automatic",
    CircuitState.CLOSED.value: "closed",
    CircuitState.OPEN.value: "open",
    CircuitState.HALF_OPEN.value: "half-open",
    CircuitState.FORCED_OPEN.value: "held open",
    CircuitState.FORCED_CLOSED.value: "held closed",
}
# Shorter than this a span says nothing: "after 0 s".
LEAST_SAID_S = 1.0


def states(before: str, after: str) -> str:
    """``Closed → open``."""
    text = f"{STATES.get(before, before)} → {STATES.get(after, after)}"
    return text[:1].upper() + text[1:]


def reason(how: str, before: str, after: str, *, why: str, by: str, until_s: float | None) -> str:
    """Why it moved, without how long: ``the test failed: it refused the connection``."""
    who = by or "an operator"
    if how == How.FORCED:
        ends = "until released" if until_s is None else f"until {words.local_time(until_s)}"
        return f"by {who}, {ends}: {why or 'no reason given'}"
    if how == How.RELEASED:
        return f"released by {who}: {why}" if why else f"released by {who}"
    if how == How.EXPIRED:
        return f"the time that {who} chose has come"
    kind = words.KINDS.get(why, words.plain(why).lower())
    if after == CircuitState.HALF_OPEN:
        return "its open time is over, and one test is let through"
    if after == CircuitState.CLOSED:
        return "the test succeeded"
    if before == CircuitState.HALF_OPEN:
        return f"the test failed: it {kind}" if why and why != "probe" else "the test failed"
    return f"the last failure: it {kind}" if why else "too many failures in a row"


def span(how: str, before: str, *, lasted_s: float) -> str:
    """For how long what ended had been so; empty where nothing ended."""
    if lasted_s < LEAST_SAID_S or how == How.FORCED:
        return ""
    long = words.long_duration(lasted_s)
    if how in (How.RELEASED, How.EXPIRED):
        return f"held for {long}"
    return f"was in use for {long}" if before == CircuitState.CLOSED else f"out of use for {long}"


def name(circuit: str) -> str:
    """``local-nlu (drill 1a2b3c4d)`` of a drill's own circuit; any other is called what it is."""
    if not circuit.startswith(CIRCUIT_PREFIX):
        return circuit
    drill_id, _, engine = circuit.removeprefix(CIRCUIT_PREFIX).partition(":")
    return f"{engine} (drill {drill_id})"
