"""A turn's reply as it comes to the bridge: its sentences told by the worker, and their files announced by the switch.

Owns which file is which sentence's, and which of both are still wanted. Pure. Files carry no number: they come in the order
of the sentences, one for each that was told, wanted or not.
"""

from __future__ import annotations

from ai_engine.messages import TurnReplying

# A reply's file that was on its way when the caller interrupted; the next turn's own cannot come before its speech has ended.
STALE_REPLY_S = 1.0


class ReplyParts:
    def __init__(self) -> None:
        self._parts: list[TurnReplying] = []
        self._files: list[str] = []
        # Of this turn, in the order of telling: the words of what is said, and of every sentence whether it is.
        self._words: list[str] = []
        self._wanted: list[bool] = []
        self._announced = 0
        self._goes_on = True
        self._stale = 0
        self._stale_until = 0.0

    def begin(self, now: float) -> None:
        """A turn begins: nothing of the one before is wanted any more."""
        self._stale, self._stale_until = max(0, len(self._wanted) - self._announced), now + STALE_REPLY_S
        self._announced = 0
        self._goes_on = True
        self._parts, self._files, self._words, self._wanted = [], [], [], []

    def add(self, part: TurnReplying) -> bool:
        """Whether it is to be heard. Who takes a turn over from a worker that died in the middle of its reply says all of it
        again: what was told stands and is not said twice, and what follows is said only if the words before were the same.
        """
        is_new = part.part > len(self._words)
        if not is_new and part.words != self._words[part.part - 1]:
            self._goes_on = False
        wanted = is_new and self._goes_on
        self._wanted.append(wanted)
        if wanted:
            self._words.append(part.words)
            self._parts.append(part)
        return wanted

    def wants_file(self, now: float) -> bool:
        """A file of a reply is on the switch: whether it is one that is still wanted."""
        if self._stale and now < self._stale_until:
            self._stale -= 1
            return False
        self._announced += 1
        return self._announced > len(self._wanted) or self._wanted[self._announced - 1]

    def keep_file(self, path: str) -> None:
        """Its part is not to be said yet, or has not been told of."""
        self._files.append(path)

    def give_up(self) -> None:
        """What was taken of it was not heard to its end: what is told of it from here on is not said either."""
        self._goes_on = False

    def take(self) -> list[tuple[TurnReplying, str]]:
        """The sentences not yet taken, each with its file (empty: still on its way)."""
        parts, self._parts = self._parts, []
        return [(part, self._files.pop(0) if self._files else "") for part in parts]
