"""What a call decides, as values: carried out by the shell (``session.py``), by a test, or shown by "try it"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ai_engine.messages import Exchange
from esl_bridge.journal.events import JournalEvent


class TurnVerdict(StrEnum):
    """What one turn says about queue, workers and Redis together (the ``turns`` circuit), not about an engine."""

    OK = "ok"
    FAIL = "fail"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class AnswerCall:
    pass


@dataclass(frozen=True, slots=True)
class SetVariables:
    """Without the ``ll_`` prefix; an empty value unsets."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeepHistory:
    """``packed`` is ``history.pack``'s: kept on the switch, sealed; empty when there is nothing to keep any more."""

    packed: bytes


@dataclass(frozen=True, slots=True)
class Play:
    """``file`` is a prompt's name in the switch's prompt folder, or an absolute path the switch itself announced."""

    play_id: str
    file: str


@dataclass(frozen=True, slots=True)
class StopPlayback:
    pass


@dataclass(frozen=True, slots=True)
class ArmTimer:
    seconds: int


@dataclass(frozen=True, slots=True)
class DeleteTimer:
    """``name``: a task's id; empty for the one the dialplan armed; ``own`` for every one of ours."""

    name: str


@dataclass(frozen=True, slots=True)
class StartAudio:
    pass


@dataclass(frozen=True, slots=True)
class WatchFor:
    """A prompt plays: say when the caller speaks over it, and begin the turn with what they said."""

    turn: int


@dataclass(frozen=True, slots=True)
class ListenTo:
    turn: int


@dataclass(frozen=True, slots=True)
class StopListening:
    turn: int


@dataclass(frozen=True, slots=True)
class StopAudio:
    pass


@dataclass(frozen=True, slots=True)
class PublishTurn:
    turn: int
    expect: str
    gateway_id: str
    slots: Mapping[str, str]
    history: tuple[Exchange, ...]
    listen_ms: int
    budget_ms: int


@dataclass(frozen=True, slots=True)
class ShowPartial:
    """For whoever watches: what the caller is just saying; nothing any more when ``words`` is empty."""

    words: str


@dataclass(frozen=True, slots=True)
class SettleTurn:
    """Tell the ``turns`` circuit how the turn went."""

    turn: int
    verdict: TurnVerdict
    kind: str = ""


@dataclass(frozen=True, slots=True)
class RunAction:
    """``key`` makes it idempotent: the same key never acts twice."""

    key: str
    action: str
    slots: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TransferToAgent:
    destination: str


@dataclass(frozen=True, slots=True)
class LeaveToOthers:
    """Somebody else has joined the caller to a person: the end of this socket must not end that."""


@dataclass(frozen=True, slots=True)
class TransferToLastResort:
    pass


@dataclass(frozen=True, slots=True)
class HangUp:
    pass


@dataclass(frozen=True, slots=True)
class Record:
    event: JournalEvent


Order = (
    AnswerCall
    | SetVariables
    | KeepHistory
    | Play
    | StopPlayback
    | ArmTimer
    | DeleteTimer
    | StartAudio
    | WatchFor
    | ListenTo
    | StopListening
    | StopAudio
    | PublishTurn
    | ShowPartial
    | SettleTurn
    | RunAction
    | TransferToAgent
    | LeaveToOthers
    | TransferToLastResort
    | HangUp
    | Record
)
