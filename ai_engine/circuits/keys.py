"""Where circuits lie in the durable Redis.

Owns names only. All times inside Redis are its own clock's, in milliseconds since 1970; processes send ages, so no two
machines' clocks are ever compared.

``circuit:{name}``         hash state (closed, open), failures, changed, version, why; half-open is derived from changed
``circuit:forced:{name}``  an operator's hold as JSON, without expiry unless it has a chosen time
``circuit:probe:{name}``   the token of the one probe, with expiry
``circuits:held``          hash name -> the same hold, until its end was told in the stream
``circuits:moves``         stream of everything that moved, by itself or by an operator
``circuits:revision``      rises with every change, so that a process reads everything only when something moved
``circuits:engines``       hash name -> what is known of the circuit, refreshed by the processes that guard it
``circuits:told:{process}`` hash move:{name}, outcomes:{name} -> the last number of each that was taken from a process
``circuit:local:{name}``   a bridge's own circuit as it stands, gone three seconds after its bridge
``circuits:locals``        set of the names of those
"""

from __future__ import annotations

REVISION = "circuits:revision"
ENGINES = "circuits:engines"
LOCALS = "circuits:locals"
HELD = "circuits:held"
MOVES = "circuits:moves"


def state_key(name: str) -> str:
    return f"circuit:{name}"


def forced_key(name: str) -> str:
    return f"circuit:forced:{name}"


def probe_key(name: str) -> str:
    return f"circuit:probe:{name}"


def local_key(name: str) -> str:
    return f"circuit:local:{name}"


def told_key(mark: str) -> str:
    return f"circuit:told:{mark}"


def process_key(process: str) -> str:
    return f"circuits:told:{process}"
