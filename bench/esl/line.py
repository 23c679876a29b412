"""The switch's side of one call, as small as it can be: answers commands as recorded, and presses a key when told.

Owns what is measured at the wire: from an event that calls for a command until that command arrives. Its events are the
recorded bytes with this call's UUID in them. A prompt plays until the caller presses the next key.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

from bench.esl.recorded import channel_data, template

OK = b"Content-Type: command/reply\nReply-Text: +OK\n\n"
JOB_UUID = b"501b7cba-f548-4ed9-acf3-2eebdfe4d9aa"
JOB = b"Content-Type: command/reply\nReply-Text: +OK Job-UUID: %b\nJob-UUID: %b\n\n" % (JOB_UUID, JOB_UUID)
API_OK = b"Content-Type: api/response\nContent-Length: 4\n\n+OK\n"
ADDED = b"Content-Type: api/response\nContent-Length: %d\n\n+OK Added: %d\n"
GOODBYE = b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n"
CHANNEL = channel_data()
STARTED = template("audio-reply", "PLAYBACK_START", "Playback-File-Path", ours_before="Playback-File-Path")
ENDED = template("audio-reply", "CHANNEL_EXECUTE_COMPLETE", "Application-UUID", ours_before="Application")
KEY = template("menu-dtmf", "DTMF", "DTMF-Digit")
HUNG_UP = template("audio-reply", "CHANNEL_HANGUP_COMPLETE", "Hangup-Cause", ours_before="variable_hangup_cause")
# Balance, whose account number is asked for, and back to the menu: both always do something.
KEYS = (b"1", b"*")
EVENT_UUID = b"\nEvent-UUID: "


@dataclass(slots=True)
class Figures:
    """What all lines together saw. Latencies in seconds, since :meth:`clear`."""

    to_command: list[float] = field(default_factory=list)
    setups: list[float] = field(default_factory=list)
    began: int = 0
    lost: int = 0

    def clear(self) -> None:
        self.to_command.clear()
        self.setups.clear()
        self.began = 0


class Line(asyncio.Protocol):
    __slots__ = ("_body_due", "_dialled_at", "_figures", "_keys", "_leaving", "_play_id", "_rest", "_tasks", "_transport", "_uuid",
                 "_waiting_break", "_waiting_play")  # fmt: skip

    def __init__(self, number: int, figures: Figures, dialled_at: float) -> None:
        self._uuid = b"%08x-0000-4000-8000-00000000be5c" % number
        self._figures = figures
        self._dialled_at = dialled_at
        self._rest = b""
        self._body_due = False
        self._play_id = b""
        self._tasks = number * 1000
        self._keys = 0
        self._waiting_break = 0.0
        self._waiting_play = 0.0
        self._leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._leaving:
            self._figures.lost += 1

    # --- What the caller does ---

    def press(self) -> None:
        """Nothing while the last key is still being answered: the caller would wait too."""
        if self._waiting_break or self._waiting_play or not self._play_id:
            return
        digit = KEYS[self._keys % len(KEYS)]
        self._keys += 1
        event = KEY.event(self._uuid, digit)
        self._waiting_break = time.perf_counter()
        self._transport.write(event)

    def hang_up(self) -> None:
        self._leaving = True
        self._transport.write(HUNG_UP.event(self._uuid, b"NORMAL_CLEARING") + GOODBYE)
        asyncio.get_running_loop().call_later(1.0, self._transport.close)

    # --- What the bridge says ---

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        pieces = (self._rest + data).split(b"\n\n")
        self._rest = pieces.pop()
        out: list[bytes] = []
        for piece in pieces:
            if self._body_due:
                self._body_due = False
                self._playback_began(piece, out)
            elif piece:
                self._answer(piece, out, now)
        if out:
            if self._waiting_play < 0:
                self._waiting_play = time.perf_counter()
            self._transport.write(b"".join(out))

    def _answer(self, command: bytes, out: list[bytes], now: float) -> None:
        if command.startswith(b"sendmsg"):
            out.append(OK)
            if b"content-length" in command:
                start = command.index(EVENT_UUID) + len(EVENT_UUID)
                end = command.find(b"\n", start)
                self._play_id = command[start : end if end > 0 else len(command)]
                self._body_due = True
                self._measure_play(now)
        elif command.startswith(b"api sched_api"):
            self._tasks += 1
            out.append(ADDED % (12 + len(str(self._tasks)), self._tasks))
        elif command.startswith(b"api uuid_break"):
            if self._waiting_break:
                self._figures.to_command.append(now - self._waiting_break)
                self._waiting_break = 0.0
            out.append(API_OK)
            out.append(ENDED.event(self._uuid, self._play_id))
            self._waiting_play = -1.0  # measured from the write at the end of this piece
        elif command.startswith(b"api"):
            out.append(API_OK)
        elif command == b"connect":
            out.append(self._uuid.join(CHANNEL))
        else:
            out.append(JOB if command.startswith(b"bgapi") else OK)

    def _measure_play(self, now: float) -> None:
        if self._waiting_play > 0:
            self._figures.to_command.append(now - self._waiting_play)
            self._waiting_play = 0.0
        if self._dialled_at:
            self._figures.setups.append(now - self._dialled_at)
            self._dialled_at = 0.0

    def _playback_began(self, path: bytes, out: list[bytes]) -> None:
        out.append(STARTED.event(self._uuid, path.replace(b":", b"%3A")))


