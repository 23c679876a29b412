"""The journal's events: everything that happened in every call, as values with a stable encoding.

Owns the shapes and the encoding; the spool and the sending are its neighbours, the recorder reads them.
Order within a call is (epoch, seq of its producer), never arrival. Times are wall clock, microseconds since 1970.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ai_engine.messages import StageTiming

JOURNAL_STREAM = "journal"
FIELD = b"m"


class Mode(StrEnum):
    AI = "ai"
    FALLBACK = "fallback"
    AGENT = "agent"
    LAST_RESORT = "last_resort"
    """The dialplan's own menu: a bridge sent the call there, or none took it."""


class Cause(StrEnum):
    AI = "ai"
    QUEUE = "queue"
    MEDIA = "media"
    BRIDGE = "bridge"


class Outcome(StrEnum):
    RECOVERED = "recovered"
    FAILED_OVER = "failed_over"
    DROPPED = "dropped"


class TurnOutcome(StrEnum):
    UNDERSTOOD = "understood"
    NOT_UNDERSTOOD = "not_understood"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """The caller pressed a key, or went: nothing is said about the AI."""


class FallbackReason(StrEnum):
    INCIDENT = "incident"
    NO_ENGINE = "no_engine"
    """No usable engine at the start of a turn: circuit open."""
    FORCED = "forced"
    """No usable engine because an operator holds a circuit open."""
    TURNS_OPEN = "turns_open"
    SHED = "shed"
    NOT_UNDERSTOOD = "not_understood"
    """The AI worked and the caller was not understood three times: no failure, and not sent straight to the menu."""
    CALLER_CHOICE = "caller_choice"


class CallStarted(msgspec.Struct, frozen=True, tag="call_started"):
    """A bridge took the call: the first time, or (``resumed``) again after another owner. ``simulated``: nobody's customer."""

    caller: str
    destination: str
    flow_slug: str
    flow_version: int
    language: str
    bridge_id: str
    resumed: bool = False
    simulated: bool = False


class StepEntered(msgspec.Struct, frozen=True, tag="step_entered"):
    step: str
    mode: Mode


class TurnStarted(msgspec.Struct, frozen=True, tag="turn_started"):
    turn: int
    expect: str


class TurnFinished(msgspec.Struct, frozen=True, tag="turn_finished"):
    """``answer_ms``: end of speech to result, None when speech never ended. Slots never hold a sensitive value.

    ``queue_ms``: until a worker took it, None when none did. ``drill``: of the drill that met it.
    """

    turn: int
    outcome: TurnOutcome
    transcript: str
    intent: str
    confidence: float
    slots: dict[str, str]
    stages: tuple[StageTiming, ...]
    answer_ms: float | None
    worker_id: str = ""
    queue_ms: float | None = None
    drill: str = ""


class SlotCollected(msgspec.Struct, frozen=True, tag="slot_collected"):
    """``value`` is empty for a sensitive slot. ``by`` is ``voice`` or ``keypad``."""

    name: str
    value: str
    by: str


class ActionStarted(msgspec.Struct, frozen=True, tag="action_started"):
    action: str
    key: str


class ActionFinished(msgspec.Struct, frozen=True, tag="action_finished"):
    action: str
    key: str
    outcome: str
    took_ms: float


class IntentServed(msgspec.Struct, frozen=True, tag="intent_served"):
    """The caller heard the outcome of what they asked for, to its end."""

    intent: str
    mode: Mode


class IncidentOpened(msgspec.Struct, frozen=True, tag="incident_opened"):
    """``drill``: it was made to happen."""

    incident_id: str
    cause: Cause
    stage: str
    kind: str
    attempts: int
    turn: int
    drill: str = ""


class IncidentClosed(msgspec.Struct, frozen=True, tag="incident_closed"):
    """``proof`` names the switch's own event that shows the outcome (``PLAYBACK_START <file>``, ``DTMF``, ``CHANNEL_BRIDGE``).

    ``silence_ms``: from the end of the caller's speech in the turn that failed until they heard anything, or went; None when
    no such turn was its cause, or their telephone held us meanwhile.
    """

    incident_id: str
    outcome: Outcome
    proof: str
    silence_ms: float | None = None


class FellBack(msgspec.Struct, frozen=True, tag="fell_back"):
    """``drill``: sent there by the circuit of that drill, before anything failed in this call."""

    reason: FallbackReason
    detail: str = ""
    drill: str = ""


class AgentRequested(msgspec.Struct, frozen=True, tag="agent_requested"):
    destination: str


class AgentJoined(msgspec.Struct, frozen=True, tag="agent_joined"):
    pass


class CallEnded(msgspec.Struct, frozen=True, tag="call_ended"):
    """``ended_by``: ``caller``, ``lifeline``, ``switch``; or ``unknown``: found gone, which more than one may tell of a call."""

    hangup_cause: str
    ended_by: str


class LastResortHeard(msgspec.Struct, frozen=True, tag="last_resort_heard"):
    """The switch's own menu began in the caller's ear; told by whoever listens to the switch, under the last owner's epoch.

    ``by_chain``: no bridge took the call; otherwise a living one sent it there, and has said why.
    """

    caller: str
    destination: str
    flow_slug: str
    flow_version: int
    by_chain: bool
    proof: str


class LastResortLeft(msgspec.Struct, frozen=True, tag="last_resort_left"):
    """The call ended in the switch's own menu. ``choice``: the intent whose key was pressed, ``person``, or nothing.
    ``heard``: its caller demonstrably heard the menu in the visit in which it ended."""

    choice: str
    met_person: bool
    heard: bool = False


class EventsLost(msgspec.Struct, frozen=True, tag="events_lost"):
    """Of no call: so many events of this process found no room on disk or in memory, the first of them at ``since_us``."""

    count: int
    since_us: int


JournalEvent = (
    CallStarted
    | StepEntered
    | TurnStarted
    | TurnFinished
    | SlotCollected
    | ActionStarted
    | ActionFinished
    | IntentServed
    | IncidentOpened
    | IncidentClosed
    | FellBack
    | AgentRequested
    | AgentJoined
    | CallEnded
    | LastResortHeard
    | LastResortLeft
    | EventsLost
)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One journal line. (boot_id, seq) is unique; seq rises by one within a producer's boot."""

    boot_id: str
    seq: int
    call_uuid: str
    epoch: int
    at_us: int
    event: JournalEvent


def watermark_key(boot_id: str) -> str:
    """Durable Redis key: highest seq of that boot which the recorder has committed."""
    return f"journal:stored:{boot_id}"


_encoder = msgspec.msgpack.Encoder()
_entry = msgspec.msgpack.Decoder(Entry)
_batch = msgspec.msgpack.Decoder(tuple[Entry, ...])


def encode_entry(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Raises one of :data:`callflows.definition.errors.UNREADABLE`."""
    return _entry.decode(data)


def encode_batch(entries: tuple[Entry, ...]) -> bytes:
    """One stream entry holds one batch, in the order of seq, of one boot."""
    return _encoder.encode(entries)


def decode_batch(data: bytes) -> tuple[Entry, ...]:
    return _batch.decode(data)
