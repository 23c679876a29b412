"""Recorded conversations: the JSON-lines form ``{"t", "from", "data", "socket"?}``, read into messages.

Owns the form only. ``data`` is the bytes of one read or write, latin-1 decoded, so rows have nothing to do with messages:
the bytes of one socket are joined and given to the reader. Rows without ``socket`` are of the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from callflows.definition.errors import UNREADABLE
from esl_bridge.protocol.messages import ContentType, Headers, Message
from esl_bridge.protocol.reader import Reader

# Events of a call are 2 to 9 KB, and over 70 KB once a variable is large; a row far beyond is no recording of a socket.
MAX_ROW_BYTES = 64 << 20


class NoRecording(Exception):
    """A row is not of the form; the text names the line."""


class _Row(msgspec.Struct):
    data: str
    source: Literal["freeswitch", "app"] = msgspec.field(name="from")
    socket: int = 1


@dataclass(frozen=True, slots=True)
class Decoded:
    """One message from FreeSWITCH. ``headers`` are the event's own, decoded, where the message is one, else the message's;
    of a repeated name the first counts, as in :class:`Headers`."""

    content_type: str
    event_name: str
    headers: dict[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """Bytes at the end of a socket that are no whole message: the recording was cut off."""

    socket: int
    size: int


def read_sockets(lines: Iterable[bytes]) -> dict[int, bytes]:
    """What FreeSWITCH sent, by socket, in the order of the sockets' numbers. Raises NoRecording."""
    sent: dict[int, list[bytes]] = {}
    decoder = msgspec.json.Decoder(_Row)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(line) > MAX_ROW_BYTES:
            raise NoRecording(f"line {number} is over {MAX_ROW_BYTES} bytes")
        try:
            row = decoder.decode(line)
            data = row.data.encode("latin-1")
        except UNREADABLE as error:
            raise NoRecording(f"line {number} is not of a recording: {error}") from error
        pieces = sent.setdefault(row.socket, [])
        if row.source == "freeswitch":
            pieces.append(data)
    return {socket: b"".join(sent[socket]) for socket in sorted(sent)}


def decode(sockets: dict[int, bytes]) -> Iterator[Decoded | Leftover]:
    """Every message, one socket after the other. Raises MalformedStream where the bytes are not the protocol."""
    for socket, data in sockets.items():
        reader = Reader()
        for message in reader.feed(data):
            yield decoded(message)
        if reader.pending_bytes:
            yield Leftover(socket, reader.pending_bytes)


def decoded(message: Message) -> Decoded:
    """Raises MalformedStream when the body announces an event and is none."""
    if message.content_type in (ContentType.EVENT_PLAIN, ContentType.EVENT_JSON):
        event = message.event()
        return Decoded(message.content_type, event.name, _first_of_each(event.headers), event.body.decode("utf-8", "replace"))
    name = message.headers.get("Event-Name", "") or ""
    return Decoded(message.content_type, name, _first_of_each(message.headers), message.body.decode("utf-8", "replace"))


def _first_of_each(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        found.setdefault(name, value)
    return found
