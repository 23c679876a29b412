"""What a call is told: by the switch, by the AI side, by actions and by time. Values only; see ``call.py`` for what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import msgspec

from ai_engine.messages import (
    Exchange,
    MediaClosed,
    MediaConnected,
    MediaReport,
    SpeechEnded,
    SpeechStarted,
    TurnDone,
    TurnFailed,
    TurnPartial,
    TurnReplying,
    TurnTaken,
)
from callflows.definition.flow import FlowVersion
from ivr_fallback.steps import ActionValues

FOUND_GONE = "FOUND_GONE"
"""The cause of an end that nobody saw."""


class AiUse(StrEnum):
    """Whether a call may use the AI now, and if not, why: some stage has no usable engine, or ``turns`` is open."""

    USABLE = "usable"
    NO_ENGINE = "no_engine"
    FORCED = "forced"
    TURNS_OPEN = "turns_open"
    SHED = "shed"


@dataclass(frozen=True, slots=True)
class Connected:
    """The switch has handed the call over. ``kept`` are the ``ll_…`` variables an earlier owner left, without the prefix.

    ``flow`` is the version the call began with, or the newest for its number; None when there is none.
    """

    call_uuid: str
    caller: str
    destination: str
    answered: bool
    kept: Mapping[str, str]
    agent_disposition: str
    flow: FlowVersion | None
    ai_use: AiUse
    drill: str = ""
    """Whose circuit it is that keeps this call off the AI."""
    history: tuple[Exchange, ...] = ()
    """What was said before, as far as an earlier owner could keep it."""
    held: bool = False
    """Their telephone has put us on hold."""
    ask_next: str = ""
    """Whom the chain shall ask when we have lost the call."""
    at: datetime = field(kw_only=True)
    """The moment of it by the wall clock, with its zone: opening hours go by it and by the time that passes from then on."""


class Answered(msgspec.Struct, frozen=True):
    pass


class PlaybackStarted(msgspec.Struct, frozen=True):
    file: str


class PlaybackEnded(msgspec.Struct, frozen=True):
    """``response`` is FreeSWITCH's own: ``FILE PLAYED``, ``FILE NOT FOUND``, or an error; ``FILE CUT`` for one broken off."""

    play_id: str
    response: str


class KeyPressed(msgspec.Struct, frozen=True):
    key: str


class StoodStill(msgspec.Struct, frozen=True):
    """This process stood still so long that the call might have been another's; the switch says that it was ours."""


class AgentBridged(msgspec.Struct, frozen=True):
    pass


class TimerArmed(msgspec.Struct, frozen=True):
    """The switch's answer to arming the dead man's timer; ``task_id`` is empty when it refused."""

    task_id: str


class AudioFailed(msgspec.Struct, frozen=True):
    """mod_audio_stream could not connect, or its connection ended."""

    kind: str


class StreamRefused(msgspec.Struct, frozen=True):
    """The switch did not start the audio stream: one is still there, of the owner before or being stopped.

    ``for_good``: it has no audio module, and trying again is of no use.
    """

    for_good: bool = False


class ReplyFileReady(msgspec.Struct, frozen=True):
    """mod_audio_stream has put a reply's audio on the switch's disk."""

    path: str


class HungUp(msgspec.Struct, frozen=True):
    """``by_switch``: it was the switch that said good-bye to the caller, whoever had it do so. ``unseen``: the call was over
    before we asked to be told of its end; where two visits overlap, each may find it so."""

    cause: str
    by_switch: bool = False
    unseen: bool = False


class PutOnHold(msgspec.Struct, frozen=True):
    """The caller's telephone has: they hear nothing of us, and no audio of theirs comes, until :class:`TakenOffHold`."""


class TakenOffHold(msgspec.Struct, frozen=True):
    pass


class TakenElsewhere(msgspec.Struct, frozen=True):
    """The dialplan's ``socket`` has ended and the call is up: an operator, or somebody's script, moves it. Where to is not told."""


class OwnerChanged(msgspec.Struct, frozen=True):
    """Another bridge has this call now: say nothing more on this socket, and do not close it."""


class SocketClosed(msgspec.Struct, frozen=True):
    """The switch is gone, or closed the socket; without a hang-up seen, the call's end is not known."""


class AiUseChanged(msgspec.Struct, frozen=True):
    """``drill``: as of :class:`Connected`."""

    use: AiUse
    drill: str = ""


class QueueLost(msgspec.Struct, frozen=True):
    """The queue cannot be reached: ``turn`` could not be published, or (None) results cannot be read, whichever turn runs."""

    kind: str
    turn: int | None = None


class ActionDone(msgspec.Struct, frozen=True):
    key: str
    outcome: str
    values: ActionValues


class ActionFailed(msgspec.Struct, frozen=True):
    key: str
    kind: str


class TimePassed(msgspec.Struct, frozen=True):
    pass


# What ends the matter for us, whoever has the call then.
End = HungUp | SocketClosed | OwnerChanged
AiMessage = (
    MediaConnected
    | MediaClosed
    | MediaReport
    | SpeechStarted
    | SpeechEnded
    | TurnTaken
    | TurnPartial
    | TurnReplying
    | TurnDone
    | TurnFailed
)
Input = (
    Connected
    | Answered
    | PlaybackStarted
    | PlaybackEnded
    | KeyPressed
    | AgentBridged
    | StoodStill
    | TimerArmed
    | AudioFailed
    | StreamRefused
    | ReplyFileReady
    | HungUp
    | PutOnHold
    | TakenOffHold
    | TakenElsewhere
    | OwnerChanged
    | SocketClosed
    | AiUseChanged
    | QueueLost
    | ActionDone
    | ActionFailed
    | TimePassed
    | AiMessage
)
