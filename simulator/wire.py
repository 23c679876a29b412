"""The switch's side of the Event Socket as bytes: commands in, replies, events and notices out. No sockets.

Owns the framing and FreeSWITCH's own URL encoding. Knows nothing of what a command means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from simulator.errors import WireError
from simulator.events import Block, Event, Headers

# A command line and its headers; the longest real one is a `bridge` with a few variables.
MAX_HEADER_BYTES: Final = 65_536
# A `set` of a 70,000 character variable was accepted by the real switch; beyond a megabyte it is a broken peer.
MAX_BODY_BYTES: Final = 1_048_576
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_REPLY_BYTES: Final = 511  # mod_event_socket.c: char reply[512]
GOODBYE: Final = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"

# switch_types.h SWITCH_URL_UNSAFE, and everything outside printable ASCII; what looks encoded already stays as it is.
_UNSAFE: Final = re.compile(rb"(%[0-9A-F]{2})|[^!$'()*,\-./0-9A-Z_a-z~]")
_MAX_CACHED_CHARS: Final = 256  # longer values (SDP apart) are rare and different each time


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the app: its first line, the headers below it (values as sent) and a body."""

    line: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def get(self, header: str) -> str:
        wanted = header.lower()
        for name, value in self.headers:
            if name.lower() == wanted:
                return value
        return ""


class CommandParser:
    """Bytes of the app in, whole commands out; half a command is kept until the rest arrives."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Command]:
        """Raises :class:`WireError` when a header block or a body is larger than FreeSWITCH would take."""
        self._buffer += data
        commands: list[Command] = []
        while (command := self._next()) is not None:
            commands.append(command)
        return commands

    def _next(self) -> Command | None:
        self._buffer = self._buffer.lstrip(b"\r\n")  # what is left of a body's own line end
        match = _BLANK_LINE.search(self._buffer)
        if match is None:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise WireError(f"a command's headers exceed {MAX_HEADER_BYTES} bytes")
            return None
        first, *others = self._buffer[: match.start()].decode("utf-8", "replace").replace("\r", "").split("\n")
        if not others:
            self._buffer = self._buffer[match.end() :]
            return Command(first.strip())
        headers = tuple([(name, value.strip()) for name, _, value in (line.partition(":") for line in others)])
        command = Command(first.strip(), headers)
        length = command.get("content-length")
        size = int(length) if length.isdecimal() else 0
        if size > MAX_BODY_BYTES:
            raise WireError(f"a command's body of {size} bytes exceeds {MAX_BODY_BYTES}")
        end = match.end() + size
        if len(self._buffer) < end:
            return None
        body = self._buffer[match.end() : end].decode("utf-8", "replace")
        self._buffer = self._buffer[end:]
        return Command(command.line, headers, body)


def url_encode(value: str) -> str:
    """As switch_url_encode does: spaces as %20, upper-case hex, UTF-8 byte by byte.

    It is no inverse of decoding: a value that holds ``%25`` itself arrives as ``%`` (recorded).
    """
    if value.isalnum() and value.isascii():
        return value
    return _encode_cached(value) if len(value) <= _MAX_CACHED_CHARS else _encode(value)


def _encode(value: str) -> str:
    data = value.encode("utf-8", "surrogateescape")
    return _UNSAFE.sub(lambda found: found[1] or b"%%%02X" % found[0][0], data).decode("ascii")


_encode_cached = lru_cache(maxsize=16_384)(_encode)


def _header_block(event: Event) -> str:
    return "".join([block.text if isinstance(block, Block) else header_lines(block) for block in event.blocks if block])


def encoded(headers: Headers) -> Block:
    """For headers that many events repeat."""
    return Block(header_lines(headers), lambda: headers)


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    return "".join([f"{name}: {url_encode(value)}\n" for name, value in headers])


def encode_plain(event: Event) -> bytes:
    """A whole ``text/event-plain`` message. The inner block's values are URL-encoded, its body is not."""
    inner = _header_block(event)
    if event.body:
        inner += f"Content-Length: {len(event.body.encode())}\n\n{event.body}"
    else:
        inner += "\n"
    data = inner.encode()
    return b"Content-Length: %d\nContent-Type: text/event-plain\n\n" % len(data) + data


def encode_json(event: Event) -> bytes:
    """A whole ``text/event-json`` message: one flat object, the body under ``_body``."""
    fields = dict(event.headers)
    if event.body:
        fields["Content-Length"] = str(len(event.body.encode()))
        fields["_body"] = event.body
    data = json.dumps(fields, ensure_ascii=False).encode()
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(data) + data


def encode_connect_reply(channel_data: Event, *, mode: str, control: str) -> bytes:
    """The answer to ``connect``: one header block of encoded values, with no body and no Content-Length."""
    tail = f"Content-Type: command/reply\nReply-Text: %2BOK%0A\nSocket-Mode: {mode}\nControl: {control}\n\n"
    return (_header_block(channel_data) + tail).encode()


def dump_text(channel_data: Event) -> str:
    """``uuid_dump``: the same block as text."""
    return _header_block(channel_data) + "\n"


def encode_reply(text: str, **headers: str) -> bytes:
    """The text as it is, newlines too, but no more than FreeSWITCH's buffer holds: even a character may be cut in two."""
    extra = "".join([f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items()])
    return b"Content-Type: command/reply\nReply-Text: %b\n%b\n" % (text.encode()[:_REPLY_BYTES], extra.encode())


def encode_api_response(body: str) -> bytes:
    data = body.encode()
    return b"Content-Type: api/response\nContent-Length: %d\n\n" % len(data) + data


AUTH_REQUEST: Final = b"Content-Type: auth/request\n\n"


def encode_linger_notice(call_uuid: str, channel_name: str, linger_s: int) -> bytes:
    return (
        "Content-Type: text/disconnect-notice\n"
        f"Controlled-Session-UUID: {call_uuid}\nContent-Disposition: linger\n"
        f"Channel-Name: {channel_name}\nLinger-Time: {linger_s}\nContent-Length: 0\n\n"
    ).encode()


def encode_disconnect_notice(call_uuid: str = "") -> bytes:
    """The last message of a connection; with the call's identifier on an outbound one."""
    about = f"Controlled-Session-UUID: {call_uuid}\nContent-Disposition: disconnect\n" if call_uuid else ""
    return f"Content-Type: text/disconnect-notice\n{about}Content-Length: {len(GOODBYE)}\n\n{GOODBYE}".encode()
