"""The states of one Event Socket connection, as the table that ``Conversation`` walks and the documentation draws.

Owns which message may come when. What is not in the table is not the protocol: the connection is given up, its call goes on
in the dialplan. Sources: the recorded conversations, and mod_event_socket's own order of replies and notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    NEW = "new"
    """The transport is up and nothing was said. FreeSWITCH says nothing first on an outbound socket."""
    CHALLENGED = "challenged"
    """The port on the switch wants a password."""
    CONNECTING = "connecting"
    """``connect`` was sent; only its reply, the channel's data, may come."""
    ATTACHED = "attached"
    LINGERING = "lingering"
    """The call is over; late events and replies still come, for the time that ``linger`` asked (behaviour 9)."""
    OVER = "over"
    """The switch has said goodbye and closes; nothing more may come, and nothing more is sent."""


class Trigger(StrEnum):
    CHALLENGE = "auth/request"
    CONNECT_SENT = "connect sent"
    COMMAND_SENT = "command sent"
    CHANNEL_DATA = "channel data"
    ACCEPTED = "reply"
    REFUSED = "-ERR"
    EVENT = "event"
    LOG = "log/data"
    LINGER = "notice: linger"
    GOODBYE = "notice: disconnect"
    REJECTION = "rude-rejection"


_ANYTIME = {
    Trigger.COMMAND_SENT: None,
    Trigger.ACCEPTED: None,
    Trigger.REFUSED: None,
    Trigger.EVENT: None,
    Trigger.LOG: None,
    Trigger.GOODBYE: State.OVER,
}
_ROWS: Mapping[State, Mapping[Trigger, State | None]] = {
    State.NEW: {
        Trigger.CONNECT_SENT: State.CONNECTING,
        Trigger.CHALLENGE: State.CHALLENGED,
        Trigger.REJECTION: State.OVER,
        Trigger.GOODBYE: State.OVER,
    },
    State.CHALLENGED: {
        Trigger.COMMAND_SENT: None,
        Trigger.ACCEPTED: State.ATTACHED,
        Trigger.REFUSED: None,
        Trigger.GOODBYE: State.OVER,
    },
    State.CONNECTING: {
        Trigger.CHANNEL_DATA: State.ATTACHED,
        Trigger.COMMAND_SENT: None,
        Trigger.REFUSED: State.OVER,
        Trigger.LINGER: State.LINGERING,
        Trigger.GOODBYE: State.OVER,
        Trigger.REJECTION: State.OVER,
    },
    State.ATTACHED: {**_ANYTIME, Trigger.LINGER: State.LINGERING},
    State.LINGERING: {**_ANYTIME, Trigger.LINGER: None},
    State.OVER: {},
}
# (state, what happens) -> the state then; the same one where a row of the table says None.
TRANSITIONS: Mapping[tuple[State, Trigger], State] = MappingProxyType(
    {(state, trigger): state if after is None else after for state, row in _ROWS.items() for trigger, after in row.items()}
)


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    together: dict[tuple[State, State], list[str]] = {}
    for (before, trigger), after in TRANSITIONS.items():
        together.setdefault((before, after), []).append(trigger.value.replace(":", ""))
    arrows = [f"    {before} --> {after}: {', '.join(triggers)}" for (before, after), triggers in together.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.NEW}", *arrows, f"    {State.OVER} --> [*]"])


def table() -> str:
    """The table as Markdown: a row for each trigger, a column for each state; an empty cell gives the connection up."""
    head = ["| | " + " | ".join(State) + " |", "|---" * (len(State) + 1) + "|"]
    rows = []
    for trigger in Trigger:
        cells = (TRANSITIONS.get((state, trigger)) for state in State)
        rows.append(f"| {trigger} | " + " | ".join("" if cell is None else cell.value for cell in cells) + " |")
    return "\n".join(head + rows)
