"""Bytes in, messages out: the framing of the Event Socket, without a socket.

Owns the buffer and its limits. Feeding is linear in the bytes, whatever the size of the pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from esl_bridge.protocol.errors import MalformedStream, TooLarge
from esl_bridge.protocol.messages import EVENT_NAME, Headers, Message

# The `connect` reply is one header block with every channel variable; 70,000 characters in one of them were recorded,
# and percent encoding may triple that. A megabyte is far beyond any call of ours (variables of ours stay under 2 KB).
MAX_HEADER_BLOCK = 1 << 20
# `show channels` of 10,000 calls is about 5 MB; nothing on a call's own socket comes near.
MAX_BODY = 16 << 20
# Beyond this a header block is not worth remembering: it is the reply to `connect`, and comes once.
MAX_REMEMBERED_BLOCK = 128


class Reader:
    """Feed it what arrived, take the messages that are whole. After an error it refuses to go on."""

    __slots__ = ("_error", "_missing", "_pending", "_ready", "_scanned")

    def __init__(self) -> None:
        self._pending: bytearray | None = None
        self._missing = 0  # of the pending message's body; 0 while its header block is not whole
        self._scanned = 0
        self._ready: list[Message] = []
        self._error: MalformedStream | None = None

    def feed(self, data: bytes) -> Iterator[Message]:
        """Messages completed by ``data``. Raises MalformedStream (TooLarge) as soon as the bytes cannot be the protocol.

        Messages that are not taken come first when it is fed again.
        """
        ready = self._ready
        if self._error is None:
            try:
                self._take(data)
            except MalformedStream as error:
                self._error = error
        ready.reverse()
        try:
            while ready:
                yield ready.pop()
        finally:
            ready.reverse()
        if self._error is not None:
            raise self._error

    @property
    def pending_bytes(self) -> int:
        return 0 if self._pending is None else len(self._pending)

    def _take(self, data: bytes) -> None:
        start = 0
        if self._pending is not None:
            start = self._missing or len(data)
            joined = self._joined(data[:start])
            if joined is None:
                return
            self._split(joined, 0)
        self._split(data, start)

    def _joined(self, piece: bytes) -> bytes | None:
        """What was pending with ``piece`` behind it, once that is worth reading."""
        pending = self._pending
        assert pending is not None
        pending += piece
        if self._missing:
            self._missing -= len(piece)
            if self._missing:
                return None
        elif pending.find(b"\n\n", max(0, self._scanned - 1)) < 0:
            self._scanned = len(pending)
            _refuse_block_over_limit(len(pending))
            return None
        self._pending = None
        return bytes(pending)

    def _split(self, data: bytes, start: int) -> None:
        """Every whole message from ``start`` on into ``_ready``, the rest into ``_pending``."""
        size = len(data)
        while start < size:
            if data[start] == 0x0A:
                start += 1
                continue
            end = data.find(b"\n\n", start)
            if end < 0:
                _refuse_block_over_limit(size - start)
                self._keep(data[start:], missing=0)
                return
            if end - start <= MAX_REMEMBERED_BLOCK:
                outer, content_type, length = _short_block(data[start:end])
            else:
                _refuse_block_over_limit(end - start)
                outer, content_type, length = _block(data[start:end])
            body_start = end + 2
            if body_start + length > size:
                self._keep(data[start:], missing=body_start + length - size)
                return
            start = body_start + length
            self._ready.append(Message(outer, content_type, data[body_start:start]))

    def _keep(self, rest: bytes, *, missing: int) -> None:
        self._pending = bytearray(rest)
        self._missing = missing
        self._scanned = len(rest)


def _refuse_block_over_limit(size: int) -> None:
    if size > MAX_HEADER_BLOCK:
        raise TooLarge(f"a header block is over {MAX_HEADER_BLOCK} bytes")


def _block(block: bytes) -> tuple[Headers, str, int]:
    """The outer headers, the content type and the length of the body that follows."""
    outer = Headers(block, encoded=False)
    length = _content_length(outer)
    content_type = outer.get("Content-Type")
    if content_type is None:
        raise MalformedStream("a message has no Content-Type")
    # The reply to `connect` is the channel's data: the only outer block whose values are encoded (behaviour 1).
    if block.startswith(EVENT_NAME) or b"\n" + EVENT_NAME in block:
        return Headers(block, encoded=True, lower=outer.lower), content_type, length
    return outer, content_type, length


# Blocks before events differ in the length alone, and most are the same as one just seen.
_short_block = lru_cache(maxsize=1024)(_block)


def _content_length(headers: Headers) -> int:
    value = headers.get("Content-Length")
    if value is None:
        return 0
    if not value.isdecimal():
        raise MalformedStream(f"Content-Length is {value[:20]!r}")
    if len(value) > 9 or int(value) > MAX_BODY:
        raise TooLarge(f"a body of {value[:20]} bytes is over {MAX_BODY}")
    return int(value)
