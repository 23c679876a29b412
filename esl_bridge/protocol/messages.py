"""Messages from FreeSWITCH, read lazily: an event is a slice of bytes until somebody asks for a header.

Owns header look-up and decoding. Values are decoded after splitting, so an encoded newline cannot forge a header.
Source: the recorded conversations; behaviours 1, 2 and 13 of their README.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from urllib.parse import unquote_to_bytes

import msgspec

from esl_bridge.protocol.errors import MalformedStream


class ContentType(StrEnum):
    COMMAND_REPLY = "command/reply"
    API_RESPONSE = "api/response"
    AUTH_REQUEST = "auth/request"
    EVENT_PLAIN = "text/event-plain"
    EVENT_JSON = "text/event-json"
    DISCONNECT_NOTICE = "text/disconnect-notice"
    RUDE_REJECTION = "text/rude-rejection"
    LOG_DATA = "log/data"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _decoded(raw: bytes) -> str:
    return _text(unquote_to_bytes(raw)) if b"%" in raw else _text(raw)


class Headers:
    """A block of ``Name: value`` lines. ``encoded`` blocks hold URL-encoded values (events), others raw ones (outer)."""

    __slots__ = ("_block", "_encoded", "_lower")

    def __init__(self, block: bytes, *, encoded: bool) -> None:
        self._block = b"\n" + block
        self._encoded = encoded
        self._lower: bytes | None = None

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first header of that name, in any case; decoded. Invalid UTF-8 becomes U+FFFD, never an error."""
        needle = b"\n" + name.encode() + b": "
        start = self._block.find(needle)
        if start < 0:
            if self._lower is None:
                self._lower = self._block.lower()
            start = self._lower.find(needle.lower())
            if start < 0:
                return default
        start += len(needle)
        end = self._block.find(b"\n", start)
        raw = self._block[start:] if end < 0 else self._block[start:end]
        return _decoded(raw) if self._encoded else _text(raw)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def items(self) -> Iterator[tuple[str, str]]:
        """Every header in order, names as sent."""
        for line in self._block.split(b"\n"):
            name, colon, value = line.partition(b": ")
            if colon:
                yield _text(name), _decoded(value) if self._encoded else _text(value)


class Event:
    """One event: its headers, and the body it may carry of its own (``BACKGROUND_JOB``, ``mod_audio_stream``)."""

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body

    @property
    def name(self) -> str:
        return self.headers.get("Event-Name", "") or ""

    def get(self, name: str, default: str = "") -> str:
        return self.headers.get(name, default) or default

    def variable(self, name: str) -> str | None:
        """A channel variable, or None when it is not set."""
        return self.headers.get("variable_" + name)


class Message:
    """One message of the outer protocol: its header block and its body."""

    __slots__ = ("body", "content_type", "headers")

    def __init__(self, headers: Headers, content_type: str, body: bytes) -> None:
        self.headers = headers
        self.content_type = content_type
        self.body = body

    @property
    def reply_text(self) -> str:
        return (self.headers.get("Reply-Text", "") or "").strip()

    @property
    def job_uuid(self) -> str | None:
        return self.headers.get("Job-UUID")

    def event(self) -> Event:
        """The event in the body of ``text/event-plain`` or ``text/event-json``, or the channel data of ``connect``.

        Raises MalformedStream when the body is not an event, ValueError when the message cannot hold one.
        """
        if self.content_type == ContentType.EVENT_PLAIN:
            return parse_plain_event(self.body)
        if self.content_type == ContentType.EVENT_JSON:
            return parse_json_event(self.body)
        if self.content_type == ContentType.COMMAND_REPLY:
            return Event(self.headers, b"")
        raise ValueError(f"{self.content_type} holds no event")


def parse_plain_event(body: bytes) -> Event:
    end = body.find(b"\n\n")
    if end < 0:
        return Event(Headers(body, encoded=True), b"")
    headers = Headers(body[:end], encoded=True)
    inner = body[end + 2 :]
    length = headers.get("Content-Length")
    if length is None:
        return Event(headers, b"")
    if not length.isdecimal() or int(length) > len(inner):
        raise MalformedStream(f"an event announces a body of {length[:20]!r} bytes and has {len(inner)}")
    return Event(headers, inner[: int(length)])


def parse_json_event(body: bytes) -> Event:
    try:
        fields = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MalformedStream(f"a JSON event cannot be read: {error}") from error
    inner = fields.pop("_body", "")
    lines = (f"{name}: {_quoted(value)}" for name, value in fields.items() if "\n" not in name)
    return Event(Headers("\n".join(lines).encode(), encoded=True), inner.encode())


def _quoted(value: str) -> str:
    """Only what would break a line or be taken for an escape; the block is decoded again on reading."""
    return value.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
