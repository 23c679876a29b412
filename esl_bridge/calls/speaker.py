"""What a caller hears, one file after another: owns the queue of files, the proof that one of them really began, and the
words that were heard of them.

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
# Who heard no more than this of a prompt heard nothing: it is the first syllable, behind the padding.
HARDLY_BEGUN_S = 0.3
# Speech of unknown length, at the pace of our voices (150 words a minute).
WORD_S = 0.4


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
    words: str = ""
    """What to remember of it once it was heard; empty when nobody asks."""


class Speaker:
    """``say`` queues, ``on_…`` tell what the switch reported; each returns orders, ``said`` tells the end."""

    def __init__(self, play_id_prefix: str, numbered_from: int = 0) -> None:
        self._prefix = play_id_prefix
        self._count = numbered_from
        self._queue: deque[_Item] = deque()
        self._current: _Item | None = None
        self._play_id = ""
        self._started_at: float | None = None
        self._stopping = False
        self._heard: list[str] = []
        self._given_up: set[str] = set()
        self.deadline: float | None = None

    @property
    def busy(self) -> bool:
        return self._current is not None or bool(self._queue)

    @property
    def goes_on(self) -> bool:
        """Something is being said, or waits to be, that nobody has broken off."""
        return bool(self._queue) or (self._current is not None and not self._stopping)

    @property
    def is_heard(self) -> bool:
        """A file has begun and is not being stopped."""
        return self._started and not self._stopping

    def say(
        self, phrases: tuple[Phrase, ...], now: float, *, names_keys: bool = False, remember: bool = False
    ) -> list[Order]:
        self._queue.extend(
            _Item(phrase.file, phrase.duration_ms / 1000, names_keys, words=phrase.text if remember else "")
            for phrase in phrases
        )
        return self._next(now)

    def await_reply(self, path: str, now: float, *, words: str = "", length_ms: int = 0) -> list[Order]:
        """Queue a reply's audio; ``path`` may still be empty, then it is waited for."""
        self._queue.append(_Item(path, length_ms / 1000, names_keys=False, is_reply=True, words=words))
        return self._next(now)

    def take_heard(self) -> str:
        """The words the caller has heard since this was last asked, of what was to be remembered: of a prompt that was cut
        only the part before the cut."""
        heard, self._heard = " ".join(self._heard), []
        return heard

    def on_reply_file(self, path: str, now: float) -> list[Order] | None:
        """None when nobody waits for it."""
        waiting = next((item for item in self._queue if item.is_reply and not item.file), None)
        if waiting is None:
            return None
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
        self._remember(self._current, now, whole=False)
        self.deadline = now + (GRACE_S if self._started else UNBEGUN_GRACE_S)
        return [StopPlayback()]

    @property
    def _started(self) -> bool:
        return self._started_at is not None

    def on_started(self, file: str, now: float) -> Heard:
        """The switch has opened a file: what the caller is hearing now."""
        current = self._current
        if current is None or self._stopping or not file.endswith(current.file):
            return Heard.NOTHING
        self._started_at = now
        # A switch without time begins late, and then it is heard for as long as ever.
        self.deadline = now + (current.length_s or UNKNOWN_LENGTH_S) + GRACE_S
        return Heard.KEYS if current.names_keys else Heard.WORDS

    def begins_after_all(self, file: str, now: float) -> list[Order]:
        """A break that reaches the switch in the moment in which it begins a file is lost (measured: 4 of 600 that were sent within
        24 ms of the file). What begins although it was to stop is stopped once more; a break too many does no harm."""
        if self._current is None or not self._stopping or self._started or not file.endswith(self._current.file):
            return []
        self._started_at = now
        self.deadline = now + GRACE_S
        return [StopPlayback()]

    def has_sent(self, file: str) -> bool:
        """Whether this is the file that was sent last and whose end has not been told, or one that was given up in its time: it
        may begin late."""
        untold = self._given_up if self._current is None else {*self._given_up, self._current.file}
        return any(file.endswith(each) for each in untold)

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
        if not stopped:
            self._remember(self._current, now, whole=response == PLAYED)
        self._current = self._started_at = None
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
        self._given_up.add(self._current.file)
        return self.on_ended(self._play_id, PLAYED if self._started else "no answer", now)

    def _next(self, now: float) -> list[Order]:
        if self._current is not None or not self._queue:
            return []
        item = self._queue[0]
        if not item.file:
            self.deadline = now + REPLY_FILE_TIMEOUT_S
            return []
        self._queue.popleft()
        self._current = item
        self._started_at = None
        self._count += 1
        self._play_id = f"{self._count:08x}-{self._prefix}"
        self.deadline = now + (item.length_s or UNKNOWN_LENGTH_S) + GRACE_S
        return [Play(self._play_id, item.file)]

    def _remember(self, item: _Item, now: float, *, whole: bool) -> None:
        if self._started_at is None or not item.words:
            return
        heard = item.words if whole else part_heard(item.words, now - self._started_at, item.length_s)
        if heard:
            self._heard.append(heard)


def part_heard(words: str, heard_s: float, length_s: float) -> str:
    """The whole words of a text that were spoken within ``heard_s`` of it; ``length_s`` is 0 when it is not known."""
    if heard_s < HARDLY_BEGUN_S:
        return ""
    spoken = words.split()
    share = heard_s / (length_s or len(spoken) * WORD_S)
    until = share * len(" ".join(spoken))
    heard: list[str] = []
    for word in spoken:
        until -= len(word)
        if until < 0:
            break
        until -= 1
        heard.append(word)
    return " ".join(heard)
