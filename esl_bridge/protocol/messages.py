"""Messages from FreeSWITCH, read lazily: an event is a slice of bytes until somebody asks for a header.

Owns header look-up and decoding. Values are decoded after splitting, so an encoded newline cannot forge a header.
Source: the recorded conversations; behaviours 1, 2 and 13 of their README.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import msgspec

from callflows.definition.errors import UNREADABLE
from esl_bridge.protocol.errors import MalformedStream

# FreeSWITCH writes what a call's decisions need last: the variables set most recently, then the application's headers.
# Looking there first finds them ten times as fast; half a KB holds some ten of them.
TAIL = 512
SEPARATORS = bytes.maketrans(b":\n", b"\0\0")
EVENT_NAME = b"Event-Name: "
NAME_AT = len(EVENT_NAME)
# A number is found in bytes up to four times as fast as a text of one byte.
PERCENT, NEWLINE = b"%\n"
INNER_LENGTH = b"\nContent-Length: "
# What the core fires for a call at every step, with headers alone (switch_core_session.c, switch_ivr_play_say.c,
# switch_channel.c): nearly all that a call's socket brings, so nothing is looked for in them that is not there.
BODILESS = (b"Event-Name: CHANNEL_EXECUTE", b"Event-Name: PLAYBACK_ST", b"Event-Name: DTMF\n")


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


def _unescaped(raw: bytes) -> bytes:
    """Percent escapes as Python's own: the one codec that decodes all of them in C. Raises UnicodeError for a malformed one."""
    return raw.replace(b"\\", b"\\\\").replace(b"%", b"\\x").decode("unicode_escape").encode("latin-1")


def _unquoted(raw: bytes) -> bytes:
    try:
        return _unescaped(raw)
    except UnicodeError:
        return unquote_to_bytes(raw)  # What is no escape stays as it is.


def _decoded(raw: bytes) -> str:
    return _text(_unquoted(raw)) if PERCENT in raw else _text(raw)


@lru_cache(maxsize=1024)
def _needle(name: str) -> bytes:
    return b"\n" + name.encode() + b": "


class Headers(msgspec.Struct, eq=False, gc=False):
    """A block of ``Name: value`` lines. ``encoded`` blocks hold URL-encoded values (events), others raw ones (outer)."""

    block: bytes
    encoded: bool
    lower: bytes | None = None
    """The block in lower case, from the first name on that was not found as it was written."""

    def get(self, name: str, default: str | None = None) -> str | None:
        """The header of that name, in any case; decoded. Invalid UTF-8 becomes U+FFFD, never an error.

        In what was recorded a name stands twice only with the same value (``Hangup-Cause``): of two, either may be found.
        """
        block = self.block
        needle = _needle(name)
        start = block.find(needle, -TAIL)
        if start < 0:
            start = self._search(needle)
            if start < -1:
                return default
        start += len(needle)
        end = block.find(NEWLINE, start)
        raw = block[start:] if end < 0 else block[start:end]
        if PERCENT in raw and self.encoded:
            raw = _unquoted(raw)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("utf-8", "replace")

    def _search(self, needle: bytes) -> int:
        """Where the line begins, one before its name (so -1 for the first line); less when there is none."""
        block = self.block
        if block.startswith(needle[1:]):
            return -1
        start = block.find(needle)
        if start >= 0:
            return start
        if self.lower is None:
            self.lower = b"\n" + block.lower()
        start = self.lower.find(needle.lower())
        return start - 1 if start >= 0 else -2

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def beginning_with(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Those whose name begins like that, as it is written; the rest of the name, and the value. A few of a hundred or two."""
        needle = b"\n" + prefix.encode()
        block = b"\n" + self.block
        start = block.find(needle)
        while start >= 0:
            end = block.find(NEWLINE, start + 1)
            line = block[start + len(needle) : end if end >= 0 else None]
            name, colon, value = line.partition(b": ")
            if colon:
                yield _text(name), _decoded(value) if self.encoded else _text(value)
            start = -1 if end < 0 else block.find(needle, end)

    def items(self) -> Iterator[tuple[str, str]]:
        """Every header in order, names as sent."""
        if self.encoded and (pairs := _decoded_together(self.block)) is not None:
            return iter(pairs)
        return self._one_by_one()

    def _one_by_one(self) -> Iterator[tuple[str, str]]:
        for line in self.block.split(b"\n"):
            name, colon, value = line.partition(b": ")
            if colon:
                yield _text(name), _decoded(value) if self.encoded else _text(value)


def _decoded_together(block: bytes) -> list[tuple[str, str]] | None:
    """The pairs of an encoded block, everything decoded in one pass: a quarter of the time of decoding each for itself.

    FreeSWITCH writes every line as ``name: value`` and encodes colons, spaces and NULs in values, so all that stand there are
    its own separators. None when their counts say otherwise, when a value holds a NUL, which stands for a separator here, when
    a name holds a percent sign (names are not encoded), or an escape is malformed: then each line is decoded for itself.
    """
    lines = block.count(b"\n") + 1
    if b"%00" in block or b"\0" in block:
        return None
    apart = block.translate(SEPARATORS, b" ")
    if len(block) - len(apart) != lines or b"%" in b"".join(apart.split(b"\0")[::2]):
        return None
    try:
        text = _unescaped(apart)
    except UnicodeError:
        return None
    flat = _text(text).split("\0")
    return list(zip(flat[::2], flat[1::2], strict=True)) if len(flat) == 2 * lines else None


class Event(msgspec.Struct, eq=False, gc=False):
    """One event: its headers, and the body it may carry of its own (``BACKGROUND_JOB``, ``mod_audio_stream``)."""

    headers: Headers
    body: bytes

    @property
    def name(self) -> str:
        block = self.headers.block
        if block.startswith(EVENT_NAME) and (end := block.find(NEWLINE)) > 0:  # as FreeSWITCH sends it, always
            return block[NAME_AT:end].decode("utf-8", "replace")
        return self.headers.get("Event-Name", "") or ""

    def get(self, name: str, default: str = "") -> str:
        return self.headers.get(name, default) or default

    def variable(self, name: str) -> str | None:
        """A channel variable, or None when it is not set."""
        return self.headers.get("variable_" + name)


class Message(msgspec.Struct, eq=False, gc=False):
    """One message of the outer protocol: its header block and its body."""

    headers: Headers
    content_type: str
    body: bytes

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
    """A blank line ends the headers. Looking for the header that announces a body is four times as fast as looking for it."""
    if body.endswith(b"\n\n") and (
        body.startswith(BODILESS) or (body.find(INNER_LENGTH) < 0 and not body.startswith(INNER_LENGTH[1:]))
    ):
        return Event(Headers(body[:-2], encoded=True), b"")
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
    except UNREADABLE as error:
        raise MalformedStream(f"a JSON event cannot be read: {error}") from error
    inner = fields.pop("_body", "")
    lines = (f"{name}: {_quoted(value)}" for name, value in fields.items() if "\n" not in name)
    return Event(Headers("\n".join(lines).encode(), encoded=True), inner.encode())


def _quoted(value: str) -> str:
    """Only what would break a line or be taken for an escape; the block is decoded again on reading."""
    return value.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
