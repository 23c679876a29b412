"""What a caller hears, one file after another: owns the queue of files, and the proof that one of them really began.

Pure. A file is waited for before the next is sent; after a stop the broken-off one is waited for as well, because
``uuid_break … all`` would also flush what was queued behind it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from callflows.definition.flow import Phrase
from esl_bridge.calls.orders import Order, Play, StopPlayback

# A file whose end is never announced (a switch in trouble) must not hold the caller in silence for longer.
GRACE_S = 2.0
# `uuid_break … all` also takes away what was sent and had not begun, and then no end is ever told.
UNBEGUN_GRACE_S = 0.2
PLAYED = "FILE PLAYED"
UNKNOWN_LENGTH_S = 30.0
# From the result to the file's path on the switch: one hop through the gateway and the module, 20 ms when recorded.
REPLY_FILE_TIMEOUT_S = 0.8


class Said(StrEnum):
    NOTHING = "nothing"
    ALL = "all"
    MISSING = "missing"
    """A file could not be played; the rest of the queue was given up."""
    REPLY_LOST = "reply_lost"


class Heard(StrEnum):
    NOTHING = "nothing"
    WORDS = "words"
    KEYS = "keys"
    """A prompt that names the keys to press: proof that the caller is in the menu."""


@dataclass(slots=True)
class _Item:
    file: str
    length_s: float
    names_keys: bool
    is_reply: bool = False


class Speaker:
    """``say`` queues, ``on_…`` tell what the switch reported; each returns orders, ``said`` tells the end."""

    def __init__(self, play_id_prefix: str) -> None:
        self._prefix = play_id_prefix
        self._count = 0
        self._queue: deque[_Item] = deque()
        self._current: _Item | None = None
        self._play_id = ""
        self._started = False
        self._stopping = False
        self.deadline: float | None = None

    @property
    def busy(self) -> bool:
        return self._current is not None or bool(self._queue)

    def say(self, phrases: tuple[Phrase, ...], now: float, *, names_keys: bool = False) -> list[Order]:
        self._queue.extend(
            _Item(phrase.file, phrase.duration_ms / 1000 or UNKNOWN_LENGTH_S, names_keys) for phrase in phrases
        )
        return self._next(now)

    def await_reply(self, path: str, now: float) -> list[Order]:
        """Queue a reply's audio; ``path`` may still be empty, then it is waited for."""
        self._queue.append(_Item(path, UNKNOWN_LENGTH_S, names_keys=False, is_reply=True))
        return self._next(now)

    def on_reply_file(self, path: str, now: float) -> list[Order]:
        waiting = next((item for item in self._queue if item.is_reply and not item.file), None)
        if waiting is None:
            return []
        waiting.file = path
        return self._next(now)

    def stop(self, now: float) -> list[Order]:
        """Be quiet: forget the queue and break off what plays."""
        self._queue.clear()
        if self._current is None:
            self.deadline = None
            return []
        if self._stopping:
            return []
        self._stopping = True
        self.deadline = now + (GRACE_S if self._started else UNBEGUN_GRACE_S)
        return [StopPlayback()]

    def on_started(self, file: str) -> Heard:
        """The switch has opened a file: what the caller is hearing now."""
        current = self._current
        if current is None or self._stopping or not file.endswith(current.file):
            return Heard.NOTHING
        self._started = True
        return Heard.KEYS if current.names_keys else Heard.WORDS

    def has_sent(self, file: str) -> bool:
        """Whether this is the file that was sent last and whose end has not been told."""
        return self._current is not None and file.endswith(self._current.file)

    def surprised_by(self, play_id: str, response: str) -> bool:
        """An end that nobody ordered and no file's own: it may be that of the call, or of our holding it."""
        ours = self._current is not None and play_id == self._play_id and not self._stopping
        return ours and not (self._started and response == PLAYED)

    def on_ended(self, play_id: str, response: str, now: float) -> tuple[Said, list[Order]]:
        if play_id != self._play_id or self._current is None:
            return Said.NOTHING, []
        # One that began and was cut by somebody else, in a call that is still ours, was heard as far as they wanted.
        missing = not self._started
        stopped, self._stopping = self._stopping, False
        self._current = None
        self.deadline = None
        if missing and not stopped:
            self._queue.clear()
            return Said.MISSING, []
        orders = self._next(now)
        return (Said.NOTHING if self.busy or stopped else Said.ALL), orders

    def on_time(self, now: float) -> tuple[Said, list[Order]]:
        if self.deadline is None or now < self.deadline:
            return Said.NOTHING, []
        if self._current is None:
            self._queue.clear()
            self.deadline = None
            return Said.REPLY_LOST, []
        response = PLAYED if self._started else "no answer"
        return self.on_ended(self._play_id, response, now)

    def _next(self, now: float) -> list[Order]:
        if self._current is not None or not self._queue:
            return []
        item = self._queue[0]
        if not item.file:
            self.deadline = now + REPLY_FILE_TIMEOUT_S
            return []
        self._queue.popleft()
        self._current = item
        self._started = False
        self._count += 1
        self._play_id = f"{self._count:08x}-{self._prefix}"
        self.deadline = now + item.length_s + GRACE_S
        return [Play(self._play_id, item.file)]
