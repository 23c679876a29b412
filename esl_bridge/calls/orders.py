"""What a call decides, as values: carried out by the shell (``session.py``), by a test, or shown by "try it"."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from ai_engine.messages import Exchange
from esl_bridge.journal.events import JournalEvent


class TurnVerdict(StrEnum):
    """What one turn says about queue, workers and Redis together (the ``turns`` circuit), not about an engine."""

    OK = "ok"
    FAIL = "fail"
    ABANDONED = "abandoned"


class AnswerCall(msgspec.Struct, frozen=True):
    pass


class SetVariables(msgspec.Struct, frozen=True):
    """Without the ``ll_`` prefix; an empty value unsets. ``before_acting``: a :class:`RunAction` follows, and waits for the
    switch's answer to this."""

    values: Mapping[str, str]
    before_acting: bool = False


class KeepHistory(msgspec.Struct, frozen=True):
    """``packed`` is ``history.pack``'s: kept on the switch, sealed; empty when there is nothing to keep any more."""

    packed: bytes


class Play(msgspec.Struct, frozen=True):
    """``file`` is a prompt's name in the switch's prompt folder, or an absolute path the switch itself announced."""

    play_id: str
    file: str


class StopPlayback(msgspec.Struct, frozen=True):
    pass


class ArmTimer(msgspec.Struct, frozen=True):
    seconds: int


class DeleteTimer(msgspec.Struct, frozen=True):
    """``name``: a task's id; empty for the one the dialplan armed; ``own`` for every one of ours."""

    name: str


class StartAudio(msgspec.Struct, frozen=True):
    pass


class WatchFor(msgspec.Struct, frozen=True):
    """A prompt plays: say when the caller speaks over it, and begin the turn with what they said."""

    turn: int


class ListenTo(msgspec.Struct, frozen=True):
    turn: int


class StopListening(msgspec.Struct, frozen=True):
    turn: int


class StopAudio(msgspec.Struct, frozen=True):
    pass


class PublishTurn(msgspec.Struct, frozen=True):
    turn: int
    expect: str
    gateway_id: str
    slots: Mapping[str, str]
    history: tuple[Exchange, ...]
    listen_ms: int
    budget_ms: int


class ShowPartial(msgspec.Struct, frozen=True):
    """For whoever watches: what the caller is just saying; nothing any more when ``words`` is empty."""

    words: str


class SettleTurn(msgspec.Struct, frozen=True):
    """Tell the ``turns`` circuit how the turn went."""

    turn: int
    verdict: TurnVerdict
    kind: str = ""


class RunAction(msgspec.Struct, frozen=True):
    """``key`` makes it idempotent: the same key never acts twice."""

    key: str
    action: str
    slots: Mapping[str, str]


class TransferToAgent(msgspec.Struct, frozen=True):
    destination: str


class LeaveToOthers(msgspec.Struct, frozen=True):
    """Somebody else has moved the call, or joined it to a person (``met_person``): the end of this socket must not end that."""

    met_person: bool = False


class TransferToLastResort(msgspec.Struct, frozen=True):
    pass


class HangUp(msgspec.Struct, frozen=True):
    pass


class Record(msgspec.Struct, frozen=True):
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
