"""What a call's thread is told, and what it answers to the application that waits. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Waited(StrEnum):
    """Why :meth:`Session.wait` returned."""

    ELAPSED = "elapsed"
    BROKEN = "broken"
    DIGIT = "digit"
    OVER = "over"  # hung up, transferred or handed on: the application must return


@dataclass(frozen=True, slots=True)
class Message:
    """A `sendmsg` for this call, waiting for the next frame."""

    command: str
    application: str = ""
    argument: str = ""
    event_uuid: str = ""
    lock: bool = False
    loops: int = 1
    cause: str = ""
    raw: tuple[tuple[str, str], ...] = ()
    body: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """The dialplan is to be entered anew, or (``destination`` empty) to go on with its next action."""

    destination: str = ""
    dialplan: str = "XML"
    context: str = "default"
