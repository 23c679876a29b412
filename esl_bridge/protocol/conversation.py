"""One Event Socket conversation without a socket: what was sent, what it answers, what happened.

Owns the matching of replies to commands, in order, the state of the connection (``states.py``) and the limits on what may
wait. The shell owns bytes and time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import msgspec

from esl_bridge.protocol.commands import Command, ReplyKind, connect
from esl_bridge.protocol.errors import ConnectionLost, TooLarge, UnexpectedMessage, UnexpectedReply
from esl_bridge.protocol.messages import ContentType, Event, Message, parse_plain_event
from esl_bridge.protocol.reader import Reader
from esl_bridge.protocol.states import TRANSITIONS, State, Trigger

# A call sends a handful of commands a step; a thousand unanswered means that the switch has stopped reading.
MAX_PENDING = 1000
# Jobs whose result has not come. Without a subscription it never does, so the oldest make room.
MAX_JOBS = 100

CONNECT = connect().data
# Looked up once: Python 3.11 runs a function at every look at a member of an Enum.
ATTACHED, CONNECTING = State.ATTACHED, State.CONNECTING
COMMAND_SENT, ACCEPTED, API = Trigger.COMMAND_SENT, Trigger.ACCEPTED, ReplyKind.API
EVENT_PLAIN = ContentType.EVENT_PLAIN.value
REPLIES = frozenset((ContentType.COMMAND_REPLY.value, ContentType.API_RESPONSE.value))
BACKGROUND_JOB = b"Event-Name: BACKGROUND_JOB\n"

Tag = TypeVar("Tag")


class Replied(msgspec.Struct, Generic[Tag], frozen=True):
    """The answer to the command that was sent with ``tag``. ``text`` is the reply text, or the body of an API response."""

    tag: Tag
    ok: bool
    text: str
    message: Message


class Happened(msgspec.Struct, frozen=True, gc=False):
    event: Event


@dataclass(frozen=True, slots=True)
class JobDone(Generic[Tag]):
    """The result of the background command that was sent with ``tag``, found by its ``Job-UUID``."""

    tag: Tag
    ok: bool
    text: str
    event: Event


@dataclass(frozen=True, slots=True)
class Disconnecting:
    """``lingering``: the call is over and the socket stays for the events that are still to come (behaviour 9)."""

    lingering: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """``text/rude-rejection``: the switch's address list refuses us."""

    text: str


Received: TypeAlias = Replied[Tag] | Happened | JobDone[Tag] | Disconnecting | Rejected


class Conversation(Generic[Tag]):
    """``send`` gives bytes and remembers; ``receive`` gives what the bytes that arrived mean."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._pending: deque[tuple[Command, Tag]] = deque()
        self._jobs: dict[str, Tag] = {}
        self.state = State.NEW

    def send(self, command: Command, tag: Tag) -> bytes:
        """Raises TooLarge when too much waits for an answer already, ConnectionLost when the switch has said goodbye."""
        trigger = Trigger.CONNECT_SENT if command.data == CONNECT else COMMAND_SENT
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            raise ConnectionLost(f"nothing of this kind may be sent on a connection that is {self.state}")
        if len(self._pending) >= MAX_PENDING:
            raise TooLarge(f"{MAX_PENDING} commands wait for a reply")
        self.state = after
        self._pending.append((command, tag))
        return command.data

    def receive(self, data: bytes) -> Iterator[Received[Tag]]:
        """Raises MalformedStream for bytes that are not the protocol, UnexpectedReply for an answer to nothing, and
        UnexpectedMessage for a message that has no place in the connection's state."""
        for message in self._reader.feed(data):
            job = self._jobs and message.body.startswith(BACKGROUND_JOB)
            if message.content_type == EVENT_PLAIN and self.state is ATTACHED and not job:
                # Where events change nothing, and nearly all of them come: the shortest way there is.
                yield Happened(parse_plain_event(message.body))
                continue
            if message.content_type in REPLIES:
                yield self._reply(message)
                continue
            match message.content_type:
                case ContentType.EVENT_PLAIN | ContentType.EVENT_JSON:
                    self._move(Trigger.EVENT)
                    yield self._happened(message.event())
                case ContentType.DISCONNECT_NOTICE:
                    lingering = message.headers.get("Content-Disposition") == "linger"
                    self._move(Trigger.LINGER if lingering else Trigger.GOODBYE)
                    yield Disconnecting(lingering=lingering)
                case ContentType.RUDE_REJECTION:
                    self._move(Trigger.REJECTION)
                    yield Rejected(message.body.decode("utf-8", "replace"))
                case ContentType.AUTH_REQUEST:
                    self._move(Trigger.CHALLENGE)
                case ContentType.LOG_DATA:
                    self._move(Trigger.LOG)
                case other:
                    raise UnexpectedMessage(f"a message of type {other[:40]!r} is none of the Event Socket's")

    def unanswered(self) -> list[Tag]:
        """What was sent and never answered; the shell fails these when the peer is gone."""
        tags = [*(tag for _, tag in self._pending), *self._jobs.values()]
        self._pending.clear()
        self._jobs.clear()
        return tags

    def _reply(self, message: Message) -> Replied[Tag]:
        if not self._pending:
            raise UnexpectedReply("a reply came and no command was waiting")
        command, tag = self._pending.popleft()
        kind = command.reply
        if kind != message.content_type:
            raise UnexpectedReply(f"{message.content_type} came where {kind} was due")
        api = kind is API
        text = message.body.decode("utf-8", "replace").strip() if api else message.reply_text
        ok = not text.startswith("-")
        connected = self.state is CONNECTING and ok
        self._move(Trigger.CHANNEL_DATA if connected else ACCEPTED if ok else Trigger.REFUSED)
        if command.in_background and (job := message.job_uuid):
            while len(self._jobs) >= MAX_JOBS:
                del self._jobs[next(iter(self._jobs))]
            self._jobs[job] = tag
        return Replied(tag, ok, text, message)

    def _happened(self, event: Event) -> Happened | JobDone[Tag]:
        if self._jobs and event.name == "BACKGROUND_JOB" and (job := event.get("Job-UUID")) in self._jobs:
            text = event.body.decode("utf-8", "replace").strip()
            return JobDone(self._jobs.pop(job), not text.startswith("-"), text, event)
        return Happened(event)

    def _move(self, trigger: Trigger) -> None:
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            raise UnexpectedMessage(f"{trigger} has no place on a connection that is {self.state}")
        self.state = after
