"""One Event Socket conversation without a socket: what was sent, what it answers, what happened.

Owns the matching of replies to commands, in order, and the limits on what may wait. The shell owns bytes and time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from esl_bridge.protocol.commands import Command, ReplyKind
from esl_bridge.protocol.errors import TooLarge, UnexpectedReply
from esl_bridge.protocol.messages import ContentType, Event, Message
from esl_bridge.protocol.reader import Reader

# A call sends a handful of commands a step; a thousand unanswered means that the switch has stopped reading.
MAX_PENDING = 1000

Tag = TypeVar("Tag")


@dataclass(frozen=True, slots=True)
class Replied(Generic[Tag]):
    """The answer to the command that was sent with ``tag``. ``text`` is the reply text, or the body of an API response."""

    tag: Tag
    ok: bool
    text: str
    message: Message


@dataclass(frozen=True, slots=True)
class Happened:
    event: Event


@dataclass(frozen=True, slots=True)
class Disconnecting:
    """``lingering``: the call is over and the socket stays for the events that are still to come (behaviour 9)."""

    lingering: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """``text/rude-rejection``: the switch's address list refuses us."""

    text: str


class Conversation(Generic[Tag]):
    """``send`` gives bytes and remembers; ``receive`` gives what the bytes that arrived mean."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._pending: deque[tuple[ReplyKind, Tag]] = deque()

    def send(self, command: Command, tag: Tag) -> bytes:
        if len(self._pending) >= MAX_PENDING:
            raise TooLarge(f"{MAX_PENDING} commands wait for a reply")
        self._pending.append((command.reply, tag))
        return command.data

    def receive(self, data: bytes) -> Iterator[Replied[Tag] | Happened | Disconnecting | Rejected]:
        """Raises MalformedStream for bytes that are not the protocol, UnexpectedReply for an answer to nothing."""
        for message in self._reader.feed(data):
            match message.content_type:
                case ContentType.EVENT_PLAIN | ContentType.EVENT_JSON:
                    yield Happened(message.event())
                case ContentType.COMMAND_REPLY | ContentType.API_RESPONSE:
                    yield self._reply(message)
                case ContentType.DISCONNECT_NOTICE:
                    yield Disconnecting(lingering=message.headers.get("Content-Disposition") == "linger")
                case ContentType.RUDE_REJECTION:
                    yield Rejected(message.body.decode("utf-8", "replace"))
                case _:
                    continue

    def unanswered(self) -> list[Tag]:
        """What was sent and never answered; the shell fails these when the peer is gone."""
        tags = [tag for _, tag in self._pending]
        self._pending.clear()
        return tags

    def _reply(self, message: Message) -> Replied[Tag]:
        if not self._pending:
            raise UnexpectedReply("a reply came and no command was waiting")
        kind, tag = self._pending.popleft()
        if kind.value != message.content_type:
            raise UnexpectedReply(f"{message.content_type} came where {kind.value} was due")
        api = kind is ReplyKind.API
        text = message.body.decode("utf-8", "replace").strip() if api else message.reply_text
        return Replied(tag, not text.startswith("-"), text, message)
