"""Bytes in, messages out: the framing of the Event Socket, without a socket.

Owns the buffer and its limits. Feeding is linear in the bytes, whatever the size of the pieces.
"""

from __future__ import annotations

from collections.abc import Iterator

from esl_bridge.protocol.errors import MalformedStream, TooLarge
from esl_bridge.protocol.messages import Headers, Message

# The `connect` reply is one header block with every channel variable; 70,000 characters in one of them were recorded,
# and percent encoding may triple that. A megabyte is far beyond any call of ours (variables of ours stay under 2 KB).
MAX_HEADER_BLOCK = 1 << 20
# `show channels` of 10,000 calls is about 5 MB; nothing on a call's own socket comes near.
MAX_BODY = 16 << 20
COMPACT_AT = 1 << 16


class Reader:
    """Feed it what arrived, take the messages that are whole. After an error it refuses to go on."""

    __slots__ = ("_broken", "_buffer", "_scanned", "_start")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._scanned = 0
        self._broken = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """Messages completed by ``data``. Raises MalformedStream (TooLarge) as soon as the bytes cannot be the protocol."""
        if self._broken:
            raise MalformedStream("this stream was already given up")
        self._buffer += data
        try:
            while (message := self._next()) is not None:
                yield message
        except MalformedStream:
            self._broken = True
            raise
        self._compact()

    @property
    def pending_bytes(self) -> int:
        return len(self._buffer) - self._start

    def _next(self) -> Message | None:
        buffer = self._buffer
        while self._start < len(buffer) and buffer[self._start] == 0x0A:
            self._start += 1
        end = buffer.find(b"\n\n", max(self._start, self._scanned - 1))
        if end < 0:
            self._scanned = len(buffer)
            if len(buffer) - self._start > MAX_HEADER_BLOCK:
                raise TooLarge(f"a header block is over {MAX_HEADER_BLOCK} bytes")
            return None
        if end - self._start > MAX_HEADER_BLOCK:
            raise TooLarge(f"a header block is over {MAX_HEADER_BLOCK} bytes")
        block = bytes(memoryview(buffer)[self._start : end])
        outer = Headers(block, encoded=False)
        length = _content_length(outer)
        body_start = end + 2
        if len(buffer) < body_start + length:
            # The block is read again when its body is whole: blocks before bodies are small.
            self._scanned = end
            return None
        body = bytes(memoryview(buffer)[body_start : body_start + length]) if length else b""
        self._start = self._scanned = body_start + length
        content_type = outer.get("Content-Type")
        if content_type is None:
            raise MalformedStream("a message has no Content-Type")
        # The reply to `connect` is the channel's data: the only outer block whose values are encoded (behaviour 1).
        if block.startswith(b"Event-Name: ") or b"\nEvent-Name: " in block:
            return Message(Headers(block, encoded=True), content_type, body)
        return Message(outer, content_type, body)

    def _compact(self) -> None:
        if self._start > COMPACT_AT or self._start == len(self._buffer):
            del self._buffer[: self._start]
            self._scanned -= self._start
            self._start = 0


def _content_length(headers: Headers) -> int:
    value = headers.get("Content-Length")
    if value is None:
        return 0
    if not value.isdecimal():
        raise MalformedStream(f"Content-Length is {value[:20]!r}")
    if len(value) > 9 or int(value) > MAX_BODY:
        raise TooLarge(f"a body of {value[:20]} bytes is over {MAX_BODY}")
    return int(value)
